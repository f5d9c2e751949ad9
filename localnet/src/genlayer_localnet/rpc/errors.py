"""Errors as JSON-RPC answers them. The codes are those of GenLayer Studio."""

from __future__ import annotations

from typing import Any, Final

from genlayer_localnet.address import keccak256
from genlayer_localnet.errors import FeesRefused

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
EXECUTION_FAILED: Final = -32000
"""Also: what is asked for is not possible in the present state."""
NOT_FOUND: Final = -32001
NO_VALIDATORS: Final = -32002


_REVERT_PARAMETERS: Final = {
    "FeeValueMustBeNonZero": "uint256",
    "MaxPriceExceeded": "uint256,uint256",
    "ExecutionBudgetExceeded": "uint256,uint256",
}
"""Of the consensus contract's errors, where they have any."""


class RpcError(Exception):
    """An error answer. ``data`` is JSON."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")

    def as_json(self) -> dict[str, Any]:
        answer = {"code": self.code, "message": self.message}
        return answer if self.data is None else {**answer, "data": self.data}


class NotYet(RpcError):
    """Refused for now: what has to come before it has not come, and may be on its way."""


def invalid_params(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message)


def not_found(message: str) -> RpcError:
    return RpcError(NOT_FOUND, message)


def refused(message: str, data: Any = None) -> RpcError:
    return RpcError(EXECUTION_FAILED, message, data)


def reverted(refusal: FeesRefused) -> RpcError:
    """What the consensus contract says, with its error's selector, by which clients know it."""
    signature = f"{refusal.name}({_REVERT_PARAMETERS.get(refusal.name, '')})"
    selector = "0x" + keccak256(signature.encode())[:4].hex()
    return refused(f"execution reverted: {refusal} ({selector})", selector)
