from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from genlayer_localnet.address import Address


def heights(tree: Any) -> Iterator[tuple[int, int, int]]:
    """The heights of each node's two sides and the one it says it has, from the leaves up."""

    def visit(node: int) -> Iterator[tuple[int, int, int]]:
        if not node:
            return 0
        left, right, height = tree._node(node)
        left_height = yield from visit(left)
        right_height = yield from visit(right)
        yield left_height, right_height, height
        return 1 + max(left_height, right_height)

    return visit(tree._root())


def depth(tree: Any) -> int:
    return max((height for _, _, height in heights(tree)), default=0)


def most_depth(count: int) -> float:
    """No AVL tree is deeper."""
    return 1.45 * math.log2(count + 2)


@pytest.fixture
def names(std: Any) -> Any:
    tree = std.field(std.TreeMap[str, std.u256]).value
    tree.update({"pear": 4, "apple": 5, "Zed": 3, "éclair": 6, "": 0})
    return tree


@pytest.fixture
def point(std: Any) -> Any:
    @std.allow_storage
    @dataclass
    class Point:
        __annotations__ = {"x": std.u8, "name": str}

    return Point


def test_iteration__text_keys__is_in_code_point_order(names: Any) -> None:
    assert list(names) == ["", "Zed", "apple", "pear", "éclair"]
    assert list(names.keys()) == list(names)
    assert list(names.values()) == [0, 3, 5, 4, 6]
    assert list(names.items()) == [("", 0), ("Zed", 3), ("apple", 5), ("pear", 4), ("éclair", 6)]
    assert (len(names), len(names.items()), dict(names)) == (5, 5, dict(names.items()))


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("u256", [300, 2, 10**30, 1, 255, 256]),
        ("i16", [-1, 5, -300, 0]),
        ("bigint", [-(10**30), 10**30, 0, -1]),
        ("bytes", [b"", b"\xff", b"a", b"ab"]),
        ("Address", [Address(bytes([n]) * 20) for n in (9, 1, 255)]),
        ("bool", [True, False]),
        ("float", [1.5, -2.5, 0.0]),
    ],
)
def test_iteration__any_kind_of_key__is_sorted(std: Any, kind: str, keys: list[Any]) -> None:
    annotation = {"bytes": bytes, "bool": bool, "float": float}.get(kind) or getattr(std, kind)
    tree = std.field(std.TreeMap[annotation, std.u8]).value
    for number, key in enumerate(keys):
        tree[key] = number
    assert list(tree) == sorted(keys)
    assert [tree[key] for key in keys] == list(range(len(keys)))


def test_missing__getitem__raises_key_error_without_text(names: Any) -> None:
    with pytest.raises(KeyError) as caught:
        names["nope"]
    assert str(caught.value) == ""


def test_missing__delete__raises_key_error(names: Any) -> None:
    with pytest.raises(KeyError, match="'key not found'"):
        del names["nope"]


def test_missing__get_and_in__do_not_raise(names: Any) -> None:
    assert (names.get("nope"), names.get("nope", 7), "nope" in names, "pear" in names) == (None, 7, False, True)


def test_mapping__pop_setdefault_popitem__work(names: Any) -> None:
    assert (names.pop("pear"), names.pop("pear", 1)) == (4, 1)
    assert (names.setdefault("new", 3), names.setdefault("apple", 9)) == (3, 5)
    assert names.popitem() == ("", 0)
    assert list(names) == ["Zed", "apple", "new", "éclair"]


def test_equality__with_a_dict_of_the_same__is_true(names: Any) -> None:
    assert names == {"pear": 4, "apple": 5, "Zed": 3, "éclair": 6, "": 0}


@pytest.mark.parametrize("key", [5, None, b"pear", True])
def test_key__of_another_type__raises_type_error(names: Any, key: Any) -> None:
    for use in (names.__getitem__, names.__contains__, names.get, names.__delitem__, lambda k: names.update({k: 1})):
        with pytest.raises(TypeError, match="key must be text"):
            use(key)


def test_key__text_for_an_address__raises_type_error(std: Any) -> None:
    tree = std.field(std.TreeMap[Address, std.u8]).value
    with pytest.raises(TypeError, match="key must be an Address"):
        tree["0x" + "00" * 20] = 1
    assert len(tree) == 0


def test_key__out_of_range__raises_overflow_error_and_changes_nothing(std: Any) -> None:
    tree = std.field(std.TreeMap[std.u8, std.u8]).value
    tree[1] = 1
    with pytest.raises(OverflowError):
        tree[256] = 1
    assert dict(tree) == {1: 1}


def test_value__that_cannot_be_stored__leaves_the_key_with_the_default(names: Any) -> None:
    with pytest.raises(OverflowError):
        names["bad"] = -1
    assert names["bad"] == 0


def test_get_or_insert_default__fresh__is_zero_and_live(std: Any, point: Any) -> None:
    tree = std.field(std.TreeMap[str, point]).value
    tree.get_or_insert_default("a").x = 3
    assert (tree["a"].x, tree["a"].name) == (3, "")


def test_get_or_insert_default__after_delete__may_be_the_old_record(std: Any, point: Any) -> None:
    tree = std.field(std.TreeMap[str, point]).value
    tree["a"] = point(9, "old")
    del tree["a"]
    assert tree.get_or_insert_default("b") == point(9, "old")


def test_compute_if_absent__absent__stores_and_raises_as_recorded(names: Any) -> None:
    assert names.compute_if_absent("pear", lambda: 99) == 4
    with pytest.raises(IndexError):
        names.compute_if_absent("new", lambda: 8)
    assert names["new"] == 8


def test_assignment__of_a_dict__raises_assertion_error(std: Any) -> None:
    holder = std.field(std.TreeMap[str, std.u8])
    with pytest.raises(AssertionError):
        holder.value = {"a": 1}


def test_assignment__of_a_map__copies_it(std: Any) -> None:
    holder = std.field(std.TreeMap[str, std.TreeMap[str, std.u8]])
    inner = std.storage.inmem_allocate(std.TreeMap[str, std.u8])
    inner["x"] = 1
    holder.value["a"] = inner
    holder.value["b"] = holder.value["a"]
    inner["x"] = 2
    holder.value["a"]["y"] = 3
    assert {key: dict(value) for key, value in holder.value.items()} == {"a": {"x": 1, "y": 3}, "b": {"x": 1}}


def test_assignment__of_another_type_of_map__raises_assertion_error(std: Any) -> None:
    with pytest.raises(AssertionError):
        std.field(std.TreeMap[str, std.u8]).value = std.storage.inmem_allocate(std.TreeMap[str, std.u16])


def test_assignment__of_an_empty_new_map__clears_it(std: Any) -> None:
    holder = std.field(std.TreeMap[str, std.TreeMap[str, std.u8]])
    holder.value.get_or_insert_default("k")["x"] = 1
    holder.value["k"] = std.TreeMap()
    assert dict(holder.value["k"]) == {}
    holder.value = std.TreeMap[str, std.TreeMap[str, std.u8]]()
    assert list(holder.value) == []


@pytest.mark.parametrize("argument", [{"a": 1}, {}, [("a", 1)]])
def test_tree_map__made_of_something__raises_type_error(std: Any, argument: Any) -> None:
    with pytest.raises(TypeError):
        std.TreeMap(argument)


def test_repr__nested__is_printed_without_spaces(std: Any) -> None:
    tree = std.field(std.TreeMap[str, std.DynArray[std.TreeMap[std.u8, str]]]).value
    tree.get_or_insert_default("a").append_new_get()[1] = "x"
    tree["b"] = []
    assert repr(tree) == str(tree) == "{'a':[{1:'x'}],'b':[]}"


def test_tree_map__made_by_the_user__breaks_on_first_use(std: Any) -> None:
    tree = std.TreeMap()
    with pytest.raises(AttributeError, match="_slots"):
        tree["a"]


def test_view__of_a_value__outlasts_changes_to_other_keys(std: Any, point: Any) -> None:
    tree = std.field(std.TreeMap[std.u32, point]).value
    for key in range(40):
        tree[key] = point(key, str(key))
    view = tree[20]
    for key in (*range(20), *range(21, 40)):
        del tree[key]
    tree[50] = point(1, "new")
    assert (view.x, view.name) == (20, "20")
    assert view == tree[20]


def test_calldata__of_a_map__needs_text_keys(std: Any, names: Any) -> None:
    codec = std.module("genlayer.py.calldata")
    assert codec.decode(codec.encode(names)) == dict(names)
    numbered = std.field(std.TreeMap[std.u8, std.u8]).value
    numbered[1] = 1
    with pytest.raises(TypeError, match="key is not string int"):
        codec.encode(numbered)


# --- cost ---


def test_lookup__address_key__costs_three_reads_a_level(std: Any, host: Any) -> None:
    tree = std.field(std.TreeMap[Address, std.u256]).value
    numbers = random.Random(1)
    keys = [Address(numbers.randbytes(20)) for _ in range(1000)]
    for key in keys:
        tree[key] = 1
    host.count()
    reads = []
    for key in keys:
        assert tree[key] == 1
        reads.append(host.count()[0])
    # The root, three a level but two at the last (no child is read), and the value.
    assert max(reads) <= 1 + 3 * most_depth(1000)
    assert sum(reads) / len(reads) <= 1 + 3 * math.log2(1000)


def test_overwrite__of_an_existing_key__writes_only_the_value(std: Any, host: Any) -> None:
    tree = std.field(std.TreeMap[std.u32, std.u256]).value
    for key in range(100):
        tree[key] = 1
    host.count()
    tree[77] = 2
    assert host.count()[1] == 1


def test_len__any_size__costs_one_read(std: Any, host: Any) -> None:
    tree = std.field(std.TreeMap[std.u32, std.u256]).value
    tree.update(dict.fromkeys(range(10), 1))
    host.count()
    assert len(tree) == 10
    assert host.count() == (1, 0)


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_depth__any_order_of_insertion__is_logarithmic(std: Any, order: str) -> None:
    keys = list(range(500))
    {"ascending": keys.sort, "descending": keys.reverse, "random": lambda: random.Random(2).shuffle(keys)}[order]()
    tree = std.field(std.TreeMap[std.u32, std.u8]).value
    for key in keys:
        tree[key] = 1
    assert depth(tree) <= most_depth(500)


def test_deleted_nodes__are_used_again(std: Any, host: Any) -> None:
    tree = std.field(std.TreeMap[std.u32, std.u8]).value
    for round_ in range(20):
        for key in range(10):
            tree[round_ * 100 + key] = 1
        for key in range(10):
            del tree[round_ * 100 + key]
    assert max(len(content) for content in host.slots.values()) <= 10 * 14


# --- against a dict ---


class TreeMachine(RuleBasedStateMachine):
    """TreeMap[u16, str] and a dict get the same operations; the tree stays balanced."""

    std: Any
    keys = st.integers(0, 40)

    @initialize()
    def start(self) -> None:
        self.std.host.reset()
        self.tree = self.std.field(self.std.TreeMap[self.std.u16, str]).value
        self.model: dict[int, str] = {}

    @rule(key=keys, value=st.text(max_size=2))
    def assign(self, key: int, value: str) -> None:
        self.tree[key] = value
        self.model[key] = value

    @rule(entries=st.dictionaries(st.integers(0, 40), st.text(max_size=2)))
    def update(self, entries: dict[int, str]) -> None:
        self.tree.update(entries)
        self.model.update(entries)

    @rule(key=keys)
    def delete(self, key: int) -> None:
        if key in self.model:
            del self.tree[key]
            del self.model[key]
        else:
            with pytest.raises(KeyError):
                del self.tree[key]

    @rule(keys=st.lists(st.integers(0, 40), max_size=20, unique=True))
    def delete_many(self, keys: list[int]) -> None:
        for key in keys:
            assert self.tree.pop(key, None) == self.model.pop(key, None)

    @rule(key=keys)
    def look_up(self, key: int) -> None:
        assert self.tree.get(key) == self.model.get(key)
        assert (key in self.tree) == (key in self.model)

    @rule()
    def clear(self) -> None:
        self.tree.clear()
        self.model.clear()

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "tree"):
            return
        assert dict(self.tree.items()) == self.model
        assert list(self.tree) == sorted(self.model)
        assert len(self.tree) == len(self.model)

    @invariant()
    def is_balanced(self) -> None:
        if not hasattr(self, "tree"):
            return
        for left, right, height in heights(self.tree):
            assert abs(left - right) <= 1
            assert height == 1 + max(left, right)
        assert depth(self.tree) <= most_depth(len(self.model))


def test_tree_map__any_operations__are_those_of_a_sorted_dict(std: Any) -> None:
    machine = type("BoundTreeMachine", (TreeMachine,), {"std": std})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
