from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test


@pytest.fixture
def words(std: Any) -> Any:
    holder = std.field(std.DynArray[str])
    holder.value = ["a", "b", "c"]
    return holder.value


@pytest.fixture
def point(std: Any) -> Any:
    @std.allow_storage
    @dataclass
    class Point:
        __annotations__ = {"x": std.u8, "name": str}

    return Point


@pytest.mark.parametrize("index", [0, 2, -1, -3])
def test_item__in_range__is_that_of_a_list(words: Any, index: int) -> None:
    assert words[index] == ["a", "b", "c"][index]


@pytest.mark.parametrize("index", [3, -4, 10**30])
def test_item__out_of_range__raises_index_error(words: Any, index: int) -> None:
    with pytest.raises(IndexError, match=f"index out of range {index} not in 0..<3"):
        words[index]


@pytest.mark.parametrize("index", ["0", None, 1.0])
def test_item__index_is_no_integer__raises_type_error(words: Any, index: Any) -> None:
    with pytest.raises(TypeError):
        words[index]


@pytest.mark.parametrize("part", [slice(None), slice(1, None), slice(None, None, -1), slice(5, 9), slice(-2, -1)])
def test_slice__any__is_a_plain_list(words: Any, part: slice) -> None:
    assert words[part] == ["a", "b", "c"][part]
    assert type(words[part]) is list


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (slice(None), ["x"]),
        (slice(0, 1), ["x", "y"]),
        (slice(1, 1), ["x"]),
        (slice(-1, None), []),
        (slice(None, None, 2), ["x", "y"]),
        (slice(None, None, -1), ["x", "y", "z"]),
    ],
)
def test_slice__assigned__is_that_of_a_list(words: Any, part: slice, values: list[str]) -> None:
    expected = list(words)
    words[part] = expected[part] = values
    assert list(words) == expected


def test_slice__assigned_in_another_length_with_a_step__raises_value_error(words: Any) -> None:
    with pytest.raises(ValueError, match="extended slice"):
        words[::2] = ["x"]


def test_slice__assigned_its_own_records__keeps_their_values(std: Any, point: Any) -> None:
    points = std.field(std.DynArray[point]).value
    points.extend([point(1, "a"), point(2, "b"), point(3, "c")])
    points[:] = points[::-1]
    assert [p.name for p in points] == ["c", "b", "a"]


@pytest.mark.parametrize("part", [slice(0, 1), slice(None), slice(None, None, 2), slice(5, 9), slice(-2, None)])
def test_slice__deleted__is_that_of_a_list(words: Any, part: slice) -> None:
    expected = list(words)
    del words[part], expected[part]
    assert list(words) == expected


def test_pop__without_index__removes_the_last_and_returns_none(words: Any) -> None:
    assert words.pop() is None
    assert list(words) == ["a", "b"]


@pytest.mark.parametrize("index", [0, -1])
def test_pop__with_index__raises_type_error(words: Any, index: int) -> None:
    with pytest.raises(TypeError, match=r"takes 1 positional argument but 2 were given"):
        words.pop(index)


def test_pop__empty__raises(words: Any) -> None:
    words.clear()
    with pytest.raises(Exception, match="empty"):
        words.pop()


def test_insert__before_an_item__shifts_the_rest(words: Any) -> None:
    words.insert(1, "z")
    words.insert(-1, "y")
    assert list(words) == ["a", "z", "b", "y", "c"]


def test_insert__at_the_end__raises_index_error(words: Any) -> None:
    with pytest.raises(IndexError):
        words.insert(3, "z")


def test_insert__of_an_own_item__inserts_what_it_was(std: Any, point: Any) -> None:
    points = std.field(std.DynArray[point]).value
    points.extend([point(1, "a"), point(2, "b")])
    points.insert(0, points[1])
    assert list(points) == [point(2, "b"), point(1, "a"), point(2, "b")]


def test_insert__of_a_bad_value__changes_nothing(words: Any) -> None:
    with pytest.raises(AttributeError):
        words.insert(0, 5)
    assert list(words) == ["a", "b", "c"]


def test_append__of_a_bad_value__has_grown_all_the_same(words: Any) -> None:
    with pytest.raises(AttributeError):
        words.append(5)
    assert list(words) == ["a", "b", "c", ""]


def test_append_new_get__after_clear__may_be_the_old_record(std: Any, point: Any) -> None:
    points = std.field(std.DynArray[point]).value
    points.append(point(9, "old"))
    points.clear()
    assert points.append_new_get() == point(9, "old")


def test_append_new_get__fresh__is_a_live_zero(std: Any, point: Any) -> None:
    points = std.field(std.DynArray[point]).value
    points.append_new_get().x = 4
    assert points[0].x == 4


def test_reverse__records__keeps_each_of_them(std: Any, point: Any) -> None:
    points = std.field(std.DynArray[point]).value
    points.extend([point(n, str(n)) for n in range(4)])
    points.reverse()
    assert [(p.x, p.name) for p in points] == [(3, "3"), (2, "2"), (1, "1"), (0, "0")]


def test_search__index_count_remove_in__work_as_of_a_list(words: Any) -> None:
    assert (words.index("b"), words.count("c"), "a" in words, "z" in words) == (1, 1, True, False)
    words.remove("b")
    assert list(words) == ["a", "c"]
    with pytest.raises(ValueError):  # noqa: PT011 - of collections.abc, without text
        words.remove("b")


def test_equality__with_a_list__is_false(words: Any) -> None:
    assert words != ["a", "b", "c"]


def test_dyn_array__instantiated__raises_type_error(std: Any) -> None:
    for kind in (std.DynArray, std.DynArray[str], std.Array, std.storage.VLA, std.storage.Indirection):
        with pytest.raises(TypeError, match="can't be instantiated by user"):
            kind()


@pytest.mark.parametrize("bad", [None, 5, "text", {1: 2}, b"bytes"])
def test_assignment__no_sequence__raises_type_error(std: Any, bad: Any) -> None:
    with pytest.raises(TypeError):
        std.field(std.DynArray[std.u8]).value = bad


def test_assignment__of_itself_and_of_a_slice__is_safe(std: Any) -> None:
    holder = std.field(std.DynArray[str])
    holder.value = ["a", "b", "c"]
    holder.value = holder.value
    assert list(holder.value) == ["a", "b", "c"]
    holder.value = holder.value[1:]
    assert list(holder.value) == ["b", "c"]


def test_assignment__of_another_type_of_array__converts_the_items(std: Any) -> None:
    source = std.field(std.DynArray[std.u8])
    source.value = [1, 2]
    wide = std.storage.inmem_allocate(std.DynArray[std.u64])
    wide.extend(source.value)
    assert list(wide) == [1, 2]


def test_nested__arrays__are_independent(std: Any) -> None:
    rows = std.field(std.DynArray[std.DynArray[std.u8]]).value
    rows.append([1, 2])
    rows.append([3])
    rows[0].append(9)
    assert [list(row) for row in rows] == [[1, 2, 9], [3]]
    del rows[0]
    assert [list(row) for row in rows] == [[3]]


def test_calldata__of_views__is_an_array(std: Any, words: Any) -> None:
    codec = std.module("genlayer.py.calldata")
    assert codec.decode(codec.encode({"w": words})) == {"w": ["a", "b", "c"]}


# --- Array ---


def test_array__zero__has_its_length(std: Any) -> None:
    value = std.field(std.Array[std.u8, typing.Literal[4]]).value
    assert (list(value), len(value), isinstance(value, Sequence)) == ([0, 0, 0, 0], 4, True)


def test_array__items__are_set_in_place(std: Any) -> None:
    value = std.field(std.Array[str, typing.Literal[2]]).value
    value[-1] = "x"
    assert list(value) == ["", "x"]
    with pytest.raises(IndexError):
        value[2] = "y"


def test_array__assigned_wrong_length__raises_assertion_error(std: Any) -> None:
    holder = std.field(std.Array[std.u8, typing.Literal[2]])
    holder.value = [1, 2]
    with pytest.raises(AssertionError):
        holder.value = [1, 2, 3]
    assert list(holder.value) == [1, 2]


@pytest.mark.parametrize("length", [typing.Literal[-1], typing.Literal["2"], typing.Literal[True], 2, int])
def test_array__length_is_no_number__raises_type_error(std: Any, length: Any) -> None:
    with pytest.raises(TypeError):
        std.field(std.Array[std.u8, length])


# --- root, VLA, Indirection ---


def test_root__fields__lie_where_the_genvm_has_them(std: Any, host: Any) -> None:
    import hashlib

    root = std.storage.Root.get()
    root.code.get().extend(b"abc")
    code_slot = hashlib.sha3_256(bytes(32) + b"\1\0\0\0").digest()
    assert bytes(host.slots[code_slot]) == b"\3\0\0\0abc"


def test_root__contract_instance__is_that_of_the_host(std: Any) -> None:
    contract = std.load("from genlayer import *\nclass C(gl.Contract):\n    n: u8\n").C
    std.instance(contract).n = 5
    assert std.storage.Root.get().get_contract_instance(contract).n == 5


def test_vla__truncate_and_set__work_in_place(std: Any) -> None:
    code = std.storage.Root.get().code.get()
    code.extend([1, 2, 3])
    code[0] = 9
    code.truncate(2)
    assert list(code) == [9, 2]
    with pytest.raises(IndexError):
        code.truncate(3)
    code.truncate()
    assert len(code) == 0


def test_root__lock_default__locks_four_slots(std: Any) -> None:
    root = std.storage.Root.get()
    root.lock_default()
    assert len(set(root.locked_slots.get())) == 4


def test_indirection__assigned_elsewhere__is_copied(std: Any) -> None:
    one = std.storage.inmem_allocate(std.storage.Indirection[std.DynArray[str]])
    one.get().append("a")
    copied = std.generate.desc_of(std.storage.Indirection[std.DynArray[str]])
    slot = std.core.MemorySlot()
    copied.set(slot, 0, one)
    one.set([])
    assert list(copied.get(slot, 0).get()) == ["a"]
    with pytest.raises(AssertionError):
        copied.set(slot, 0, ["a"])


# --- against a list ---


class ArrayMachine(RuleBasedStateMachine):
    """DynArray[str] and a list get the same operations."""

    std: Any

    @initialize()
    def start(self) -> None:
        self.std.host.reset()
        self.array = self.std.field(self.std.DynArray[str]).value
        self.model: list[str] = []

    @rule(value=st.text(max_size=3))
    def append(self, value: str) -> None:
        self.array.append(value)
        self.model.append(value)

    @rule(values=st.lists(st.text(max_size=3), max_size=4))
    def extend(self, values: list[str]) -> None:
        self.array.extend(values)
        self.model.extend(values)

    @rule(index=st.integers(-6, 6), value=st.text(max_size=3))
    def insert(self, index: int, value: str) -> None:
        if -len(self.model) <= index < len(self.model):
            self.array.insert(index, value)
            self.model.insert(index, value)
        else:
            with pytest.raises(IndexError):
                self.array.insert(index, value)

    @rule(index=st.integers(-6, 6), value=st.text(max_size=3))
    def assign(self, index: int, value: str) -> None:
        if -len(self.model) <= index < len(self.model):
            self.array[index] = value
            self.model[index] = value
        else:
            with pytest.raises(IndexError):
                self.array[index] = value

    @rule(index=st.integers(-6, 6))
    def delete(self, index: int) -> None:
        if -len(self.model) <= index < len(self.model):
            del self.array[index]
            del self.model[index]
        else:
            with pytest.raises(IndexError):
                del self.array[index]

    @rule()
    def pop(self) -> None:
        if self.model:
            assert self.array.pop() is None
            self.model.pop()

    @rule(part=st.slices(6), values=st.lists(st.text(max_size=3), max_size=3))
    def assign_slice(self, part: slice, values: list[str]) -> None:
        try:
            self.model[part] = values
        except ValueError:
            with pytest.raises(ValueError, match="extended slice"):
                self.array[part] = values
        else:
            self.array[part] = values

    @rule(part=st.slices(6))
    def delete_slice(self, part: slice) -> None:
        del self.array[part], self.model[part]

    @rule()
    def reverse(self) -> None:
        self.array.reverse()
        self.model.reverse()

    @rule()
    def clear(self) -> None:
        self.array.clear()
        self.model.clear()

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "array"):
            assert list(self.array) == self.model
            assert list(reversed(self.array)) == self.model[::-1]


def test_dyn_array__any_operations__are_those_of_a_list(std: Any) -> None:
    machine = type("BoundArrayMachine", (ArrayMachine,), {"std": std})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
