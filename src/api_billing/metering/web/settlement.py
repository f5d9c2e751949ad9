"""The settlement of a response whose body a framework hands out piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredResponse, TextHeaders
from api_billing.metering.web.asgi_messages import settle_later

Fields = list[tuple[str, str]]


class Settlement:
    """Counts the pieces of a response's body, and settles once. Dropped without an end, nothing is charged."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._now_ms = exchange.metering.meter.now_ms
        self._status = 0
        self._headers: Fields = []
        self._started_ms = 0
        self._kept = bytearray() if exchange.keeps_body else None
        self._ended = False
        self.bodiless = False
        self.body_bytes = 0

    def started(self, status: int, headers: Fields, *, bodiless: bool = False) -> None:
        """The response has this status; ``bodiless``: its body, if it has one, is not sent."""
        self._status = status
        self._headers = headers
        self._started_ms = self._now_ms()
        self.bodiless = bodiless or status in (204, 304)

    def sent(self, piece: bytes) -> None:
        """A piece of the body goes out."""
        if self._ended or self.bodiless:
            return
        self.body_bytes += len(piece)
        if self._kept is not None and (room := self._exchange.keeps_body - len(self._kept)) > 0:
            self._kept += piece[:room]

    def response(self) -> MeteredResponse:
        """The response as far as it went."""
        return MeteredResponse(
            self._status,
            TextHeaders(self._headers),
            body_bytes=self.body_bytes,
            body=bytes(self._kept) if self._kept is not None else None,
            started_ms=self._started_ms,
            duration_ms=self._exchange.duration_ms(),
        )

    def finish(self) -> Fields:
        """Settle, the first time; the answer is header fields."""
        if self._ended:
            return []
        self._ended = True
        return self._exchange.finish(self.response())

    async def afinish(self) -> Fields:
        """The same in a coroutine."""
        if self._ended:
            return []
        self._ended = True
        return await self._exchange.afinish(self.response())

    def finish_later(self) -> None:
        """The same in a task of its own, for a coroutine that is being cancelled and must not wait."""
        if not self._ended:
            self._ended = True
            settle_later(self._exchange, self.response())

    def abort(self, error: BaseException | None) -> None:
        """Release, unless it is settled."""
        if self._ended:
            return
        self._ended = True
        self._exchange.abort(error)

    def close(self, *, served: bool) -> None:
        """Nothing more goes out. What was served is settled; a response that nobody has seen is not charged."""
        if served:
            self._exchange.is_whole = False
            self.finish()
        else:
            self.abort(None)

    def __del__(self) -> None:
        if not self._ended:
            # A store that is closed by now has nothing to release.
            with suppress(Exception):
                self.abort(None)


class MeteredPieces:
    """The body of a streamed response, counted on its way. The server, or the framework, closes it at the end.

    It is settled when ``length`` bytes have gone, as servers may not ask for more. ``source`` is closed with it.
    """

    def __init__(
        self, pieces: Iterator[bytes], settlement: Settlement, *, length: int | None = None, source: object = None
    ) -> None:
        self._pieces = pieces
        self._source = source
        self._settlement = settlement
        self._length = length
        self._taken = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._settlement.finish()
            raise
        except BaseException as error:
            self._settlement.abort(error)
            raise
        self._taken = True
        self._settlement.sent(piece)
        if self._length is not None and self._settlement.body_bytes >= self._length:
            self._settlement.finish()
        return piece

    def close(self) -> None:
        try:
            self._settlement.close(served=self._taken)
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
