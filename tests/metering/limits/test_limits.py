"""Limits as objects, and as the texts that users of other limiters know."""

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.amounts import Currency
from api_billing.metering import Limit, parse_limits
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.limits.limits import limits_of

GEN = 10**18


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100/minute", Limit("fixed", 100, minutes=1)),
        ("100 per minute", Limit("fixed", 100, minutes=1)),
        ("100 PER Minute", Limit("fixed", 100, minutes=1)),
        ("100/5minutes", Limit("fixed", 100, minutes=5)),
        ("10 per 2 hours", Limit("fixed", 10, hours=2)),
        ("10 per 2 hour", Limit("fixed", 10, hours=2)),
        ("10/30 days", Limit("fixed", 10, days=30)),
        ("1 per week", Limit("fixed", 1, weeks=1)),
        ("1/3 months", Limit("fixed", 1, months=3)),
        ("1/10 years", Limit("fixed", 1, years=10)),
        ("5/s", Limit("fixed", 5, seconds=1)),
        ("5/m", Limit("fixed", 5, minutes=1)),
        ("5/10m", Limit("fixed", 5, minutes=10)),
        ("5/h", Limit("fixed", 5, hours=1)),
        ("5/d", Limit("fixed", 5, days=1)),
        ("0/minute", Limit("fixed", 0, minutes=1)),
        ("20 calls per day", Limit("fixed", 20, days=1)),
        ("20 requests/day", Limit("fixed", 20, days=1)),
        ("0.5 gen/day", Limit("fixed", GEN // 2, days=1, unit="wei", name="0.5-gen-per-day")),
        ("0.5gen/day", Limit("fixed", GEN // 2, days=1, unit="wei", name="0.5-gen-per-day")),
        ("900 wei/hour; on=api", Limit("fixed", 900, hours=1, unit="wei", on="api")),
        ("3 gwei per 2 hours", Limit("fixed", 3 * 10**9, hours=2, unit="wei", name="3-gwei-per-2-hours")),
        ("5/second; burst=10", Limit("bucket", 5, seconds=1, burst=10)),
        ("5/second; window=bucket", Limit("bucket", 5, seconds=1)),
        ("100/minute; window=sliding", Limit("sliding", 100, minutes=1)),
        ("100/minute; window=moving", Limit("moving", 100, minutes=1)),
        ("1/month; from=2026-01-31", Limit("anchored", 1, months=1, anchor=date(2026, 1, 31))),
        ("100/minute; per=address; on=api", Limit("fixed", 100, minutes=1, per="address", on="api")),
        ("100/minute, per = key | on = method", Limit("fixed", 100, minutes=1, per="key", on="method")),
        ("100/minute; group=search", Limit("fixed", 100, minutes=1, on="group", group="search")),
        ("100/minute; name=reads", Limit("fixed", 100, minutes=1, name="reads")),
        (
            "100/minute; tier.pro=1000; tier.enterprise=none",
            Limit("fixed", 100, minutes=1, by_tier={"pro": 1000, "enterprise": None}),
        ),
        (
            "1 gen/day; tier.pro=2.5",
            Limit("fixed", GEN, days=1, unit="wei", name="1-gen-per-day", by_tier={"pro": 5 * GEN // 2}),
        ),
    ],
)
def test_parse_limits__of_one__is_that_limit(text: str, limit: Limit) -> None:
    assert parse_limits(text) == (limit,)


def test_parse_limits__of_another_currency__is_in_its_smallest_unit() -> None:
    (limit,) = parse_limits("0.25 usd/day", Currency("USD"))
    assert (limit.unit, limit.amount, limit.name) == ("wei", 250_000_000, "0.25-usd-per-day")
    with pytest.raises(InvalidSetting, match="money is counted in USD here"):
        parse_limits("0.25 gen/day", Currency("USD"))


@pytest.mark.parametrize(
    ("currency", "shown"), [("GEN", r"GEN here \(0\.5gen/day"), ("credits", r"credits here \(500credits")]
)
def test_parse_limits__amount_of_an_unknown_unit__says_how_calls_are_written(currency: str, shown: str) -> None:
    with pytest.raises(
        InvalidSetting, match=rf"'10k/day' is no limit: 'k' is neither calls, .* \(10000/day\), .*{shown}"
    ):
        parse_limits("10k/day", Currency(currency))


@pytest.mark.parametrize("separator", ["; ", ", ", "|", ";", " ;; "])
def test_parse_limits__of_several__are_these_in_their_order(separator: str) -> None:
    found = parse_limits(separator.join(["10/minute", "100/hour", "1000 per day"]))
    assert [each.name for each in found] == ["10-per-minute", "100-per-hour", "1000-per-day"]


def test_parse_limits__options_behind_a_limit__are_about_it_alone() -> None:
    first, second = parse_limits("10/minute; per=address; 100/hour")
    assert (first.per, second.per) == ("address", "consumer")


def test_parse_limits__options_before_all__are_about_each_but_where_it_says_else() -> None:
    first, second = parse_limits("per=address; on=api; 10/minute; 100/hour; per=all")
    assert [(each.per, each.on) for each in (first, second)] == [("address", "api"), ("all", "api")]


@pytest.mark.parametrize(
    "text",
    [
        "", ";", "100", "100/", "/minute", "100/fortnight", "minute", "-1/minute", "1.5/minute", "1e3/minute",
        "100/0 minutes", "100/minute/hour", "100 per per minute", "٣/minute", "100/minute; per=user", "5 euro/day",
        "100/minute; on=everything", "100/minute; window=rolling", "100/minute; speed=5", "0.1 wei/day", "per=address",
        "100/minute; window=sliding; burst=5", "5/second; burst=many", "1/month; window=sliding", "1/year; burst=2",
        "1/day; from=yesterday", "1/day; window=anchored", "100/101 years", "100/99999999999 seconds",
        "100/minute; name=a/b", "100/minute; name=" + "a" * 65, "100/minute; on=group", "100/minute; tier.pro=lots",
        "1" * 90 + "/minute", "1/minute;" * 300,
        "5/minute; group=", "5/minute; tier.=4", "5/minute; per=consumer; per=all", "on=api; on=api; 5/minute",
    ],
)  # fmt: skip
def test_parse_limits__of_what_is_none__says_so(text: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse_limits(text)
    assert str(caught.value)


@pytest.mark.parametrize("text", ["100 a minute", "100/0 minutes", "5/", "5/60"])
def test_parse_limits__of_what_is_none__says_how_to_write_it(text: str) -> None:
    with pytest.raises(InvalidSetting, match=f"'{text}' is no limit: write it as 100/minute, 100 per 5 minutes"):
        parse_limits(text)


RATES = st.builds(
    "{}{}{}{}".format,
    st.integers(0, 10**9) | st.sampled_from(["007", "1"]),
    st.sampled_from(["/", " / ", " per ", "per", " PER"]),
    st.integers(1, 20) | st.sampled_from(["", " ", "1 ", "05"]),
    st.sampled_from(["second", "minutes", "HOUR", "Days", "month", "years"]),
)


@given(st.lists(RATES, min_size=1, max_size=5), st.sampled_from([";", ", ", " | "]))
def test_parse_limits__of_what_the_library_limits_reads__is_the_same(rates: list[str], separator: str) -> None:
    text = separator.join(rates)
    theirs = [(each.amount, each.multiples, each.GRANULARITY.name) for each in limits.parse_many(text)]
    assert [(each.amount, *reversed(each.every)) for each in parse_limits(text)] == theirs


@given(st.text(max_size=60) | st.text(alphabet="0123456789/ per;=minutesg.en,|", max_size=40))
def test_parse_limits__of_any_text__is_limits_or_says_that_it_is_none(text: str) -> None:
    with suppress(InvalidSetting):
        assert all(isinstance(each, Limit) for each in parse_limits(text))


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        (Limit("fixed", 100, minutes=1), "100-per-minute"),
        (Limit("moving", 10, minutes=5), "10-per-5-minutes-sliding"),
        (Limit("bucket", 5, seconds=1, burst=10), "5-per-second-bucket-burst-10"),
        (Limit("fixed", 100, minutes=1, per="address", on="api"), "100-per-minute-per-address-on-api"),
        (Limit("fixed", 100, hours=1, group="search"), "100-per-hour-in-search"),
        (Limit("fixed", 500, days=1, unit="wei"), "500-wei-per-day"),
        (Limit("anchored", 1, months=1, anchor=date(2026, 1, 31)), "1-per-month-from-2026-01-31"),
    ],
)
def test_limit__without_a_name__is_called_what_it_is(limit: Limit, name: str) -> None:
    assert limit.name == name


@pytest.mark.parametrize(
    "given",
    [
        {}, {"minutes": 1, "hours": 1}, {"minutes": 0}, {"minutes": -1}, {"minutes": True}, {"minutes": 1.5},
        {"minutes": 1, "unit": "gen"}, {"minutes": 1, "per": "user"}, {"minutes": 1, "on": "site"},
        {"minutes": 1, "on": "group"}, {"minutes": 1, "on": "api", "group": "a"}, {"minutes": 1, "burst": 2},
        {"minutes": 1, "anchor": date(2026, 1, 1)}, {"minutes": 1, "by_tier": {"pro": -1}},
        {"minutes": 1, "by_tier": [("pro", 1)]}, {"minutes": 1, "by_tier": {1: 1}}, {"minutes": 1, "name": '"'},
        {"years": 101}, {"years": 1, "name": "a", "window": "sliding"}, {"minutes": 1, "window": "anchored"},
        {"days": 1, "window": "anchored", "anchor": "2026-01-01"}, {"minutes": 1, "amount": 2**256},
        {"minutes": 1, "amount": "5"}, {"minutes": 1, "window": "hopping"},
    ],
)  # fmt: skip
def test_limit__of_what_is_none__is_refused(given: dict[str, Any]) -> None:
    given = {"window": "fixed", "amount": 5, **given}
    with pytest.raises(InvalidSetting):
        Limit(given.pop("window"), given.pop("amount"), **given)


def test_limit__of_a_tier__is_its_own_amount_or_the_one_of_all() -> None:
    limit = Limit("fixed", 100, minutes=1, by_tier={"pro": 1000, "enterprise": None})
    assert [limit.amount_for(tier) for tier in ("free", "pro", "enterprise")] == [100, 1000, None]


def test_limit__whose_tiers_are_changed_by_who_gave_them__stays_as_it_was() -> None:
    tiers: dict[str, int | None] = {"pro": 1000}
    limit = Limit("fixed", 100, minutes=1, by_tier=tiers)
    tiers["pro"] = 5
    assert limit.amount_for("pro") == 1000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "starts", "ends"),
    [
        ("1/15 seconds", "2026-05-20T10:31:45", "2026-05-20T10:32:00"),
        ("1/5 minutes", "2026-05-20T10:30:00", "2026-05-20T10:35:00"),
        ("1/week", "2026-05-18T00:00:00", "2026-05-25T00:00:00"),
        ("1/3 months", "2026-04-01T00:00:00", "2026-07-01T00:00:00"),
        ("1/10 years", "2020-01-01T00:00:00", "2030-01-01T00:00:00"),
        ("1/2 months; from=2026-01-31", "2026-03-31T00:00:00", "2026-05-31T00:00:00"),
        ("1/2 weeks; from=2026-05-19", "2026-05-19T00:00:00", "2026-06-02T00:00:00"),
    ],
)
def test_limit__of_a_fixed_window__has_the_one_of_the_instant(text: str, starts: str, ends: str) -> None:
    (limit,) = parse_limits(text)
    assert limit.at(ms("2026-05-20T10:31:50")) == (ms(starts), ms(ends))


def test_limit__before_its_anchor__has_no_window() -> None:
    (limit,) = parse_limits("1/day; from=2026-05-21")
    assert limit.at(ms("2026-05-20T23:59:59.999")) is None


@pytest.mark.parametrize("window", ["sliding", "bucket"])
def test_limit__that_has_no_windows__begins_at_0_and_ends_at_its_length(window: str) -> None:
    (limit,) = parse_limits(f"10/5 minutes; window={window}")
    assert (limit.counting, limit.at(ms("2026-05-20T10:31:50"))) == (window, (0, 300_000))


def test_limits_of__texts_and_limits__are_all_of_them() -> None:
    found = limits_of(["10/minute; 100/hour", Limit("moving", 10, minutes=5)])
    assert [each.name for each in found] == ["10-per-minute", "100-per-hour", "10-per-5-minutes-sliding"]
    assert limits_of("10/minute") == limits_of(Limit("fixed", 10, minutes=1)) == parse_limits("10/minute")


@pytest.mark.parametrize("given", [5, [5], None, ["10/minute", "10/minute"], [f"1/{n} minutes" for n in range(1, 18)]])
def test_limits_of__what_are_none_or_too_many_or_twice_one_name__is_refused(given: Any) -> None:
    with pytest.raises(InvalidSetting):
        limits_of(given)
