"""Administration over HTTP: who may, and that what is told and changed is what the meter has."""

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter, Quota, from_address
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.consumer_operations import GetProfile
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Outcome, Record
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.service import create_app

TOKEN = "service-token-of-the-tests-0123456789"
ADMIN = "admin-token-of-the-tests-0123456789"


class Clock:
    """Milliseconds that only tests move."""

    ms = 1_768_478_400_000  # 2026-01-15T12:00Z

    def __call__(self) -> int:
        return self.ms


READS = (
    "/v1/consumers",
    "/v1/keys",
    "/v1/tiers",
    "/v1/summary",
    "/v1/status",
    "/v1/limits?api=weather",
    "/v1/reconciliation?api=weather",
    "/v1/statements?consumer=a&month=2026-01",
)
WRITES = (
    ("POST", "/v1/consumers"),
    ("PATCH", "/v1/consumers/acme"),
    ("POST", "/v1/consumers/acme/reset"),
    ("POST", "/v1/keys"),
    ("PATCH", "/v1/keys/12345678"),
    ("POST", "/v1/keys/12345678/rotate"),
    ("POST", "/v1/keys/12345678/revoke"),
    ("POST", "/v1/credit"),
    ("PUT", "/v1/tiers"),
    ("PUT", "/v1/limits"),
)
GWEI = 10**9


@pytest.mark.parametrize("token", ["", "wrong", ADMIN[:-1], TOKEN, "{key}"])
def test_admin__other_credentials__are_refused_on_every_route(service: Any, token: str) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    routes = [(way, path) for path, ways in paths.items() for way in ways if "administration" in ways[way]["tags"]]
    answers = [service.admin(way.upper(), path, token.format(key=service.keys["acme"])) for way, path in routes]
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(401, "invalid_admin_token")] * len(routes)
    assert {path for _, path in routes} >= {path.partition("?")[0] for path in READS}


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("token", ["", TOKEN, "{key}"])
def test_admin__other_credentials__change_nothing_and_no_body_is_read(
    service: Any, method: str, path: str, token: str
) -> None:
    answer = service.admin(method, path, token.format(key=service.keys["acme"]), body={"consumer": "forged"})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_admin_token")
    assert answer.headers["connection"] == "close"
    assert service.meter.store.call(GetProfile("forged")) is None


@pytest.mark.parametrize("path", READS)
def test_admin__without_a_token_set__is_not_there(service: Any, path: str) -> None:
    client = TestClient(create_app(service.meter, service_token=TOKEN))
    for token in ("", TOKEN):
        answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("token", ["x" * 15, "é" * 7, TOKEN])
def test_admin_token__short_or_that_of_services__is_refused(service: Any, token: str) -> None:
    with pytest.raises(InvalidSetting, match="token"):
        create_app(service.meter, service_token=TOKEN, admin_token=token)


def test_admin_token__reads_the_usage_of_anybody(service: Any) -> None:
    answer = service.admin("GET", "/v1/usage", consumer=service.acme)
    assert (answer.json()["consumer"], answer.json()["usage"]) == (service.acme, [])


def test_admin_token__does_not_meter(service: Any) -> None:
    answer = service.admin("POST", "/v1/reservations", body={})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_service_token")


def test_consumers__listed_by_pages__are_all_of_them_once() -> None:
    with Meter.open("memory://") as meter:
        for name in "cab":
            meter.add_consumer(name, tier="pro")
        client = TestClient(create_app(meter, service_token="x" * 16, admin_token="y" * 16))
        client.headers["Authorization"] = f"Bearer {'y' * 16}"
        first = client.get("/v1/consumers?limit=2").json()
        second = client.get(f"/v1/consumers?limit=2&after={first['next']}").json()
    assert [each["consumer"] for page in (first, second) for each in page["consumers"]] == ["a", "b", "c"]
    assert first["consumers"][0] == {"consumer": "a", "tier": "pro", "disabled": False, "quotas": [], "budgets": []}
    assert second["next"] is None


def test_tiers__listed__are_the_meters(service: Any) -> None:
    tiers = {tier["name"]: tier for tier in service.admin("GET", "/v1/tiers").json()["tiers"]}
    assert tiers["pro"] == {"name": "pro", "monthly_calls": "10000", "retention_days": 30, "quotas": []}
    assert tiers["enterprise"]["monthly_calls"] is None


DAILY = {"name": "daily", "period": "day", "limit": "5", "unit": "calls", "anchor": None}
SPEND = {"name": "spend", "period": "month", "limit_wei": str(10**30), "anchor": "2026-01-31"}


def test_consumer__made__is_there_and_stays_as_it_was(service: Any) -> None:
    name = f"new/{service.acme} ü"
    made = service.admin("POST", "/v1/consumers", body={"consumer": name, "tier": "pro", "quotas": [DAILY]}).json()
    assert (made["consumer"], made["tier"], made["quotas"]) == (name, "pro", [DAILY])
    assert service.admin("POST", "/v1/consumers", body={"consumer": name}).json() == made
    assert service.admin("GET", f"/v1/consumers/{name}").json() == {
        **made,
        "credit": {"granted_wei": "0", "free_wei": "0", "reserved_wei": "0", "charged_wei": "0"},
        "limits": [
            {"name": "month", "unit": "calls", "limit": "10000", "used": "0", "renews_ms": 1_769_904_000_000},
            {"name": "daily", "unit": "calls", "limit": "5", "used": "0", "renews_ms": 1_768_521_600_000},
        ],
    }


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        ({"tier": "free"}, ["tier"]),
        ({"quotas": []}, ["quotas"]),
        ({"quotas": [{**DAILY, "limit": "6"}], "budgets": [SPEND]}, ["quotas", "budgets"]),
        ({"tier": "pro", "quotas": [DAILY]}, []),
    ],
)
def test_consumer__made_again_otherwise__is_told_and_stays(service: Any, given: Any, differs: list[str]) -> None:
    body = {"consumer": f"twice {service.acme}", "tier": "pro", "quotas": [DAILY]}
    made = service.admin("POST", "/v1/consumers", body=body).json()
    again = service.admin("POST", "/v1/consumers", body={"consumer": body["consumer"], **given})
    if differs:
        assert (again.status_code, again.json()["code"]) == (409, "id_conflict")
        assert f"differs in {', '.join(differs)}: PATCH" in again.json()["detail"]
    else:
        assert (again.status_code, again.json()) == (200, made)
    assert service.admin("GET", f"/v1/consumers/{body['consumer']}").json().items() >= made.items()


def test_consumer__changed__has_what_was_given_and_the_rest(service: Any) -> None:
    path = f"/v1/consumers/{service.acme}"
    changed = service.admin("PATCH", path, body={"tier": "pro", "budgets": [SPEND]}).json()
    assert (changed["tier"], changed["disabled"], changed["budgets"][0]["limit_wei"]) == ("pro", False, str(10**30))
    assert service.admin("PATCH", path, body={"disabled": True}).json() == {**changed, "disabled": True}
    assert service.reserve().json()["code"] == "disabled"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/consumers/nobody", None, 404),
        ("GET", "/v1/balance?consumer=nobody", None, 404),
        ("PATCH", "/v1/consumers/nobody", {}, 404),
        ("POST", "/v1/consumers/nobody/reset", {"window": "month"}, 404),
        ("POST", "/v1/consumers/{acme}/reset", {"window": "nothing"}, 400),
        ("POST", "/v1/consumers", {"consumer": " a"}, 400),
        ("POST", "/v1/consumers", {"consumer": "a", "tier": "platinum"}, 400),
        ("PATCH", "/v1/consumers/{acme}", {"teir": "pro"}, 400),
        ("POST", "/v1/keys", {"consumer": "nobody"}, 404),
        ("POST", "/v1/keys", {"consumer": "{acme}", "expires_ms": 5}, 400),
        ("POST", "/v1/keys", {"consumer": "{acme}", "text": "short"}, 400),
        ("POST", "/v1/keys", {"consumer": "{acme}", "per": "month"}, 400),
        ("POST", "/v1/keys/12345678/rotate", None, 404),
        ("POST", "/v1/keys/12345678/revoke", None, 404),
        ("POST", "/v1/credit", {"consumer": "nobody", "amount_wei": "1", "grant_id": "a"}, 404),
        ("POST", "/v1/credit", {"consumer": "{acme}", "amount_wei": "-999999999999", "grant_id": "b"}, 409),
        ("POST", "/v1/credit", {"consumer": "{acme}", "amount_wei": "1", "grant_id": "first of {acme}"}, 409),
        ("PUT", "/v1/tiers", {"name": "x"}, 400),
        ("GET", "/v1/statements?consumer=nobody&month=2026-01", None, 404),
        ("GET", "/v1/statements?consumer={acme}&month=2026-13", None, 400),
    ],
)
def test_admin__what_cannot_be__is_told(service: Any, method: str, path: str, body: Any, status: int) -> None:
    body = body and {
        name: value.format(acme=service.acme) if type(value) is str else value for name, value in body.items()
    }
    answer = service.admin(method, path.format(acme=service.acme), body=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("client", ["203.0.113.7", "2001:db8::9"])
def test_reset__of_an_anonymous_client__lets_it_go_on(service: Any, client: str) -> None:
    terms = service.meter.metering("weather", limits=["1/day; per=address; on=api"], identify=from_address())

    def is_served() -> bool:
        request = MeteredRequest("GET", "/", TextHeaders([]), client=client, at_ms=service.clock.ms)
        return Exchange(terms, request).begin() is None

    assert [is_served(), is_served()] == [True, False]
    path = f"/v1/consumers/ip:{client}/reset"
    assert service.admin("POST", path, body={"window": "1-per-day-per-address-on-api"}).json()["was"] == "1"
    assert is_served()


def test_reset__of_a_window__is_what_it_was(service: Any) -> None:
    service.reserve()
    path = f"/v1/consumers/{service.acme}/reset"
    assert service.admin("POST", path, body={"window": "month"}).json() == {"window": "month", "was": "1"}
    assert (
        service.admin("GET", "/v1/records", consumer=service.acme, state="reset").json()["records"][0]["route"]
        == "month"
    )


def test_reset__of_a_limit_of_requests__is_of_these(service: Any) -> None:
    service.meter.set_limit("weather", "7/day; on=api; name=reads")
    service.reserve()
    path = f"/v1/consumers/{service.acme}/reset"
    answer = service.admin("POST", path, body={"window": "reads", "api": "weather"})
    service.meter.remove_limit("weather", "reads")
    assert answer.json() == {"window": "reads", "was": "1"}
    assert service.admin("POST", path, body={"window": "reads"}).json() == {"window": "reads", "was": "0"}
    assert service.admin("POST", path, body={"window": "writes"}).status_code == 400


def test_key__made_limited__is_shown_once_and_works(service: Any) -> None:
    service.clock.ms += 1
    body = {"consumer": service.acme, "label": "page", "apis": ["weather"], "cap_wei": str(6 * GWEI), "per": "day"}
    made = service.admin("POST", "/v1/keys", body=body)
    assert made.status_code == 201
    key = made.json()["key"]
    assert [service.reserve(api_key=key).status_code for _ in range(2)] == [201, 429]
    listed = service.admin("GET", "/v1/keys", consumer=service.acme)
    assert key not in listed.text
    assert {name: value for name, value in made.json().items() if name != "key"} in listed.json()["keys"]


def test_key__imported_short_or_otherwise__is_told_what_is_wrong(service: Any) -> None:
    body = {"consumer": service.acme, "text": "short"}
    assert "at least 16 characters" in service.admin("POST", "/v1/keys", body=body).json()["detail"]
    body["text"] = f"sk_live_{service.acme.replace(' ', '_')}_twice"
    service.admin("POST", "/v1/keys", body=body)
    again = service.admin("POST", "/v1/keys", body={**body, "label": "x"})
    assert (again.status_code, again.json()["code"]) == (409, "id_conflict")
    assert again.json()["detail"].endswith("is there already, of another consumer or with other terms")


def test_key__imported__works_and_is_not_told(service: Any) -> None:
    text = f"sk_live_{service.acme.replace(' ', '_')}_0123456789"
    made = service.admin("POST", "/v1/keys", body={"consumer": service.acme, "text": text})
    assert (made.status_code, made.json()["key"], text in made.text) == (201, None, False)
    assert service.reserve(api_key=text).status_code == 201


def test_key__rotated_and_revoked__is_good_as_long_as_it_says(service: Any) -> None:
    old = service.keys["acme"]
    key_id = old.split("_")[1]
    made = service.admin("POST", f"/v1/keys/{key_id}/rotate", body={"overlap_seconds": 60}).json()
    new = made["key"]
    assert [service.reserve(api_key=key).status_code for key in (old, new)] == [201, 201]
    service.clock.ms += 60_000
    assert [service.reserve(api_key=key).status_code for key in (old, new)] == [401, 201]
    assert service.admin("POST", f"/v1/keys/{made['key_id']}/rotate").status_code == 201
    assert service.admin("POST", f"/v1/keys/{key_id}/rotate").status_code == 409
    revoked = service.admin("POST", f"/v1/keys/{made['key_id']}/revoke").json()
    assert revoked["revoked_ms"] == service.clock.ms
    assert service.reserve(api_key=new).json()["code"] == "revoked_key"


def test_key__changed__has_what_was_given_and_the_rest(service: Any) -> None:
    body = {"consumer": service.acme, "label": "page", "cap_wei": "7", "per": "day", "apis": ["maps"]}
    made = service.admin("POST", "/v1/keys", body=body).json()
    path = f"/v1/keys/{made['key_id']}"
    assert service.reserve(api_key=made["key"], estimate_wei="1").json()["code"] == "key_scope"
    changed = service.admin("PATCH", path, body={"apis": ["weather"], "cap_wei": "9"}).json()
    assert (changed["label"], changed["apis"]) == ("page", ["weather"])
    assert [(each["limit"], each["period"]) for each in changed["quotas"]] == [("9", "day")]
    assert service.reserve(api_key=made["key"], estimate_wei="9").status_code == 201
    assert service.reserve(api_key=made["key"], estimate_wei="1").json()["code"] == "quota_exceeded"
    assert service.admin("PATCH", path, body={"per": None}).json()["quotas"][0]["period"] == "day"
    assert service.admin("PATCH", path, body={"cap_wei": None}).json()["quotas"] == []
    assert service.reserve(api_key=made["key"], estimate_wei="1").status_code == 201
    both = {"quotas": [DAILY], "tier": "pro"}
    assert {name: service.admin("PATCH", path, body=both).json()[name] for name in both} == both
    assert service.admin("PATCH", path, body={"label": "x"}).json()["quotas"] == [DAILY]
    assert service.admin("PATCH", path, body={"tier": "platinum"}).status_code == 400
    assert service.admin("PATCH", path, body={"quotas": None, "tier": None}).json()["quotas"] == []
    assert service.admin("PATCH", "/v1/keys/12345678", body={"label": "x"}).status_code == 404


def test_keys__listed_by_pages__are_all_of_them_once(service: Any) -> None:
    for label in ("b", "c"):
        service.clock.ms += 1
        service.meter.create_key(service.acme, label=label)
    first = service.admin("GET", "/v1/keys", consumer=service.acme, limit=2).json()
    second = service.admin("GET", "/v1/keys", consumer=service.acme, limit=2, after=first["next"]).json()
    labels = {key.key_id: key.label for key in service.meter.keys(service.acme)}
    found = [(key["key_id"], key["label"]) for page in (first, second) for key in page["keys"]]
    assert found == sorted(labels.items())
    assert (len(first["keys"]), second["next"]) == (2, None)
    assert service.admin("GET", "/v1/keys", consumer="x" * 200).json() == {"keys": [], "next": None}


def test_credit__of_all_that_can_be_counted__is_told_and_reserved_from(service: Any) -> None:
    service.meter.add_consumer("rich")
    most = 2**256 - 1
    for amount, grant_id in ((10**77 - 1, "rich 1"), (most - 10**77 + 1, "rich 2")):
        body = {"consumer": "rich", "amount_wei": str(amount), "grant_id": grant_id}
        answer = service.admin("POST", "/v1/credit", body=body)
        assert answer.status_code == 200, answer.text
    assert service.admin("GET", "/v1/consumers/rich").json()["credit"]["free_wei"] == str(most)
    service.meter.set_quota("rich", Quota("spend", "day", most, "wei"))
    assert service.reserve(consumer="rich").status_code == 201
    assert service.admin("GET", "/v1/consumers/rich").json()["quotas"][0]["limit"] == str(most)
    body = {"consumer": "rich", "amount_wei": "1", "grant_id": "rich 3"}
    assert service.admin("POST", "/v1/credit", body=body).status_code == 409
    body = {"consumer": "rich", "amount_wei": str(2**256), "grant_id": "rich 4"}
    assert service.admin("POST", "/v1/credit", body=body).status_code == 400


def test_credit__granted_twice_with_one_id__counts_once(service: Any) -> None:
    body = {"consumer": service.acme, "amount_wei": str(GWEI), "grant_id": f"17 of {service.acme}", "note": "invoice"}
    answers = [service.admin("POST", "/v1/credit", body=body).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert (answers[0]["consumer"], answers[0]["free_wei"]) == (service.acme, str(101 * GWEI))


def test_tier__put__is_defined(service: Any) -> None:
    body = {"name": "of a test", "monthly_calls": "7", "retention_days": 3, "quotas": [DAILY]}
    assert service.admin("PUT", "/v1/tiers", body=body).json() == body
    assert body in service.admin("GET", "/v1/tiers").json()["tiers"]


@pytest.fixture
def small() -> Any:
    """An HTTP meter that has only what a test does."""
    clock = Clock()
    with Meter.open("memory://", clock_ms=clock, randrange=lambda _: 0, key_pepper="x" * 16) as meter:
        app = create_app(meter, service_token=TOKEN, admin_token="y" * 16)
        with TestClient(app, raise_server_exceptions=False) as client:
            client.headers["Authorization"] = f"Bearer {'y' * 16}"
            yield Small(client, meter, clock)


class Small(NamedTuple):
    client: TestClient
    meter: Meter
    clock: Clock

    def serve(self, api: str = "weather", cost_wei: int = 5, end: str = "settle", consumer: str = "acme") -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"api": api, "estimate_wei": str(cost_wei), "consumer": consumer}
        made = self.client.post("/v1/reservations", json=body, headers=headers)
        if end and made.status_code == 201:
            self.client.post(f"/v1/reservations/{made.json()['id']}/{end}", headers=headers)

    def get(self, path: str) -> Any:
        return self.client.get(path).json()


def sums(*charged_wei: int) -> dict[str, Any]:
    calls = len(charged_wei)
    return {"calls": calls, "units": calls, "charged_wei": str(sum(charged_wei)), "uncollected_wei": "0"}


def test_summary__of_a_meter__is_what_happened(small: Small) -> None:
    meter, clock = small.meter, small.clock
    meter.add_consumer("acme")
    meter.grant("acme", 100, grant_id="first")
    meter.create_key("acme")
    small.serve()
    clock.ms += 86_400_000
    small.serve(api="maps")
    small.serve(cost_wei=7, end="")
    small.serve(cost_wei=1_000)
    small.serve(consumer="nobody")
    assert small.get("/v1/summary") == {
        "at_ms": clock.ms,
        "contract": None,
        "network": None,
        "currency": "GEN",
        "currency_decimals": 18,
        "consumers": 1,
        "keys": 1,
        "today": {"calls": 1, "units": 1, "charged_wei": "5", "uncollected_wei": "0"},
        "month": {"calls": 2, "units": 2, "charged_wei": "10", "uncollected_wei": "0"},
        "apis": [
            {"api": "maps", "today": sums(5), "month": sums(5)},
            {"api": "weather", "today": sums(), "month": sums(5)},
        ],
        "refusals": {"by_code": {"insufficient_credit": 1, "not_subscribed": 1}, "is_complete": True},
        "reserved": {"requests": 1, "wei": "7", "is_complete": True},
        "unsettled": [],
    }


def test_reason__of_a_refusal__is_in_records_and_summary(small: Small) -> None:
    at_ms, outcome = small.clock.ms, Outcome(403, error="api_paused")
    note = Record(new_id(at_ms), at_ms, "refused", "weather", "acme", "", "", "GET", "/", "", 0, 0)
    small.meter.note(replace(note, code="not_subscribed", outcome=outcome))
    (told,) = small.get("/v1/records?consumer=acme")["records"]
    assert (told["code"], told["reason"]) == ("not_subscribed", "api_paused")
    assert small.get("/v1/summary")["refusals"]["by_code"] == {"not_subscribed/api_paused": 1}


def test_summary__asked_again__is_soon_what_it_is_then(small: Small) -> None:
    small.meter.add_consumer("acme")
    small.meter.grant("acme", 100, grant_id="first")
    assert small.get("/v1/summary")["today"]["calls"] == 0
    small.serve()
    assert small.get("/v1/summary")["today"]["calls"] == 0  # as it was
    small.clock.ms += 2_000
    assert small.get("/v1/summary")["today"]["calls"] == 1


def test_statement__of_a_month__adds_up(small: Small) -> None:
    meter, clock = small.meter, small.clock
    meter.add_consumer("acme")
    meter.grant("acme", 100, grant_id="december")
    small.serve(cost_wei=20)
    clock.ms = 1_769_904_000_000  # 2026-02-01
    meter.grant("acme", 50, grant_id="february", note="invoice 18")
    small.serve(cost_wei=5)
    small.serve(api="maps", cost_wei=6)
    clock.ms += 28 * 86_400_000
    small.serve(cost_wei=1)
    statement = small.get("/v1/statements?consumer=acme&month=2026-02")
    assert (statement["opening_wei"], statement["closing_wei"]) == ("80", "119")
    assert statement["grants"] == [
        {"grant_id": "february", "at_ms": 1_769_904_000_000, "amount_wei": "50", "note": "invoice 18"}
    ]
    assert {each["api"]: each["charged_wei"] for each in statement["usage"]} == {"maps": "6", "weather": "5"}
    assert statement["total"] == {"calls": 2, "units": 2, "charged_wei": "11", "uncollected_wei": "0"}
    assert small.get("/v1/statements?consumer=acme&month=2026-03")["closing_wei"] == "118"
    assert small.get("/v1/statements?consumer=acme&month=2025-12")["closing_wei"] == "0"
