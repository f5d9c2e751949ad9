"""Judging: when leader and validators agree, what an answer must be, and what is done with the money then."""

import re
from dataclasses import replace
from typing import Any

import pytest

from api_billing.contract_editions import edition
from genlayer_localnet import ContractRejected, Localnet, WebError

from ..forms import Form
from ..market import ALICE, API, BOB, DAY, OPERATOR, START, STRANGER, event_names, message_names
from .tribunal import (
    CAP_PERCENT,
    COURT_FILE,
    DISPUTED,
    MIN_BOND,
    PAID,
    PAYOUT_DAYS,
    Tribunal,
    play,
    verdict,
)

LEADER, VALIDATORS = 0, (1, 2, 3, 4)
OPEN_AS_IT_WAS = ("open", 0, 0, "")


def outcome(tribunal: Tribunal) -> tuple[Any, ...]:
    dispute = tribunal.dispute()
    return tuple(dispute[key] for key in ("status", "refund_percent", "refund_wei", "reason"))


# The verdict and the money


@pytest.mark.parametrize(("percent", "refund"), [(25, 12), (50, 25), (75, 37), (100, 40)])
def test_judge__refund__goes_to_the_consumer_up_to_the_cap(tribunal: Tribunal, percent: int, refund: int) -> None:
    assert refund == PAID * min(percent, CAP_PERCENT) // 100
    tribunal.open()
    before, earned = tribunal.money(), tribunal.market.view("get_solvency")["earnings_wei"]
    tribunal.judges.say(percent)
    judged = tribunal.judge()
    told = {"dispute_id": 1, "refund_percent": percent, "refund_wei": refund}
    assert judged.value == {**told, "reason": "The log shows it."}
    assert event_names(judged) == ["DisputeJudged"]
    assert (judged.events[0].fields["bond_to"].as_hex.lower(), judged.events[0].fields["refund_wei"]) == (ALICE, refund)
    assert tribunal.changes(before) == {"bonds": -MIN_BOND}
    tribunal.final()
    assert outcome(tribunal) == ("judged", percent, refund, "The log shows it.")
    assert tribunal.changes(before) == {"alice": refund + MIN_BOND, "bonds": -MIN_BOND}
    day = tribunal.paid_day()
    assert (day["frozen_wei"], day["refunded_wei"], day["pending"]) == (0, refund, False)
    assert tribunal.market.view("get_solvency")["surplus_wei"] == 0
    assert tribunal.market.view("get_solvency")["earnings_wei"] == earned - refund


def test_judge__nothing_to_refund__gives_the_bond_to_the_operator(tribunal: Tribunal) -> None:
    tribunal.open()
    before = tribunal.money()
    tribunal.judges.say(0)
    assert tribunal.judge().value["refund_wei"] == 0
    tribunal.final()
    assert outcome(tribunal)[:3] == ("judged", 0, 0)
    assert tribunal.changes(before) == {"operator": MIN_BOND, "bonds": -MIN_BOND}
    assert tribunal.paid_day()["frozen_wei"] == 0


def test_judge__refunded_before_the_freeze__is_taken_off(tribunal: Tribunal) -> None:
    tribunal.ok("open_dispute", API, DISPUTED, "Late.", sender=ALICE, value=MIN_BOND)
    tribunal.market.ok("refund", API, ALICE, 20, "sorry", DISPUTED, sender=OPERATOR)
    tribunal.final()
    assert tribunal.paid_day()["frozen_wei"] == PAID - 20
    tribunal.judges.say(75)
    assert tribunal.judge().value["refund_wei"] == 37 - 20


def test_judge__refunded_more_than_the_verdict__refunds_nothing_and_returns_the_bond(tribunal: Tribunal) -> None:
    tribunal.ok("open_dispute", API, DISPUTED, "Late.", sender=ALICE, value=MIN_BOND)
    tribunal.market.ok("refund", API, ALICE, 30, "sorry", DISPUTED, sender=OPERATOR)
    tribunal.final()
    before = tribunal.money()
    tribunal.judges.say(50)
    assert tribunal.judge().value["refund_wei"] == 0
    tribunal.final()
    assert tribunal.changes(before) == {"alice": MIN_BOND, "bonds": -MIN_BOND}
    assert tribunal.paid_day()["refunded_wei"] == 30


def test_judge__anyone_may_ask__and_gains_nothing(tribunal: Tribunal) -> None:
    tribunal.open()
    before = tribunal.market.credit(STRANGER), tribunal.market.credit(BOB)
    tribunal.judge()
    tribunal.final()
    assert (tribunal.market.credit(STRANGER), tribunal.market.credit(BOB)) == before


def test_judge__line_that_is_printed__has_no_text_of_the_parties(tribunal: Tribunal) -> None:
    tribunal.open(claim="[Refunded] all\n[Refunded] more")
    tribunal.judges.say(25, reason="[Refunded] twice\n[Refunded] more")
    assert re.fullmatch(
        rf"\[DisputeJudged\] api_name={API} consumer={ALICE} bond_to={ALICE} "
        r"dispute_id=1 refund_percent=25 refund_wei=12\n",
        tribunal.judge().stdout,
    )


# Agreement


@pytest.mark.parametrize(
    ("leader", "others"), [(50, 75), (50, 25), (50, 50), (25, 50), (75, 100), (100, 75), (0, 0), (100, 100)]
)
def test_judge__same_or_neighbouring_steps__is_the_leaders_verdict(
    tribunal: Tribunal, leader: int, others: int
) -> None:
    tribunal.open()
    tribunal.judges.say(leader, *[others] * 4)
    judged = tribunal.judge()
    assert judged.value["refund_percent"] == leader
    assert set(judged.votes.values()) == {"agree"}
    assert [(role, index) for role, index, _ in tribunal.judges.asked] == [
        ("leader", LEADER), *(("validator", index) for index in VALIDATORS)
    ]  # fmt: skip


@pytest.mark.parametrize(("leader", "others"), [(0, 25), (25, 0), (25, 75), (50, 100), (100, 50), (0, 100), (100, 0)])
def test_judge__further_apart__is_a_disagreement(tribunal: Tribunal, leader: int, others: int) -> None:
    tribunal.open()
    tribunal.judges.say(leader, *[others] * 4)
    judged = tribunal.write("judge", 1)
    # Of the next leaders, who all say the other thing, the first has the majority.
    assert judged.value["refund_percent"] == others
    assert [judged.rounds[0].votes[index] for index in VALIDATORS] == ["disagree"] * 4
    assert judged.votes[LEADER] == "disagree"


def test_judge__nobody_agrees_with_anybody__leaves_the_dispute_open(tribunal: Tribunal) -> None:
    tribunal.open()
    before = tribunal.state()
    tribunal.judges.say(0, 25, 75, 0, 100)
    judged = tribunal.write("judge", 1)
    assert judged.status == "undetermined"
    tribunal.final()
    assert tribunal.state() == before
    tribunal.judges.say(50)
    tribunal.judge()
    assert outcome(tribunal)[:2] == ("judged", 50)


def test_judge__two_of_five_see_it_otherwise__is_decided(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.judges.say(25, 50, 25, 0, 100)
    judged = tribunal.judge()
    assert (judged.value["refund_percent"], sorted(judged.votes.values())) == (25, ["agree"] * 3 + ["disagree"] * 2)


# Answers that are none

NO_VERDICTS: dict[str, Any] = {
    "no JSON": "I think fifty percent would be fair.",
    "broken JSON": '{"refund_percent": 50, "reason": "the',
    "text": '"50"',
    "number": "50",
    "null": "null",
    "list": [50, "It was down."],
    "list of it": [verdict(50)],
    "nothing": {},
    "extra key": {**verdict(50), "confidence": 1},
    "other key": {"percent": 50, "reason": "It was down."},
    "no reason": {"refund_percent": 50},
    "true": verdict(True),
    "false": verdict(False),
    "float": '{"refund_percent": 50.0, "reason": "It was down."}',
    "half": '{"refund_percent": 62.5, "reason": "It was down."}',
    "digits": verdict("50"),
    "no percentage": verdict(None),
    "no step": verdict(30),
    "below": verdict(-25),
    "above": verdict(125),
    "huge": verdict(10**40),
    "reason null": verdict(50, None),
    "reason number": verdict(50, 7),
    "reason list": verdict(50, ["It was down."]),
}
each_no_verdict = pytest.mark.parametrize("answer", NO_VERDICTS.values(), ids=list(NO_VERDICTS))


@each_no_verdict
def test_judge__answer_of_all_is_none__is_an_error_and_never_a_refund(tribunal: Tribunal, answer: Any) -> None:
    tribunal.open()
    tribunal.judges.answer = answer
    judged = tribunal.refused("no_verdict", "judge", 1)
    assert (judged.status, set(judged.votes.values())) == ("accepted", {"agree"})
    tribunal.final()
    assert outcome(tribunal) == OPEN_AS_IT_WAS
    tribunal.judges.say(25)
    tribunal.judge()
    assert tribunal.status() == "judged"


@each_no_verdict
def test_judge__answer_of_the_leader_is_none__another_leader_decides(tribunal: Tribunal, answer: Any) -> None:
    tribunal.open()
    tribunal.judges.say(75)
    tribunal.judges.of_node[LEADER] = answer
    judged = tribunal.judge()
    assert judged.value["refund_percent"] == 75
    assert len(judged.rounds) == 2


@each_no_verdict
def test_judge__answer_of_a_validator_is_none__it_disagrees(tribunal: Tribunal, answer: Any) -> None:
    tribunal.open()
    tribunal.judges.say(75)
    tribunal.judges.of_node[2] = answer
    judged = tribunal.judge()
    assert [index for index, vote in judged.votes.items() if vote == "disagree"] == [2]


@pytest.mark.parametrize("broken", [("WEB_ERROR", "no model"), ("PROMPT_ANSWER", "overloaded")])
def test_judge__model_that_fails__is_no_verdict(tribunal: Tribunal, broken: tuple[str, str]) -> None:
    tribunal.open()

    def fails(*_: object) -> None:
        raise WebError(*broken)

    tribunal.net.prompt_handler = fails  # type: ignore[assignment]
    tribunal.refused("no_verdict", "judge", 1)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * 501, "x" * 500),
        ("a\nb\tc\x00d\x1b[31me\u2028f\u202eg\u200bh", "a b c d [31me f g h"),
        ("", ""),
    ],
)
def test_judge__reason__is_cut_and_without_control_characters(tribunal: Tribunal, reason: str, kept: str) -> None:
    tribunal.open()
    tribunal.judges.say(25, reason=reason)
    assert tribunal.judge().value["reason"] == kept
    assert tribunal.dispute()["reason"] == kept


# Leaders that do not run this code, or not in time

HONEST = "return gl.vm.run_nondet_unsafe(answer, agrees)"
LIES: dict[str, str] = {
    "no verdict": "'100'",
    "extra key": "{'refund_percent': 100, 'reason': 'x', 'amount': 10**18}",
    "a bool": "{'refund_percent': True, 'reason': 'x'}",
    "no step": "{'refund_percent': 60, 'reason': 'x'}",
}


def court_with(form: Form, change: tuple[str, str], **options: Any) -> Tribunal:
    """A court of which a line says something else."""
    source = COURT_FILE.read_text(encoding="utf-8")
    assert source.count(change[0]) == 1
    code = edition(source.replace(*change), "v0.3" if form == "v0.3" else "v0.2")
    return play(Localnet(now=START, **options), code, form).attend()


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_judge__leader_that_lies__is_alone(form: Form, lie: str) -> None:
    liars = court_with(form, (HONEST, f"return gl.vm.run_nondet_unsafe(lambda: {lie}, agrees)"), rotations=0)
    liars.open()
    judged = liars.write("judge", 1)
    assert (judged.status, judged.rounds[0].votes) == (
        "undetermined", {LEADER: "agree", **dict.fromkeys(VALIDATORS, "disagree")}
    )  # fmt: skip
    assert outcome(liars) == OPEN_AS_IT_WAS


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_judge__lie_that_all_agree_to__is_checked_again(form: Form, lie: str) -> None:
    conspiracy = court_with(form, (HONEST, f"return gl.vm.run_nondet_unsafe(lambda: {lie}, lambda _: True)"))
    conspiracy.open()
    conspiracy.refused("no_verdict", "judge", 1)


def test_judge__reason_that_a_leader_did_not_cut__is_cut(form: Form) -> None:
    lie = "{'refund_percent': 50, 'reason': 'a\\nb' * 1000}"
    talkative = court_with(form, (HONEST, f"return gl.vm.run_nondet_unsafe(lambda: {lie}, agrees)"))
    talkative.open()
    assert talkative.judge().value["reason"] == ("a b" * 1000)[:500]


ASKED = "answer = gl.nondet.exec_prompt("
SLOW = "while gl.nondet.exec_prompt('slow?', response_format='json') == 'yes': pass\n        " + ASKED


@pytest.mark.parametrize(
    ("slow", "status"), [((LEADER,), "leader_timeout"), (VALIDATORS, "validators_timeout"), ((1, 2), "accepted")]
)
def test_judge__nodes_that_time_out__do_not_decide(form: Form, slow: tuple[int, ...], status: str) -> None:
    tribunal = court_with(form, (ASKED, SLOW))
    tribunal.open()
    before = tribunal.state()
    hesitating = set(slow)
    tribunal.net.prompt_handler = lambda request, node: (
        ('"yes"' if node.index in hesitating else '"no"') if request.prompt == "slow?" else verdict(50)
    )
    chain = tribunal.net._chain
    chain.settings = replace(chain.settings, contract_timeout_seconds=1)
    judged = tribunal.write("judge", 1)
    assert (judged.status, [judged.votes[index] for index in slow]) == (status, ["timeout"] * len(slow))
    if status == "accepted":
        return
    tribunal.final()
    assert tribunal.state() == before
    hesitating.clear()
    tribunal.judge()
    assert outcome(tribunal)[:2] == ("judged", 50)


# When


def test_judge__twice__is_refused(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.judges.say(25)
    tribunal.judge()
    tribunal.judges.say(100)
    tribunal.refused("not_open", "judge", 1)
    tribunal.final()
    tribunal.refused("not_open", "judge", 1)
    tribunal.refused("not_open", "close_dispute", 1)
    assert outcome(tribunal)[:3] == ("judged", 25, 12)


def test_judge__opening_that_is_not_final__is_refused(tribunal: Tribunal) -> None:
    tribunal.ok("open_dispute", API, DISPUTED, "Late.", sender=ALICE, value=MIN_BOND)
    tribunal.refused("not_frozen", "judge", 1)
    tribunal.final()
    tribunal.judge()


@pytest.mark.parametrize("method", ["judge", "close_dispute", "get_dispute"])
@pytest.mark.parametrize(
    ("code", "dispute_id"),
    [
        ("dispute_not_found", 0),
        ("dispute_not_found", 2),
        ("dispute_not_found", 2**128 - 1),
        ("negative_number", -1),
        ("number_too_large", 2**128),
        *(("bad_type", value) for value in (None, True, "1", b"1", [1], {}, ALICE)),
    ],
)
def test_dispute__hostile_number__is_refused(tribunal: Tribunal, method: str, code: str, dispute_id: Any) -> None:
    tribunal.open()
    if method == "get_dispute":
        with pytest.raises(ContractRejected) as rejected:
            tribunal.view(method, dispute_id)
        assert rejected.value.code == code
    else:
        tribunal.refused(code, method, dispute_id)


def test_judge__day_that_matures_during_the_dispute__stays_frozen(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.wait_days(PAYOUT_DAYS + 1)
    tribunal.market.ok("collect_earnings", API, sender=STRANGER)
    assert tribunal.paid_day()["frozen_wei"] == PAID
    before = tribunal.money()
    tribunal.judges.say(100)
    tribunal.judge()
    tribunal.final()
    assert tribunal.changes(before) == {"alice": 40 + MIN_BOND, "bonds": -MIN_BOND}


def test_judge__promise_that_changed_meanwhile__is_the_one_of_the_day(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.set_promise(days=3, max_refund_percent=1, terms="We promise nothing.", status_url="https://new.example/")
    tribunal.wait_days(PAYOUT_DAYS + 2)
    assert tribunal.market.view("get_promise", API)["terms"] == "We promise nothing."
    tribunal.judges.say(100)
    assert tribunal.judge().value["refund_wei"] == PAID * CAP_PERCENT // 100
    prompts = [prompt for _, _, prompt in tribunal.judges.asked]
    assert all("99 of 100 calls" in prompt and "We promise nothing" not in prompt for prompt in prompts)


def test_judge__promise_that_names_another_court_now__is_judged_by_that_of_the_day(tribunal: Tribunal) -> None:
    tribunal.set_promise(court="")
    tribunal.open()
    tribunal.wait_days(PAYOUT_DAYS + 2)
    assert tribunal.market.view("get_promise", API)["court"] == ""
    tribunal.judge()
    tribunal.final()
    assert tribunal.paid_day()["refunded_wei"] == 25


# Nobody judges


def test_judge__after_28_days__is_too_late(tribunal: Tribunal) -> None:
    tribunal.open()
    opened_at = tribunal.dispute()["opened_at"]
    tribunal.net.advance(opened_at + 28 * DAY - int(tribunal.net.now.timestamp()) - 1)
    snapshot = tribunal.net.snapshot()
    assert tribunal.write("judge", 1).kind == "return"
    tribunal.net.restore(snapshot)
    tribunal.net.advance(1)
    tribunal.refused("too_late", "judge", 1)


def test_close__freeze_on_its_way__is_too_early(tribunal: Tribunal) -> None:
    tribunal.ok("open_dispute", API, DISPUTED, "Late.", sender=ALICE, value=MIN_BOND)
    tribunal.refused("too_early", "close_dispute", 1)


def test_close__before_30_days__is_refused_and_then_returns_the_bond(tribunal: Tribunal) -> None:
    tribunal.open()
    opened_at = tribunal.dispute()["opened_at"]
    earned = tribunal.market.view("get_solvency")["earnings_wei"]
    tribunal.net.advance(opened_at + 30 * DAY - int(tribunal.net.now.timestamp()) - 1)
    tribunal.refused("too_early", "close_dispute", 1)
    tribunal.net.advance(1)
    before = tribunal.money()
    closed = tribunal.ok("close_dispute", 1, sender=BOB)
    assert event_names(closed) == ["DisputeClosed"]
    tribunal.final()
    assert outcome(tribunal) == ("closed", 0, 0, "")
    assert tribunal.changes(before) == {"alice": MIN_BOND, "bonds": -MIN_BOND}
    assert (tribunal.paid_day()["frozen_wei"], tribunal.paid_day()["refunded_wei"]) == (0, 0)
    assert tribunal.market.view("get_solvency")["earnings_wei"] == earned
    tribunal.refused("not_open", "close_dispute", 1)
    tribunal.refused("not_open", "judge", 1)


def test_close__somebody_released_the_earnings_in_the_billing_contract__returns_the_bond(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.wait_days(31)
    tribunal.market.ok("refund_by_court", API, ALICE, DISPUTED, 0, sender=STRANGER)
    before = tribunal.money()
    closed = tribunal.ok("close_dispute", 1)
    assert message_names(closed) == ["top_up_for"]
    tribunal.final()
    assert tribunal.changes(before) == {"alice": MIN_BOND, "bonds": -MIN_BOND}


# Views


def test_list__after_and_limit__are_pages_of_one_api(tribunal: Tribunal) -> None:
    market = tribunal.market
    days = []
    for _ in range(3):
        days.append(market.bill()["day_id"])
        tribunal.wait_days(1)
    tribunal.wait_days(1)
    for day_id in (DISPUTED, *days):
        tribunal.open(day_id=day_id)
    heads = tribunal.view("list_disputes", API)
    assert [head["day_id"] for head in heads] == [DISPUTED, *days]
    texts = {"claim", "evidence_url", "reason"}
    assert heads[0] == {key: value for key, value in tribunal.dispute().items() if key not in texts}

    def numbers(*arguments: int) -> list[int]:
        return [head["dispute_id"] for head in tribunal.view("list_disputes", API, *arguments)]

    assert (numbers(2), numbers(1, 2), numbers(4), numbers(0, 0), numbers(0, 10**6)) == (
        [3, 4], [2, 3], [], [], [1, 2, 3, 4]
    )  # fmt: skip
    assert tribunal.view("list_disputes", "maps") == []


def test_list__numbers_of_another_api_between__are_not_its_own(tribunal: Tribunal) -> None:
    market = tribunal.market
    market.register("maps")
    market.ok("set_promise", "maps", tribunal.address, PAYOUT_DAYS, CAP_PERCENT, "Maps.", sender=OPERATOR)
    market.subscribe(api_name="maps")
    tribunal.wait_days(1)
    days = []
    for _ in range(2):
        days += [market.bill(api_name=api_name)["day_id"] for api_name in ("maps", API)]
        tribunal.wait_days(1)
    tribunal.wait_days(1)
    for day_id, api_name in zip(days, ("maps", API, "maps", API), strict=True):
        tribunal.open(day_id=day_id, api_name=api_name)

    def numbers(api_name: str, *arguments: int) -> list[int]:
        return [head["dispute_id"] for head in tribunal.view("list_disputes", api_name, *arguments)]

    assert (numbers("maps"), numbers(API)) == ([1, 3], [2, 4])
    assert (numbers("maps", 1), numbers(API, 1), numbers(API, 2), numbers(API, 1, 1)) == ([3], [2, 4], [4], [2])
