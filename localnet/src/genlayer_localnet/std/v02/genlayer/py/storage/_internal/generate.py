"""What this line can store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from genlayer_localnet.address import Address
from genlayer_localnet.std.shared.storage.arrays import Array, DynArray, array_desc, growing_desc
from genlayer_localnet.std.shared.storage.core import TypeDesc
from genlayer_localnet.std.shared.storage.indirection import VLA, Indirection, indirection_desc
from genlayer_localnet.std.shared.storage.tree_map import TreeMap as _TreeMap
from genlayer_localnet.std.shared.storage.tree_map import tree_map_desc
from genlayer_localnet.std.shared.storage.types import ORIGINAL_INIT_ATTR, Lit, StorageTypes, only_type

__all__ = ("ORIGINAL_INIT_ATTR", "Lit", "TreeMap", "allow_storage", "build_contract_storage", "desc_of")

_REMEDIES: Final[dict[Any, str]] = {
    int: "use a sized integer such as u256, or bigint",
    list: "use DynArray",
    dict: "use TreeMap",
    bytearray: "use bytes",
    tuple: "use a dataclass with @allow_storage",
    set: "use TreeMap",
}


class TreeMap[K, V](_TreeMap[K, V]):
    __doc__ = _TreeMap.__doc__

    __slots__ = ()

    def compute_if_absent(self, key: K, make: Callable[[], V]) -> V:
        """Not usable: for a key that is absent the official library stores the value and then fails, and so does
        this one, so that a contract that uses it does not first fail on the network."""
        is_absent = key not in self
        value = super().compute_if_absent(key, make)
        if is_absent:
            raise IndexError("compute_if_absent fails on an absent key; use get and assign")
        return value


def _build_array(item: TypeDesc | Lit, count: TypeDesc | Lit) -> TypeDesc:
    if not isinstance(count, Lit) or type(count.value) is not int or count.value < 0:
        raise TypeError("the length of an Array is given as typing.Literal[number]")
    return array_desc(Array, only_type(item), count.value)


_COLLECTIONS: Final[dict[Any, Callable[..., TypeDesc]]] = {
    DynArray: lambda item: growing_desc(DynArray, only_type(item)),
    TreeMap: lambda key, value: tree_map_desc(TreeMap, only_type(key), only_type(value)),
    Array: _build_array,
    VLA: lambda item: growing_desc(VLA, only_type(item)),
    Indirection: lambda item: indirection_desc(only_type(item)),
}


class _Types(StorageTypes):
    def not_storable(self, annotation: Any, kind: Any) -> TypeError:
        if not isinstance(kind, type):
            return super().not_storable(annotation, kind)
        remedy = _REMEDIES.get(kind, "decorate it with @allow_storage")
        return TypeError(f"class is not marked for usage within storage: {annotation!r}; {remedy}")


_types: Final = _Types(Address, _COLLECTIONS)
_storage_build = _types.build
desc_of = _types.desc_of
allow_storage = _types.allow
build_contract_storage = _types.attach_contract
inmem_allocate = _types.inmem_allocate
