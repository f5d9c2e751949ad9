"""What settling may cost a day on a network that takes fees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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

    def left(self, api: str) -> Steps[int]:
        """Of today's. Raises: NetworkError, StoreUnavailable."""
        txs = yield from self._txs_of_today(api)
        self._known = {tx: wei for tx, wei in self._known.items() if tx in txs}
        spent_wei = 0
        for tx in txs:
            spent_wei += yield from self._cost(tx)
        return max(self._wei - spent_wei, 0)

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
