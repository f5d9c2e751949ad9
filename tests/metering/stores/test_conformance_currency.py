"""What money is counted in, which a store keeps: in every store."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api_billing.metering import Budget, Meter, Quota
from api_billing.metering.errors import InvalidSetting, MeterError
from api_billing.metering.ledger.consumer_operations import KeepCurrency, PutProfile
from api_billing.metering.ledger.operations import Grant, ReadBalance
from api_billing.metering.settings import MeterSettings


@pytest.fixture(autouse=True)
def _forgotten(request: pytest.FixtureRequest) -> Any:
    """Other tests open the same servers as they are left, and in GEN."""
    kind = re.search(r"[\[-](postgresql|serializable|redis)\b", request.node.name)
    server = {"serializable": "postgresql"}.get(kind[1], kind[1]) if kind else ""
    left = (request.getfixturevalue("emptied"), request.getfixturevalue(f"{server}_url")) if server else None
    yield
    if left is not None:
        left[0](left[1])


def meter_on(store: Any, **settings: Any) -> Meter:
    """A meter that has looked at its store, as ``Meter.open`` does."""
    loaded = MeterSettings.load(store_url="memory://", **settings)
    meter = Meter(store, loaded, clock_ms=store.now_ms)
    meter.check_currency(decides=False)
    return meter


def test_keep_currency__kept_once__stays(store):
    assert [store.call(KeepCurrency(each)) for each in ("", "USD 9", "EUR 9", "")] == ["", "USD 9", "USD 9", "USD 9"]


def test_meter__that_has_served__decides_and_others_are_refused(store):
    meter_on(store, currency="USD").metering("weather", estimate_wei=1)
    for other in ({}, {"currency": "EUR"}, {"currency": "USD", "currency_decimals": 2}):
        with pytest.raises(InvalidSetting, match="this store counts money in USD with 9 decimals, and not in"):
            meter_on(store, **other)
    meter_on(store, currency="usd")


@pytest.mark.parametrize(
    "act",
    [
        lambda meter: meter.grant("nobody", "5 usd", grant_id="a"),
        lambda meter: meter.grant("ann", "-5 usd", grant_id="a"),
        lambda meter: meter.grant("ann", 2**256, grant_id="a"),
        lambda meter: meter.create_key("nobody", cap="5 usd"),
        lambda meter: meter.create_key("ann", cap="5 usd", tier="none"),
        lambda meter: meter.add_consumer("bob", tier="none", budgets=[Budget("month", "month", "5 usd")]),
        lambda meter: meter.change_consumer("ann", tier="none", budgets=[Budget("month", "month", "5 usd")]),
    ],
    ids=["grant to nobody", "taken back", "too much", "key of nobody", "key", "consumer", "change"],
)
def test_meter__whose_first_amount_is_refused__decides_nothing(store, act):
    meter = meter_on(store, currency="USD", key_pepper="a pepper of the tests")
    meter.add_consumer("ann")
    with pytest.raises(MeterError):
        act(meter)
    assert store.call(KeepCurrency()) == ""


def test_grant__taken_back_twice_under_one_id__is_taken_back_once(store):
    meter = meter_on(store, currency="USD")
    meter.add_consumer("ann")
    for _ in range(2):
        assert meter.grant("ann", "5 usd", grant_id="a").granted_wei >= 0
        assert meter.grant("ann", "-5 usd", grant_id="b").granted_wei == 0


def test_meter__without_one_set__decides_when_it_serves(store):
    meter = meter_on(store)
    assert store.call(KeepCurrency()) == ""
    meter.metering("weather", estimate_wei=1)
    assert store.call(KeepCurrency()) == "GEN 18"
    with pytest.raises(InvalidSetting, match="counts money in GEN"):
        meter_on(store, currency="USD")


def test_grant__in_another_currency_than_one_decided_meanwhile__is_refused(store):
    early = meter_on(store)
    early.add_consumer("acme")
    meter_on(store, currency="USD").grant("acme", "5 usd", grant_id="first")
    for act in (
        lambda: early.grant("acme", "5 gen", grant_id="second"),
        lambda: early.metering("weather", estimate_wei=1),
    ):
        with pytest.raises(InvalidSetting, match="counts money in USD"):
            act()
    assert store.call(ReadBalance("acme")).granted_wei == 5 * 10**9


@pytest.mark.parametrize(
    "profile",
    [
        PutProfile("b", "free", budgets=(Budget("month", "month", 5),)),
        PutProfile("b", "free", quotas=(Quota("day", "day", 5, "wei"),)),
        None,
    ],
)
def test_meter__store_with_money_from_before_currencies__is_in_gen(store, profile):
    store.call(PutProfile("a", "free", quotas=(Quota("day", "day", 5),)))
    store.call(PutProfile("c", "free") if profile is None else profile)
    if profile is None:
        store.call(Grant("g", "c", 5, 1))
    with pytest.raises(InvalidSetting, match="counts money in GEN with 18 decimals"):
        meter_on(store, currency="USD")
    meter_on(store)


def test_meter__store_with_used_money_from_before_currencies__is_in_gen(desk):
    desk.grant(10)
    desk.served()
    with pytest.raises(InvalidSetting, match="counts money in GEN"):
        meter_on(desk.store, currency="USD")


def test_meter__store_with_consumers_and_no_money__is_in_what_serves_first(store):
    store.call(PutProfile("a", "free", quotas=(Quota("day", "day", 5),)))
    meter_on(store, currency="credits").metering("weather", estimate_wei=1)
    assert store.call(KeepCurrency()) == "credits 0"


def test_keep_currency__two_at_once__one_decides(store):
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda code: store.call(KeepCurrency(f"{code} 9")), ["USD", "EUR"] * 8))
    assert len(set(kept)) == 1


def test_keep_currency__opened_anew__is_kept(shared_url):
    with Meter.open(shared_url, currency="EUR", key_pepper="a pepper of the tests") as meter:
        meter.add_consumer("acme")
        meter.grant("acme", "5 eur", grant_id="first")
    with pytest.raises(InvalidSetting, match="counts money in EUR") as refused:
        Meter.open(shared_url, key_pepper="a pepper of the tests")
    assert "set API_BILLING_CURRENCY=EUR" in (refused.value.hint or "")


@pytest.mark.parametrize(("decimals", "hint"), [(9, "EUR, or"), (2, "EUR API_BILLING_CURRENCY_DECIMALS=2, or")])
def test_refusal__says_what_to_set(folder, decimals, hint):
    url = f"sqlite:///{folder}/meter.db"
    with Meter.open(url, currency="EUR", currency_decimals=decimals) as meter:
        meter.metering("weather", estimate_wei=1)
    with pytest.raises(InvalidSetting) as refused:
        Meter.open(url)
    assert f"set API_BILLING_CURRENCY={hint} take another store" in (refused.value.hint or "")
