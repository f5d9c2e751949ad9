"""What a running contract uses: its message, base classes and decorators, other contracts, nondeterminism.

Importing this module reads the message from file descriptor 0, once and up to its end. ``message`` and ``message_raw``
are set anew by the host before every call, so they have to be looked up here each time: ``gl.message``.
"""

from typing import Any

from genlayer_localnet.std.shared.annotations import private, public
from genlayer_localnet.std.shared.keccak import Keccak256

from ..py import calldata
from ..py import types as _types
from ..py.storage import Array, DynArray, TreeMap, allow_storage
from ..py.types import *  # noqa: F403 - the sized integers, Address and Lazy, listed in __all__ of the module
from . import advanced, annotations, eq_principle, evm, nondet, storage, vm
from ._message import MessageRawType, MessageType, read_message
from ._trace import trace, trace_time_micro
from .events import Event
from .genvm_contracts import Contract, ContractProxy, contract_interface, deploy_contract, get_contract_at

__all__ = (
    *_types.__all__,
    "Array",
    "Contract",
    "ContractProxy",
    "DynArray",
    "Event",
    "Keccak256",
    "MessageRawType",
    "MessageType",
    "TreeMap",
    "advanced",
    "allow_storage",
    "annotations",
    "calldata",
    "contract_interface",
    "deploy_contract",
    "eq_principle",
    "evm",
    "get_contract_at",
    "message",
    "message_raw",
    "nondet",
    "private",
    "public",
    "storage",
    "trace",
    "trace_time_micro",
    "vm",
)

message: MessageType
"""Who calls whom, with which value."""
message_raw: MessageRawType
"""The whole message, with ``datetime`` and what only the host needs."""

_received = read_message()
if _received is not None:
    message_raw, message = _received
del _received


def __getattr__(name: str) -> Any:
    if name in ("message", "message_raw"):
        raise AttributeError(f"gl.{name}: no message was given to this process")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
