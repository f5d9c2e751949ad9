"""What settling may cost a day on a network that takes fees."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from api_billing.amounts import format_wei
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.settlement_operations import Book, ListOutgoing, Outgoing, ReadBook
from api_billing.metering.settlement.chain import SettlementChain
from api_billing.metering.stores.steps import Blocking, Steps

_PAGE: Final = 100


class FeeBudget:
    """So much may the settlements of one API cost in a day (UTC).

    It is counted from the postings in the store and what the chain says of their transactions: another process counts
    the same. Until a transaction is final its whole deposit counts. Not thread-safe.
    """

    def __init__(self, chain: SettlementChain, wei: int, now_ms: Callable[[], int]) -> None:
        self._chain, self._wei, self._now_ms = chain, wei, now_ms
        self._known: dict[str, int] = {}  # what final transactions cost
        self._spent_wei = 0  # when it was last asked

    def left(self, api: str) -> Steps[int]:
        """Of today's. Raises: NetworkError, StoreUnavailable."""
        txs = yield from self._txs_of_today(api)
        self._known = {tx: wei for tx, wei in self._known.items() if tx in txs}
        spent_wei = 0
        for tx in txs:
            spent_wei += yield from self._cost(tx)
        self._spent_wei = spent_wei
        return max(self._wei - spent_wei, 0)

    def why_not(self, deposit_wei: int) -> str:
        """Why so much was more than what was left; empty if it was not."""
        if deposit_wei <= max(self._wei - self._spent_wei, 0):
            return ""
        fee, budget, spent = (format_wei(wei, exact=True) for wei in (deposit_wei, self._wei, self._spent_wei))
        anew = datetime.fromtimestamp((self._now_ms() // DAY_MS + 1) * DAY_MS // 1000, UTC)
        then = "raise it" if deposit_wei > self._wei else f"it begins anew at {anew:%Y-%m-%d %H:%M} UTC"
        return (
            f"the network's fee is at most {fee}, and of settle_fee_budget_wei, {budget} a day, {spent} is spent or "
            f"still deposited today; {then}"
        )

    def _cost(self, tx: str) -> Steps[int]:
        if tx not in self._known:
            fee = yield Blocking(lambda: self._chain.fee_of(tx))
            if fee.paid_wei is None and fee.deposit_wei:
                return int(fee.deposit_wei)
            self._known[tx] = fee.paid_wei or 0
        return self._known[tx]

    def _txs_of_today(self, api: str) -> Steps[set[str]]:
        begins_ms = self._now_ms() // DAY_MS * DAY_MS
        book: Book = yield ReadBook(api)
        txs: set[str] = set()
        for after in range(book.last - _PAGE, -_PAGE, -_PAGE):
            page: tuple[Outgoing, ...] = yield ListOutgoing(api, max(after, 0), min(_PAGE, _PAGE + after))
            postings = [each.posting for each in page]
            txs.update(tx for each in postings if each.posted_ms >= begins_ms for tx in each.txs)
            if any(0 < each.posted_ms < begins_ms for each in postings):
                break  # all before are of earlier days
        return txs
