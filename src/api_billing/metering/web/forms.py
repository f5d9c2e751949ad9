"""A form that a framework has parsed, as bytes again: to tell whether two requests are the same.

The body itself is gone by then, and the boundary that a client chose for it is of no interest.
"""

from __future__ import annotations

from collections.abc import Iterable

from api_billing.metering.request.http import BodyTooLarge


def form_bytes(pieces: Iterable[str | bytes], limit: int) -> bytes:
    """Names and values in their order, each with its length. Raises: BodyTooLarge, when they are longer than the
    limit.
    """
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        raw = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass")
        size += len(raw)
        if size > limit:
            raise BodyTooLarge
        parts.append(b"%d:" % len(raw) + raw)
    return b"".join(parts)
