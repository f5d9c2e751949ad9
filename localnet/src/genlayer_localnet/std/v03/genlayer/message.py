"""The message: what the host says about the call. Every key of ``raw`` is also a name of this module.

Importing it reads the message from file descriptor 0. The host puts another one in its place before every call, so
that names which are imported from here are those of one call.
"""

from __future__ import annotations

from typing import Any

from genlayer_localnet.std.shared.message import read_message

from .calldata import decode
from .types import Address

contract_address: Address
sender_address: Address
"""Who called: an account, or the contract that emitted the message."""
origin_address: Address
"""The account at the beginning of the chain of calls."""
signer_address: Address
stack: list[Address]
"""The contracts whose views are waiting for this one's result."""
value: int
"""In wei."""
datetime: str
"""RFC 3339, UTC."""
is_init: bool
chain_id: int
entry_kind: int
"""0 for a call, 1 in a sandbox, 2 in a nondeterministic block."""
entry_data: bytes
entry_stage_data: Any

raw: dict[str, Any]
"""The whole message."""

_received = read_message(decode)
if _received is not None:
    raw = _received
    globals().update(_received)
del _received


def __getattr__(name: str) -> Any:
    if name in __annotations__:
        raise AttributeError(f"gl.message.{name}: no message was given to this process")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
