"""Credit from the chain: what each consumer has on hold, and whether it may be served on it now.

The store has what is granted, so that of all processes together never more is reserved than the hold covers. Here is
what one process remembers of the chain: enough to refuse without asking anybody. Reads of the contract are few: one
for all APIs of a consumer, none when another process has just read, and never more than the network allows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from api_billing.amounts import format_wei
from api_billing.errors import BillingError
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import CreditUnavailable, MeterError
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import FireOnce, Operation
from api_billing.metering.ledger.settlement_operations import (
    NEVER_READ,
    ChainTerms,
    Credit,
    CreditSet,
    ReadCredit,
    SetGranted,
    TakeRead,
)
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.request_meter import Admitted
from api_billing.metering.seldom import Seldom
from api_billing.metering.settlement.chain import (
    SettlementChain,
    chain_account,
    final_terms,
    plan_checks,
    report_with,
    terms_of,
)
from api_billing.metering.settlement.freshness import ChainReads
from api_billing.metering.settlement.newest import NewestSubscribers
from api_billing.metering.stores.steps import Blocking, Steps, run
from api_billing.results import ChannelState, Session, UsageReport

_MAX_KNOWN: Final = 100_000
_MAX_STRANGERS: Final = 1_000
FOR_NEW: Final = 3  # one of so many reads is left for consumers that this process does not know
_FOR_STRANGERS: Final = 5  # one of so many reads is for who has proven nothing yet, at most
_ATTEMPTS: Final = 3  # at a consumer whose settlements are recorded meanwhile
_STRANGERS_AT_ONCE: Final = 3  # whom requests are waiting for the chain for
_WAIT_SECONDS: Final = 5  # of a request for what another one reads: it keeps a thread from others
_SOON: Final = 4  # accounts in trouble are looked at so many times as often

_log = logging.getLogger("api_billing.metering.credit")


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """How credit follows the chain. Times in milliseconds.

    ``holds_from`` is the state of the chain that what is served rests on: of final transactions, which no appeal can
    undo, or of all that are accepted.
    ``use_free_credit`` serves on a consumer's free credit too, which it can withdraw at any time: the operator's risk.
    ``margin_ms`` before a hold ends no new request is served on it, so that the last settlement arrives in time.
    ``grace_ms`` is how long a hold is believed while the chain cannot be read; with ``fail_open`` for ever.
    ``reads_per_10_seconds`` is what the network allows for one contract: all processes of the store share it. Accounts
    without requests for ``idle_ms`` are not read.
    """

    holds_from: Literal["finalized", "accepted"] = "finalized"
    use_free_credit: bool = False
    refresh_ms: int = 30_000
    grace_ms: int = 900_000
    margin_ms: int = 900_000
    idle_ms: int = 600_000
    reads_per_10_seconds: int = 20
    fail_open: bool = False


class Known(NamedTuple):
    """What this process remembers of an account. ``short_wei``: how much more is committed than the chain covers."""

    terms: ChainTerms
    refused_parts: int
    short_wei: int


class _Entry:
    __slots__ = ("_admitted", "_day", "_terms", "account", "known", "tried_ms", "used_ms")

    def __init__(self, account: str, known: Known, used_ms: int) -> None:
        self.account = account
        self.known = known
        self.used_ms = used_ms
        self.tried_ms = 0
        self._terms: ChainTerms | None = None  # those that ``_admitted`` was made of
        self._day = 0
        self._admitted = Admitted("", ())

    def admitted(self, now_ms: int) -> Admitted:
        """What a request is served under; made once for each look at the chain and each day."""
        terms, day = self.known.terms, now_ms // DAY_MS
        if self._terms is not terms or self._day != day:
            self._admitted = Admitted(terms.plan, plan_checks(self.account, terms, now_ms), terms.signer)
            self._terms, self._day = terms, day
        return self._admitted


def usable_wei(terms: ChainTerms, settings: CreditSettings, now_ms: int) -> int:
    """What may be reserved and not settled yet: the hold, within what may be spent today; 0 when nothing may be served.

    Usage that is not settled counts against it, also yesterday's, which has limits of its own: less is allowed rather
    than more.
    """
    if not (terms.subscribed and terms.active) or terms.price_wei > terms.accepted_price_wei:
        return 0
    # What is served last is settled last: a hold ends earlier by what waits before it.
    ends_ms = terms.hold_expires_ms - settings.margin_ms - terms.queue_ms
    held_wei = terms.hold_wei if now_ms < ends_ms else 0
    return min(held_wei + free_credit_wei(terms, settings), terms.spend_left_today_wei)


def free_credit_wei(terms: ChainTerms, settings: CreditSettings) -> int:
    """What of the free credit is served on, where that is set; never that of who has a session, who signs for all."""
    return terms.credit_wei if settings.use_free_credit and not terms.signer else 0


def cover_wei(terms: ChainTerms, settings: CreditSettings) -> int:
    """What a settlement can draw on, whether or not anything new may be served."""
    return terms.hold_wei + (free_credit_wei(terms, settings) if terms.subscribed else 0)


def _offers_more(terms: ChainTerms, credit: Credit, settings: CreditSettings) -> bool:
    """Whether the chain offers more than was believed of it so far: only then it matters what is final."""
    known = credit.terms
    return (
        usable_wei(terms, settings, terms.read_ms) + credit.accounted_wei > credit.balance.granted_wei
        or terms.hold_expires_ms > known.hold_expires_ms
        or terms.accepted_price_wei > known.accepted_price_wei
        or terms.subscribed > known.subscribed
        or terms.signer != known.signer
    )


def _known_of(credit: Credit, settings: CreditSettings) -> Known:
    committed_wei = credit.balance.reserved_wei + credit.balance.charged_wei
    covered_wei = cover_wei(credit.terms, settings) + credit.accounted_wei + credit.in_flight_wei
    never_read = credit.terms.read_ms == 0
    return Known(credit.terms, credit.refused_parts, 0 if never_read else max(0, committed_wei - covered_wei))


def refusal_of(known: Known, settings: CreditSettings, estimate_wei: int, now_ms: int) -> Refusal | None:
    """Why a consumer is not served now, None when the store may decide. Pure."""
    terms = known.terms
    if now_ms - terms.read_ms > settings.grace_ms and not settings.fail_open:
        return Refusal(
            "meter_unavailable", "The credit of this consumer could not be read from the chain for too long."
        )
    if known.refused_parts:
        return Refusal("insufficient_credit", reason="settlement_refused")
    if terms.is_provisional and not usable_wei(terms, settings, now_ms):
        return Refusal("insufficient_credit", reason="not_final")
    if not terms.subscribed:
        return Refusal("not_subscribed")
    if not terms.active:
        return Refusal("not_subscribed", reason="api_paused")
    if terms.price_wei > terms.accepted_price_wei:
        return Refusal("not_subscribed", reason="price_changed")
    if estimate_wei > terms.accepted_price_wei:
        return Refusal("not_subscribed", reason="above_price")
    if known.short_wei:
        return Refusal("insufficient_credit", reason="hold_short")
    on_holds_only = not settings.use_free_credit or terms.signer
    if not usable_wei(terms, settings, now_ms) and terms.hold_wei and on_holds_only:
        return Refusal("insufficient_credit", reason="hold_ends")
    return None


@contextmanager
def _held(lock: threading.Lock | threading.Semaphore) -> Iterator[None]:
    """Hold it for a request, which does not wait long for it. Raises: CreditUnavailable."""
    if not lock.acquire(timeout=_WAIT_SECONDS):
        raise CreditUnavailable("Too many requests are waiting for the chain; try again.")
    try:
        yield
    finally:
        lock.release()


class ChainCredit:
    """What this process knows of consumers' credit on one contract. Thread-safe.

    ``admit`` is asked before each request is reserved; it waits for the chain only with a consumer's first one.
    ``tick`` is one round of the background refresh, which ``start`` has a thread do. ``call`` asks the store.
    """

    def __init__(
        self,
        chain: SettlementChain,
        call: Callable[[Operation[Any]], Any],
        *,
        now_ms: Callable[[], int],
        settings: CreditSettings | None = None,
        alert: Callable[[Alert], None] = lambda _: None,
        round_seconds: float = 1.0,
    ) -> None:
        self._chain = chain
        self._call = call
        self._now_ms = now_ms
        self._seldom = Seldom(now_ms)
        self.settings = settings or CreditSettings()
        self._alert = alert
        self._round_seconds = round_seconds
        self.forget()
        at_fork(in_child=self.forget)

    def forget(self) -> None:
        """Forget everything, as in a forked child."""
        # By address, then API: one read of the chain serves all APIs of a consumer.
        self._known: dict[str, dict[str, _Entry]] = {}
        self.reads = ChainReads(self._now_ms)
        # Who has proven nothing is kept apart, for a moment: it is not read in the background.
        self._strangers: dict[tuple[str, str], ChainTerms] = {}
        self._newest = NewestSubscribers(self._chain, self._call, self._now_ms, self.settings.reads_per_10_seconds)
        self._for_strangers = threading.Semaphore(_STRANGERS_AT_ONCE)
        self._looking: dict[str, tuple[threading.Lock, int]] = {}  # and how many want it
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # --- requests

    def admit(self, api: str, address: str, estimate_wei: int) -> Steps[Admitted | Refusal]:
        """Why this consumer is not served now, or what it is served under; the address is in lower case.

        Never raises for the chain; StoreUnavailable goes on.
        """
        now_ms = self._now_ms()
        entry = self._known.get(address, {}).get(api)
        if entry is None or now_ms - entry.known.terms.read_ms > self.settings.grace_ms:
            entry = yield Blocking(lambda: self._look(api, address))
        if entry is None:
            return Refusal("meter_unavailable", "The credit of this consumer cannot be read from the chain.")
        entry.used_ms = now_ms
        return refusal_of(entry.known, self.settings, estimate_wei, now_ms) or entry.admitted(now_ms)

    def prove[RefusedT](
        self, api: str, address: str, refused: Callable[[str], RefusedT], senseless: Callable[[], RefusedT]
    ) -> Steps[tuple[str, RefusedT] | None]:
        """The signer of a consumer's session, and why it has not signed, as ``refused`` tells of a signer; None when
        that cannot be found out now.

        Memory and store are asked first. For who has proven nothing the chain is read within a share of the reads, if
        ``senseless`` tells nothing that is wrong whatever the chain says; and nothing is stored.
        Raises: StoreUnavailable.
        """
        entry = self._known.get(address, {}).get(api)
        if entry is not None:
            why = refused(entry.known.terms.signer)
            if not why or self._is_fresh(entry.known.terms):
                return entry.known.terms.signer, why
        proven: tuple[str, RefusedT] | None
        proven = yield Blocking(lambda: self._proven(api, address, refused, senseless))
        return proven

    def _proven[RefusedT](
        self, api: str, address: str, refused: Callable[[str], RefusedT], senseless: Callable[[], RefusedT]
    ) -> tuple[str, RefusedT] | None:
        with self._one_look(address):
            best: tuple[str, RefusedT] | None = None
            for terms in self._believed(api, address):
                best = terms.signer, refused(terms.signer)
                if not best[1]:
                    # It has signed for what there was: no stranger, whatever there is by now.
                    return self._looked(api, address, refused)
                if self._is_fresh(terms):
                    return best
            if why := senseless():
                return best or ("", why)
            with _held(self._for_strangers):
                if not self._run_refresh(api, address, is_signer=lambda signer: not refused(signer)):
                    is_new = not refused(self._newest.signer(api, address))
                    return self._looked(api, address, refused) if is_new else None
            last = self._read_last(api, address)
            return None if last is None else (last.signer, refused(last.signer))

    def _looked[RefusedT](
        self, api: str, address: str, refused: Callable[[str], RefusedT]
    ) -> tuple[str, RefusedT] | None:
        entry = self._look_once(api, address)
        return None if entry is None else (entry.known.terms.signer, refused(entry.known.terms.signer))

    def _believed(self, api: str, address: str) -> Iterator[ChainTerms]:
        """What is known of a consumer without reading the chain."""
        last = self._read_last(api, address)
        if last is not None:
            yield last
        stored: Credit = self._call(ReadCredit(chain_account(api, address)))
        if stored.terms.read_ms:
            yield stored.terms

    def _read_last(self, api: str, address: str) -> ChainTerms | None:
        entry, stranger = self._known.get(address, {}).get(api), self._strangers.get((address, api), NEVER_READ)
        last = max(NEVER_READ if entry is None else entry.known.terms, stranger, key=lambda terms: terms.read_ms)
        return last if last.read_ms else None

    def _is_fresh(self, terms: ChainTerms) -> bool:
        return self._now_ms() - terms.read_ms <= self.settings.refresh_ms

    def look_again(self, api: str, address: str, *, is_proven: bool = False) -> Steps[ChainTerms]:
        """What the chain says of a consumer now, who says that it has changed, within the share of strangers; nothing
        is stored of who has proven nothing. Raises: CreditUnavailable, StoreUnavailable.
        """
        terms: ChainTerms | None = yield Blocking(lambda: self._look_again(api, address, is_proven))
        if terms is None:
            raise CreditUnavailable("The credit of this consumer cannot be read from the chain; try again.")
        return terms

    def _look_again(self, api: str, address: str, is_proven: bool) -> ChainTerms | None:
        with self._one_look(address):
            stored: Credit = self._call(ReadCredit(chain_account(api, address)))
            is_served, is_known = api in self._known.get(address, {}), is_proven or stored.revision > 0
            with _held(self._for_strangers):
                if not self._run_refresh(api, address, is_signer=lambda _: is_known, anew=True):
                    return None
            entry = self._known.get(address, {}).get(api)
            if entry is not None and not is_served:
                entry.used_ms = 0  # nobody is served yet: what was read is in the store
            return self._read_last(api, address)

    @contextmanager
    def _one_look(self, address: str) -> Iterator[None]:
        """Many requests of a consumer at once look once. Raises: CreditUnavailable, when that takes long."""
        with self._lock:
            looking, waiting = self._looking.get(address) or (threading.Lock(), 0)
            self._looking[address] = looking, waiting + 1
        try:
            with _held(looking):
                yield
        finally:
            with self._lock:
                looking, waiting = self._looking[address]
                if waiting == 1:
                    del self._looking[address]
                else:
                    self._looking[address] = looking, waiting - 1

    def _look(self, api: str, address: str) -> _Entry | None:
        """What is known of a consumer that this process does not know."""
        with self._one_look(address):
            return self._look_once(api, address)

    def _look_once(self, api: str, address: str) -> _Entry | None:
        entry = self._known.get(address, {}).get(api)
        last_ms = 0 if entry is None else max(entry.known.terms.read_ms, entry.tried_ms)
        if self._now_ms() - last_ms >= self.settings.refresh_ms:
            self._run_refresh(api, address)
        entry = self._known.get(address, {}).get(api)
        return entry if entry is not None and entry.known.terms.read_ms else None

    def _run_refresh(self, api: str, address: str, **given: Any) -> bool:
        try:
            was_read = run(self.refresh(address, (api,), **given), self._call)
            if not was_read:
                self._tried(address, 0)  # reads were missing, perhaps not all: the next request tries again
            return was_read
        except MeterError:
            raise
        except BillingError as error:
            self._seldom.log(_log, logging.WARNING, "the credit of %s cannot be read: %s", address, error)
            return False

    # --- the chain

    def refresh(
        self,
        address: str,
        apis: tuple[str, ...] = (),
        *,
        spare: int = 0,
        is_signer: Callable[[str], bool] | None = None,
        anew: bool = False,
    ) -> Steps[bool]:
        """Read a consumer's credit for these APIs and all that are known of it; False when there are no reads left.
        ``anew``: also when it was read a moment ago.

        ``is_signer`` is given for who has proven nothing yet: it is a stranger until the chain names a signer that
        ``is_signer`` is true of. Its first read is of the strangers' share, and nothing is stored before.
        The order is what makes it safe: first what the store has accounted for, then the chain, then the grant.
        Raises: the chain's errors; StoreUnavailable.
        """
        for _ in range(_ATTEMPTS):
            was_read = yield from self._refresh(address, apis, spare, is_signer, anew=anew)
            if was_read is not None:
                return was_read
        self._tried(address, 0)  # the next request looks again
        return True

    def _refresh(
        self,
        address: str,
        apis: tuple[str, ...],
        spare: int,
        is_signer: Callable[[str], bool] | None,
        *,
        anew: bool,
    ) -> Steps[bool | None]:
        """As ``refresh``; None when something was recorded meanwhile, so that nothing could be granted."""
        now_ms, contract = self._now_ms(), self._chain.contract.lower()
        wanted = tuple(dict.fromkeys((*apis, *self._known.get(address, {}))))
        before: dict[str, Credit] = {}
        for api in wanted:
            before[api] = yield ReadCredit(chain_account(api, address))
            if is_signer is None:
                self._remember(api, address, _known_of(before[api], self.settings))
        oldest = min((credit.terms.read_ms for credit in before.values()), default=now_ms)
        if now_ms - oldest < self.settings.refresh_ms // _SOON and not (anew or is_signer):
            return True  # another process has just read it
        most, chain = self.settings.reads_per_10_seconds, self._chain
        share = max(1, most // _FOR_STRANGERS)
        if is_signer is not None and not (yield TakeRead(f"{contract}/strangers", now_ms, share)):
            return False
        if not (yield TakeRead(contract, now_ms, most, spare)):
            return False
        self._tried(address, now_ms)
        with self.reads.watched():
            report: UsageReport = yield Blocking(lambda: report_with(chain, address, wanted))
        terms = {api: terms_of(report, api, now_ms, before[api]) for api in wanted}
        if is_signer is not None:
            for api in apis:
                self._remember_stranger(api, address, terms[api])
            if not all(is_signer(terms[api].signer) for api in apis):
                return True
        more = [api for api, each in terms.items() if _offers_more(each, before[api], self.settings)]
        more = more if self.settings.holds_from == "finalized" else []
        new = [api for api, each in terms.items() if each.signer not in ("", before[api].terms.signer)]
        reads = (2 + 2 * len(more) if more else 0) + len(new)
        if reads and not (yield TakeRead(contract, now_ms, most, spare, reads=reads)):
            return False
        if more:
            terms |= yield Blocking(lambda: final_terms(chain, address, more, report.day_id, now_ms, before))
        is_granted = True
        for api in wanted:
            channels: tuple[ChannelState, ...] | None = None
            if terms[api].signer not in ("", before[api].terms.signer):
                session: Session = yield Blocking(lambda api=api: chain.get_session(address, api))  # type: ignore[misc]
                channels = session.channels
            is_granted &= yield from self._grant(api, address, before[api], terms[api], channels)
        return True if is_granted else None

    def _grant(
        self, api: str, address: str, before: Credit, terms: ChainTerms, channels: tuple[ChannelState, ...] | None
    ) -> Steps[bool]:
        account = chain_account(api, address)
        if not (before.revision or terms.subscribed):
            # Anybody can ask: of strangers nothing is stored.
            self._remember(api, address, Known(terms, 0, 0))
            return True
        usable, cover = usable_wei(terms, self.settings, terms.read_ms), cover_wei(terms, self.settings)
        grant = before.revision, before.accounted_wei, usable, cover, terms, channels
        reply: CreditSet = yield SetGranted(account, *grant)
        if not reply.applied:
            return False
        self._remember(api, address, Known(terms, before.refused_parts, reply.short_wei))
        if reply.short_wei:
            yield from self._tell_short(account, reply.short_wei, terms.read_ms)
        return True

    def _tell_short(self, account: str, short_wei: int, now_ms: int) -> Steps[None]:
        key = f"settlement/short/{now_ms // DAY_MS}/{account}"
        if (yield FireOnce(key, now_ms, now_ms + 2 * DAY_MS)):
            message = f"{account} has used {format_wei(short_wei, exact=True)} more than its hold covers"
            self._alert(Alert("settlement", account, now_ms, message, left_wei=0))

    # --- what is remembered

    def _remember(self, api: str, address: str, known: Known) -> None:
        with self._lock:
            if address not in self._known and len(self._known) >= _MAX_KNOWN:
                self._known = {}  # each is looked up again with its next request
            of_address = self._known.setdefault(address, {})
            entry = of_address.get(api)
            if entry is None:
                of_address[api] = _Entry(chain_account(api, address), known, self._now_ms())
            elif known.terms.read_ms >= entry.known.terms.read_ms:
                entry.known = known

    def _remember_stranger(self, api: str, address: str, terms: ChainTerms) -> None:
        with self._lock:
            self._strangers.pop((address, api), None)
            while len(self._strangers) >= _MAX_STRANGERS:
                del self._strangers[next(iter(self._strangers))]
            self._strangers[address, api] = terms

    def _tried(self, address: str, now_ms: int) -> None:
        for entry in self._known.get(address, {}).values():
            entry.tried_ms = now_ms

    # --- in the background

    def tick(self) -> int:
        """Refresh those that are due, the longest waiting first, as far as reads are left; how many consumers.

        Raises: StoreUnavailable.
        """
        refreshed = 0
        spare = self.settings.reads_per_10_seconds // FOR_NEW
        for address in self._due():
            try:
                if not run(self.refresh(address, spare=spare), self._call):
                    break
            except MeterError:
                raise
            except BillingError as error:
                _log.warning("the credit of %s cannot be read: %s", address, error)
                break  # the node is in trouble: the next round tries again
            refreshed += 1
        return refreshed

    def _due(self) -> list[str]:
        now_ms = self._now_ms()
        due: list[tuple[int, str]] = []
        with self._lock:
            for address, entries in list(self._known.items()):
                if all(now_ms - entry.used_ms > self.settings.idle_ms for entry in entries.values()):
                    del self._known[address]
                    continue
                waiting = [entry for entry in entries.values() if self._is_due(entry, now_ms)]
                if waiting:
                    due.append((min(max(entry.known.terms.read_ms, entry.tried_ms) for entry in waiting), address))
        return [address for _, address in sorted(due)]

    def _is_due(self, entry: _Entry, now_ms: int) -> bool:
        known = entry.known
        troubled = known.short_wei or known.refused_parts or not usable_wei(known.terms, self.settings, now_ms)
        every_ms = self.settings.refresh_ms // _SOON if troubled else self.settings.refresh_ms
        return now_ms - max(known.terms.read_ms, entry.tried_ms) >= every_ms

    def start(self) -> None:
        """Refresh in a thread from now on. Idempotent."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="api-billing-credit", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._round_seconds):
            try:
                self.tick()
            except MeterError as error:
                _log.warning("credit is not refreshed: %s", error)
            except Exception:
                _log.exception("a round of refreshing credit failed")
