"""The layouts of access logs that are read besides Apache's own, and the names of those that are not.

Read are JSON as Caddy and Traefik write it, and nginx with the usual names of its variables, also as docker keeps it;
the extended format of the W3C (IIS, CloudFront); and the log of an AWS application load balancer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from demo.log_line import (
    ISO_TIME,
    PLAUSIBLE_YEARS,
    QUOTED,
    AccessEntry,
    Forwarded,
    LineError,
    OtherLayoutError,
    entry_of,
    forwarded_client,
    parse_client,
    parse_line,
    parse_time,
    shown,
    without_front,
)

_DIRECTIVE: Final = re.compile(rb"#([A-Za-z-]{1,40}): ?(.*)", re.DOTALL)
_ALB: Final = re.compile(
    rb"(?:https?|h2|grpcs|wss?) ("
    + ISO_TIME
    + rb") \S+ (\S+) \S+ (?:-?[\d.]+ ){3}(\S+) \S+ \d+ (\d+) "
    + QUOTED
    + b" .*",
    re.DOTALL,
)
_MILLISECONDS_FROM: Final = 10**11
_NOT_READ: Final = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "the router's log of Heroku": rb".*\b(?:heroku\[router\]:|at=\w+ (?:code=\S+ desc=.{1,200} )?method=)",
        "the access log of an S3 bucket": rb"[0-9a-f]{64} \S+ \[",
        "the log of an AWS classic load balancer": ISO_TIME + rb" \S+ \S+:\d+ \S+ (?:-?[\d.]+ ){3}",
        "the log of an AWS network load balancer": rb"tls \d\.\d " + ISO_TIME,
        "the log of HAProxy": rb"(?:.* haproxy\[\d+\]: )?\S+:\d+ \[\d\d/[A-Z][a-z]{2}/\d{4}:[\d:.]+\] \S+ \S+ ",
        "the log of Envoy": rb"\[" + ISO_TIME + rb'\] "[A-Z]',
        "the log of Squid": rb"\d{9,}\.\d{3} +\d+ \S+ [A-Z_]+/\d{3} ",
        "the log of uvicorn": rb'INFO: +\S+:\d+ - "',
        "the error log of nginx": rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] ",
        "the error log of Apache": rb"\[[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d [\d:.]+ \d{4}\] \[",
        "the extended format of the W3C without its line of #Fields": rb"\d{4}-\d\d-\d\d[ \t]\d\d:\d\d:\d\d[ \t]",
        "a part of a record, which Kubernetes has divided": ISO_TIME + rb" std(?:out|err) P ",
        "lines counted by uniq": rb" *\d+ \S+ \S+ \S+ \[",
        "key=value pairs": rb"\w+=\S* \w+=",
    }.items()
}
_SHOWN_KEYS: Final = 8
_JSON_FIELDS: Final = {
    "client": (
        "request.client_ip",
        "request.remote_ip",
        "request.remote_addr",
        "ClientHost",
        "remote_addr",
        "client_ip",
    ),
    "at": ("ts", "StartUTC", "time_iso8601", "time_local", "msec", "@timestamp", "timestamp", "time"),
    "request": ("request",),
    "method": ("request.method", "RequestMethod", "request_method", "method"),
    "uri": ("request.uri", "RequestPath", "request_uri", "uri"),
    "status": ("status", "DownstreamStatus"),
    "size": ("size", "DownstreamContentSize", "body_bytes_sent", "bytes_sent"),
    "forwarded": (
        "request.headers.X-Forwarded-For",
        "request_X-Forwarded-For",
        "http_x_forwarded_for",
        "x_forwarded_for",
    ),
}


class LineParser:
    """Parses the lines of one file, in their order: those of the W3C mean what the last line of ``#Fields`` says."""

    def __init__(self, forwarded: Forwarded | None = None) -> None:
        self._forwarded = forwarded
        self._fields: Sequence[str] | None = None

    def parse(self, line: bytes, line_no: int) -> AccessEntry | None:
        """Parse one line without its line end; None for a directive, which is no request.

        Raises: LineError, and nothing else whatever the bytes are.
        """
        directive = _DIRECTIVE.fullmatch(line) if line.startswith(b"#") else None
        if directive:
            if directive[1].lower() == b"fields":
                self._fields = directive[2].decode("latin-1").lower().split()
            return None
        if self._fields is not None:
            return _parse_w3c(line, line_no, self._fields, self._forwarded)
        return _parse(line, line_no, self._forwarded)


def _parse(line: bytes, line_no: int, forwarded: Forwarded | None) -> AccessEntry:
    if line.startswith(b"{"):
        return _parse_json(line, line_no, forwarded)
    try:
        return parse_line(line, line_no, forwarded)
    except LineError as error:
        if isinstance(error, OtherLayoutError):
            entry = _parse_other(line, line_no, forwarded)
            if entry:
                return entry
        name = next((name for name, pattern in _NOT_READ.items() if error.is_layout and pattern.match(line)), "")
        raise LineError(f"this is {name}", is_layout=True) if name else error from None


def _parse_other(line: bytes, line_no: int, forwarded: Forwarded | None) -> AccessEntry | None:
    bare = without_front(line)
    if bare.startswith(b"{"):
        return _parse_json(bare, line_no, forwarded)
    match = _ALB.fullmatch(line)
    if match is None:
        return None
    time, client, status, size, request = match.groups()
    return entry_of(line_no, _moment(time.decode()), parse_client(client), request, status, size)


def _parse_w3c(line: bytes, line_no: int, fields: Sequence[str], forwarded: Forwarded | None) -> AccessEntry:
    values = line.split(b"\t" if b"\t" in line else b" ")
    if len(values) != len(fields):
        reason = f"it has {len(values)} fields, and the line of #Fields names {len(fields)}"
        raise LineError(reason, is_layout=True)
    of = dict(zip(fields, values, strict=True))
    missing = [name for name in ("date", "time", "c-ip", "cs-method", "cs-uri-stem", "sc-status") if name not in of]
    if missing:
        raise LineError(f"the line of #Fields does not name {', '.join(missing)}", is_layout=True)
    at = _moment(f"{of['date'].decode('latin-1')}T{of['time'].decode('latin-1')}Z")
    client = parse_client(of["c-ip"])
    if forwarded:
        listed = of.get("x-forwarded-for", of.get("cs(x-forwarded-for)"))
        client = _forwarded(None if listed is None else listed.replace(b"+", b""), client, forwarded)
    request = b"%b %b HTTP/1.1" % (of["cs-method"], of["cs-uri-stem"])
    return entry_of(line_no, at, client, request, of["sc-status"], of.get("sc-bytes", b"-"))


def _parse_json(line: bytes, line_no: int, forwarded: Forwarded | None) -> AccessEntry:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise LineError("this is JSON, and broken or torn", is_layout=True) from None
    log = record.get("log")
    if isinstance(log, str) and "stream" in record:  # docker's own file
        if not log.endswith("\n"):
            raise LineError("this is a part of a record, which docker has divided", is_layout=True)
        return _parse(log.rstrip("\r\n").encode("utf-8", "surrogatepass"), line_no, forwarded)
    of = _flat(record)
    request = of.get("request", f"{of.get('method')} {of.get('uri')} HTTP/1.1")
    if not {"client", "at", "status"} <= of.keys() or not ("request" in of or {"method", "uri"} <= of.keys()):
        keys = ", ".join(list(record)[:_SHOWN_KEYS])
        reason = f"this is JSON, but not as Caddy, Traefik or nginx write it; its keys: {shown(_bytes(keys), 80)}"
        raise LineError(reason, is_layout=True)
    client = parse_client(_bytes(of["client"]))
    if forwarded:
        listed = of.get("forwarded")
        client = _forwarded(None if listed is None else _bytes(listed), client, forwarded)
    at, size = _moment(of["at"]), of.get("size", "-")
    return entry_of(line_no, at, client, _bytes(request), _bytes(of["status"]), _bytes(size))


def _flat(record: Mapping[str, Any]) -> dict[str, str | int | float]:
    """The first of the usual names of each field that is there, with a text or number as its value."""
    found: dict[str, str | int | float] = {}
    for field, names in _JSON_FIELDS.items():
        for name in names:
            value: Any = record
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, list) and all(isinstance(each, str) for each in value):
                value = ", ".join(value)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                found[field] = value
                break
    return found


def _forwarded(listed: bytes | None, client: str, forwarded: Forwarded) -> str:
    return client if listed is None or listed in (b"", b"-") else forwarded_client(listed, forwarded)


def _bytes(value: str | float) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


def _moment(value: str | float) -> int:
    """Unix seconds for a number of seconds or milliseconds, or a time as ISO 8601 or Apache writes it."""
    try:
        if isinstance(value, str) and "/" in value:
            return parse_time(_bytes(value))
        if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError
            at = int(moment.timestamp())
        else:
            number = float(value)
            at = int(number / 1_000 if number >= _MILLISECONDS_FROM else number)
        if datetime.fromtimestamp(at, UTC).year in PLAUSIBLE_YEARS:
            return at
    except (ValueError, OverflowError, OSError):
        pass
    raise LineError(f"there is no such time: {shown(_bytes(value))}", is_layout=True)
