"""The two lines of GenVM, and which of them a contract is written for.

Its header says it: a pin of a runner that is known here, else the version in the first line. Without either it is v0.2.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from genlayer_localnet import calldata

Line = Literal["v0.2", "v0.3"]
_PINS_OF_V03: Final = (b"py-genlayer:5jycge4q",)
"""Of runners, as far as they tell: on chain 61997."""
_HEADER: Final = re.compile(rb"(?:#.*\n?)*")
_VERSION: Final = re.compile(rb"#[ \t]*v(\d{1,9})\.(\d{1,9})")
_ZIP: Final = b"PK"
_OLD_KEY, _NEW_KEY = "method", ""
METHOD_KEY: Final[dict[Line, str]] = {"v0.2": _OLD_KEY, "v0.3": _NEW_KEY}
"""Where in a call the method's name is."""
_OLD_KEY_BYTES: Final = b"\x06method"


def line_of(code: bytes) -> Line:
    """The line that code is written for, also when it could not run at all. A ZIP has no version here, only a pin."""
    header = code if code.startswith(_ZIP) else code[: _HEADER.match(code).end()]  # type: ignore[union-attr]
    if any(pin in header for pin in _PINS_OF_V03):
        return "v0.3"
    version = _VERSION.match(header)
    return "v0.3" if version is not None and (int(version[1]), int(version[2])) >= (0, 3) else "v0.2"


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
