"""Server-sent events of ours between those of an application: what it has cost, and that it waits for a voucher."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from api_billing.metering.request.http import Headers

RECEIPT: Final = "payment-receipt"
NEED_VOUCHER: Final = "payment-need-voucher"
_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST_END: Final = 4


def is_event_stream(headers: Headers) -> bool:
    """Whether events can be put between those of a body with these header fields."""
    kind = (headers.first("content-type") or "").partition(";")[0].strip().lower()
    encoding = headers.first("content-encoding") or "identity"
    return kind == "text/event-stream" and encoding == "identity" and headers.content_length() is None


class EventStream:
    """How far an application's events have gone out."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def passed(self, piece: bytes) -> None:
        """These bytes have gone out."""
        self._tail = (self._tail + piece[-_LONGEST_END:])[-_LONGEST_END:]

    @property
    def is_between(self) -> bool:
        """Whether an event of ours can stand here, as none of the application's has only half gone out."""
        return not self._tail or self._tail.endswith(_ENDS)

    def event(self, name: str, data: Mapping[str, Any]) -> bytes:
        """An event, which begins where the application's last one ends."""
        text = f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
        return text if self.is_between else b"\n\n" + text
