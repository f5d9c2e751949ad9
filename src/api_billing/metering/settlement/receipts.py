"""Whether receipts are genuine: asked of the contract, once for each. Thread-safe; usable after a fork."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from api_billing.errors import BillingError, ContractRejected
from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.receipts import UNKNOWN, Receipt
from api_billing.metering.seldom import Seldom
from api_billing.metering.settlement.chain import SettlementChain
from api_billing.metering.stores.steps import Blocking, Steps, run

_MAX_GENUINE: Final = 20_000
_MAX_UNKNOWN: Final = 1_000
# A node that lags behind does not know a new receipt yet: "no" is believed for a moment only.
_UNKNOWN_MS: Final = 2_000
_RETRY_SECONDS: Final = 2
# Anybody can make receipts up: this share of the reads is left for the credit of consumers, whatever comes in.
_FOR_CREDIT: Final = 2

_UNREADABLE: Final = Refusal(
    "meter_unavailable",
    "The contract, which knows this receipt, does not answer.",
    retry_after_seconds=_RETRY_SECONDS,
    extra={"reason": "chain_unavailable"},
)
_NO_READ_LEFT: Final = Refusal(
    "meter_unavailable",
    "The contract, which knows this receipt, cannot be asked more often at the moment.",
    retry_after_seconds=_RETRY_SECONDS,
    extra={"reason": "chain_reads_used_up"},
)

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
    ) -> None:
        self._chain = chain
        self._call = call
        self._now_ms = now_ms
        self._seldom = Seldom(now_ms)
        self._reads = reads_per_10_seconds
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Forget everything, as in a forked child."""
        self._genuine: OrderedDict[str, None] = OrderedDict()
        self._unknown: OrderedDict[str, int] = OrderedDict()  # until when
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
            is_unknown = self._unknown.get(text, 0) > self._now_ms()
            return is_unknown, UNKNOWN if is_unknown else None

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
        chain = self._chain
        spare = self._reads // _FOR_CREDIT
        if not (yield TakeRead(chain.contract.lower(), self._now_ms(), self._reads, spare)):
            return _NO_READ_LEFT
        try:
            genuine = (yield Blocking(lambda: chain.get_receipt(receipt.text))).valid
        except MeterError:
            raise
        except ContractRejected as error:
            message = "the contract refuses to say anything of the receipt %s: %s"
            self._seldom.log(_log, logging.WARNING, message, receipt.text, error)
            genuine = False
        except BillingError as error:
            self._seldom.log(_log, logging.WARNING, "the receipt %s cannot be checked: %s", receipt.text, error)
            return _UNREADABLE
        self._keep(receipt.text, genuine=genuine)
        return None if genuine else UNKNOWN

    def _keep(self, text: str, *, genuine: bool) -> None:
        with self._lock:
            if genuine:
                self._genuine[text] = None
                if len(self._genuine) > _MAX_GENUINE:
                    self._genuine.popitem(last=False)
                return
            self._unknown[text] = self._now_ms() + _UNKNOWN_MS
            self._unknown.move_to_end(text)
            if len(self._unknown) > _MAX_UNKNOWN:
                self._unknown.popitem(last=False)
