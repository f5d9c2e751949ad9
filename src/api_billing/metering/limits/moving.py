"""Counts that forget: windows that slide, and buckets that flow out. Pure integers; nothing here reads a clock.

A window that slides admits, in no span of its length, wherever that begins, more than its limit: what was counted at an
instant leaves a length later. A bucket holds its limit, and its rate flows out of it per length, evenly.

Both remember what they counted when, so that it can be given back at its instant. What came within a small share of the
time that they remember is put together when it becomes much, at the latest of its instants. Wherever something is not
known exactly any more, more is counted and never less: what was given back of it counts for as long as it would have.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

from api_billing.metering.limits.windows import WindowCheck

MOST_INSTANTS: Final = 256  # remembered apart; of more, those within a share of the time are put together
_SHARE: Final = MOST_INSTANTS // 2


class Moving(ABC):
    """One count. Nothing is admitted at an instant before one at which something was; not thread-safe.

    What was counted until ``since_ms`` is not remembered, and of what was counted until ``unclear_ms`` nobody knows
    whose it is, as the clock was set back: neither is given back any more.
    """

    __slots__ = ("amounts", "extended", "instants", "last_ms", "length_ms", "rate", "since_ms", "unclear_ms")

    def __init__(self, length_ms: int, rate: int = 0) -> None:
        self.length_ms = length_ms
        self.rate = rate
        self.since_ms = self.unclear_ms = 0
        self.last_ms = 0  # when something was counted last
        self.instants: list[int] = []
        self.amounts: list[int] = []
        self.extended: list[tuple[str, int, int]] = []  # requests being served, when they were extended, by how much

    @abstractmethod
    def used(self, now_ms: int) -> int:
        """What is counted now."""

    @abstractmethod
    def admit(self, now_ms: int, amount: int, check: WindowCheck) -> int:
        """Count what is admitted now, under this check; when all is forgotten that is counted then."""

    @abstractmethod
    def correct(self, at_ms: int, now_ms: int, amount: int) -> bool:
        """Count so much more of what was counted at an instant, or less; whether that is not over yet."""

    def extend(self, request_id: str, amount: int) -> None:
        """Remember that what was counted last is more of a request that was counted before."""
        from_ms = self.instants[0]
        self.extended = [each for each in self.extended if each[1] >= from_ms][1 - MOST_INSTANTS :]
        self.extended.append((request_id, self.last_ms, amount))

    def end(self, request_id: str, at_ms: int, now_ms: int, held: int, more: int) -> bool:
        """Correct what a request counts, all in all ``held``, that was counted at an instant first, and wherever it was
        extended; whether that has to be stored. The earliest is given back first, and what it counts more is its last.
        """
        later = [each for each in self.extended if each[0] == request_id]
        if not later:
            return more != 0 and self.correct(at_ms, now_ms, more)
        self.extended = [each for each in self.extended if each[0] != request_id]
        if more > 0:
            self.correct(later[-1][1], now_ms, more)
        first = held - sum([amount for _, _, amount in later])
        for _, part_ms, amount in ((request_id, at_ms, first), *later):
            if more < 0 < amount:
                less = max(more, -amount)
                self.correct(part_ms, now_ms, less)
                more -= less
        return True

    @abstractmethod
    def room(self, now_ms: int, amount: int, limit: int | None) -> tuple[int, int]:
        """What is counted now; and when so much fits again that does not now. Of what fits: when there is room for more
        than now; of what never fits, some time. 0 without a limit.
        """

    def follow(self, now_ms: int, clock: Callable[[], int], check: WindowCheck) -> bool:
        """Follow a clock that was set back, and a limit that was changed; whether that has to be stored.

        A request may come late, after ones of later instants; but there are none later than the store's own clock.
        """
        if self.last_ms <= now_ms or self.last_ms <= (clock_ms := clock()):
            return False
        self.unclear_ms = max(self.unclear_ms, self.last_ms)
        self.set_back(max(now_ms, clock_ms))
        return True

    @abstractmethod
    def set_back(self, clock_ms: int) -> None:
        """The clock was set back: what was counted at instants that have not come yet counts as of now."""

    @abstractmethod
    def reset(self) -> None:
        """Let nothing be counted."""

    @abstractmethod
    def text(self) -> str:
        """As it is stored."""

    def _append(self, at_ms: int, amount: int, remembered_ms: int) -> None:
        instants = self.instants
        if instants and self.last_ms == at_ms:
            self.amounts[-1] += amount
            return
        self.last_ms = at_ms
        instants.append(at_ms)
        self.amounts.append(amount)
        if len(instants) > MOST_INSTANTS:
            self._put_together(-(-remembered_ms // _SHARE))

    def _put_together(self, share_ms: int) -> None:
        """What came within one share of the time, at the latest of its instants; but for the first, before which a
        bucket may have been empty.
        """
        instants, amounts = self.instants[:2], self.amounts[:2]
        for at_ms, amount in zip(self.instants[2:], self.amounts[2:], strict=True):
            if at_ms // share_ms == instants[-1] // share_ms:
                instants[-1] = at_ms
                amounts[-1] += amount
            else:
                instants.append(at_ms)
                amounts.append(amount)
        self.instants, self.amounts = instants, amounts

    def _take(self, at_ms: int, amount: int) -> int:
        """Give back what was counted at an instant; how much it was. What is left of it may be put together with later
        ones, never with earlier ones: taken from the earliest that it can be, no span has less than it had.
        """
        left, place = amount, bisect_left(self.instants, at_ms)
        while left and place < len(self.instants):
            taken = min(left, self.amounts[place])
            left -= taken
            self.amounts[place] -= taken
            if not self.amounts[place] and place < len(self.instants) - 1:
                del self.instants[place], self.amounts[place]
            else:
                place += 1  # the last instant stays: nothing is admitted before it
        return amount - left

    def _put(self, at_ms: int, amount: int) -> None:
        place = bisect_left(self.instants, at_ms)
        if place < len(self.instants) and self.instants[place] == at_ms:
            self.amounts[place] += amount
        else:
            self.instants.insert(place, at_ms)
            self.amounts.insert(place, amount)
            self.last_ms = self.instants[-1]

    def _entries(self) -> list[Any]:
        """Instants, each after the one before it, and amounts; last, if there are any, the requests extended."""
        flat: list[Any] = []
        before_ms = 0
        for at_ms, amount in zip(self.instants, self.amounts, strict=True):
            flat += (at_ms - before_ms, amount)
            before_ms = at_ms
        if self.extended:
            flat.append(self.extended)
        return flat

    def _remember(self, entries: list[Any]) -> None:
        if entries and isinstance(entries[-1], list):
            self.extended = list(map(tuple, entries.pop()))
        self.instants, self.amounts = list(accumulate(entries[::2])), entries[1::2]
        self.last_ms = self.instants[-1] if entries else self.since_ms


class Sliding(Moving):
    """A window that slides."""

    __slots__ = ("total",)

    def __init__(self, length_ms: int, state: str = "") -> None:
        super().__init__(length_ms)
        if state:
            self.since_ms, self.unclear_ms, *entries = json.loads(state)
            self._remember(entries)
        self.total = sum(self.amounts)

    def used(self, now_ms: int) -> int:
        gone_ms, instants = now_ms - self.length_ms, self.instants
        if not instants or instants[0] > gone_ms:
            return self.total
        return self.total - sum(self.amounts[: bisect_right(instants, gone_ms)])

    def admit(self, now_ms: int, amount: int, check: WindowCheck) -> int:
        instants, last_ms, length_ms = self.instants, self.last_ms, self.length_ms
        at_ms = now_ms if now_ms > last_ms else last_ms
        gone_ms = at_ms - length_ms
        if instants and instants[0] <= gone_ms:
            # Only here, where an instant after it is added: no request that comes late finds room that was not there.
            gone = bisect_right(instants, gone_ms)
            self.total -= sum(self.amounts[:gone])
            del instants[:gone], self.amounts[:gone]
        self.total += amount
        self._append(at_ms, amount, length_ms)
        return at_ms + length_ms

    def correct(self, at_ms: int, now_ms: int, amount: int) -> bool:
        if at_ms <= max(now_ms, self.last_ms) - self.length_ms:
            return False
        if amount < 0:
            if at_ms <= self.since_ms or at_ms <= self.unclear_ms:
                return False
            self.total -= self._take(at_ms, -amount)
        else:
            self._put(max(self.since_ms, min(at_ms, max(now_ms, self.last_ms))), amount)
            self.total += amount
        return True

    def room(self, now_ms: int, amount: int, limit: int | None) -> tuple[int, int]:
        gone_ms, instants, place, used = now_ms - self.length_ms, self.instants, 0, self.total
        if instants and instants[0] <= gone_ms:
            place = bisect_right(instants, gone_ms)
            used -= sum(self.amounts[:place])
        if limit is None:
            return used, 0
        if amount > limit:
            return used, now_ms + self.length_ms
        if not used:
            return 0, now_ms
        amounts, needed = self.amounts, used + amount - limit
        if needed < 1:
            needed = 1
        while (needed := needed - amounts[place]) > 0:
            place += 1
        return used, instants[place] + self.length_ms

    def set_back(self, clock_ms: int) -> None:
        place = bisect_right(self.instants, clock_ms)
        ahead = sum(self.amounts[place:])
        del self.instants[place:], self.amounts[place:]
        self.since_ms = self.last_ms = clock_ms
        self._put(clock_ms, ahead)

    def reset(self) -> None:
        self.since_ms = self.last_ms
        self.instants, self.amounts, self.total = [], [], 0

    def text(self) -> str:
        return json.dumps([self.since_ms, self.unclear_ms, *self._entries()], separators=(",", ":"))


class Bucket(Moving):
    """A bucket. Levels are in shares of what it counts, as many as its length has milliseconds: so much flows out of it
    each millisecond as its rate is.

    What came since it was empty last is remembered, for as long as it takes a full bucket to run dry.
    """

    __slots__ = ("_base", "_level")

    def __init__(self, length_ms: int, rate: int, state: str = "") -> None:
        super().__init__(length_ms, rate)
        self._base = 0  # the level right after ``since_ms``
        if state:
            self.rate, self._base, self.since_ms, self.unclear_ms, *entries = json.loads(state)
            self._remember(entries)
        self._level = 0  # right after ``last_ms``
        self._fill()

    def used(self, now_ms: int) -> int:
        level, passed_ms = self._level, now_ms - self.last_ms
        if passed_ms > 0:
            level -= passed_ms * self.rate
        return -(-level // self.length_ms) if level > 0 else 0

    def admit(self, now_ms: int, amount: int, check: WindowCheck) -> int:
        last_ms, length_ms, rate = self.last_ms, self.length_ms, self.rate
        at_ms = now_ms if now_ms > last_ms else last_ms
        # For as long as a full bucket takes to run dry.
        remembered_ms = length_ms if check.limit is None or not rate else check.limit * length_ms // rate + 1
        level = self._level - (at_ms - last_ms) * rate
        if level <= 0:
            dry_ms = last_ms - -self._level // rate if rate else last_ms
            if dry_ms < at_ms:
                self._forget_all(dry_ms, 0)
            elif last_ms < at_ms:
                self._forget_all(at_ms - 1, level + rate)
            level = 0
        elif self.instants and self.instants[0] <= at_ms - remembered_ms:
            self._forget_until(at_ms - remembered_ms)
        self._level = level = level + amount * length_ms
        self._append(at_ms, amount, remembered_ms)
        return at_ms - -level // rate if rate else at_ms + length_ms

    def correct(self, at_ms: int, now_ms: int, amount: int) -> bool:
        if amount < 0:
            if at_ms <= self.since_ms or at_ms <= self.unclear_ms:
                return False
            self._take(at_ms, -amount)
        elif at_ms > self.since_ms:
            self._put(min(at_ms, max(now_ms, self.last_ms)), amount)
        else:
            self._base += amount * self.length_ms
        self._fill()
        return True

    def room(self, now_ms: int, amount: int, limit: int | None) -> tuple[int, int]:
        last_ms, length_ms, rate = self.last_ms, self.length_ms, self.rate
        at_ms = now_ms if now_ms > last_ms else last_ms
        level = self._level - (at_ms - last_ms) * rate
        if level < 0:
            level = 0
        used = -(-level // length_ms)
        if limit is None:
            return used, 0
        if amount > limit:
            return used, now_ms + length_ms
        if not used:
            return 0, at_ms
        # Down to what leaves room; where there is room, to the next whole one.
        least = (limit - amount if used + amount > limit else used - 1) * length_ms
        return used, at_ms + (-(-(level - least) // rate) if rate else length_ms)

    def follow(self, now_ms: int, clock: Callable[[], int], check: WindowCheck) -> bool:
        follows = super().follow(now_ms, clock, check)
        if self.rate == check.rate:
            return follows
        at_ms = max(now_ms, self.last_ms)
        self._forget_all(at_ms, max(0, self._level - (at_ms - self.last_ms) * self.rate))
        self.rate = check.rate
        return True

    def set_back(self, clock_ms: int) -> None:
        self._forget_all(clock_ms, self._level)

    def reset(self) -> None:
        self._forget_all(self.last_ms, 0)

    def text(self) -> str:
        known = [self.rate, self._base, self.since_ms, self.unclear_ms, *self._entries()]
        return json.dumps(known, separators=(",", ":"))

    def _forget_all(self, at_ms: int, level: int) -> None:
        """Only remember the level at an instant."""
        self._base = self._level = level
        self.since_ms = self.last_ms = at_ms
        self.instants, self.amounts = [], []

    def _forget_until(self, until_ms: int) -> None:
        gone = 0
        for at_ms, amount in zip(self.instants, self.amounts, strict=True):
            if at_ms > until_ms:
                break
            self._base = max(0, self._base - (at_ms - self.since_ms) * self.rate) + amount * self.length_ms
            self.since_ms = at_ms
            gone += 1
        del self.instants[:gone], self.amounts[:gone]

    def _fill(self) -> None:
        """Work out the level anew. What came before it was empty is forgotten."""
        level, before_ms, empty, base = self._base, self.since_ms, 0, 0
        for place, (at_ms, amount) in enumerate(zip(self.instants, self.amounts, strict=True)):
            level -= (at_ms - before_ms) * self.rate
            if level <= 0:
                level, empty, base = 0, place, max(0, level + self.rate)  # a millisecond before
            level += amount * self.length_ms
            before_ms = at_ms
        self._level = level
        if empty:
            self._base, self.since_ms = base, self.instants[empty] - 1
            del self.instants[:empty], self.amounts[:empty]


def moving_of(check: WindowCheck, state: str = "") -> Moving:
    """The count of a check that is not fixed, as it is stored."""
    return Sliding(check.ends_ms, state) if check.counting == "sliding" else Bucket(check.ends_ms, check.rate, state)
