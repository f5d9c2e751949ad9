"""The page that is paid for by contracts."""

from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from demo.page_server import PageServer, serving


@pytest.fixture
def server() -> Iterator[PageServer]:
    with serving("pages") as running:
        yield running


def get(server: PageServer, query: str, path: str = "") -> tuple[int, bytes]:
    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", (path or parts.path) + query)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_page_server__same_receipt_again__gets_the_same_response(server: PageServer) -> None:
    assert [get(server, "?receipt=pages:0x1:2:1") for _ in range(3)] == [
        (200, b"Bulletin no. 1: all services are up.")
    ] * 3


def test_page_server__another_receipt__gets_a_response_of_its_own(server: PageServer) -> None:
    get(server, "?receipt=pages:0x1:2:1")
    assert get(server, "?receipt=pages:0x1:2:2") == (200, b"Bulletin no. 2: all services are up.")


@pytest.mark.parametrize("query", ["", "?receipt=", "?receipt=others:0x1:2:1", "?other=pages:0x1:2:1"])
def test_page_server__no_receipt_for_this_api__must_pay(server: PageServer, query: str) -> None:
    assert get(server, query)[0] == 402


def test_page_server__another_page__is_not_there(server: PageServer) -> None:
    assert get(server, "", "/else")[0] == 404


def test_page_server__requests__are_counted_by_receipt(server: PageServer) -> None:
    for number in (1, 1, 2):
        get(server, f"?receipt=pages:0x1:2:{number}")
    assert (server.requests_with("pages:0x1:2:1"), server.requests) == (2, 3)
