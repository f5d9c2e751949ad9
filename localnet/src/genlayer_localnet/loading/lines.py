"""The two lines of GenVM, and which of them a contract is written for.

Its header says it: a pin of a runner that is known here, else the version in the first line. Without either it is v0.2.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Line = Literal["v0.2", "v0.3"]
_PINS_OF_V03: Final = (b"py-genlayer:5jycge4q",)
"""Of runners, as far as they tell: on chain 61997."""
_HEADER: Final = re.compile(rb"(?:#.*\n?)*")
_VERSION: Final = re.compile(rb"#[ \t]*v(\d{1,9})\.(\d{1,9})")
_ZIP: Final = b"PK"


def line_of(code: bytes) -> Line:
    """The line that code is written for, also when it could not run at all. A ZIP has no version here, only a pin."""
    header = code if code.startswith(_ZIP) else code[: _HEADER.match(code).end()]  # type: ignore[union-attr]
    if any(pin in header for pin in _PINS_OF_V03):
        return "v0.3"
    version = _VERSION.match(header)
    return "v0.3" if version is not None and (int(version[1]), int(version[2])) >= (0, 3) else "v0.2"
