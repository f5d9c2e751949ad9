"""Requests to the host."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol, cast

from ..py import calldata
from ..py.storage._internal.core import wasi
from ..py.types import Lazy

__all__ = ("LazyApi", "ask", "lazy_api", "tell", "trace", "trace_time_micro", "unreachable")

_NO_DATA: Final = 2**32 - 1


def tell(request: dict[str, Any]) -> bytes | None:
    """Send a request; returns the answer's bytes, or None when the host has none to give."""
    descriptor = wasi.gl_call(calldata.encode(request))
    if descriptor == _NO_DATA:
        return None
    # Looked up at the call: hosts in the same process may put a function of their own in its place.
    with os.fdopen(descriptor, "rb") as file:
        return bytes(file.read())


def ask(request: dict[str, Any]) -> bytes:
    """Send a request that has an answer."""
    answer = tell(request)
    if answer is None:
        raise RuntimeError(f"the host does not answer {next(iter(request))}")
    return answer


def unreachable(request: str) -> NoReturn:
    raise RuntimeError(f"the host went on after {request}")


class LazyApi[**P, R](Protocol):
    """A function that can also be called as ``function.lazy(…)``, which returns ``Lazy`` instead of the value."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def lazy(self, *args: P.args, **kwargs: P.kwargs) -> Lazy[R]: ...


def lazy_api[**P, R](function: Callable[P, Lazy[R]]) -> LazyApi[P, R]:
    """Make the function that gives the value at once from the one that gives ``Lazy``."""

    @functools.wraps(function)
    def eager(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs).get()

    eager.lazy = function  # type: ignore[attr-defined]  # which makes it the LazyApi
    return cast("LazyApi[P, R]", eager)


def trace(*values: object) -> None:
    """Write to the log of the GenVM, which is not part of the result."""
    tell({"Trace": {"Message": " ".join(str(value) for value in values)}})


def trace_time_micro() -> int:
    """Microseconds since the VM started; always 0 in deterministic mode."""
    return int(calldata.decode(ask({"Trace": {"RuntimeMicroSec": None}})))
