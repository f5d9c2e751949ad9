"""``TreeMap``: a map in storage, kept as a balanced (AVL) tree of nodes in one slot.

In place are four u32: the root's number, how many nodes there are, the first free node, how many are free. Node ``n``
(from 1; 0 is none) holds the numbers of its left and right child, its height, its key and its value. Freed nodes are
chained by their left child. Nodes are linked anew, never moved, so views of values outlast changes to other keys.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from typing import Any

from .core import Slot, TypeDesc, same_place

__all__ = ("TreeMap", "tree_map_desc")

_HEADER = struct.Struct("<IIII")
_NODE = struct.Struct("<IIB")
_NODES_AT = 4
_LEFT, _RIGHT = 0, 4
_new = object.__new__
_from_bytes = int.from_bytes
# From the root to a node: the numbers of its ancestors, and which child of each comes next.
type _Path = list[tuple[int, int]]


class _Keys[K, V](KeysView[K]):
    _mapping: TreeMap[K, V]


class _Items[K, V](ItemsView[K, V]):
    _mapping: TreeMap[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._walk(lambda key, value: (key(), value()))


class _Values[K, V](ValuesView[V]):
    _mapping: TreeMap[K, V]

    def __iter__(self) -> Iterator[V]:
        return self._mapping._walk(lambda _key, value: value())


class TreeMap[K, V](MutableMapping[K, V]):
    """A map in storage, iterated in the order of its keys: code points, bytes or numbers.

    Reading a record or a collection gives a live view, assigning one copies it. What was deleted is not zeroed:
    ``get_or_insert_default`` can return it. Changing the map while iterating over it has no defined outcome.
    """

    __slots__ = ("_desc", "_off", "_slot", "_slots")

    _desc: _TreeMapDesc
    _off: int
    _slot: Slot
    _slots: Slot  # of the nodes

    # --- reading ---

    def _find(self, key: K) -> int:
        """The offset of the key's node, or -1."""
        nodes, desc = self._slots, self._desc
        slot, off = self._slot, self._off
        node = _from_bytes(slot.read(off, 4), "little")
        if not node:
            return -1
        wanted, read, size = desc.key.comparable(key), desc.key.read_comparable, desc.node_size
        while node:
            # The node's number is checked against their count, as every index into storage is.
            if node > _from_bytes(slot.read(off + _NODES_AT, 4), "little"):
                raise RuntimeError(f"no node {node} in the tree")
            at = (node - 1) * size
            found = read(nodes, at + _NODE.size)
            if wanted == found:
                return at
            node = _from_bytes(nodes.read(at + (_LEFT if wanted < found else _RIGHT), 4), "little")
        return -1

    def __getitem__(self, key: K) -> V:
        at = self._find(key)
        if at < 0:
            raise KeyError
        value: V = self._desc.value.get(self._slots, at + self._desc.value_at)
        return value

    def __contains__(self, key: object) -> bool:
        return self._find(key) >= 0  # type: ignore[arg-type]  # a key of another type raises TypeError

    def get(self, key: K, default: Any = None) -> Any:
        at = self._find(key)
        return default if at < 0 else self._desc.value.get(self._slots, at + self._desc.value_at)

    def __len__(self) -> int:
        nodes, _, free = struct.unpack("<III", self._slot.read(self._off + _NODES_AT, 12))
        return int(nodes - free)

    def _walk[R](self, make: Callable[[Callable[[], K], Callable[[], V]], R]) -> Iterator[R]:
        """Go through the nodes in order; ``make`` gets functions that read the node's key and its value."""
        desc, nodes = self._desc, self._slots
        above: list[tuple[int, int]] = []
        node = self._root()
        while node or above:
            while node:
                at = (node - 1) * desc.node_size
                left, right, _ = _NODE.unpack(nodes.read(at, _NODE.size))
                above.append((at, right))
                node = left
            at, node = above.pop()
            yield make(
                functools.partial(desc.key.get, nodes, at + _NODE.size),
                functools.partial(desc.value.get, nodes, at + desc.value_at),
            )

    def __iter__(self) -> Iterator[K]:
        return self._walk(lambda key, _value: key())

    def keys(self) -> KeysView[K]:
        return _Keys(self)

    def items(self) -> ItemsView[K, V]:
        return _Items(self)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def __to_calldata__(self) -> dict[K, V]:
        return dict(self.items())

    def __repr__(self) -> str:
        return f"{{{','.join(f'{key!r}:{value!r}' for key, value in self.items())}}}"

    # --- writing ---

    def __setitem__(self, key: K, value: V) -> None:
        at, _ = self._find_or_insert(key)
        # If this fails, the key stays with what is at its place: recorded of the official library.
        self._desc.value.set(self._slots, at + self._desc.value_at, value)

    def __delitem__(self, key: K) -> None:
        node, path = self._trace(key)
        if not node:
            raise KeyError("key not found")
        left, right, _ = self._node(node)
        if left and right:
            self._replace_by_successor(node, path)
        else:
            self._link(path, left or right)
        self._rebalance(path)
        self._free(node)

    def clear(self) -> None:
        self._slot.write(self._off, bytes(_HEADER.size))

    def get_or_insert_default(self, key: K) -> V:
        """The key's value, which is zero, or what was deleted at its place, when there was none."""
        at, _ = self._find_or_insert(key)
        value: V = self._desc.value.get(self._slots, at + self._desc.value_at)
        return value

    def compute_if_absent(self, key: K, make: Callable[[], V], /) -> V:
        """The key's value, which is made when there was none."""
        at, inserted = self._find_or_insert(key)
        if inserted:
            self._desc.value.set(self._slots, at + self._desc.value_at, make())
        value: V = self._desc.value.get(self._slots, at + self._desc.value_at)
        return value

    # --- the tree ---

    def _root(self) -> int:
        return _from_bytes(self._slot.read(self._off, 4), "little")

    def _node(self, node: int) -> tuple[int, int, int]:
        """The left child, the right child and the height of a node."""
        return _NODE.unpack(self._slots.read((node - 1) * self._desc.node_size, _NODE.size))

    def _set_node(self, node: int, left: int, right: int, height: int) -> None:
        self._slots.write((node - 1) * self._desc.node_size, _NODE.pack(left, right, height))

    def _height(self, node: int) -> int:
        return self._node(node)[2] if node else 0

    def _trace(self, key: K) -> tuple[int, _Path]:
        """The key's node, or 0, and the path to where it is or would be."""
        desc, nodes = self._desc, self._slots
        path: _Path = []
        node = self._root()
        if not node:
            return 0, path
        wanted, read, size = desc.key.comparable(key), desc.key.read_comparable, desc.node_size
        slot, count_at = self._slot, self._off + _NODES_AT
        while node:
            if node > _from_bytes(slot.read(count_at, 4), "little"):
                raise RuntimeError(f"no node {node} in the tree")
            at = (node - 1) * size
            found = read(nodes, at + _NODE.size)
            if wanted == found:
                return node, path
            side = _LEFT if wanted < found else _RIGHT
            path.append((node, side))
            node = _from_bytes(nodes.read(at + side, 4), "little")
        return 0, path

    def _find_or_insert(self, key: K) -> tuple[int, bool]:
        """The offset of the key's node, and whether it was added."""
        node, path = self._trace(key)
        if node:
            return (node - 1) * self._desc.node_size, False
        self._desc.key.comparable(key)
        _, count, free, free_count = _HEADER.unpack(self._slot.read(self._off, _HEADER.size))
        node = free or count + 1
        at = (node - 1) * self._desc.node_size
        next_free = self._node(node)[0] if free else 0
        # The key first: if it is out of range nothing has changed.
        self._desc.key.set(self._slots, at + _NODE.size, key)
        self._slots.write(at, _NODE.pack(0, 0, 1))
        if free:
            self._slot.write(self._off + 8, struct.pack("<II", next_free, free_count - 1))
        else:
            self._slot.write(self._off + _NODES_AT, node.to_bytes(4, "little"))
        self._link(path, node)
        self._rebalance(path)
        return at, True

    def _free(self, node: int) -> None:
        _, _, free, free_count = _HEADER.unpack(self._slot.read(self._off, _HEADER.size))
        self._slots.write((node - 1) * self._desc.node_size, free.to_bytes(4, "little"))
        self._slot.write(self._off + 8, struct.pack("<II", node, free_count + 1))

    def _link(self, path: _Path, node: int) -> None:
        """Make the node the child that the path leads to."""
        if path:
            parent, side = path[-1]
            self._slots.write((parent - 1) * self._desc.node_size + side, node.to_bytes(4, "little"))
        else:
            self._slot.write(self._off, node.to_bytes(4, "little"))

    def _replace_by_successor(self, node: int, path: _Path) -> None:
        """Take the node with the next key out of its place and put it in the node's; the path then leads to where
        it was taken out."""
        position = len(path)
        path.append((node, _RIGHT))
        successor = self._node(node)[1]
        left, right, _ = self._node(successor)
        while left:
            path.append((successor, _LEFT))
            successor = left
            left, right, _ = self._node(successor)
        self._link(path, right)
        self._set_node(successor, *self._node(node))
        self._link(path[:position], successor)
        path[position] = (successor, _RIGHT)

    def _rebalance(self, path: _Path) -> None:
        """Restore heights and balance from the end of the path up, as far as something changed."""
        while path:
            node, _ = path.pop()
            left, right, height = self._node(node)
            left_height, right_height = self._height(left), self._height(right)
            if abs(left_height - right_height) > 1:
                top = self._rotate(node, left, right, left_height > right_height)
                self._link(path, top)
                if self._height(top) == height:
                    return
                continue
            new_height = 1 + max(left_height, right_height)
            if new_height == height:
                return
            self._set_node(node, left, right, new_height)

    def _rotate(self, node: int, left: int, right: int, left_heavy: bool) -> int:
        """Make the higher child, or its inner child if that is the higher one, the top, and return it."""
        child = left if left_heavy else right
        outer, inner = self._sides(child, left_heavy)
        if self._height(inner) <= self._height(outer):
            self._join(node, inner, right if left_heavy else left, left_heavy)
            self._join(child, outer, node, left_heavy)
            return child
        inner_near, inner_far = self._sides(inner, left_heavy)
        self._join(child, outer, inner_near, left_heavy)
        self._join(node, inner_far, right if left_heavy else left, left_heavy)
        self._join(inner, child, node, left_heavy)
        return inner

    def _sides(self, node: int, left_heavy: bool) -> tuple[int, int]:
        left, right, _ = self._node(node)
        return (left, right) if left_heavy else (right, left)

    def _join(self, node: int, near: int, far: int, left_heavy: bool) -> None:
        left, right = (near, far) if left_heavy else (far, near)
        self._set_node(node, left, right, 1 + max(self._height(left), self._height(right)))


class _TreeMapDesc(TypeDesc):
    size = _HEADER.size
    plain = False

    def __init__(self, view: type[TreeMap[Any, Any]], key: TypeDesc, value: TypeDesc) -> None:
        self.view = view
        self.key = key
        self.value = value
        self.value_at = _NODE.size + key.size
        self.node_size = self.value_at + value.size

    def get(self, slot: Slot, off: int) -> Any:
        view: TreeMap[Any, Any] = _new(self.view)
        view._slot = slot
        view._off = off
        view._desc = self
        view._slots = slot.indirect(off + _NODES_AT)
        return view

    def set(self, slot: Slot, off: int, value: Any) -> None:
        if type(value) is self.view and not hasattr(value, "_desc"):  # TreeMap(): all that it is good for
            self.get(slot, off).clear()
            return
        if type(value) is not self.view or value._desc is not self:
            raise AssertionError(f"cannot assign {type(value).__name__} to a TreeMap of this type")
        if not same_place(slot, off, value._slot, value._off):
            self.copy(slot, off, value._slot, value._off)

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        header = source.read(source_off, _HEADER.size)
        to.write(to_off, header)
        count = _HEADER.unpack(header)[1]
        to_nodes, nodes = to.indirect(to_off + _NODES_AT), source.indirect(source_off + _NODES_AT)
        for at in range(0, count * self.node_size, self.node_size):
            to_nodes.write(at, nodes.read(at, _NODE.size))
            self.key.copy(to_nodes, at + _NODE.size, nodes, at + _NODE.size)
            self.value.copy(to_nodes, at + self.value_at, nodes, at + self.value_at)

    def __reduce__(self) -> tuple[Any, ...]:
        return (tree_map_desc, (self.view, self.key, self.value))


@functools.cache
def tree_map_desc(view: type[TreeMap[Any, Any]], key: TypeDesc, value: TypeDesc) -> TypeDesc:
    """The one descriptor of this view of such a map."""
    return _TreeMapDesc(view, key, value)
