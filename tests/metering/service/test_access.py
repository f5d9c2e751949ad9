"""Who reaches what: the service token everything, a consumer's key its own usage, nobody else anything."""

from itertools import count
from typing import Any

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.ledger.consumer_operations import RevokeKey
from api_billing.metering.service import create_app

NUMBERS = count(10)
READS = ("balance", "usage", "records")
GWEI = 10**9


@pytest.fixture
def used(service: Any) -> Any:
    """The service after one request of each consumer."""
    for consumer, route in ((service.acme, "/of-acme"), (service.other, "/of-other")):
        reserved = service.reserve(consumer=consumer, route=route)
        service.end("settle", reserved.json()["id"], error="its own")
    return service


@pytest.mark.parametrize("read", READS)
def test_read__with_the_service_token__is_the_named_consumers(used: Any, read: str) -> None:
    assert used.get(f"/v1/{read}", consumer=used.other).json()["consumer"] == used.other


@pytest.mark.parametrize("read", READS)
def test_read__with_a_consumers_key__is_its_own(used: Any, read: str) -> None:
    answer = used.get(f"/v1/{read}", token=used.keys["acme"])
    assert answer.json()["consumer"] == used.acme
    assert "other" not in answer.text


@pytest.mark.parametrize("read", READS)
def test_read__with_a_consumers_key_of_another__is_refused(used: Any, read: str) -> None:
    answer = used.get(f"/v1/{read}", token=used.keys["acme"], consumer=used.other)
    assert (answer.status_code, answer.json()["code"]) == (403, "other_consumer")
    assert "/of-other" not in answer.text


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("order", [("acme", "other"), ("other", "acme")])
def test_read__with_a_consumers_key_naming_two__never_shows_the_other(
    used: Any, read: str, order: tuple[str, str]
) -> None:
    query = "&".join(f"consumer={getattr(used, name)}" for name in order)
    headers = {"Authorization": f"Bearer {used.keys['acme']}"}
    assert "/of-other" not in used.client.get(f"/v1/{read}?{query}", headers=headers).text


def test_records__cursor_of_another_consumer__shows_only_own(used: Any) -> None:
    [theirs] = used.get("/v1/records", consumer=used.acme).json()["records"]
    answer = used.get("/v1/records", token=used.keys["other"], after=theirs["id"])
    assert {each["route"] for each in answer.json()["records"]} <= {"/of-other"}


def test_records__of_a_consumer__have_nothing_of_the_operators(used: Any) -> None:
    [record] = used.get("/v1/records", token=used.keys["acme"]).json()["records"]
    assert {"error", "request_body", "response_body", "account", "batch"} & record.keys() == set()


@pytest.mark.parametrize("read", READS)
def test_read__service_without_a_consumer__has_to_name_one(used: Any, read: str) -> None:
    assert used.get(f"/v1/{read}").json()["code"] == "invalid_request"


@pytest.mark.parametrize("path", ["/v1/reservations", "/v1/reservations/01KEZT5N00AAAAAAAAAAAAAAAA/settle", "/metrics"])
@pytest.mark.parametrize("credential", ["", "Bearer ", "Bearer wrong", "Basic x", "Bearer {key}", "{token}"])
def test_service_only__other_credentials__are_refused(service: Any, path: str, credential: str) -> None:
    text = credential.format(key=service.keys["acme"], token="service-token-of-the-tests-0123456789")
    call = service.client.get if path == "/metrics" else service.client.post
    answer = call(path, headers={"Authorization": text})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_service_token")


@pytest.mark.parametrize(
    "credential", ["", "Bearer", "Bearer wrong", "Bearer ab_12345678_x", "Bearer é", "Bearer " + "x" * 9000]
)
def test_read__bad_credentials__are_refused(service: Any, credential: str) -> None:
    answer = service.client.get("/v1/balance", headers={"Authorization": credential.encode("latin-1")})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_read__two_authorizations__are_refused(service: Any) -> None:
    both = [("Authorization", f"Bearer {service.keys['acme']}"), ("Authorization", f"Bearer {service.keys['other']}")]
    assert service.client.get("/v1/balance", headers=both).status_code == 401


def test_read__revoked_key__is_refused_at_once(service: Any) -> None:
    key = service.keys["acme"]
    assert service.get("/v1/balance", token=key).status_code == 200
    service.meter.store.call(RevokeKey(key.split("_")[1], service.clock.ms))
    assert service.get("/v1/balance", token=key).status_code == 401


@pytest.mark.parametrize("limit", [{"apis": ["weather"]}, {"cap": 5}], ids=["apis", "cap"])
@pytest.mark.parametrize("read", READS)
def test_read__with_a_limited_key__is_refused_unless_the_settings_allow_it(
    service: Any, read: str, limit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = service.meter.create_key(service.acme, **limit).text
    assert service.get(f"/v1/{read}", token=key).json()["code"] == "limited_key"
    allowed = service.meter.settings.model_copy(update={"limited_keys_read": True})
    monkeypatch.setattr(service.meter, "settings", allowed)
    assert service.get(f"/v1/{read}", token=key).json()["consumer"] == service.acme


@pytest.mark.parametrize("length", [16, 4_096])
def test_read__with_a_key_from_elsewhere__is_its_own(service: Any, length: int) -> None:
    text = f"{next(NUMBERS)}-of-a-service-".ljust(length, "x")
    service.meter.import_key(text, service.acme)
    assert service.get("/v1/balance", token=text).json()["consumer"] == service.acme


def test_reserve__with_a_key_for_other_apis__is_refused_as_its_consumer_may_know(service: Any) -> None:
    key = service.meter.create_key(service.acme, apis=["maps"]).text
    answer = service.reserve(api_key=key)
    assert (answer.status_code, answer.json()["code"]) == (403, "key_scope")


def test_health__without_credentials__is_told(service: Any) -> None:
    assert service.client.get("/healthz").json() == {"status": "ok"}


def test_ready__without_credentials__is_whether_and_nothing_else(service: Any) -> None:
    assert service.client.get("/readyz").json() == {"status": "ok"}
    assert service.get("/readyz", token=service.keys["acme"]).json() == {"status": "ok"}


def test_ready__with_the_service_token__is_also_what_is_wrong(service: Any) -> None:
    assert service.get("/readyz").json() == {"status": "ok", "wrong": []}


@pytest.mark.parametrize("fail_open", [False, True])
def test_ready__store_away__is_a_problem_that_only_services_are_told_of(
    monkeypatch: pytest.MonkeyPatch, fail_open: bool
) -> None:
    with Meter.open("memory://", fail_open=fail_open) as meter:
        client = TestClient(create_app(meter, service_token="x" * 16))

        def fail(operations: Any) -> Any:
            raise StoreUnavailable("server db-7 is away")

        with monkeypatch.context() as broken:
            broken.setattr(meter.store, "_perform", fail)
            answer = client.get("/readyz")
            told = client.get("/readyz", headers={"Authorization": "Bearer " + "x" * 16})
            assert client.get("/healthz").status_code == 200
            asked = {"api": "weather", "consumer": "acme", "estimate_wei": "1"}
            reserved = client.post("/v1/reservations", json=asked, headers={"Authorization": "Bearer " + "x" * 16})
            assert reserved.status_code == 503
    assert (answer.status_code, answer.json()["code"], "db-7" in answer.text) == (503, "meter_unavailable", False)
    assert told.json()["wrong"] == [{"part": "store", "detail": "server db-7 is away", "stops": True}]


def test_metrics__switched_off__are_not_found(service: Any) -> None:
    assert service.get("/metrics").json()["code"] == "not_found"


def test_metrics__switched_on__count() -> None:
    with Meter.open("memory://", metrics=True) as meter:
        client = TestClient(create_app(meter, service_token="x" * 16))
        assert "api_billing_requests" in client.get("/metrics", headers={"Authorization": "Bearer " + "x" * 16}).text


@pytest.mark.parametrize("token", ["x", "y", "a", "b"])
def test_tokens__the_new_and_the_old_one__are_good(token: str) -> None:
    with Meter.open("memory://", metrics=True) as meter:
        tokens = {"service_token": f"{'x' * 16}, {'y' * 16}", "admin_token": f"{'a' * 16}\n{'b' * 16}\n"}
        client = TestClient(create_app(meter, **tokens))
        headers = {"Authorization": f"Bearer {token * 16}"}
        statuses = [client.get(path, headers=headers).status_code for path in ("/metrics", "/v1/tiers")]
        asked = {"api": "weather", "consumer": "acme", "estimate_wei": "1"}
        statuses.append(client.post("/v1/reservations", json=asked, headers=headers).status_code)
    assert statuses == ([200, 200, 401] if token in "ab" else [200, 401, 403])


@pytest.mark.parametrize("admin", ["x" * 16, f"{'a' * 16},{'x' * 16}", f"{'a' * 16},short", ","])
def test_tokens__of_the_admin_that_are_short_or_the_services__are_refused(admin: str) -> None:
    with Meter.open("memory://") as meter, pytest.raises(InvalidSetting, match="admin token"):
        create_app(meter, service_token=f"{'y' * 16},{'x' * 16}", admin_token=admin)


def test_tokens__wrong_ones__are_logged_seldom_and_without_them(caplog: pytest.LogCaptureFixture) -> None:
    with Meter.open("memory://") as meter:
        client = TestClient(create_app(meter, service_token="x" * 16, admin_token="a" * 16))
        for _ in range(3):
            client.get("/v1/tiers", headers={"Authorization": "Bearer guessed"})
            client.post("/v1/reservations", headers={"Authorization": "Bearer guessed"})
            client.get("/v1/keys")
    told = [record.getMessage() for record in caplog.records if record.name == "api_billing.metering.service"]
    assert told == [
        "testclient sent what is not the admin token, for /v1/tiers",
        "testclient sent what is not the service token, for /v1/reservations",
    ]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
def test_head__of_what_is_open_to_all__is_answered(service: Any, path: str) -> None:
    assert service.client.head(path).status_code == 200


@pytest.mark.parametrize("token", ["", "short", ",", "long-enough-for-one,short"])
def test_app__token_that_can_be_guessed__is_refused(service: Any, token: str) -> None:
    with pytest.raises(InvalidSetting, match="service token"):
        create_app(service.meter, service_token=token)


def test_usage__of_some_days__has_api_and_day(used: Any) -> None:
    used.clock.ms += 86_400_000
    answer = used.get("/v1/usage", consumer=used.acme, since="2026-01-15", until="2026-01-16").json()
    assert [(each["day"], each["calls"], each["charged_wei"]) for each in answer["usage"]] == [
        ("2026-01-15", 1, str(5 * GWEI))
    ]


@pytest.mark.parametrize(
    ("since", "until"), [("2026-01-02", "2026-01-01"), ("2024-01-01", "2026-01-01"), ("0001-01-01", "0001-01-02")]
)
def test_usage__days_that_cannot_be__are_refused(service: Any, since: str, until: str) -> None:
    assert service.get("/v1/usage", consumer=service.acme, since=since, until=until).json()["code"] == "invalid_request"


def test_records__more_than_a_page__have_a_cursor(service: Any) -> None:
    for _ in range(3):
        service.reserve()
        service.clock.ms += 1
    first = service.get("/v1/records", consumer=service.acme, limit=2).json()
    second = service.get("/v1/records", consumer=service.acme, limit=2, after=first["next"]).json()
    assert (len(first["records"]), len(second["records"]), second["next"]) == (2, 1, None)


def test_records__newest_first__are_paged_backwards(service: Any) -> None:
    made = []
    for _ in range(3):
        made.append(service.reserve().json()["id"])
        service.clock.ms += 1
    newest = {"consumer": service.acme, "limit": 2, "newest_first": "true"}
    first = service.get("/v1/records", **newest).json()
    second = service.get("/v1/records", **newest, after=first["next"]).json()
    assert [each["id"] for page in (first, second) for each in page["records"]] == made[::-1]
    assert second["next"] is None
