"""A meter in another currency than GEN: amounts as texts where ints of smallest units are taken."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.amounts import Currency
from api_billing.metering import (
    Budget,
    Meter,
    Quota,
    by_processing_time,
    by_response_size,
    fixed,
    from_header,
)
from api_billing.metering.errors import InvalidSetting, MeterError
from api_billing.metering.ledger.consumer_operations import PutProfile, PutTier
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.request.currency import check_currency
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.stores.steps import run

USD = 10**9


@pytest.fixture
def meter() -> Iterator[Meter]:
    """A meter in dollars, with a consumer who has five."""
    with Meter.open("memory://", identify=from_header("x-consumer"), currency="USD") as meter:
        meter.add_consumer("acme", tier="enterprise")
        meter.grant("acme", "5 usd", grant_id="first")
        yield meter


def cost(meter: Meter, act: Callable[[Exchange], object] = lambda _: None, **terms: Any) -> int | Answer:
    """What a request of these terms is charged, whose response has 2 KiB, with ``act`` as its handler."""
    exchange = Exchange(
        meter.metering("chat", **terms), MeteredRequest("GET", "/", TextHeaders([("x-consumer", "acme")]))
    )
    refused = exchange.begin()
    if refused is not None:
        return refused
    act(exchange)
    before = meter.balance("acme").charged_wei
    exchange.finish(MeteredResponse(200, TextHeaders([]), body_bytes=2_048))
    return meter.balance("acme").charged_wei - before


@pytest.mark.parametrize(
    ("terms", "cost_wei"),
    [
        ({"estimate_wei": "0.002 usd"}, USD // 500),
        ({"estimate_wei": 7}, 7),
        ({"estimate_wei": "1 usd", "price": "0.5 USD"}, USD // 2),
        ({"estimate_wei": "1 usd", "price": fixed("0.25usd")}, USD // 4),
        ({"estimate_wei": "1 usd", "price": by_response_size("0.001 usd", per_kib_wei="0.01 usd")}, USD * 21 // 1_000),
        ({"estimate_wei": "1 usd", "price": by_response_size("0.001 usd", per_kib_wei=5)}, USD // 1_000 + 10),
        ({"estimate_wei": "1 usd", "price": by_processing_time("0.3 usd", per_second_wei="0 usd")}, USD * 3 // 10),
        ({"estimate_wei": lambda request: "0.05 usd", "price": lambda request, response: "0.04 usd"}, USD // 25),
        ({"estimate_wei": "1 usd", "price": lambda request, response: fixed("0.04 usd")(request, response)}, USD // 25),
    ],
)
def test_terms__amounts_as_texts__are_charged_exactly(meter: Meter, terms: dict[str, Any], cost_wei: int) -> None:
    assert cost(meter, **terms) == cost_wei


def test_exchange__amounts_as_texts__are_charged(meter: Meter) -> None:
    def handler(exchange: Exchange) -> None:
        exchange.set_cost_wei("0.01 usd")
        exchange.extend("0.002 usd")
        with pytest.raises(InvalidSetting, match="unknown unit 'gen'"):
            exchange.extend("1 gen")

    assert cost(meter, handler, estimate_wei="1 usd") == USD * 12 // 1_000


@pytest.mark.parametrize(
    "terms",
    [
        {"estimate_wei": "0.1 gen"},
        {"estimate_wei": "1 usd", "price": "3 gwei"},
        {"estimate_wei": "1 usd", "price": by_response_size("0.001 usd", per_kib_wei="3 credits")},
    ],
)
def test_terms__text_in_another_currency__are_refused_when_they_are_set(meter: Meter, terms: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=r"unknown unit .*, and money is counted in USD here"):
        meter.metering("chat", **terms)


@pytest.mark.parametrize("wrong", ["0.1 gen", "0.1", "cheap"])
def test_estimate__callable_that_says_no_amount_here__is_the_applications_fault(
    meter: Meter, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused = cost(meter, estimate_wei=lambda request: wrong, price=1)
    assert isinstance(refused, Answer)
    assert refused.status == 500
    assert "estimate_failed" in caplog.text


@pytest.mark.parametrize("wrong", ["0.1 gen", "0.1", "cheap"])
def test_price__callable_that_says_no_amount_here__is_a_share_of_the_estimate_and_logged(
    meter: Meter, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert cost(meter, estimate_wei=1_000, price=lambda request, response: wrong) == 100
    assert "InvalidSetting: the price" in caplog.text


def test_price__text_that_no_meter_has_seen__fails_instead_of_being_cheap(meter: Meter) -> None:
    def price(request: MeteredRequest, response: MeteredResponse) -> int:
        return by_response_size("0.001 usd", per_kib_wei="1 usd")(request, response)

    assert cost(meter, estimate_wei=1_000, price=price) == 100


@pytest.mark.parametrize(("amount", "granted_wei"), [("0.5 usd", USD * 11 // 2), ("-2 usd", USD * 3), (1, 5 * USD + 1)])
def test_grant__text__is_in_the_currency(meter: Meter, amount: Any, granted_wei: int) -> None:
    assert meter.grant("acme", amount, grant_id="second").granted_wei == granted_wei


@pytest.mark.parametrize("amount", ["1 gen", "--1 usd", "5", "1e3 usd"])
def test_grant__text_that_is_no_amount_here__is_refused(meter: Meter, amount: str) -> None:
    with pytest.raises(InvalidSetting):
        meter.grant("acme", amount, grant_id="second")
    assert meter.balance("acme").granted_wei == 5 * USD


def test_grant__more_taken_back_than_is_free__says_both_in_the_currency(meter: Meter) -> None:
    with pytest.raises(MeterError, match=r"acme has 5 USD free: less than 5\.5 USD to take back"):
        meter.grant("acme", "-5.5 usd", grant_id="back")


def test_limits__amounts_as_texts__hold_as_ints_do(meter: Meter) -> None:
    day, month = Quota("day", "day", "0.5 usd", unit="wei"), Budget("month", "month", "2 usd")
    profile = meter.change_consumer("acme", quotas=[day], budgets=[month])
    assert (profile.quotas[0].limit, profile.budgets[0].limit_wei) == (USD // 2, 2 * USD)
    assert meter.add_consumer("other", quotas=[day]).quotas == profile.quotas
    assert cost(meter, estimate_wei="0.5 usd") == USD // 2
    refused = cost(meter, estimate_wei="0.001 usd")
    assert isinstance(refused, Answer)
    assert refused.status == 429


@pytest.mark.parametrize(
    "limits", [{"budgets": [Budget("month", "month", "2 gen")]}, {"quotas": [Quota("day", "day", "3 credits", "wei")]}]
)
def test_limits__texts_in_another_currency__are_refused(meter: Meter, limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=r"limit of .* unknown unit"):
        meter.change_consumer("acme", **limits)


def test_limits__texts_past_the_meter__are_never_stored(meter: Meter) -> None:
    day = Quota("day", "day", "0.5 usd", unit="wei")
    for operation in (PutProfile("acme", "free", quotas=(day,)), PutTier(Tier("t", None, 1, (day,)))):
        with pytest.raises(MeterError, match="only a meter knows its currency"):
            meter.store.call(operation)


def test_quota__calls_as_a_text__are_refused() -> None:
    with pytest.raises(InvalidSetting, match="whole number"):
        Quota("day", "day", "5 usd")


MONEY = Quota("spend", "day", "0.5 gen", "wei")
WRITES: dict[str, Callable[[Meter], object]] = {
    "cap": lambda meter: meter.create_key("acme", cap="0.5 gen"),
    "quota of a key": lambda meter: meter.import_key("sk_live_0123456789abcdef", "acme", quotas=[MONEY]),
    "limit": lambda meter: meter.set_limit("weather", "0.5 gen/day"),
    "limit in a coroutine": lambda meter: asyncio.run(meter.aset_limit("weather", "0.5 gen/day")),
    "tier": lambda meter: meter.set_tier(Tier("pro", None, 30, (MONEY,))),
    "quota": lambda meter: meter.set_quota("acme", MONEY),
    "budget": lambda meter: meter.set_budget("acme", Budget("month", "month", "1 gen")),
    "consumer": lambda meter: meter.add_consumer("new", quotas=[MONEY]),
    "consumer in a coroutine": lambda meter: asyncio.run(meter.aadd_consumer("new", quotas=[MONEY])),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_store__once_an_amount_of_money_was_written__counts_in_no_other_currency(
    tmp_path: Path, write: Callable[[Meter], object]
) -> None:
    url = f"sqlite:///{tmp_path / 'meter.db'}"
    with Meter.open(url) as meter:
        meter.add_consumer("acme")
        write(meter)
    with pytest.raises(InvalidSetting, match="counts money in GEN"):
        Meter.open(url, currency="USD")


@pytest.mark.parametrize(
    ("kept", "given", "hint"),
    [
        (("USD", -1), ("EUR", -1), "API_BILLING_CURRENCY=USD, or"),
        (("USD", 2), ("USD", -1), "API_BILLING_CURRENCY=USD API_BILLING_CURRENCY_DECIMALS=2, or"),
        (("USD", -1), ("USD", 2), "API_BILLING_CURRENCY=USD API_BILLING_CURRENCY_DECIMALS=9, or"),
    ],
)
def test_store__in_another_currency__says_which_settings_are_its(kept: Any, given: Any, hint: str) -> None:
    with Meter.open("memory://", currency=kept[0], currency_decimals=kept[1]) as meter:
        meter.add_consumer("acme")
        meter.grant("acme", 1, grant_id="first")
        with pytest.raises(InvalidSetting) as error:
            run(check_currency(Currency(*given), decides=True), meter.store.call)
    assert hint in str(error.value.hint)


def test_store__where_no_money_was_written__may_count_in_any_currency(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'meter.db'}"
    with Meter.open(url) as meter:
        meter.add_consumer("acme", quotas=[Quota("daily", "day", 5)])
        meter.create_key("acme")
        meter.set_limit("weather", "5/day")
    with Meter.open(url, currency="USD") as meter, pytest.raises(InvalidSetting):
        meter.set_limit("weather", "0.5 gen/day")


def test_store__of_before_currencies__with_money_in_a_tier_counts_in_gen() -> None:
    with Meter.open("memory://") as meter:
        meter.store.call(PutTier(Tier("pro", None, 30, (Quota("spend", "day", 5, "wei"),))))
        with pytest.raises(InvalidSetting, match="counts money in GEN"):
            run(check_currency(Currency("USD"), decides=True), meter.store.call)
