"""One line of an access log in Apache's common or combined format.

    203.0.113.7 - - [31/Jan/2026:23:59:58 +0000] "GET /forecast/today HTTP/1.1" 200 512 "-" "curl/8.5"

Everything after the size (referer, user agent, what a server adds) may be missing and is not read. All patterns work in
time linear in the length of the line, whatever the line holds.
"""

import re
import sys
from datetime import date
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from demo.api_name import api_of

PLAUSIBLE_YEARS: Final = range(1990, 3000)

_LINE: Final = re.compile(
    rb"(?P<client>\S++) \S++ .+? \[(?P<time>[^\[\]]{1,64}+)\] "
    rb'"(?P<request>(?:[^"\\]++|\\.)*+)" (?P<status>\S++) (?P<size>\S++)(?: .*+)?',
    re.DOTALL,
)
_TIME: Final = re.compile(rb"(\d\d/[A-Z][a-z]{2}/\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_REQUEST: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^ ].*?)(?: (HTTP/\d(?:\.\d)?))?", re.DOTALL)
_ORIGIN: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^/?#]*")
_AUTHORITY: Final = re.compile(rb"[0-9A-Za-z._:\[\]-]{1,255}")
_CLIENT: Final = re.compile(r"[0-9a-z._:%\[\]-]{1,255}")
_HOST_NAME: Final = re.compile(r"[0-9a-z_](?:[0-9a-z._-]{0,252}[0-9a-z_-])?")
_ESCAPE: Final = re.compile(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\nrtbfv]))')
_NOT_IN_PATHS: Final = re.compile(rb"[\x00-\x20\x7f]")
_HIGH_BYTE: Final = re.compile(rb"[\x80-\xff]")
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_MONTHS: Final = {
    name: number + 1 for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
}
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_MAX_SIZE_DIGITS: Final = 19


class AccessEntry(NamedTuple):
    """One request of the log.

    ``at`` is in UTC unix seconds. ``client`` is an address in its canonical form (an IPv4 address mapped into IPv6 is
    the IPv4 address) or a host name in lower case. ``path`` is without query; bytes that a URL cannot hold are
    percent-encoded. ``size_bytes`` is None where the server wrote ``-``.
    """

    line_no: int
    at: int
    client: str
    method: str
    path: str
    status: int
    size_bytes: int | None

    @property
    def api(self) -> str:
        """The API that the request is billed to, see `api_of`."""
        return api_of(self.path)

    @property
    def day_id(self) -> int:
        """The UTC day as the contract counts it."""
        return self.at // _DAY_SECONDS


class LineError(Exception):
    """A line that is skipped, and why. ``is_layout`` is False where the line is one of an access log for all that."""

    def __init__(self, reason: str, *, is_layout: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_layout = is_layout


def parse_line(line: bytes, line_no: int) -> AccessEntry:
    """Parse one line without its line end.

    Raises: LineError, and nothing else whatever the bytes are.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise LineError(_why_not_a_log_line(line), is_layout=True)
    raw_client, raw_time, request, status, size = match.groups()
    at = _parse_time(raw_time)
    client = _parse_client(raw_client)
    if len(status) != 3 or not status.isdigit():
        raise LineError(f"the status {_shown(status)} is not three digits", is_layout=True)
    if size != b"-" and not (size.isdigit() and len(size) <= _MAX_SIZE_DIGITS):
        raise LineError(f"the size {_shown(size)} is neither a number nor -", is_layout=True)
    method, path = _parse_request(request)
    return AccessEntry(line_no, at, client, method, path, int(status), None if size == b"-" else int(size))


def _why_not_a_log_line(line: bytes) -> str:
    if b"\x00" in line:
        return "it holds NUL bytes: a crash while it was written, or not text"
    head, bracket, rest = line.partition(b" [")
    if not bracket or b"] " not in rest:
        return "there is no time in square brackets"
    if len(head.split(b" ")) < 3:
        return "client, identity and user are not all there"
    _, quote, request = rest.partition(b'] "')
    if not quote:
        return "there is no request in quotes after the time"
    if not re.match(rb'(?:[^"\\]++|\\.)*+"', request, re.DOTALL):
        return "the request has no closing quote: the line is cut off"
    return "status and size do not follow the request"


def _parse_time(raw: bytes) -> int:
    match = _TIME.fullmatch(raw)
    if match is None:
        raise LineError(f"the time {_shown(raw)} is not like 31/Jan/2026:23:59:58 +0000", is_layout=True)
    day, *numbers, sign, zone_hours, zone_minutes = match.groups()
    hours, minutes, seconds = (int(number) for number in numbers)
    if hours > 23 or minutes > 59 or seconds > 60:
        raise LineError(f"there is no such time of day: {_shown(raw)}", is_layout=True)
    if int(zone_hours) > 14 or int(zone_minutes) > 59:
        raise LineError(f"there is no such time zone: {_shown(raw)}", is_layout=True)
    zone_seconds = int(zone_hours) * 3600 + int(zone_minutes) * 60
    # A leap second is read as the second before it, so that it stays on its day.
    at = _midnight(day) + hours * 3600 + minutes * 60 + min(seconds, 59)
    at += zone_seconds if sign == b"-" else -zone_seconds
    if seconds == 60 and at % _DAY_SECONDS != _DAY_SECONDS - 1:
        raise LineError(f"a leap second is at 23:59:60 UTC only: {_shown(raw)}", is_layout=True)
    return at


@lru_cache(maxsize=128)
def _midnight(day: bytes) -> int:
    day_of_month, month_name, year = day.split(b"/")
    month = _MONTHS.get(month_name)
    if month is None:
        raise LineError(f"there is no month {_shown(month_name)}", is_layout=True)
    if int(year) not in PLAUSIBLE_YEARS:
        raise LineError(f"the year {_shown(year)} cannot be that of an access log", is_layout=True)
    try:
        ordinal = date(int(year), month, int(day_of_month)).toordinal()
    except ValueError:
        raise LineError(f"there is no such date: {_shown(day)}", is_layout=True) from None
    return (ordinal - _EPOCH_ORDINAL) * _DAY_SECONDS


@lru_cache(maxsize=65_536)
def _parse_client(raw: bytes) -> str:
    text = raw.decode("latin-1").lower()
    if _CLIENT.fullmatch(text):
        try:
            address = ip_address(text.removeprefix("[").removesuffix("]"))
        except ValueError:
            name = text.removesuffix(".")
            # A host name cannot end in a number; this is how 300.1.2.3 or a line of figures is told from one.
            if _HOST_NAME.fullmatch(name) and not name.rpartition(".")[2].isdigit():
                return sys.intern(name)
        else:
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            return sys.intern(str(mapped or address))
    raise LineError(f"the client {_shown(raw)} is neither an address nor a host name", is_layout=True)


def _parse_request(raw: bytes) -> tuple[str, str]:
    match = _REQUEST.fullmatch(raw.strip(b" "))
    if match is None:
        raise LineError(_why_not_a_request(raw), is_layout=False)
    method, target, version = match.groups()
    if version is None and method != b"GET":
        raise LineError(f"the request {_shown(raw)} has no HTTP version", is_layout=False)
    return sys.intern(method.decode("ascii")), _parse_target(method, target.rstrip(b" "))


def _why_not_a_request(raw: bytes) -> str:
    if raw in (b"", b"-"):
        return "no request was sent on the connection"
    if raw.startswith((b"\\x16\\x03", b"\x16\x03")):
        return "the request is a TLS handshake on a port without TLS"
    return f"the request {_shown(raw)} is not HTTP"


def _parse_target(method: bytes, target: bytes) -> str:
    if b"\\" in target:
        target = _ESCAPE.sub(_unescape, target)
    if not target.startswith(b"/"):
        origin = _ORIGIN.match(target)
        if origin:
            rest = target[origin.end() :]
            target = rest if rest.startswith(b"/") else b"/" + rest
        elif target != b"*" and not (method == b"CONNECT" and _AUTHORITY.fullmatch(target)):
            raise LineError(f"the request asks for {_shown(target)}, which is no path", is_layout=False)
    path = target.partition(b"?")[0].partition(b"#")[0]
    path = _NOT_IN_PATHS.sub(_percent_encode, path)
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = _HIGH_BYTE.sub(_percent_encode, path).decode("ascii")
    return sys.intern(text)


def _unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, character = match.groups()
    return bytes([int(hexadecimal, 16)]) if hexadecimal else _ESCAPED.get(character, character)


def _percent_encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match.group()[0]


def _shown(raw: bytes, limit: int = 40) -> str:
    """Return the bytes as short, printable ASCII for a message."""
    cut = raw[:limit]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in cut)
    return f"'{text}...'" if len(raw) > limit else f"'{text}'"
