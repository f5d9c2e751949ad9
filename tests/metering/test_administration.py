"""Administration from code: keys with a scope, a cap and an end, their rotation, tiers and limits."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api_billing.metering import Budget, Limit, Meter, Quota, Tier, from_address
from api_billing.metering.errors import IdConflict, InvalidSetting, UnknownConsumer, UnknownKey, UnknownTier
from api_billing.metering.identity.api_keys import NewKey
from api_billing.metering.ledger.operations import ListRecords, SumUsage
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders

START_MS = 1_768_478_400_000  # 2026-01-15T12:00Z
PEPPER = "pepper of the tests, long enough"
DAY = timedelta(days=1)


class Clock:
    """Milliseconds that only tests move."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms

    def after(self, span: timedelta) -> datetime:
        return datetime.fromtimestamp(self.ms / 1000, UTC) + span


def opened(clock: Clock, **given: Any) -> Meter:
    meter = Meter.open("memory://", clock_ms=clock, randrange=lambda _: 0, key_pepper=PEPPER, **given)
    meter.add_consumer("acme")
    meter.grant("acme", 1_000, grant_id="first")
    return meter


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Iterator[Meter]:
    with opened(clock) as meter:
        yield meter


def asked(
    meter: Meter, key: str, api: str = "weather", price_wei: int = 1, query: str = "", beyond_wei: int = 0, **terms: Any
) -> str:
    """Ask once with a key for what costs so much more than its estimate: "served", or the code of the refusal."""
    headers = [("authorization", f"Bearer {key}")] if key else []
    metering = meter.metering(api, estimate_wei=price_wei, price=price_wei + beyond_wei, **terms)
    about: dict[str, Any] = {"query": query.encode(), "at_ms": meter.now_ms(), "body": b"", "client": "2001:db8::1"}
    request = MeteredRequest("GET", "/a", TextHeaders(headers), **about)
    exchange = Exchange(metering, request)
    answer = exchange.begin()
    if answer is not None:
        return dict(answer.headers).get("x-code", "") or answer.body.decode().partition('"code":"')[2].partition('"')[0]
    exchange.finish(MeteredResponse(200, TextHeaders([])))
    return "served"


def test_key__of_some_apis__is_refused_elsewhere(meter: Meter) -> None:
    key = meter.create_key("acme", apis=["weather", "maps"]).text
    assert [asked(meter, key, api) for api in ("weather", "maps", "llm")] == ["served", "served", "key_scope"]


def test_key__of_one_api__may_be_named_by_a_text(meter: Meter) -> None:
    assert meter.create_key("acme", apis="weather").stored.apis == ("weather",)


@pytest.mark.parametrize("cap", [5, "5wei"])
def test_key__with_a_cap__spends_that_and_no_more_each_month(meter: Meter, clock: Clock, cap: int | str) -> None:
    capped, whole = meter.create_key("acme", cap=cap).text, meter.create_key("acme").text
    assert [asked(meter, capped, price_wei=2) for _ in range(3)] == ["served", "served", "quota_exceeded"]
    assert asked(meter, whole, price_wei=2) == "served"
    clock.ms = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1000)
    assert asked(meter, capped, price_wei=2) == "served"


def test_key__with_a_cap__is_charged_no_more_than_that_beyond_an_estimate(meter: Meter) -> None:
    key = meter.create_key("acme", cap=10).text
    assert asked(meter, key, price_wei=1, beyond_wei=100) == "served"
    assert meter.balance("acme").charged_wei == 10
    assert asked(meter, key, price_wei=1, beyond_wei=100) == "quota_exceeded"
    assert meter.store.call(SumUsage())[0].uncollected_wei == 91


def test_quota_of_a_consumer__beyond_an_estimate__is_charged_and_counted(meter: Meter) -> None:
    meter.set_quota("acme", Quota("spend", "day", 10, "wei"))
    key = meter.create_key("acme").text
    assert [asked(meter, key, price_wei=1, beyond_wei=100) for _ in range(2)] == ["served", "quota_exceeded"]
    assert meter.balance("acme").charged_wei == 101


def test_key__with_a_cap__does_not_widen_what_its_consumer_may(meter: Meter) -> None:
    meter.set_quota("acme", Quota("two", "day", 2))
    key = meter.create_key("acme", cap=500).text
    assert [asked(meter, key) for _ in range(3)] == ["served", "served", "quota_exceeded"]


def test_key__with_a_cap_and_its_successor__count_together(meter: Meter) -> None:
    old = meter.create_key("acme", cap=3)
    assert asked(meter, old.text) == "served"
    new = meter.rotate_key(old.stored.key_id, overlap=DAY)
    assert [asked(meter, each.text) for each in (new, old, new, old)] == ["served", "served", *["quota_exceeded"] * 2]
    newest = meter.rotate_key(new.stored.key_id)
    assert asked(meter, newest.text) == "quota_exceeded"


def test_two_keys__with_caps_of_one_name__count_apart(meter: Meter) -> None:
    keys = [meter.create_key("acme", cap=1).text for _ in range(2)]
    assert [asked(meter, key) for key in keys * 2] == ["served", "served", "quota_exceeded", "quota_exceeded"]


def test_key__refused_by_its_own_quota__says_that_it_is_the_keys(meter: Meter) -> None:
    key = meter.create_key("acme", quotas=[Quota("hourly", "hour", 0)]).text
    metering = meter.metering("weather", estimate_wei=1, price=1)
    headers = TextHeaders([("authorization", f"Bearer {key}")])
    answer = Exchange(metering, MeteredRequest("GET", "/a", headers, at_ms=meter.now_ms(), body=b"")).begin()
    assert answer is not None
    assert b'"violated-policies":["key/hourly"]' in answer.body
    assert '"key/hourly"' in dict(answer.headers)["ratelimit"]


def test_key__at_its_end__is_expired_also_where_it_is_cached(meter: Meter, clock: Clock) -> None:
    key = meter.create_key("acme", expires_at=clock.after(DAY)).text
    assert asked(meter, key) == "served"
    clock.ms += 86_400_000 - 1
    assert asked(meter, key) == "served"
    clock.ms += 1
    assert asked(meter, key) == "expired_key"


@pytest.mark.parametrize(
    ("terms", "match"),
    [
        ({"expires_at": datetime(2026, 1, 15, 12, tzinfo=UTC)}, "future"),
        ({"expires_at": datetime(2027, 1, 1)}, "time zone"),
        ({"expires_at": 5}, "time zone"),
        ({"cap": "5 usd"}, "unknown unit"),
        ({"cap": -1}, "at least 0"),
        ({"cap": 1, "per": "fortnight"}, "period"),
        ({"per": "month"}, "give a cap, too"),
        ({"cap": 1, "quotas": [Quota("cap", "day", 1)]}, "one name"),
        ({"quotas": ["5 a day"]}, "quotas"),
        ({"apis": [""]}, "API"),
        ({"apis": ["a\n"]}, "API"),
        ({"label": "x" * 101}, "label"),
    ],
)
def test_key__of_terms_that_cannot_be__is_not_made(meter: Meter, terms: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidSetting, match=match):
        meter.create_key("acme", **terms)
    assert meter.keys("acme") == ()


def test_key__of_nobody_or_an_unknown_tier__is_not_made(meter: Meter) -> None:
    with pytest.raises(UnknownConsumer):
        meter.create_key("nobody")
    with pytest.raises(UnknownTier):
        meter.create_key("acme", tier="platinum")


def test_import__key_from_elsewhere__works_as_it_is(meter: Meter) -> None:
    text = "sk_live_0123456789abcdef"
    assert asked(meter, text) == "invalid_identity"
    stored = meter.import_key(text, "acme", label="from Stripe", cap=1)
    assert [asked(meter, text) for _ in range(2)] == ["served", "quota_exceeded"]
    assert (stored.consumer, stored.label, meter.keys("acme")) == ("acme", "from Stripe", (stored,))


def test_import__again__is_the_same_key_and_stays_revoked(meter: Meter, clock: Clock) -> None:
    text = "sk_live_0123456789abcdef"
    first = meter.import_key(text, "acme", label="old")
    clock.ms += 1_000
    assert meter.import_key(text, "acme", label="old") == first
    meter.revoke_key(first.key_id)
    assert meter.import_key(text, "acme", label="old").revoked_ms == clock.ms
    assert asked(meter, text) == "revoked_key"


def test_import__key_of_another_consumer__is_a_conflict(meter: Meter) -> None:
    meter.add_consumer("other")
    meter.import_key("sk_live_0123456789abcdef", "acme")
    with pytest.raises(IdConflict):
        meter.import_key("sk_live_0123456789abcdef", "other")
    assert meter.keys("other") == ()


def changed(meter: Meter, key: NewKey, **terms: Any) -> Any:
    return meter.change_key(key.stored.key_id, **terms)


def test_change__of_a_key_that_is_cached__holds_for_the_next_request(meter: Meter, clock: Clock) -> None:
    key = meter.create_key("acme", apis=["weather"], cap=2, label="page")
    assert [asked(meter, key.text) for _ in range(3)] == ["served", "served", "quota_exceeded"]
    assert changed(meter, key, cap=3).label == "page"
    assert [asked(meter, key.text) for _ in range(2)] == ["served", "quota_exceeded"]  # 2 stay counted
    changed(meter, key, cap=None)
    assert asked(meter, key.text) == "served"
    changed(meter, key, apis=["maps"])
    assert [asked(meter, key.text, api) for api in ("weather", "maps")] == ["key_scope", "served"]
    changed(meter, key, apis=())
    assert [asked(meter, key.text, api) for api in ("weather", "maps")] == ["served", "served"]
    changed(meter, key, expires_at=clock.after(DAY))
    assert asked(meter, key.text) == "served"
    clock.ms += 86_400_000
    assert asked(meter, key.text) == "expired_key"
    assert changed(meter, key, label="again").expires_ms == clock.ms
    changed(meter, key, expires_at=None)
    assert asked(meter, key.text) == "served"


def test_change__to_more_apis__holds_where_the_key_is_cached(meter: Meter) -> None:
    key = meter.create_key("acme", apis=["weather"])
    assert asked(meter, key.text) == "served"
    changed(meter, key, apis=["weather", "maps"])
    assert asked(meter, key.text, "maps") == "served"


def test_change__to_a_later_end__holds_where_the_key_is_cached(meter: Meter, clock: Clock) -> None:
    key = meter.create_key("acme", expires_at=clock.after(DAY / 2_880))
    assert asked(meter, key.text) == "served"
    changed(meter, key, expires_at=clock.after(DAY))
    clock.ms += 30_000
    assert asked(meter, key.text) == "served"


def test_change__of_quotas_or_period__keeps_the_other(meter: Meter) -> None:
    daily, hourly = Quota("daily", "day", 9), Quota("hourly", "hour", 9)
    key = meter.create_key("acme", cap=5, quotas=[daily])
    assert changed(meter, key, quotas=[hourly]).quotas == (Quota("cap", "month", 5, "wei"), hourly)
    assert changed(meter, key, per="day").quotas == (Quota("cap", "day", 5, "wei"), hourly)
    assert changed(meter, key, cap=None).quotas == (hourly,)


def test_change__of_what_there_is_not__is_refused(meter: Meter) -> None:
    key = meter.create_key("acme")
    nothing: Any = (
        ({"tier": "platinum"}, UnknownTier),
        ({"cap": -1}, InvalidSetting),
        ({"per": "day"}, InvalidSetting),
        ({"cap": None, "per": "day"}, InvalidSetting),
    )
    for terms, error in nothing:
        with pytest.raises(error):
            changed(meter, key, **terms)
    with pytest.raises(UnknownKey):
        meter.change_key("nobody00", label="x")
    meter.revoke_key(key.stored.key_id)
    assert changed(meter, key, label="gone").revoked_ms is not None


def test_rotate__without_an_overlap__refuses_the_old_one_at_once(meter: Meter) -> None:
    old = meter.create_key("acme", label="ci", apis=["weather"], tier="pro")
    assert asked(meter, old.text) == "served"
    new = meter.rotate_key(old.stored.key_id)
    assert [asked(meter, each.text) for each in (old, new)] == ["expired_key", "served"]
    assert (new.stored.label, new.stored.apis, new.stored.tier) == ("ci", ("weather",), "pro")


def test_rotate__key_that_expires__gives_the_new_one_as_long_a_life(meter: Meter, clock: Clock) -> None:
    old = meter.create_key("acme", expires_at=clock.after(90 * DAY))
    clock.ms += 80 * 86_400_000
    new = meter.rotate_key(old.stored.key_id, overlap=30 * DAY)
    assert new.stored.expires_ms == clock.ms + 90 * 86_400_000
    assert next(key for key in meter.keys("acme") if key.key_id == old.stored.key_id) == old.stored
    other = meter.rotate_key(new.stored.key_id, expires_at=clock.after(DAY), label="short")
    assert (other.stored.expires_ms, other.stored.label) == (clock.ms + 86_400_000, "short")


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), 5])
def test_rotate__overlap_that_is_none__is_refused(meter: Meter, overlap: Any) -> None:
    key = meter.create_key("acme").stored
    with pytest.raises(InvalidSetting, match="overlap"):
        meter.rotate_key(key.key_id, overlap=overlap)
    assert meter.keys() == (key,)


def test_revoke__key__holds_at_once_and_is_told(meter: Meter, clock: Clock) -> None:
    key = meter.create_key("acme")
    assert asked(meter, key.text) == "served"
    assert meter.revoke_key(key.stored.key_id).revoked_ms == clock.ms
    assert asked(meter, key.text) == "revoked_key"
    with pytest.raises(UnknownKey):
        meter.revoke_key("nothing1")


def test_key__in_the_query__is_taken_where_the_setting_names_it(clock: Clock) -> None:
    with opened(clock, key_query="api_key") as meter:
        key = meter.create_key("acme").text
        assert asked(meter, "", query=f"city=paris&api_key={key}") == "served"
        assert asked(meter, "", query=f"key={key}") == "missing_identity"


def test_key__in_the_query__is_in_no_record(clock: Clock) -> None:
    with opened(clock, key_query="api_key", audit_bodies=True) as meter:
        key = meter.create_key("acme").text
        asked(meter, "", query=f"api_key={key}")
        asked(meter, "", query=f"api_key={key}&api_key={key}")
        records = meter.store.call(ListRecords())
    assert {each.state for each in records} == {"settled", "refused"}
    assert key not in repr(records)


def test_idempotency__of_a_request_with_another_key_in_its_query__is_the_same_request(clock: Clock) -> None:
    def once(meter: Meter, key: str) -> Any:
        headers = TextHeaders([("idempotency-key", "k1")])
        metering = meter.metering("weather", estimate_wei=1, price=1)
        query = f"city=paris&api_key={key}".encode()
        exchange = Exchange(metering, MeteredRequest("GET", "/a", headers, query=query, at_ms=meter.now_ms(), body=b""))
        answer = exchange.begin()
        if answer is None:
            exchange.finish(MeteredResponse(200, TextHeaders([]), 5, b"sunny"))
        return answer

    with opened(clock, key_query="api_key") as meter:
        old = meter.create_key("acme")
        assert once(meter, old.text) is None
        again = once(meter, meter.rotate_key(old.stored.key_id).text)
        assert (again.status, again.body) == (200, b"sunny")


def test_coroutines__administer_as_threads_do(meter: Meter) -> None:
    async def sign_up() -> NewKey:
        await meter.aadd_consumer("new", tier="pro")
        await meter.agrant("new", 5, grant_id="welcome")
        assert (await meter.abalance("new")).free_wei == 5
        return await meter.acreate_key("new", label="first")

    assert asked(meter, asyncio.run(sign_up()).text) == "served"


def test_tier__set__holds_for_the_next_request(meter: Meter) -> None:
    key = meter.create_key("acme").text
    assert asked(meter, key) == "served"
    meter.set_tier(Tier("free", 1, 7))
    assert asked(meter, key) == "quota_exceeded"
    assert next(tier for tier in meter.tiers() if tier.name == "free").monthly_calls == 1


def test_quota__set_and_removed__is_the_only_one_of_its_name(meter: Meter) -> None:
    meter.set_quota("acme", Quota("daily", "day", 1))
    assert meter.set_quota("acme", Quota("daily", "day", 2)).quotas == (Quota("daily", "day", 2),)
    assert meter.remove_quota("acme", "daily").quotas == ()
    with pytest.raises(InvalidSetting, match="daily"):
        meter.remove_quota("acme", "daily")


def test_budget__set_and_removed__is_the_only_one_of_its_name(meter: Meter) -> None:
    meter.set_budget("acme", Budget("llm", "day", 1))
    assert meter.set_budget("acme", Budget("llm", "day", 2)).budgets == (Budget("llm", "day", 2),)
    assert meter.remove_budget("acme", "llm").budgets == ()
    with pytest.raises(InvalidSetting, match="llm"):
        meter.remove_budget("acme", "llm")


def test_reset__of_the_month__lets_the_consumer_go_on_and_is_in_the_audit_log(meter: Meter, clock: Clock) -> None:
    meter.set_tier(Tier("free", 2, 7))
    key = meter.create_key("acme").text
    assert [asked(meter, key) for _ in range(3)] == ["served", "served", "quota_exceeded"]
    clock.ms += 1
    assert meter.reset_month("acme", note="sorry") == 2
    assert [asked(meter, key) for _ in range(3)] == ["served", "served", "quota_exceeded"]
    [record] = meter.store.call(ListRecords(states=("reset",)))
    assert (record.consumer, record.route, record.at_ms) == ("acme", "month", clock.ms)
    assert json.loads(record.outcome.tags) == {"unit": "calls", "was": "2", "note": "sorry"}
    assert meter.balance("acme").charged_wei == 4


def test_reset__of_a_budget__leaves_other_windows_and_consumers(meter: Meter) -> None:
    meter.add_consumer("other")
    meter.grant("other", 100, grant_id="of other")
    for consumer in ("acme", "other"):
        meter.set_budget(consumer, Budget("spend", "day", 5))
        meter.set_quota(consumer, Quota("daily", "day", 1))
    keys = [meter.create_key(consumer).text for consumer in ("acme", "other")]
    assert [asked(meter, key, price_wei=5) for key in keys] == ["served", "served"]
    assert meter.reset_window("acme", "spend") == 5
    assert [asked(meter, key, price_wei=5) for key in keys] == ["quota_exceeded", "quota_exceeded"]
    meter.reset_window("acme", "daily")
    assert [asked(meter, key, price_wei=5) for key in keys] == ["served", "quota_exceeded"]


def test_reset__of_a_keys_cap__leaves_the_other_keys(meter: Meter) -> None:
    one, two = [meter.create_key("acme", cap=5) for _ in range(2)]
    assert [asked(meter, key.text, price_wei=5) for key in (one, two, one)] == ["served", "served", "quota_exceeded"]
    assert meter.reset_window("acme", "key/cap", key_id=one.stored.key_id) == 5
    assert [asked(meter, key.text, price_wei=5) for key in (one, two)] == ["served", "quota_exceeded"]
    meter.add_consumer("other")
    with pytest.raises(UnknownKey):
        meter.reset_window("other", "key/cap", key_id=one.stored.key_id)


@pytest.mark.parametrize("scope", ["operation", "model"])
def test_reset__of_a_budget_with_a_scope__is_that_of_the_one_named(meter: Meter, scope: Any) -> None:
    meter.set_budget("acme", Budget("spend", "day", 1, scope=scope))
    key = meter.create_key("acme").text
    ways = {"a": {"operation": "a", "model": lambda _: "a"}, "b": {"operation": "b", "model": lambda _: "b"}}

    def all_asked() -> list[str]:
        return [asked(meter, key, **terms) for terms in ways.values()]

    assert all_asked() == ["served", "served"]
    assert meter.reset_window("acme", "spend", api="weather", **{scope: "a"}) == 1
    assert all_asked() == ["served", "budget_exceeded"]


LIMITS = [
    ("1/day; name=x", {}, {"operation": "/a"}),
    ("1/day; name=x; on=api; window=sliding", {}, {}),
    ("1/day; name=x; per=address; on=api; burst=1", {}, {"address": "2001:db8::2"}),
    ("1/day; name=x; on=method; per=key", {}, {"operation": "/a", "method": "GET", "key_id": "KEY"}),
]


@pytest.mark.parametrize("by_text", [False, True])
@pytest.mark.parametrize(("text", "terms", "where"), LIMITS)
def test_reset__of_a_limit_of_requests__lets_these_go_on(
    meter: Meter, text: str, terms: dict[str, Any], where: dict[str, Any], by_text: bool
) -> None:
    if by_text:
        terms = {"limits": [text]}
    else:
        meter.set_limit("weather", text)
    made = meter.create_key("acme")
    where = {name: made.stored.key_id if value == "KEY" else value for name, value in where.items()}
    assert [asked(meter, made.text, **terms) for _ in range(2)] == ["served", "quota_exceeded"]
    name = text if by_text else "x"
    for missing in where:
        with pytest.raises(InvalidSetting, match=missing):
            meter.reset_window("acme", name, api="weather", **{k: v for k, v in where.items() if k != missing})
    assert meter.reset_window("acme", name, api="weather", **where) == 1
    assert [asked(meter, made.text, **terms) for _ in range(2)] == ["served", "quota_exceeded"]
    [record] = meter.store.call(ListRecords(states=("reset",)))
    assert (record.api, json.loads(record.outcome.tags)) == (
        "weather",
        {"unit": "calls", "was": "1", "api": "weather", **where},
    )


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("1/day; window=sliding; per=key", "1-per-day-sliding-per-key"),
        (Limit("fixed", 1, days=1, name="shared", per="all", on="api"), "shared"),
        ("1/day; per=address; on=method", "1-per-day-per-address-on-method"),
        ("5/hour; burst=1; group=search", "5-per-hour-bucket-burst-1-in-search"),
    ],
)
def test_reset__of_a_limit_in_code_by_the_name_that_refusals_tell__lets_these_go_on(
    meter: Meter, limit: Any, name: str
) -> None:
    key = meter.create_key("acme").text
    assert [asked(meter, key, limits=[limit]) for _ in range(2)] == ["served", "quota_exceeded"]
    assert meter.reset_window("acme", name) == 1
    assert [asked(meter, key, limits=[limit]) for _ in range(2)] == ["served", "quota_exceeded"]
    meter.add_consumer("other")
    with pytest.raises(InvalidSetting, match="other has no limit"):
        meter.reset_window("other", name)


def test_reset__of_a_limit_in_code_that_counts_apart__asks_of_which(meter: Meter, clock: Clock) -> None:
    one, two = [meter.create_key("acme") for _ in range(2)]
    terms: dict[str, Any] = {"limits": ["1/hour; name=x; per=key"]}
    assert [asked(meter, key.text, **terms) for key in (one, two)] == ["served", "served"]
    with pytest.raises(InvalidSetting, match="in 2 windows"):
        meter.reset_window("acme", "x")
    assert meter.reset_window("acme", "x", key_id=one.stored.key_id) == 1
    assert [asked(meter, key.text, **terms) for key in (one, two)] == ["served", "quota_exceeded"]
    clock.ms += 3_600_000
    with pytest.raises(InvalidSetting, match="no limit 'x'"):
        meter.reset_window("acme", "x", key_id=one.stored.key_id)


@pytest.mark.parametrize(
    ("name", "where"), [("1-per-day-per-address", {}), ("1/day; per=address", {"api": "weather", "operation": "/a"})]
)
@pytest.mark.parametrize("client", ["203.0.113.7", "2001:db8:1:2::9"])
def test_reset__of_an_anonymous_client__lets_it_go_on(
    meter: Meter, client: str, name: str, where: dict[str, Any]
) -> None:
    terms = meter.metering("weather", limits=["1/day; per=address"], identify=from_address())

    def served() -> bool:
        request = MeteredRequest("GET", "/a", TextHeaders([]), client=client, at_ms=meter.now_ms())
        return Exchange(terms, request).begin() is None

    assert [served(), served()] == [True, False]
    [as_noted] = {record.consumer for record in meter.store.call(ListRecords())}
    for consumer in (as_noted, f"ip:{client}"):
        assert meter.reset_window(consumer, name, **where) == 1  # type: ignore[typeddict-item]
        assert [served(), served()] == [True, False]
        [reset] = meter.store.call(ListRecords(states=("reset",), newest_first=True, limit=1))
        assert reset.consumer == as_noted


@pytest.mark.parametrize("consumer", ["acme", "nobody"])
def test_reset__of_what_there_is_not__is_refused_and_not_noted(meter: Meter, consumer: str) -> None:
    with pytest.raises((InvalidSetting, UnknownConsumer)):
        meter.reset_window(consumer, "spend")
    assert meter.store.call(ListRecords()) == ()


def test_page__its_python__makes_consumers_and_keys(meter: Meter) -> None:
    page = (Path(__file__).parents[2] / "docs" / "consumers.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"meter": meter}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    made = {key.label: key for key in meter.keys("acme")}
    assert (made["page"].apis, made["page"].quotas[0].limit) == (("weather",), 5 * 10**17)
    assert asked(meter, names["public"].text, "maps") == "key_scope"
    assert asked(meter, "the-key-of-before-8731") == "revoked_key"
    assert asked(meter, names["secret"].text) == asked(meter, names["fresh"].text) == "served"


class Rotations(RuleBasedStateMachine):
    """Of keys that are rotated in time, one is always good; two are only during an overlap, and two with a cap never
    spend more than one.
    """

    CAP = 12

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.meter = opened(self.clock)
        first = self.meter.create_key("acme", cap=self.CAP, per="year")
        self.made = [first]  # in each other's place
        self.until_ms: dict[str, int] = {}  # when those that were rotated end
        self.spent = 0

    def teardown(self) -> None:
        self.meter.close()

    def good(self) -> list[NewKey]:
        now_ms = self.clock.ms
        return [key for key in self.made if now_ms < self.until_ms.get(key.stored.key_id, now_ms + 1)]

    @rule(hours=st.integers(0, 72))
    def rotate_newest(self, hours: int) -> None:
        newest = self.made[-1]
        self.made.append(self.meter.rotate_key(newest.stored.key_id, overlap=timedelta(hours=hours)))
        self.until_ms[newest.stored.key_id] = self.clock.ms + hours * 3_600_000

    @precondition(lambda self: len(self.made) > 1)
    @rule(data=st.data())
    def rotate_another(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(self.made[:-1]))
        with pytest.raises((IdConflict, UnknownKey)):
            self.meter.rotate_key(old.stored.key_id)

    @rule(hours=st.integers(0, 100))
    def wait(self, hours: int) -> None:
        self.clock.ms += hours * 3_600_000

    @rule(data=st.data(), price_wei=st.integers(0, 4), beyond_wei=st.sampled_from([0, 0, 0, 1, 50]))
    def spend(self, data: st.DataObject, price_wei: int, beyond_wei: int) -> None:
        key = data.draw(st.sampled_from(self.made))
        answer = asked(self.meter, key.text, price_wei=price_wei, beyond_wei=beyond_wei)
        if key not in self.good():
            assert answer == "expired_key"
        elif self.spent + price_wei <= self.CAP:
            assert answer == "served"
            self.spent = min(self.spent + price_wei + beyond_wei, self.CAP)
        else:
            assert answer == "quota_exceeded"

    @invariant()
    def charged_is_what_was_spent(self) -> None:
        assert self.meter.balance("acme").charged_wei == self.spent

    @invariant()
    def newest_is_good_and_others_until_their_overlap_ends(self) -> None:
        good = {key.stored.key_id for key in self.good()}
        assert self.made[-1].stored.key_id in good
        kept = {key.key_id for key in self.meter.keys("acme") if key.is_good(self.clock.ms)}
        assert kept == good


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_changes__all__leave_a_line_in_the_log_without_secrets(meter: Meter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "api_billing.metering.administration")
    meter.add_consumer("beta", tier="pro")
    meter.change_consumer("beta", disabled=True)
    meter.set_tier(Tier("starter", monthly_calls=5, retention_days=7))
    meter.grant("acme", "5 wei", grant_id="second", note="of the customer's own business")
    meter.grant("acme", "5 wei", grant_id="second")
    asyncio.run(meter.aset_limit("weather", "100/minute", name="most"))
    meter.remove_limit("weather", "most")
    meter.remove_limit("weather", "most")
    meter.reset_month("acme")
    made = meter.create_key("acme")
    imported = meter.import_key("a key from elsewhere".replace(" ", "-"), "acme")
    rotated = meter.rotate_key(made.stored.key_id)
    meter.change_key(imported.key_id, label="other")
    meter.revoke_key(imported.key_id)
    meter.revoke_key(imported.key_id)
    assert [record.getMessage() for record in caplog.records] == [
        "consumer added, or there already: beta",
        "consumer changed: beta",
        "tier set: starter",
        "credit granted: acme",
        "limit set: weather",
        "limit removed: weather",
        "window reset: acme",
        *(f"key {what}: acme" for what in ("made", "imported", "rotated", "changed", "revoked")),
    ]
    told = [vars(record) for record in caplog.records]
    assert (told[1]["disabled"], told[3]["grant_id"], told[3]["amount"]) == (True, "second", "5 wei")
    assert (told[9]["key_id"], told[9]["new_key_id"]) == (made.stored.key_id, rotated.stored.key_id)
    for secret in (made.text, rotated.text, "elsewhere", "business"):
        assert secret not in str(told)
