"""The packed words of days and months, and the ring of days, against a dict that forgets nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ..invariant.profiles import property_settings
from .fake_subscription import FakeSubscription
from .pure_functions import contract

FIRST_DAY = 20_450  # 28 December 2025
MOST_CALLS, MOST_WEI = contract.MAX_CALLS, contract.MAX_WEI
RECEIPTS, SETTLED, SPEND = range(3)


@dataclass
class Counted:
    """Usage counted by the contract's functions and, beside it, in a dict."""

    today: int = FIRST_DAY
    subscription: FakeSubscription = field(default_factory=FakeSubscription)
    days: defaultdict[int, tuple[int, int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0, 0)))

    def count(self, day_id: int, receipts: int, settled: int, cost: int) -> None:
        usage = contract._usage(self.subscription, day_id)
        contract._count(self.subscription, usage, receipts, settled, cost)
        before = self.days[day_id]
        self.days[day_id] = (before[0] + receipts, before[1] + settled, before[2] + cost)

    def use_every_day(self, days: int) -> None:
        for _ in range(days):
            self.today += 1
            self.count(self.today, 1, 0, 1)

    def expected(self, day_id: int) -> tuple[int, int, int, int, int]:
        """Receipts, settled calls and spend of the day; calls and spend of its month."""
        month = [day for other, day in self.days.items() if _month(other) == _month(day_id)]
        calls = sum(day[RECEIPTS] + day[SETTLED] for day in month)
        return (*self.days.get(day_id, (0, 0, 0)), calls, sum(day[SPEND] for day in month))

    def shown(self, day_id: int) -> tuple[int, int, int, int, int]:
        usage = contract._usage(self.subscription, day_id)
        return (usage.receipts, usage.settled, usage.spend_wei, usage.month_calls, usage.month_spend_wei)

    def history(self) -> list[tuple[int, int, int, int]]:
        """Day, receipts, settled and spend of the days with usage among the last 400, oldest first."""
        last_days = range(self.today - contract.HISTORY_DAYS + 1, self.today + 1)
        words = [word for word in (contract._day_word(self.subscription, day_id) for day_id in last_days) if word]
        calls = [(word >> 176 & MOST_CALLS, word >> 128 & MOST_CALLS) for word in words]
        return [(word >> 224, *pair, word & MOST_WEI) for word, pair in zip(words, calls, strict=True)]


def _month(day_id: int) -> tuple[int, int]:
    day = datetime.fromtimestamp(day_id * 86_400, UTC)
    return day.year, day.month


# Days that pass before it, whether it is of today or yesterday, receipts, settled calls, wei.
STEPS = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 1, 2, 27, 31, 70)),
        st.sampled_from((0, 0, 1)),
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(0, 10**6),
    ),
    max_size=30,
)
# Days with usage before the first step: around the ring's 400 places it starts over.
EARLIER_DAYS = st.sampled_from((0, 0, 1, 30, 397, 398, 399, 400, 401, 800))


def after(earlier_days: int, steps: list[tuple[int, int, int, int, int]]) -> Counted:
    counted = Counted()
    counted.use_every_day(earlier_days)
    for days, ago, receipts, settled, cost in steps:
        counted.today += days
        if ago:  # only settlements reach back
            receipts, settled = 0, receipts + settled
        if receipts + settled:
            counted.count(counted.today - ago, receipts, settled, cost)
    return counted


@property_settings()
@given(earlier_days=EARLIER_DAYS, steps=STEPS)
def test_usage__any_course_of_calls_and_settlements__today_and_yesterday_are_known(
    earlier_days: int, steps: list[tuple[int, int, int, int, int]]
) -> None:
    counted = after(earlier_days, steps)
    for day_id in (counted.today, counted.today - 1):
        assert counted.shown(day_id) == counted.expected(day_id)


@property_settings()
@given(earlier_days=EARLIER_DAYS, steps=STEPS)
def test_history__any_course_of_calls_and_settlements__is_that_of_the_last_400_days_in_order(
    earlier_days: int, steps: list[tuple[int, int, int, int, int]]
) -> None:
    counted = after(earlier_days, steps)
    first = counted.today - contract.HISTORY_DAYS + 1
    assert counted.history() == [(day_id, *counted.days[day_id]) for day_id in sorted(counted.days) if day_id >= first]


@property_settings()
@given(
    receipts=st.integers(0, MOST_CALLS),
    share=st.integers(0, MOST_CALLS),
    wei=st.integers(0, MOST_WEI),
    more=st.integers(0, MOST_WEI),
)
def test_day_word__fields_up_to_their_limits__do_not_run_into_each_other(
    receipts: int, share: int, wei: int, more: int
) -> None:
    """A day counts at most MAX_CALLS calls together, and spends at most MAX_WEI."""
    settled = min(share, MOST_CALLS - receipts)
    counted = Counted()
    counted.count(FIRST_DAY, receipts, 0, wei)
    counted.count(FIRST_DAY, 0, settled, min(more, MOST_WEI - wei))
    assert counted.shown(FIRST_DAY) == counted.expected(FIRST_DAY)
    assert counted.history() == [(FIRST_DAY, *counted.days[FIRST_DAY])]


def test_month_word__every_day_of_a_long_month_at_its_limit__does_not_overflow() -> None:
    counted = Counted()
    for day_id in range(20_454, 20_454 + 31):  # January 2026
        counted.count(day_id, MOST_CALLS, 0, MOST_WEI)
    assert counted.shown(20_484)[3:] == (31 * MOST_CALLS, 31 * MOST_WEI)


def test_usage__last_day_of_the_month_settled_after_the_next_began__counts_in_its_own_month() -> None:
    counted = Counted()
    counted.count(20_484, 2, 0, 20)  # 31 January
    counted.count(20_485, 1, 0, 7)
    counted.count(20_484, 0, 3, 30)
    assert counted.shown(20_484) == (2, 3, 50, 5, 50)
    assert counted.shown(20_485) == (1, 0, 7, 1, 7)
