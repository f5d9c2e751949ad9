"""The newest subscribers of an API, with the signers of their sessions: one read of the contract tells of a hundred.

So a payer who has just come gets through while strangers use up the reads that are meant for who has proven nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from api_billing.errors import BillingError
from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.settlement.chain import SettlementChain

_PAGE: Final = 100  # of the contract
_EVERY_MS: Final = 2_000
_SHARE: Final = 10  # one of so many reads is for this, at most

_log = logging.getLogger("api_billing.metering.credit")


class _Newest(NamedTuple):
    tried_ms: int
    total: int = 0
    signers: dict[str, str] = {}  # noqa: RUF012  # never changed


class NewestSubscribers:
    """Thread-safe. ``call`` asks the store, which counts the reads of all processes."""

    def __init__(
        self, chain: SettlementChain, call: Callable[[Operation[Any]], Any], now_ms: Callable[[], int], most: int
    ) -> None:
        self._chain = chain
        self._call = call
        self._now_ms = now_ms
        self._most = most
        self._of: dict[str, _Newest] = {}
        self._lock = threading.Lock()

    def signer(self, api: str, address: str) -> str:
        """Of a consumer's session, when it is among the newest; else empty. Raises: StoreUnavailable."""
        with self._lock:
            newest = self._of.get(api)
            if newest is None or not 0 <= self._now_ms() - newest.tried_ms < _EVERY_MS:
                newest = self._of[api] = self._read(api, newest or _Newest(0))
        return newest.signers.get(address, "")

    def _read(self, api: str, last: _Newest) -> _Newest:
        now_ms, contract = self._now_ms(), self._chain.contract.lower()
        if not (
            self._call(TakeRead(f"{contract}/newest", now_ms, max(1, self._most // _SHARE)))
            and self._call(TakeRead(contract, now_ms, self._most))
        ):
            return last._replace(tried_ms=now_ms)
        try:
            # The page that was the last one before; when there are many more by now, the next read is of theirs.
            page = self._chain.list_subscribers(api, max(0, last.total - _PAGE + 1))
        except MeterError:
            raise
        except BillingError as error:
            _log.warning("the subscribers of %s cannot be read: %s", api, error)
            return last._replace(tried_ms=now_ms)
        signers = {each.consumer.lower(): each.signer.lower() for each in page.subscribers if each.signer}
        return _Newest(now_ms, page.total, signers)
