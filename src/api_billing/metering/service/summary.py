"""The meter at a glance, for who administers it, and cheap to ask for every few seconds.

Refusals are counted among the newest records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from api_billing.metering.clock import DAY_MS, date_of, day_of
from api_billing.metering.ledger.operations import ListRecords, Record, Summarize, Summed
from api_billing.metering.ledger.settlement_operations import Book, ListOutgoing, Outgoing, ReadBook
from api_billing.metering.meter import Meter
from api_billing.metering.service import admin_bodies as bodies
from api_billing.metering.service.bodies import counted
from api_billing.metering.service.day_sums import DaySums
from api_billing.metering.statements import Sums
from api_billing.metering.stores.steps import Steps

_RECORDS: Final = 2_000
_PAGE: Final = 500
_RESERVATIONS: Final = 1_000
_BATCHES: Final = 100
_FRESH_MS: Final = 2_000  # how long it is told again as it was


class Summary:
    """Reads it; remembers what it has read. Thread-safe."""

    def __init__(self, meter: Meter, days: DaySums) -> None:
        self._meter = meter
        self._days = days
        self._told: bodies.SummaryAnswer | None = None

    def read(self) -> Steps[bodies.SummaryAnswer]:
        """What there is now, or was two seconds ago. Raises: StoreUnavailable."""
        now_ms, told = self._meter.now_ms(), self._told
        if told is not None and 0 <= now_ms - told.at_ms < _FRESH_MS:
            return told
        today = now_ms // DAY_MS
        month: list[Sums] = []
        of_today: list[Sums] = []
        for day in range(day_of(date_of(today).replace(day=1)), today + 1):
            of_today = yield from self._days.of(day)
            month += of_today
        there: Summed = yield Summarize(_RESERVATIONS)
        told = bodies.SummaryAnswer(
            at_ms=now_ms,
            **counted(self._meter.currency),
            consumers=there.consumers,
            keys=there.keys,
            today=_sums(of_today),
            month=_sums(month),
            refusals=(yield from _refusals(today)),
            reserved=bodies.ReservedBody(
                requests=there.open, wei=str(there.reserved_wei), is_complete=there.open < _RESERVATIONS
            ),
            unsettled=(yield from self._unsettled({sums.api for sums in month})),
        )
        self._told = told
        return told

    def _unsettled(self, apis: Iterable[str]) -> Steps[list[bodies.UnsettledBody]]:
        found: list[bodies.UnsettledBody] = []
        for api in sorted(apis) if self._meter.settings.contract else ():
            book: Book = yield ReadBook(api)
            batches = book.last - book.ended
            if batches:
                outgoing: tuple[Outgoing, ...] = yield ListOutgoing(api, book.ended, _BATCHES)
                wei = sum([line.amount_wei for each in outgoing for line in each.batch.lines])
                found.append(bodies.UnsettledBody(api=api, batches=batches, amount_wei=str(wei)))
        return found


def _refusals(today: int) -> Steps[bodies.RefusalsBody]:
    codes: Counter[str] = Counter()
    after, looked = "", 0
    while looked < _RECORDS:
        page: tuple[Record, ...] = yield ListRecords(
            since_ms=today * DAY_MS, after=after, limit=_PAGE, newest_first=True
        )
        codes.update(record.code for record in page if record.state == "refused")
        looked += len(page)
        if len(page) < _PAGE:
            return bodies.RefusalsBody(by_code=dict(codes), is_complete=True)
        after = page[-1].record_id
    return bodies.RefusalsBody(by_code=dict(codes), is_complete=False)


def _sums(of: list[Sums]) -> bodies.UsageSums:
    return bodies.UsageSums(
        calls=sum(each.calls for each in of),
        units=sum(each.units for each in of),
        charged_wei=str(sum(each.charged_wei for each in of)),
        uncollected_wei=str(sum(each.uncollected_wei for each in of)),
    )
