"""Under which key a call has the method's name: each line of GenVM reads it from its own."""

from __future__ import annotations

from typing import Any, Final

from genlayer_localnet import calldata
from genlayer_localnet.loading.lines import Line

_OLD_KEY, _NEW_KEY = "method", ""
METHOD_KEY: Final[dict[Line, str]] = {"v0.2": _OLD_KEY, "v0.3": _NEW_KEY}
"""Where in a call the method's name is."""
_OLD_KEY_BYTES: Final = b"\x06method"


def for_line(call: bytes, line: Line) -> bytes:
    """A call with the method's name under the key that the line reads it from, where it is under the other one's."""
    return _renamed(call, _OLD_KEY, _NEW_KEY) if line == "v0.3" else for_executor(call, line)


def for_executor(call: bytes, line: Line) -> bytes:
    """As ``for_line``, as far as executors themselves go: they give the older line's contracts the older key."""
    return _renamed(call, _NEW_KEY, _OLD_KEY) if line == "v0.2" else call


def method_of(call: dict[str, Any]) -> Any:
    """The method's name in a decoded call, under whichever key; None where there is none."""
    return call.get(_NEW_KEY, call.get(_OLD_KEY))


def _renamed(call: bytes, key: str, wanted: str) -> bytes:
    # The empty key is the first one: its length, zero, follows the map's.
    if call[1:2] != b"\0" if key == _NEW_KEY else _OLD_KEY_BYTES not in call:
        return call
    try:
        decoded = calldata.decode(call)
    except ValueError:
        return call
    if not isinstance(decoded, dict) or key not in decoded or wanted in decoded:
        return call
    decoded[wanted] = decoded.pop(key)
    return calldata.encode(decoded)
