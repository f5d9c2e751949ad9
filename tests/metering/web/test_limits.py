"""Limits of requests on every adapter, each under its framework's own test client."""

import json
from typing import Any

import pytest

from api_billing.metering import Identity, Limit, MeteredRequest, MeteredResponse, first_of, from_address, from_header
from api_billing.metering.ledger.consumer_operations import ListTiers
from api_billing.metering.ledger.operations import ListRecords

from .subjects import ADAPTERS, Reply, Subject, subject_of
from .terms import PLAIN, TERMS, open_meter

FREE = {"estimate_wei": 0, "price": 0}
CLIENTS = first_of(from_header("X-Consumer"), from_address())
BEHIND_A_PROXY = {"trusted_proxies": "127.0.0.1,unix"}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def terms(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_terms(**terms: Any) -> None:
        for name, term in terms.items():
            monkeypatch.setitem(TERMS, name, term)

    return set_terms


def violated(reply: Reply) -> list[str]:
    problem = json.loads(reply.body)
    assert (reply.status, problem["code"]) == (429, "quota_exceeded")
    return problem["violated-policies"]  # type: ignore[no-any-return]


def test_limit__used_up__refuses_before_the_handler_and_says_which(adapter: str, terms: Any) -> None:
    terms(limits=["2/day; per=all; name=few", Limit("fixed", 5, days=1, on="api")])
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        first, _, third = (subject.get("/plain") for _ in range(3))
        assert (first.status, first.body) == (200, PLAIN)
        assert first.fields["ratelimit-policy"] == '"few";q=2;w=86400, "5-per-day-on-api";q=5;w=86400'
        assert '"few";r=1;t=' in first.fields["ratelimit"]
        assert first.fields["x-ratelimit-remaining"] == "1"
        assert violated(third) == ["few"]
        assert "retry-after" in third.fields
        assert subject.seen == ["/plain"] * 2
        assert meter.balance("ann").reserved_wei == 0


def test_limit__on_a_route_a_method_and_the_api__counts_what_it_says(adapter: str, terms: Any) -> None:
    terms(limits=["3/day; name=route", "2/day; on=method; name=method", "5/day; on=api; name=api"])
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert [subject.get("/plain").status for _ in range(2)] == [200, 200]
        assert violated(subject.get("/plain")) == ["method"]
        assert subject.get("/plain", method="HEAD").status == 200
        assert violated(subject.get("/plain")) == ["route", "method"]
        assert [subject.get("/missing").status for _ in range(2)] == [404, 404]
        assert "api" in violated(subject.get("/missing"))


def test_limit__on_a_group__counts_all_of_its_routes(adapter: str, terms: Any) -> None:
    terms(limits="2/day; group=cheap")
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert [subject.get(path).status for path in ("/plain", "/missing")] == [200, 404]
        assert violated(subject.get("/plain")) == ["2-per-day-in-cheap"]


def test_limit__of_each_consumer__is_nobody_elses(adapter: str, terms: Any) -> None:
    terms(limits="1/day")
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        meter.add_consumer("bob", tier="enterprise")
        meter.grant("bob", 10_000, grant_id="bob's")
        assert [subject.get("/plain").status for _ in range(2)] == [200, 429]
        assert subject.get("/plain", {"X-Consumer": "bob"}).status == 200


def test_limit__of_an_address__is_that_of_the_client_behind_a_trusted_proxy(adapter: str, terms: Any) -> None:
    terms(limits="1/day; per=address")
    with open_meter(**BEHIND_A_PROXY) as meter, subject_of(adapter, meter) as subject:
        asked = [
            subject.get("/plain", {"X-Forwarded-For": address}).status
            for address in ("203.0.113.7", "1.2.3.4, 203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8::ffff")
        ]
        assert asked == [200, 429, 200, 200, 429]


def test_limit__of_an_address__believes_no_field_of_who_is_not_trusted(adapter: str, terms: Any) -> None:
    terms(limits="1/day; per=address")
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        asked = [subject.get("/plain", {"X-Forwarded-For": address}).status for address in ("1.2.3.4", "1.2.3.5")]
        assert asked == [200, 429]


def test_limit__of_a_tier__is_its_own(adapter: str, terms: Any) -> None:
    terms(limits=["1/day; tier.free=2; tier.enterprise=none"])
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert [subject.get("/plain").status for _ in range(3)] == [200] * 3
        meter.change_consumer("ann", tier="free")
        assert [subject.get("/plain").status for _ in range(3)] == [200, 200, 429]
        meter.change_consumer("ann", tier="pro")
        assert subject.get("/plain").status == 429


def test_limit_of_money__used_up_by_estimates__refuses(adapter: str, terms: Any) -> None:
    terms(limits="900 wei/day", estimate_wei=500, price=400)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.get("/plain").status == 200
        assert subject.get("/plain").status == 200
        assert violated(subject.get("/plain")) == ["900-wei-per-day"]


def test_units__told_by_the_request__are_its_weight(adapter: str, terms: Any) -> None:
    async def units(request: MeteredRequest) -> int:
        return len(request.content())

    terms(limits="10/day; on=api", units=units)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.post("/echo", b"1234567").fields["x-ratelimit-remaining"] == "3"
        assert violated(subject.post("/echo", b"1234")) == ["10-per-day-on-api"]
        assert subject.post("/echo", b"123").fields["x-ratelimit-remaining"] == "0"
        assert [record.units for record in meter.store.call(ListRecords(states=("settled",)))] == [7, 3]


@pytest.mark.parametrize("said", [0, -1, True, "two", 2**31, None])
def test_units__that_cannot_be__are_refused(adapter: str, terms: Any, said: Any) -> None:
    terms(limits="10/day", units=lambda request: said)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.get("/plain").status in (400, 500)
        assert (subject.seen, meter.balance("ann").reserved_wei) == ([], 0)


async def by_field(request: MeteredRequest) -> bool:
    return request.headers.first("x-internal") == "yes"


def by_name(request: MeteredRequest, identity: Identity) -> bool:
    return identity.consumer == "ann" and request.headers.first("x-internal") == "yes"


@pytest.mark.parametrize("exempt_when", [by_field, by_name])
def test_request__that_is_exempt__has_no_limits_and_counts_in_none(adapter: str, terms: Any, exempt_when: Any) -> None:
    terms(limits="1/day", exempt_when=exempt_when)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        exempt = [subject.get("/plain", {"X-Internal": "yes"}) for _ in range(2)]
        assert [(reply.status, "ratelimit" in reply.fields) for reply in exempt] == [(200, False)] * 2
        assert [subject.get("/plain").status for _ in range(2)] == [200, 429]


def test_exempt_when__that_fails__exempts_nobody(adapter: str, terms: Any, caplog: pytest.LogCaptureFixture) -> None:
    terms(limits="1/day", exempt_when=lambda request: request.nothing)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert [subject.get("/plain").status for _ in range(2)] == [200, 429]
        assert "which tells the exemption" in caplog.text


async def found(request: MeteredRequest, response: MeteredResponse) -> bool:
    return response.status != 404


@pytest.mark.parametrize("count_when", [found, lambda request, response: response.status != 404])
def test_response__that_is_not_to_count__costs_and_counts_in_no_limit(
    adapter: str, terms: Any, count_when: Any
) -> None:
    terms(limits=["1/day; on=api", "1 gen/day; on=api"], count_when=count_when, price=3)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        for _ in range(3):
            assert subject.get("/missing").status == 404
        assert [subject.get("/plain").status for _ in range(2)] == [200, 429]
        assert meter.balance("ann").charged_wei == 4 * 3


def test_count_when__that_fails__counts(adapter: str, terms: Any, caplog: pytest.LogCaptureFixture) -> None:
    terms(limits="1/day; on=api", count_when=lambda request, response: response.nothing)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert [subject.get("/plain").status for _ in range(2)] == [200, 429]
        assert "count_when failed" in caplog.text


def test_response__that_is_free__counts_in_no_limit(adapter: str, terms: Any) -> None:
    terms(limits="1/day; on=api")
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        failed = subject.get("/fail")
        assert (failed.status, failed.fields["x-ratelimit-remaining"]) == (503, "1")
        assert subject.get("/plain").status == 200


def anonymous(subject: Subject, address: str, path: str = "/plain") -> Reply:
    return subject.send("GET", path, {"X-Forwarded-For": address}, b"")


def test_anonymous_client__of_what_is_free__is_served_within_limits(adapter: str, terms: Any) -> None:
    terms(identify=CLIENTS, limits="1/day; tier.anonymous=2; on=api", **FREE)
    with open_meter(**BEHIND_A_PROXY) as meter, subject_of(adapter, meter) as subject:
        assert [anonymous(subject, "203.0.113.7").status for _ in range(3)] == [200, 200, 429]
        assert anonymous(subject, "203.0.113.8").status == 200
        assert [subject.get("/plain").status for _ in range(2)] == [200, 429]
        records = meter.store.call(ListRecords("ip:203.0.113.7"))
        assert {each.tier for each in records} == {"anonymous"}
        assert sorted(each.state for each in records) == ["refused", "settled", "settled"]
        assert "anonymous" not in [tier.name for tier in meter.store.call(ListTiers())]


def test_anonymous_client__of_what_costs__has_no_credit(adapter: str, terms: Any) -> None:
    terms(identify=CLIENTS)
    with open_meter(**BEHIND_A_PROXY) as meter, subject_of(adapter, meter) as subject:
        reply = anonymous(subject, "203.0.113.7")
        assert (reply.status, json.loads(reply.body)["code"]) == (402, "insufficient_credit")
        assert subject.seen == []


def test_anonymous_client__with_an_idempotency_key__is_not_given_somebody_elses_response(
    adapter: str, terms: Any
) -> None:
    terms(identify=CLIENTS, **FREE)
    with open_meter(**BEHIND_A_PROXY) as meter, subject_of(adapter, meter) as subject:
        for _ in range(2):
            headers = {"X-Forwarded-For": "203.0.113.7", "Idempotency-Key": "one"}
            assert "idempotency-replayed" not in subject.send("GET", "/plain", headers, b"").fields
        assert subject.seen == ["/plain"] * 2
