"""One line of an access log."""

import calendar
import contextlib
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.log_line import AccessEntry, Forwarded, LineError, parse_line

from .log_texts import NOON, line


def reason_of(text: bytes) -> str:
    with pytest.raises(LineError) as caught:
        parse_line(text, 1)
    return caught.value.reason


def test_parse_line__combined_format__reads_every_field() -> None:
    entry = parse_line(line(), 3)
    assert entry == AccessEntry(3, NOON, "192.0.2.7", "GET", "/forecast/today", 200, 512)


@pytest.mark.parametrize("tail", ["", ' "-"', ' "https://a.example/" "agent"', ' "-" "-" "10.0.0.1" 0.003', " "])
def test_parse_line__fields_after_the_size__do_not_matter(tail: str) -> None:
    assert parse_line(line(tail=tail), 1).size_bytes == 512


def test_parse_line__size_dash__is_none() -> None:
    assert parse_line(line(size="-"), 1).size_bytes is None


def test_parse_line__user_with_spaces_and_brackets__is_skipped_over() -> None:
    assert parse_line(line(user="ann [the 1st] lee"), 1).at == NOON


@pytest.mark.parametrize(
    ("written", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::0007", "2001:db8::7"),
        ("::1", "::1"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("Crawler-7.Example.COM.", "crawler-7.example.com"),
        ("localhost", "localhost"),
        ("192.0.2.7:51234", "192.0.2.7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
    ],
)
def test_parse_line__client_in_any_spelling__has_one_form(written: str, client: str) -> None:
    assert parse_line(line(client=written), 1).client == client


@pytest.mark.parametrize(
    "client", ["-", "300.1.2.3", "1.2.3", "unix:", "a" * 256, "fe80::1%\x1b", "münchen.example", "nginx", "INFO:"]
)
def test_parse_line__client_that_is_none__is_a_bad_line(client: str) -> None:
    assert "neither an address nor a host name" in reason_of(line(client=client))


@pytest.mark.parametrize(
    ("time", "at"),
    [
        ("31/Jan/2026:12:00:00 +0000", NOON),
        ("31/Jan/2026:13:30:00 +0130", NOON),
        ("31/Jan/2026:02:00:00 -1000", NOON),
        ("01/Feb/2026:02:00:00 +1400", NOON),
        ("29/Feb/2024:00:00:00 +0000", 1_709_164_800),
        ("31/Dec/2016:23:59:60 +0000", 1_483_228_799),
        ("01/Jan/2017:00:59:60 +0100", 1_483_228_799),
    ],
)
def test_parse_line__time_with_a_zone__is_utc_seconds(time: str, at: int) -> None:
    assert parse_line(line(time=time), 1).at == at


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("30/Feb/2026:12:00:00 +0000", "no such date"),
        ("29/Feb/2025:12:00:00 +0000", "no such date"),
        ("00/Jan/2026:12:00:00 +0000", "no such date"),
        ("31/Foo/2026:12:00:00 +0000", "no month"),
        ("31/Jan/2026:24:00:00 +0000", "no such time of day"),
        ("31/Jan/2026:12:60:00 +0000", "no such time of day"),
        ("31/Jan/2026:12:00:61 +0000", "no such time of day"),
        ("31/Jan/2026:12:00:60 +0000", "leap second"),
        ("31/Jan/2026:12:00:00 +1500", "no such time zone"),
        ("31/Jan/2026:12:00:00 +0060", "no such time zone"),
        ("31/Jan/0026:12:00:00 +0000", "the year"),
        ("31/Jan/9999:12:00:00 +0000", "the year"),
        ("31/Jan/2026:12:00:00", "is not like"),
        ("2026-01-31T12:00:00Z", "is not like"),
    ],
)
def test_parse_line__impossible_time__says_what_is_wrong(time: str, reason: str) -> None:
    assert reason in reason_of(line(time=time))


@pytest.mark.parametrize(
    ("request_line", "method", "path"),
    [
        ("GET / HTTP/1.0", "GET", "/"),
        ("POST /a/b?token=secret HTTP/2.0", "POST", "/a/b"),
        ("GET /?page=2 HTTP/1.1", "GET", "/"),
        ("GET /a#part HTTP/1.1", "GET", "/a"),
        ("GET /old", "GET", "/old"),
        ("GET /two words HTTP/1.1", "GET", "/two%20words"),
        (r"GET /say/\"hi\" HTTP/1.1", "GET", '/say/"hi"'),
        (r"GET /back\\slash HTTP/1.1", "GET", "/back\\slash"),
        (r"GET /caf\xc3\xa9 HTTP/1.1", "GET", "/café"),
        (r"GET /caf\xe9 HTTP/1.1", "GET", "/caf%E9"),
        (r"GET /line\nbreak HTTP/1.1", "GET", "/line%0Abreak"),
        ("GET http://api.example/v1/x?y=1 HTTP/1.1", "GET", "/v1/x"),
        ("GET http://api.example?y=1 HTTP/1.1", "GET", "/"),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*"),
        ("CONNECT api.example:443 HTTP/1.1", "CONNECT", "api.example:443"),
    ],
)
def test_parse_line__any_form_of_request__gives_method_and_path(request_line: str, method: str, path: str) -> None:
    entry = parse_line(line(request=request_line), 1)
    assert (entry.method, entry.path) == (method, path)


@pytest.mark.parametrize(
    ("request_line", "reason"),
    [
        ("-", "no request was sent"),
        ("", "no request was sent"),
        (r"\x16\x03\x01\x02", "TLS handshake"),
        ("\x16\x03\x01", "TLS handshake"),
        ("SSH-2.0-Go", "is not HTTP"),
        ("hello", "is not HTTP"),
        ("POST /no/version", "no HTTP version"),
        ("GET nowhere HTTP/1.1", "which is no path"),
    ],
)
def test_parse_line__request_that_cannot_be_read__is_a_bad_line_of_a_log(request_line: str, reason: str) -> None:
    with pytest.raises(LineError, match=re.escape(reason)) as caught:
        parse_line(line(request=request_line), 1)
    assert not caught.value.is_layout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"hello", "no time in square brackets"),
        (b"192.0.2.7 [31/Jan/2026:12:00:00 +0000] ", "client, identity and user"),
        (b"192.0.2.7 - - [31/Jan/2026:12:00:00 +0000] GET / 200 1", "no request in quotes"),
        (b'192.0.2.7 - - [31/Jan/2026:12:00:00 +0000] "GET / HT', "no closing quote"),
        (b'192.0.2.7 - - [31/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1"', "status and size do not follow"),
        (b'\x00\x00192.0.2.7 - - [31/Jan/2026:12:00:00 +0000] "GET', "NUL bytes"),
        (line(status="2xx"), "the status '2xx'"),
        (line(status="20"), "the status '20'"),
        (line(size="12k"), "the size '12k'"),
        (line(size="9" * 20), "the size"),
    ],
)
def test_parse_line__not_a_line_of_a_log__says_what_is_wrong(text: bytes, reason: str) -> None:
    with pytest.raises(LineError, match=re.escape(reason)) as caught:
        parse_line(text, 1)
    assert caught.value.is_layout


def test_parse_line__reason_with_hostile_bytes__is_short_printable_ascii() -> None:
    reason = reason_of(line(request="\x1b[2J" + "é" * 500))
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) < 250


@given(st.binary(max_size=300))
def test_parse_line__arbitrary_bytes__raises_nothing_but_its_own_error(text: bytes) -> None:
    with contextlib.suppress(LineError):
        parse_line(text, 1)


PIECES = st.sampled_from(
    [
        *(b'"', b"\\", b" ", b" [", b"] ", b'] "', b"-", b"::1", b"fe80::%", b"GET ", b"/", b"http://", b"%", b"\\x"),
        *(b" HTTP/1.1", b"200", b" 5", b"\x16\x03", b"\xff", b"\x00"),
        *(b"31/Jan/2026:12:00:00 +0000", b"31/Feb/2026:12:00:60 +9999"),
    ]
)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_parse_line__pieces_of_lines_in_any_order__raises_nothing_but_its_own_error(text: bytes) -> None:
    try:
        entry = parse_line(text, 1)
    except LineError:
        return
    assert entry.path.isprintable() or not entry.path.isascii()


@given(
    client=st.ip_addresses(),
    at=st.datetimes(datetime(1990, 1, 2), datetime(2999, 12, 30), timezones=st.just(UTC)),
    offset_minutes=st.integers(-14 * 60, 14 * 60),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PROPFIND"]),
    path=st.text(max_size=30).map(lambda text: "/" + text),
    status=st.integers(100, 599),
    size=st.none() | st.integers(0, 2**62),
)
def test_parse_line__a_line_written_as_apache_does__comes_back_as_it_was(
    client: object, at: datetime, offset_minutes: int, method: str, path: str, status: int, size: int | None
) -> None:
    local = at.astimezone(timezone(timedelta(minutes=offset_minutes)))
    month = calendar.month_abbr[local.month]
    quoted = percent_quoted(path)
    text = line(
        client=str(client),
        time=f"{local.day:02}/{month}/{local:%Y:%H:%M:%S %z}",
        request=f"{method} {quoted} HTTP/1.1",
        status=str(status),
        size="-" if size is None else str(size),
    )
    entry = parse_line(text, 1)
    mapped = getattr(client, "ipv4_mapped", None)
    expected = AccessEntry(
        1, int(at.replace(microsecond=0).timestamp()), str(mapped or client), method, quoted, status, size
    )
    assert entry == expected


def percent_quoted(path: str) -> str:
    """Percent-encode everything but letters, digits and slashes, as a client does."""
    return "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or byte == ord("/")) else f"%{byte:02X}"
        for byte in path.encode("utf-8", "surrogatepass")
    )


def test_parse_line__days_around_a_month_end__are_days_of_their_own() -> None:
    days = [
        parse_line(line(time=time), 1).request.day_id
        for time in ("31/Jan/2026:23:59:59 +0000", "01/Feb/2026:00:00:00 +0000")
    ]
    assert days[1] == days[0] + 1


def test_parse_line__same_client_twice__shares_its_text() -> None:
    one, other = parse_line(line(), 1), parse_line(line(), 2)
    assert one.client is other.client


ADDRESS = "192.0.2.7 - - "
MOST_FRONTS = [
    "www.example.com:443 ",
    "www.example.com ",
    "10.0.0.1:80 ",
    "_ ",
    "Jan 31 12:00:00 web1 nginx: ",
    "Jan  1 12:00:00 web1 nginx[123]: ",
    "<190>Jan 31 12:00:00 web1 nginx: ",
    "<190>Jan 31 12:00:00 nginx: ",
    "<134>1 2026-01-31T12:00:00.123Z web1 nginx 12 access - ",
    '<134>1 2026-01-31T12:00:00Z web1 nginx - - [id@1 a="b"] ',
    "2026-01-31T12:00:00.123456+00:00 web1 nginx[123]: ",
    "2026-01-31T12:00:00.123456789Z stdout F ",
    "2026-01-31T12:00:00.123456789Z ",
    "web_1  | ",
    "web-1  | 2026-01-31T12:00:00.123456789Z ",
    "\x1b[36mweb_1  |\x1b[0m ",
    "[pod/web-5d/nginx] ",
    "access.log:",
    "/var/log/nginx/access.log:17:",
    "17:",
    "    17\t",
    "@400000005a1b2c3d1e2f3a4b ",
    "Jan 31 12:00:00 web1 nginx: www.example.com:443 ",
]


@pytest.mark.parametrize("front", MOST_FRONTS)
def test_parse_line__known_front__is_skipped(front: str) -> None:
    entry = parse_line(front.encode() + line(), 1)
    assert entry == parse_line(line(), 1)


@pytest.mark.parametrize("front", [front for front in MOST_FRONTS if ":" not in front.strip()[-4:]])
def test_parse_line__known_front_of_an_ipv6_client__is_skipped(front: str) -> None:
    assert parse_line(front.encode() + line(client="2001:db8::7"), 1).client == "2001:db8::7"


@pytest.mark.parametrize(
    ("front", "reason"),
    [
        ("10.0.0.1 ", "two addresses stand in it, '10.0.0.1' and '192.0.2.7'"),
        ("203.0.113.9:51234 ", "two addresses stand in it, '203.0.113.9:51234' and '192.0.2.7'"),
        ("[2001:db8::9]:51234 ", "two addresses stand in it"),
        ("203.0.113.9, ", "an X-Forwarded-For stands first, '203.0.113.9, 192.0.2.7'"),
        ("proxy=1 ", "'proxy=1' stands in front of the address '192.0.2.7'"),
        ("billing INFO ", "'billing' stands in front of the address '192.0.2.7'"),
        ("crawler.example.com ann ", "stands in front of the address '192.0.2.7'"),
        ("crawler.example.com - ", "two addresses stand in it"),
        ("10.0.0.1 - ", "two addresses stand in it"),
    ],
)
def test_parse_line__unknown_front__is_a_bad_line_that_names_it(front: str, reason: str) -> None:
    with pytest.raises(LineError, match=re.escape(reason)):
        parse_line(front.encode() + line(), 1)


@pytest.mark.parametrize(
    "head",
    ["www.example.com 192.0.2.7 -", "www.example.com crawler.example.net -", "web 12 -", "alice - -", "192.0.2.7  - -"],
)
def test_parse_line__word_or_name_in_the_client_s_place__bills_nobody(head: str) -> None:
    with pytest.raises(LineError):
        parse_line(line().replace(b"192.0.2.7 - -", head.encode()), 1)


RECORDS = {
    "address": line(),
    "ipv6": line(client="2001:db8::7"),
    "host": line(client="crawler.example.com"),
    "user": line(user="ann"),
    "virtual host": b"www.example.com:443 " + line(),
    "syslog": b"Jan 31 12:00:00 web1 nginx: " + line(),
    "docker": b"2026-01-31T12:00:00.123456789Z " + line(),
    "forwarded": line(tail=' "-" "curl/8.5" "198.51.100.4, 198.51.100.5"'),
}


@pytest.mark.parametrize("forwarded", [None, "first", "last"])
@pytest.mark.parametrize("layout", RECORDS)
def test_parse_line__torn_anywhere_with_the_next_glued_on__bills_only_a_client_of_its_own_request(
    layout: str, forwarded: Forwarded | None
) -> None:
    first = RECORDS[layout]
    second = first.replace(b"/forecast", b"/other").replace(b"192.0.2.7", b"192.0.2.88").replace(b"::7", b"::88")
    second = second.replace(b"crawler", b"walker").replace(b"198.51.100.", b"198.51.100.20").replace(b":00 +", b":09 +")
    whole = {}
    for one in (first, second):
        with contextlib.suppress(LineError):  # not every layout has a header
            entry = parse_line(one, 1, forwarded)
            whole[entry.client] = (entry.path, entry.at)
    for cut in range(1, len(first)):
        with contextlib.suppress(LineError):
            entry = parse_line(first[:cut] + second, 1, forwarded)
            if b" - " in first[:cut] or entry.client in whole:  # the start of a name with another cannot be told
                assert whole[entry.client] == (entry.path, entry.at), first[:cut]


@pytest.mark.parametrize(
    ("tail", "forwarded", "client"),
    [
        (' "-" "curl" "203.0.113.9, 10.0.0.3"', "first", "203.0.113.9"),
        (' "-" "curl" "203.0.113.9, 10.0.0.3"', "last", "10.0.0.3"),
        (' "-" "curl" "203.0.113.9"', "last", "203.0.113.9"),
        (' "-" "curl" "2001:DB8::9,10.0.0.3:8080"', "first", "2001:db8::9"),
        (' "-" "curl" "2001:DB8::9,10.0.0.3:8080"', "last", "10.0.0.3"),
        (' "-" "curl" "1.03" "203.0.113.9"', "last", "203.0.113.9"),
        (' "-" "curl" 203.0.113.9, 10.0.0.3', "first", "203.0.113.9"),
        (' "-" "curl" "203.0.113.9" 0.003', "last", "203.0.113.9"),
        (' "-" "curl" "-"', "last", "192.0.2.7"),
        (' "-" "curl" "-"', "first", "192.0.2.7"),
        (r' "-" "a \"203.0.113.1\" b" "203.0.113.9"', "last", "203.0.113.9"),
    ],
)
def test_parse_line__forwarded__takes_the_client_from_the_header(tail: str, forwarded: Forwarded, client: str) -> None:
    assert parse_line(line(tail=tail), 1, forwarded).client == client


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        ("", "no X-Forwarded-For follows"),
        (' "-" "203.0.113.9"', "no X-Forwarded-For follows"),
        (' "-" "curl" "unknown, 10.0.0.3"', "'unknown' in the X-Forwarded-For is not an address"),
        (' "-" "curl" ", 10.0.0.3"', "'' in the X-Forwarded-For"),
    ],
)
def test_parse_line__forwarded_without_an_address__is_a_bad_line(tail: str, reason: str) -> None:
    with pytest.raises(LineError, match=re.escape(reason)):
        parse_line(line(tail=tail), 1, "first")


@pytest.mark.parametrize(("forwarded", "client"), [("first", "203.0.113.9"), ("last", "10.0.0.3")])
def test_parse_line__forwarded_list_in_the_client_s_place__is_taken_from(forwarded: Forwarded, client: str) -> None:
    text = line(client="203.0.113.9, 10.0.0.3", tail=' "-" "curl" "-"')
    assert parse_line(text, 1, forwarded).client == client


def test_parse_line__name_of_a_user_that_looks_like_another_client__bills_nobody_else() -> None:
    with pytest.raises(LineError):
        parse_line(line(user="203.0.113.9 - -"), 1)
