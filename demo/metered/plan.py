"""Who asks for what: the same for the same numbers, so that two runs can be compared.

Most consumers just use the API. Seven of them show what the product is for: one has a hold for half of its requests,
one is on a plan that allows half of them a day, one pays in a session and signs for half of them, one repeats a request
as after a lost answer, one meets a handler that fails, and two have no key, and pay at the door by x402 and by MPP.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

GWEI: Final = 10**9
API: Final = "demo"
PRICE_WEI: Final = 1_000 * GWEI
"""Of a call at most, as the plans on the contract have it; a request is charged for what it really cost."""

TRIAL_PLAN: Final = "trial"
MIN_REQUESTS: Final = 4
"""Of each consumer."""

_MAX_ORDINARY_WEI: Final = 100 * GWEI
_SEED: Final = 6
_BUSIEST: Final = 3  # the larger, the less the busiest consumers stand out
_WORDS: Final = ("prepaid", "credit", "hold", "meter", "settle", "receipt", "plan", "call")


class Role(StrEnum):
    """What a consumer is in the demo for."""

    ORDINARY = "ordinary"
    SHORT_HOLD = "short hold"
    TRIAL = "trial plan"
    SESSION = "session"
    REPEATS = "repeats a request"
    FAILS = "meets a failing handler"
    X402 = "pays by x402"
    MPP = "pays by mpp"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; with a key it may be repeated without being charged again."""

    path: str
    idempotency_key: str = ""


AT_THE_DOOR: Final = (Role.X402, Role.MPP)
FIXED: Final = Ask("/fixed")
FIXED_WEI: Final = GWEI
"""What it costs, whatever happens: so what is left of a hold can be told in advance."""


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    """A consumer with its hold and its requests, in their order. ``allowed`` is how many are to be served."""

    number: int
    role: Role
    asks: tuple[Ask, ...]
    hold_wei: int
    allowed: int


def plan_load(requests: int, consumers: int) -> tuple[ConsumerPlan, ...]:
    """Spread the requests over the consumers: a few make many, and each at least ``MIN_REQUESTS``.

    Raises: ValueError, when there are fewer consumers than roles, or too few requests.
    """
    if consumers < len(Role) - 1:
        raise ValueError(f"there are {len(Role) - 1} roles to play: not enough with {consumers} consumers")
    if requests < MIN_REQUESTS * consumers:
        raise ValueError(f"{consumers} consumers make at least {MIN_REQUESTS * consumers} requests")
    chance = random.Random(_SEED)
    shares = _shares(requests, consumers)
    chance.shuffle(shares)
    special = [role for role in Role if role is not Role.ORDINARY]
    roles = special + [Role.ORDINARY] * (consumers - len(special))
    return tuple(
        _plan_of(number, role, share, chance)
        for number, (role, share) in enumerate(zip(roles, shares, strict=True), start=1)
    )


def _shares(requests: int, consumers: int) -> list[int]:
    """How many requests each makes, the busiest first: beyond the minimum in inverse proportion to the rank."""
    weights = [1 / (rank + _BUSIEST) for rank in range(consumers)]
    spare = requests - MIN_REQUESTS * consumers
    shares = [MIN_REQUESTS + int(spare * weight / sum(weights)) for weight in weights]
    for rank in range(requests - sum(shares)):  # what rounding has left
        shares[rank % consumers] += 1
    return shares


def _plan_of(number: int, role: Role, share: int, chance: random.Random) -> ConsumerPlan:
    if role is Role.SHORT_HOLD:
        return ConsumerPlan(number, role, (FIXED,) * share, FIXED_WEI * (share // 2), share // 2)
    if role in (Role.TRIAL, Role.SESSION):
        return ConsumerPlan(number, role, (FIXED,) * share, FIXED_WEI * share, share // 2)
    asks = [_ordinary(chance) for _ in range(share)]
    if role is Role.REPEATS:
        asks[:2] = [Ask("/custom?text=only+once", idempotency_key="order-1")] * 2
    if role is Role.FAILS:
        asks[1] = Ask("/broken")
    hold_wei = PRICE_WEI + _MAX_ORDINARY_WEI * share
    return ConsumerPlan(number, role, tuple(asks), hold_wei, share)


def _ordinary(chance: random.Random) -> Ask:
    (kind,) = chance.choices(("fixed", "size", "words", "time", "locked"), (50, 20, 20, 5, 5))
    match kind:
        case "size":
            return Ask(f"/by-size?kib={chance.randrange(30)}")
        case "words":
            return Ask(f"/custom?text={'+'.join(chance.sample(_WORDS, chance.randint(1, len(_WORDS))))}")
        case "time":
            return Ask(f"/by-time?ms={chance.randint(1, 20)}")
        case "locked":
            return Ask("/locked")
    return FIXED


def trial_calls(plans: Sequence[ConsumerPlan]) -> int:
    """How many calls a day the trial plan allows."""
    return next(plan.allowed for plan in plans if plan.role is Role.TRIAL)
