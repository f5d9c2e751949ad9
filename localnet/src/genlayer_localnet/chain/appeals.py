"""Appeals: a decision is voted on again by more validators, and taken back where they do not share it.

Against an accepted transaction as many validators as voted, and two more, judge the leader's results. When most agree
the transaction stays as it is. Otherwise, and where a transaction was not accepted at all, it is taken back and run
again in its old place, with all these voters and new leaders.

With a transaction everything is taken back that rests on it: its messages, what looked at an account that it changed,
and what paid with money that came of it. Nothing of that can be final: see ``Chain.finalize``. All runs again in the
order of the first decisions. Messages that are the same again keep their place, others are cancelled or come last. With
``first_children="stay"`` messages are no part of it: they stay as they were, and the new run sends its own beside them.

Where a transaction pays fees an appeal puts down a bond, and adds to the deposit what the rounds it leads to want. When
that is final the bond comes back, with half of it on top, if the appeal has succeeded; else it is a fee.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime

from genlayer_localnet.chain.chain import Chain
from genlayer_localnet.chain.fees import appeal_fees, bond_for, committee
from genlayer_localnet.errors import FeesRefused, NotAppealable
from genlayer_localnet.state.fees import Bond
from genlayer_localnet.state.journal import Journal, roll_back
from genlayer_localnet.state.results import TIMEOUT
from genlayer_localnet.state.transactions import Outcome, Transaction
from genlayer_localnet.state.voting import APPEALS, VotingRound, appeal_name, appeals_up_to, is_majority, more_voters


@dataclass(frozen=True, slots=True)
class AppealCharge:
    """What an appeal against the present decision has to pay; nothing where the transaction pays no fees."""

    decision_id: int
    """Which decision of the transaction it is, from 1."""
    bond: int
    funding: int
    """What the deposit does not cover of the rounds it leads to."""
    deadline: datetime
    """When the transaction is final."""

    @property
    def total(self) -> int:
        return self.bond + self.funding


def appeal_charge(chain: Chain, transaction: Transaction) -> AppealCharge:
    """Raises: NotAppealable."""
    if transaction.status not in APPEALS:
        raise NotAppealable(f"a transaction that is {transaction.status} cannot be appealed")
    if transaction.kind not in ("call", "deploy"):
        raise NotAppealable(f"a {transaction.kind} is not voted on")
    assert transaction.decided_at is not None
    bond, funding, fees = 0, 0, transaction.fees
    if fees is not None and fees.policy is not None:
        appeals, is_voted = appeals_up_to(transaction.rounds, None), transaction.status == "accepted"
        bond = bond_for(fees.distribution, appeals, fees.policy)
        wanted = appeal_fees(fees.distribution, appeals, fees.policy, is_voted=is_voted) + Bond(b"", bond).reward
        funding = max(wanted - fees.left_for_rounds, 0)
    deadline = transaction.decided_at + chain.settings.finality_window
    return AppealCharge(transaction.decisions, bond, funding, deadline)


def appeal(chain: Chain, transaction: Transaction, *, appellant: bytes | None = None, paid: int = 0) -> None:
    """Decide a transaction again. What has to run again waits for ``run_pending``.

    ``paid``: at least what ``appeal_charge`` says; more is added to the deposit. Where that is nothing, none is taken.
    Raises: NotAppealable, FeesRefused, InsufficientFunds.
    """
    charge = appeal_charge(chain, transaction)
    undone = _resting_on(chain, transaction)
    _check_codes(chain, undone)
    with _paid(chain, transaction, charge, appellant, paid):
        is_voted = transaction.status == "accepted"
        round_ = _voted_again(chain, transaction) if is_voted else None
    transaction.appealed_at = chain.world.now
    if round_ is not None:
        transaction.rounds.append(round_)
        chain.decide_bonds(transaction, won=not round_.name.endswith("Failed"))
    if round_ is None or not round_.name.endswith("Failed"):
        _run_again(chain, transaction, undone)
    else:
        transaction.decisions += 1
    chain.changed(transaction)


@contextmanager
def _paid(
    chain: Chain, transaction: Transaction, charge: AppealCharge, appellant: bytes | None, paid: int
) -> Iterator[None]:
    """Context manager: with bond and funding taken, which come back where an exception ends it."""
    fees = transaction.fees
    if fees is None or not charge.total:
        yield
        return
    if appellant is None or paid < charge.total:
        raise FeesRefused("InsufficientFees", f"the appeal pays {paid} wei, and {charge.total} at least are wanted")
    before = copy(fees)
    chain.take_for_good(appellant, paid)
    fees.bonds = (*fees.bonds, Bond(appellant, charge.bond))
    chain.add_to_deposit(transaction, appellant, paid - charge.bond)
    try:
        yield
    except BaseException:
        transaction.fees = before
        chain.fund(appellant, paid)
        raise


def _voted_again(chain: Chain, transaction: Transaction) -> VotingRound:
    """What new validators say to the leader's results; the world is as it was before the transaction for that time."""
    if not any(round_.votes for round_ in transaction.rounds):  # no code ran: there is nothing to disagree with
        return VotingRound(0, {}, appeal_name("Validator", successful=False))
    last = transaction.rounds[-1]
    known = max(last.votes) + 1
    newcomers = range(known, max(more_voters(known), known + 1))
    journal: Journal = []
    with chain.world.before(transaction):
        try:
            outcome, votes = chain.replay(transaction, journal, last.leader, newcomers)
        finally:
            roll_back(journal)
    meter = chain.meter(transaction, committee(2 * appeals_up_to(transaction.rounds, None) + 1))
    if meter is not None:
        meter.count()
        meter.charge()
    assert transaction.outcome is not None
    if outcome.result == TIMEOUT != transaction.outcome.result:
        votes = dict.fromkeys(votes, "timeout")
    elif not transaction.outcome.saw_final_state and not _same(outcome, transaction.outcome):
        votes = dict.fromkeys(votes, "disagree")
    name = appeal_name("Validator", successful=not is_majority(votes))
    return VotingRound(last.leader, {**last.votes, **votes}, name)


def _same(outcome: Outcome, first: Outcome) -> bool:
    """Whether deterministic code did what it did the first time."""
    return (outcome.result, outcome.events, outcome.messages, outcome.eq_outputs) == (
        first.result,
        first.events,
        first.messages,
        first.eq_outputs,
    )


def _resting_on(chain: Chain, transaction: Transaction) -> list[Transaction]:
    """The transaction and what rests on it, in the order of decision."""
    found, unfinalized = [transaction], chain.world.unfinalized
    as_message = chain.settings.first_children == "undone"
    for later in list(unfinalized)[unfinalized.index(transaction) + 1 :]:
        if any(later.rests_on(earlier, as_message=as_message) for earlier in found):
            found.append(later)
    return found


def _check_codes(chain: Chain, undone: list[Transaction]) -> None:
    """New code for a contract holds for what is not final as well, and the old one is gone. Raises: NotAppealable."""
    for later in chain.world.blocks[undone[0].block :]:
        upgrade = chain.world.transactions[later]
        if upgrade.kind == "upgrade" and any(one.looked_at(upgrade.to) for one in undone):
            raise NotAppealable(f"contract 0x{upgrade.to.hex()}, which it ran or looked at, has new code since")


def _run_again(chain: Chain, transaction: Transaction, undone: list[Transaction]) -> None:
    world = chain.world
    changed = frozenset[bytes]().union(*(one.changes for one in undone))
    for one in reversed(undone):
        chain.undo(one)
        if one is not transaction:
            one.rounds.clear()
    if chain.settings.first_children == "undone":
        # What was sent since is paid again in its turn, where what paid for it is in question.
        for later in (*undone[1:], *world.pending):
            if later.pays and later.sender in changed:
                chain.changed(later)
                roll_back(later.journal)
    world.pending.extendleft(reversed(undone))
