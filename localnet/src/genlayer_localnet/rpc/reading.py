"""Reads and simulations: ``gen_call``, ``sim_call``, ``eth_call``, schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from genlayer_localnet import calldata
from genlayer_localnet.chain import estimates, simulation
from genlayer_localnet.chain.fees import deposit_for
from genlayer_localnet.chain.simulation import Simulation
from genlayer_localnet.errors import FeesRefused
from genlayer_localnet.rpc import consensus_calls
from genlayer_localnet.rpc.errors import INTERNAL_ERROR, RpcError, invalid_params, refused, reverted
from genlayer_localnet.rpc.fee_json import estimate_json, fees_of, simulated_fees_json, with_wishes
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.parameters import MAX_U256, address, data, first_of, missing, quantity, shown
from genlayer_localnet.rpc.receipt_json import failure_text, node_receipt
from genlayer_localnet.rpc.sim_config import conditions_of
from genlayer_localnet.state.fees import Fees
from genlayer_localnet.state.transactions import Outcome, Transaction


def read(node: Node, to: bytes, sender: bytes, call: bytes) -> bytes:
    """What a method returns, as calldata. Raises: RpcError."""
    transaction = _described(node, "call", to, sender, call)
    outcome = _view(node, transaction, final=False).outcome
    return _returned(node, transaction, outcome, {})


def call_outcome(node: Node, params: Mapping[str, Any]) -> tuple[Transaction, Simulation]:
    """Run the call that the object of a ``gen_call`` describes, and keep nothing.

    Raises: RpcError, for an object that is not understood, and for a contract that is not there.
    """
    transaction, final = _call(node, params)
    if params["type"] == "read":
        return transaction, _view(node, transaction, final=final)
    try:
        return transaction, simulation.simulate(node.chain, transaction, final=final)
    except FeesRefused as refusal:  # what it proposes for a message
        raise reverted(refusal) from None


def _call(node: Node, params: Mapping[str, Any]) -> tuple[Transaction, bool]:
    """A call as a transaction, and whether it is for what is final."""
    kind = params.get("type")
    if kind not in ("read", "write", "deploy"):
        raise missing("type") if kind is None else invalid_params(f"type is read, write or deploy, not {shown(kind)}")
    for name in ("data", "from", *(() if kind == "deploy" else ("to",))):
        if params.get(name) is None:
            raise missing(name)
    transaction = _transaction(node, kind, params)
    final = params.get("transaction_hash_variant") == "latest-final" or params.get("status") == "finalized"
    if kind != "deploy":
        with _state(node, final=final):
            node.contract(transaction.to)
    return transaction, final


def returned(node: Node, params: Mapping[str, Any]) -> bytes:
    """What the call of a ``gen_call`` returns, as calldata. Raises: RpcError, with the receipt when it failed."""
    transaction, result = call_outcome(node, params)
    return _returned(node, transaction, result.outcome, params)


def receipt(node: Node, params: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of a simulation. Raises: RpcError, with the receipt when it failed."""
    transaction, result = call_outcome(node, params)
    _returned(node, transaction, result.outcome, params)
    shown = node_receipt(transaction, result.outcome, vote=None, slots=result.slots, validator=_leader(node))
    return {**shown, "fee_accounting": simulated_fees_json(node.chain, transaction, result.outcome)}


def estimate(node: Node, params: Mapping[str, Any]) -> dict[str, Any]:
    """What to deposit for a call; what it proposes for time, appeals and price caps is kept. Raises: RpcError."""
    if params.get("type") == "read":
        raise invalid_params("a read costs nothing: type is write or deploy")
    chain, policy = node.chain, node.chain.settings.fees
    if policy is None:
        transaction, result = call_outcome(node, {**params, "fees": None})
        _returned(node, transaction, result.outcome, params)
        return estimate_json(Fees(transaction.sender, 0), enabled=False)
    transaction, _ = _call(node, params)
    proposed, transaction.fees = transaction.fees, None
    try:
        tried = estimates.estimate(chain, transaction, policy)
        _returned(node, transaction, tried.outcome, params)
        fees = tried.fees
        if proposed is not None:
            fees.distribution = with_wishes(fees.distribution, proposed.distribution)
            fees.deposit = deposit_for(fees.distribution, chain.committee(transaction), policy)
        if fees.deposit > MAX_U256:
            raise FeesRefused("InsufficientFees", "more than 2**256 - 1 wei would have to be deposited")
    except FeesRefused as refusal:
        raise reverted(refusal) from None
    return estimate_json(fees, enabled=True)


def schema(node: Node, contract: bytes) -> dict[str, Any]:
    """Raises: RpcError."""
    node.contract(contract)
    return _schema(node.chain.view(simulation.schema_request(node.chain, contract)))


def schema_for_code(node: Node, code: bytes) -> dict[str, Any]:
    """Raises: RpcError."""
    return _schema(simulation.schema_of_code(node.chain, code))


def _transaction(node: Node, kind: Literal["read", "write", "deploy"], params: Mapping[str, Any]) -> Transaction:
    payload, sender = data(params["data"]), address(params["from"], "from")
    origin = address(params["origin_address"], "origin_address") if params.get("origin_address") else sender
    if kind == "deploy":
        code, call = consensus_calls.deploy_of_read(payload)
        to = simulation.simulated_address(sender, code, call)
        transaction = _described(node, "deploy", to, sender, call)
        transaction.code = code
    else:
        call = consensus_calls.call_of_read(payload)
        transaction = _described(node, "call", address(params["to"], "to"), sender, call)
    transaction.origin = origin
    transaction.value = quantity(first_of(params, "value", default=0))
    transaction.conditions = conditions_of(params.get("sim_config"))
    if params.get("fees") is not None:
        transaction.fees = fees_of(params["fees"], sender, node.chain.settings.fees)
    return transaction


def _described(node: Node, kind: Literal["call", "deploy"], to: bytes, sender: bytes, call: bytes) -> Transaction:
    return Transaction(
        id="",
        kind=kind,
        sender=sender,
        origin=sender,
        to=to,
        calldata=call,
        value=0,
        created_at=node.world.now,
    )


def _view(node: Node, transaction: Transaction, *, final: bool) -> Simulation:
    with _state(node, final=final):
        node.contract(transaction.to)
        return Simulation(node.chain.view(transaction, beside=not final))


def _state(node: Node, *, final: bool) -> AbstractContextManager[None]:
    return node.world.final_state() if final else nullcontext()


def _returned(node: Node, transaction: Transaction, outcome: Outcome, params: Mapping[str, Any]) -> bytes:
    if outcome.kind == "return":
        return outcome.result[1:]
    receipt = node_receipt(transaction, outcome, vote=None, validator=_leader(node))
    raise refused(f"execution failed: {failure_text(outcome)}", {"receipt": receipt, "params": dict(params)})


def _leader(node: Node) -> Mapping[str, Any] | None:
    return node.validators.all[0] if node.validators.all else None


def _schema(outcome: Outcome) -> dict[str, Any]:
    if outcome.kind != "return":
        raise refused(f"the contract has no schema: {failure_text(outcome)}", {"stderr": outcome.stderr})
    try:
        found: dict[str, Any] = json.loads(calldata.decode(outcome.result[1:]))
    except (TypeError, ValueError):
        raise RpcError(INTERNAL_ERROR, "the contract's schema is not JSON") from None
    return found
