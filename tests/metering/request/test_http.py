"""Requests and responses as the meter sees them."""

from collections.abc import Callable

import pytest

from api_billing.metering.request.http import (
    AsgiHeaders,
    Headers,
    MeteredRequest,
    TextHeaders,
    WsgiHeaders,
    asgi_request,
    wsgi_request,
)
from api_billing.metering.stores.steps import arun, run

HEADERS: dict[str, Callable[[], Headers]] = {
    "asgi": lambda: AsgiHeaders([(b"x-api-key", b"k"), (b"content-type", b"text/plain")]),
    "wsgi": lambda: WsgiHeaders({"HTTP_X_API_KEY": "k", "CONTENT_TYPE": "text/plain", "wsgi.input": None}),
    "text": lambda: TextHeaders([("X-API-Key", "k"), ("Content-Type", "text/plain")]),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers__of_each_kind__are_found_by_lower_case_name(kind: str) -> None:
    assert HEADERS[kind]().first("x-api-key") == "k"


@pytest.mark.parametrize("kind", HEADERS)
def test_headers__absent_field__is_none(kind: str) -> None:
    assert HEADERS[kind]().first("x-other") is None


@pytest.mark.parametrize("kind", HEADERS)
def test_headers__of_each_kind__are_listed_in_lower_case(kind: str) -> None:
    assert sorted(HEADERS[kind]().pairs()) == [("content-type", "text/plain"), ("x-api-key", "k")]


@pytest.mark.parametrize(
    "headers", [AsgiHeaders([(b"a", b"1"), (b"b", b"x"), (b"a", b"2")]), TextHeaders([("A", "1"), ("a", "2")])]
)
def test_headers__field_given_twice__both_values_in_order(headers: Headers) -> None:
    assert headers.all("a") == ["1", "2"]


def test_headers__wsgi_content_type_not_given__is_absent() -> None:
    assert WsgiHeaders({"CONTENT_TYPE": ""}).first("content-type") is None


def test_asgi_request__scope__is_carried_over() -> None:
    scope = {
        "method": "GET",
        "path": "/ä",
        "headers": [],
        "query_string": b"a=1",
        "client": ("10.0.0.1", 5),
    }
    request = asgi_request(scope, at_ms=7)
    assert (request.method, request.path, request.route, request.client, request.at_ms) == (
        "GET",
        "/ä",
        "/ä",
        "10.0.0.1",
        7,
    )


def test_asgi_request__without_client_and_query__is_empty() -> None:
    request = asgi_request({"method": "GET", "path": "/", "headers": [], "client": None}, at_ms=0)
    assert (request.client, request.query) == ("", b"")


def test_wsgi_request__path_of_utf_8__is_decoded() -> None:
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/v1", "PATH_INFO": "/ä".encode().decode("latin-1")}
    assert wsgi_request(environ, at_ms=0).path == "/v1/ä"


def test_wsgi_request__path_that_is_no_utf_8__does_not_fail() -> None:
    assert wsgi_request({"REQUEST_METHOD": "GET", "PATH_INFO": "/\xff"}, at_ms=0).path == "/\ufffd"


def request_with(**rest: object) -> MeteredRequest:
    return MeteredRequest("POST", "/", TextHeaders([]), **rest)  # type: ignore[arg-type]


def test_query_values__repeated_and_encoded__all_are_decoded() -> None:
    assert request_with(query=b"a=1&b=2&a=%C3%A4").query_values("a") == ["1", "ä"]


@pytest.mark.parametrize("query", [b"a=%FF", b"a=\xff", b"&".join([b"a=1"] * 1001)])
def test_query_values__hostile_query__value_error(query: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which of them does not matter
        request_with(query=query).query_values("a")


def test_read_body__given_bytes__needs_no_reading() -> None:
    request = request_with(body=b"x")
    assert request.body_read
    assert run(request.read_body(), lambda _: None) == b"x"


def test_read_body__from_a_callable__is_called_once() -> None:
    calls: list[int] = []
    request = request_with(body=lambda: calls.append(1) or b"x")
    assert [run(request.read_body(), lambda _: None) for _ in range(2)] == [b"x", b"x"]
    assert calls == [1]


def test_read_body__unreadable__is_none_and_read() -> None:
    request = request_with(body=lambda: None)
    assert run(request.read_body(), lambda _: None) is None
    assert request.body_read


def test_body__before_reading__is_none() -> None:
    request = request_with(body=lambda: b"x")
    assert request.body is None
    assert not request.body_read


def test_read_body__from_a_coroutine__is_awaited() -> None:
    import asyncio

    async def body() -> bytes:
        return b"x"

    async def nothing(_: object) -> None: ...

    request = request_with(body=body)
    assert asyncio.run(arun(request.read_body(), nothing)) == b"x"


def test_url__of_each_server__is_as_the_client_wrote_it() -> None:
    headers = [(b"host", b"api.example.com:8443")]
    scope = {"method": "GET", "path": "/a b/\u00fc%", "headers": headers, "query_string": b"q=%20", "scheme": "https"}
    assert asgi_request(scope, at_ms=0).url() == "https://api.example.com:8443/a%20b/%C3%BC%25?q=%20"
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "HTTP_HOST": "x", "wsgi.url_scheme": "https"}
    assert wsgi_request(environ, at_ms=0).url() == "https://x/a"


def test_url__without_host_or_with_far_too_much_of_it__is_something_short() -> None:
    assert asgi_request({"method": "GET", "path": "/", "headers": []}, at_ms=0).url() == "http://localhost/"
    scope = {"method": "GET", "path": "/\udcff", "headers": [(b"host", 9_000 * b"h")]}
    assert len(asgi_request(scope, at_ms=0).url()) == 2_048
