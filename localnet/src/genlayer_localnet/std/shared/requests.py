"""Requests to the host."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, Final, NoReturn

from genlayer_localnet import calldata

__all__ = ("HAS_HOST", "ask", "tell", "unreachable", "wasi")

_NO_DATA: Final = 2**32 - 1

# Any: what the host puts there is a module made at run time.
wasi: Any
HAS_HOST: bool
try:
    wasi, HAS_HOST = importlib.import_module("_genlayer_wasi"), True
except ImportError:

    class _NoHost:
        """Schemas and records in memory need no host; what does says what is missing."""

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"there is no GenVM host here that could do {name}")

    wasi, HAS_HOST = _NoHost(), False


def tell(request: dict[str, Any], encode: Callable[[Any], bytes] = calldata.encode) -> bytes | None:
    """Send a request; returns the answer's bytes, or None when the host has none to give."""
    descriptor = wasi.gl_call(encode(request))
    if descriptor == _NO_DATA:
        return None
    # Looked up at the call: hosts in the same process may put a function of their own in its place.
    with os.fdopen(descriptor, "rb") as file:
        return bytes(file.read())


def ask(request: dict[str, Any], encode: Callable[[Any], bytes] = calldata.encode) -> bytes:
    """Send a request that has an answer."""
    answer = tell(request, encode)
    if answer is None:
        raise RuntimeError(f"the host does not answer {next(iter(request))}")
    return answer


def unreachable(request: str) -> NoReturn:
    raise RuntimeError(f"the host went on after {request}")
