"""Layouts of access logs besides Apache's own: what is read, and what is named."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.log_layouts import LineParser
from demo.log_line import AccessEntry, Forwarded, LineError

from .log_texts import NOON, line

ENTRY = AccessEntry(1, NOON, "192.0.2.7", "GET", "/forecast/today", 200, 512)
CADDY = {
    "level": "info",
    "ts": NOON + 0.25,
    "logger": "http.log.access",
    "request": {
        "remote_ip": "10.0.0.1",
        "client_ip": "192.0.2.7",
        "proto": "HTTP/2.0",
        "method": "GET",
        "uri": "/forecast/today?a=b",
        "headers": {"X-Forwarded-For": ["203.0.113.9, 10.0.0.3"]},
    },
    "size": 512,
    "status": 200,
}
TRAEFIK = {
    "ClientHost": "192.0.2.7",
    "DownstreamContentSize": 512,
    "DownstreamStatus": 200,
    "RequestMethod": "GET",
    "RequestPath": "/forecast/today",
    "StartUTC": "2026-01-31T12:00:00.123456789Z",
    "time": "2026-01-31T12:00:01Z",
}
NGINX = {
    "time_iso8601": "2026-01-31T13:00:00+01:00",
    "remote_addr": "192.0.2.7",
    "request": "GET /forecast/today HTTP/1.1",
    "status": "200",
    "body_bytes_sent": "512",
    "http_x_forwarded_for": "203.0.113.9, 10.0.0.3",
}
DOCKER = {"log": line().decode() + "\n", "stream": "stdout", "time": "2026-01-31T12:00:00.1Z"}
ALB = (
    "https 2026-01-31T12:00:00.186641Z app/web/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 "
    "0.086 0.048 0.037 200 200 0 512 "
    '"GET https://www.example.com:443/forecast/today?a=b HTTP/1.1" "curl/8.5" ECDHE TLSv1.2 arn:aws:x "Root=1" "-"'
)
IIS = (
    "#Software: Microsoft Internet Information Services 10.0",
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port c-ip sc-status sc-bytes X-Forwarded-For",
    "2026-01-31 12:00:00 10.0.0.1 GET /forecast/today a=b 443 192.0.2.7 200 512 203.0.113.9,+10.0.0.3",
)
CLOUDFRONT = (
    "#Version: 1.0",
    "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status",
    "2026-01-31\t12:00:00\tFRA2\t512\t192.0.2.7\tGET\td1.cloudfront.net\t/forecast/today\t200",
)


def entries_of(*lines: str | bytes, forwarded: Forwarded | None = None) -> list[AccessEntry]:
    parser = LineParser(forwarded)
    parsed = (parser.parse(text.encode() if isinstance(text, str) else text, 1) for text in lines)
    return [entry for entry in parsed if entry]


def changed(record: dict[str, Any], **fields: Any) -> str:
    return json.dumps({name: value for name, value in (record | fields).items() if value is not None})


@pytest.mark.parametrize(
    "lines",
    [
        (changed(CADDY),),
        (changed(TRAEFIK),),
        (changed(NGINX),),
        (changed(DOCKER),),
        (changed(DOCKER, log=changed(NGINX) + "\n"),),
        ("2026-01-31T12:00:00.1Z stdout F " + changed(CADDY),),
        (ALB,),
        IIS,
        CLOUDFRONT,
    ],
)
def test_parser__other_layout__gives_the_same_entry(lines: tuple[str, ...]) -> None:
    assert entries_of(*lines) == [ENTRY]


@pytest.mark.parametrize("lines", [(changed(CADDY),), (changed(NGINX),), IIS])
@pytest.mark.parametrize(("forwarded", "client"), [("first", "203.0.113.9"), ("last", "10.0.0.3")])
def test_parser__other_layout_with_forwarded__takes_the_client_from_the_header(
    lines: tuple[str, ...], forwarded: Forwarded, client: str
) -> None:
    assert [entry.client for entry in entries_of(*lines, forwarded=forwarded)] == [client]


@pytest.mark.parametrize(
    "time",
    [
        {"time_iso8601": None, "msec": f"{NOON}.123"},
        {"time_iso8601": None, "time_local": "31/Jan/2026:12:00:00 +0000"},
        {"time_iso8601": None, "@timestamp": "2026-01-31T12:00:00Z"},
        {"time_iso8601": None, "timestamp": NOON * 1000 + 5},
    ],
)
def test_parser__json_with_another_time__is_read(time: dict[str, Any]) -> None:
    assert entries_of(changed(NGINX, **time)) == [ENTRY]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed(NGINX)[:-9], "JSON, and broken or torn"),
        (changed(NGINX)[:40] + changed(NGINX), "JSON, and broken or torn"),
        ('{"a":' * 100_000, "JSON, and broken or torn"),
        (changed(DOCKER, log=line().decode()), "docker has divided"),
        (changed(NGINX, remote_addr=None), "not as Caddy, Traefik or nginx write it; its keys: 'time_iso8601, request"),
        (changed(NGINX, remote_addr="proxy"), "neither an address nor a host name"),
        (changed(NGINX, status="2xx"), "the status '2xx'"),
        (changed(NGINX, time_iso8601="yesterday"), "there is no such time: 'yesterday'"),
        (changed(NGINX, time_iso8601="2026-01-31T12:00:00"), "there is no such time"),
        (changed(NGINX, time_iso8601=1e300), "there is no such time"),
        (changed(NGINX, request=None), "not as Caddy, Traefik or nginx"),
        ("2026-01-31T12:00:00Z stdout P " + line().decode(), "Kubernetes has divided"),
        ('2026-01-31T12:00:00+00:00 heroku[router]: at=info method=GET path="/" fwd="1.2.3.4"', "Heroku"),
        ("7" * 64 + ' bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 - 3E REST.GET - "GET /b HTTP/1.1" 200 -', "S3"),
        (ALB.replace("https 2", "2").replace("/", "_", 2), "AWS classic load balancer"),
        ("tls 2.0 2026-01-31T12:00:00 net/a/b c 10.0.0.1:1 10.0.0.2:2", "network load balancer"),
        (
            'Jan 31 12:00:00 lb haproxy[1]: 10.0.1.2:33 [31/Jan/2026:12:00:00.6] in a/s 1/0/3/6/1 200 2 "GET /',
            "HAProxy",
        ),
        ('[2026-01-31T12:00:00.310Z] "POST /api HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "a"', "Envoy"),
        ("1286536309.586    921 192.168.0.68 TCP_MISS/200 507 POST http://a.example/ - DIRECT/1.2.3.4", "Squid"),
        ('INFO:     127.0.0.1:52314 - "GET / HTTP/1.1" 200 OK', "uvicorn"),
        ("2026/01/31 12:00:00 [error] 123#123: *1 open() failed", "the error log of nginx"),
        ("[Sat Jan 31 12:00:00.123456 2026] [core:error] [pid 1] AH1", "the error log of Apache"),
        ("2026-01-31 12:00:00 10.0.0.1 GET / - 80 - 192.0.2.7 200", "without its line of #Fields"),
        ("      3 192.0.2.7 - - [31/Jan/2026:12:00:00 +0000] GET", "counted by uniq"),
        ("level=info method=GET path=/", "key=value pairs"),
        ("hello", "no time in square brackets"),
    ],
)
def test_parser__line_that_is_not_read__says_what_it_is(text: str, reason: str) -> None:
    with pytest.raises(LineError) as caught:
        entries_of(text)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((*IIS[:2], IIS[2] + " -"), "it has 12 fields, and the line of #Fields names 11"),
        ((IIS[1].replace(" c-ip", ""), IIS[2].replace(" 192.0.2.7", "")), "does not name c-ip"),
        ((*IIS[:2], IIS[2].replace("12:00:00", "25:00:00")), "there is no such time"),
        ((*IIS[:2], IIS[2].replace("192.0.2.7", "-")), "neither an address nor a host name"),
        ((*IIS[:2], line()), "fields"),
    ],
)
def test_parser__line_of_the_w3c_that_cannot_be_read__says_why(lines: tuple[str, ...], reason: str) -> None:
    with pytest.raises(LineError) as caught:
        entries_of(*lines)
    assert reason in caught.value.reason


def test_parser__new_line_of_fields__counts_from_then_on() -> None:
    assert entries_of(*IIS, *CLOUDFRONT) == [ENTRY, ENTRY]


@pytest.mark.parametrize("record", [CADDY, TRAEFIK, NGINX, DOCKER])
def test_parser__json_torn_anywhere_with_the_next_glued_on__is_a_bad_line(record: dict[str, Any]) -> None:
    text = changed(record)
    for cut in range(1, len(text)):
        with pytest.raises(LineError):
            entries_of(text[:cut] + text)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
NAMES = sorted({*CADDY, *TRAEFIK, *NGINX, *DOCKER, "msec", "@timestamp"})


@given(st.sampled_from([CADDY, TRAEFIK, NGINX, DOCKER]), st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_parser__json_with_any_values__raises_nothing_but_its_own_error(
    record: dict[str, Any], fields: dict[str, Any]
) -> None:
    with contextlib.suppress(LineError):
        entries_of(changed(record, **fields))


@given(st.lists(st.sampled_from([*IIS, *CLOUDFRONT]) | st.binary(max_size=80) | st.text(max_size=80), max_size=6))
def test_parser__any_lines__raises_nothing_but_its_own_error(lines: list[str | bytes]) -> None:
    parser = LineParser()
    for text in lines:
        with contextlib.suppress(LineError):
            parser.parse(text.encode() if isinstance(text, str) else text, 1)
