"""Delivery of alerts: signed, tried again, in the background, and without secrets in the log."""

import http.server
import json
import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any, ClassVar

import pytest

from api_billing.errors import MissingExtra
from api_billing.metering.alerts.alert import Alert, Crossing
from api_billing.metering.alerts.channels import (
    AlertDesk,
    AppriseChannel,
    LogChannel,
    WebhookChannel,
    alert_id,
    signed_headers,
    verify_webhook,
)
from api_billing.metering.errors import InvalidSetting, StoreUnavailable

SECRET = "a secret of the tests"
ALERT = Alert("dropped", "ann", 5, "credit of ann has dropped", "20%", 10**20, (("a", "b"),))
BODY = b'{"kind":"dropped"}'


def signed(**change: Any) -> dict[str, str]:
    return {**signed_headers(SECRET, "msg_1", 1_000, BODY), **change}


def test_verify_webhook__as_signed__is_accepted() -> None:
    assert verify_webhook(SECRET, signed(), BODY, now=1_000)


def test_verify_webhook__one_of_several_signatures__is_accepted() -> None:
    both = "v1,AAAA " + signed()["webhook-signature"]
    assert verify_webhook(SECRET, signed(**{"webhook-signature": both}), BODY, now=1_000)


def test_verify_webhook__secret_of_standard_webhooks__is_decoded() -> None:
    # The example of the Standard Webhooks specification's reference libraries.
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert verify_webhook(secret, headers, b'{"test": 2432232314}', now=1_614_265_330)


@pytest.mark.parametrize(
    ("headers", "body", "now"),
    [
        (signed(), b"{}", 1_000),
        (signed(**{"webhook-id": "msg_2"}), BODY, 1_000),
        (signed(**{"webhook-timestamp": "1001"}), BODY, 1_000),
        (signed(**{"webhook-timestamp": "x"}), BODY, 1_000),
        (signed(**{"webhook-signature": "v1,"}), BODY, 1_000),
        (signed(**{"webhook-signature": "é"}), BODY, 1_000),
        (signed(), BODY, 1_301),
        (signed(), BODY, 699),
        ({}, BODY, 1_000),
    ],
)
def test_verify_webhook__changed_old_or_unsigned__is_refused(headers: dict[str, str], body: bytes, now: int) -> None:
    assert not verify_webhook(SECRET, headers, body, now)


def test_verify_webhook__other_secret__is_refused() -> None:
    assert not verify_webhook(SECRET[::-1], signed(), BODY, now=1_000)


def test_alert_id__sent_again__is_the_same() -> None:
    assert alert_id(ALERT) == alert_id(Alert(*[getattr(ALERT, name) for name in Alert.__slots__]))


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what was posted, and answers with the status that the path names, or a redirect."""

    sent: ClassVar[list[tuple[Message, bytes]]] = []

    def do_POST(self) -> None:
        self.sent.append((self.headers, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("location", "/200")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a receiver; what it keeps is in ``Receiver.sent``."""
    Receiver.sent.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def webhook(address: str, status: int = 204) -> WebhookChannel:
    return WebhookChannel(f"http://{address}/{status}", SECRET, clock=lambda: 1_000.0, timeout_seconds=5)


def test_webhook__sends__json_that_a_receiver_can_verify(receiver: str) -> None:
    webhook(receiver).send(ALERT)
    [(headers, body)] = Receiver.sent
    assert headers["content-type"] == "application/json"
    assert verify_webhook(SECRET, {name.lower(): value for name, value in headers.items()}, body, now=1_000)


def test_webhook__amounts__are_strings(receiver: str) -> None:
    webhook(receiver).send(ALERT)
    assert b'"left_wei":"100000000000000000000"' in Receiver.sent[0][1]


@pytest.mark.parametrize("status", [301, 307, 400, 500])
def test_webhook__other_answer__is_a_failure_and_no_redirect_is_followed(receiver: str, status: int) -> None:
    with pytest.raises(ConnectionError, match=str(status)):
        webhook(receiver, status).send(ALERT)
    assert len(Receiver.sent) == 1


def test_webhook__receiver_that_says_nothing__is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = WebhookChannel(f"http://127.0.0.1:{silent.getsockname()[1]}/", SECRET, timeout_seconds=0.1)
        with pytest.raises(TimeoutError):
            channel.send(ALERT)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://hooks.example/x",
        "file:///x",
        "hooks.example",
        "https://[hooks.example/x",
        "https://hooks.example:x/",
        "https://hooks.example:70000/",
        "https://ann:password@hooks.example/x",
        "https://hooks.example/ä",
        "https://hooks.example/a b",
    ],
)
def test_webhook__url_that_is_not_https__invalid_setting(url: str) -> None:
    with pytest.raises(InvalidSetting, match="https"):
        WebhookChannel(url, SECRET)


@pytest.mark.parametrize(
    "secret", ["", "short", "whsec_", "whsec_c2hvcnQ=", "whsec_a secret of the tests", "whsec_äöüäöüäöü"]
)
def test_webhook__short_secret__invalid_setting(secret: str) -> None:
    with pytest.raises(InvalidSetting, match="secret"):
        WebhookChannel("https://hooks.example/x", secret)


@pytest.mark.parametrize(("kind", "level"), [("dropped", logging.WARNING), ("recovered", logging.INFO)])
def test_log_channel__kind__decides_the_level(kind: Any, level: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        LogChannel().send(Alert(kind, "ann", 5, "message"))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(level, "message")]


class FakeApprise:
    """Stands in for the package: knows URLs of json, keeps what it delivers. (The real one takes seconds to load.)"""

    works = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def Apprise(self) -> "FakeApprise":  # noqa: N802 - the package's name
        return self

    def add(self, url: str) -> bool:
        return url.startswith("json://")

    def notify(self, **rest: Any) -> bool:
        self.sent.append(rest)
        return self.works


@pytest.fixture
def fake_apprise(monkeypatch: pytest.MonkeyPatch) -> FakeApprise:
    fake = FakeApprise()
    monkeypatch.setitem(sys.modules, "apprise", fake)  # type: ignore[arg-type]
    return fake


def test_apprise__url_it_does_not_know__is_refused_without_showing_it(fake_apprise: FakeApprise) -> None:
    with pytest.raises(InvalidSetting, match="number 2") as refused:
        AppriseChannel(["json://localhost/", "nonsense://password"])
    assert "password" not in str(refused.value)


def test_apprise__delivers__title_and_message(fake_apprise: FakeApprise) -> None:
    AppriseChannel(["json://localhost/"]).send(ALERT)
    assert (fake_apprise.sent[0]["title"], fake_apprise.sent[0]["body"]) == ("api-billing: dropped", ALERT.message)


def test_apprise__cannot_deliver__is_a_failure(fake_apprise: FakeApprise) -> None:
    fake_apprise.works = False
    with pytest.raises(ConnectionError):
        AppriseChannel(["json://localhost/"]).send(ALERT)


def test_apprise__not_installed__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(MissingExtra, match=r"alert_urls needs apprise: pip install 'api-billing\[alerts\]'"):
        AppriseChannel(["json://localhost/"])


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise__the_real_one__delivers_over_http(receiver: str) -> None:
    AppriseChannel([f"json://{receiver}/"]).send(ALERT)
    assert ALERT.message in json.loads(Receiver.sent[0][1])["message"]


class RecordingChannel:
    """Keeps what it was sent, after failing as often as told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.alerts: list[Alert] = []
        self.came = threading.Event()

    def send(self, alert: Alert) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("https://user:password@hooks.example")
        self.alerts.append(alert)
        self.came.set()


class Desk:
    """An AlertDesk whose pauses are recorded instead of waited for."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.desks: list[AlertDesk] = []

    def __call__(self, *channels: Any, call: Callable[[Any], Any] = lambda _: True, **rest: Any) -> AlertDesk:
        desk = AlertDesk(call, channels, wait=lambda seconds: bool(self.pauses.append(seconds)), **rest)
        self.desks.append(desk)
        return desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    for one in made.desks:
        one.close()


CROSSING = Crossing("key", ALERT, 10)


def test_desk__first_to_ask__delivers(desk: Desk) -> None:
    channel = RecordingChannel()
    one = desk(channel)
    one.examine([CROSSING], 5)
    one.close()
    assert channel.alerts == [ALERT]


def test_desk__delivers__tells_once_for_all_channels(desk: Desk) -> None:
    told: list[Alert] = []
    one = desk(RecordingChannel(), RecordingChannel(), on_alert=told.append)
    one.send(ALERT)
    one.close()
    assert told == [ALERT]


def test_desk__in_a_forked_process__delivers_too(desk: Desk) -> None:
    channel = RecordingChannel()
    one = desk(channel)
    one.send(ALERT)
    assert channel.came.wait(10)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is the point
        child = os.fork()
    if child == 0:
        channel.alerts.clear()
        one.send(ALERT)
        one.close()
        os.write(write, bytes([len(channel.alerts)]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"\x01"
    os.close(read)
    os.close(write)


def test_desk__another_was_first__does_not_deliver(desk: Desk) -> None:
    channel = RecordingChannel()
    one = desk(channel, call=lambda _: False)
    one.examine([CROSSING], 5)
    one.close()
    assert channel.alerts == []


def test_desk__channel_fails__is_tried_again_with_growing_pauses(desk: Desk) -> None:
    channel = RecordingChannel(failures=3)
    one = desk(channel)
    one.send(ALERT)
    assert channel.came.wait(10)
    assert (channel.alerts, desk.pauses) == ([ALERT], [1.0, 2.0, 4.0])


def test_desk__channel_keeps_failing__is_given_up_and_logged_without_its_url(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    channel = RecordingChannel(failures=100)
    one = desk(channel)
    one.send(ALERT)
    one.close()
    assert channel.failures == 95
    assert "failed 5 times: ConnectionError" in caplog.text
    assert "password" not in caplog.text


def test_desk__one_channel_fails__others_still_deliver(desk: Desk) -> None:
    good = RecordingChannel()
    one = desk(RecordingChannel(failures=100), good)
    one.send(ALERT)
    one.close()
    assert good.alerts == [ALERT]


def test_desk__store_fails_once__is_asked_again(desk: Desk) -> None:
    channel = RecordingChannel()
    answers: list[Any] = [StoreUnavailable("down"), True]

    def call(_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    one = desk(channel, call=call)
    one.examine([CROSSING], 5)
    one.close()
    assert channel.alerts == [ALERT]


def test_desk__store_is_away_for_minutes__is_asked_until_it_is_back(desk: Desk) -> None:
    channel = RecordingChannel()
    away = [StoreUnavailable("down")] * 12

    def call(_: Any) -> Any:
        if away:
            raise away.pop()
        return True

    desk(channel, call=call).examine([CROSSING], 5)
    assert channel.came.wait(10)
    assert desk.pauses[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert set(desk.pauses[6:]) == {30.0}


def test_desk__closed_while_the_store_is_away__gives_up(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def call(_: Any) -> Any:
        raise StoreUnavailable("down")

    one = desk(RecordingChannel(), call=call)
    one.examine([CROSSING], 5)
    one.close()
    assert "asking the store about an alert failed" in caplog.text


def test_desk__full__loses_the_newest_and_says_so(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    go, began = threading.Event(), threading.Event()

    class Slow(RecordingChannel):
        def send(self, alert: Alert) -> None:
            began.set()
            go.wait(10)
            super().send(alert)

    channel = Slow()
    one = desk(channel, capacity=2)
    one.send(ALERT)
    assert began.wait(10)
    for _ in range(4):
        one.send(ALERT)
    go.set()
    one.close()
    assert (len(channel.alerts), caplog.text.count("an alert is lost")) == (3, 2)


def test_desk__nothing_to_examine__starts_no_thread(desk: Desk) -> None:
    before = threading.active_count()
    desk(RecordingChannel()).examine([], 5)
    assert threading.active_count() == before


def test_desk__closed__takes_nothing_more(desk: Desk) -> None:
    channel = RecordingChannel()
    one = desk(channel)
    one.close()
    one.send(ALERT)
    assert channel.alerts == []
