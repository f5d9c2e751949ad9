"""Transactions and journals as JSON texts for the state file: bytes are hexadecimal, times ISO, amounts numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.rpc.sim_config import conditions_of
from genlayer_localnet.state.fees import Bond, FeePolicy, Fees, FeesDistribution, MessageAllocation
from genlayer_localnet.state.journal import MISSING, Entry, Journal, add_amount, put_item, splice
from genlayer_localnet.state.transactions import Conditions, EmittedEvent, Outcome, OutgoingMessage, Transaction
from genlayer_localnet.state.voting import VotingRound
from genlayer_localnet.state.world import Storage, World

KeepCode = Callable[[bytes], str]
"""Stores a source text once, and gives its key."""
CodeOf = Callable[[str], bytes]
_encoder = json.JSONEncoder(separators=(",", ":"))  # json.dumps makes a new one for each call


def dump_transaction(transaction: Transaction, keep_code: KeepCode) -> str:
    """Everything but the status and the journal, which have columns of their own."""
    record = {
        "id": transaction.id,
        "kind": transaction.kind,
        "sender": transaction.sender.hex(),
        "origin": transaction.origin.hex(),
        "to": transaction.to.hex(),
        "calldata": transaction.calldata.hex(),
        "value": transaction.value,
        "created_at": transaction.created_at.isoformat(),
        "nonce": transaction.nonce,
        "code": None if transaction.code is None else keep_code(transaction.code),
        "filename": transaction.filename,
        "triggered_by": transaction.triggered_by,
        "triggered_on": transaction.triggered_on,
        "chain_length": transaction.chain_length,
        "decided_at": _time(transaction.decided_at),
        "outcome": None if transaction.outcome is None else _outcome(transaction.outcome, keep_code),
        "rounds": [[round_.leader, list(round_.votes.items()), round_.name] for round_ in transaction.rounds],
        "children": transaction.children,
        "balance_wei": transaction.balance_wei,
        "refund_wei": transaction.refund_wei,
        "conditions": _conditions(transaction.conditions),
        "mode": transaction.mode,
        "block": transaction.block,
        "decisions": transaction.decisions,
        "appealed_at": _time(transaction.appealed_at),
        "valid_until": transaction.valid_until,
        "refused": transaction.refused,
        "fees": None if transaction.fees is None else _fees(transaction.fees, keep_code),
        "raw": _without(transaction.raw, transaction.code),
    }
    return _encoder.encode(record)


def load_transaction(text: str, status: Any, code_of: CodeOf) -> Transaction:
    record = json.loads(text)
    if "refused" in (record.get("fees") or {}):  # where it was at first
        record["refused"] = record["fees"].pop("refused")
    outcome = record["outcome"]
    code = None if record["code"] is None else code_of(record["code"])
    return Transaction(
        **{
            **record,
            "sender": bytes.fromhex(record["sender"]),
            "origin": bytes.fromhex(record["origin"]),
            "to": bytes.fromhex(record["to"]),
            "calldata": bytes.fromhex(record["calldata"]),
            "code": code,
            "created_at": datetime.fromisoformat(record["created_at"]),
            "decided_at": _as_time(record["decided_at"]),
            "appealed_at": _as_time(record["appealed_at"]),
            "outcome": None if outcome is None else _as_outcome(outcome, code_of),
            "rounds": [VotingRound(leader, dict(votes), *name) for leader, votes, *name in record["rounds"]],
            "conditions": _as_conditions(record["conditions"]),
            "fees": None if record.get("fees") is None else _as_fees(record["fees"], code_of),
            "decisions": record.get("decisions", int(record["decided_at"] is not None)),
            "status": status,
            "raw": _with(record.get("raw", []), code),
        }
    )


def _without(raw: bytes, code: bytes | None) -> list[str]:
    """What is before and behind the code in a raw transaction: code is kept once."""
    return [part.hex() for part in (raw.partition(code)[::2] if code and code in raw else (raw,))]


def _with(parts: list[str], code: bytes | None) -> bytes:
    return (code or b"").join(map(bytes.fromhex, parts))


def dump_journal(journal: Journal) -> str:
    """How to take a transaction back, with names in the place of the objects."""
    return _encoder.encode([_entry(entry) for entry in journal])


def load_journal(text: str, world: World) -> Journal:
    return [_as_entry(record, world) for record in json.loads(text)]


def _entry(entry: Entry) -> list[Any]:
    change, target, key, *rest = entry
    if change is add_amount:
        return ["amount", key.hex(), rest[0]]
    if change is splice:
        start, length, old = rest
        return ["splice", target.address.hex(), key.hex(), start, length, bytes(old).hex()]
    assert rest[0] is MISSING, "only new slots and new contracts are put"
    if isinstance(target, Storage):
        return ["new slot", target.address.hex(), key.hex()]
    return ["new contract", key.hex()]


def _as_entry(record: list[Any], world: World) -> Entry:
    kind, key, *rest = record
    key = bytes.fromhex(key)
    if kind == "amount":
        return (add_amount, world.balances, key, rest[0])
    if kind == "new contract":
        return (put_item, world.contracts, key, MISSING)
    storage, slot = world.contracts[key].storage, bytes.fromhex(rest[0])
    if kind == "new slot":
        return (put_item, storage, slot, MISSING)
    return (splice, storage, slot, rest[1], rest[2], bytes.fromhex(rest[3]))


def _outcome(outcome: Outcome, keep_code: KeepCode) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "result": outcome.result.hex(),
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "events": [
            [
                event.address.hex(),
                event.name,
                [topic.hex() for topic in event.topics],
                calldata.encode(event.blob).hex(),
            ]
            for event in outcome.events
        ],
        "messages": [
            {
                "kind": message.kind,
                "sender": message.sender.hex(),
                "to": None if message.to is None else message.to.hex(),
                "calldata": message.calldata.hex(),
                "value": message.value,
                "on": message.on,
                "code": None if message.code is None else keep_code(message.code),
                "salt_nonce": message.salt_nonce,
            }
            for message in outcome.messages
        ],
        "storage_reads": outcome.storage_reads,
        "storage_writes": outcome.storage_writes,
        "eq_outputs": [output.hex() for output in outcome.eq_outputs],
        "seen": {account.hex(): wei for account, wei in outcome.seen.items()},
        "saw_final_state": outcome.saw_final_state,
        "has_data": outcome.has_data,
    }


def _as_outcome(record: dict[str, Any], code_of: CodeOf) -> Outcome:
    return Outcome(
        **{
            **record,
            "result": bytes.fromhex(record["result"]),
            "events": [
                EmittedEvent(
                    bytes.fromhex(address),
                    name,
                    tuple(bytes.fromhex(topic) for topic in topics),
                    calldata.decode(bytes.fromhex(blob)),
                )
                for address, name, topics, blob in record["events"]
            ],
            "messages": [
                OutgoingMessage(
                    **{
                        **message,
                        "sender": bytes.fromhex(message["sender"]),
                        "to": None if message["to"] is None else bytes.fromhex(message["to"]),
                        "calldata": bytes.fromhex(message["calldata"]),
                        "code": None if message["code"] is None else code_of(message["code"]),
                    }
                )
                for message in record["messages"]
            ],
            "eq_outputs": [bytes.fromhex(output) for output in record["eq_outputs"]],
            "seen": {bytes.fromhex(account): wei for account, wei in record.get("seen", {}).items()},
        }
    )


def _fees(fees: Fees, keep_code: KeepCode) -> dict[str, Any]:
    return {
        "payer": fees.payer.hex(),
        "deposit": fees.deposit,
        "distribution": _plain(fees.distribution),
        "allocations": keep_code(_allocations(fees.allocations)) if fees.allocations else None,
        "place": fees.place,
        "policy": None if fees.policy is None else _plain(fees.policy),
        "time_fee": fees.time_fee,
        "execution_fee": fees.execution_fee,
        "external_fee": fees.external_fee,
        "top_ups": [[payer.hex(), wei] for payer, wei in fees.top_ups],
        "given_back": fees.given_back,
        "bonds": [[bond.appellant.hex(), bond.wei, bond.won] for bond in fees.bonds],
        "refunded": fees.refunded,
        "report": fees.report,
    }


def _as_fees(record: dict[str, Any], code_of: CodeOf) -> Fees:
    distribution, policy, allocations = record["distribution"], record["policy"], record["allocations"]
    return Fees(
        **{
            **record,
            "payer": bytes.fromhex(record["payer"]),
            "distribution": FeesDistribution(**{**distribution, "rotations": tuple(distribution["rotations"])}),
            "allocations": () if allocations is None else _as_allocations(code_of(allocations)),
            "policy": None if policy is None else FeePolicy(**policy),
            "top_ups": tuple((bytes.fromhex(payer), wei) for payer, wei in record["top_ups"]),
            "bonds": tuple(Bond(bytes.fromhex(payer), wei, won) for payer, wei, won in record["bonds"]),
        }
    )


@lru_cache(maxsize=8)
def _allocations(tree: tuple[MessageAllocation, ...]) -> bytes:
    """All messages of a transaction have the same tree: it is kept once, as code is."""
    return _encoder.encode([_plain(allocation) for allocation in tree]).encode()


@lru_cache(maxsize=8)
def _as_allocations(text: bytes) -> tuple[MessageAllocation, ...]:
    binary = ("recipient", "call_key", "fee_params")
    return tuple(
        MessageAllocation(**{**record, **{name: bytes.fromhex(record[name]) for name in binary}})
        for record in json.loads(text)
    )


def _plain(record: FeePolicy | FeesDistribution | MessageAllocation) -> dict[str, Any]:
    values = ((one.name, getattr(record, one.name)) for one in fields(record))
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values}


def _conditions(conditions: Conditions) -> dict[str, Any]:
    return {
        "validators": conditions.validators,
        "rotations": conditions.rotations,
        "sim_config": conditions.source,
    }


def _as_conditions(record: dict[str, Any]) -> Conditions:
    conditions = conditions_of(record["sim_config"])
    return replace(conditions, validators=record["validators"], rotations=record["rotations"])


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _as_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
