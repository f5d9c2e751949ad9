"""A response on its way to the client, whatever hands it out: ASGI messages, or a body piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any, Final

from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import BODILESS, Headers, MeteredResponse, TextHeaders

EXCHANGE_KEY: Final = "api_billing.exchange"  # where a scope or environ has the exchange of its request

_NO_FIELDS: Final = TextHeaders(())
_settling: set[asyncio.Task[Any]] = set()  # asyncio itself keeps only weak references to tasks


class Delivery:
    """Counts the response's body, keeps as much of it as is wanted, and ends the exchange once.

    Dropped without an end, nothing is charged.
    """

    __slots__ = (
        "_headers",
        "_kept",
        "bodiless",
        "body_bytes",
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
        self._kept = bytearray() if exchange.keeps_body else None
        self.started_ms = 0
        self.status = 0
        self.length: int | None = None  # as declared
        self.bodiless = False  # the body, if there is one, is not sent
        self.body_bytes = 0
        self.taken = False  # somebody got a piece of the body
        self.ended = False

    def start(self, status: int, headers: Headers) -> None:
        """The response has this status and these header fields."""
        self.status = status
        self._headers = headers
        self.started_ms = self.exchange.metering.meter.now_ms()
        self.bodiless = status in BODILESS or status < 200 or self.exchange.request.method == "HEAD"
        self.length = headers.content_length()

    def count(self, piece: bytes) -> bool:
        """A piece of the body goes out. Whether that was all, as far as the response has declared it."""
        self.taken = True
        if self.ended or self.bodiless:
            return True
        self.body_bytes += len(piece)
        if self._kept is not None and (room := self.exchange.keeps_body - len(self._kept)) > 0:
            self._kept += piece[:room]
        return self.length is not None and self.body_bytes >= self.length

    def lose_body(self) -> None:
        """It cannot be seen from here: it is not kept."""
        self.taken = True
        self._kept = None

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
            self.exchange.is_whole = False
            # Begun at once: frameworks that clean up after a failed request would release it meanwhile.
            task = asyncio.Task(self.afinish(), loop=asyncio.get_running_loop(), eager_start=True)
            _settling.add(task)
            task.add_done_callback(_settling.discard)

    def abort(self, error: BaseException | None = None) -> None:
        """Release, unless it is settled."""
        if not self.ended:
            self.ended = True
            self.exchange.abort(error)

    def close(self) -> None:
        """Nothing more goes out. What was served is settled; a response that nobody has seen is not charged."""
        if self.taken:
            self.exchange.is_whole = False
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
        )

    def __del__(self) -> None:
        if not self.ended:
            # A store that is closed by now has nothing to release.
            with suppress(Exception):
                self.abort()


async def _nothing() -> Fields:
    return []


class MeteredPieces:
    """The body of a streamed response, counted on its way. The server, or the framework, closes it at the end.

    It is settled when all that was declared has gone, as servers may not ask for more. ``source`` is closed with it.
    """

    def __init__(self, pieces: Iterator[bytes], delivery: Delivery, source: object = None) -> None:
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
