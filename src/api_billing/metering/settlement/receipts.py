"""Whether receipts are genuine: asked of the contract, once for each. Thread-safe; usable after a fork."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from api_billing.errors import BillingError, ContractRejected
from api_billing.metering.errors import MeterError
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.receipts import UNKNOWN, Receipt, invalid
from api_billing.metering.seldom import Seldom
from api_billing.metering.settlement.chain import SettlementChain, recent_spend_wei
from api_billing.metering.stores.steps import Blocking, Steps, run

_MAX_GENUINE: Final = 20_000
_MAX_REFUSED: Final = 1_000
# A node that lags behind does not know a new receipt yet: "no" is believed for a moment only.
_REFUSED_MS: Final = 2_000
_RETRY_SECONDS: Final = 2
# Anybody can make receipts up: this share of the reads is left for the credit of consumers, whatever comes in.
_FOR_CREDIT: Final = 2

_UNREADABLE: Final = Refusal("meter_unavailable", retry_after_seconds=_RETRY_SECONDS, reason="chain_unavailable")
_NOT_FINAL: Final = invalid("not_final")
_NO_READ_LEFT: Final = Refusal("meter_unavailable", retry_after_seconds=_RETRY_SECONDS, reason="chain_reads_used_up")

_log = logging.getLogger("api_billing.metering.receipts")


class ReceiptChecks:
    """What this process knows of receipts. A genuine one stays genuine."""

    def __init__(
        self,
        chain: SettlementChain,
        call: Callable[[Operation[Any]], Any],
        *,
        now_ms: Callable[[], int],
        reads_per_10_seconds: int,
        accepted_up_to_wei: int,
    ) -> None:
        self._chain = chain
        self._call = call
        self._now_ms = now_ms
        self._seldom = Seldom(now_ms)
        self._reads = reads_per_10_seconds
        self._accepted_up_to_wei = accepted_up_to_wei
        self.forget()
        at_fork(in_child=self.forget)

    def forget(self) -> None:
        """Forget everything, as in a forked child."""
        self._genuine: OrderedDict[str, None] = OrderedDict()
        self._refused: OrderedDict[str, tuple[int, Refusal]] = OrderedDict()  # until when
        self._looking: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def check(self, receipt: Receipt) -> Steps[Refusal | None]:
        """Why a receipt is refused, None for a genuine one. Raises: StoreUnavailable."""
        known, refusal = self._known(receipt.text)
        if not known:
            refusal = yield Blocking(lambda: self._look(receipt))
        return refusal

    def _known(self, text: str) -> tuple[bool, Refusal | None]:
        with self._lock:
            if text in self._genuine:
                self._genuine.move_to_end(text)
                return True, None
            until_ms, refusal = self._refused.get(text, (0, None))
            return (True, refusal) if until_ms > self._now_ms() else (False, None)

    def _look(self, receipt: Receipt) -> Refusal | None:
        """Ask the contract; many requests with one receipt ask once."""
        with self._lock:
            looking = self._looking.setdefault(receipt.text, threading.Lock())
        with looking:
            known, refusal = self._known(receipt.text)
            if not known:
                try:
                    refusal = run(self._read(receipt), self._call)
                finally:
                    with self._lock:
                        self._looking.pop(receipt.text, None)
            return refusal

    def _read(self, receipt: Receipt) -> Steps[Refusal | None]:
        if not (yield self._take()):
            return _NO_READ_LEFT
        try:
            refusal = yield from self._refusal(receipt)
        except MeterError:
            raise
        except ContractRejected as error:
            message = "the contract refuses to say anything of the receipt %s: %s"
            self._seldom.log(_log, logging.WARNING, message, receipt.text, error)
            refusal = UNKNOWN
        except BillingError as error:
            self._seldom.log(_log, logging.WARNING, "the receipt %s cannot be checked: %s", receipt.text, error)
            return _UNREADABLE
        if refusal is not _NO_READ_LEFT:
            self._keep(receipt.text, refusal)
        return refusal

    def _refusal(self, receipt: Receipt) -> Steps[Refusal | None]:
        """What the contract says of a receipt; one read was taken for it."""
        chain, most_wei = self._chain, self._accepted_up_to_wei
        if most_wei:
            if not (yield Blocking(lambda: chain.get_receipt(receipt.text))).valid:
                return UNKNOWN
            if not (yield self._take(reads=2)):
                return _NO_READ_LEFT
            if (yield Blocking(lambda: provisional_wei(chain, receipt))) <= most_wei:
                return None
            if not (yield self._take()):
                return _NO_READ_LEFT
        is_final = (yield Blocking(lambda: chain.final.get_receipt(receipt.text))).valid
        return None if is_final else _NOT_FINAL

    def _take(self, reads: int = 1) -> TakeRead:
        spare = self._reads // _FOR_CREDIT
        return TakeRead(self._chain.contract.lower(), self._now_ms(), self._reads, spare, reads)

    def _keep(self, text: str, refusal: Refusal | None) -> None:
        with self._lock:
            if refusal is None:
                self._genuine[text] = None
                if len(self._genuine) > _MAX_GENUINE:
                    self._genuine.popitem(last=False)
                return
            self._refused[text] = self._now_ms() + _REFUSED_MS, refusal
            self._refused.move_to_end(text)
            if len(self._refused) > _MAX_REFUSED:
                self._refused.popitem(last=False)


def provisional_wei(chain: SettlementChain, receipt: Receipt) -> int:
    """What the consumer of a receipt has spent at its API in transactions that an appeal can still undo."""
    final_wei = recent_spend_wei(chain.final, receipt.consumer, receipt.api, receipt.day)
    return recent_spend_wei(chain, receipt.consumer, receipt.api, receipt.day) - final_wei
