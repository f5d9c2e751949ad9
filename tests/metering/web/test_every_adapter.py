"""What every adapter does alike; each under its framework's own test client."""

import json
from contextlib import suppress
from typing import Any

import pytest

from api_billing.metering.errors import IdentityUnavailable, StoreUnavailable
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.meter import Meter
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import Identity
from api_billing.metering.stores.steps import Blocking, Steps

from .subjects import ADAPTERS, Subject, subject_of
from .terms import BASE_WEI, CHUNKS, CREDIT_WEI, ESTIMATE_WEI, OWN_COST_WEI, PLAIN, Boom, open_meter

KEY = {"Idempotency-Key": '"one"'}


def charged(subject: Subject) -> int:
    balance = subject.meter.balance("ann")
    assert balance.reserved_wei == 0, "something stays reserved"
    return balance.charged_wei


def test_request__served__is_charged_by_its_response(subject: Subject) -> None:
    reply = subject.get("/plain")
    assert (reply.status, reply.body, reply.cost_wei) == (200, PLAIN, BASE_WEI + len(PLAIN))
    assert charged(subject) == reply.cost_wei


def test_request__served__carries_rate_limit_fields() -> None:
    for name in ADAPTERS:
        with open_meter() as meter, subject_of(name, meter) as subject:
            meter.change_consumer("ann", tier="free")
            fields = subject.get("/plain").fields
            assert {"ratelimit", "ratelimit-policy", "x-ratelimit-remaining"} <= fields.keys(), name
            assert fields["x-ratelimit-remaining"] == "999", name


def test_request__of_nobody__is_refused_before_the_handler(subject: Subject) -> None:
    reply = subject.send("GET", "/plain", {}, b"")
    assert (reply.status, json.loads(reply.body)["code"]) == (401, "missing_identity")
    assert reply.fields["content-type"] == "application/problem+json"
    assert subject.seen == []


def away(request: MeteredRequest) -> Steps[Identity]:
    yield Blocking(lambda: None)
    raise IdentityUnavailable("the issuer of 127.0.0.1 does not answer", 7)


def without_a_store(request: MeteredRequest) -> Steps[Identity]:
    yield Blocking(lambda: None)
    raise StoreUnavailable("the store of 127.0.0.1 does not answer")


@pytest.mark.parametrize(("who", "wait", "reason"), [(away, "7", "identity_unknown"), (without_a_store, "1", None)])
def test_request__of_whom_nobody_can_tell__is_503_and_not_the_clients_fault(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, who: Any, wait: str, reason: str | None
) -> None:
    monkeypatch.setattr(subject.meter, "identify", who)
    reply = subject.get("/plain")
    problem = json.loads(reply.body)
    assert (reply.status, problem["code"], problem.get("reason")) == (503, "meter_unavailable", reason)
    assert (reply.fields["retry-after"], "www-authenticate" in reply.fields) == (wait, False)
    assert (subject.seen, b"127.0.0.1" in reply.body) == ([], False)


def test_request__of_whom_an_identity_provider_cannot_tell__is_refused_with_fail_open_too() -> None:
    for name in ADAPTERS:
        with open_meter(fail_open=True) as meter, subject_of(name, meter) as subject:
            meter.identify = away
            assert (subject.get("/plain").status, subject.seen) == (503, []), name


def test_request__without_credit__is_refused_before_the_handler(subject: Subject) -> None:
    subject.meter.grant("ann", ESTIMATE_WEI - 1 - CREDIT_WEI, grant_id="taken back")
    reply = subject.get("/plain")
    assert (reply.status, json.loads(reply.body)["code"]) == (402, "insufficient_credit")
    assert (subject.seen, charged(subject)) == ([], 0)


def test_exception__before_the_response__goes_on_and_costs_nothing(subject: Subject) -> None:
    with pytest.raises(Boom, match="before anything"):
        subject.get("/boom")
    assert charged(subject) == 0


def test_exception__within_a_stream__costs_nothing(subject: Subject) -> None:
    with pytest.raises(Boom, match="in the middle"):
        subject.get("/torn")
    assert charged(subject) == 0


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_response__not_found__is_charged_and_says_so(meter: Meter, adapter: str) -> None:
    with subject_of(adapter, meter) as subject:
        reply = subject.get("/missing")
        assert reply.status == 404
        assert charged(subject) >= BASE_WEI
        if not adapter.startswith("django-decorator"):  # Django makes it outside of them
            assert reply.cost_wei == charged(subject)


@pytest.mark.parametrize(("path", "method", "status"), [("/nowhere", "GET", 404), ("/plain", "PATCH", 405)])
@pytest.mark.parametrize("adapter", ["starlette-middleware", "fastapi-middleware", "flask-extension"])
def test_response__of_the_router__says_what_it_cost(
    meter: Meter, adapter: str, path: str, method: str, status: int
) -> None:
    with subject_of(adapter, meter) as subject:
        reply = subject.get(path, method=method)
        assert (reply.status, subject.seen) == (status, [])
        assert reply.cost_wei == charged(subject) > 0


def test_response__of_a_failing_server__is_free(subject: Subject) -> None:
    reply = subject.get("/fail")
    assert (reply.status, reply.cost_wei) == (503, 0)
    assert charged(subject) == 0


def test_stream__read_to_its_end__is_charged_for_all_chunks(subject: Subject) -> None:
    reply = subject.get("/stream")
    assert reply.body == b"".join(CHUNKS)
    assert charged(subject) == BASE_WEI + len(reply.body)


def test_head__is_metered__at_the_base_price(subject: Subject) -> None:
    reply = subject.get("/plain", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert charged(subject) == BASE_WEI


PREFLIGHT = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
WHOLE = ("asgi", "wsgi", "starlette-middleware", "fastapi-middleware", "django-middleware", "django-middleware-async")


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://page.example"}], ids=["plain", "of-a-page"])
def test_options__that_a_handler_answers__is_metered(subject: Subject, headers: dict[str, str]) -> None:
    reply = subject.send("OPTIONS", "/plain", headers, b"")
    assert (reply.status, subject.seen) == (401, [])
    reply = subject.get("/plain", headers, method="OPTIONS")
    assert (reply.status, reply.body, charged(subject)) == (200, PLAIN, BASE_WEI + len(PLAIN))


@pytest.mark.parametrize("path", ["/plain", "/stream"])
@pytest.mark.parametrize("adapter", WHOLE)
def test_preflight__where_middleware_meters__passes_and_is_answered_without_a_body(
    meter: Meter, adapter: str, path: str
) -> None:
    with subject_of(adapter, meter) as subject:
        reply = subject.send("OPTIONS", path, PREFLIGHT, b"")
        assert reply.body == b""
        assert "x-cost-wei" not in reply.fields
        assert reply.fields["content-length"] == "0"
        assert reply.fields.keys() - {"allow", "vary"} == {"content-length"}
        assert reply.status in (200, 405)
        assert charged(subject) == 0


@pytest.mark.parametrize("adapter", WHOLE)
def test_preflight__with_a_body__is_metered(meter: Meter, adapter: str) -> None:
    with subject_of(adapter, meter) as subject:
        assert (subject.send("OPTIONS", "/plain", PREFLIGHT, b"asked").status, subject.seen) == (401, [])


@pytest.mark.parametrize("adapter", [each for each in ADAPTERS if each not in WHOLE])
def test_preflight__that_a_handler_with_its_own_terms_answers__is_metered(meter: Meter, adapter: str) -> None:
    with subject_of(adapter, meter) as subject:
        assert subject.send("OPTIONS", "/plain", PREFLIGHT, b"").status == 401
        assert subject.seen == []


@pytest.mark.parametrize("adapter", WHOLE)
def test_preflight__metered_by_the_settings__is_refused_without_an_identity(adapter: str) -> None:
    with open_meter(excluded_methods=()) as meter, subject_of(adapter, meter) as subject:
        assert (subject.send("OPTIONS", "/plain", PREFLIGHT, b"").status, subject.seen) == (401, [])


@pytest.mark.parametrize("headers", [{}, KEY], ids=["plain", "idempotent"])
def test_large_body__reaches_the_handler__unchanged(subject: Subject, headers: dict[str, str]) -> None:
    body = bytes(range(256)) * 1024
    subject.meter.grant("ann", 10**6, grant_id="more")
    reply = subject.post("/echo", body, headers)
    assert reply.body == body
    assert charged(subject) == BASE_WEI + len(body)


def test_cost__set_by_the_handler__is_charged(subject: Subject) -> None:
    assert subject.get("/cost").cost_wei == OWN_COST_WEI
    assert charged(subject) == OWN_COST_WEI


def test_idempotent_request__repeated__is_replayed_and_charged_once(subject: Subject) -> None:
    first = subject.post("/echo", b"abc", KEY)
    second = subject.post("/echo", b"abc", KEY)
    assert (second.status, second.body) == (first.status, first.body) == (200, b"abc")
    assert (second.fields["idempotency-replayed"], second.cost_wei) == ("true", 0)
    assert charged(subject) == BASE_WEI + 3


def test_idempotent_request__answered_by_an_exception__is_replayed_too(subject: Subject) -> None:
    first = subject.post("/missing", b"", KEY)
    cost_wei = charged(subject)
    second = subject.post("/missing", b"", KEY)
    assert (first.status, second.status) == (404, 404)
    assert second.body == first.body
    assert len(subject.seen) == 1
    assert charged(subject) == cost_wei


def test_stream__cut_off_by_the_client__runs_anew_without_a_second_charge(subject: Subject) -> None:
    subject.cut("/stream", {"X-Consumer": "ann", **KEY})
    assert BASE_WEI + len(CHUNKS[0]) <= charged(subject) < BASE_WEI + len(b"".join(CHUNKS))
    second, third = subject.get("/stream", KEY), subject.get("/stream", KEY)
    assert second.body == third.body == b"".join(CHUNKS)
    assert ["idempotency-replayed" in reply.fields for reply in (second, third)] == [False, True]
    assert charged(subject) == BASE_WEI + len(second.body)


def test_stream__whose_handler_fails_midway__runs_anew(subject: Subject) -> None:
    for _ in range(2):
        with pytest.raises(Boom, match="in the middle"):
            subject.get("/torn", KEY)
    assert charged(subject) == 0


def test_response__shorter_than_it_declares__is_not_kept(subject: Subject) -> None:
    for _ in range(2):
        with suppress(RuntimeError):  # a client may notice
            subject.get("/short", KEY)
    assert subject.seen == ["/short"] * 2
    assert charged(subject) == BASE_WEI + len(PLAIN)


@pytest.mark.parametrize("path", ["/plain", "/stream"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_response__too_large_to_keep__is_refused_and_charged_once(adapter: str, path: str) -> None:
    with open_meter(max_stored_bytes=len(PLAIN) - 1) as meter, subject_of(adapter, meter) as subject:
        first, second = subject.get(path, KEY), subject.get(path, KEY)
        assert (first.status, second.status, json.loads(second.body)["code"]) == (200, 410, "idempotency_used")
        assert "idempotency-replayed" not in second.fields
        assert charged(subject) == BASE_WEI + len(first.body)


def test_head__with_a_key__is_replayed(subject: Subject) -> None:
    first, second = (subject.get("/plain", KEY, method="HEAD") for _ in range(2))
    assert (second.status, second.body, second.fields["idempotency-replayed"]) == (first.status, b"", "true")
    assert charged(subject) == BASE_WEI


def test_idempotency_key__with_another_body__is_refused(subject: Subject) -> None:
    subject.post("/echo", b"abc", KEY)
    reply = subject.post("/echo", b"abd", KEY)
    assert (reply.status, json.loads(reply.body)["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_body__longer_than_is_compared__is_refused_with_a_key(adapter: str) -> None:
    with open_meter(max_fingerprint_bytes=100) as meter, subject_of(adapter, meter) as subject:
        reply = subject.post("/echo", b"x" * 101, KEY)
        assert (reply.status, json.loads(reply.body)["code"]) == (413, "body_too_large")
        assert subject.seen == []


def test_record__of_a_request__has_route_and_status(subject: Subject) -> None:
    subject.get("/missing")
    (record,) = subject.meter.store.call(ListRecords())
    assert (record.state, record.route, record.outcome.status) == ("settled", "/missing", 404)
