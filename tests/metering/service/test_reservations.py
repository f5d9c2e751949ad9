"""Reserve, settle, release and extend over HTTP."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.consumer_operations import FindKey, PutTier, RevokeKey
from api_billing.metering.ledger.operations import GetRecord, ReadBalance, Reserve, Settle, Sweep
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.service import create_app

GWEI = 10**9
TOKEN = "service-token-of-the-tests-0123456789"


def balance_of(service: Any, consumer: str = "") -> tuple[int, int, int]:
    """Free, reserved and charged."""
    found = service.meter.store.call(ReadBalance(consumer or service.acme))
    return found.free_wei, found.reserved_wei, found.charged_wei


def reserved(service: Any, **given: Any) -> str:
    answer = service.reserve(**given)
    assert answer.status_code == 201, answer.text
    reservation_id: str = answer.json()["id"]
    return reservation_id


def test_reserve__credit_there__holds_the_estimate(service: Any) -> None:
    answer = service.reserve()
    assert (answer.status_code, answer.json()["balance"]["reserved_wei"]) == (201, "5000000000")


def test_reserve__by_api_key__names_its_consumer(service: Any) -> None:
    assert service.reserve(api_key=service.keys["other"]).json()["consumer"] == service.other


def test_reserve__refused_for_credit__tells_the_meter_s_hook(service: Any) -> None:
    told: list[tuple[str, str]] = []
    service.meter.on_breach = lambda request, refusal: told.append((request.route, refusal.code))
    answer = service.reserve(estimate_wei=str(101 * GWEI), route="/dear")
    assert (answer.json()["code"], told) == ("insufficient_credit", [("/dear", "insufficient_credit")])


def test_reserve__operation__is_recorded_in_place_of_the_route(service: Any) -> None:
    reservation_id = reserved(service, operation="many", route="/forecasts")
    record = service.meter.store.call(GetRecord(reservation_id))
    assert record.route == "many"


def test_reserve__limits__are_in_body_and_header_fields(service: Any) -> None:
    answer = service.reserve()
    assert answer.json()["limits"][0]["used"] == "1"
    assert answer.headers["ratelimit"] == '"month";r=999;t=1425600'


def test_reserve__amount_beyond_floats__is_exact(service: Any) -> None:
    service.meter.grant(service.acme, 2**200, grant_id=service.acme)
    wei = str(2**53 + 1)
    reservation_id = reserved(service, estimate_wei=wei)
    assert service.end("settle", reservation_id, cost_wei=wei).json()["charged_wei"] == "9007199254740993"


@pytest.mark.parametrize("amount", [5, 5.0, "5.0", "-1", "05", "1e9", "", "\uff11", "9" * 78, None, True])
def test_reserve__amount_that_is_no_decimal_string__is_refused(service: Any, amount: Any) -> None:
    assert service.reserve(estimate_wei=amount).json()["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"estimate_wei": str(101 * GWEI)}, 402, "insufficient_credit"),
        ({"consumer": "nobody"}, 403, "not_subscribed"),
        ({"consumer": " acme"}, 401, "invalid_identity"),
        ({"api_key": "ab_12345678_wrong"}, 401, "invalid_identity"),
        ({"api_key": "line\r\nbreak"}, 401, "invalid_identity"),
        ({"consumer": "acme", "api_key": "both"}, 400, "invalid_request"),
        ({"consumer": None}, 400, "invalid_request"),
        ({"api": "two words"}, 400, "invalid_request"),
        ({"route": "nul\x00"}, 400, "invalid_request"),
        ({"surprise": 1}, 400, "invalid_request"),
        ({"id": "not-a-ulid"}, 400, "invalid_request"),
    ],
)
def test_reserve__that_cannot_be__is_a_problem(service: Any, given: dict[str, Any], status: int, code: str) -> None:
    answer = service.reserve(**given)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_reserve__quota_used_up__says_when_to_retry(service: Any) -> None:
    service.meter.store.call(PutTier(Tier("none left", 0, 7)))
    service.meter.change_consumer(service.acme, tier="none left")
    answer = service.reserve()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1425600")
    assert answer.json()["violated-policies"] == ["month"]


def test_reserve__revoked_key__is_refused_at_once(service: Any) -> None:
    reserved(service, api_key=service.keys["acme"])
    key_id = service.keys["acme"].split("_")[1]
    service.meter.store.call(RevokeKey(key_id, service.clock.ms))
    assert service.reserve(api_key=service.keys["acme"]).json()["code"] == "revoked_key"


def test_reserve__refused__is_in_the_audit_log(service: Any) -> None:
    service.reserve(estimate_wei=str(101 * GWEI), request_id="r-1")
    found = service.get("/v1/records", consumer=service.acme).json()["records"]
    assert [(each["state"], each["code"], each["request_id"]) for each in found] == [
        ("refused", "insufficient_credit", "r-1")
    ]


def test_reserve__secret_in_a_wrong_request__is_not_repeated(service: Any) -> None:
    answer = service.post("/v1/reservations", api="weather", estimate_wei="x", api_key=service.keys["acme"])
    assert service.keys["acme"].split("_")[2] not in answer.text


def test_reserve__same_id_again__is_reserved_once(service: Any) -> None:
    chosen = service.new_id()
    first, second = service.reserve(id=chosen), service.reserve(id=chosen)
    assert [first.status_code, second.status_code, second.json()["id"]] == [201, 201, chosen]
    assert balance_of(service) == (95 * GWEI, 5 * GWEI, 0)


def test_reserve__id_that_has_ended__is_refused(service: Any) -> None:
    chosen = reserved(service, id=service.new_id())
    service.end("settle", chosen)
    answer = service.reserve(id=chosen)
    assert (answer.status_code, answer.json()["code"]) == (409, "reservation_ended")


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    "other", [{"consumer": "other"}, {"estimate_wei": "6000000000"}, {"api": "maps"}, {"units": 2}]
)
def test_reserve__id_of_another_request__is_a_conflict(service: Any, other: dict[str, Any], ended: bool) -> None:
    chosen = reserved(service, id=service.new_id())
    if ended and "units" not in other:
        service.end("settle", chosen)
    if "consumer" in other:
        other = {"consumer": service.other}
    answer = service.reserve(id=chosen, **other)
    assert (answer.status_code, answer.json()["code"]) == (409, "id_conflict")
    assert balance_of(service, service.other) == (100 * GWEI, 0, 0)
    assert sum(balance_of(service)[1:]) == 5 * GWEI


@pytest.mark.parametrize("off_ms", [-61_000, 61_000])
def test_reserve__id_of_another_time__is_refused(service: Any, off_ms: int) -> None:
    answer = service.reserve(id=service.new_id(service.clock.ms + off_ms))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_reserve__burst_on_little_credit__admits_exactly_what_it_covers(service: Any) -> None:
    async def burst() -> list[int]:
        transport = httpx.ASGITransport(create_app(service.meter, service_token=TOKEN))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"api": "weather", "estimate_wei": str(15 * GWEI), "consumer": service.acme}
        async with httpx.AsyncClient(transport=transport, base_url="http://meter", headers=headers) as client:
            answers = await asyncio.gather(*(client.post("/v1/reservations", json=body) for _ in range(20)))
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(burst())
    assert (statuses.count(201), statuses.count(402)) == (6, 14)


def test_settle__less_than_the_estimate__gives_the_rest_back(service: Any) -> None:
    answer = service.end("settle", reserved(service), cost_wei=str(3 * GWEI))
    assert (answer.json()["charged_wei"], answer.headers["x-cost-wei"]) == ("3000000000", "3000000000")
    assert balance_of(service) == (97 * GWEI, 0, 3 * GWEI)


def test_settle__without_a_cost__charges_the_estimate(service: Any) -> None:
    service.end("settle", reserved(service))
    assert balance_of(service) == (95 * GWEI, 0, 5 * GWEI)


def test_settle__more_than_there_is__reports_the_rest(service: Any) -> None:
    answer = service.end("settle", reserved(service), cost_wei=str(101 * GWEI)).json()
    assert (answer["charged_wei"], answer["uncollected_wei"]) == (str(100 * GWEI), str(GWEI))


def test_settle__twice__charges_once_and_says_so(service: Any) -> None:
    reservation_id = reserved(service)
    service.end("settle", reservation_id, cost_wei="7")
    again = service.end("settle", reservation_id, cost_wei="8").json()
    assert (again["repeated"], again["charged_wei"], balance_of(service)[2]) == (True, "7", 7)


def test_settle__free_status__releases(service: Any) -> None:
    answer = service.end("settle", reserved(service), status=503, cost_wei="7").json()
    assert (answer["state"], answer["charged_wei"]) == ("released", "0")
    assert balance_of(service) == (100 * GWEI, 0, 0)


def test_settle__facts_of_serving__are_in_the_record(service: Any) -> None:
    reservation_id = reserved(service, method="GET", route="/forecast/{city}")
    service.clock.ms += 40
    service.end("settle", reservation_id, status=201, response_bytes=9, tags={"tokens": 12})
    record = service.meter.store.call(GetRecord(reservation_id))
    assert (record.method, record.route, record.outcome.status) == ("GET", "/forecast/{city}", 201)
    assert (record.outcome.duration_ms, record.outcome.tags) == (40, '{"tokens":12}')


def test_settle__reserved_by_another_process__is_found(service: Any) -> None:
    now_ms = service.clock.ms
    service.meter.store.call(
        Reserve(service.new_id(), now_ms, now_ms + 1000, service.acme, "weather", service.acme, 5 * GWEI)
    )
    [record] = service.get("/v1/records", consumer=service.acme).json()["records"]
    assert service.end("settle", record["id"], cost_wei="1").json()["charged_wei"] == "1"


def test_settle__after_its_expiry__is_late(service: Any) -> None:
    reservation_id = reserved(service)
    service.clock.ms += 121_000
    service.meter.store.call(Sweep(service.clock.ms))
    assert service.end("settle", reservation_id).json()["late"] is True


def test_reservation__that_nobody_ends__expires(service: Any) -> None:
    reserved(service)
    service.clock.ms += 121_000
    service.meter.keeper.tick(service.clock.ms)
    assert balance_of(service) == (100 * GWEI, 0, 0)


def test_release__reserved__gives_everything_back(service: Any) -> None:
    answer = service.end("release", reserved(service), error="client gone")
    assert (answer.json()["state"], balance_of(service)) == ("released", (100 * GWEI, 0, 0))


def test_release__settled__is_refused(service: Any) -> None:
    reservation_id = reserved(service)
    service.end("settle", reservation_id)
    answer = service.end("release", reservation_id)
    assert (answer.status_code, answer.json()["state"]) == (409, "settled")


def test_extend__reserved__outlives_its_expiry(service: Any) -> None:
    reservation_id = reserved(service)
    assert service.end("extend", reservation_id, seconds=600).status_code == 200
    service.clock.ms += 121_000
    service.meter.keeper.tick(service.clock.ms)
    assert balance_of(service)[1] == 5 * GWEI


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain"])
@pytest.mark.parametrize("how", ["settle", "release", "extend"])
def test_ending__without_a_body__does_what_is_usual(service: Any, how: str, kind: str | None) -> None:
    path = f"/v1/reservations/{reserved(service)}/{how}"
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Content-Type": kind} if kind else {})
    answer = service.client.post(path, headers=headers)
    assert answer.status_code == 200, answer.json()
    assert answer.json().get("expires_after_seconds", 120) == 120
    assert balance_of(service)[1:] == {"settle": (0, 5 * GWEI), "release": (0, 0), "extend": (5 * GWEI, 0)}[how]


def test_extend__to_before_its_expiry__changes_nothing(service: Any) -> None:
    assert service.end("extend", reserved(service), seconds=1).status_code == 200


def test_extend__ended__is_refused(service: Any) -> None:
    reservation_id = reserved(service)
    service.end("release", reservation_id)
    assert service.end("extend", reservation_id, seconds=600).json()["code"] == "reservation_ended"


@pytest.mark.parametrize(("how", "body"), [("settle", {}), ("release", {}), ("extend", {"seconds": 1})])
def test_ending__unknown_reservation__is_not_found(service: Any, how: str, body: dict[str, Any]) -> None:
    answer = service.end(how, service.new_id(), **body)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_reservation")


CLAIM = {"key": "k 1", "fingerprint": "f1"}
STORED = {"status": 200, "headers": [["content-type", "text/plain"], ["set-cookie", "s=1"]], "body_base64": "aGk="}


def test_idempotency__served_before__replays_the_response(service: Any) -> None:
    first = reserved(service, idempotency=CLAIM)
    service.end("settle", first, response=STORED)
    again = service.reserve(idempotency=CLAIM)
    assert (again.status_code, again.json()["id"]) == (200, first)
    response = again.json()["response"]
    assert base64.b64decode(response["body_base64"]) == b"hi"
    assert response["headers"] == [["content-type", "text/plain"]]
    assert balance_of(service)[2] == 5 * GWEI


def test_idempotency__key_and_api_that_join_to_the_same_text__are_another_request(service: Any) -> None:
    reserved(service, api="a/b", idempotency={**CLAIM, "key": "c"})
    assert service.reserve(api="a", idempotency={**CLAIM, "key": "b/c"}).status_code == 201


def test_idempotency__consumer_called_like_an_account_of_receipts__is_none(service: Any) -> None:
    consumer = f"receipt:{service.acme}"
    service.meter.add_consumer(consumer)
    service.meter.grant(consumer, 5 * GWEI, grant_id=consumer)
    service.end("settle", reserved(service, consumer=consumer, idempotency=CLAIM, estimate_wei="1"))
    # Without a response to keep the key is free again.
    assert service.reserve(consumer=consumer, idempotency=CLAIM, estimate_wei="1").status_code == 201


def test_idempotency__being_served__is_a_conflict(service: Any) -> None:
    reserved(service, idempotency=CLAIM)
    answer = service.reserve(idempotency=CLAIM)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")


def test_idempotency__other_request__is_refused(service: Any) -> None:
    reserved(service, idempotency=CLAIM)
    answer = service.reserve(idempotency={**CLAIM, "fingerprint": "f2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


def test_idempotency__settled_without_a_response__is_served_again_for_what_it_costs_more(service: Any) -> None:
    service.end("settle", reserved(service, idempotency=CLAIM), cost_wei="7")
    second = reserved(service, idempotency=CLAIM)
    service.end("settle", second, cost_wei="9", response=STORED)
    assert balance_of(service)[2] == 9


def test_idempotency__served_again_and_settled_as_estimated_by_another_process__is_charged_what_is_left(
    service: Any,
) -> None:
    service.end("settle", reserved(service, idempotency=CLAIM), cost_wei=str(3 * GWEI))
    second = reserved(service, idempotency=CLAIM)
    with TestClient(create_app(service.meter, service_token=TOKEN)) as client:
        other = replace(service, client=client)
        assert other.end("settle", second).json()["charged_wei"] == str(2 * GWEI)


@pytest.mark.parametrize(
    ("method", "length", "status"), [("GET", "3", 201), ("GET", "2", 200), ("HEAD", "3", 200)]
)  # 201: served anew, 200: replayed
def test_idempotency__response_shorter_than_it_declares__is_not_kept(
    service: Any, method: str, length: str, status: int
) -> None:
    first = reserved(service, idempotency=CLAIM, method=method)
    service.end("settle", first, response={**STORED, "headers": [["Content-Length", length]]})
    assert service.reserve(idempotency=CLAIM).status_code == status


def test_idempotency__response_too_large_to_keep__is_refused_and_charged_once(service: Any) -> None:
    body = base64.b64encode(bytes(service.meter.settings.max_stored_bytes + 1)).decode()
    service.end("settle", reserved(service, idempotency=CLAIM), response={**STORED, "body_base64": body})
    again = service.reserve(idempotency=CLAIM).json()
    assert (again["state"], again["response"]["status"]) == ("replayed", 410)
    assert b"idempotency_used" in base64.b64decode(again["response"]["body_base64"])
    assert balance_of(service)[2] == 5 * GWEI


def test_idempotency__response_that_is_no_base64__is_refused(service: Any) -> None:
    reservation_id = reserved(service, idempotency=CLAIM)
    answer = service.end("settle", reservation_id, response={**STORED, "body_base64": "aGk"})
    assert answer.json()["code"] == "invalid_request"


def test_store_fails__while_reserving__is_503_and_can_be_repeated(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = service.new_id()
    broken(service, monkeypatch, Reserve)
    answer = service.reserve(id=chosen)
    assert (answer.status_code, answer.json()["code"]) == (503, "meter_unavailable")
    monkeypatch.undo()
    assert service.reserve(id=chosen).status_code == 201
    assert service.meter.keeper.unsettled == 0


def test_store_fails__while_settling__is_503_and_can_be_repeated(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reservation_id = reserved(service)
    broken(service, monkeypatch, Settle)
    assert service.end("settle", reservation_id).status_code == 503
    monkeypatch.undo()
    assert service.end("settle", reservation_id).json()["charged_wei"] == str(5 * GWEI)


def test_key__while_the_store_does_not_answer__is_no_bad_one(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(service, monkeypatch, FindKey)
    for answer in (service.reserve(api_key=service.keys["acme"]), service.get("/v1/balance", service.keys["acme"])):
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
            503,
            "meter_unavailable",
            "1",
        )


def broken(service: Any, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """The store performs operations of a kind, and their answers get lost."""
    acall = service.meter.store.acall

    async def fail(operation: Any) -> Any:
        reply = await acall(operation)
        if isinstance(operation, kind):
            raise StoreUnavailable("gone")
        return reply

    monkeypatch.setattr(service.meter.store, "acall", fail)
