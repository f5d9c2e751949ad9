"""What the meter asks a store of sessions, beside reserving. As in ``operations``, each is one atomic step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.vouchers import BySession, ChannelSums, SessionState
from api_billing.results import ChannelState


@dataclass(frozen=True, slots=True)
class PutVoucher(Operation["PutReply"]):
    """Keep a voucher that was verified, for requests to come; one that is lower than what is signed changes little, and
    a public one nothing.
    """

    account: str
    voucher: BySession


class NotPut(NamedTuple):
    """Nothing was done: ``no_session``, ``too_many_channels`` or ``session_closing``; ``voucher_required`` where a
    higher one than ``channel`` has posted was needed.
    """

    code: str
    channel: ChannelSums | None = None


PutReply = ChannelSums | NotPut


@dataclass(frozen=True, slots=True)
class SeeChannel(Operation[None]):
    """The contract has signed and billed so much of a channel: the store is at least as far, also one that has lost
    what it had.
    """

    account: str
    channel: ChannelState


@dataclass(frozen=True, slots=True)
class ReadSession(Operation[SessionState | None]):
    """An account's session, the last that the chain had; None when it never had one."""

    account: str


@dataclass(frozen=True, slots=True)
class CloseSession(Operation[SessionState | None]):
    """Serve nothing more in a session; the batch that nothing of it is left after closes it on the chain.

    The second time nothing changes. Nor is it closing when all of it was in batches before, or what was being served
    has cost nothing, as there is no entry that could do it.
    """

    account: str


@dataclass(frozen=True, slots=True)
class CloseByVoucher(Operation[SessionState | NotPut]):
    """``PutVoucher`` and ``CloseSession`` in one: whoever asks for it has a voucher that is not public."""

    account: str
    voucher: BySession
