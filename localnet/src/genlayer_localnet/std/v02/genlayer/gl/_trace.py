"""Messages to the log of the GenVM."""

from __future__ import annotations

from genlayer_localnet.std.shared.requests import ask, tell

from ..py import calldata

__all__ = ("trace", "trace_time_micro")


def trace(*values: object) -> None:
    """Write to the log of the GenVM, which is not part of the result."""
    tell({"Trace": {"Message": " ".join(str(value) for value in values)}})


def trace_time_micro() -> int:
    """Microseconds since the VM started; always 0 in deterministic mode."""
    return int(calldata.decode(ask({"Trace": {"RuntimeMicroSec": None}})))
