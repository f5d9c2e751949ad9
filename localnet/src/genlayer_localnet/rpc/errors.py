"""Errors as JSON-RPC answers them. The codes are those of GenLayer Studio."""

from __future__ import annotations

from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
EXECUTION_FAILED: Final = -32000
"""Also: what is asked for is not possible in the present state."""
NOT_FOUND: Final = -32001
NO_VALIDATORS: Final = -32002


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
