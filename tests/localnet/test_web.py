"""HTTP from nondeterministic blocks, against a real server on this machine, and mocked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Receipt, WebError, WebResponse
from genlayer_localnet.nondet import web

BROWSER = """
class Browser(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def get(self, url: str) -> list:
        def leader():
            response = gl.nondet.web.get(url, headers={"X-Probe": "yes"})
            return [response.status, response.body.decode(), response.headers.get("x-echo", b"").decode()]
        try:
            return gl.eq_principle.strict_eq(leader)
        except gl.vm.UserError as error:
            return ["error", error.message]

    @gl.public.write
    def send(self, url: str, method: str, body: str) -> str:
        def leader():
            return gl.nondet.web.request(url, method=method, body=body).body.decode()
        return gl.eq_principle.strict_eq(leader)

    @gl.public.write
    def render(self, url: str, mode: str) -> str:
        try:
            return gl.eq_principle.strict_eq(lambda: str(gl.nondet.web.render(url, mode=mode)))
        except gl.vm.UserError as error:
            return "error " + error.message

    @gl.public.write
    def outside(self, url: str) -> int:
        return gl.nondet.web.get(url).status
"""
PAGE = "<html><head><title>t</title><script>var x;</script></head><body><h1>Title</h1><p>A  text</p></body></html>"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        requests: list[str] = self.server.requests  # type: ignore[attr-defined]
        requests.append(self.path)
        if self.path == "/redirect":
            return self._answer(302, b"", {"Location": "/page"})
        if self.path == "/missing":
            return self._answer(404, b"not here", {})
        if self.path == "/page":
            return self._answer(200, PAGE.encode(), {"Content-Type": "text/html; charset=utf-8"})
        if self.path == "/large":
            return self._answer(200, b"x" * 2000, {})
        return self._answer(200, b"hello", {"X-Echo": self.headers.get("X-Probe", "")})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, f"{self.command} {body.decode()}".encode(), {})

    do_PATCH = do_DELETE = do_POST  # noqa: N815

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.requests = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def browser(deploy: Callable[..., Receipt]) -> Address:
    return deploy(BROWSER).address


def test_get__real_server__every_node_makes_its_own_request(
    localnet: Localnet, alice: Address, browser: Address, url: str, server: Any
) -> None:
    receipt = localnet.write(browser, "get", f"{url}/", sender=alice)
    assert receipt.value == [200, "hello", "yes"]
    assert server.requests == ["/"] * 5


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_request__body__arrives(localnet: Localnet, alice: Address, browser: Address, url: str, method: str) -> None:
    assert localnet.write(browser, "send", url, method, "data", sender=alice).value == f"{method} data"


def test_get__redirect__is_followed(localnet: Localnet, alice: Address, browser: Address, url: str) -> None:
    assert localnet.write(browser, "get", f"{url}/redirect", sender=alice).value[1] == PAGE


def test_get__status_404__is_a_response(localnet: Localnet, alice: Address, browser: Address, url: str) -> None:
    assert localnet.write(browser, "get", f"{url}/missing", sender=alice).value[:2] == [404, "not here"]


@pytest.mark.parametrize("address", ["ftp://example.invalid/", "file:///etc/passwd", "nonsense", "http://"])
def test_get__other_scheme__is_an_error_the_contract_can_catch(
    localnet: Localnet, alice: Address, browser: Address, address: str
) -> None:
    value = localnet.write(browser, "get", address, sender=alice).value
    assert value[0] == "error"
    assert "INVALID_URL" in value[1]


def test_get__nobody_listens__is_an_error_the_contract_can_catch(
    localnet: Localnet, alice: Address, browser: Address, url: str, server: Any
) -> None:
    server.shutdown()
    server.server_close()
    value = localnet.write(browser, "get", url, sender=alice).value
    assert value[0] == "error"


def test_get__body_beyond_the_limit__is_an_error(
    localnet: Localnet, alice: Address, browser: Address, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MAX_BODY_BYTES", 1000)
    assert "BODY_TOO_LARGE" in localnet.write(browser, "get", f"{url}/large", sender=alice).value[1]


def test_get__outside_of_a_block__is_forbidden(localnet: Localnet, alice: Address, browser: Address, url: str) -> None:
    receipt = localnet.write(browser, "outside", url, sender=alice)
    assert "6: forbidden" in receipt.stderr


@pytest.mark.parametrize(("mode", "text"), [("text", "Title\nA  text"), ("html", PAGE)])
def test_render__page__is_text_or_html(
    localnet: Localnet, alice: Address, browser: Address, url: str, mode: str, text: str
) -> None:
    assert localnet.write(browser, "render", f"{url}/page", mode, sender=alice).value == text


@pytest.mark.parametrize(("path", "mode", "cause"), [
    ("/page", "screenshot", "UNSUPPORTED_MODE"), ("/missing", "text", "STATUS_NOT_OK"),
])  # fmt: skip
def test_render__not_possible__is_an_error_the_contract_can_catch(
    localnet: Localnet, alice: Address, browser: Address, url: str, path: str, mode: str, cause: str
) -> None:
    assert cause in localnet.write(browser, "render", url + path, mode, sender=alice).value


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("text", [200, "text", ""]),
        (b"bytes", [200, "bytes", ""]),
        ({"status": 503, "body": "busy", "headers": {"X-Echo": "e"}}, [503, "busy", "e"]),
        (WebResponse(201, {"x-echo": b"e"}, b"made"), [201, "made", "e"]),
        (lambda request, node: request.url, [200, "http://mocked.invalid/", ""]),
    ],
)
def test_mock__answer_in_any_form__is_the_response(
    localnet: Localnet, alice: Address, browser: Address, answer: Any, seen: list[Any]
) -> None:
    localnet.mock_web("mocked", answer)
    assert localnet.write(browser, "get", "http://mocked.invalid/", sender=alice).value == seen


def test_mock__raises_web_error__is_an_error_the_contract_can_catch(
    localnet: Localnet, alice: Address, browser: Address
) -> None:
    def fail(request: Any, node: Any) -> str:
        raise WebError("TIMEOUT", "too slow")

    localnet.mock_web("mocked", fail)
    value = localnet.write(browser, "get", "http://mocked.invalid/", sender=alice).value
    assert "TIMEOUT" in value[1]


def test_mock__for_another_method__does_not_answer(
    localnet: Localnet, alice: Address, browser: Address, url: str
) -> None:
    localnet.mock_web("127.0.0.1", "mocked", method="POST")
    assert localnet.write(browser, "get", url, sender=alice).value[1] == "hello"
    assert localnet.write(browser, "send", url, "POST", "x", sender=alice).value == "mocked"


def test_mock__validator_gets_another_answer__disagrees(localnet: Localnet, alice: Address, browser: Address) -> None:
    localnet.mock_web("mocked", lambda request, node: "odd" if node.index == 2 else "even")
    assert localnet.write(browser, "get", "http://mocked.invalid/", sender=alice).votes[2] == "disagree"
