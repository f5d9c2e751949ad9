"""Rounds of votes: what they decide, what they are called in a transaction's history, who votes after an appeal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

AppealKind = Literal["Validator", "Leader", "Leader Timeout", "Validators Timeout"]
Decision = Literal["accepted", "undetermined", "leader_timeout", "validators_timeout"]

MAX_VOTERS: Final = 100
ROTATION: Final = "Leader Rotation"
_NAMES: Final[Mapping[Decision, str]] = {
    "accepted": "Accepted",
    "undetermined": "Undetermined",
    "leader_timeout": "Leader Timeout",
    "validators_timeout": "Validators Timeout",
}
APPEALS: Final[Mapping[str, AppealKind]] = {
    "accepted": "Validator",
    "undetermined": "Leader",
    "leader_timeout": "Leader Timeout",
    "validators_timeout": "Validators Timeout",
}
"""What an appeal is called, by the status of the transaction it is made against."""


@dataclass(frozen=True, slots=True)
class VotingRound:
    """One leader's attempt, or an appeal against it: who led, and how every validator voted, by its index.

    A vote is ``agree``, ``disagree`` or ``timeout``.
    """

    leader: int
    votes: Mapping[int, str]
    name: str = "Accepted"
    """As in Studio: ``Accepted``, ``Leader Rotation``, ``Validator Appeal Failed`` …"""


def is_majority(votes: Mapping[int, str], vote: str = "agree") -> bool:
    return 2 * sum(one == vote for one in votes.values()) > len(votes)


def decision(leader: int, votes: Mapping[int, str]) -> Decision:
    if votes.get(leader) == "timeout":
        return "leader_timeout"
    if is_majority(votes):
        return "accepted"
    return "validators_timeout" if is_majority(votes, "timeout") else "undetermined"


def name_of(decided: Decision, appeal: AppealKind | None) -> str:
    """The name of a round that decided; ``appeal`` made it run again."""
    if appeal is None or appeal == "Validator":
        return _NAMES[decided]
    return appeal_name(appeal, successful=decided == "accepted")


def appeal_name(appeal: AppealKind, *, successful: bool) -> str:
    return f"{appeal} Appeal {'Successful' if successful else 'Failed'}"


def more_voters(voters: int) -> int:
    """How many vote in all when an appeal brings in the voters there were, and two more."""
    return min(2 * voters + 2, MAX_VOTERS)


def appeals_up_to(rounds: Sequence[VotingRound], appeal: AppealKind | None) -> int:
    """How many appeals there were, ``appeal`` among them that makes it run again; its round has no name yet."""
    return sum(" Appeal " in round_.name for round_ in rounds) + (appeal not in (None, "Validator"))


def panel(rounds: Sequence[VotingRound], initial: int) -> tuple[AppealKind | None, int]:
    """Who runs a transaction with these rounds behind it: which appeal made it run again, and how many vote."""
    if not rounds:
        return None, initial
    last = rounds[-1]
    if last.name == appeal_name("Validator", successful=True):
        return "Validator", len(last.votes)
    kind = APPEALS[decision(last.leader, last.votes)]
    return kind, more_voters(max(initial, len(last.votes)))
