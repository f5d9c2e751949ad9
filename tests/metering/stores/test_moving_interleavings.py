"""Any interleaving of requests in a window that slides and a bucket, with clocks that are stepped, beside a list.

The list has all that was admitted, with its instant. What counts is never less than it says, so that no span has more
than the limit; and never more than if nothing had been given back. Without clocks set back and requests that come late
it is exactly that.
"""

from collections import Counter
from dataclasses import dataclass

from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    Grant,
    ReadCounts,
    Refused,
    Release,
    Released,
    Reserve,
    Reserved,
    ReserveMore,
    Settle,
    Settled,
    Sweep,
)
from api_billing.metering.limits.windows import WindowCheck

START_MS = 1_773_576_000_000
HOUR_MS = 3_600_000
LENGTH_MS = 60_000
LIMITS = (4, 3)
RATE = 30  # one in two seconds
DRY_MS = LIMITS[1] * LENGTH_MS // RATE
PICKS = st.integers(0, 1000)


@dataclass
class Counted:
    """What one request counts in one window."""

    asked_ms: int
    at_ms: int
    amount: int
    given_back: int = 0


class Model:
    """What was counted in one window."""

    def __init__(self, check: WindowCheck) -> None:
        self.check = check
        self.counted: list[Counted] = []
        self.unclear_ms = 0
        # Of a bucket, when a clock was set back last: its level then, also without what was given back.
        self.filled_ms = 0
        self.filled = {False: 0, True: 0}

    @property
    def last_ms(self) -> int:
        return max([self.filled_ms, *(each.at_ms for each in self.counted)])

    def used(self, now_ms: int, *, gross: bool = False) -> int:
        if self.check.counting == "bucket":
            return -(-self._level(now_ms, gross) // LENGTH_MS)
        inside = [each for each in self.counted if each.at_ms > now_ms - LENGTH_MS]
        return sum(each.amount - (0 if gross else each.given_back) for each in inside)

    def least(self, now_ms: int) -> int:
        """What has to be counted: by when the last one was admitted, what left before it may be forgotten."""
        return self.used(max(now_ms, self.last_ms))

    def _level(self, now_ms: int, gross: bool = False) -> int:
        before_ms, level = self.filled_ms, self.filled[gross]
        for each in sorted(self.counted, key=lambda each: each.at_ms):
            amount = each.amount - (0 if gross else each.given_back)
            level = max(0, level - (each.at_ms - before_ms) * RATE) + amount * LENGTH_MS
            before_ms = each.at_ms
        return max(0, level - max(0, now_ms - before_ms) * RATE)

    def set_back(self, clock_ms: int) -> bool:
        last_ms = self.last_ms
        if last_ms <= clock_ms:
            return False
        self.unclear_ms = max(self.unclear_ms, last_ms)
        if self.check.counting == "bucket":
            self.filled = {gross: self._level(last_ms, gross) for gross in (False, True)}
            self.filled_ms, self.counted = clock_ms, []
        # What had left by then has, whatever the clock says now.
        self.counted = [each for each in self.counted if each.at_ms > last_ms - LENGTH_MS]
        for each in self.counted:
            each.at_ms = min(each.at_ms, clock_ms)
        return True

    def admit(self, asked_ms: int, amount: int) -> Counted:
        counted = Counted(asked_ms, max(asked_ms, self.last_ms), amount)
        self.counted.append(counted)
        return counted


class Requests(RuleBasedStateMachine):
    """One consumer's requests, in one window that slides and one bucket."""

    examples = 0

    def __init__(self, store, done):
        super().__init__()
        Requests.examples += 1
        self.store, self.done, self.now_ms = store, done, START_MS
        # A store asks its clock whether one was set back.
        store.now_ms = self.clock
        if (tables := getattr(store, "_tables", None)) is not None:
            tables._now_ms = self.clock
        self.made: list[tuple[Reserve, list[list[Counted]]]] = []  # by window, what it counted first and then more
        self.states: list[str] = []

    def clock(self):
        return self.now_ms

    @initialize(plain=st.booleans(), unit=st.sampled_from(["calls", "wei"]))
    def begin(self, plain, unit):
        self.unit = unit
        kinds = zip(("sliding", "bucket"), LIMITS, (0, RATE), strict=True)
        self.models = [
            Model(WindowCheck(f"{Requests.examples}/{kind}", 0, LENGTH_MS, unit, limit, counting=kind, rate=rate))
            for kind, limit, rate in kinds
        ]
        self.plain = plain  # no clock is set back, and no request comes late

    @rule(later_ms=st.sampled_from([1, 500, 2000, 7000, LENGTH_MS // 2, LENGTH_MS - 1, LENGTH_MS, HOUR_MS]))
    def move(self, later_ms):
        self.now_ms += later_ms

    @precondition(lambda self: not self.plain)
    @rule(earlier_ms=st.sampled_from([1, 2000, LENGTH_MS // 2, LENGTH_MS, HOUR_MS]))
    def step_back(self, earlier_ms):
        self.now_ms -= earlier_ms
        self.done["step back"] += 1

    @rule(weight=st.sampled_from([1, 1, 2]), late_ms=st.sampled_from([0, 0, 1, 300]), lasts_ms=st.integers(0, 5000))
    def reserve(self, weight, late_ms, lasts_ms):
        asked_ms = self.now_ms - (0 if self.plain else late_ms)
        checks = tuple(model.check._replace(weight=weight) for model in self.models)
        reservation_id = new_id(self.now_ms)
        estimate_wei = 0 if self.unit == "calls" else weight
        made = Reserve(reservation_id, asked_ms, asked_ms + lasts_ms, "a", "api", "a", estimate_wei, checks=checks)
        set_back = [model.set_back(self.now_ms) for model in self.models]
        least = [model.least(asked_ms) for model in self.models]
        most = [model.used(asked_ms, gross=True) for model in self.models]
        reply = self.store.call(made)
        if isinstance(reply, Reserved):
            self.made.append((made, [[model.admit(asked_ms, weight)] for model in self.models]))
            self.states.append("reserved")
            for used, limit in zip(least, LIMITS, strict=True):
                assert used + weight <= limit
            self.done["reserved"] += 1
        else:
            assert isinstance(reply, Refused)
            assert reply.violated == tuple(i for i in (0, 1) if reply.counts[i] + weight > LIMITS[i])
            for used, low, high in zip(reply.counts, least, most, strict=True):
                assert low <= used <= high
            assert all(frees_ms > asked_ms for index, frees_ms in enumerate(reply.frees) if index in reply.violated)
            self.done["refused"] += 1
        if any(set_back):
            # Whoever was counted by a clock that was ahead keeps nobody out for longer than that.
            ends_ms = self.now_ms + LENGTH_MS + DRY_MS
            assert self.counts(ends_ms) == (0, 0)
            self.done["set back"] += 1

    @precondition(lambda self: self.made and self.unit == "wei")
    @rule(pick=PICKS, more_wei=st.integers(1, 2))
    def extend(self, pick, more_wei):
        served = [index for index, state in enumerate(self.states) if state == "reserved"]
        if not served:
            return
        made, counted = self.made[served[pick % len(served)]]
        least = [model.least(self.now_ms) for model in self.models]
        reply = self.store.call(ReserveMore.of(made, self.held(counted) + more_wei, self.now_ms))
        if isinstance(reply, Reserved):
            for model, parts, used, limit in zip(self.models, counted, least, LIMITS, strict=True):
                assert used + more_wei <= limit
                parts.append(model.admit(max(self.now_ms, model.last_ms), more_wei))
            self.done["extended"] += 1
            if made.now_ms <= self.now_ms - LENGTH_MS:
                self.done["extended when it had left"] += 1
        else:
            assert reply.violated == tuple(i for i in (0, 1) if reply.counts[i] + more_wei > LIMITS[i])

    def held(self, counted):
        return sum(part.amount for part in counted[0])

    @precondition(lambda self: self.made)
    @rule(pick=PICKS, how=st.sampled_from(["release", "settle", "uncounted"]), paid=PICKS)
    def end(self, pick, how, paid):
        index = pick % len(self.made)
        made, counted = self.made[index]
        before = self.states[index]
        if how == "release":
            reply = self.store.call(Release(made.reservation_id, "a", self.now_ms))
            if before == "reserved":
                assert reply == Released(reply.balance)
                self.states[index] = "released"
                self.give_back(made, counted)
        else:
            uncounted = (0, 1) if how == "uncounted" else ()
            actual_wei = 0 if self.unit == "calls" else paid % (self.held(counted) + 1)
            reply = self.store.call(Settle(made.reservation_id, "a", self.now_ms, actual_wei, uncounted=uncounted))
            if before in ("reserved", "expired"):
                assert isinstance(reply, Settled)
                assert reply.late == (before == "expired")
                self.states[index] = "settled"
                if before == "reserved" and (uncounted or self.unit == "wei"):
                    self.give_back(made, counted, 0 if uncounted else actual_wei)
                if not uncounted and before == "expired":
                    self.count_again(made, made.checks[0].weight if self.unit == "calls" else actual_wei)
        self.done[f"{how} {before}"] += 1

    def give_back(self, made, counted, kept=0):
        for model, parts in zip(self.models, counted, strict=True):
            left = self.held(counted) - kept
            for each in parts:
                less = min(left, each.amount)
                left -= less
                if each.asked_ms > model.unclear_ms:
                    each.given_back = less

    def count_again(self, made, amount):
        for model in self.models:
            last_ms = max(self.now_ms, model.last_ms)
            since_ms = 0 if model.check.counting == "sliding" else model.filled_ms
            if made.now_ms > last_ms - LENGTH_MS or model.check.counting == "bucket":
                at_ms = max(since_ms, min(made.now_ms, last_ms))
                model.counted.append(Counted(made.now_ms, at_ms, amount))

    @rule()
    def sweep(self):
        overdue = [
            index
            for index, (made, _) in enumerate(self.made)
            if self.states[index] == "reserved" and made.expires_ms <= self.now_ms
        ]
        assert self.store.call(Sweep(self.now_ms)) == len(overdue)
        for index in overdue:
            self.states[index] = "expired"
            self.give_back(*self.made[index])
        self.done["expired"] += len(overdue)

    def counts(self, now_ms):
        return self.store.call(ReadCounts(tuple(model.check for model in self.models), now_ms))

    @invariant()
    def never_less_than_admitted(self):
        if not self.models[0].counted and not self.models[1].counted:
            return
        for model, used in zip(self.models, self.counts(self.now_ms), strict=True):
            assert model.least(self.now_ms) <= used <= model.used(self.now_ms, gross=True), model.check.counting
            if self.plain and model.check.counting == "sliding":
                assert used == model.used(self.now_ms)

    def teardown(self):
        for (made, _), state in zip(self.made, self.states, strict=True):
            if state == "reserved":
                self.store.call(Release(made.reservation_id, "a", self.now_ms))


SHARES = {"MemoryStore": 60, "SqliteStore": 30, "PostgresqlStore": 12, "RedisStore": 12}
NEEDED = {
    "reserved", "refused", "set back", "step back", "expired", "release reserved", "uncounted reserved",
    "settle expired", "extended", "extended when it had left",
}  # fmt: skip
ROUNDS = 10


def test_store__any_interleaving_with_clocks_that_are_stepped__counts_what_was_admitted(store, record_property):
    done: Counter[str] = Counter()
    kind = type(store).__name__
    store.call(Grant("enough", "a", 10**9, 0))
    examples = max(settings().max_examples * SHARES[kind] // 100, 1)
    for number in range(ROUNDS):
        if done.keys() >= NEEDED:
            break
        run_state_machine_as_test(
            seed(number)(lambda: Requests(store, done)),
            settings=settings(max_examples=examples, stateful_step_count=30, derandomize=False, database=None),
        )
    record_property(
        f"{kind}: {examples} interleavings", [f"{name:20}{number}" for name, number in sorted(done.items())]
    )
    assert done.keys() >= NEEDED
