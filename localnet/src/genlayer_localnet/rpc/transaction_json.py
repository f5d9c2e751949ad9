"""The GenLayer transaction object: what ``eth_getTransactionByHash`` answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from genlayer_localnet.rpc.fee_json import fees_json
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.receipt_json import address_text, base64, hex_text, node_receipt, shown_calldata
from genlayer_localnet.state.transactions import Status, Transaction
from genlayer_localnet.state.voting import is_majority

STATUS_NAMES: Mapping[Status, str] = {
    "pending": "PENDING",
    "accepted": "ACCEPTED",
    "undetermined": "UNDETERMINED",
    "leader_timeout": "LEADER_TIMEOUT",
    "validators_timeout": "VALIDATORS_TIMEOUT",
    "finalized": "FINALIZED",
    "cancelled": "CANCELED",
}
STATUS_CODES = {
    "PENDING": 1,
    "ACCEPTED": 5,
    "UNDETERMINED": 6,
    "FINALIZED": 7,
    "CANCELED": 8,
    "VALIDATORS_TIMEOUT": 12,
    "LEADER_TIMEOUT": 13,
}
_TYPES = {"transfer": 0, "faucet": 0, "deploy": 1, "call": 2, "upgrade": 3}
_IDLE, _TIMEOUT, _NO_MAJORITY, _AGREE, _DISAGREE = 0, 3, 5, 6, 7
_RESULT_NAMES = {
    _IDLE: "IDLE",
    _TIMEOUT: "MAJORITY_TIMEOUT",
    _NO_MAJORITY: "NO_MAJORITY",
    _AGREE: "MAJORITY_AGREE",
    _DISAGREE: "MAJORITY_DISAGREE",
}
_VOTES = {"agree": 1, "disagree": 2, "timeout": 3}
_EXECUTION_NAMES = {0: "NOT_VOTED", 1: "FINISHED_WITH_RETURN", 2: "FINISHED_WITH_ERROR"}


def transaction_json(node: Node, transaction: Transaction) -> dict[str, Any]:
    sender = None if transaction.kind in ("faucet", "upgrade") else address_text(transaction.sender)
    recipient = address_text(transaction.to)
    return {
        "hash": transaction.id,
        "tx_id": transaction.id,
        "status": STATUS_NAMES[transaction.status],
        "type": _TYPES[transaction.kind],
        "from_address": sender,
        "to_address": recipient,
        "sender": sender,
        "recipient": recipient,
        "origin_address": None if sender is None else address_text(transaction.origin),
        "data": _data(transaction),
        "tx_data": hex_text(transaction.calldata),
        "value": transaction.value,
        "value_credited": transaction.outcome is not None,
        "nonce": transaction.nonce,
        "gaslimit": transaction.nonce,
        "r": None,
        "s": None,
        "v": None,
        **_times(transaction),
        **_consensus(node, transaction),
        **_result(transaction),
        **_appeal(transaction),
        "triggered_by": transaction.triggered_by,
        "triggered_on": transaction.triggered_on,
        "triggered_transactions": list(transaction.children),
        "block_number": transaction.block,
        "contract_snapshot": None,
        "cancelled_for": transaction.refused or None,
        **fees_json(node.chain, transaction),
    }


def _data(transaction: Transaction) -> dict[str, Any]:
    if transaction.kind == "deploy":
        return {
            "contract_address": address_text(transaction.to),
            "contract_code": base64(transaction.code or b""),
            "calldata": base64(shown_calldata(transaction)),
        }
    if transaction.kind == "upgrade":
        return {"contract_address": address_text(transaction.to), "contract_code": base64(transaction.code or b"")}
    return {"calldata": base64(shown_calldata(transaction))} if transaction.kind == "call" else {}


def _times(transaction: Transaction) -> dict[str, Any]:
    created, decided = transaction.created_at, transaction.decided_at
    return {
        "created_at": created.isoformat(),
        "created_timestamp": _unix(created),
        "current_timestamp": _unix(decided or created),
        "last_vote_timestamp": _unix(decided) if decided else 0,
        "timestamp_awaiting_finalization": _unix(decided) if decided else None,
    }


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())


def _consensus(node: Node, transaction: Transaction) -> dict[str, Any]:
    conditions = transaction.conditions
    return {
        "consensus_data": _consensus_data(node, transaction),
        "consensus_history": _history(node, transaction),
        "leader_only": transaction.leader_only,
        "execution_mode": transaction.mode,
        "sim_config": dict(conditions.source) if conditions.source is not None else None,
        "config_rotation_rounds": conditions.rotations
        if conditions.rotations is not None
        else node.chain.settings.rotations,
        "rotation_count": max(len(transaction.rounds) - 1, 0),
        "num_of_initial_validators": conditions.validators or node.chain.settings.validators,
        "num_of_rounds": str(len(transaction.rounds)),
        "last_round": _last_round(node, transaction),
        "messages": [],
        "eq_blocks_outputs": "0x",
        "queue_type": 0,
        "queue_position": 0,
    }


def _history(node: Node, transaction: Transaction) -> dict[str, Any]:
    """All rounds, those of appeals included, in their order."""
    return {
        "consensus_results": [
            {
                "consensus_round": round_.name,
                "leader": node.validators.address_of(round_.leader),
                "votes": {node.validators.address_of(index): vote for index, vote in round_.votes.items()},
            }
            for round_ in transaction.rounds
        ],
        "current_status_changes": [STATUS_NAMES[transaction.status]],
        "current_monitoring": {},
    }


def _consensus_data(node: Node, transaction: Transaction) -> dict[str, Any]:
    """Empty until the leader has run. In every decided state ``leader_receipt`` is a list, with the leader first."""
    outcome = transaction.outcome
    if outcome is None:
        empty: dict[str, Any] = {"votes": {}, "leader_receipt": [], "validators": []}
        return empty if transaction.status == "cancelled" else {}
    leader, votes = _votes(transaction)
    receipts = {
        index: node_receipt(transaction, outcome, mode="validator", vote=vote, validator=_validator(node, index))
        for index, vote in votes.items()
    }
    as_leader = node_receipt(transaction, outcome, vote=votes.get(leader), validator=_validator(node, leader))
    return {
        "votes": {node.validators.address_of(index): vote for index, vote in votes.items()},
        "leader_receipt": [as_leader, *([receipts[leader]] if leader in receipts else [])],
        "validators": [receipt for index, receipt in receipts.items() if index != leader],
    }


def _votes(transaction: Transaction) -> tuple[int, Mapping[int, str]]:
    """Who led the last round, and who voted how; nobody votes on a transfer."""
    if not transaction.rounds:
        return 0, {}
    last = transaction.rounds[-1]
    return last.leader, last.votes


def _validator(node: Node, index: int) -> dict[str, Any]:
    present = node.validators.all
    return present[index] if index < len(present) else {"address": node.validators.address_of(index)}


def _last_round(node: Node, transaction: Transaction) -> dict[str, Any]:
    leader, votes = _votes(transaction)
    return {
        "round": max(len(transaction.rounds) - 1, 0),
        "leader_index": leader,
        "votes_committed": len(votes),
        "votes_revealed": len(votes),
        "appeal_bond": 0,
        "rotations_left": 0,
        "result": _result_number(transaction),
        "round_validators": [node.validators.address_of(index) for index in votes],
        "validator_votes": [_VOTES[vote] for vote in votes.values()],
        "validator_votes_name": [vote.upper() for vote in votes.values()],
        "validator_votes_hash": [],
    }


def _result_number(transaction: Transaction) -> int:
    if transaction.outcome is None:
        return _IDLE
    if not transaction.rounds:
        return _AGREE if transaction.outcome.kind == "return" else _DISAGREE
    votes = transaction.rounds[-1].votes
    for vote, result in (("agree", _AGREE), ("disagree", _DISAGREE), ("timeout", _TIMEOUT)):
        if is_majority(votes, vote):
            return result
    return _NO_MAJORITY


def _result(transaction: Transaction) -> dict[str, Any]:
    outcome = transaction.outcome
    execution = 0 if outcome is None else 1 if outcome.kind == "return" else 2
    result = _result_number(transaction)
    return {
        "result": result,
        "result_name": _RESULT_NAMES[result],
        "txExecutionResult": execution,
        "txExecutionResultName": _EXECUTION_NAMES[execution],
    }


def _appeal(transaction: Transaction) -> dict[str, Any]:
    appealed_at = transaction.appealed_at
    names = [round_.name for round_ in transaction.rounds]
    return {
        "appealed": appealed_at is not None,
        "appeal_failed": sum(name.endswith("Appeal Failed") for name in names),
        "appeal_undetermined": any(name.startswith("Leader Appeal") for name in names),
        "appeal_leader_timeout": any(name.startswith("Leader Timeout Appeal") for name in names),
        "appeal_processing_time": 0,
        "timestamp_appeal": None if appealed_at is None else _unix(appealed_at),
    }
