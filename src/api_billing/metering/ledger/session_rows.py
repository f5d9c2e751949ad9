"""The rows of sessions: channels, which stay for ever, and which of them an account's session has."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api_billing.metering.ledger.kinds import Key, Row, Values, kind_of
from api_billing.metering.ledger.vouchers import MAX_KEPT, ChannelSums
from api_billing.vouchers import Voucher


@dataclass(slots=True, eq=False)
class ChannelRow(Row):
    """The sums of a channel, and the vouchers that may be posted yet: (sum, signature), from the lowest on."""

    channel_id: str
    account: str
    salt: str = ""
    signed_wei: int = 0
    charged_wei: int = 0
    reserved_wei: int = 0
    posted_wei: int = 0
    batched_wei: int = 0
    vouchers: list[tuple[int, str]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return (self.channel_id,)

    @property
    def sums(self) -> ChannelSums:
        """The sums to hand out."""
        return ChannelSums(
            self.channel_id, self.salt, self.signed_wei, self.charged_wei, self.reserved_wei, self.posted_wei,
            self.batched_wei,
        )  # fmt: skip

    def shown(self, cumulative_wei: int) -> ChannelSums:
        """The sums that are told to whoever came with a voucher for so much, and the highest one that may be shown: a
        public one, when that was.
        """
        bound_wei = self.signed_wei if cumulative_wei > self.posted_wei else self.posted_wei
        kept = next(((wei, signature) for wei, signature in reversed(self.vouchers) if wei <= bound_wei), None)
        told = self.sums.told_to(cumulative_wei)
        return told if kept is None else told._replace(signed_wei=kept[0], signature=kept[1])

    def values(self) -> Values:
        sums = self.signed_wei, self.charged_wei, self.reserved_wei, self.posted_wei, self.batched_wei
        kept = json.dumps([[str(wei), signature] for wei, signature in self.vouchers], separators=(",", ":"))
        return (self.channel_id, self.account, self.salt, *map(str, sums), kept)

    @classmethod
    def make(cls, values: Sequence[Any]) -> ChannelRow:
        """The channel of such values."""
        channel_id, account, salt, signed, charged, reserved, posted, batched, kept = values
        vouchers = [(int(wei), signature) for wei, signature in json.loads(kept)]
        sums = int(signed), int(charged), int(reserved), int(posted), int(batched)
        return cls(channel_id, account, salt, *sums, vouchers)

    def sign(self, salt: str, cumulative_wei: int, signature: str) -> None:
        """Keep a voucher, unless it is public, or one for this sum is kept. In whatever order they come."""
        self.salt = salt
        if cumulative_wei <= self.posted_wei or any(wei == cumulative_wei for wei, _ in self.vouchers):
            return
        insort(self.vouchers, (cumulative_wei, signature))
        self.signed_wei = max(self.signed_wei, cumulative_wei)
        self._forget_covered()
        if len(self.vouchers) > MAX_KEPT:
            del self.vouchers[-2]  # what it would have covered, the highest does, too

    def charge(self, held_wei: int, charged_wei: int) -> None:
        """What was set aside for a request has become what it cost."""
        self.reserved_wei -= held_wei
        self.charged_wei += charged_wei
        self._forget_covered()

    def post(self, amount_wei: int) -> Voucher | None:
        """So much more of what was charged is in a batch; the voucher that goes with it, and is public from now on."""
        self.batched_wei += amount_wei
        if not self.vouchers:
            return None  # never, unless the contract has billed more than was charged here
        cumulative_wei, signature = self.vouchers[0]
        self.posted_wei = max(self.posted_wei, cumulative_wei)
        return Voucher(self.salt, cumulative_wei, signature)

    def _forget_covered(self) -> None:
        """A batch needs one that covers all that was charged: the lowest of those that do is posted."""
        while self.vouchers and self.vouchers[0][0] < self.charged_wei:
            del self.vouchers[0]


@dataclass(slots=True, eq=False)
class SessionRow(Row):
    """The session of an account: its signer, ids of its channels, the newest first, and how far its closing is."""

    account: str
    signer: str
    channels: list[str] = field(default_factory=list)
    closing: int = 0

    @property
    def key(self) -> Key:
        return (self.account,)

    def values(self) -> Values:
        return (self.account, self.signer, json.dumps(self.channels, separators=(",", ":")), self.closing)

    @classmethod
    def make(cls, values: Sequence[Any]) -> SessionRow:
        """The session of such values."""
        account, signer, channels, closing = values
        return cls(account, signer, json.loads(channels), closing)


CHANNELS: Final = kind_of(
    ChannelRow,
    "channels",
    "channel_id:name",
    "account:name",
    "salt:text signed_wei:wei charged_wei:wei reserved_wei:wei posted_wei:wei batched_wei:wei vouchers:text",
)
SESSIONS: Final = kind_of(SessionRow, "sessions", "account:name", "", "signer:text channels:text closing:int")
