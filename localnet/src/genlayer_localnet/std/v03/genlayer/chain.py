"""What is on the chain: accounts, events, its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from genlayer_localnet.std.shared import events as _events
from genlayer_localnet.std.shared.contracts import positive_value
from genlayer_localnet.std.shared.requests import wasi

from . import calldata, message
from ._requests import post
from .types import Address

__all__ = ("ON", "Account", "Event", "IAccount", "InternalMessageParams", "id")

type ON = Literal["decided", "finalized"]
"""The phase of the emitting transaction in which a message is sent."""

id: int
"""The chain's number."""


def __getattr__(name: str) -> Any:
    if name == "id":
        return message.chain_id
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass
class InternalMessageParams:
    """What a message's transaction may cost."""

    leader_timeunits_allocation: int
    validator_timeunits_allocation: int
    execution_budget_per_round: int
    rotations: list[int]
    max_price_gen_per_time_unit: int
    storage_fee_max_gas_price: int
    receipt_fee_max_gas_price: int


@runtime_checkable
class IAccount(Protocol):
    """What has an address and a balance, and can be paid."""

    @property
    def address(self) -> Address: ...

    @property
    def balance(self) -> int: ...

    def emit_transfer(self, value: int, /, *, on: ON = "finalized") -> None: ...


class Account:
    """Any account, by its address."""

    __slots__ = ("_address",)

    def __init__(self, address: Address) -> None:
        if not isinstance(address, Address):
            raise TypeError("address expected")
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    @property
    def balance(self) -> int:
        """In wei, as of before this call."""
        return int(wasi.get_balance(self._address.as_bytes))

    def emit_transfer(self, value: int, *, on: ON = "finalized") -> None:
        """Send value in an internal message, without a method name.

        Raises:
            ValueError: when the value is not positive.
        """
        post(self._address, {}, positive_value(value), on)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"


class Event(_events.BaseEvent):
    __doc__ = (_events.BaseEvent.__doc__ or "").replace("Event)", "gl.chain.Event)")

    _needs_self = True

    @staticmethod
    def _encode(value: Any) -> bytes:
        return calldata.encode(value)

    @staticmethod
    def emit_raw(topics: Sequence[bytes], blob: Mapping[str, Any]) -> None:
        """Announce an event with ready topics: up to four, of 32 bytes each."""
        _events.emit_raw(topics, blob, calldata.encode)
