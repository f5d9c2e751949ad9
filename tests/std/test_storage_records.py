from __future__ import annotations

import copy
import dataclasses
import sys
import types
from typing import Any

import cloudpickle
import pytest

SOURCE = """
{future}
import typing
from dataclasses import dataclass
from genlayer import *

@allow_storage
@dataclass
class Point:
    x: u64
    y: i32 = i32(4)
    SHARED: typing.ClassVar[int] = 9

@allow_storage
@dataclass
class Line:
    name: str
    start: Point
    end: Point
    tags: DynArray[str]

@allow_storage
@dataclass
class Box[T, N]:
    item: T
    room: Array[T, N]

@allow_storage
class Named(Box[u8, typing.Literal[2]]):
    label: str

@allow_storage
class Counter:
    total: u256
    def __init__(self, start):
        self.total = start
    def add(self):
        self.total += 1

class Store(gl.Contract):
    point: Point
    other: Point
    points: DynArray[Point]
    line: Line
    lines: TreeMap[str, Line]
    box: Box[str, typing.Literal[3]]
    small: Box[u8, typing.Literal[1]]
    named: Named
    counter: Counter

    def __init__(self):
        pass
"""


@pytest.fixture(params=["", "from __future__ import annotations"])
def module(std: Any, request: pytest.FixtureRequest) -> types.ModuleType:
    return std.load(SOURCE.format(future=request.param))


@pytest.fixture
def store(std: Any, module: Any) -> Any:
    return std.instance(module.Store)


def test_record__never_written__is_zero_whatever_the_defaults(store: Any) -> None:
    assert (store.point.x, store.point.y) == (0, 0)


def test_record__in_memory__has_its_defaults(module: Any) -> None:
    assert module.Point(1) == module.Point(x=1, y=4)


def test_record__in_memory__is_range_checked(module: Any) -> None:
    with pytest.raises(OverflowError):
        module.Point(2**64)


def test_assignment__of_a_record__copies_it(store: Any, module: Any) -> None:
    point = module.Point(1, 2)
    store.point = point
    point.x = 99
    assert store.point == module.Point(1, 2)


def test_reading__a_record__gives_a_live_view(store: Any, module: Any) -> None:
    view = store.point
    store.point = module.Point(5, 6)
    assert view == module.Point(5, 6)
    view.y = 7
    assert store.point.y == 7


def test_assignment__of_a_view__copies_it(store: Any) -> None:
    store.point.x = 3
    store.other = store.point
    store.point.x = 4
    assert store.other.x == 3


def test_assignment__to_itself__changes_nothing(store: Any, module: Any, host: Any) -> None:
    store.point = module.Point(1, 2)
    host.count()
    store.point = store.point
    assert host.count() == (0, 0)


def test_assignment__of_plain_fields__is_one_write(store: Any, module: Any, host: Any) -> None:
    point = module.Point(1, 2)
    host.count()
    store.point = point
    assert host.count() == (0, 1)


def test_assignment__of_nested_records_and_collections__copies_all(store: Any, module: Any) -> None:
    line = module.Line("a", module.Point(1, 2), module.Point(3, 4), ["x", "y"])
    store.line = line
    store.lines["k"] = store.line
    line.tags.append("z")
    store.line.end.x = 50
    copied = store.lines["k"]
    assert (copied.name, copied.start.x, copied.end.x, list(copied.tags)) == ("a", 1, 3, ["x", "y"])


def test_assignment__over_a_longer_collection__leaves_nothing_of_it(store: Any, module: Any) -> None:
    point = module.Point(0)
    store.line = module.Line("a", point, point, ["x", "y"])
    store.line = module.Line("b", point, point, [])
    assert (store.line.name, list(store.line.tags)) == ("b", [])


@pytest.mark.parametrize("bad", [{"x": 1, "y": 2}, None, 5, (1, 2)])
def test_assignment__of_something_else__raises_assertion_error(store: Any, bad: Any) -> None:
    with pytest.raises(AssertionError):
        store.point = bad


def test_assignment__of_another_record__raises_assertion_error(store: Any, module: Any) -> None:
    with pytest.raises(AssertionError):
        store.point = module.Counter(1)


def test_class_variable__of_a_record__is_not_stored(module: Any) -> None:
    assert module.Point.SHARED == 9


def test_attribute__without_annotation__is_gone_with_the_view(store: Any) -> None:
    view = store.point
    view.note = "x"
    assert view.note == "x"
    assert not hasattr(store.point, "note")


def test_record__with_own_constructor__works_in_memory_and_stored(store: Any, module: Any) -> None:
    store.counter = module.Counter(41)
    store.counter.add()
    assert store.counter.total == 42


def test_dataclass__functions__work_on_views(store: Any, module: Any) -> None:
    store.point = module.Point(1, 2)
    assert dataclasses.asdict(store.point) == {"x": 1, "y": 2}
    assert dataclasses.replace(store.point, x=5) == module.Point(5, 2)
    assert repr(store.point) == "Point(x=1, y=2)"


def test_copies__of_a_view__are_live_and_of_memory_are_not(store: Any, module: Any) -> None:
    view = copy.copy(store.point)
    store.point.x = 8
    assert view.x == 8
    in_memory = module.Point(1)
    copied = copy.deepcopy(in_memory)
    in_memory.x = 2
    assert copied.x == 1


def test_calldata__of_records__is_a_map_of_the_stored_fields(std: Any, store: Any, module: Any) -> None:
    codec = std.module("genlayer.py.calldata")
    store.line = module.Line("a", module.Point(1), module.Point(2), ["t"])
    store.counter = module.Counter(3)
    assert codec.decode(codec.encode([store.line, store.counter])) == [
        {"name": "a", "start": {"x": 1, "y": 4}, "end": {"x": 2, "y": 4}, "tags": ["t"]},
        {"total": 3},
    ]


# --- generic records ---


def test_generic__stored__has_the_layout_of_its_arguments(store: Any) -> None:
    store.box.item = "text"
    store.box.room = ["a", "b", "c"]
    store.small.item = 255
    assert (store.box.item, list(store.box.room), store.small.item, len(store.small.room)) == (
        "text",
        ["a", "b", "c"],
        255,
        1,
    )
    with pytest.raises(OverflowError):
        store.small.item = 256


def test_generic__called_without_arguments__is_checked_when_assigned(store: Any, module: Any) -> None:
    store.box = module.Box("x", ["1", "2", "3"])
    assert (store.box.item, store.box.room[2]) == ("x", "3")
    with pytest.raises(AttributeError):
        store.box = module.Box(5, ["1", "2", "3"])


def test_generic__view_of_other_arguments__raises_assertion_error(store: Any) -> None:
    with pytest.raises(AssertionError):
        store.box = store.small


def test_generic__inherited_with_arguments__has_them(store: Any) -> None:
    store.named.label = "l"
    store.named.item = 7
    assert (store.named.label, store.named.item, len(store.named.room)) == ("l", 7, 2)


def test_generic__view__is_an_instance_of_its_class(store: Any, module: Any) -> None:
    assert isinstance(store.box, module.Box)


def test_generic__class_of_a_view__keeps_module_name_and_docstring(std: Any) -> None:
    @std.allow_storage
    class Local[T]:
        """Something of a type."""

        __annotations__ = {"item": T}

    kind = type(std.field(Local[std.u8]).value)
    assert kind is not Local
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        assert getattr(kind, name) == getattr(Local, name), name


def test_generic__unused_arguments__raise_type_error(std: Any, module: Any) -> None:
    with pytest.raises(TypeError, match="needs type arguments"):
        std.field(module.Box)
    with pytest.raises(TypeError, match="not marked"):
        std.field(module.Point | None)


# --- in memory ---


def test_inmem_allocate__record__calls_its_constructor(std: Any, module: Any) -> None:
    assert std.storage.inmem_allocate(module.Point, 5) == module.Point(5, 4)
    assert std.storage.inmem_allocate(module.Box[str, typing_literal(2)], "a", ["b", "c"]).room[1] == "c"


def typing_literal(number: int) -> Any:
    import typing

    return typing.Literal[number]


def test_inmem_allocate__collection__is_empty_and_independent(std: Any) -> None:
    made = std.storage.inmem_allocate(std.TreeMap[str, std.u8])
    made["a"] = 1
    assert dict(made) == {"a": 1}
    assert dict(std.storage.inmem_allocate(std.TreeMap[str, std.u8])) == {}


def test_inmem_allocate__collection_with_arguments__raises_type_error(std: Any) -> None:
    with pytest.raises(TypeError, match="takes no arguments"):
        std.storage.inmem_allocate(std.DynArray[std.u8], [1])


def test_copy_to_memory__record_and_collections__are_independent(std: Any, store: Any, module: Any) -> None:
    store.points.append(module.Point(1))
    store.lines["k"] = module.Line("n", module.Point(1), module.Point(2), ["t"])
    points, lines = (std.storage.copy_to_memory(value) for value in (store.points, store.lines))
    point = std.storage.copy_to_memory(store.points[0])
    store.points[0].x = 9
    store.lines["k"].name = "changed"
    assert (points[0].x, lines["k"].name, list(lines["k"].tags), point.x) == (1, "n", ["t"], 1)


def test_copy_to_memory__anything_else__is_returned(std: Any) -> None:
    assert std.storage.copy_to_memory(5) == 5


# --- pickling ---


@pytest.mark.parametrize("by_value", [False, True])
def test_cloudpickle__closures_over_views__work_on_the_same_storage(
    store: Any, module: Any, std: Any, by_value: bool
) -> None:
    store.points.append(module.Point(1))
    store.lines["k"] = module.Line("n", module.Point(1), module.Point(2), [])
    store.box.item = "b"
    box, lines, points, memory = store.box, store.lines, store.points, module.Point(7)

    def read() -> Any:
        return [store.points[0].x, box.item, lines["k"].name, len(points), memory.x, module.Point(2).x]

    sys.modules.setdefault("_std_test_contract", module)
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        read_again = cloudpickle.loads(cloudpickle.dumps(read))
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)
    store.points[0].x = 30
    assert read_again() == [30, "b", "n", 1, 7, 2]


def test_cloudpickle__a_copied_record__can_be_assigned(store: Any, module: Any) -> None:
    store.point.x = 4
    store.other = cloudpickle.loads(cloudpickle.dumps(store.point))
    assert store.other.x == 4


# --- classes that cannot be ---


def test_allow_storage__with_slots__raises_type_error(std: Any) -> None:
    with pytest.raises(TypeError, match="__slots__"):

        @std.allow_storage
        class Slotted:
            __slots__ = ("x",)


def test_allow_storage__subclass_not_decorated__is_not_storable(std: Any, module: Any) -> None:
    class Child(module.Point):
        pass

    with pytest.raises(TypeError, match="not marked"):
        std.field(Child)


def test_allow_storage__frozen_dataclass__can_be_stored(std: Any) -> None:
    @std.allow_storage
    @dataclasses.dataclass(frozen=True)
    class Fixed:
        __annotations__ = {"x": std.u8}

    holder = std.field(Fixed)
    holder.value = Fixed(5)
    assert holder.value.x == 5
