"""The plan of a consumer: in which windows a request counts, now. Computed from a profile, kept until a window ends."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Final, NamedTuple

from api_billing.amounts import GEN, Currency
from api_billing.metering.clock import DAY_MS, EVER_MS, day_of
from api_billing.metering.limits.budgets import budget_check, counter_name
from api_billing.metering.limits.fields import MAX_INTEGER, policy_field, unit_of
from api_billing.metering.limits.limits import Limit
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Quota
from api_billing.metering.limits.scopes import NOWHERE, Limits, Place
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import Window, WindowCheck

Fields = list[tuple[str, str]]
_MAX_TWINS: Final = 64
_OF_KEY: Final = "key/"  # begins the names of a key's own quotas


class Tightest(NamedTuple):
    """The window with the least left. ``calls`` are those that still fit, of the weight and price asked about."""

    check: WindowCheck
    left: int  # in the window's unit; at least 0
    calls: int
    ends_ms: int  # or has room again, where it slides or is a bucket


class KeyQuotas(NamedTuple):
    """An API key's own quotas. What keys that were made in each other's place use is counted together, under the id of
    the first: ``family``. Who has a key that ``hides`` is told of these alone, as in other limits requests with other
    keys of its consumer count, too.
    """

    family: str
    quotas: tuple[Quota, ...]
    hides: bool = False


class WindowPlan:
    """The windows of requests of one consumer (of one operation and model, where budgets tell them apart). Immutable.

    ``checks`` go into ``Reserve``, those of limits ``weighed_from`` on; who asks is told of those from ``shown_from``
    until before ``shown_to``. ``budgets`` has the budget of each, None where it is of none. Good from ``from_ms`` until
    before ``until_ms``.
    """

    __slots__ = (
        "_twins",
        "also",
        "budgets",
        "checks",
        "currency",
        "from_ms",
        "own",
        "policy",
        "profile",
        "shown",
        "shown_from",
        "shown_to",
        "tier",
        "until_ms",
        "weighed_from",
    )

    def __init__(
        self,
        profile: Profile,
        tier: Tier,
        checks: tuple[WindowCheck, ...],
        budgets: tuple[Budget | None, ...],
        from_ms: int,
        until_ms: int,
        also: tuple[WindowCheck, ...] = (),
        weighed_from: int = 0,
        currency: Currency = GEN,
        own: KeyQuotas | None = None,
        shown_from: int = 0,
    ) -> None:
        self.profile = profile
        self.own = own
        self.shown_from = shown_from
        self.weighed_from = weighed_from
        self._twins: dict[int, WindowPlan] = {}  # by the weight of their requests
        self.also = also
        self.tier = tier
        self.checks = checks
        self.budgets = budgets
        self.from_ms = from_ms
        self.until_ms = until_ms
        self.currency = currency
        self.shown_to = weighed_from if own is not None and own.hides else len(checks)
        self.shown = _shown(checks, currency, shown_from, self.shown_to)
        self.policy = policy_field(checks[shown_from : self.shown_to], currency)

    def told(self, violated: Sequence[int]) -> list[int]:
        """Those of the violated checks that who asks is told of."""
        return [index for index in violated if self.shown_from <= index < self.shown_to]

    def weighing(self, weight: int) -> WindowPlan:
        """The same, of a request that counts as so many calls in its limits."""
        if weight == 1 or self.weighed_from == len(self.checks):
            return self
        twin = self._twins.get(weight)
        if twin is None:
            twin = copy(self)
            twin.checks = tuple(
                [
                    check._replace(weight=weight) if index >= self.weighed_from and check.unit == "calls" else check
                    for index, check in enumerate(self.checks)
                ]
            )
            twin.shown = _shown(twin.checks, self.currency, self.shown_from, self.shown_to)
            if len(self._twins) < _MAX_TWINS:
                self._twins[weight] = twin
        return twin

    def ends_ms(self, index: int, now_ms: int, frees: Sequence[int] = ()) -> int:
        """When the window of a check ends. One that slides, and a bucket, has room again then, as the store tells with
        its counts (``frees``); without that, when all that is counted will surely have left it.
        """
        check = self.checks[index]
        if check.counting == "fixed":
            return check.ends_ms
        return (frees[index] if frees else 0) or now_ms + check.ends_ms

    def tightest(
        self, counts: Sequence[int], estimate_wei: int = 1, now_ms: int = 0, frees: Sequence[int] = ()
    ) -> Tightest | None:
        """The window with the least left, measured in calls at an estimate; of equal ones the one that renews last.

        ``counts`` and ``frees`` are those of the checks. None when nothing is limited.
        """
        if not self.shown:
            return None
        best = (-1, 0, 0, 0)
        for index, limit, _, ends_ms, unit, _, weight in self.shown:
            left = limit - counts[index]
            if left < 0:
                left = 0
            calls = left // (weight if unit == "calls" else estimate_wei or 1)
            if not ends_ms:
                ends_ms = self.ends_ms(index, now_ms, frees)
            if best[0] < 0 or calls < best[0] or (calls == best[0] and ends_ms > best[1]):
                best = (calls, ends_ms, left, index)
        return Tightest(self.checks[best[3]], best[2], best[0], best[1])

    def remaining(self, counts: Sequence[int], estimate_wei: int = 1) -> int | None:
        """Calls that still fit into the tightest window; None: unlimited."""
        found = self.tightest(counts, estimate_wei)
        return None if found is None else found.calls

    def renews_at(
        self, counts: Sequence[int], estimate_wei: int = 1, now_ms: int = 0, frees: Sequence[int] = ()
    ) -> int | None:
        """When the tightest window ends, or has room again, in milliseconds; None: unlimited."""
        found = self.tightest(counts, estimate_wei, now_ms, frees)
        return None if found is None else found.ends_ms

    def fields(self, counts: Sequence[int], now_ms: int, estimate_wei: int = 1, frees: Sequence[int] = ()) -> Fields:
        """Header fields about windows, with ``counts`` and ``frees`` as a reply has them; none without limits."""
        if not self.shown or len(counts) != len(self.checks):
            return []
        items = []
        fewest = renews_ms = -1
        limit = remaining = 0
        # As ``tightest`` has it, in the same round: this is done for each response.
        for index, most, scale, ends_ms, unit, name, weight in self.shown:
            left = most - counts[index]
            if left < 0:
                left = 0
            of_one = weight if unit == "calls" else estimate_wei or 1
            calls = left // of_one
            if not ends_ms and (not frees or not (ends_ms := frees[index])):
                ends_ms = self.ends_ms(index, now_ms)
            if fewest < 0 or calls < fewest or (calls == fewest and ends_ms > renews_ms):
                fewest, renews_ms = calls, ends_ms
                # Of calls as they are counted, whatever this one weighs.
                limit, remaining = (most, left) if unit == "calls" else (most // of_one, calls)
            shown = min(left // scale, MAX_INTEGER)
            items.append(f'"{name}";r={shown};t={-((now_ms - ends_ms) // 1000) if ends_ms > now_ms else 0}')
        return [
            ("ratelimit-policy", self.policy),
            ("ratelimit", ", ".join(items)),
            ("x-ratelimit-limit", str(limit)),
            ("x-ratelimit-remaining", str(remaining)),
            ("x-ratelimit-reset", str(-(-renews_ms // 1000))),
        ]


def _shown(
    checks: Sequence[WindowCheck], currency: Currency, shown_from: int, shown_to: int
) -> tuple[tuple[int, int, int, int, str, str, int], ...]:
    """What header fields need of each window with a limit: index, limit, scale, end (0 where it moves), unit, name and
    weight.
    """
    return tuple(
        [
            (
                index,
                check.limit,
                unit_of(check, currency)[1],
                check.ends_ms if check.counting == "fixed" else 0,
                check.unit,
                check.name,
                check.weight or 1,
            )
            for index, check in enumerate(checks)
            if check.limit is not None and shown_from <= index < shown_to
        ]
    )


def make_plan(
    profile: Profile,
    now_ms: int,
    *,
    api: str = "",
    operation: str = "",
    model: str = "",
    tier: Tier | None = None,
    also: tuple[WindowCheck, ...] = (),
    own: KeyQuotas | None = None,
    limits: Limits | None = None,
    place: Place = NOWHERE,
    currency: Currency = GEN,
) -> WindowPlan:
    """Compute a consumer's plan: its tier's month and quotas, its own quotas, its budgets, its API key's ``own``
    quotas, and limits of requests at this place, in this order.

    Quotas count all requests of the consumer, to whatever API. An own quota replaces the tier's of the same name. A
    window before its anchor does not count yet. ``tier`` is that of the credential, instead of the consumer's. ``also``
    are windows that come from elsewhere: the limits of its plan on the chain.
    """
    in_force = tier or profile.tier
    quotas = {quota.name: quota for quota in (*in_force.all_quotas(), *profile.quotas)}
    checks: list[WindowCheck] = []
    budgets: list[Budget | None] = []
    for quota in quotas.values():
        window = quota.window(now_ms)
        if window is not None:
            checks.append(_quota_check(profile.consumer, quota, window))
            budgets.append(None)
    for budget in {budget.name: budget for budget in profile.budgets}.values():
        check = budget_check(profile.consumer, budget, now_ms, api=api, operation=operation, model=model)
        if check is not None:
            checks.append(check)
            budgets.append(budget)
    checks += also
    shown_from = len(checks) if own is not None and own.hides else 0
    if own is not None:
        checks += _key_checks(profile.consumer, own, now_ms)
    weighed_from = len(checks)
    if limits is not None:
        checks += limits.of(profile.consumer, in_force.name, place, now_ms)
    budgets += [None] * (len(checks) - len(budgets))
    begin: list[Quota | Budget | Limit] = [
        *quotas.values(),
        *profile.budgets,
        *(own.quotas if own is not None else ()),
        *(limits.given if limits is not None else ()),
    ]
    from_ms, until_ms = _validity(checks, begin, now_ms)
    windows = (tuple(checks), tuple(budgets), from_ms, until_ms)
    return WindowPlan(profile, in_force, *windows, also, weighed_from, currency, own, shown_from)


def _quota_check(consumer: str, quota: Quota, window: Window) -> WindowCheck:
    counter = counter_name(consumer, "quota", quota.name, quota.period, quota.unit, quota.anchor)
    return WindowCheck(counter, window.starts_ms, window.ends_ms, quota.unit, quota.most, quota.name)


def _key_checks(consumer: str, own: KeyQuotas, now_ms: int) -> list[WindowCheck]:
    checks = []
    for quota in own.quotas:
        window = quota.window(now_ms)
        if window is not None:
            counter = counter_name(consumer, "key", quota.name, quota.period, quota.unit, quota.anchor, own.family)
            check = WindowCheck(counter, *window, quota.unit, quota.most, f"{_OF_KEY}{quota.name}")
            checks.append(check._replace(binds=quota.unit == "wei"))
    return checks


def _relaxed(plan: WindowPlan, currency: Currency, *, limits: bool, budgets: bool) -> WindowPlan:
    """The same windows, of which those that are not enforced refuse nothing. What the contract limits stays: it would
    not bill more.
    """

    def is_enforced(check: WindowCheck, budget: Budget | None) -> bool:
        if budget is not None:
            return budgets
        return limits or check in plan.also

    checks = [
        check if is_enforced(check, budget) else check._replace(limit=None)
        for check, budget in zip(plan.checks, plan.budgets, strict=True)
    ]
    return WindowPlan(
        plan.profile,
        plan.tier,
        tuple(checks),
        plan.budgets,
        plan.from_ms,
        plan.until_ms,
        plan.also,
        plan.weighed_from,
        currency,
        plan.own,
        plan.shown_from,
    )


def _validity(checks: Sequence[WindowCheck], limits: Sequence[Quota | Budget | Limit], now_ms: int) -> tuple[int, int]:
    # What slides, and a bucket, have no end.
    fixed = [check for check in checks if check.counting == "fixed"]
    from_ms = max([check.starts_ms for check in fixed], default=0)
    until_ms = min([check.ends_ms for check in fixed], default=EVER_MS)
    for limit in limits:
        if limit.anchor is not None:
            begins_ms = day_of(limit.anchor) * DAY_MS
            if begins_ms > now_ms:
                until_ms = min(until_ms, begins_ms)
            else:
                from_ms = max(from_ms, begins_ms)
    return from_ms, until_ms


class PlanCache:
    """Plans that were made, by consumer, tier, API, operation and model, by an API key's own quotas, and by limits and
    place. Bounded; thread-safe.

    A plan is used as long as it is of this very profile and its windows last, clocks set back included.
    """

    def __init__(
        self,
        size: int = 10_000,
        currency: Currency = GEN,
        *,
        enforces_limits: bool = True,
        enforces_budgets: bool = True,
    ) -> None:
        self._size = size
        self._currency = currency
        self._enforces_limits, self._enforces_budgets = enforces_limits, enforces_budgets
        self._plans: dict[tuple[Any, ...], WindowPlan] = {}
        # Apart, as whoever has many addresses would drive out all others.
        self._of_addresses: dict[tuple[Any, ...], WindowPlan] = {}

    def plan(
        self,
        profile: Profile,
        now_ms: int,
        *,
        api: str = "",
        operation: str = "",
        model: str = "",
        tier: Tier | None = None,
        also: tuple[WindowCheck, ...] = (),
        own: KeyQuotas | None = None,
        limits: Limits | None = None,
        place: Place = NOWHERE,
    ) -> WindowPlan:
        """A plan for now, made when there is none."""
        if not profile.budgets:
            # Nothing tells them apart, and paths of a client's choice would fill the cache.
            operation = model = ""
            api = api if also else ""
        key: tuple[Any, ...] = (profile.consumer, tier.name if tier is not None else "", api, operation, model)
        if limits is not None:
            key = (*key, limits, place)
        if own is not None:
            key = (*key, own.family)
        plans = self._of_addresses if place.address or profile.version < 0 else self._plans
        plan = plans.get(key)
        if (
            plan is not None
            and (plan.profile is profile or plan.profile == profile)
            and (tier is None or plan.tier == tier)
            and (plan.also is also or plan.also == also)
            and (plan.own is own or plan.own == own)
            and plan.from_ms <= now_ms < plan.until_ms
        ):
            return plan
        plan = make_plan(
            profile,
            now_ms,
            api=api,
            operation=operation,
            model=model,
            tier=tier,
            also=also,
            own=own,
            limits=limits,
            place=place,
            currency=self._currency,
        )
        if not (self._enforces_limits and self._enforces_budgets):
            plan = _relaxed(plan, self._currency, limits=self._enforces_limits, budgets=self._enforces_budgets)
        if len(plans) >= self._size:
            # Rare: most meters have fewer consumers. Single dict operations are atomic; a plan lost is made again.
            plans.clear()
        plans[key] = plan
        return plan
