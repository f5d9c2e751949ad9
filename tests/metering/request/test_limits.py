"""Limits of requests, and anonymous clients, without a framework."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from api_billing.metering import Identity, Limit, Meter, api_key, first_of, from_address, from_header
from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.ledger.consumer_operations import PutTier
from api_billing.metering.ledger.operations import ListRecords, ReadBalance, SumUsage
from api_billing.metering.ledger.rows import ACCOUNTS
from api_billing.metering.ledger.settlement_operations import ListToSettle
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.stores.redis.store import open_redis
from api_billing.metering.web.identified import consumer_of

NOW_MS = 1_769_860_800_000
PEPPER = "a pepper of the tests"


@pytest.fixture
def meter() -> Iterator[Meter]:
    with Meter.open("memory://", key_pepper=PEPPER, clock_ms=lambda: NOW_MS) as meter:
        meter.add_consumer("ann", tier="enterprise")
        yield meter


def request_of(client: str = "203.0.113.7", **fields: str) -> MeteredRequest:
    headers = TextHeaders([(name.replace("_", "-"), value) for name, value in fields.items()])
    return MeteredRequest("GET", "/a", headers, client=client, at_ms=NOW_MS, body=b"")


def status(meter: Meter, request: MeteredRequest, **terms: Any) -> int:
    exchange = Exchange(meter.metering("weather", **terms), request)
    answer = exchange.begin()
    if isinstance(answer, Answer):
        return answer.status
    exchange.finish(MeteredResponse(200, TextHeaders([])))
    return 200


def test_limit__of_each_key__is_none_of_its_consumers_other_keys(meter: Meter) -> None:
    terms = {"limits": "1/day; per=key", "identify": api_key(PEPPER)}
    one, other = (meter.create_key("ann").text for _ in range(2))
    asked = [status(meter, request_of(authorization=f"Bearer {key}"), **terms) for key in (one, one, other, other)]
    assert asked == [200, 429, 200, 429]


def test_limit__of_each_key__of_who_has_none__is_its_consumers(meter: Meter) -> None:
    terms = {"limits": "1/day; per=key", "identify": from_header("x-user")}
    assert [status(meter, request_of(x_user="ann"), **terms) for _ in range(2)] == [200, 429]


def test_limits__in_a_coroutine_and_of_many_at_once__are_never_exceeded(meter: Meter) -> None:
    metering = meter.metering("weather", limits="7/day; per=all", identify=from_header("x-user"))

    async def ask() -> bool:
        return await Exchange(metering, request_of(x_user="ann")).abegin() is None

    async def ask_all() -> list[bool]:
        return await asyncio.gather(*[ask() for _ in range(30)])

    assert sum(asyncio.run(ask_all())) == 7


@pytest.mark.parametrize(
    "terms",
    [
        {"limits": "100 a minute"}, {"limits": 5}, {"limits": [None]}, {"limits": ["1/day", "1/day"]},
        {"limits": "0.5 usd/day"}, {"units": 0}, {"units": "2"}, {"units": lambda: 2}, {"exempt_when": True},
        {"exempt_when": lambda: True}, {"exempt_when": lambda a, b, c: True}, {"count_when": lambda request: True},
    ],
)  # fmt: skip
def test_terms__that_cannot_be__are_refused_where_they_are_written(meter: Meter, terms: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        meter.metering("weather", **terms)


@pytest.mark.parametrize("limit", ["1/day; per=all", "1/day; per=address"])
def test_limit__of_several_consumers__in_a_store_that_cannot_count_them_together__is_refused(
    meter: Meter, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(meter.store), "counts_across", False)
    for refused in (lambda: meter.metering("weather", limits=limit), lambda: meter.set_limit("weather", limit)):
        with pytest.raises(InvalidSetting, match="counts requests of several consumers together"):
            refused()
    meter.metering("weather", limits="1/day; per=key")


@pytest.mark.parametrize(("shards", "counts_across"), [("", True), ("?shards=1", True), ("?shards=4", False)])
def test_redis__of_several_shards__cannot_count_consumers_together(shards: str, counts_across: bool) -> None:
    with open_redis(f"redis://127.0.0.1:1/0{shards}") as store:
        assert store.counts_across is counts_across


def test_limits__of_another_currency__are_in_the_meters() -> None:
    with Meter.open("memory://", key_pepper=PEPPER, currency="USD") as meter:
        assert meter.metering("weather", limits="0.5 usd/day").limits == (
            Limit("fixed", 500_000_000, days=1, unit="wei", name="0.5-usd-per-day"),
        )


def test_anonymous_client__by_ipv6__is_its_64() -> None:
    found = from_address()(request_of("2001:db8:1:2:3:4:5:6"))
    assert found == Identity("ip:2001:db8:1:2::/64", anonymous=True)


def test_anonymous_client__without_an_address__is_nobody(meter: Meter) -> None:
    assert status(meter, request_of(""), identify=from_address()) == 401


def test_client_with_a_key__is_no_anonymous_one(meter: Meter) -> None:
    terms = {"identify": first_of(api_key(PEPPER), from_address())}
    assert status(meter, request_of(authorization="Bearer ab_wrong"), **terms) == 401
    assert status(meter, request_of(), **terms) == 200


def test_anonymous_client__leaves_no_account_and_one_sum_of_usage_for_all(meter: Meter) -> None:
    for number in range(3):
        assert status(meter, request_of(f"203.0.113.{number}"), identify=from_address()) == 200
    rows: Any = meter.store
    assert not [key for key, row in rows._tables.rows[ACCOUNTS].items() if row is not None and row.stored]
    (day,) = meter.store.call(SumUsage())
    assert (day.consumer, day.calls) == ("ip:*", 3)


def test_anonymous_client__is_in_no_batch(meter: Meter) -> None:
    assert status(meter, request_of(), identify=from_address()) == 200
    assert status(meter, request_of(x_user="ann"), identify=from_header("x-user")) == 200
    lines = meter.store.call(ListToSettle("weather"))
    assert [line.consumer for line in lines] == ["ann"]
    assert {record.batch for record in meter.store.call(ListRecords("ip:203.0.113.7"))} == {-1}


def test_anonymous_client__whose_price_is_more_than_its_estimate__owes_nothing(meter: Meter) -> None:
    assert status(meter, request_of(), identify=from_address(), estimate_wei=0, price=5) == 200
    assert meter.store.call(ReadBalance("ip:203.0.113.7")).charged_wei == 0


def test_anonymous_client__on_a_page_of_a_consumer__is_nobody(meter: Meter) -> None:
    answer = consumer_of(meter, request_of(), from_address())
    assert isinstance(answer, Answer)
    assert answer.status == 401


def test_tier__of_a_credential_that_there_is_none_of__is_the_consumers_and_logged(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    for tier in ("pro", "gold"):
        assert status(meter, request_of(), identify=lambda _, tier=tier: Identity("ann", tier)) == 200
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage().startswith("there is no tier 'gold', which a credential of 'ann' names")


def test_page_of_a_consumer__store_does_not_answer__is_503(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    key = meter.create_key("ann").text

    def away(operation: object) -> object:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(meter.store, "call", away)
    answer = consumer_of(meter, request_of(authorization=f"Bearer {key}"))
    assert isinstance(answer, Answer)
    assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "1")


def test_tier__called_as_anonymous_clients_are__is_refused() -> None:
    with pytest.raises(InvalidSetting):
        PutTier(Tier("anonymous", 5, 5))


@pytest.mark.parametrize("trusted", ["10.0.0.0/33", "example.com", "10.0.0.0/8,x"])
def test_trusted_proxies__that_are_none__are_refused(trusted: str) -> None:
    with pytest.raises(InvalidSetting, match="proxies are addresses, networks"):
        Meter.open("memory://", trusted_proxies=trusted)
