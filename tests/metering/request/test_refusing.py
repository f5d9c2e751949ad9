"""Refusals answered by the application, and breaches told to it; header fields under other names."""

import json
import logging
from typing import Any

import pytest

from api_billing.metering import Answer, Meter, MeteredRequest, NotAllowed, Quota, from_header
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.settings import MeterSettings

from .test_exchange import Desk, code_of


def own(request: MeteredRequest, refusal: NotAllowed) -> Answer:
    said = {"error": refusal.code, "path": request.path}
    return Answer.json(418, said, [*refusal.headers, ("X-Own", "yes"), ("Content-Length", "7")])


async def aown(request: MeteredRequest, refusal: NotAllowed) -> Answer:
    return own(request, refusal)


class Told:
    """Notes what breaks a limit."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def __call__(self, request: MeteredRequest, refusal: NotAllowed) -> None:
        self.codes.append(refusal.code)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def refused(desk: Desk, **terms: Any) -> Answer:
    answer = desk.serve(**{"estimate_wei": 1_001, **terms})
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize("on_refusal", [own, aown])
def test_refusal__with_an_own_answer__is_answered_so(desk: Desk, on_refusal: Any) -> None:
    desk.meter.change_consumer("alice", quotas=[Quota("few", "day", 0)])
    answer = refused(desk, on_refusal=on_refusal)
    assert (answer.status, json.loads(answer.body)) == (418, {"error": "quota_exceeded", "path": "/forecast"})
    fields = dict(answer.headers)
    assert fields["content-length"] == str(len(answer.body))
    assert (fields["content-type"], fields["x-own"]) == ("application/json", "yes")
    assert {"ratelimit", "retry-after", "cache-control"} <= fields.keys()
    assert desk.records[-1].code == "quota_exceeded"


def test_refusal__that_is_left_to_the_meter__is_the_problem(desk: Desk) -> None:
    assert code_of(refused(desk, on_refusal=lambda request, refusal: None)) == (402, "insufficient_credit")


@pytest.mark.parametrize("status", [204, 304])
def test_own_answer__of_a_status_without_a_body__has_no_length(desk: Desk, status: int) -> None:
    answer = refused(desk, on_refusal=lambda *_: (status, [("X-Own", "yes"), ("Content-Length", "0")], b""))
    assert answer == (status, (("x-own", "yes"),), b"")


def raises(request: MeteredRequest, refusal: NotAllowed) -> Answer:
    raise KeyError("of its own")


@pytest.mark.parametrize(
    "on_refusal",
    [
        raises,
        lambda *_: 402,
        lambda *_: (402, (), "text"),
        lambda *_: (1_000, (), b""),
        lambda *_: (402, [("x-own", "a\r\nset-cookie: b")], b""),
        lambda *_: (402, [("x-own", "\u20ac")], b""),
        lambda *_: (402, ["x-own"], b""),
        lambda *_: (204, [], b"a status of no body"),
        lambda request, _: request.content(),
    ],
)
def test_own_answer__that_is_none__leaves_the_problem_and_is_logged(
    desk: Desk, on_refusal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request = MeteredRequest("GET", "/forecast", desk.request().headers, body=lambda: b"unread")
    exchange = Exchange(desk.metering(estimate_wei=1_001, on_refusal=on_refusal), request)
    with caplog.at_level(logging.ERROR):
        assert code_of(desk.begin(exchange)) == (402, "insufficient_credit")
    assert "on_refusal failed at 'GET' '/forecast'" in caplog.text


def test_breach__of_credit_or_a_limit__is_told(desk: Desk) -> None:
    told = Told()
    refused(desk, on_breach=told)
    desk.meter.change_consumer("alice", quotas=[Quota("few", "day", 0)])
    refused(desk, on_breach=told)
    desk.serve(("x-consumer", "bob"), on_breach=told)  # two names: no breach
    assert told.codes == ["insufficient_credit", "quota_exceeded"]


def test_breach__told_to_what_fails__refuses_all_the_same(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    assert code_of(refused(desk, on_breach=raises)) == (402, "insufficient_credit")
    assert "on_breach failed at 'GET' '/forecast': KeyError" in caplog.text


def test_breach__of_a_request_that_is_passed__is_told(desk: Desk) -> None:
    told = Told()
    assert isinstance(desk.serve(estimate_wei=1_001, on_breach=told, on_refusal="pass"), dict)
    assert told.codes == ["insufficient_credit"]


def test_hooks__of_the_meter__are_those_of_terms_without_their_own() -> None:
    told, other = Told(), Told()
    with Meter.open("memory://", identify=from_header("x-consumer"), on_refusal=own, on_breach=told) as meter:
        meter.add_consumer("alice")

        def answer(**terms: Any) -> Answer | None:
            request = MeteredRequest("GET", "/", Desk().request().headers)
            return Exchange(meter.metering("weather", estimate_wei=1, **terms), request).begin()

        assert (answer() or Answer(0, (), b"")).status == 418
        assert code_of(answer(on_refusal="answer", on_breach=other)) == (402, "insufficient_credit")
        with pytest.raises(NotAllowed) as found:
            meter.charge("alice", 1, api="jobs")
    assert (found.value.answer[0], found.value.code, found.value.status) == (418, "insufficient_credit", 402)
    assert (told.codes, other.codes) == (["insufficient_credit"] * 2, ["insufficient_credit"])


@pytest.mark.parametrize(
    "given", [{"on_refusal": "drop"}, {"on_refusal": lambda request: None}, {"on_breach": "log"}, {"on_breach": len}]
)
def test_hooks__that_cannot_be__are_refused_when_they_are_set(desk: Desk, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        desk.metering(**given)
    if callable(next(iter(given.values()))):
        with pytest.raises(InvalidSetting):
            Meter.open("memory://", **given)


NAMES = ("X-Cost-Wei=X-Credits", "RateLimit=", "RateLimit-Policy=", "X-RateLimit-Limit=X-Quota")


def test_fields__renamed__are_so_in_responses_and_refusals() -> None:
    desk = Desk(renamed_fields=NAMES)
    desk.meter.change_consumer("alice", quotas=[Quota("few", "day", 1)])
    exchange = desk.exchange()
    desk.begin(exchange)
    assert exchange.start_fields()[0] == ("x-quota", "1")
    served = desk.finish(exchange)
    assert served == {
        "x-quota": "1",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": served["x-ratelimit-reset"],
        "x-credits": "100",
    }
    assert {"x-quota", "retry-after"} <= dict(refused(desk).headers).keys()
    assert "ratelimit" not in dict(refused(desk).headers)
    with pytest.raises(NotAllowed) as found:
        desk.meter.charge("alice", 1, api="jobs")
    assert "x-quota" in dict(found.value.headers)


@pytest.mark.parametrize("pair", ["X-Cost-Wei", "Date=X", "X-Cost-Wei=a b", "=X", "X-Cost-Wei=a=b"])
def test_fields__that_cannot_be_renamed__are_an_invalid_setting(pair: str) -> None:
    with pytest.raises(InvalidSetting, match="X-Credits-Used"):
        MeterSettings.load(renamed_fields=(pair,))
