"""What comes to the court goes out again or is held for an open dispute, whatever is done in which order."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from genlayer_localnet import NotAppealable

from ..forms import Form
from ..invariant.profiles import THOROUGH
from ..market import ALICE, API, BOB, DAY, STRANGER
from .tribunal import CAP_PERCENT, CLAIM, DISPUTED, EVIDENCE_URL, MIN_BOND, PAYOUT_DAYS, Tribunal, scene_at, verdict

RUNS, STEPS = (1_000 if THOROUGH else 40), 14
PERCENTS = (0, 25, 50, 75, 100)


def any_action(random: Random) -> tuple[Any, ...]:
    """Of each kind mostly what goes through, so that what comes later has something to begin with."""
    pick = random.choice
    openings = (
        (pick((ALICE, BOB)), DISPUTED + 2, MIN_BOND + pick((0, 7)), CLAIM),
        (
            pick((ALICE, BOB, STRANGER)),
            DISPUTED + pick((0, 1, 4)),
            MIN_BOND - pick((0, 1, MIN_BOND)),
            pick((CLAIM, "")),
        ),
    )
    return pick(
        (
            ("open", *pick(openings)),
            ("open", *pick(openings)),
            ("judge", pick((1, 1, 1, 2, 3)), *random.choices(PERCENTS, k=pick((1, 5)))),
            ("appeal", pick(PERCENTS)),
            ("close", pick((1, 2, 3))),
            ("wait", pick((1, 1, 1, PAYOUT_DAYS, 31))),
            ("final",),
            ("final",),
        )
    )


class Run:
    """Carries out actions, and checks after each."""

    def __init__(self, tribunal: Tribunal, seen: Counter[str]) -> None:
        self.tribunal, self.seen = tribunal, seen
        self.last_judged = ""
        tribunal.market.subscribe(BOB)
        for consumer, calls in ((ALICE, 3), (BOB, 7)):
            tribunal.market.bill(calls, consumer)
        tribunal.wait_days(2)
        self.wei = self.all_wei()

    def all_wei(self) -> int:
        return sum(self.tribunal.net.balances().values()) + self.tribunal.net.undelivered_value()

    def do(self, action: tuple[Any, ...]) -> None:
        name, *arguments = action
        self.seen[f"{name}: {getattr(self, name)(*arguments)}"] += 1
        self.check()

    def open(self, consumer: str, day_id: int, bond: int, claim: str) -> str:
        call = {"api_name": API, "day_id": day_id, "claim": claim, "evidence_url": EVIDENCE_URL}
        opened = self.tribunal.write("open_dispute", **call, sender=consumer, value=bond)
        return str(opened.error_code or opened.value.get("code", "done"))

    def judge(self, dispute_id: int, *percents: int) -> str:
        self.tribunal.judges.say(*percents)
        judged = self.tribunal.write("judge", dispute_id)
        self.last_judged = judged.id
        return str(judged.error_code or judged.status)

    def appeal(self, percent: int) -> str:
        self.tribunal.judges.say(percent)
        try:
            return str(self.tribunal.net.appeal(self.last_judged).status) if self.last_judged else "nothing"
        except NotAppealable:
            return "too late"

    def close(self, dispute_id: int) -> str:
        return str(self.tribunal.write("close_dispute", dispute_id).error_code or "done")

    def wait(self, days: int) -> str:
        self.tribunal.net.advance(days * DAY)
        return "done"

    def final(self) -> str:
        self.tribunal.final()
        assert self.tribunal.net.undelivered_value() == 0
        return "done"

    def check(self) -> None:
        tribunal = self.tribunal
        disputes = [tribunal.dispute(number) for number in range(1, tribunal.view("get_court")["disputes"] + 1)]
        solvency = tribunal.view("get_solvency")
        held = sum(dispute["bond_wei"] for dispute in disputes if dispute["status"] == "open")
        assert solvency["received_wei"] - solvency["sent_wei"] == solvency["owed_wei"] == held
        assert solvency["balance_wei"] == held == tribunal.net.balance(tribunal.address)
        assert self.all_wei() == self.wei
        assert tribunal.market.view("get_solvency")["surplus_wei"] == 0
        places = [(dispute["consumer"], dispute["day_id"]) for dispute in disputes]
        assert len(set(places)) == len(places)
        for dispute in disputes:
            assert dispute["refund_wei"] <= dispute["paid_wei"] * min(dispute["refund_percent"], CAP_PERCENT) // 100
            assert tribunal.paid_day(dispute["consumer"], dispute["day_id"])["refunded_wei"] in (
                0,
                dispute["refund_wei"],
            )

    def end(self) -> None:
        """Whatever is open can be closed, and then nothing is left."""
        self.final()
        self.wait(31)
        for number in range(1, self.tribunal.view("get_court")["disputes"] + 1):
            if self.tribunal.status(number) == "open":
                assert self.close(number) == "done"
        self.final()
        self.check()
        assert self.tribunal.net.balance(self.tribunal.address) == 0
        solvency = self.tribunal.market.view("get_solvency")
        assert solvency["balance_wei"] == solvency["owed_wei"]


EXPECTED = {
    "open: done", "open: already_disputed", "open: bond_too_small", "open: bad_claim", "open: day_open",
    "open: nothing_paid", "open: day_not_pending", "judge: accepted", "judge: undetermined", "judge: not_frozen",
    "judge: not_open", "judge: dispute_not_found", "judge: too_late", "appeal: accepted", "appeal: too late",
    "close: done", "close: too_early", "close: not_open",
}  # fmt: skip


@pytest.mark.parametrize(("first_children", "form"), [("undone", "v0.2"), ("stay", "v0.3")], indirect=["form"])
def test_bonds__in_any_order_of_calls__are_held_or_gone_where_they_belong(
    failed_value: Any, first_children: Any, form: Form, record_property: Any
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(RUNS):
        run, random = Run(scene_at(failed_value, first_children, form), seen), Random(seed)
        actions = [("open", ALICE, DISPUTED + 2, MIN_BOND, CLAIM), *(any_action(random) for _ in range(STEPS))]
        try:
            for action in actions:
                run.do(action)
            run.end()
        except AssertionError as error:
            error.add_note(f"seed {seed}: {actions}")
            raise
    record_property("bonds of the court", [f"{name}: {count}" for name, count in sorted(seen.items())])
    assert EXPECTED - set(seen) == set()


def test_bonds__judged_one_after_the_other__add_up(tribunal: Tribunal) -> None:
    market, days = tribunal.market, [DISPUTED]
    for _ in range(4):
        days.append(market.bill()["day_id"])
        tribunal.wait_days(1)
    tribunal.wait_days(1)
    before = tribunal.money()
    for number, (day_id, percent) in enumerate(zip(days, (0, 25, 50, 75, 100), strict=True), 1):
        tribunal.open(day_id=day_id, bond=MIN_BOND + number)
        tribunal.judges.answer = verdict(percent)
        tribunal.judge(number)
    tribunal.final()
    refunds = [tribunal.dispute(number)["refund_wei"] for number in range(1, 6)]
    assert refunds == [0, 2, 5, 7, 8]
    assert tribunal.changes(before) == {"alice": sum(refunds) + 4 * MIN_BOND + 2 + 3 + 4 + 5, "operator": MIN_BOND + 1}
