"""The message: what the host says about the call."""

from __future__ import annotations

import typing
from typing import Any, NamedTuple

from genlayer_localnet.address import Address
from genlayer_localnet.std.shared import message as shared

from ..py import calldata
from ..py.types import u256

__all__ = ("MessageRawType", "MessageType", "current_message", "read_message")


class MessageType(NamedTuple):
    contract_address: Address
    sender_address: Address
    """Who called: an account, or the contract that emitted the message."""
    origin_address: Address
    """The account at the beginning of the chain of calls."""
    value: u256
    """In wei."""
    chain_id: u256


class MessageRawType(typing.TypedDict):
    contract_address: Address
    sender_address: Address
    origin_address: Address
    stack: list[Address]
    """The contracts whose views are waiting for this one's result."""
    value: int
    datetime: str
    """ISO 8601, UTC."""
    is_init: bool
    chain_id: int
    entry_kind: int
    entry_data: bytes
    entry_stage_data: Any


def read_message() -> tuple[MessageRawType, MessageType] | None:
    """Read the message; None when there is no message to be read."""
    raw = shared.read_message(calldata.decode)
    if raw is None:
        return None
    message = MessageType(
        contract_address=raw["contract_address"],
        sender_address=raw["sender_address"],
        origin_address=raw["origin_address"],
        value=u256(raw["value"]),
        chain_id=u256(raw["chain_id"]),
    )
    return typing.cast(MessageRawType, raw), message


def current_message() -> MessageType:
    """The message of the call that runs now."""
    from .. import gl

    return gl.message
