"""Sessions for tests of stores, which do not look at signatures: vouchers of made-up ones."""

from __future__ import annotations

from typing import Any

from api_billing.metering.ledger.operations import Reserve
from api_billing.metering.ledger.session_operations import CloseSession, PutVoucher, ReadSession
from api_billing.metering.ledger.settlement_operations import NEVER_READ, ReadCredit, SetGranted
from api_billing.metering.ledger.vouchers import BySession, ChannelSums, SessionState
from api_billing.results import ChannelState

SIGNER = "0x" + "5e" * 20


def channel_id(number: int = 1) -> str:
    return f"0x{number:064x}"


def voucher(cumulative_wei: int, number: int = 1, signer: str = SIGNER, *, exact: bool = False) -> BySession:
    """For so much, in the channel of a number."""
    channel = channel_id(number)
    return BySession(signer, channel, channel, cumulative_wei, f"0x{cumulative_wei:0130x}", exact)


BY_KEY = BySession(SIGNER)


class SessionDesk:
    """A desk's account with a session: ``granted_wei`` on hold, and what the chain has of its channels."""

    def __init__(self, desk: Any, granted_wei: int = 1000, *on_chain: ChannelState, signer: str = SIGNER) -> None:
        self.desk = desk
        self.see(granted_wei, *on_chain, signer=signer)

    def see(self, granted_wei: int, *on_chain: ChannelState, signer: str = SIGNER, **changes: Any) -> Any:
        credit = self.desk.call(ReadCredit(self.desk.account))
        terms = NEVER_READ._replace(read_ms=1, hold_wei=granted_wei, signer=signer, **changes)
        grant = credit.revision, credit.accounted_wei, granted_wei, granted_wei, terms
        return self.desk.call(SetGranted(self.desk.account, *grant, on_chain))

    def reserve(self, estimate_wei: int, by: BySession, **changes: Any) -> Any:
        """The reply."""
        return self.desk.reserve(estimate_wei, session=by, **changes)[1]

    def reserve_op(self, estimate_wei: int, by: BySession, **changes: Any) -> Reserve:
        made: Reserve = self.desk.reserve_op(estimate_wei, session=by, **changes)
        return made

    def served(self, estimate_wei: int, by: BySession, cost_wei: int | None = None, **changes: Any) -> str:
        """A request that was reserved and settled; its id."""
        reservation_id, reply = self.desk.reserve(estimate_wei, session=by, **changes)
        assert type(reply).__name__ == "Reserved", reply
        self.desk.settle(reservation_id, estimate_wei if cost_wei is None else cost_wei)
        return str(reservation_id)

    def put(self, by: BySession) -> Any:
        return self.desk.call(PutVoucher(self.desk.account, by))

    def state(self) -> SessionState:
        found = self.desk.call(ReadSession(self.desk.account))
        assert isinstance(found, SessionState)
        return found

    def close(self) -> SessionState | None:
        closed: SessionState | None = self.desk.call(CloseSession(self.desk.account))
        return closed

    def channel(self, number: int = 1) -> ChannelSums:
        return next(each for each in self.state().channels if each.channel_id == channel_id(number))

    def sums(self, number: int = 1) -> tuple[int, ...]:
        """Signed, charged, reserved, posted."""
        return self.channel(number)[2:6]
