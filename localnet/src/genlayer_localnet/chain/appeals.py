"""Appeals: a decision is voted on again by more validators, and taken back where they do not share it.

Against an accepted transaction as many validators as voted, and two more, judge the leader's results. When most agree
the transaction stays as it is. Otherwise, and where a transaction was not accepted at all, it is taken back and run
again in its old place, with all these voters and new leaders.

With a transaction everything is taken back that rests on it: its messages, what looked at an account that it changed,
and what paid with money that came of it. Nothing of that can be final: see ``Chain.finalize``. All runs again in the
order of the first decisions. Messages that are the same again keep their place, others are cancelled or come last. With
``first_children="stay"`` messages are no part of it: they stay as they were, and the new run sends its own beside them.
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
    undone = _resting_on(chain, transaction)
    _check_codes(chain, undone)
    successful = True
    if transaction.status == "accepted":
        round_ = _voted_again(chain, transaction)
        transaction.rounds.append(round_)
        successful = not round_.name.endswith("Failed")
    transaction.appealed_at = chain.world.now
    if successful:
        _run_again(chain, transaction, undone)
    chain.changed(transaction)


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
