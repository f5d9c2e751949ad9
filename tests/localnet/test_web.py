"""HTTP from nondeterministic blocks, against a real server on this machine, and mocked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from genlayer_localnet import Address, Localnet, Receipt, WebError, WebRequest, WebResponse
from genlayer_localnet.nondet import fetching, web
from genlayer_localnet.nondet.fetching import Reach, Unbounded

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
        if self.path.startswith("/to/"):
            return self._answer(302, b"", {"Location": unquote(self.path.removeprefix("/to/"))})
        if self.path == "/silent":
            self.server.ended.wait(60)  # type: ignore[attr-defined]
            return None
        if self.path == "/credentials":
            return self._answer(200, self.headers.get("Authorization", "none").encode(), {})
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
    server.ended = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.ended.set()  # type: ignore[attr-defined]
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


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "gopher://127.0.0.1:1/", "http://[::1"],
)
def test_get__redirect_out_of_the_web__is_an_error(
    localnet: Localnet, alice: Address, browser: Address, url: str, target: str
) -> None:
    kind, text = localnet.write(browser, "get", f"{url}/to/{quote(target, safe='')}", sender=alice).value
    assert (kind, "WEBPAGE_LOAD_FAILED" in text) == ("error", True)


def test_get__redirect_to_another_port_of_loopback__is_followed(url: str) -> None:
    other = url.replace("127.0.0.1", "localhost")
    assert web.fetch(WebRequest(f"{url}/to/{quote(other + '/page', safe='')}")).body == PAGE.encode()


def test_reach__of_the_internet__is_public_addresses_alone(url: str, server: Any) -> None:
    with pytest.raises(WebError, match=r"127\.0\.0\.1 is no public address"):
        web.fetch_within(Reach(()), WebRequest(url))
    assert server.requests == []


@pytest.mark.parametrize("form", ["127.0.0.1", "127.0.0.1:{port}", "*", "*:{port}"])
def test_reach__with_a_host__gets_there(url: str, form: str) -> None:
    reach = Reach([form.format(port=url.rpartition(":")[2])])
    assert web.fetch_within(reach, WebRequest(url)).body == b"hello"


@pytest.mark.parametrize("form", ["127.0.0.1:1", "localhost", "*:1"])
def test_reach__with_another_host__does_not(url: str, form: str) -> None:
    with pytest.raises(WebError, match="no public address"):
        web.fetch_within(Reach([form]), WebRequest(url))


def test_redirect__to_a_host_that_is_not_allowed__is_refused(url: str) -> None:
    reach = Reach([url.removeprefix("http://")])
    other = url.replace("127.0.0.1", "localhost")
    assert web.fetch_within(reach, WebRequest(f"{url}/to/%2Fpage")).body == PAGE.encode()
    with pytest.raises(WebError, match="no public address"):
        web.fetch_within(reach, WebRequest(f"{url}/to/{quote(other + '/page', safe='')}"))


@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [
        (["10.0.0.1"], True),
        (["127.0.0.1", "127.0.0.1"], True),
        (["1.1.1.1", "8.8.8.8"], True),
        (["1.1.1.1", "127.0.0.1"], False),
        (["1.1.1.1", "169.254.169.254"], False),
        (["127.0.0.1", "169.254.169.254"], False),
        (["127.0.0.1", "1.1.1.1", "127.0.0.1"], False),
        (["10.0.0.1", "10.0.0.2"], False),
    ],
)
def test_redirects__of_an_unbounded_fetch__lead_to_the_internet(addresses: list[str], allowed: bool) -> None:
    reach = Unbounded()
    assert [reach.allows("a.example", 80, address) for address in addresses][-1] == allowed


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "2002:7f00:1::", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "::7f00:1",
        "::ffff:0:7f00:1", "fec0::1",
    ],
)  # fmt: skip
def test_public__address_of_a_machine_or_its_network__is_not(address: str) -> None:
    assert not fetching.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::808:808"])
def test_public__address_in_the_internet__is(address: str) -> None:
    assert fetching.is_public(address)


def test_get__passwords_of_the_user__are_not_sent(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setattr(web, "_is_loopback", lambda _: False)
    monkeypatch.setenv("NO_PROXY", "*")
    assert web.fetch(WebRequest(f"{url}/credentials")).body == b"none"
    assert web.fetch(WebRequest(f"{url}/to/%2Fcredentials")).body == b"none"


def test_get__page_that_never_comes__is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "WHOLE_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(WebError, match="Connection"):
        web.fetch(WebRequest(f"{url}/silent"))


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
