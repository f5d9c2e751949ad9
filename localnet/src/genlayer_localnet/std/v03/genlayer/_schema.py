"""The schema of a contract: its constructor and public methods with the types of what goes in and comes out."""

from __future__ import annotations

import typing
from typing import Any, Final

from genlayer_localnet.std.shared.schema import Schema

from .storage import Array, DynArray, TreeMap

__all__ = ("get_schema",)

_BARE: Final[dict[Any, str]] = {DynArray: "array", Array: "array", TreeMap: "dict"}


class _Schema(Schema):
    def describe(self, annotation: Any) -> Any:
        if isinstance(annotation, typing.NewType):
            return self.describe(annotation.__supertype__)
        if typing.get_origin(annotation) is typing.Literal:
            kinds = {type(value) for value in typing.get_args(annotation)}
            return self.describe(kinds.pop()) if len(kinds) == 1 else "any"
        if isinstance(annotation, type) and annotation in _BARE:
            return _BARE[annotation]
        return super().describe(annotation)


_schema: Final = _Schema()
get_schema = _schema.of
