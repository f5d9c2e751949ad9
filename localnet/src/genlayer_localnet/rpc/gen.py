"""``gen_…``: GenLayer's own methods."""

from __future__ import annotations

from typing import Any

from genlayer_localnet.rpc import reading, submission
from genlayer_localnet.rpc.errors import not_found
from genlayer_localnet.rpc.lifecycle_json import lifecycle_json
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.parameters import address, code_of, mapping, quantity, transaction_id
from genlayer_localnet.rpc.protocol import method
from genlayer_localnet.rpc.receipt_json import base64, failure_text, node_receipt
from genlayer_localnet.rpc.transaction_json import STATUS_CODES, STATUS_NAMES, transaction_json
from genlayer_localnet.state.transactions import Transaction


class GenMethods:
    def __init__(self, node: Node) -> None:
        self._node = node

    @method("gen_call", only_reads=True)
    def call(self, params: Any) -> str:
        """The calldata of what a method returns, in hexadecimal without 0x. Writes and deploys are only simulated."""
        return reading.returned(self._node, mapping(params, "params")).hex()

    @method("gen_getContractSchema", only_reads=True)
    def contract_schema(self, contract_address: Any) -> dict[str, Any]:
        return reading.schema(self._node, address(contract_address))

    @method("gen_getContractSchemaForCode", only_reads=True)
    def contract_schema_for_code(self, contract_code_hex: Any) -> dict[str, Any]:
        return reading.schema_for_code(self._node, code_of(contract_code_hex))

    @method("gen_getContractCode", only_reads=True)
    def contract_code(self, contract_address: Any) -> str:
        return base64(self._node.contract(address(contract_address)).code)

    @method("gen_getContractNonce", only_reads=True)
    def contract_nonce(self, contract_address: Any) -> int:
        contract = address(contract_address)
        self._node.contract(contract)
        return self._node.world.nonces.get(contract, 0)

    @method("gen_getTransactionStatus", only_looks=True)
    def transaction_status(self, transaction_hash: Any) -> dict[str, Any]:
        name = STATUS_NAMES[self._transaction(transaction_hash).status]
        return {"status": name, "statusCode": STATUS_CODES[name]}

    @method("gen_getTransactionLifecycle", only_looks=True)
    def transaction_lifecycle(self, params: Any) -> dict[str, Any]:
        """``params``: ``txId``, and as ``timestamp`` the unix time for which one wants to know."""
        given = mapping(params, "params")
        at = None if given.get("timestamp") is None else quantity(given["timestamp"], "timestamp")
        return lifecycle_json(self._node, self._transaction(given), at)

    @method("gen_estimateLatestAppealCharge", only_looks=True)
    def appeal_charge(self, params: Any) -> dict[str, Any]:
        """What an appeal against a transaction's latest decision has to bring, and until when."""
        charge = submission.appeal_charge(self._node, self._transaction(mapping(params, "params")))
        return {
            "decisionId": str(charge.decision_id),
            "bond": str(charge.bond),
            "funding": str(charge.funding),
            "appealDeadline": int(charge.deadline.timestamp()),
        }

    @method("gen_getStudioTransactionByHash", only_reads=True)
    def studio_transaction(self, transaction_hash: Any, full: Any = True) -> dict[str, Any]:
        return transaction_json(self._node, self._transaction(transaction_hash))

    @method("gen_dbg_traceTransaction", only_reads=True)
    def trace(self, params: Any) -> dict[str, Any]:
        """What the leader's run printed and returned."""
        transaction = self._transaction(mapping(params, "params").get("txID"))
        outcome = transaction.outcome
        if outcome is None:
            raise not_found(f"transaction {transaction.id} has not run")
        receipt = node_receipt(transaction, outcome)
        return {
            "transaction_id": transaction.id,
            "result_code": outcome.result[0],
            "return_data": outcome.result[1:].hex(),
            "error": None if outcome.kind == "return" else failure_text(outcome),
            "stdout": outcome.stdout,
            "stderr": outcome.stderr,
            "genvm_log": [],
            "storage_proof": None,
            "run_time": "0s",
            "eq_outputs": list(receipt["eq_outputs"].values()),
            "storage_reads": outcome.storage_reads,
            "storage_writes": outcome.storage_writes,
        }

    def _transaction(self, reference: Any) -> Transaction:
        """By its hash, or by an object that has it as ``txId``."""
        if isinstance(reference, dict):
            reference = reference.get("txId")
        return self._node.transaction(transaction_id(reference))
