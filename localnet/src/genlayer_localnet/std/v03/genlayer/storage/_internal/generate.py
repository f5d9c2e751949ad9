"""What this line can store."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, Final

from genlayer_localnet.std.shared.storage import core, tree_map
from genlayer_localnet.std.shared.storage.arrays import array_desc, growing_desc
from genlayer_localnet.std.shared.storage.indirection import Indirection, indirection_desc
from genlayer_localnet.std.shared.storage.scalars import scalar
from genlayer_localnet.std.shared.storage.types import ORIGINAL_INIT_ATTR, Generics, Lit, StorageTypes

from ...types import Address
from ..views import VLA, Array, DynArray, Pickled, PickledDesc, TreeMap

__all__ = ("ORIGINAL_INIT_ATTR", "GenerationError", "Lit", "allow", "attach_contract", "desc_of", "inmem_allocate")


class GenerationError(TypeError):
    """Values of the type cannot be stored."""


_GENERIC_INIT: Final = (
    "generic storage classes can not be instantiated with __init__, please, use gl.storage.inmem_allocate"
)
_REFUSED: Final[Mapping[Any, str]] = {
    int: "use `bigint` or one of sized integers",
    list: "use `DynArray` instead of a list",
    dict: "use `TreeMap` instead of a dict",
    tuple: "Tuple types are not supported in storage, use a custom class instead",
}


def _literal_refused() -> GenerationError:
    return GenerationError("Literal types are not supported in storage")


def _only_type(desc: core.TypeDesc | Lit) -> core.TypeDesc:
    if isinstance(desc, Lit):
        raise _literal_refused()
    return desc


class _Types(StorageTypes):
    def build(self, annotation: Any, generics: Generics) -> core.TypeDesc | Lit:
        if typing.get_origin(annotation) is Pickled:  # of anything
            return scalar(PickledDesc)
        return super().build(annotation, generics)

    def not_storable(self, annotation: Any, kind: Any) -> TypeError:
        unmarked = "class is not marked for usage within storage, please, annotate it with gl.storage.allow"
        return GenerationError(_REFUSED.get(kind, unmarked))

    def not_one_type(self, literal: Any) -> TypeError:
        return _literal_refused()

    def unbound(self, owner: Any, parameter: Any) -> TypeError:
        return GenerationError(f"Unbound generic type variable `{parameter}`")

    def allowed_generic(self, cls: type) -> None:
        written: Any = cls.__init__  # type: ignore[misc]  # looked up on purpose, never called on a wrong class

        def refuse(self: object, *_: Any, **__: Any) -> None:
            raise TypeError(_GENERIC_INIT)

        setattr(refuse, ORIGINAL_INIT_ATTR, getattr(written, ORIGINAL_INIT_ATTR, written))
        cls.__init__ = refuse  # type: ignore[misc]


def _build_array(item: core.TypeDesc | Lit, count: core.TypeDesc | Lit) -> core.TypeDesc:
    if not isinstance(count, Lit) or type(count.value) is not int:
        raise GenerationError("the length of an Array is given as typing.Literal[number]")
    if count.value <= 0:
        raise GenerationError(f"Array size must be strictly positive, got {count.value}")
    return array_desc(Array, _only_type(item), count.value)


_types: Final = _Types(
    Address,
    {
        DynArray: lambda item: growing_desc(DynArray, _only_type(item)),
        TreeMap: lambda key, value: tree_map.tree_map_desc(TreeMap, _only_type(key), _only_type(value)),
        Array: _build_array,
        VLA: lambda item: growing_desc(VLA, _only_type(item)),
        Indirection: lambda item: indirection_desc(_only_type(item)),
    },
)
desc_of = _types.desc_of
allow = _types.allow
attach_contract = _types.attach_contract
inmem_allocate = _types.inmem_allocate


class _BuilderCtx:
    """The type arguments that are known where an annotation is read."""

    def __init__(self, generics: Generics) -> None:
        self.generics = generics

    @staticmethod
    def empty() -> _BuilderCtx:
        return _BuilderCtx({})


def _storage_build(context: _BuilderCtx, annotation: Any) -> core.TypeDesc | Lit:
    return _types.build(annotation, context.generics)
