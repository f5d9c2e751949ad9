"""Answers of a contract as frozen dataclasses: each kind names its fields and their types, and is checked against them.

Fields that an answer has beyond these are left out, so that a later contract with more of them can still be read; a
missing field or one of another type raises `UnexpectedAnswer`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from api_billing.errors import UnexpectedAnswer


class Answer:
    """Base of the dataclasses here."""

    @classmethod
    def of(cls, answer: object) -> Self:
        """Read the contract's mapping. Raises: UnexpectedAnswer."""
        read: Self = _read(cls, answer, cls.__name__)
        return read

    def as_dict(self) -> dict[str, Any]:
        """The same as mappings and lists, for JSON."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]  # every subclass is a dataclass


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: object, where: str) -> Any:
    """Check a value against a type hint of such a dataclass, and turn mappings into them."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if value is None:
            return None
        (kind,) = (each for each in get_args(kind) if each is not type(None))
        return _read(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _unexpected(where, value)
        return tuple(_read(get_args(kind)[0], each, f"{where}[{i}]") for i, each in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _unexpected(where, value)
        return dict(value)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise _unexpected(where, value)
        return _read_record(kind, value, where)
    if type(value) is not kind:
        raise _unexpected(where, value)
    return value


def _read_record(kind: Any, value: Mapping[Any, object], where: str) -> Any:
    hints = _hints(kind)
    missing = [name for name in hints if name not in value]
    if missing:
        raise UnexpectedAnswer(f"{where} has no {', '.join(missing)}")
    return kind(**{name: _read(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _unexpected(where: str, value: object) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"{where} cannot be {str(value)[:80]!r}")
