"""Administration of a meter: consumers, tiers and credit; keys are in ``key_administration``. What an application does
at its start, or when somebody signs up, and what the command line and the HTTP meter do.

What a running application needs has a twin for coroutines; the rest may be called in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypedDict, Unpack

from api_billing.metering.addresses import counted_as, spelled
from api_billing.metering.errors import InvalidSetting, MeterError, UnknownConsumer, UnknownKey
from api_billing.metering.key_administration import KeyAdministration
from api_billing.metering.ledger.consumer_operations import (
    FindKey,
    GetProfile,
    ListTiers,
    PutProfile,
    PutTier,
)
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.limit_operations import DropLimit, ListLimits, PutLimit
from api_billing.metering.ledger.operations import (
    MAX_AMOUNT_WEI,
    Balance,
    Grant,
    Granted,
    ListRecords,
    Note,
    Outcome,
    ReadBalance,
    Record,
    ResetCounts,
    State,
)
from api_billing.metering.limits.checks import Amount, amount_in
from api_billing.metering.limits.limits import Limit, limits_of
from api_billing.metering.limits.plan import KeyQuotas, make_plan
from api_billing.metering.limits.profile import Profile, nobody
from api_billing.metering.limits.quotas import Budget, Quota, all_in
from api_billing.metering.limits.scopes import Limits, is_of
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.identity import consumer_name
from api_billing.metering.request.metering import check_api
from api_billing.metering.stores.steps import Steps, arun, run
from api_billing.metering.texts import storable

_MAX_ID: Final = 255
_MAX_NOTE: Final = 500
_NAMED: Final = (
    "a limit of requests in code has the name that refusals tell while requests count in it, and at any time its text, "
    "such as 100/minute, with the API"
)
_ANONYMOUS: Final = "ip:"  # begins what clients are called that are not known
_COUNTED: Final[tuple[State, ...]] = ("reserved", "settled", "redeemed", "released", "expired")
_MOST_LOOKED_AT: Final = 1_000  # of a consumer's last requests
_OF_ON: Final = {"route": ("operation",), "method": ("operation", "method")}
_OF_PER: Final = {"key": ("key_id",), "address": ("address",)}


class Where(TypedDict, total=False):
    """Of which requests a window is, where each has its own: to an API; with an ``operation``, for limits of requests
    the route; a method, model, API key by its id, or address.
    """

    api: str
    operation: str
    method: str
    model: str
    key_id: str
    address: str


class Administration(KeyAdministration):
    """What is kept of consumers, and how it is changed. Thread-safe."""

    def add_consumer(
        self, consumer: str, *, tier: str = "free", quotas: Sequence[Quota] = (), budgets: Sequence[Budget] = ()
    ) -> Profile:
        """Make a consumer; one that exists stays as it is.

        Raises: InvalidSetting for a name that is none, UnknownTier, StoreUnavailable.
        """
        return run(self._adding(consumer, tier, quotas, budgets), self.store.call)

    def profile(self, consumer: str) -> Profile:
        """What is known of a consumer. Raises: UnknownConsumer, InvalidSetting for a name that is none,
        StoreUnavailable.
        """
        found = self.store.call(GetProfile(consumer_name(consumer)))
        if found is None:
            raise _nobody(consumer)
        return found

    def change_consumer(
        self,
        consumer: str,
        *,
        tier: str | None = None,
        disabled: bool | None = None,
        quotas: Sequence[Quota] | None = None,
        budgets: Sequence[Budget] | None = None,
    ) -> Profile:
        """Change what is given of a consumer, from the next request on. Usage that is already counted stays.

        Raises: UnknownConsumer, UnknownTier, StoreUnavailable.
        """
        given = {
            "tier": tier,
            "disabled": disabled,
            "quotas": None if quotas is None else tuple(quotas),
            "budgets": None if budgets is None else tuple(budgets),
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return self.revise_consumer(consumer, lambda was: replace(was, **changes))

    def revise_consumer(self, consumer: str, revise: Callable[[PutProfile], PutProfile]) -> Profile:
        """Replace a consumer by what ``revise`` makes of it; asked again, with what is there then, when somebody else
        changed it meanwhile. What it raises goes on, and nothing is changed.

        Raises: UnknownConsumer, UnknownTier, StoreUnavailable.
        """
        was = self.profile(consumer)
        consumer = was.consumer
        while True:
            wanted = revise(PutProfile(consumer, was.tier.name, was.disabled, was.quotas, was.budgets, was.version))
            wanted = wanted.in_currency(self.currency)
            now = run(self.keeping(wanted, (*wanted.quotas, *wanted.budgets), tier=wanted.tier), self.store.call)
            if PutProfile(consumer, now.tier.name, now.disabled, now.quotas, now.budgets, was.version) == wanted:
                self.log_done("consumer changed", consumer, tier=now.tier.name, disabled=now.disabled)
                return now
            was = now  # somebody else changed it in between: once more, on what they made of it

    async def aadd_consumer(
        self, consumer: str, *, tier: str = "free", quotas: Sequence[Quota] = (), budgets: Sequence[Budget] = ()
    ) -> Profile:
        """As ``add_consumer``, in a coroutine."""
        return await arun(self._adding(consumer, tier, quotas, budgets), self.store.acall)

    def _adding(self, consumer: str, tier: str, quotas: Sequence[Quota], budgets: Sequence[Budget]) -> Steps[Profile]:
        put = PutProfile(consumer_name(consumer), tier, quotas=tuple(quotas), budgets=tuple(budgets), replaces=0)
        put = put.in_currency(self.currency)
        made: Profile = yield from self.keeping(put, (*put.quotas, *put.budgets), tier=put.tier)
        self.log_done("consumer added, or there already", made.consumer, tier=made.tier.name)
        return made

    def set_quota(self, consumer: str, quota: Quota) -> Profile:
        """Give a consumer a quota, or another one in the place of that of its name; what is counted stays counted.

        Raises: UnknownConsumer, StoreUnavailable.
        """
        return self.revise_consumer(consumer, lambda was: replace(was, quotas=_with(was.quotas, quota)))

    def remove_quota(self, consumer: str, name: str) -> Profile:
        """Take a quota of its own from a consumer; those of its tier stay. Raises: UnknownConsumer, InvalidSetting when
        it has none of this name, StoreUnavailable.
        """
        return self.revise_consumer(consumer, lambda was: replace(was, quotas=_without(was.quotas, name)))

    def set_budget(self, consumer: str, budget: Budget) -> Profile:
        """Give a consumer a budget, or another one in the place of that of its name. Raises: as ``set_quota``."""
        return self.revise_consumer(consumer, lambda was: replace(was, budgets=_with(was.budgets, budget)))

    def remove_budget(self, consumer: str, name: str) -> Profile:
        """Take a budget from a consumer. Raises: as ``remove_quota``."""
        return self.revise_consumer(consumer, lambda was: replace(was, budgets=_without(was.budgets, name)))

    def reset_window(self, consumer: str, name: str, *, note: str = "", **where: Unpack[Where]) -> int:
        """Let what a consumer has used in the present window of this name count no more: goodwill, or a mistake mended.
        The name is that of a quota, budget or limit, as refusals tell it; ``where`` finds it, where there are several.
        A limit of requests that is in an API's code is found by the last 1,000 requests that counted in it, or, with
        the API, named by its text: ``"100/minute"``. An anonymous client is called as in the audit log:
        ``ip:203.0.113.7``. What it was, in the window's unit; money that was charged stays so (see ``grant``). It is in
        the audit log, with the note.

        Raises: UnknownConsumer; UnknownKey for one of somebody else; InvalidSetting when there is nothing of this name,
        or it needs more of ``where``; StoreUnavailable.
        """
        now_ms, address = self.now_ms(), _address_of(consumer)
        profile = nobody(_ANONYMOUS + address) if address else self.profile(consumer)
        check = self._window(profile, name, now_ms, **where)
        [was] = self.store.call(ResetCounts((check,), now_ms))
        told = {"unit": check.unit, "was": str(was)}
        told |= {each: storable(str(text), _MAX_NOTE) for each, text in {**where, "note": note}.items() if text}
        record = Record(
            new_id(now_ms),
            now_ms,
            "reset",
            api=where.get("api", ""),
            consumer=profile.consumer,
            account="",
            tier=profile.tier.name,
            method="",
            route=name,
            request_id="",
            units=0,
            estimate_wei=0,
            ended_ms=now_ms,
            outcome=Outcome(tags=json.dumps(told)),
        )
        self.store.call(Note(record))
        self.log_done("window reset", profile.consumer, window=name, record_id=record.record_id)
        return was

    def _window(
        self,
        profile: Profile,
        name: str,
        now_ms: int,
        *,
        api: str = "",
        operation: str = "",
        method: str = "",
        model: str = "",
        key_id: str = "",
        address: str = "",
    ) -> WindowCheck:
        key = self.store.call(FindKey(key_id)) if key_id else None
        if key is not None and key.consumer != profile.consumer:
            raise UnknownKey(f"{profile.consumer} has no key {key_id!r:.80}")
        plan = make_plan(
            profile,
            now_ms,
            api=api,
            operation=operation,
            model=model,
            tier=run(self.profiles.tier(key.tier), self.store.call) if key is not None and key.tier else None,
            own=None if key is None else KeyQuotas(key.family, key.quotas),
        )
        checks = {check.name: check for check in plan.checks}
        limits = {limit.name: limit for limit in self.limits(api)} if api else {}
        limit = limits.get(name)
        if limit is None and name in checks:
            return checks[name]
        family = key_id if key is None else key.family
        named = counted_as(spelled(address))
        address = named or _address_of(profile.consumer)
        if limit is None and api:
            limit = self._limit_of_text(name)
        if limit is None:
            counted = self._counted(profile.consumer, api, operation, method.upper())
            now = [check for check in counted if check.counting != "fixed" or check.starts_ms <= now_ms < check.ends_ms]
            found = {check.counter: check for check in now if is_of(check, name, family, named)}
            if len(found) == 1:
                return next(iter(found.values()))
            if found:
                raise InvalidSetting(
                    f"of which api, operation, method, key_id or address? The limit {name!r:.80} has counted "
                    f"{profile.consumer} in {len(found)} windows"
                )
            there = ", ".join([*checks, *limits]) or "none"
            raise InvalidSetting(f"{profile.consumer} has no limit {name!r:.80}, but: {there}", hint=_NAMED)
        given = {"operation": operation, "method": method, "key_id": key_id, "address": address}
        needed = [*_OF_ON.get(limit.on, ()), *_OF_PER.get(limit.per, ())]
        if missing := [each for each in needed if not given[each]]:
            raise InvalidSetting(f"of which {' and '.join(missing)}? The limit {name!r:.80} counts each by itself")
        limits_there = Limits(api, (limit,))
        place = limits_there.place(operation, method.upper(), family, address)
        limited = limits_there.of(profile.consumer, plan.tier.name, place, now_ms)
        if not limited:
            raise InvalidSetting(f"{profile.consumer} is not limited by {name!r:.80} now")
        return limited[0]

    def _counted(self, consumer: str, api: str, operation: str, method: str) -> Iterator[WindowCheck]:
        """The windows that the last requests of a consumer have counted in, to these; the newest last."""
        asked = ListRecords(consumer, api, states=_COUNTED, limit=_MOST_LOOKED_AT, newest_first=True)
        for record in reversed(self.store.call(asked)):
            if operation in ("", record.route) and method in ("", record.method):
                yield from record.checks

    def _limit_of_text(self, text: str) -> Limit | None:
        try:
            [limit] = limits_of(text, self.currency)
        except ValueError:
            return None
        return limit

    def reset_month(self, consumer: str, *, note: str = "") -> int:
        """The same for the calls of its tier's month. Raises: as ``reset_window``, also where these are unlimited."""
        return self.reset_window(consumer, "month", note=note)

    # --- tiers

    def tiers(self) -> tuple[Tier, ...]:
        """All tiers, in the order of their names. Raises: StoreUnavailable."""
        return self.store.call(ListTiers())

    def set_tier(self, tier: Tier) -> Tier:
        """Define a tier, or redefine it: it holds from its consumers' next requests on. The tier as it is then.

        Raises: InvalidSetting, StoreUnavailable.
        """
        put = PutTier(replace(tier, quotas=all_in(self.currency, tier.quotas)))
        run(self.keeping(put, put.tier.quotas), self.store.call)
        self.log_done("tier set", tier.name)
        return put.tier

    # --- limits of requests

    def set_limit(self, api: str, limit: str | Limit, *, name: str = "") -> Limit:
        """Set a limit of requests to an API, as an object or a text: in the place of that of its name in the terms, or
        one more. It holds from the next request on, in all processes; what is counted under its name stays.

        Raises: InvalidSetting, StoreUnavailable.
        """
        return run(self._setting(api, limit, name), self.store.call)

    async def aset_limit(self, api: str, limit: str | Limit, *, name: str = "") -> Limit:
        """As ``set_limit``, in a coroutine."""
        return await arun(self._setting(api, limit, name), self.store.acall)

    def _setting(self, api: str, limit: str | Limit, name: str) -> Steps[Limit]:
        check_api(api)
        found = limits_of(limit, self.currency)
        if len(found) != 1:
            raise InvalidSetting(f"limits are set one by one: {limit!r:.80} are {len(found)}")
        made = replace(found[0], name=name) if name else found[0]
        self.check_limits([made])
        yield from self.keeping(PutLimit(api, made), [made])
        self.log_done("limit set", api, limit=made.name)
        return made

    def remove_limit(self, api: str, name: str) -> bool:
        """Take back a limit that was set: that of its name in the terms holds again. False: none was set."""
        return run(self._removing(api, name), self.store.call)

    async def aremove_limit(self, api: str, name: str) -> bool:
        """As ``remove_limit``, in a coroutine."""
        return await arun(self._removing(api, name), self.store.acall)

    def _removing(self, api: str, name: str) -> Steps[bool]:
        was_set: bool = yield DropLimit(api, name)
        if was_set:
            self.log_done("limit removed", api, limit=name)
        return was_set

    def limits(self, api: str) -> tuple[Limit, ...]:
        """The limits of an API that were set; those of the terms stand in the code. Raises: StoreUnavailable."""
        return self.store.call(ListLimits(api)).by_api.get(api, ())

    # --- credit

    def grant(self, consumer: str, amount_wei: Amount, *, grant_id: str, note: str = "") -> Balance:
        """Add credit, or take free credit back with a negative amount; the same ``grant_id`` counts once.

        The amount is an int of smallest units, or a text such as ``"5 usd"`` or ``"-5 usd"``.
        ``grant_id`` has 1 to 255 printable characters; of ``note`` 500 characters are kept.
        Raises: IdConflict when the id is that of another grant; UnknownConsumer; MeterError when more would be taken
        back than is free, or credit is on the chain; InvalidSetting for an amount, name or id that is none;
        StoreUnavailable.
        """
        return run(self._granting(consumer, amount_wei, grant_id, note), self.store.call)

    async def agrant(self, consumer: str, amount_wei: Amount, *, grant_id: str, note: str = "") -> Balance:
        """As ``grant``, in a coroutine."""
        return await arun(self._granting(consumer, amount_wei, grant_id, note), self.store.acall)

    def _granting(self, consumer: str, amount_wei: Amount, grant_id: str, note: str) -> Steps[Balance]:
        if type(amount_wei) is str:
            sign = -1 if amount_wei.startswith("-") else 1
            amount_wei = sign * amount_in(self.currency, "the amount", amount_wei.removeprefix("-"))
        if type(amount_wei) is not int:
            raise InvalidSetting(
                f"the amount is an int of smallest units, or a text such as '0.5gen', not {amount_wei!r:.40}"
            )
        if type(grant_id) is not str or not 0 < len(grant_id) <= _MAX_ID or not grant_id.isprintable():
            raise InvalidSetting(f"the id of a grant has 1 to {_MAX_ID} printable characters, not {grant_id!a:.80}")
        if type(note) is not str:
            raise InvalidSetting(f"a note is a text, not {note!r:.80}")
        if self.settings.contract:
            raise MeterError(
                "credit is on the chain: only the consumer can add to it", hint="see: api-billing hold place --help"
            )
        consumer = consumer_name(consumer)
        if (yield GetProfile(consumer)) is None:
            raise _nobody(consumer)
        account, note = self.account_of("", consumer), storable(note, _MAX_NOTE)
        if not 0 <= amount_wei <= MAX_AMOUNT_WEI:
            # What is refused decides of no currency: of what was never granted nothing can be taken back.
            balance: Balance = yield ReadBalance(account)
            if not balance.epoch:
                raise self._not_granted(consumer, amount_wei, balance)
        yield from self.counting()
        reply = yield Grant(grant_id, account, amount_wei, self.now_ms(), note)
        if not isinstance(reply, Granted):
            raise self._not_granted(consumer, amount_wei, reply.balance)
        if not reply.repeated:
            self.log_done("credit granted", consumer, amount=self.currency.text(amount_wei), grant_id=grant_id)
            self.watcher.granted(account, reply.balance)
        return reply.balance

    def _not_granted(self, consumer: str, amount_wei: int, balance: Balance) -> MeterError:
        free, back = (self.currency.text(wei, exact=True) for wei in (balance.free_wei, -amount_wei))
        return MeterError(
            f"{consumer} has {free} free: less than {back} to take back"
            if amount_wei < 0
            else f"the credit of {consumer} would exceed 2^256 - 1 smallest units"
        )

    def balance(self, consumer: str, api: str = "") -> Balance:
        """A consumer's credit; for one API, when it is on the chain.

        Raises: MeterError when it is on the chain and no API is named; InvalidSetting for a name that is none;
        StoreUnavailable.
        """
        return self.store.call(self._balance(consumer, api))

    async def abalance(self, consumer: str, api: str = "") -> Balance:
        """As ``balance``, in a coroutine."""
        return await self.store.acall(self._balance(consumer, api))

    def _balance(self, consumer: str, api: str) -> ReadBalance:
        consumer = consumer_name(consumer)
        if self.settings.contract and not api:
            raise MeterError(f"{consumer} has credit on the chain for each API: which one?")
        return ReadBalance(self.account_of(api, consumer))


def _address_of(consumer: str) -> str:
    """Of an anonymous client; empty for others."""
    name = consumer_name(consumer)
    return counted_as(spelled(name.removeprefix(_ANONYMOUS))) if name.startswith(_ANONYMOUS) else ""


def _nobody(consumer: str) -> UnknownConsumer:
    return UnknownConsumer(f"no consumer is called {consumer!r}")


def _with[LimitT: Quota | Budget](limits: Sequence[LimitT], limit: LimitT) -> tuple[LimitT, ...]:
    return (*(each for each in limits if each.name != limit.name), limit)


def _without[LimitT: Quota | Budget](limits: Sequence[LimitT], name: str) -> tuple[LimitT, ...]:
    left = tuple(each for each in limits if each.name != name)
    if len(left) == len(limits):
        raise InvalidSetting(f"there is no such limit of its own: {name!r:.80}")
    return left
