"""The canonical bytes of one settled request: what a batch's Merkle root is made of."""

from __future__ import annotations

import json
from typing import NamedTuple

from api_billing.merkle import leaf_hash
from api_billing.metering.clock import DAY_MS


class UsageLine(NamedTuple):
    """What a batch says of one request. The day is the one it was reserved on. ``channel`` is how it is paid, and not
    said: the batch's entry tells.
    """

    record_id: str
    api: str
    account: str
    consumer: str
    at_ms: int
    units: int
    charged_wei: int
    channel: str = ""

    @property
    def day(self) -> int:
        """Days since 1970-01-01, UTC."""
        return self.at_ms // DAY_MS

    def said(self) -> list[str | int]:
        """What is said of it."""
        return [*self[:6], str(self.charged_wei)]

    def to_bytes(self) -> bytes:
        """A JSON array without spaces, UTF-8, the amount as a decimal string: the same bytes in every language."""
        return json.dumps(self.said(), separators=(",", ":"), ensure_ascii=False).encode()

    def leaf(self) -> bytes:
        """The 32 bytes that stand for this line in its batch's Merkle tree."""
        return leaf_hash(self.to_bytes())
