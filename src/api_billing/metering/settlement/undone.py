"""Finds settlements that were recorded and are not on the chain any more, or not as they were.

Writes are followed until they are accepted, and until it is final an appeal can undo an accepted transaction, and with
it what rests on it: then the contract lacks the sequence, or was run again and has billed something else.
"""

from __future__ import annotations

from api_billing.errors import BillingError
from api_billing.metering.ledger.settlement_operations import Book, ListOutgoing, Outgoing, ReadBook
from api_billing.metering.settlement.chain import SettlementChain, parts_of
from api_billing.metering.stores.steps import Blocking, Steps
from api_billing.results import Settlement, SettlementState


def find_undone(chain: SettlementChain, api: str, *, thorough: bool = False) -> Steps[int]:
    """The first sequence on the chain whose recorded end is not what the contract has now; 0 when all is well.

    Looks at the last one, and at all that the contract keeps when that differs: one read of the chain when all is well.
    ``thorough`` looks at all of them in any case, as an earlier one may have another end and the last one not. What
    cannot be read now is left for the next round. Raises: StoreUnavailable.
    """
    book: Book = yield ReadBook(api)
    if not book.ended or book.contract != chain.contract.lower():
        return 0
    undone = 0
    try:
        state: SettlementState = yield Blocking(lambda: chain.get_settlement(api, 0))
        for sequence in range(book.ended, 0, -1):
            found: tuple[Outgoing, ...] = yield ListOutgoing(api, sequence - 1, 1)
            posted_under = found[0].posting.chain_sequence
            if not posted_under:
                continue  # it has nobody in it who is on chain
            if posted_under < state.next_sequence:
                settlement = yield from _settlement(chain, api, posted_under, state)
                if _is_recorded(found[0], settlement):
                    if thorough or undone:
                        continue
                    break
            undone = posted_under
    except BillingError:
        # Unreachable, or so old that the contract has forgotten it. What was found so far is true.
        return undone
    return undone


def _settlement(chain: SettlementChain, api: str, sequence: int, state: SettlementState) -> Steps[Settlement | None]:
    if state.settlement is not None and state.settlement.sequence == sequence:
        return state.settlement
    earlier: SettlementState = yield Blocking(lambda: chain.get_settlement(api, sequence))
    return earlier.settlement


def _is_recorded(outgoing: Outgoing, settlement: Settlement | None) -> bool:
    parts = parts_of(outgoing.batch, settlement)
    if parts is None:
        return False
    recorded = outgoing.posting.parts
    return [part[:3] for part in parts] == [part[:3] for part in recorded]
