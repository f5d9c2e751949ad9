"""Sessions as a store sees them: what of a channel was signed, charged and reserved, and what pays for a request.

A session is a hold whose requests are billed by vouchers: each is signed for all that may be billed from its channel
since that began. So a channel is one more bound beside the account's credit:
``charged + reserved <= signed``, and the highest voucher that is kept is for ``signed``.

A voucher that was written into a batch is public from then on, as it goes to the chain. Whoever shows it proves nothing
with it: a channel serves again when more is signed than was posted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_CHANNELS: Final = 16  # of a session: as many as the contract bills
MAX_KEPT: Final = 16  # vouchers of a channel


class BySession(NamedTuple):
    """What pays for a request in a session: whose signature (``signer``), and the voucher that the request came with.

    Without a channel it came with none, and any channel of the session pays that more was signed for before: where a
    meter takes payments such a request does not get as far as the store, unless it costs nothing.
    With ``exact`` nothing else may be reserved in the channel, and the voucher is for neither less nor more than
    ``ChannelSums.required_wei`` of the estimate (of 1 wei, where that is 0): the rule of x402.
    """

    signer: str
    channel_id: str = ""
    salt: str = ""
    cumulative_wei: int = 0
    signature: str = ""
    exact: bool = False


class ChannelSums(NamedTuple):
    """A channel's sums, in wei, since it began. None of them ever falls but ``reserved_wei``."""

    channel_id: str
    salt: str = ""
    signed_wei: int = 0  # by the highest voucher
    charged_wei: int = 0  # what served requests have cost
    reserved_wei: int = 0  # set aside for requests being served
    posted_wei: int = 0  # the highest voucher that is public
    batched_wei: int = 0  # of what was charged, what is in a batch
    signature: str = ""  # of a voucher for ``signed_wei``: only in what an exact one is refused with

    @property
    def is_open(self) -> bool:
        """Whether it serves at all: more is signed than is public."""
        return self.signed_wei > self.posted_wei

    @property
    def free_wei(self) -> int:
        """What is signed and neither charged nor set aside."""
        return self.signed_wei - self.charged_wei - self.reserved_wei

    def is_anybodys(self, cumulative_wei: int) -> bool:
        """Whether a voucher for so much may be public: the last that was posted, or one before it, which was for less
        than is in batches, as another is posted only when that is not enough.
        """
        return cumulative_wei <= self.batched_wei or cumulative_wei == self.posted_wei

    def told_to(self, cumulative_wei: int) -> ChannelSums:
        """What is told to whoever came with a voucher for so much, and is refused: of one that anybody can have, only
        what is public.
        """
        if not self.is_anybodys(cumulative_wei):
            return self
        return self._replace(signed_wei=self.posted_wei, charged_wei=self.batched_wei, reserved_wei=0)

    def required_wei(self, estimate_wei: int) -> int:
        """The least sum that a voucher has to be for, so that a request of this estimate is served."""
        return max(self.charged_wei + self.reserved_wei + estimate_wei, self.posted_wei + 1)


class SessionState(NamedTuple):
    """A session: its signer, its channels, the newest first, and whether it is being closed."""

    signer: str
    channels: tuple[ChannelSums, ...] = ()
    is_closing: bool = False
