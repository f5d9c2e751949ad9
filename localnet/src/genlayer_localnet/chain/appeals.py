"""Appeals: a decision is voted on again by more validators, and taken back where they do not share it.

Against an accepted transaction as many validators as voted, and two more, judge the leader's results. When most agree
the transaction stays as it is. Otherwise, and where a transaction was not accepted at all, it is taken back and run
again in its old place, with all these voters and new leaders.

With a transaction everything goes that may rest on it: what is not final of its contract and of those that it sent
messages to. Transactions of users run again in their order; messages are cancelled, and sent again by their senders.
"""

from __future__ import annotations

from genlayer_localnet.chain.chain import Chain
from genlayer_localnet.errors import NotAppealable
from genlayer_localnet.state.journal import Journal, roll_back
from genlayer_localnet.state.results import TIMEOUT
from genlayer_localnet.state.transactions import Outcome, Transaction
from genlayer_localnet.state.voting import APPEALS, VotingRound, appeal_name, is_majority, more_voters


def appeal(chain: Chain, transaction: Transaction) -> None:
    """Decide a transaction again. What has to run again waits for ``run_pending``. Raises: NotAppealable."""
    if transaction.status not in APPEALS:
        raise NotAppealable(f"a transaction that is {transaction.status} cannot be appealed")
    if transaction.kind not in ("call", "deploy"):
        raise NotAppealable(f"a {transaction.kind} is not voted on")
    if transaction.status == "accepted":
        round_ = _voted_again(chain, transaction)
        if not round_.name.endswith("Failed"):
            _check_can_be_undone(chain, transaction)
        transaction.rounds.append(round_)
        successful = not round_.name.endswith("Failed")
    else:
        _check_can_be_undone(chain, transaction)
        successful = True
    transaction.appealed_at = chain.world.now
    if successful:
        _run_again(chain, transaction)
    chain.changed(transaction)


def _voted_again(chain: Chain, transaction: Transaction) -> VotingRound:
    """What new validators say to the leader's results; the world is as it was before the transaction for that time."""
    if not transaction.rounds:  # no code ran: there is nothing to disagree with
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
    assert transaction.outcome is not None
    if outcome.result == TIMEOUT != transaction.outcome.result:
        votes = dict.fromkeys(votes, "timeout")
    elif not _same(outcome, transaction.outcome):
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
    """The transaction and what may rest on it, in the order of decision."""
    found, contracts, ids = [transaction], {transaction.to}, {transaction.id}
    unfinalized = chain.world.unfinalized
    for later in list(unfinalized)[unfinalized.index(transaction) + 1 :]:
        if later.to in contracts or later.triggered_by in ids:
            found.append(later)
            contracts.add(later.to)
            ids.add(later.id)
    return found


def _check_can_be_undone(chain: Chain, transaction: Transaction) -> None:
    for undone in _resting_on(chain, transaction):
        for child in undone.children:
            if chain.world.transactions[child].status == "finalized":
                raise NotAppealable(f"transaction {child}, which rests on it, is final already")


def _run_again(chain: Chain, transaction: Transaction) -> None:
    undone = _resting_on(chain, transaction)
    ids = {one.id for one in undone}
    for one in reversed(undone):
        chain.undo(one)
        if one is not transaction:
            one.rounds.clear()
    for one in undone:
        for child in one.children:
            message = chain.world.transactions[child]
            if message.status == "pending" and child not in ids:
                chain.cancel(message)
    again = [one for one in undone if one is transaction or one.triggered_by not in ids]
    for one in undone:
        if one not in again:
            one.status = "cancelled"
    chain.world.pending.extendleft(reversed(again))
