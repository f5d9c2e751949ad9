"""Lines and files of access logs for the tests."""

import gzip
from pathlib import Path

NOON = 1_769_860_800  # 31 January 2026, 12:00:00 UTC


def line(
    client: str = "192.0.2.7",
    time: str = "31/Jan/2026:12:00:00 +0000",
    request: str = "GET /forecast/today HTTP/1.1",
    status: str = "200",
    size: str = "512",
    tail: str = ' "-" "curl/8.5"',
    user: str = "-",
) -> bytes:
    """Return a line of the combined format without its end; a part that matters to the test is passed in."""
    return f'{client} - {user} [{time}] "{request}" {status} {size}{tail}'.encode()


def write_log(path: Path, *lines: bytes, packed: bool = False) -> Path:
    """Write the lines with their ends, as a gz where ``packed``."""
    text = b"".join(one + b"\n" for one in lines)
    path.write_bytes(gzip.compress(text) if packed else text)
    return path
