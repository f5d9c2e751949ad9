"""Header fields, read back with an independent parser of structured fields (http-sf)."""

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.amounts import Currency
from api_billing.metering.limits.fields import policy_field, seconds_until
from api_billing.metering.limits.plan import PlanCache, WindowPlan, make_plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.claims import MAX_KEY_LENGTH, fingerprint, parse_idempotency_key
from api_billing.metering.request.http import cost_field

NOON = 1_700_049_600_000  # 2023-11-15T12:00:00Z
MINUTE = Quota("minute", "minute", 10)
DAY = Quota("day", "day", 1_000)
MAX_INTEGER = 999_999_999_999_999


def plan_of(*quotas: Quota, budgets: tuple[Budget, ...] = (), now_ms: int = NOON) -> WindowPlan:
    profile = Profile("ann", Tier("none", None, 7), 1, quotas=quotas, budgets=budgets)
    return make_plan(profile, now_ms)


def parsed(value: str) -> list[tuple[str, dict[str, Any]]]:
    items = http_sf.parse(value.encode(), tltype="list")
    assert isinstance(items, list)
    return [(str(item), dict(params)) for item, params in items]


def fields_of(plan: WindowPlan, *counts: int, now_ms: int = NOON, estimate_wei: int = 1) -> dict[str, str]:
    return dict(plan.fields(counts, now_ms, estimate_wei))


def test_policy__of_calls__has_quota_and_window_in_seconds() -> None:
    policy = fields_of(plan_of(MINUTE, DAY), 1, 1)["ratelimit-policy"]
    assert parsed(policy) == [("minute", {"q": 10, "w": 60}), ("day", {"q": 1_000, "w": 86_400})]


def test_policy__looks__as_in_the_draft() -> None:
    assert fields_of(plan_of(DAY), 1)["ratelimit-policy"] == '"day";q=1000;w=86400'


def test_limit__of_calls__has_the_rest_and_the_seconds_to_the_end() -> None:
    limit = fields_of(plan_of(MINUTE, DAY), 4, 900)["ratelimit"]
    assert parsed(limit) == [("minute", {"r": 6, "t": 60}), ("day", {"r": 100, "t": 12 * 3600})]


def test_limit__in_the_middle_of_a_second__is_rounded_up() -> None:
    assert parsed(fields_of(plan_of(MINUTE), 1, now_ms=NOON + 1)["ratelimit"])[0][1]["t"] == 60


def test_limit__used_beyond_the_limit__is_zero() -> None:
    assert parsed(fields_of(plan_of(MINUTE), 12)["ratelimit"])[0][1]["r"] == 0


@pytest.mark.parametrize(
    ("limit", "quota", "unit", "left"),
    [
        (MAX_INTEGER, MAX_INTEGER, "wei", MAX_INTEGER - 1),
        (10**15, 10**6, "gwei", 10**6 - 1),
        (3 * 10**18, 3 * 10**9, "gwei", 3 * 10**9 - 1),
        (10**25, 10**7, "gen", 10**7 - 1),
        (2**256 - 1, MAX_INTEGER, "gen", MAX_INTEGER),
    ],
)
def test_fields__of_wei__use_the_finest_unit_that_fits(limit: int, quota: int, unit: str, left: int) -> None:
    fields = fields_of(plan_of(Quota("money", "day", limit, "wei")), 1)
    assert parsed(fields["ratelimit-policy"]) == [("money", {"q": quota, "qu": unit, "w": 86_400})]
    assert parsed(fields["ratelimit"])[0][1]["r"] == left


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256), st.sampled_from(["calls", "wei"]))
def test_fields__any_limit_and_count__can_be_read(limit: int, used: int, unit: Any) -> None:
    fields = fields_of(plan_of(Quota("a b!#;,=", "month", limit, unit)), used)
    assert parsed(fields["ratelimit-policy"])[0][0] == "a b!#;,="
    assert 0 <= parsed(fields["ratelimit"])[0][1]["r"] <= MAX_INTEGER


def test_fields__older_clients__get_the_window_with_the_least_left() -> None:
    fields = fields_of(plan_of(MINUTE, DAY), 4, 999)
    assert [fields[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == [
        "1000",
        "1",
        str((NOON + 12 * 3_600_000) // 1000),
    ]


def test_fields__older_clients_and_money__get_calls_at_the_estimate() -> None:
    fields = fields_of(plan_of(MINUTE, Quota("money", "day", 100, "wei")), 1, 80, estimate_wei=7)
    assert (fields["x-ratelimit-limit"], fields["x-ratelimit-remaining"]) == ("14", "2")


def test_fields__nothing_limited__are_none() -> None:
    warns = Budget("b", "day", 100, (Step(50, "warn"),))
    assert fields_of(plan_of(budgets=(warns,)), 1) == {}


def test_fields__counts_of_another_plan__are_none() -> None:
    assert fields_of(plan_of(MINUTE, DAY), 1) == {}


def test_policy_field__window_without_limit__is_left_out() -> None:
    assert policy_field(
        (WindowCheck("c", 0, 60_000, "wei", None, "b"), WindowCheck("d", 0, 60_000, "calls", 5, "q"))
    ) == ('"q";q=5;w=60')


@pytest.mark.parametrize(
    ("currency", "limit", "unit", "figure"),
    [
        (Currency("USD"), 0, "1e-9 usd", 0),
        (Currency("USD"), 5 * 10**9, "1e-9 usd", 5 * 10**9),
        (Currency("USD"), 10**15, "1e-6 usd", 10**12),
        (Currency("USD"), 10**24 - 1, "usd", 10**15 - 1),
        (Currency("USD"), 10**26, "usd", 10**15 - 1),
        (Currency("EUR", 2), 500, "1e-2 eur", 500),
        (Currency("EUR", 2), 10**16, "eur", 10**14),
        (Currency("credits"), 500, "credits", 500),
        (Currency("credits"), 10**16, "credits", 10**15 - 1),
    ],
)
def test_fields__money_of_another_currency__say_a_unit_that_the_limit_fits_into(
    currency: Currency, limit: int, unit: str, figure: int
) -> None:
    profile = Profile("ann", Tier("none", None, 7), 1, quotas=(Quota("spend", "day", limit, "wei"),))
    fields = fields_of(PlanCache(currency=currency).plan(profile, NOON), 0)
    assert parsed(fields["ratelimit-policy"]) == [("spend", {"q": figure, "qu": unit, "w": 86_400})]
    assert parsed(fields["ratelimit"])[0][1]["r"] == figure


@pytest.mark.parametrize(("at_ms", "seconds"), [(1, 1), (1000, 1), (1001, 2), (0, 0), (-5, 0)])
def test_seconds_until__instant__is_never_too_early(at_ms: int, seconds: int) -> None:
    assert seconds_until(at_ms, 0) == seconds


def test_cost_field__wei__is_written_in_full() -> None:
    assert cost_field(2**256 - 1) == ("x-cost-wei", str(2**256 - 1))


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('"abc"', "abc"),
        ("abc", "abc"),
        (' "abc" ', "abc"),
        (r'"a\"b\\c"', r"a\"b\c".replace(r"\"", '"')),
        ('"a b"', "a b"),
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("x" * MAX_KEY_LENGTH, "x" * MAX_KEY_LENGTH),
    ],
)
def test_parse_idempotency_key__quoted_or_not__is_the_key(value: str, key: str) -> None:
    assert parse_idempotency_key([value]) == key


@pytest.mark.parametrize(
    "value",
    [
        "",
        '""',
        '"',
        '"abc',
        '"a"b"',
        '"a";p=1',
        '"a", "b"',
        r'"a\x"',
        "é",
        '"\x00"',
        "a\x7f",
        " ",
        '" "',
        "x" * 256,
        '"' * 600,
    ],
)
def test_parse_idempotency_key__not_acceptable__is_none(value: str) -> None:
    assert parse_idempotency_key([value]) is None


@pytest.mark.parametrize("values", [[], ["a", "b"]])
def test_parse_idempotency_key__not_exactly_one__is_none(values: list[str]) -> None:
    assert parse_idempotency_key(values) is None


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60).filter(str.strip))
def test_parse_idempotency_key__any_string_of_the_parser__is_the_same(key: str) -> None:
    assert parse_idempotency_key([http_sf.ser(key)]) == key


REQUEST = ("POST", "/a", b"x=1", b"body")


def test_fingerprint__same_request__is_the_same() -> None:
    assert fingerprint(*REQUEST) == fingerprint(*REQUEST)


@pytest.mark.parametrize(
    "other",
    [
        ("PUT", "/a", b"x=1", b"body"),
        ("POST", "/b", b"x=1", b"body"),
        ("POST", "/a", b"x=2", b"body"),
        ("POST", "/a", b"x=1", b"bodY"),
        ("POST", "/a", b"x=1b", b"ody"),
        ("POST", "/ax", b"=1", b"body"),
    ],
)
def test_fingerprint__any_part_differs_or_moves__differs(other: tuple[str, str, bytes, bytes]) -> None:
    assert fingerprint(*other) != fingerprint(*REQUEST)


def test_fingerprint__hostile_text__does_not_fail() -> None:
    assert len(fingerprint("\u2603", "/\ud800", b"\xff", b"")) == 64
