"""A response on its way to the client, whatever hands it out: ASGI messages, or a body piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import BODILESS, Headers, MeteredResponse, TextHeaders
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.prices import Watcher
from api_billing.metering.request.running import Gone
from api_billing.metering.web.event_stream import NEED_VOUCHER, RECEIPT, EventStream, is_event_stream


class StreamCut(OSError):
    """The response ends before this piece, which is not paid for. Raised to whoever sends it, as if the client had gone
    away: that is what ends streams everywhere.
    """


class NearerTerms(Exception):
    """Terms that stand nearer to the handler hold. Only for the record; never raised."""


EXCHANGE_KEY: Final = "api_billing.exchange"  # where a scope or environ has the exchange of its request

_NO_FIELDS: Final = TextHeaders(())
_settling: set[asyncio.Task[Any]] = set()  # asyncio itself keeps only weak references to tasks


def is_metered(by: Mapping[str, Any], metering: Metering) -> bool:
    """Whether a request is metered on these terms already, as its scope or environ has it.

    Other terms further out give way to these, which stand nearer to the handler: what was reserved on them is released.
    """
    outside: Exchange | None = by.get(EXCHANGE_KEY)
    if outside is None:
        return False
    if outside.metering is metering:
        return True
    outside.abort(NearerTerms())
    return False


class Delivery:
    """Counts the response's body, keeps as much of it as is wanted, and ends the exchange once.

    Dropped without an end, nothing is charged.
    """

    __slots__ = (
        "_events",
        "_headers",
        "_kept",
        "_watcher",
        "begun",
        "bodiless",
        "body_bytes",
        "cut",
        "ended",
        "exchange",
        "length",
        "started_ms",
        "status",
        "taken",
    )

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._headers: Headers = _NO_FIELDS
        self._events: EventStream | None = None  # where some of ours go between the application's
        self._kept = bytearray() if exchange.keeps_body else None
        self._watcher: Watcher | None = None  # of a price that wants to see the body
        self.started_ms = 0
        self.status = 0
        self.length: int | None = None  # as declared
        self.bodiless = False  # the body, if there is one, is not sent
        self.body_bytes = 0
        self.begun = False  # its header fields have gone out
        self.taken = False  # somebody got a piece of the body
        self.ended = False
        self.cut = False  # it ended before a piece that was not paid for

    def start(self, status: int, headers: Headers) -> None:
        """The response has this status and these header fields."""
        self.status = status
        self._headers = headers
        self.started_ms = self.exchange.metering.meter.now_ms()
        self.bodiless = status in BODILESS or status < 200 or self.exchange.request.method == "HEAD"
        self.length = headers.content_length()
        if (watch := self.exchange.metering.watch) is not None:
            self._watcher = watch(headers)
        if self.exchange.tells_in_events and is_event_stream(headers):
            self._events = EventStream()

    def count(self, piece: bytes) -> bool:
        """A piece of the body goes out. Whether that was all, as far as the response has declared it."""
        self.taken = self.begun = True
        if self.ended or self.bodiless:
            return True
        self.body_bytes += len(piece)
        if self._watcher is not None:
            self._watcher.see(piece)
        if self._kept is not None and (room := self.exchange.keeps_body - len(self._kept)) > 0:
            self._kept += piece[:room]
        return self.length is not None and self.body_bytes >= self.length

    def lose_body(self) -> None:
        """It cannot be seen from here: it is not kept."""
        self.taken = True
        self._kept = None

    # Before each piece of a stream, where the exchange is bounded: ``pays``, or the coroutine ``apays``. When that is
    # not so, ``need_voucher`` is an event to send; then once more, with ``waits``. Else ``cut_off``.

    def pays(self, piece: bytes, *, waits: bool = False) -> bool:
        """Whether a piece is paid for, so that it goes out. Waits for a voucher, when it is told to."""
        exchange, body_bytes = self.exchange, self.body_bytes + len(piece)
        paid = self._is_known or not exchange.outgrows(body_bytes) or exchange.cover(body_bytes, waits=waits)
        return self._passed(piece) if paid else False

    async def apays(self, piece: bytes, *, waits: bool = False, gone: Gone | None = None) -> bool:
        """The same in a coroutine, which does not wait on when the client is gone."""
        exchange, body_bytes = self.exchange, self.body_bytes + len(piece)
        paid = (
            self._is_known
            or not exchange.outgrows(body_bytes)
            or await exchange.acover(body_bytes, waits=waits, gone=gone)
        )
        return self._passed(piece) if paid else False

    @property
    def _is_known(self) -> bool:
        """Whether the response was complete when it began: what was paid for is the whole of it, and no part."""
        return self.bodiless or self.length is not None

    def _passed(self, piece: bytes) -> bool:
        if self._events is not None:
            self._events.passed(piece)
        return True

    def need_voucher(self) -> bytes:
        """The event that asks the client for a voucher; empty when it cannot be asked."""
        if self._events is None or not self._events.is_between:
            return b""
        needed = self.exchange.need_voucher()
        return self._events.event(NEED_VOUCHER, needed) if needed else b""

    def receipt_event(self) -> bytes:
        """The event at the end of a stream that is settled; or nothing."""
        if self._events is None:
            return b""
        receipt, stream = self.exchange.receipt(), self._events
        self._events = None
        return stream.event(RECEIPT, receipt) if receipt else b""

    def cut_off(self) -> None:
        """The response ends here, before a piece that is not paid for; it is to be finished."""
        self.cut = True
        self.exchange.cut("unpaid")

    def finish(self) -> Fields:
        """Settle, the first time; the answer is header fields."""
        if self.ended:
            return []
        self.ended = True
        return self.exchange.finish(self._response())

    def afinish(self) -> Coroutine[Any, Any, Fields]:
        """The same in a coroutine."""
        if self.ended:
            return _nothing()
        self.ended = True
        return self.exchange.afinish(self._response())

    def finish_later(self) -> None:
        """The same in a task of its own, for a coroutine that is being cancelled and must not wait: it is cut off."""
        if not self.ended:
            self.exchange.cut()
            # Begun at once: frameworks that clean up after a failed request would release it meanwhile.
            task = asyncio.Task(self.afinish(), loop=asyncio.get_running_loop(), eager_start=True)
            _settling.add(task)
            task.add_done_callback(_settling.discard)

    def abort(self, error: BaseException | None = None) -> None:
        """Release, unless it is settled."""
        if not self.ended:
            self.ended = True
            self.exchange.abort(error, begun=self.begun)

    def close(self) -> None:
        """Nothing more goes out. What was served is settled; a response that nobody has seen is not charged."""
        if self.taken:
            self.exchange.cut()
            self.finish()
        else:
            self.abort()

    def _response(self) -> MeteredResponse:
        """The response as far as it went."""
        return MeteredResponse(
            self.status,
            self._headers,
            body_bytes=self.body_bytes,
            body=bytes(self._kept) if self._kept is not None else None,
            started_ms=self.started_ms,
            duration_ms=self.exchange.duration_ms(),
            watcher=self._watcher,
        )

    def __del__(self) -> None:
        if not self.ended:
            # A store that is closed by now has nothing to release.
            with suppress(Exception):
                self.abort()


async def _nothing() -> Fields:
    return []


def metered_pieces(pieces: Iterator[bytes], delivery: Delivery, source: object = None) -> MeteredPieces:
    """The body of a streamed response, counted on its way, and paid for where it has to be."""
    kind = _PaidPieces if delivery.exchange.is_bounded else MeteredPieces
    return kind(pieces, delivery, source)


class MeteredPieces:
    """The body of a streamed response, counted on its way. The server, or the framework, closes it at the end.

    It is settled when all that was declared has gone, as servers may not ask for more. ``source`` is closed with it.
    """

    def __init__(self, pieces: Iterator[bytes], delivery: Delivery, source: object) -> None:
        self._pieces = pieces
        self._source = source
        self._delivery = delivery

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._delivery.finish()
            raise
        except BaseException as error:
            self._delivery.abort(error)
            raise
        if self._delivery.count(piece):
            self._delivery.finish()
        return piece

    def close(self) -> None:
        try:
            self._delivery.close()
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()


class _PaidPieces(MeteredPieces):
    """The same where each piece is paid for before it goes out, with events of ours between them."""

    def __init__(self, pieces: Iterator[bytes], delivery: Delivery, source: object) -> None:
        super().__init__(pieces, delivery, source)
        self._all = self._paid()

    def __next__(self) -> bytes:
        return next(self._all)

    def _paid(self) -> Iterator[bytes]:
        delivery = self._delivery
        try:
            for piece in self._pieces:
                if not delivery.pays(piece):
                    if event := delivery.need_voucher():
                        yield event
                    if not (event and delivery.pays(piece, waits=True)):
                        delivery.cut_off()
                        break
                if delivery.count(piece):
                    delivery.finish()
                yield piece
        except GeneratorExit:
            raise  # ``close`` sees to it
        except BaseException as error:
            delivery.abort(error)
            raise
        delivery.finish()
        if event := delivery.receipt_event():
            yield event
