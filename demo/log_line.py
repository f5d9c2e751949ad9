"""One line of an access log in Apache's common or combined format.

    203.0.113.7 - - [31/Jan/2026:23:59:58 +0000] "GET /forecast/today HTTP/1.1" 200 512 "-" "curl/8.5"

Everything after the size (referer, user agent, what a server adds) may be missing. Of it only an X-Forwarded-For is
read, where it is asked for. What other programs are known to put in front of a line, and a virtual host in front of the
client, are skipped. A line that leaves a doubt about who the client is, is a bad one: nobody pays for somebody else.

All patterns work in time linear in the length of the line, whatever the line holds.
"""

import re
import sys
from datetime import date
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, NamedTuple

from demo.api_name import api_of

PLAUSIBLE_YEARS: Final = range(1990, 3000)

Forwarded = Literal["first", "last"]
"""Which address of an X-Forwarded-For is the client: what it says of itself, or what the nearest proxy has seen."""

ISO_TIME: Final = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
QUOTED: Final = rb'"((?:[^"\\]++|\\.)*+)"'

_LINE: Final = re.compile(
    rb"(.+?) \[([^\[\]]{1,64}+)\] " + QUOTED + rb" (\S++) (\S++)(?: (.*+))?",
    re.DOTALL,
)
# The request of another record in what follows the size: the end of the first and the start of the other got lost.
_ANOTHER_RECORD: Final = re.compile(rb'\[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:]{8} [+-]\d{4}\] "[^" ]')
_QUOTED: Final = re.compile(QUOTED, re.DOTALL)
_BARE_END: Final = re.compile(rb'" ([0-9A-Fa-f:., \[\]]++|-)$')
_TAG: Final = rb"[\w./-]{1,64}(?:\[\d{1,10}\])?: "
_COLOUR: Final = rb"(?:\x1b\[[0-9;]{0,16}m)*"
_FRONT: Final = re.compile(
    b"|".join(
        [
            # syslog: RFC 3164, RFC 5424, and with the times of rsyslog and journalctl
            rb"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[\w.:-]{1,255} )?" + _TAG,
            rb"<\d{1,3}>1 " + ISO_TIME + rb" (?:\S{1,255} ){4}(?:-|(?:\[[^\]]*\])+) (?:\xef\xbb\xbf)?",
            rb"(?:<\d{1,3}>)?" + ISO_TIME + rb" [\w.:-]{1,255} " + _TAG,
            # Kubernetes (as container runtimes write it, and as kubectl shows it), docker, docker compose
            ISO_TIME + rb" std(?:out|err) F ",
            ISO_TIME + b" ",
            rb"\[pod/[^\] ]{1,512}\] ",
            _COLOUR + rb"[\w.-]{1,255} *" + _COLOUR + rb"\| ?" + _COLOUR + b" ?",
            # multilog; nl and cat -n; grep with the name of a file, the number of a line or both
            rb"@[0-9a-f]{24} ",
            rb" *\d{1,12}\t",
            rb"(?!\d+\.\d+\.\d+\.\d+:)(?:[^\s:]*[./][^\s:]*:(?:\d{1,12}:)?|\d{1,12}:)"
            rb"(?=\d{1,3}(?:\.\d{1,3}){3} )",
        ]
    )
)
_MOST_FRONTS: Final = 4
_CLIENTS_PORTS_FROM: Final = 32_768  # on most systems; below, servers listen
_PORT: Final = re.compile(rb"(\[[^\]]*\]|[^:]*):\d{1,5}")
_VIRTUAL_HOST: Final = re.compile(rb"[\w.*-]{1,255}")
_IDENTITY: Final = re.compile(rb"[^.:,]+")
_TIME: Final = re.compile(rb"(\d\d/[A-Z][a-z]{2}/\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_REQUEST: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^ ].*?)(?: (HTTP/\d(?:\.\d)?))?", re.DOTALL)
_ORIGIN: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^/?#]*")
_AUTHORITY: Final = re.compile(rb"[0-9A-Za-z._:\[\]-]{1,255}")
_MAX_ADDRESS_BYTES: Final = 255
_ADDRESS: Final = re.compile(rb"\[[0-9A-Fa-f.:]+(?:%[\w.-]+)?\](?::\d{1,5})?|[0-9A-Fa-f.:]+(?:%[\w.-]+)?")
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


class Request(NamedTuple):
    """What a request is billed by; fields as in `AccessEntry`, and the API of its path, see `api_of`."""

    line_no: int
    at: int
    client: str
    api: str
    size_bytes: int

    @property
    def day_id(self) -> int:
        """The UTC day as the contract counts it."""
        return self.at // _DAY_SECONDS


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
    def request(self) -> "Request":
        """What of it is billed."""
        return Request(self.line_no, self.at, self.client, api_of(self.path), self.size_bytes or 0)


class LineError(Exception):
    """A line that is skipped, and why. ``is_layout`` is False where the line is one of an access log for all that."""

    def __init__(self, reason: str, *, is_layout: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_layout = is_layout


class OtherLayoutError(LineError):
    """A line that does not have the frame of the format at all."""


def parse_line(line: bytes, line_no: int, forwarded: Forwarded | None = None) -> AccessEntry:
    """Parse one line without its line end; ``forwarded`` takes the client from an X-Forwarded-For that ends the line.

    Raises: LineError, and nothing else whatever the bytes are.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise OtherLayoutError(_why_not_a_log_line(line), is_layout=True)
    head, raw_time, request, status, size, tail = match.groups()
    at = parse_time(raw_time)
    client = _client_of(head, forwarded)
    if tail and _ANOTHER_RECORD.search(tail):
        raise LineError("it is torn: another record stands in it", is_layout=True)
    if forwarded:
        client = _forwarded_at_end(tail or b"", forwarded) or client
    return entry_of(line_no, at, client, request, status, size)


def entry_of(line_no: int, at: int, client: str, request: bytes, status: bytes, size: bytes) -> AccessEntry:
    """Return the entry with these fields, as they stand in a log. Raises: LineError."""
    if len(status) != 3 or not status.isdigit():
        raise LineError(f"the status {shown(status)} is not three digits", is_layout=True)
    if size != b"-" and not (size.isdigit() and len(size) <= _MAX_SIZE_DIGITS):
        raise LineError(f"the size {shown(size)} is neither a number nor -", is_layout=True)
    method, path = _parse_request(request)
    return AccessEntry(line_no, at, client, method, path, int(status), None if size == b"-" else int(size))


def without_front(line: bytes) -> bytes:
    """Return the line without what syslog, docker, Kubernetes, grep and such put in front of every line."""
    for _ in range(_MOST_FRONTS):
        front = _FRONT.match(line)
        if front is None:
            break
        line = line[front.end() :]
    return line


@lru_cache(maxsize=32_768)
def _client_of(head: bytes, forwarded: Forwarded | None) -> str:
    """The client, from all that stands in front of the time: ``client identity user``."""
    fields = _with_one_client(without_front(head).split(b" "), forwarded)
    if len(fields) > 3 and fields[1] != b"-" and fields[2] == b"-" and _is_virtual_host(fields[0], fields[1]):
        del fields[0]
    if len(fields) < 3:
        raise LineError("client, identity and user are not all there", is_layout=True)
    first, identity, *user = fields
    others = [field for field in (identity, *user) if _address_of(field)]
    if others and (_address_of(first) or identity == b"-"):
        raise LineError(
            f"two addresses stand in it, {shown(first)} and {shown(others[0])}: which one is the client is not known",
            is_layout=True,
        )
    if others:
        raise LineError(f"{shown(first)} stands in front of the address {shown(others[0])}", is_layout=True)
    if len(user) > 1 and (identity != b"-" or b"-" in user):
        raise LineError(
            f"more than client, identity and user stands in front of the time, or it is torn: {shown(head)}",
            is_layout=True,
        )
    if identity != b"-" and not _IDENTITY.fullmatch(identity):
        raise LineError(f"{shown(identity)} stands where the identity has its place", is_layout=True)
    return parse_client(first)


def _with_one_client(fields: list[bytes], forwarded: Forwarded | None) -> list[bytes]:
    """The fields with one address where a list of them, an X-Forwarded-For, stands first."""
    end = next((place for place, field in enumerate(fields) if not field.endswith(b",")), 0) + 1
    listed = b" ".join(fields[:end])
    if b"," not in listed:
        return fields
    if forwarded is None:
        raise LineError(
            f"an X-Forwarded-For stands first, {shown(listed)}: say with XFF=first or XFF=last which is the client",
            is_layout=True,
        )
    return [forwarded_client(listed, forwarded).encode(), *fields[end:]]


def _is_virtual_host(first: bytes, second: bytes) -> bool:
    """Whether the first of four fields is the server's name, and the second the client."""
    with_port = _PORT.fullmatch(first)
    if with_port:
        if _address_of(first) and int(first.rpartition(b":")[2]) >= _CLIENTS_PORTS_FROM:
            return False
        return bool(_address_of(second) or _HOST_NAME.fullmatch(second.decode("latin-1").lower()))
    return not _address_of(first) and bool(_VIRTUAL_HOST.fullmatch(first) and _address_of(second))


def _forwarded_at_end(tail: bytes, forwarded: Forwarded) -> str | None:
    """The client of an X-Forwarded-For behind referer and user agent, None where there was no such header."""
    quoted = _QUOTED.findall(tail)
    if len(quoted) == 2:
        quoted += _BARE_END.findall(tail)
    if len(quoted) < 3:
        raise LineError("no X-Forwarded-For follows the user agent", is_layout=True)
    listed = quoted[-1]
    return None if listed in (b"-", b"") else forwarded_client(listed, forwarded)


def forwarded_client(listed: bytes, forwarded: Forwarded) -> str:
    """Return the first or last address of an X-Forwarded-For. Raises: LineError, when that is no address."""
    addresses = listed.split(b",")
    chosen = addresses[0 if forwarded == "first" else -1].strip()
    client = _address_of(chosen)
    if not client:
        raise LineError(f"{shown(chosen)} in the X-Forwarded-For is not an address", is_layout=True)
    return client


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


def parse_time(raw: bytes) -> int:
    """Return unix seconds for a time like 31/Jan/2026:23:59:58 +0000. Raises: LineError."""
    match = _TIME.fullmatch(raw)
    if match is None:
        raise LineError(f"the time {shown(raw)} is not like 31/Jan/2026:23:59:58 +0000", is_layout=True)
    day, *numbers, sign, zone_hours, zone_minutes = match.groups()
    hours, minutes, seconds = (int(number) for number in numbers)
    if hours > 23 or minutes > 59 or seconds > 60:
        raise LineError(f"there is no such time of day: {shown(raw)}", is_layout=True)
    if int(zone_hours) > 14 or int(zone_minutes) > 59:
        raise LineError(f"there is no such time zone: {shown(raw)}", is_layout=True)
    zone_seconds = int(zone_hours) * 3600 + int(zone_minutes) * 60
    # A leap second is read as the second before it, so that it stays on its day.
    at = _midnight(day) + hours * 3600 + minutes * 60 + min(seconds, 59)
    at += zone_seconds if sign == b"-" else -zone_seconds
    if seconds == 60 and at % _DAY_SECONDS != _DAY_SECONDS - 1:
        raise LineError(f"a leap second is at 23:59:60 UTC only: {shown(raw)}", is_layout=True)
    return at


@lru_cache(maxsize=128)
def _midnight(day: bytes) -> int:
    day_of_month, month_name, year = day.split(b"/")
    month = _MONTHS.get(month_name)
    if month is None:
        raise LineError(f"there is no month {shown(month_name)}", is_layout=True)
    if int(year) not in PLAUSIBLE_YEARS:
        raise LineError(f"the year {shown(year)} cannot be that of an access log", is_layout=True)
    try:
        ordinal = date(int(year), month, int(day_of_month)).toordinal()
    except ValueError:
        raise LineError(f"there is no such date: {shown(day)}", is_layout=True) from None
    return (ordinal - _EPOCH_ORDINAL) * _DAY_SECONDS


def parse_client(raw: bytes) -> str:
    """Return an address, with or without a port, or a full host name in its one form. Raises: LineError."""
    address = _address_of(raw)
    if address:
        return address
    name = raw.decode("latin-1").lower().removesuffix(".")
    # One word is no client but `localhost`, nor is what ends in a number, like 300.1.2.3 or a line of figures.
    if _HOST_NAME.fullmatch(name) and (name == "localhost" or ("." in name and not name.rpartition(".")[2].isdigit())):
        return sys.intern(name)
    raise LineError(f"the client {shown(raw)} is neither an address nor a host name", is_layout=True)


@lru_cache(maxsize=32_768)
def _address_of(raw: bytes) -> str:
    """The address in its canonical form, without a port; empty where it is none."""
    if len(raw) > _MAX_ADDRESS_BYTES or not _ADDRESS.fullmatch(raw):
        return ""
    with_port = _PORT.fullmatch(raw)
    text = (with_port[1] if with_port else raw).decode("ascii").lower()
    try:
        address = ip_address(text[1:-1] if text.startswith("[") else text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return sys.intern(str(mapped or address))


def _parse_request(raw: bytes) -> tuple[str, str]:
    match = _REQUEST.fullmatch(raw.strip(b" "))
    if match is None:
        raise LineError(_why_not_a_request(raw), is_layout=False)
    method, target, version = match.groups()
    if version is None and method != b"GET":
        raise LineError(f"the request {shown(raw)} has no HTTP version", is_layout=False)
    return sys.intern(method.decode("ascii")), _parse_target(method, target.rstrip(b" "))


def _why_not_a_request(raw: bytes) -> str:
    if raw in (b"", b"-"):
        return "no request was sent on the connection"
    if raw.startswith((b"\\x16\\x03", b"\x16\x03")):
        return "the request is a TLS handshake on a port without TLS"
    return f"the request {shown(raw)} is not HTTP"


def _parse_target(method: bytes, target: bytes) -> str:
    if b"\\" in target:
        target = _ESCAPE.sub(_unescape, target)
    if not target.startswith(b"/"):
        origin = _ORIGIN.match(target)
        if origin:
            rest = target[origin.end() :]
            target = rest if rest.startswith(b"/") else b"/" + rest
        elif target != b"*" and not (method == b"CONNECT" and _AUTHORITY.fullmatch(target)):
            raise LineError(f"the request asks for {shown(target)}, which is no path", is_layout=False)
    path = target.partition(b"?")[0].partition(b"#")[0]
    path = _NOT_IN_PATHS.sub(_percent_encode, path)
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return _HIGH_BYTE.sub(_percent_encode, path).decode("ascii")


def _unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, character = match.groups()
    return bytes([int(hexadecimal, 16)]) if hexadecimal else _ESCAPED.get(character, character)


def _percent_encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match.group()[0]


def shown(raw: bytes, limit: int = 40) -> str:
    """Return the bytes as short, printable ASCII for a message."""
    cut = raw[:limit]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in cut)
    return f"'{text}...'" if len(raw) > limit else f"'{text}'"
