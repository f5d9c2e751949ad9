"""What serving requests needs of a meter: its store and settings, and what this process remembers. Thread-safe."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from api_billing.metering.alerts.channels import open_channels
from api_billing.metering.alerts.watcher import Watcher
from api_billing.metering.errors import (
    InvalidSetting,
    MeterClosed,
    MeterError,
    NotAllowed,
    StoreUnavailable,
    StoreUnusable,
    UnknownConsumer,
    UnknownTier,
)
from api_billing.metering.ledger.consumer_operations import ApiKey, GetProfile, ListTiers
from api_billing.metering.ledger.operations import Note, Operation, Record
from api_billing.metering.ledger.settlement_operations import TakeLease
from api_billing.metering.ledger.vouchers import BySession, ChannelSums
from api_billing.metering.limits.checks import Amount, amount_in
from api_billing.metering.limits.limits import Limit
from api_billing.metering.limits.plan import PlanCache
from api_billing.metering.limits.quotas import Budget, Quota
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.currency import check_currency
from api_billing.metering.request.decisions import DecisionCache
from api_billing.metering.request.door import Door, Receiver
from api_billing.metering.request.health import Checked, Health, Wrong
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.keeper import Keeper
from api_billing.metering.request.limits_in_force import LimitsInForce
from api_billing.metering.request.observers import observers
from api_billing.metering.request.prices import check_wei
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.request.profiles import ProfileCache
from api_billing.metering.request.receipts import Receipt
from api_billing.metering.seldom import Seldom
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores import Store
from api_billing.metering.stores.steps import Steps, arun, run
from api_billing.vouchers import Voucher

_PRUNE_EVERY_MS: Final = 3_600_000
_MAX_WAITING_NOTES: Final = 500  # about what one commit takes
_TELL_LOST_EVERY_MS: Final = 10_000

_log = logging.getLogger("api_billing.metering")
_administration = logging.getLogger("api_billing.metering.administration")


class Admitted(NamedTuple):
    """The chain has nothing against serving a consumer: its plan there, and the plan's limits as windows. With a
    ``signer`` it has a session, and pays by vouchers only.
    """

    plan: str
    checks: tuple[WindowCheck, ...]
    signer: str = ""


class ReceiptOffice(Protocol):
    """Who knows whether receipts are genuine."""

    def check(self, receipt: Receipt) -> Steps[Refusal | None]:
        """Why a receipt is refused, None for a genuine one. Raises: StoreUnavailable."""


class ChainSide(Protocol):
    """What requests ask of the billing contract, where a meter has one."""

    @property
    def receipts(self) -> ReceiptOffice:
        """Who knows whether receipts are genuine."""

    def admit(self, api: str, consumer: str, estimate_wei: int) -> Steps[Admitted | Refusal]:
        """Why a consumer is not served now, or what it is served under. Raises: StoreUnavailable, CreditUnavailable."""

    def check_voucher(
        self, api: str, consumer: str, voucher: Voucher, channel_id: str = ""
    ) -> Steps[BySession | Refusal]:
        """Why a voucher is refused, or what it pays by; with a channel's id only by that. Nothing is stored before.
        Raises: as ``admit``.
        """

    def keep(self, api: str, consumer: str, by: BySession) -> Steps[ChannelSums | Refusal]:
        """Keep a voucher that was checked; the sums of its channel then."""

    def look_again(self, api: str, consumer: str, *, is_proven: bool = False) -> Steps[bool]:
        """Read a consumer's credit from the chain now: whether it has a session. Raises: as ``admit``."""

    def receiver(self, api: str) -> Steps[Receiver]:
        """Whom an API's vouchers pay, from memory as long as that is fresh. Raises: CreditUnavailable."""

    def trouble(self) -> Steps[Wrong | None]:
        """Why credit is not known as it should be. Raises: StoreUnavailable."""


# What is answered in place of a refusal's problem; None: that problem.
OwnAnswer = Callable[[MeteredRequest, NotAllowed], "Answer | Awaitable[Answer | None] | None"]
# Who is told of each request that a limit or the credit refuses.
OnBreach = Callable[[MeteredRequest, NotAllowed], object]


class RequestMeter(Checked):
    """What every request needs at hand. One for each process and store; ``Meter`` opens and administers it."""

    on_chain: ChainSide | None = None
    door: Door | None = None  # where payments are taken
    on_refusal: OwnAnswer | None = None  # both where the terms have none of their own
    on_breach: OnBreach | None = None

    def __init__(
        self,
        store: Store,
        settings: MeterSettings,
        *,
        identify: Extractor,
        forget_keys: Callable[[str], None],
        clock_ms: Callable[[], int],
        randrange: Callable[[int], int],
    ) -> None:
        self.store = store
        self.settings = settings
        self.currency = settings.money
        self.counts_in_it = False  # or it is not known yet whether the store does
        self.identify = identify
        self.now_ms = clock_ms
        self.seldom = Seldom(clock_ms)
        self.randrange = randrange
        self.reservation_ms = settings.reservation_seconds * 1000
        self.idempotency_ms = settings.idempotency_hours * 3_600_000
        self.audited_bytes = settings.audit_body_bytes if settings.audit_bodies else 0
        self.free_statuses = settings.free
        self.field_names = settings.field_names
        self.covers = settings.covers
        self.is_on = settings.enabled
        self.plans = PlanCache(
            currency=self.currency,
            enforces_limits=settings.enforce_limits,
            enforces_budgets=settings.enforce_budgets,
        )
        cache_ms = settings.budget_cache_seconds * 1000
        self.decisions = DecisionCache(cache_ms) if cache_ms else None
        self.limits_in_force = LimitsInForce(settings.cache_seconds * 1000)
        self.profiles = ProfileCache(
            # A key that was found before it was revoked must not outlive the profile that was fetched afterwards.
            outdated=forget_keys,
            new_consumers="" if settings.new_consumers == "refuse" else settings.new_consumers,
        )
        self.metrics, self.watch = observers(settings)
        self.metrics.watch_store(lambda: store.waiting)
        channels = open_channels(
            settings.alert_webhook_url,
            settings.alert_webhook_secret.get_secret_value(),
            [url.get_secret_value() for url in settings.alert_urls],
        )
        self.watcher = Watcher(
            store, settings.thresholds, channels, clock_ms, self.metrics, self.currency, is_on=settings.send_alerts
        )
        self.keeper = Keeper(
            store,
            clock_ms,
            self.metrics,
            alert=self.watcher.send,
            reservation_ms=self.reservation_ms,
            round_seconds=settings.sweep_seconds,
            prune_every_ms=_PRUNE_EVERY_MS,
            keep_unbatched=bool(settings.contract),
        )
        self._lost_notes = 0
        self._told_lost_ms = 0
        if off := settings.switched_off:
            _log.warning("switched off by settings: %s", ", ".join(off))

    def healthy(self) -> Health:
        """Whether requests can be served here, and what is wrong: of the store, which is written to, of what happens
        beside the requests, and of the chain. Never raises.
        """
        return run(self.health(), self.store.call)

    async def ahealthy(self) -> Health:
        """The same in a coroutine."""
        return await arun(self.health(), self.store.acall)

    def health(self) -> Steps[Health]:
        """The flow of ``healthy``."""
        off = self.settings.switched_off
        wrong = [Wrong("settings", f"switched off: {', '.join(off)}", False)] if off else []
        if not self.is_on:
            return Health(tuple(wrong))
        try:
            now_ms = self.now_ms()
            yield TakeLease("health", "health", now_ms, now_ms)  # a row of its own, written each time
            if self.on_chain is not None and (trouble := (yield from self.on_chain.trouble())) is not None:
                wrong.append(trouble)
        except MeterError as error:
            is_for_good = isinstance(error, StoreUnusable | MeterClosed)
            wrong.append(Wrong("store", str(error), is_for_good or not self.settings.fail_open))
        return Health((*wrong, *self.keeper.wrong(time.monotonic())))

    @abstractmethod
    def connect(self, api: str) -> None:
        """Get ready to serve requests of an API. Raises: InvalidSetting for a name that cannot be one."""

    def check_limits(self, limits: Iterable[Limit]) -> None:
        """Raises: InvalidSetting for what the store cannot count."""
        across = next((limit for limit in limits if limit.per in ("address", "all")), None)
        if across is not None and not self.store.counts_across:
            raise InvalidSetting(
                f"{across.name} counts requests of several consumers together, which a Redis of several shards cannot",
                hint="make the store with ?shards=1, or count per consumer or key",
            )

    @abstractmethod
    def account_of(self, api: str, consumer: str) -> str:
        """Whose credit pays for a consumer's requests to an API."""

    def hides_usage(self, key: ApiKey | None) -> bool:
        """Whether who has this key is not told what its consumer has used and may use."""
        return key is not None and key.is_limited and not self.settings.limited_keys_read

    def check_currency(self, *, decides: bool = True) -> None:
        """See that the store counts in the meter's currency, which it does from now on if this ``decides``. With
        ``fail_open`` not while the store is away.

        Raises: InvalidSetting when it counts in another, StoreUnavailable.
        """
        try:
            run(self.counting(decides=decides), self.store.call)
        except StoreUnavailable:
            if not self.settings.fail_open:
                raise

    def counting(self, *, decides: bool = True) -> Steps[None]:
        """The same as a flow, which needs the store."""
        if not self.counts_in_it and self.is_on:
            self.counts_in_it = yield from check_currency(self.currency, decides=decides)

    def keeping[ResultT](
        self, put: Operation[ResultT], limits: Iterable[Quota | Budget | Limit], *, consumer: str = "", tier: str = ""
    ) -> Steps[ResultT]:
        """A flow that keeps something with these limits: in the meter's currency, where they are amounts of money; for
        a consumer, and in a tier, that have to be there.

        Raises: UnknownConsumer, UnknownTier, InvalidSetting, StoreUnavailable.
        """
        if any(getattr(limit, "unit", "wei") == "wei" for limit in limits):
            # What is refused decides of no currency.
            if consumer and (yield GetProfile(consumer)) is None:
                raise UnknownConsumer(f"no consumer is called {consumer!r}")
            if tier and all(each.name != tier for each in (yield ListTiers())):
                raise UnknownTier(f"no tier is called {tier!r}")
            yield from self.counting()
        kept: ResultT = yield put
        return kept

    def log_done(self, what: str, whose: str, **details: str | int | bool) -> None:
        """Leave a trace of something that was administered."""
        _administration.info("%s: %s", what, whose, extra=details)

    def amount(self, what: str, amount: Amount) -> int:
        """An amount in smallest units, of an int or a text in the meter's currency. Raises: InvalidSetting."""
        return amount_in(self.currency, what, amount) if type(amount) is str else check_wei(what, amount)

    def note(self, record: Record) -> None:
        """Keep the record of a refused request, unless so many are waiting that served ones would have to wait, too.

        Anybody can be refused, and as often as they like: what cannot be kept is counted in a log record now and then.
        """
        if not self.settings.record_refusals:
            return
        if self.store.waiting < _MAX_WAITING_NOTES:
            self.post(Note(record))
            return
        self._lost_notes += 1
        now_ms = self.now_ms()
        if now_ms - self._told_lost_ms >= _TELL_LOST_EVERY_MS or now_ms < self._told_lost_ms:
            _log.warning("requests are refused faster than they can be recorded: %d are lost", self._lost_notes)
            self._told_lost_ms, self._lost_notes = now_ms, 0

    def post(self, operation: Operation[Any]) -> None:
        """Perform an operation soon, without waiting. A store that takes nothing more is logged, not raised."""
        try:
            self.store.post(operation)
        except MeterError as error:
            self.keeper.missed(operation, error)
