"""The meter: a store, and what every request needs of it at hand. One for each process and store; thread-safe."""

from __future__ import annotations

import atexit
import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack
from weakref import WeakSet

from api_billing.contract_api import API_NAME
from api_billing.metering.administration import Administration
from api_billing.metering.errors import (
    InvalidSetting,
    StoreUnavailable,
    VoucherRefused,
)
from api_billing.metering.identity.api_keys import (
    KeyCache,
    pepper_beside,
    pepper_check,
    pepper_path,
)
from api_billing.metering.identity.extractors import api_key
from api_billing.metering.identity.vouchers import from_voucher
from api_billing.metering.ledger.consumer_operations import (
    KeepCurrency,
    KeepPepperCheck,
    ListKeys,
    ListTiers,
)
from api_billing.metering.ledger.session_operations import CloseSession, ReadSession
from api_billing.metering.ledger.vouchers import ChannelSums, SessionState
from api_billing.metering.limits.checks import Amount
from api_billing.metering.request.callables import check_callable
from api_billing.metering.request.charging import Charged, Job, Reservation, charge_steps, job_of
from api_billing.metering.request.currency import currency_of
from api_billing.metering.request.door import Door
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import Extractor, consumer_name
from api_billing.metering.request.metering import ChargeTerms, FurtherTerms, Metering, Terms, check_terms
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.request_meter import OnBreach, OwnAnswer
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import arun, run
from api_billing.vouchers import Voucher

if TYPE_CHECKING:
    from api_billing.metering.settlement.on_chain import OnChain


class Meter(Administration):
    """Decides whether requests may be served, and charges what they cost. Open one, keep it, close it at the end.

    Attributes: ``store`` (asked directly for listings and administration), ``settings``, ``currency`` (whose ``text``
    shows an amount), ``identify`` (the extractor that is used where none is given: API keys, and with a contract
    vouchers).
    """

    on_chain: OnChain | None = None

    def __init__(
        self,
        store: Store,
        settings: MeterSettings,
        *,
        identify: Extractor | None = None,
        clock_ms: Callable[[], int],
        randrange: Callable[[int], int] = random.randrange,
    ) -> None:
        self.key_cache = KeyCache(settings.cache_seconds * 1000)
        super().__init__(
            store,
            settings,
            identify=identify or self._identify,
            forget_keys=self.key_cache.forget,
            clock_ms=clock_ms,
            randrange=randrange,
        )
        self._connecting = threading.Lock()
        self._can_make_consumers = False
        self._pepper: bytes | None = None
        self._by_key: Extractor | None = None
        self._own_secret = os.urandom(32)
        _OPEN.add(self)
        if settings.payments:
            self.door = Door(settings.payments, settings.contract.lower(), self._challenge_secret, settings.key_query)

    @classmethod
    def open(
        cls,
        store_url: str = "",
        *,
        identify: Extractor | None = None,
        checks_pepper: bool = True,
        takes_currency: bool = False,
        clock_ms: Callable[[], int] | None = None,
        randrange: Callable[[int], int] = random.randrange,
        on_refusal: OwnAnswer | None = None,
        on_breach: OnBreach | None = None,
        **settings: Any,
    ) -> Self:
        """Open a meter on the store of a URL; what is not given comes from ``API_BILLING_…`` variables, or has a
        default. Its clock is the store's, so that it does not matter how far those of its processes are apart.
        ``clock_ms`` and ``randrange`` (which spreads Retry-After) are for tests.

        ``on_refusal`` is asked for an ``Answer`` in place of a refusal's problem, ``on_breach`` is told of each request
        that a limit or the credit refuses; both are callables of request and ``NotAllowed``, sync or async, and are
        what terms without their own have.

        With ``fail_open`` it is opened also while the store does not answer; without ``checks_pepper`` also when API
        keys cannot be checked, as by commands that see to that; with ``takes_currency`` it counts in the store's
        currency where none is set.

        Raises: InvalidSetting, also when the store counts in another currency; MissingExtra, StoreUnavailable.
        """
        if identify is not None:
            check_callable("identify", identify, "request", or_else="such as from_header('X-User')")
        for name, hook in (("on_refusal", on_refusal), ("on_breach", on_breach)):
            if hook is not None:
                check_callable(name, hook, "request", "refusal")
        if store_url:
            settings["store_url"] = store_url
        loaded = MeterSettings.load(**settings)
        store = open_store(loaded.store_url.get_secret_value(), may_be_away=loaded.fail_open or not loaded.enabled)
        is_set = "currency" in loaded.model_fields_set
        try:
            if takes_currency and not is_set and (kept := store.call(KeepCurrency())):
                its = currency_of(kept)
                loaded = MeterSettings.load(**settings, currency=its.code, currency_decimals=its.decimals)
            meter = cls(store, loaded, identify=identify, clock_ms=clock_ms or store.now_ms, randrange=randrange)
        except BaseException:
            store.close()
            raise
        meter.on_refusal, meter.on_breach = on_refusal, on_breach
        if not loaded.enabled:
            return meter
        try:
            meter.check_currency(decides=False)
            if checks_pepper and identify is None:
                meter._check_pepper()
        except BaseException as error:
            if not (loaded.fail_open and isinstance(error, StoreUnavailable)):
                meter.close()
                raise
        return meter

    # --- what is metered

    def metering(self, api: str, **terms: Unpack[FurtherTerms]) -> Metering:
        """Say what is metered how; see ``Metering``. Raises: InvalidSetting for what is no term."""
        check_terms(terms, Terms, "metering")
        return Metering(self, api, **terms)

    # --- what is charged without a request

    def charge(self, consumer: str, amount_wei: Amount, **terms: Unpack[ChargeTerms]) -> Charged:
        """Charge a consumer for something that is no request, within all its limits, or not at all.

        With an ``idempotency_key``, the same amount is charged once: a repetition gets the record of the first time.
        What the terms mean stands at ``ChargeTerms`` and ``Metering``.
        Raises: NotAllowed; InvalidSetting for a name, amount, key or term that is none.
        """
        job = self._job(consumer, amount_wei, terms, replays=True)
        return run(charge_steps(job), self.store.call)

    async def acharge(self, consumer: str, amount_wei: Amount, **terms: Unpack[ChargeTerms]) -> Charged:
        """The same in a coroutine."""
        job = self._job(consumer, amount_wei, terms, replays=True)
        return await arun(charge_steps(job), self.store.acall)

    def reservation(self, consumer: str, estimate_wei: Amount, **terms: Unpack[ChargeTerms]) -> Reservation:
        """Set credit aside for something that is no request: ``with meter.reservation(…) as job:``, or ``async with``.

        Entering it raises: NotAllowed, with ``idempotency_used`` when it was charged before with the same key.
        Raises: InvalidSetting as ``charge``.
        """
        return Reservation(self._job(consumer, estimate_wei, terms, replays=False))

    def _job(self, consumer: str, amount_wei: Amount, terms: ChargeTerms, *, replays: bool) -> Job:
        # Those of requests would be believed, and one of them has what is refused served all the same.
        check_terms(terms, ChargeTerms, "a charge")
        given: dict[str, Any] = {**terms, "estimate_wei": self.amount("the amount of a charge", amount_wei)}
        key, tags = given.pop("idempotency_key", ""), given.pop("tags", None)
        if (model := terms.get("model")) is not None:
            given["model"] = lambda _: model
        return job_of(Metering(self, **given), consumer, key, tags, replays=replays)

    def connect(self, api: str) -> None:
        """Get ready to serve requests of an API: with a contract in the settings, open it, for the first one.

        Raises: InvalidSetting for a name that no API has on the contract; as ``check_currency``,
        ``check_new_consumers`` and ``settlement.opening.open_chain``.
        """
        if not self.is_on:
            return
        self.check_currency()
        self.check_new_consumers()
        if not self.settings.contract:
            return
        if not API_NAME.fullmatch(api):
            raise InvalidSetting(f"on the contract no API can be called {api!r}: small letters, digits, dot, dash, _")
        with self._connecting:
            if self.on_chain is None:
                from api_billing.metering.settlement.on_chain import OnChain  # genlayer-py takes a second
                from api_billing.metering.settlement.opening import open_chain

                chain = open_chain(self.settings)
                self.on_chain = OnChain(chain, self.store, self.settings, self.now_ms, self.watcher.send)
        if self.door is not None and not self.settings.fail_open:
            self._challenge_secret()  # it says at the start that there is none

    def check_new_consumers(self) -> None:
        """Raises: InvalidSetting when new consumers are to start with a tier that there is none of; StoreUnavailable.

        A tier is never deleted, so that the store is asked once.
        """
        wanted = self.settings.new_consumers
        if self._can_make_consumers or wanted in ("", "refuse") or not self.is_on:
            return
        try:
            tiers = self.store.call(ListTiers())
        except StoreUnavailable:
            if self.settings.fail_open:
                return  # it is away at the start, and looked at when the next API is metered
            raise
        if all(tier.name != wanted for tier in tiers):
            raise InvalidSetting(
                f"new_consumers is refuse, or a tier that there is; there is no tier {wanted!r}",
                hint=f"define it first: api-billing meter tier set {wanted} --monthly-calls N",
            )
        self._can_make_consumers = True

    def account_of(self, api: str, consumer: str) -> str:
        """Whose credit pays for a consumer's requests to an API: the consumer's own for all APIs in the store, and one
        for each API when it is on the chain, as holds are.
        """
        return chain_account(api, consumer) if self.settings.contract else consumer

    # --- sessions, of consumers that pay by vouchers

    def put_voucher(self, api: str, consumer: str, voucher: Voucher) -> ChannelSums:
        """Check a voucher and keep it, for requests to come; the sums of its channel then. One that is not above what
        is signed, or is public, adds nothing.

        Raises: VoucherRefused; InvalidSetting for a name that is none, and without a contract; StoreUnavailable,
        CreditUnavailable.
        """
        return _kept(run(self._on_chain(api).vouchers.put(api, consumer_name(consumer), voucher), self.store.call))

    async def aput_voucher(self, api: str, consumer: str, voucher: Voucher) -> ChannelSums:
        """The same in a coroutine."""
        put = self._on_chain(api).vouchers.put(api, consumer_name(consumer), voucher)
        return _kept(await arun(put, self.store.acall))

    def session(self, api: str, consumer: str) -> SessionState | None:
        """A consumer's session as the store has it: what is signed, charged, set aside and posted of each channel."""
        return self.store.call(ReadSession(self.account_of(api, consumer_name(consumer))))

    async def asession(self, api: str, consumer: str) -> SessionState | None:
        """The same in a coroutine."""
        return await self.store.acall(ReadSession(self.account_of(api, consumer_name(consumer))))

    def close_session(self, api: str, consumer: str) -> SessionState | None:
        """Serve nothing more in a session, and have the settlement that bills its last usage release what is left of
        the hold; the session then, None when there is none.

        ``is_closing`` is False when nothing of it is left to bill: there is no entry that could close it, and the
        operator may release the hold. While something is reserved that can come of it yet: ask again when it is not.
        """
        return self.store.call(CloseSession(self.account_of(api, consumer_name(consumer))))

    async def aclose_session(self, api: str, consumer: str) -> SessionState | None:
        """The same in a coroutine."""
        return await self.store.acall(CloseSession(self.account_of(api, consumer_name(consumer))))

    def _on_chain(self, api: str) -> OnChain:
        self.connect(api)
        if self.on_chain is None:
            raise InvalidSetting("sessions are holds on the contract: set contract")
        return self.on_chain

    def pepper(self) -> bytes:
        """The secret that API keys are hashed with: the setting, or a file next to an SQLite store.

        Raises: InvalidSetting when there is neither, or it is not the one that the store's keys were made with;
        StoreUnavailable.
        """
        if self._pepper is None:
            given = self.settings.key_pepper.get_secret_value()
            path = getattr(self.store, "path", None)
            if not given and not isinstance(path, Path) and not self.store.url.startswith("memory:"):
                if self._has_keys():
                    raise _not_the_pepper("API_BILLING_KEY_PEPPER is missing", "API_BILLING_KEY_PEPPER")
                raise InvalidSetting(
                    "API keys need a secret that all processes share",
                    hint="set API_BILLING_KEY_PEPPER: openssl rand -hex 32",
                )
            if given:
                self._pepper = self._of_the_keys(given.encode(), "API_BILLING_KEY_PEPPER")
            elif isinstance(path, Path):
                if not pepper_path(path).exists() and self._has_keys():
                    raise _not_the_pepper(f"{pepper_path(path)} is missing", pepper_path(path))
                self._pepper = self._of_the_keys(pepper_beside(path), pepper_path(path))
            else:
                self._pepper = _MEMORY_PEPPER
        return self._pepper

    def _challenge_secret(self) -> bytes:
        """What ids of challenges are made with: the pepper, which processes share; of a store in memory its own."""
        pepper = self.pepper()
        return self._own_secret if pepper is _MEMORY_PEPPER else pepper

    def _of_the_keys(self, pepper: bytes, place: str | Path) -> bytes:
        """A pepper, when it is that of the store's keys; what it is told from others by is kept with the first one."""
        kept = self.store.call(KeepPepperCheck())
        while (check := pepper_check(pepper, kept)) != kept:
            if kept and self._has_keys():
                raise _not_the_pepper(f"{place} has another pepper than the API keys were made with", place)
            kept = self.store.call(KeepPepperCheck(check, replaces=kept))
        return pepper

    def _has_keys(self) -> bool:
        return any(key.revoked_ms is None for key in self.store.call(ListKeys()))

    def _check_pepper(self) -> None:
        """Find out at the start whether API keys can be checked, if there is a pepper, or should be one."""
        path = getattr(self.store, "path", None)
        has_pepper = self.settings.key_pepper.get_secret_value() or (
            isinstance(path, Path) and pepper_path(path).exists()
        )
        if has_pepper or self._has_keys():
            self.pepper()

    def _identify(self, request: MeteredRequest) -> Any:
        if self.settings.contract and (found := _BY_VOUCHER(request)) is not None:
            return found
        # Made with the first request that needs it: vouchers, and a meter with another extractor, need no pepper.
        if self._by_key is None:
            self._by_key = api_key(self.pepper(), query=self.settings.key_query, cache=self.key_cache)
        return self._by_key(request)

    def close(self) -> None:
        """Settle what is waiting and let go of the store. Idempotent; called when the interpreter ends, too."""
        _OPEN.discard(self)
        self.keeper.close()
        if self.on_chain is not None:
            self.on_chain.close()
        self.watcher.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_BY_VOUCHER: Final = from_voucher()
_OPEN: Final[WeakSet[Meter]] = WeakSet()


@atexit.register
def _close_all() -> None:
    for meter in list(_OPEN):
        with suppress(Exception):  # the others are to be closed, too
            meter.close()


def _kept(found: ChannelSums | Refusal) -> ChannelSums:
    if isinstance(found, Refusal):
        problem = found.problem()
        raise VoucherRefused(found.code, problem.get("reason", ""), problem["detail"])
    return found


def _not_the_pepper(message: str, place: str | Path) -> InvalidSetting:
    hint = f"restore {place} as it was; if it is lost, revoke all keys and make new ones"
    return InvalidSetting(f"{message}: no API key could be checked", hint=hint)


_MEMORY_PEPPER: Final = b"keys in memory die with the process"
