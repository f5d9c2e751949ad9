"""The way out when somebody else has settled under the sequence that a batch is posted under: a person's decision."""

from __future__ import annotations

from api_billing.errors import ContractRejected
from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.settlement_operations import IN_FLIGHT, NextOutgoing, Outgoing, Posting, Renumber
from api_billing.metering.settlement.chain import SettlementChain, parts_of
from api_billing.metering.stores.steps import Blocking, Steps
from api_billing.results import SettlementState


class NotForeign(MeterError):
    """Nothing is in the way of the next batch, or it cannot be told: the message says why."""


def renumber(chain: SettlementChain, api: str) -> Steps[Posting]:
    """Have the next batch of an API posted under the contract's next sequence, as its own is somebody else's.

    Reads the contract first: a batch that is there under its sequence, or may still get there, keeps it.
    Raises: NotForeign, NetworkError, StoreUnavailable.
    """
    outgoing: Outgoing | None = yield NextOutgoing(api)
    if outgoing is None or outgoing.posting.state not in IN_FLIGHT:
        raise NotForeign(f"no batch of {api} is on its way to the contract")
    batch, posting = outgoing
    sequence = posting.chain_sequence
    try:
        taken: SettlementState = yield Blocking(lambda: chain.get_settlement(api, sequence))
    except ContractRejected as error:
        raise NotForeign(f"what the contract has under sequence {sequence} of {api} cannot be told: {error}") from error
    if parts_of(batch, taken.settlement) is not None:
        raise NotForeign(f"sequence {sequence} of {api} is batch {batch.sequence}: settle, and it is recorded")
    moved: Posting | None = yield Renumber(api, batch.sequence, sequence, taken.next_sequence)
    if moved is None:
        raise NotForeign(f"batch {batch.sequence} of {api} changed meanwhile: look again")
    return moved
