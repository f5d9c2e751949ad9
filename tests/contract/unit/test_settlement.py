"""`settle_usage`: order, repetition, authority, what is kept of it. How much is billed: test_settlement_fits."""

from typing import Any

import pytest

from ..market import ALICE, API, BOB, DEPOSIT, METER, NOW, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, Market, entry

ROOT = "ab" * 32


def test_settle_usage__one_entry__returns_and_stores_the_outcome(market: Market) -> None:
    outcome = market.ok("settle_usage", API, 1, [entry(calls=2, spend_wei=15)], ROOT, sender=METER).value
    assert outcome == {
        "api_name": API,
        "sequence": 1,
        "usage_root": ROOT,
        "billed_calls": 2,
        "billed_wei": 15,
        "refused_entries": 0,
        "settled_at": NOW,
        "entries": [entry(calls=2, spend_wei=15) | {"billed_calls": 2, "billed_wei": 15, "code": ""}],
    }
    kept = {"api_name": API, "next_sequence": 2, "settlement": outcome}
    assert market.view("get_settlement", API) == kept == market.view("get_settlement", API, 1)
    assert (market.credit(), market.earnings()) == (DEPOSIT - 15, 15)


@pytest.mark.parametrize("caller", [OPERATOR, METER])
def test_settle_usage__operator_or_meter__may(market: Market, caller: str) -> None:
    assert market.settle(entry(), sender=caller)["billed_calls"] == 1


@pytest.mark.parametrize("caller", [ALICE, RIVAL, STRANGER])
def test_settle_usage__anyone_else__may_not(market: Market, caller: str) -> None:
    market.refused("not_authorized", "settle_usage", API, 1, [entry()], sender=caller)


def test_settle_usage__same_sequence_again__answers_as_before_and_bills_nothing(market: Market) -> None:
    first = market.settle(entry())
    market.at("2026-01-16T12:00:00Z")
    again = market.ok("settle_usage", API, 1, [entry()], sender=METER)
    assert (again.value, again.events, market.credit()) == (first, (), DEPOSIT - PRICE)


def test_settle_usage__same_sequence_again_by_a_stranger__is_refused(market: Market) -> None:
    market.settle(entry())
    market.refused("not_authorized", "settle_usage", API, 1, [entry()], sender=STRANGER)


@pytest.mark.parametrize("sequence", [0, 2, 3, 2**64 - 1])
def test_settle_usage__gap__is_refused(market: Market, sequence: int) -> None:
    market.refused("sequence_gap", "settle_usage", API, sequence, [entry()], sender=METER)


def test_settle_usage__next_sequence_after_a_refused_one__is_still_the_same(market: Market) -> None:
    market.refused("bad_entry", "settle_usage", API, 1, [{}], sender=METER)
    assert market.settle(entry())["sequence"] == 1


def test_settlements__the_last_64__are_kept_and_the_one_before_is_not(wide: Market) -> None:
    roots = [f"{number:064x}" for number in range(66)]
    for number in range(1, 66):
        wide.ok("settle_usage", API, number, [entry(spend_wei=1)], roots[number], sender=METER)
    assert [wide.view("get_settlement", API, n)["settlement"]["usage_root"] for n in (2, 64, 65)] == [
        roots[n] for n in (2, 64, 65)
    ]
    again = wide.ok("settle_usage", API, 2, [entry(spend_wei=1)], roots[2], sender=METER).value
    assert again["sequence"] == 2
    wide.refused("sequence_forgotten", "settle_usage", API, 1, [entry()], sender=METER)
    assert wide.view_code("get_settlement", API, 1) == "sequence_forgotten"


def test_get_settlement__none_yet__says_so(market: Market) -> None:
    assert market.view("get_settlement", API) == {"api_name": API, "next_sequence": 1, "settlement": None}
    assert market.view_code("get_settlement", API, 1) == "sequence_gap"


@pytest.mark.parametrize("root", ["", ROOT, ROOT.upper(), "0x" + ROOT, "0x" + ROOT.upper(), bytes.fromhex(ROOT)])
def test_usage_root__empty_or_32_bytes__is_kept_in_one_form(market: Market, root: Any) -> None:
    outcome = market.ok("settle_usage", API, 1, [entry()], root, sender=METER).value
    assert outcome["usage_root"] == (ROOT if root else "")


@pytest.mark.parametrize(
    "root", [ROOT[:-1], ROOT + "0", ROOT[:-1] + "g", "0X" + ROOT, "0x", ROOT + "\n", bytes(31), None, 7, [], True]
)
def test_usage_root__anything_else__is_refused(market: Market, root: Any) -> None:
    market.refused("bad_usage_root", "settle_usage", API, 1, [entry()], root, sender=METER)


@pytest.mark.parametrize("count", [1, 256])
def test_settle_usage__1_to_256_entries__are_accepted(wide: Market, count: int) -> None:
    assert wide.settle(*[entry(spend_wei=1)] * count)["billed_calls"] == count


@pytest.mark.parametrize("count", [0, 257])
def test_settle_usage__no_or_too_many_entries__are_refused(market: Market, count: int) -> None:
    market.refused("too_many_entries", "settle_usage", API, 1, [entry()] * count, sender=METER)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({}, "bad_entry"),
        (None, "bad_entry"),
        ([], "bad_entry"),
        ("x", "bad_entry"),
        (entry() | {"tip": 1}, "bad_entry"),
        ({k: v for k, v in entry().items() if k != "spend_wei"}, "bad_entry"),
        (entry(calls=0), "bad_entry"),
        (entry(calls=-1, spend_wei=0), "bad_entry"),
        (entry(calls=True, spend_wei=1), "bad_type"),
        (entry(calls=2**48, spend_wei=1), "number_too_large"),
        (entry(day_id=None), "bad_type"),
        (entry(day_id=-1), "negative_number"),
        (entry(day_id=2**128), "number_too_large"),
        (entry(spend_wei=-1), "negative_number"),
        (entry(spend_wei="10"), "bad_type"),
        (entry(spend_wei=2**128), "number_too_large"),
        (entry(consumer="0x12"), "bad_address"),
        (entry(consumer=None), "bad_address"),
        (entry(consumer="0x" + "00" * 20), "bad_address"),
    ],
)
def test_settle_usage__malformed_entry__refuses_the_batch(market: Market, bad: Any, code: str) -> None:
    market.refused(code, "settle_usage", API, 1, [entry(), bad], sender=METER)


@pytest.mark.parametrize("entries", [None, {}, "x", b"x", 7, True])
def test_settle_usage__entries_not_a_list__is_refused(market: Market, entries: Any) -> None:
    market.refused("bad_type", "settle_usage", API, 1, entries, sender=METER)


def test_settle_usage__refused_entries__do_not_undo_the_others(market: Market) -> None:
    market.subscribe(BOB)
    outcome = market.settle(
        entry(),
        entry(STRANGER),
        entry(day_id=TODAY - 2),
        entry(spend_wei=PRICE + 1),
        entry(BOB, calls=2),
    )
    told = [(line["consumer"], line["billed_calls"], line["code"]) for line in outcome["entries"]]
    assert told == [
        (ALICE, 1, ""),
        (STRANGER, 0, "not_subscribed"),
        (ALICE, 0, "day_closed"),
        (ALICE, 0, "spend_above_price"),
        (BOB, 2, ""),
    ]
    assert (outcome["billed_calls"], outcome["billed_wei"], market.earnings()) == (3, 30, 30)


def test_settle_usage__refused_entry__leaves_a_notice(market: Market) -> None:
    market.settle(entry(calls=7, spend_wei=70))
    assert market.view("list_notices", ALICE) == [
        {
            "number": 1,
            "at": NOW,
            "kind": "settlement",
            "api_name": API,
            "code": "daily_limit_exceeded",
            "calls": 2,
            "amount_wei": 20,
        }
    ]


def test_settle_usage__all_refused__still_counts_as_a_settlement(market: Market) -> None:
    assert market.settle(entry(STRANGER))["billed_calls"] == 0
    assert market.view("get_settlement", API)["next_sequence"] == 2


def test_settle_usage__consumer_in_any_form__is_the_same_consumer(wide: Market) -> None:
    forms = [ALICE, ALICE.replace("a1", "A1"), bytes.fromhex(ALICE[2:])]
    outcome = wide.settle(*(entry(form) for form in forms))
    assert {line["consumer"] for line in outcome["entries"]} == {ALICE}
    assert wide.line()["calls_today"] == 3


def test_settle_usage__notices_for_who_never_subscribed__do_not_push_out_real_ones(market: Market) -> None:
    market.settle(entry(calls=7))
    market.register("spam", RIVAL)
    market.settle(*[entry(spend_wei=1)] * 100, sender=RIVAL, api_name="spam")
    assert ("settlement", "daily_limit_exceeded") in market.notices()
