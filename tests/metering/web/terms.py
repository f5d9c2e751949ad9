"""What all applications of these tests have in common: a meter, terms, bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from api_billing.metering.identity.extractors import from_header
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.request.prices import by_response_size

CONSUMER = {"X-Consumer": "ann"}
BASE_WEI = 10
ESTIMATE_WEI = 500
CREDIT_WEI = 10_000
# One wei for each byte, so that a cost tells how many bytes were counted.
TERMS: dict[str, Any] = {
    "api": "demo",
    "estimate_wei": ESTIMATE_WEI,
    "price": by_response_size(BASE_WEI, 1024),
}
PLAIN = b'{"ok":true}'
CHUNKS = [b"one-", b"two-", b"three"]
EVENTS = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]
EVENT_STREAM = "text/event-stream"
OWN_FIELDS = {"Cache-Control": "public, max-age=60", "Access-Control-Expose-Headers": "X-Own"}
OWN_COST_WEI = 7
MORE_WEI = 100


class Boom(Exception):
    """What a handler raises."""


def open_meter(url: str = "memory://", *, credit_wei: int = CREDIT_WEI, **settings: Any) -> Meter:
    """A meter that believes a header, with one consumer who has credit."""
    meter = Meter.open(url, identify=from_header("X-Consumer"), **settings)
    meter.add_consumer("ann", tier="enterprise")
    if credit_wei:
        meter.grant("ann", credit_wei, grant_id="first")
    return meter


def chunks(torn: bool) -> Iterator[bytes]:
    """A body in pieces, which breaks off in the middle when it is torn."""
    for index, chunk in enumerate(CHUNKS):
        if torn and index == len(CHUNKS) - 1:
            raise Boom("in the middle")
        yield chunk


def growing() -> Iterator[bytes]:
    """A body whose application finds out piece by piece what it costs beside its price."""
    exchange = current_exchange()
    assert exchange is not None

    def found_out(chunk: bytes) -> bytes:
        exchange.extend(MORE_WEI)
        return chunk

    return map(found_out, CHUNKS)


def same[T: Callable[..., Any]](handler: T) -> T:
    """The decorator of applications that are metered from outside."""
    return handler
