"""Payments that another package sends: which are under way, and what became of those of which it tells nothing."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from api_billing.payer.asking import Asked
from api_billing.payer.paying import Payer, Payment
from api_billing.payer.rows import Spending

_Sent = tuple[Payment, Spending]


class Unended:
    """What was signed and has not ended. Those packages tell of receipts, but not of every answer without one: who
    makes the next payment in the same thread or task has had an answer to the last. Thread-safe.
    """

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self._lock = threading.Lock()
        self._sent = list[_Sent]()
        self._last: ContextVar[_Sent | None] = ContextVar("the last payment", default=None)

    def begin(self, asked: Asked) -> Spending:
        """Sign for what is asked. Raises: what ``Payer.pay`` raises."""
        last = self.last()
        if last is not None:
            self._payer.wallet.book.failed(last[1], None)
        spending = self._payer.begin_now(asked, self._payer.session(asked.offer))
        self.add(Payment(asked, spending.session), spending)
        return spending

    def add(self, payment: Payment, spending: Spending) -> None:
        """Note what is sent."""
        sent = payment, spending
        with self._lock:
            self._sent.append(sent)
        self._last.set(sent)

    def last(self) -> _Sent | None:
        """The one that this thread or task has sent last, if it has not ended; it has by that."""
        found = self._last.get()
        return found if found is not None and self._take(found) else None

    def next_call(self) -> None:
        """This thread or task begins another call."""
        left = self.last()
        if left is not None:  # was made for an answer, and not sent
            self._payer.wallet.book.refused(left[1])
        self._last.set(None)

    def raised_wei(self) -> int:
        """By how much the call of this thread or task has raised what is signed."""
        last = self._last.get()
        return 0 if last is None else last[1].raised_wei

    def of(self, channel_id: str, cumulative_wei: str) -> _Sent | None:
        """The one that was sent with such a voucher; it has ended by that."""
        with self._lock:
            found = [
                each for each in self._sent
                if (each[1].channel.id, str(each[1].voucher.cumulative_wei)) == (channel_id.lower(), cumulative_wei)
            ]  # fmt: skip
        return next((each for each in found if self._take(each)), None)

    def _take(self, ended: _Sent) -> bool:
        """Whether it had not ended before."""
        with self._lock:
            kept = [each for each in self._sent if each is not ended]
            is_there, self._sent = len(kept) < len(self._sent), kept
        return is_there
