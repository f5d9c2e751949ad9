"""The meter at a glance, for who administers it, and cheap to ask for every few seconds.

Refusals are counted among the newest records, and what is in no batch yet among the oldest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from api_billing.metering.clock import DAY_MS, date_of, day_of
from api_billing.metering.ledger.batch_operations import OpenCut, ReadCut
from api_billing.metering.ledger.operations import ListRecords, Record, Summarize, Summed
from api_billing.metering.ledger.settlement_operations import Book, ListOutgoing, ListToSettle, Outgoing, ReadBook
from api_billing.metering.ledger.usage_line import UsageLine
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
_DAYS: Final = 32  # of which APIs are known: on the first of a month all of the one before may wait still
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
        settings, today = self._meter.settings, now_ms // DAY_MS
        first = day_of(date_of(today).replace(day=1))
        month: list[Sums] = []
        of_today: list[Sums] = []
        apis: set[str] = set()
        for day in range(today - _DAYS + 1, today + 1):
            of_today = yield from self._days.of(day)
            apis.update(sums.api for sums in of_today)
            month += of_today if day >= first else []
        there: Summed = yield Summarize(_RESERVATIONS)
        told = bodies.SummaryAnswer(
            at_ms=now_ms,
            contract=settings.contract or None,
            network=settings.network if settings.contract else None,
            **counted(self._meter.currency),
            consumers=there.consumers,
            keys=there.keys,
            today=_sums(of_today),
            month=_sums(month),
            apis=[
                bodies.ApiSummary(api=api, today=_sums(of_today, api), month=_sums(month, api)) for api in sorted(apis)
            ],
            refusals=(yield from _refusals(today)),
            reserved=bodies.ReservedBody(
                requests=there.open, wei=str(there.reserved_wei), is_complete=there.open < _RESERVATIONS
            ),
            unsettled=(yield from self._unsettled(apis)),
        )
        self._told = told
        return told

    def _unsettled(self, apis: Iterable[str]) -> Steps[list[bodies.UnsettledBody]]:
        found: list[bodies.UnsettledBody] = []
        for api in sorted(apis) if self._meter.settings.contract else ():
            book: Book = yield ReadBook(api)
            batches: tuple[Outgoing, ...] = ()
            if book.last > book.ended:
                batches = yield ListOutgoing(api, book.ended, _BATCHES)
            requests, wei, is_complete = yield from _in_no_batch(api)
            if batches or requests:
                of_batches = sum(line.amount_wei for each in batches for line in each.batch.lines)
                found.append(
                    bodies.UnsettledBody(
                        api=api,
                        batches=book.last - book.ended,
                        amount_wei=str(of_batches),
                        requests=requests,
                        requests_wei=str(wei),
                        is_complete=is_complete,
                    )
                )
        return found


def _in_no_batch(api: str) -> Steps[tuple[int, int, bool]]:
    """Requests that were charged and are in no batch that has ended; their sum; whether these are all."""
    begun: OpenCut | None = yield ReadCut(api)
    lines = () if begun is None else begun.batch.lines
    requests, wei = sum(line.calls for line in lines), sum(line.amount_wei for line in lines)
    after = ""
    for _ in range(0, _RECORDS, _PAGE):
        page: tuple[UsageLine, ...] = yield ListToSettle(api, after, _PAGE)
        requests, wei = requests + len(page), wei + sum(line.charged_wei for line in page)
        if len(page) < _PAGE:
            return requests, wei, True
        after = page[-1].record_id
    return requests, wei, False


def _refusals(today: int) -> Steps[bodies.RefusalsBody]:
    codes: Counter[str] = Counter()
    after, looked = "", 0
    while looked < _RECORDS:
        page: tuple[Record, ...] = yield ListRecords(
            since_ms=today * DAY_MS, after=after, limit=_PAGE, newest_first=True
        )
        codes.update(record.why for record in page if record.state == "refused")
        looked += len(page)
        if len(page) < _PAGE:
            return bodies.RefusalsBody(by_code=dict(codes), is_complete=True)
        after = page[-1].record_id
    return bodies.RefusalsBody(by_code=dict(codes), is_complete=False)


def _sums(of: list[Sums], api: str | None = None) -> bodies.UsageSums:
    counted_in = [each for each in of if api in (None, each.api)]
    return bodies.UsageSums(
        calls=sum(each.calls for each in counted_in),
        units=sum(each.units for each in counted_in),
        charged_wei=str(sum(each.charged_wei for each in counted_in)),
        uncollected_wei=str(sum(each.uncollected_wei for each in counted_in)),
    )
