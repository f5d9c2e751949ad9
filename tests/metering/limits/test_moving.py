"""Windows that slide and buckets, compared with a list of what was counted when."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.limits.moving import MOST_INSTANTS, Moving, moving_of
from api_billing.metering.limits.windows import Counting, WindowCheck

START_MS = 10_000_000
MINUTE_MS = 60_000


def check_of(counting: Counting, limit: int | None, length_ms: int = MINUTE_MS, rate: int = 1) -> WindowCheck:
    return WindowCheck("c", 0, length_ms, "calls", limit, counting=counting, rate=rate)


@dataclass
class Model:
    """All that was counted, each with its instant."""

    check: WindowCheck
    counted: list[list[int]] = field(default_factory=list)

    def used(self, now_ms: int) -> int:
        if self.check.counting == "sliding":
            return sum(amount for at_ms, amount in self.counted if at_ms > now_ms - self.check.ends_ms)
        level, before_ms = 0, 0
        for at_ms, amount in sorted(self.counted):
            level = max(0, level - (at_ms - before_ms) * self.check.rate) + amount * self.check.ends_ms
            before_ms = at_ms
        return -(-max(0, level - (now_ms - before_ms) * self.check.rate) // self.check.ends_ms)


def play(moving: Moving, model: Model, steps: list[tuple[str, int, int, int]], *, exact: bool) -> Moving:
    """Do the same with both; the count is that of the list, or more where it need not be exact."""
    now_ms, check = START_MS, model.check
    for what, later_ms, amount, pick in steps:
        now_ms += later_ms
        used, true = moving.used(now_ms), model.used(now_ms)
        assert used == true if exact else used >= true
        if what == "admit":
            if check.limit is None or used + amount <= check.limit:
                moving.admit(now_ms, amount, check)
                model.counted.append([now_ms, amount])
        elif what == "store":
            moving = moving_of(check, moving.text())
        elif model.counted:
            request = model.counted[-1 - pick % len(model.counted)]
            more = amount if what == "more" else -request[1]
            moving.correct(request[0], now_ms, more)
            request[1] += more
    return moving


def steps_of(*what: str, most_ms: int = 4) -> st.SearchStrategy[list[tuple[str, int, int, int]]]:
    later = st.integers(0, most_ms) | st.sampled_from([0, 50, 99, 100, 101])
    return st.lists(st.tuples(st.sampled_from(what), later, st.integers(1, 3), st.integers(0, 9)), max_size=60)


KINDS: Any = pytest.mark.parametrize("counting", ["sliding", "bucket"])


@given(steps_of("admit", "store", "release", "more"), st.integers(0, 12))
def test_sliding__of_some_instants__is_exactly_the_list(steps: list[tuple[str, int, int, int]], limit: int) -> None:
    model = Model(check_of("sliding", limit, 100))
    play(moving_of(model.check), model, steps, exact=True)


@given(steps_of("admit", "store"), st.integers(0, 12), st.integers(1, 30))
def test_bucket__that_is_filled__is_exactly_the_list(
    steps: list[tuple[str, int, int, int]], limit: int, rate: int
) -> None:
    model = Model(check_of("bucket", limit, 100, rate))
    play(moving_of(model.check), model, steps, exact=True)


@given(steps_of("admit", "store", "release", "more"), st.integers(1, 12), st.integers(1, 30))
def test_bucket__given_back_to__is_never_below_the_list(
    steps: list[tuple[str, int, int, int]], limit: int, rate: int
) -> None:
    model = Model(check_of("bucket", limit, 100, rate))
    play(moving_of(model.check), model, steps, exact=False)


@given(st.lists(st.integers(1, 9), max_size=12), st.data(), st.integers(1, 9))
def test_bucket__given_back_before_it_would_have_run_dry__is_exactly_the_list(
    gaps: list[int], data: st.DataObject, rate: int
) -> None:
    model = Model(check_of("bucket", None, 100, rate))
    bucket, now_ms = moving_of(model.check), START_MS
    for gap in gaps:
        now_ms += gap
        bucket.admit(now_ms, 5, model.check)
        model.counted.append([now_ms, 5])
    for request in data.draw(st.permutations(model.counted)):
        bucket.correct(request[0], now_ms, -5)
        request[1] = 0
        assert bucket.used(now_ms) == model.used(now_ms)


@KINDS
@pytest.mark.parametrize("seed", range(3))
def test_moving__of_many_instants__stays_small_and_counts_a_little_more(counting: Counting, seed: int) -> None:
    model = Model(check_of(counting, 800, rate=260))
    draw = random.Random(seed)
    steps = [(draw.choice(["admit"] * 8 + ["store", "release"]), draw.randrange(120), 1, draw.randrange(9))
             for _ in range(2_000)]  # fmt: skip
    moving = play(moving_of(model.check), model, steps, exact=False)
    now_ms = START_MS + sum(step[1] for step in steps)
    assert len(moving.instants) <= MOST_INSTANTS
    assert len(moving.text()) < 3_000
    assert 400 < model.used(now_ms) <= moving.used(now_ms) <= model.used(now_ms) + 800 // 50


@given(
    steps_of("admit", "store", "release"), st.integers(1, 6), st.integers(1, 3), st.sampled_from(["sliding", "bucket"])
)
def test_room__of_what_does_not_fit__is_the_first_instant_that_it_fits(
    steps: list[tuple[str, int, int, int]], limit: int, amount: int, counting: Counting
) -> None:
    check = check_of(counting, limit, 100, 7)
    moving = play(moving_of(check), Model(check), steps, exact=False)
    now_ms = START_MS + sum(step[1] for step in steps)
    used, frees_ms = moving.room(now_ms, amount, limit)
    assert used == moving.used(now_ms)
    if amount > limit or not used:
        assert frees_ms == now_ms + (100 if amount > limit else 0)
        return
    room = limit - amount if used + amount > limit else used - 1
    assert now_ms < frees_ms
    assert moving.used(frees_ms) <= room < moving.used(frees_ms - 1)


def test_sliding__request_that_comes_late__finds_no_room_that_was_not_there() -> None:
    check = check_of("sliding", 2)
    moving = moving_of(check)
    for now_ms in (START_MS, START_MS + MINUTE_MS + 5):
        moving.admit(now_ms, 1, check)
    # Within a minute of now was the first, but the last was counted already.
    moving.admit(START_MS + MINUTE_MS - 5, 1, check)
    assert moving.used(START_MS + MINUTE_MS + 5) == 2
    assert moving.used(START_MS + 2 * MINUTE_MS + 4) == 2
    assert moving.used(START_MS + 2 * MINUTE_MS + 5) == 0


@KINDS
@pytest.mark.parametrize("clock_ms", [START_MS - 3_600_000, START_MS - 1])
def test_follow__clock_set_back__counts_all_as_of_now(counting: Counting, clock_ms: int) -> None:
    check = check_of(counting, 5, rate=5)
    moving = moving_of(check)
    moving.admit(START_MS, 5, check)
    assert moving.follow(clock_ms, lambda: clock_ms, check)
    assert moving.used(clock_ms) == 5
    moving.correct(START_MS, clock_ms, -5)  # nobody knows any more whose it was
    assert moving.used(clock_ms) == 5
    moving.correct(START_MS, clock_ms, 1)
    assert [moving.used(later_ms) for later_ms in (clock_ms, clock_ms + 2 * MINUTE_MS)] == [6, 0]


@KINDS
def test_follow__request_that_comes_late__changes_nothing(counting: Counting) -> None:
    check = check_of(counting, 5, rate=5)
    moving = moving_of(check)
    moving.admit(START_MS, 5, check)
    assert not moving.follow(START_MS - 1, lambda: START_MS, check)
    assert moving.used(START_MS) == 5


def test_follow__rate_changed__flows_out_by_it_from_now_on() -> None:
    check = check_of("bucket", 60, rate=1)
    moving = moving_of(check)
    moving.admit(START_MS, 60, check)
    assert moving.follow(START_MS + 1, lambda: 0, check._replace(rate=60))
    assert [moving.used(START_MS + 1 + seconds * 1000) for seconds in (0, 1, 30, 60)] == [60, 59, 30, 0]
    assert not moving.follow(START_MS + 1, lambda: 0, check._replace(rate=60))


@KINDS
def test_reset__of_a_full_one__counts_nothing_and_gives_nothing_back(counting: Counting) -> None:
    check = check_of(counting, 5, rate=5)
    moving = moving_of(check)
    moving.admit(START_MS, 5, check)
    moving.reset()
    moving.admit(START_MS + 1, 2, check)
    moving.correct(START_MS, START_MS + 1, -5)
    assert moving.used(START_MS + 1) == 2


def test_bucket__of_rate_0__only_fills() -> None:
    check = check_of("bucket", 2, rate=0)
    moving = moving_of(check)
    moving.admit(START_MS, 2, check)
    assert moving.used(START_MS + 10**9) == 2
    assert moving.room(START_MS, 1, 2) == (2, START_MS + MINUTE_MS)
