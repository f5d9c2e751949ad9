"""Refusals that reach the application, or come from it, on every adapter."""

import json
from typing import Any

import pytest

from api_billing.metering import Answer, Meter, MeteredRequest, NotAllowed, current_exchange
from api_billing.metering.ledger.operations import ListRecords

from . import asgi_apps, django_apps, wsgi_apps
from .subjects import ADAPTERS, subject_of
from .terms import CREDIT_WEI, ESTIMATE_WEI, PLAIN, TERMS, open_meter


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def raising(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    """Have ``/boom`` raise what is made."""
    for apps in (asgi_apps, django_apps, wsgi_apps):
        monkeypatch.setattr(apps, "Boom", make)


def error_of(meter: Meter) -> NotAllowed:
    with pytest.raises(NotAllowed) as found:
        meter.charge("ann", 2 * CREDIT_WEI, api="inside")
    return found.value


def test_exception__of_a_charge_in_a_handler__is_its_problem_and_costs_nothing(
    adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        raising(monkeypatch, lambda _: error_of(meter))
        reply = subject.get("/boom")
        assert (reply.status, json.loads(reply.body)["code"]) == (402, "insufficient_credit")
        assert reply.fields["content-type"] == "application/problem+json"
        balance = meter.balance("ann")
        assert (balance.reserved_wei, balance.charged_wei) == (0, 0)
        states = {record.api: record.state for record in meter.store.call(ListRecords())}
        assert states == {"inside": "refused", "demo": "released"}


def test_request__refused_and_passed__is_served_for_nothing(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TERMS, "on_refusal", "pass")
    with open_meter(credit_wei=ESTIMATE_WEI - 1) as meter, subject_of(adapter, meter) as subject:
        reply = subject.get("/plain")
        assert (reply.status, reply.body, reply.cost_wei, subject.seen) == (200, PLAIN, 0, ["/plain"])
        streamed = subject.get("/stream")
        assert streamed.status == 200
        assert meter.balance("ann").charged_wei == meter.balance("ann").reserved_wei == 0
        assert {record.code for record in meter.store.call(ListRecords())} == {"insufficient_credit"}


def test_handler__of_a_request_refused_and_passed__sees_the_refusal_and_may_raise_it(
    adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(_: str) -> NotAllowed:
        exchange = current_exchange()
        assert exchange is not None
        assert exchange.refusal is not None
        return exchange.refusal

    monkeypatch.setitem(TERMS, "on_refusal", "pass")
    raising(monkeypatch, refusal)
    with open_meter(credit_wei=0) as meter, subject_of(adapter, meter) as subject:
        reply = subject.get("/boom")
        assert (reply.status, json.loads(reply.body)["code"]) == (402, "insufficient_credit")
        assert json.loads(subject.send("GET", "/boom", {}, b"").body)["code"] == "missing_identity"


def test_request__refused__has_the_answer_of_the_application(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def own(request: MeteredRequest, refusal: NotAllowed) -> Answer:
        return Answer.json(418, {"error": refusal.code, "route": request.route}, [("X-Own", "yes")])

    monkeypatch.setitem(TERMS, "on_refusal", own)
    with open_meter(credit_wei=0) as meter, subject_of(adapter, meter) as subject:
        reply = subject.get("/plain")
        assert (reply.status, json.loads(reply.body)["error"]) == (418, "insufficient_credit")
        assert (reply.fields["x-own"], reply.fields["content-type"]) == ("yes", "application/json")
        assert (subject.get("/plain", method="HEAD").body, subject.seen) == (b"", [])


def test_fields__renamed__are_so_in_every_response(adapter: str) -> None:
    with (
        open_meter(renamed_fields="X-Cost-Wei=X-Credits,RateLimit-Policy=") as meter,
        subject_of(adapter, meter) as subject,
    ):
        meter.change_consumer("ann", tier="free")
        for path in ("/plain", "/stream"):
            fields = subject.get(path).fields
            assert ("x-credits" in fields) == (path == "/plain")
            assert "ratelimit" in fields
            assert not {"x-cost-wei", "ratelimit-policy"} & fields.keys()
