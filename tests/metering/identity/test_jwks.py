"""Published keys: cached, fetched again within bounds, and still there when the issuer is not."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api_billing.metering.errors import IdentityUnavailable, InvalidSetting
from api_billing.metering.identity.jwks import KeySet

URL = "https://issuer.example/keys"
PUBLIC: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(
    ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True
)


class FakeIssuer:
    """Publishes what it is told to, or fails."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.asked = 0
        self.down = False

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        self.asked += 1
        if self.down:
            raise jwt.PyJWKClientConnectionError("down")
        return jwt.PyJWKSet([{**PUBLIC, "kid": name} for name in self.names])


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def key_set(issuer: FakeIssuer, clock: FakeClock) -> KeySet:
    return KeySet(URL, source=issuer, clock=clock, lifespan_seconds=300, refetch_seconds=30, stale_seconds=600)


def is_told(keys: KeySet, name: str) -> bool:
    """Whether it can be told that there is such a key, or none."""
    try:
        keys.fetch(name)
    except IdentityUnavailable:
        return False
    return True


def test_find__nothing_fetched_yet__is_none(clock: FakeClock) -> None:
    assert key_set(FakeIssuer("a"), clock).find("a") is None


def test_find__after_fetching__has_the_key(clock: FakeClock) -> None:
    keys = key_set(FakeIssuer("a"), clock)
    keys.fetch("a")
    assert keys.find("a") is not None


def test_find__past_the_lifespan__is_none(clock: FakeClock) -> None:
    keys = key_set(FakeIssuer("a"), clock)
    keys.fetch("a")
    clock.now += 300
    assert keys.find("a") is None


def test_fetch__many_invented_ids_at_once__asks_the_issuer_once(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    assert [keys.fetch(f"invented {number}") for number in range(50)] == [None] * 50
    assert issuer.asked == 1


def test_fetch__many_invented_ids__asks_the_issuer_five_times_and_then_once_in_the_pause(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    for second in range(300):
        clock.now += 1
        keys.fetch(f"invented {second}")
    assert issuer.asked == 5 + 299 // 30


def test_fetch__key_published_later__is_found_at_once(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    keys.fetch("a")
    issuer.names.append("b")
    clock.now += 1
    assert keys.fetch("b") is not None


def test_fetch__key_published_after_many_invented_ids__is_found_after_the_pause(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    for number in range(10):
        clock.now += 0.001
        keys.fetch(f"invented {number}")
    issuer.names.append("b")
    assert keys.fetch("b") is None
    clock.now += 30
    assert keys.fetch("b") is not None


def test_fetch__key_withdrawn__is_gone_after_the_lifespan(clock: FakeClock) -> None:
    issuer = FakeIssuer("a", "b")
    keys = key_set(issuer, clock)
    keys.fetch("a")
    issuer.names.remove("a")
    clock.now += 300
    assert keys.fetch("a") is None


def test_fetch__issuer_down__known_keys_stay_good(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    keys.fetch("a")
    issuer.down = True
    clock.now += 899
    assert keys.fetch("a") is not None


def test_fetch__issuer_down_too_long__cannot_be_told(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    keys.fetch("a")
    issuer.down = True
    clock.now += 900
    assert not is_told(keys, "a")


def test_fetch__issuer_down__new_key_cannot_be_told_until_it_answers(clock: FakeClock) -> None:
    issuer = FakeIssuer("a")
    keys = key_set(issuer, clock)
    keys.fetch("a")
    issuer.down = True
    clock.now += 1
    assert not is_told(keys, "b")
    issuer.down = False
    clock.now += 30
    assert keys.fetch("b") is None


def test_fetch__issuer_down__is_logged_and_not_asked_again_within_the_pause(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = FakeIssuer("a")
    issuer.down = True
    keys = key_set(issuer, clock)
    with caplog.at_level(logging.WARNING):
        assert not is_told(keys, "a")
        clock.now += 20.5
        with pytest.raises(IdentityUnavailable, match=r"issuer\.example") as caught:
            keys.fetch("a")
    assert (issuer.asked, len(caplog.records), caught.value.retry_after_seconds) == (1, 1, 10)
    issuer.down = False
    clock.now += 10
    assert keys.fetch("a") is not None


def test_fetch__two_keys_and_no_id__is_none(clock: FakeClock) -> None:
    assert key_set(FakeIssuer("a", "b"), clock).fetch("") is None


@pytest.mark.parametrize("url", ["", "http://issuer.example/keys", "file:///etc/passwd", "issuer.example", "ftp://h/k"])
def test_key_set__url_that_is_not_https__invalid_setting(url: str) -> None:
    with pytest.raises(InvalidSetting, match="https"):
        KeySet(url)


@pytest.mark.parametrize("url", ["https://ann:S3cr3t@issuer.example/keys", "http://:S3cr3t@127.0.0.1/keys", "S3cr3t@h"])
def test_key_set__url_with_credentials__is_refused_without_showing_them(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        KeySet(url)
    assert "S3cr3t" not in str(caught.value)


SLOW: list[str] = []
ARRIVED, DONE = threading.Event(), threading.Event()
NONSENSE = {
    "/html": "<html>",
    "/list": "[]",
    "/deep": "[" * 100_000,
    "/text": '{"keys": "a"}',
    "/large": " " * (2**20 + 1),
}


class Issuer(http.server.BaseHTTPRequestHandler):
    """Serves one key at /keys, nonsense at some paths, a byte now and then at /slow, and a redirect elsewhere."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            SLOW.append(self.path)
            ARRIVED.set()
            with suppress(ConnectionError):
                while not DONE.wait(0.01):
                    self.wfile.write(b"H")
            return
        found = {"/keys": json.dumps({"keys": [{**PUBLIC, "kid": "a"}]}), **NONSENSE}.get(self.path)
        self.send_response(200 if found else 302)
        if found is None:
            self.send_header("location", "/keys")
        self.end_headers()
        self.wfile.write((found or "").encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def issuer_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    DONE.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetch__over_http__has_the_published_key(issuer_url: str) -> None:
    assert KeySet(f"{issuer_url}/keys").fetch("a") is not None


@pytest.mark.parametrize("path", [*NONSENSE, "/redirect"])
def test_fetch__nonsense_or_redirect__cannot_be_told(issuer_url: str, path: str) -> None:
    assert not is_told(KeySet(f"{issuer_url}{path}"), "a")


def test_fetch__that_dribbles_in__is_given_up_in_time_and_not_begun_beside_it(issuer_url: str) -> None:
    keys = KeySet(f"{issuer_url}/slow", timeout_seconds=0.2, refetch_seconds=0)
    assert [is_told(keys, "a"), is_told(keys, "a")] == [False, False]
    assert ARRIVED.wait(30)
    assert len(SLOW) == 1


def test_fetch__nobody_listens__cannot_be_told() -> None:
    assert not is_told(KeySet("http://127.0.0.1:9/keys", timeout_seconds=1), "a")
