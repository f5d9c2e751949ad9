"""Credit from the chain: what each consumer has on hold, and whether it may be served on it now.

The store has what is granted, so that of all processes together never more is reserved than the hold covers. What one
process remembers of the chain is enough to refuse without asking anybody. Reads of the contract are few: one for all
APIs of a consumer, none when another process has just read, and never more than the network allows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from api_billing.amounts import format_wei
from api_billing.errors import BillingError
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import CreditUnavailable, MeterError
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import FireOnce, Operation
from api_billing.metering.ledger.settlement_operations import (
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
    report_with,
    terms_of,
)
from api_billing.metering.settlement.credit_memory import CreditMemory, Entry
from api_billing.metering.settlement.credit_rules import (
    CreditSettings,
    Known,
    cover_wei,
    known_of,
    offers_more,
    refusal_of,
    usable_wei,
)
from api_billing.metering.settlement.freshness import ChainReads
from api_billing.metering.settlement.newest import NewestSubscribers
from api_billing.metering.stores.steps import Blocking, Steps, run
from api_billing.results import ChannelState, Session, UsageReport

FOR_NEW: Final = 3  # one of so many reads is left for consumers that this process does not know
_FOR_STRANGERS: Final = 5  # one of so many reads is for who has proven nothing yet, at most
_ATTEMPTS: Final = 3  # at a consumer whose settlements are recorded meanwhile
_STRANGERS_AT_ONCE: Final = 3  # whom requests are waiting for the chain for
_WAIT_SECONDS: Final = 5  # of a request for what another one reads: it keeps a thread from others

_log = logging.getLogger("api_billing.metering.credit")


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
        self._memory = CreditMemory(self._now_ms, self.settings)
        self.reads = ChainReads(self._now_ms)
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
        entry = self._memory.get(api, address)
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
        entry = self._memory.get(api, address)
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
            last = self._memory.last(api, address)
            return None if last is None else (last.signer, refused(last.signer))

    def _looked[RefusedT](
        self, api: str, address: str, refused: Callable[[str], RefusedT]
    ) -> tuple[str, RefusedT] | None:
        entry = self._look_once(api, address)
        return None if entry is None else (entry.known.terms.signer, refused(entry.known.terms.signer))

    def _believed(self, api: str, address: str) -> Iterator[ChainTerms]:
        """What is known of a consumer without reading the chain."""
        last = self._memory.last(api, address)
        if last is not None:
            yield last
        stored: Credit = self._call(ReadCredit(chain_account(api, address)))
        if stored.terms.read_ms:
            yield stored.terms

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
            is_served, is_known = self._memory.get(api, address) is not None, is_proven or stored.revision > 0
            with _held(self._for_strangers):
                if not self._run_refresh(api, address, is_signer=lambda _: is_known, anew=True):
                    return None
            entry = self._memory.get(api, address)
            if entry is not None and not is_served:
                entry.used_ms = 0  # nobody is served yet: what was read is in the store
            return self._memory.last(api, address)

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

    def _look(self, api: str, address: str) -> Entry | None:
        """What is known of a consumer that this process does not know."""
        with self._one_look(address):
            return self._look_once(api, address)

    def _look_once(self, api: str, address: str) -> Entry | None:
        entry = self._memory.get(api, address)
        last_ms = 0 if entry is None else max(entry.known.terms.read_ms, entry.tried_ms)
        if self._now_ms() - last_ms >= self.settings.refresh_ms:
            self._run_refresh(api, address)
        entry = self._memory.get(api, address)
        return entry if entry is not None and entry.known.terms.read_ms else None

    def _run_refresh(self, api: str, address: str, **given: Any) -> bool:
        try:
            was_read = run(self.refresh(address, (api,), **given), self._call)
            if not was_read:
                self._memory.tried(address, 0)  # reads were missing, perhaps not all: the next request tries again
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
        self._memory.tried(address, 0)  # the next request looks again
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
        wanted = tuple(dict.fromkeys((*apis, *self._memory.apis(address))))
        before: dict[str, Credit] = {}
        for api in wanted:
            before[api] = yield ReadCredit(chain_account(api, address))
            if is_signer is None:
                self._memory.keep(api, address, known_of(before[api], self.settings))
        oldest = min((credit.terms.read_ms for credit in before.values()), default=now_ms)
        if now_ms - oldest < self.settings.soon_ms and not (anew or is_signer):
            return True  # another process has just read it
        most, chain = self.settings.reads_per_10_seconds, self._chain
        share = max(1, most // _FOR_STRANGERS)
        if is_signer is not None and not (yield TakeRead(f"{contract}/strangers", now_ms, share)):
            return False
        if not (yield TakeRead(contract, now_ms, most, spare)):
            return False
        self._memory.tried(address, now_ms)
        with self.reads.watched():
            report: UsageReport = yield Blocking(lambda: report_with(chain, address, wanted))
        terms = {api: terms_of(report, api, now_ms, before[api]) for api in wanted}
        if is_signer is not None:
            for api in apis:
                self._memory.keep_stranger(api, address, terms[api])
            if not all(is_signer(terms[api].signer) for api in apis):
                return True
        more = [api for api, each in terms.items() if offers_more(each, before[api], self.settings)]
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
            self._memory.keep(api, address, Known(terms, 0, 0))
            return True
        usable, cover = usable_wei(terms, self.settings, terms.read_ms), cover_wei(terms, self.settings)
        grant = before.revision, before.accounted_wei, usable, cover, terms, channels
        reply: CreditSet = yield SetGranted(account, *grant)
        if not reply.applied:
            return False
        self._memory.keep(api, address, Known(terms, before.refused_parts, reply.short_wei))
        if reply.short_wei:
            yield from self._tell_short(account, reply.short_wei, terms.read_ms)
        return True

    def _tell_short(self, account: str, short_wei: int, now_ms: int) -> Steps[None]:
        key = f"settlement/short/{now_ms // DAY_MS}/{account}"
        if (yield FireOnce(key, now_ms, now_ms + 2 * DAY_MS)):
            message = f"{account} has used {format_wei(short_wei, exact=True)} more than its hold covers"
            self._alert(Alert("settlement", account, now_ms, message, left_wei=0))

    # --- in the background

    def tick(self) -> int:
        """Refresh those that are due, the longest waiting first, as far as reads are left; how many consumers.

        Raises: StoreUnavailable.
        """
        refreshed = 0
        spare = self.settings.reads_per_10_seconds // FOR_NEW
        for address in self._memory.due():
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
