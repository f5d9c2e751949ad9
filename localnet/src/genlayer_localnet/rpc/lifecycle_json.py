"""What ``gen_getTransactionLifecycle`` answers: a transaction's status, and what becomes of it without more ado."""

from __future__ import annotations

from typing import Any, Final

from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.transaction_json import STATUS_NAMES
from genlayer_localnet.state.transactions import AWAITING_FINALITY, Status, Transaction

_CODES: Final[dict[Status, int]] = {
    "pending": 1,
    "accepted": 5,
    "undetermined": 6,
    "finalized": 7,
    "cancelled": 8,
    "validators_timeout": 11,
    "leader_timeout": 12,
}
"""Those of consensus v0.6."""
_NO_ACTION, _FINALIZE = (0, "NoOp"), (6, "Finalize")


def lifecycle_json(node: Node, transaction: Transaction, at: int | None) -> dict[str, Any]:
    """``at``: unix seconds; None is now."""
    evaluated_at = int(node.world.now.timestamp()) if at is None else at
    is_active = transaction.status in AWAITING_FINALITY
    is_due = is_active and evaluated_at >= node.final_at(transaction).timestamp()
    action_code, action = _FINALIZE if is_due else _NO_ACTION
    stored, projected = transaction.status, "finalized" if is_due else transaction.status
    return {
        "storedStatus": _name(stored),
        "storedStatusCode": _CODES[stored],
        "projectedStatus": _name(projected),
        "projectedStatusCode": _CODES[projected],
        "resolutionAction": action,
        "resolutionActionCode": action_code,
        "resolutionSource": "Unspecified",
        "resolutionSourceCode": 0,
        "decisionActive": is_active,
        "decisionId": str(transaction.decisions) if is_active else None,
        "evaluatedAt": evaluated_at,
    }


def _name(status: Status) -> str:
    return STATUS_NAMES[status].title().replace("_", "")
