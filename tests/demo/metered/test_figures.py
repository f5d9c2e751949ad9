"""What the demo of the meter finds contradictory: nothing in a sound run, and every single fault."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from demo.metered.contract_consumer import Fetch
from demo.metered.figures import ConsumerFigures, ContractFigures, MeteredFigures, Used
from demo.metered.plan import Role

from .sample import consumer, figures


def test_contradictions__of_a_sound_run__are_none() -> None:
    assert figures().contradictions() == []


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        (lambda each: replace(each, seen=each.seen + Used(0, 1)), "saw"),
        (lambda each: replace(each, metered=each.metered + Used(1, 3)), "metered"),
        (lambda each: replace(each, billed=each.billed - Used(1, 3), hold_left_wei=73), "billed"),
        (lambda each: replace(each, hold_left_wei=71), "on hold"),
        (lambda each: replace(each, answers={(200, ""): 11}), "was served 11 times"),
    ],
)
def test_contradictions__in_the_books_of_a_consumer__are_told(
    wrong: Callable[[ConsumerFigures], ConsumerFigures], because: str
) -> None:
    sound = consumer(9)
    assert list(sound.contradictions()) == []
    assert any(because in text for text in wrong(sound).contradictions())


@pytest.mark.parametrize(
    ("role", "changes", "because"),
    [
        (Role.SHORT_HOLD, {"allowed": 9}, "where 9 are allowed"),
        (Role.SHORT_HOLD, {"allowed": 9, "days": 2}, "where 9 are allowed"),
        (Role.TRIAL, {"allowed": 9}, "where 9 are allowed"),
        (Role.TRIAL, {"allowed": 11}, "where 11 are allowed"),
        (Role.SESSION, {"allowed": 9}, "where 9 are allowed"),
        (Role.SESSION, {"signed_wei": 29}, "signed for 29"),
        (Role.MPP, {"signed_wei": 29}, "signed for 29"),
        (Role.X402, {"requests": 11, "allowed": 11}, "was served 10 of 11 requests"),
        (Role.REPEATS, {}, "no answer again"),
        (Role.FAILS, {"answers": {(200, ""): 10}}, "no handler that failed"),
    ],
)
def test_contradictions__role_that_was_not_played__are_told(role: Role, changes: dict[str, Any], because: str) -> None:
    assert [because in text for text in replace(consumer(9, role), **changes).contradictions()] == [True]


def test_contradictions__daily_limit_in_a_run_over_midnight__counts_on_both_days() -> None:
    assert list(replace(consumer(9, Role.TRIAL), allowed=6, days=2).contradictions()) == []


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        (lambda it: replace(it, is_zero=False, reasons=("one wei is missing",)), "one wei is missing"),
        (lambda it: replace(it, batches=it.batches[:1]), "the settlements billed"),
        (lambda it: replace(it, operator=replace(it.operator, earned_wei=1)), "the operator earned 1 wei"),
        (lambda it: replace(it, operator=replace(it.operator, balance_after_wei=1)), "balance did not grow"),
        (lambda it: replace(it, operator=replace(it.operator, left_wei=1)), "1 wei are left"),
        (lambda it: replace(it, refund=replace(it.refund, amount_wei=2, credit_grew_wei=2)), "of which it refunded 2"),
        (lambda it: replace(it, refund=replace(it.refund, credit_grew_wei=4)), "became credit of 4"),
        (lambda it: replace(it, dispute=replace(it.dispute, refund_wei=19, credit_grew_wei=19)), "refunded 19 wei"),
        (lambda it: replace(it, dispute=replace(it.dispute, credit_grew_wei=19)), "the consumer got 19"),
        (lambda it: replace(it, dispute=replace(it.dispute, earnings_grew_wei=21)), "the operator got 21"),
        (lambda it: replace(it, solvency=replace(it.solvency, surplus_wei=-1)), "holds -1 wei more"),
        (lambda it: replace(it, solvency=replace(it.solvency, surplus_wei=1)), "holds 1 wei more"),
    ],
)
def test_contradictions__in_the_whole__are_told(
    wrong: Callable[[MeteredFigures], MeteredFigures], because: str
) -> None:
    assert any(because in text for text in wrong(figures()).contradictions())


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        (lambda it: replace(it, redeemed=3), "was billed 2 calls, served 3, and fetched 2"),
        (lambda it: replace(it, billed=Used(1, 100)), "was billed 1 calls"),
        (lambda it: replace(it, fetches=it.fetches[:2]), "fetched 2"),
        (lambda it: replace(it, fetches=(*it.fetches[:1], Fetch("2", "failed", "HTTP 402", "r"), it.fetches[2])), "1"),
        (lambda it: replace(it, fetches=(*it.fetches[:2], Fetch("3", "denied", "api_paused", ""))), "api_paused"),
    ],
)
def test_contradictions__of_the_contract__are_told(
    wrong: Callable[[ContractFigures], ContractFigures], because: str
) -> None:
    sound = figures()
    told = replace(sound, contract_consumer=wrong(sound.contract_consumer)).contradictions()
    assert any(because in text and "(the contract)" in text for text in told)


def test_to_json__of_figures__is_json_with_all_of_them() -> None:
    found = json.loads(json.dumps(figures().to_json()))
    assert found["totals"]["metered"] == found["totals"]["billed"] == {"calls": 90, "wei": 270}
    assert found["requests"]["sent"] == sum(each["requests"] for each in found["requests"]["answers"]) == 99
    assert (found["reconciliation"]["zero"], found["contradictions"]) == (True, [])


def test_latency__of_percentages__is_one_that_was_measured() -> None:
    sound = replace(figures(), latencies=tuple(float(number) for number in range(101)))
    assert [sound.latency(percent) for percent in (0, 50, 99, 100)] == [0.0, 50.0, 99.0, 100.0]
