"""Receipts of single nodes: the elements of ``leader_receipt`` and ``validators``, and the answer of ``sim_call``."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.state.results import USER_ERROR
from genlayer_localnet.state.transactions import EmittedEvent, Outcome, OutgoingMessage, Transaction

MAX_OUTPUT_CHARACTERS = 5_000
_EMPTY_CALL = calldata.encode({})


def base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def hex_text(data: bytes) -> str:
    return "0x" + data.hex()


@lru_cache(maxsize=4096)
def address_text(address: bytes) -> str:
    """With the checksum in its letters, which clients insist on."""
    return Address(address).as_hex


def node_receipt(
    transaction: Transaction,
    outcome: Outcome,
    *,
    mode: str = "leader",
    vote: str | None = "agree",
    validator: Mapping[str, Any] | None = None,
    slots: Mapping[bytes, bytes] | None = None,
) -> dict[str, Any]:
    """One node's receipt; validators answer what the leader did. ``slots`` is the state it wrote."""
    is_leader = mode == "leader"
    return {
        "execution_result": "SUCCESS" if outcome.kind == "return" else "ERROR",
        "result": base64(_shown(outcome.result, outcome)),
        "calldata": base64(shown_calldata(transaction)),
        "vote": vote,
        "mode": mode,
        "gas_used": 0,
        "contract_state": {base64(slot): base64(content) for slot, content in (slots or {}).items()},
        "contract_state_hash": None,
        "processing_time": 0,
        "nondet_disagree": None,
        "execution_stats": {
            "storage_reads": outcome.storage_reads,
            "storage_writes": outcome.storage_writes,
        },
        "node_config": _node_config(validator),
        "eq_outputs": {
            str(number): base64(_shown(output, outcome)) for number, output in enumerate(outcome.eq_outputs)
        },
        "pending_transactions": [_message(message) for message in outcome.messages] if is_leader else [],
        "events": [event_json(event) for event in outcome.events] if is_leader else [],
        "genvm_result": _genvm_result(outcome),
    }


def _shown(result: bytes, outcome: Outcome) -> bytes:
    """A result of a run, or of a block in it, with the text of a user error: no client reads anything else."""
    if result[:1] != USER_ERROR or not outcome.has_data:
        return result
    return USER_ERROR + (replace(outcome, kind="user_error", result=result).message or "").encode()


def shown_calldata(transaction: Transaction) -> bytes:
    """Transfers have none, but clients decode what is there."""
    is_call = transaction.kind in ("call", "deploy")
    return (transaction.calldata or _EMPTY_CALL) if is_call else _EMPTY_CALL


def event_json(event: EmittedEvent) -> dict[str, Any]:
    """An event; ``data`` is the calldata encoding of all fields. Studio has no events: this is an extension."""
    return {
        "address": address_text(event.address),
        "name": event.name,
        "topics": [hex_text(topic) for topic in event.topics],
        "data": hex_text(calldata.encode(event.blob)),
    }


def failure_text(outcome: Outcome) -> str:
    """Why a call failed: the contract's text, or the VM's with the last line of the traceback."""
    message = outcome.message or ""
    lines = outcome.stderr.strip().splitlines()
    return f"{message} ({lines[-1][:300]})" if outcome.kind == "vm_error" and lines else message


def _genvm_result(outcome: Outcome) -> dict[str, Any]:
    failed = outcome.kind == "vm_error"
    return {
        "stdout": outcome.stdout[:MAX_OUTPUT_CHARACTERS],
        "stderr": outcome.stderr[-MAX_OUTPUT_CHARACTERS:],
        "error_code": (outcome.message or "").upper().replace(" ", "_")[:80] if failed else None,
        "raw_error": None,
        "error_description": failure_text(outcome) if outcome.kind != "return" else None,
    }


def _node_config(validator: Mapping[str, Any] | None) -> dict[str, Any]:
    validator = validator or {}
    names = ("provider", "model", "config", "plugin", "plugin_config")
    return {
        "address": validator.get("address", address_text(bytes(20))),
        "private_key": None,
        "stake": validator.get("stake", 1),
        "primary_model": {name: validator.get(name) for name in names},
        "secondary_model": None,
    }


def _message(message: OutgoingMessage) -> dict[str, Any]:
    if message.kind == "EthSend":
        return {
            "address": address_text(message.to or bytes(20)),
            "calldata": base64(message.calldata),
            "code": None,
            "salt_nonce": 0,
            "on": "finalized",
            "value": message.value,
            "is_eth_send": True,
        }
    is_deploy = message.kind == "DeployContract"
    return {
        "address": "0x" if is_deploy or message.to is None else address_text(message.to),
        "calldata": base64(message.calldata),
        "code": base64(message.code) if message.code is not None else None,
        "salt_nonce": message.salt_nonce,
        "on": message.on,
        "value": message.value,
        "is_eth_send": False,
    }
