"""A meter's side towards the billing contract: its consumers' credit, and settlement within the same process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from api_billing.errors import BillingError
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.errors import CreditUnavailable
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.ledger.vouchers import BySession, ChannelSums
from api_billing.metering.request.door import Receiver
from api_billing.metering.request.health import Wrong
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.request_meter import Admitted
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import SettlementChain, is_address
from api_billing.metering.settlement.credit import FOR_NEW, ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings
from api_billing.metering.settlement.process import SettlementProcess, can_run
from api_billing.metering.settlement.receipts import ReceiptChecks
from api_billing.metering.settlement.running import SettlementLoop, loop_of
from api_billing.metering.settlement.sessions import VoucherChecks
from api_billing.metering.stores import Store
from api_billing.metering.stores.steps import Blocking, Steps
from api_billing.vouchers import Voucher

_NO_ADDRESS: Final = Refusal("not_subscribed", reason="not_an_address")
_CLOSING_SECONDS: Final = 5.0
_LOOKS: Final = 4  # in the time that a read of the chain is fresh


class OnChain:
    """What a meter asks the contract, beside the requests. Thread-safe; usable after a fork.

    What it runs, a thread that refreshes credit and a process or thread that settles when the settings name APIs,
    begins with the first request: a server that forks its workers has it in each.
    """

    def __init__(
        self,
        chain: SettlementChain,
        store: Store,
        settings: MeterSettings,
        now_ms: Callable[[], int],
        alert: Callable[[Alert], None],
    ) -> None:
        self.chain = chain
        self._store = store
        self._settings = settings
        self._now_ms = now_ms
        self._alert = alert
        self.credit = ChainCredit(chain, store.call, now_ms=now_ms, settings=credit_settings(settings), alert=alert)
        self.receipts = ReceiptChecks(
            chain,
            store.call,
            now_ms=now_ms,
            reads_per_10_seconds=settings.reads_allowed,
            accepted_up_to_wei=settings.accepted_up_to_wei,
        )
        self.vouchers = VoucherChecks(chain, store.call, self.credit, now_ms=now_ms)
        self._closed = False
        self._forget()
        at_fork(in_child=self._after_fork)

    def _forget(self) -> None:
        self._started = False
        self._starting = threading.Lock()
        self._settler: SettlementLoop | SettlementProcess | None = None

    def _after_fork(self) -> None:
        if isinstance(self._settler, SettlementProcess):
            self._settler.abandon()
        self._forget()

    def admit(self, api: str, consumer: str, estimate_wei: int) -> Steps[Admitted | Refusal]:
        """Why a consumer is not served now, or what it is served under. Raises: StoreUnavailable, CreditUnavailable."""
        if not is_address(consumer):
            return _NO_ADDRESS
        if not self._started:
            self.start()
        found = yield from self.credit.admit(api, consumer, estimate_wei)
        if isinstance(found, Refusal) and found.code == "meter_unavailable":
            raise CreditUnavailable(found.detail)
        return found

    def check_voucher(
        self, api: str, consumer: str, voucher: Voucher, channel_id: str = ""
    ) -> Steps[BySession | Refusal]:
        """Why a voucher is refused, or what it pays by. Nothing is stored before. Raises: as ``admit``."""
        if not is_address(consumer):
            return _NO_ADDRESS
        if not self._started:
            self.start()
        return (yield from self.vouchers.check(api, consumer, voucher, channel_id))

    def keep(self, api: str, consumer: str, by: BySession) -> Steps[ChannelSums | Refusal]:
        """Keep a voucher that was checked; the sums of its channel then."""
        return self.vouchers.keep(api, consumer, by)

    def look_again(self, api: str, consumer: str, *, is_proven: bool = False) -> Steps[bool]:
        """Read a consumer's credit from the chain now: whether it has a session. Raises: as ``admit``."""
        terms = yield from self.credit.look_again(api, consumer, is_proven=is_proven)
        return bool(terms.signer)

    def receiver(self, api: str) -> Steps[Receiver]:
        """Whom an API's vouchers pay, from memory as long as that is fresh. Raises: CreditUnavailable."""
        return self.vouchers.receiver(api)

    def trouble(self) -> Steps[Wrong | None]:
        """Why credit is not known as it should be. Nobody asking for it, the chain is read to find out, but seldom.
        Raises: StoreUnavailable.
        """
        now_ms, reads, settings = self._now_ms(), self.credit.reads, self.credit.settings
        is_due = now_ms - reads.tried_ms >= settings.refresh_ms // _LOOKS
        if is_due and now_ms - reads.read_ms >= settings.refresh_ms:
            contract, most = self.chain.contract.lower(), settings.reads_per_10_seconds
            if (yield TakeRead(contract, now_ms, most, most // FOR_NEW)):
                with suppress(BillingError), reads.watched():
                    yield Blocking(lambda: self.chain.get_usage_report(contract))
        return reads.trouble(None if settings.fail_open else settings.grace_ms)

    def start(self) -> None:
        """Refresh and settle from now on. Idempotent."""
        with self._starting:
            if self._started or self._closed:
                return
            self._started = True
            self.credit.start()
            if self._settings.settle_apis:
                self._settler = self._settling()
                self._settler.start()

    def _settling(self) -> SettlementLoop | SettlementProcess:
        if self._settings.settle_in == "process" and can_run(self._settings):
            return SettlementProcess(self._settings, self._alert)
        return loop_of(self._settings, self.chain, self._store.call, now_ms=self._now_ms, alert=self._alert)

    def close(self) -> None:
        """End what it runs. Idempotent. A batch that is on its way is waited for only a moment: it is settled by
        whoever comes next, as after a crash.
        """
        with self._starting:
            self._closed = True
            self._started = True
        self.credit.close()
        if self._settler is not None:
            self._settler.close(_CLOSING_SECONDS)


def credit_settings(settings: MeterSettings) -> CreditSettings:
    """How credit follows the chain, of a meter's settings."""
    return CreditSettings(
        holds_from=settings.holds_from,
        use_free_credit=settings.use_free_credit,
        refresh_ms=settings.credit_refresh_seconds * 1000,
        grace_ms=settings.chain_grace_seconds * 1000,
        margin_ms=settings.hold_margin_seconds * 1000,
        reads_per_10_seconds=settings.reads_allowed,
        fail_open=settings.fail_open,
    )
