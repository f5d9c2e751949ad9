"""What contracts do with each other, in every line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from genlayer_localnet.address import Address, keccak256

__all__ = ("call_object", "create2_address", "declared_functions", "is_unpickled_class", "positive_value")


def call_object(key: str, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call as calldata has it, with the method's name under ``key``; what is empty is left out."""
    call: dict[str, Any] = {}
    if method is not None:
        call[key] = method
    if args:
        call["args"] = list(args)
    if kwargs:
        call["kwargs"] = dict(kwargs)
    return call


def positive_value(value: int) -> int:
    """Raises: ValueError."""
    if value <= 0:
        raise ValueError("value must be greater than 0 for emit_transfer")
    return value


def declared_functions(declaration: type, group: str) -> list[tuple[str, Callable[..., Any]]]:
    """The functions in a nested class of an interface, which may be absent."""
    methods = getattr(declaration, group, None)
    if methods is None:
        return []
    return [(name, value) for name, value in vars(methods).items() if callable(value) and not name.startswith("__")]


def create2_address(contract_address: Address, salt_nonce: int, chain_id: int) -> Address:
    """The address at which a contract deployed by ``contract_address`` with this salt will be."""
    return Address(
        keccak256(b"\x01" + contract_address.as_bytes + salt_nonce.to_bytes(32, "big") + chain_id.to_bytes(32, "big"))[
            : Address.SIZE
        ]
    )


def is_unpickled_class() -> bool:
    """Whether the class that is being made comes from cloudpickle, for an ``__init_subclass__`` to ask.

    It is still empty then, and what it gets afterwards has all that ``__init_subclass__`` gave the original.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_make_skeleton_class":
            return str(frame.f_globals.get("__name__", "")).startswith("cloudpickle")
        if frame.f_code.co_name == "<module>":
            return False
        frame = frame.f_back
    return False
