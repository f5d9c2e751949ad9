"""What Studio's editor asks about code: whether it can be deployed, and to put other code in a contract's place."""

from __future__ import annotations

from typing import Any

from genlayer_localnet.chain import simulation
from genlayer_localnet.loading.contract_package import InvalidContract
from genlayer_localnet.loading.contract_source import ContractSource
from genlayer_localnet.loading.lines import line_of
from genlayer_localnet.rpc.errors import invalid_params
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.receipt_json import failure_text


def lint(node: Node, code: bytes) -> dict[str, Any]:
    """What keeps the code from being deployed, or from having a schema. Nothing stays of the attempt."""
    findings = _findings(node, code)
    counts = {"error": 0, "warning": 0, "info": 0}
    for finding in findings:
        counts[finding["severity"]] += 1
    return {"results": findings, "summary": {"total": len(findings), "by_severity": counts}}


def _findings(node: Node, code: bytes) -> list[dict[str, Any]]:
    try:
        ContractSource(code, None).code()
    except InvalidContract as error:
        return [_finding("error", error.message.removeprefix("invalid_contract "), str(error))]
    except (SyntaxError, ValueError) as error:
        return [_finding("error", "syntax", str(error), getattr(error, "lineno", None))]
    outcome = simulation.schema_of_code(node.chain, code)
    if outcome.kind == "return":
        return []
    # A contract without a constructor of its own has no schema, and can be deployed all the same.
    text = failure_text(outcome)
    return [_finding("warning" if "no __init__" in text else "error", "schema", text)]


def _finding(severity: str, rule: str, message: str, line: int | None = None) -> dict[str, Any]:
    return {"rule_id": rule, "severity": severity, "message": message, "line": line}


def upgrade(node: Node, contract: bytes, code: bytes) -> str:
    """Put other code in the place of a contract's, at once and for good; its storage stays. The transaction's id.

    Raises: RpcError.
    """
    if line_of(code) != line_of(node.contract(contract).code):
        raise invalid_params("the new code is of the other line of GenVM, which keeps its storage elsewhere")
    for finding in _findings(node, code):
        if finding["severity"] == "error":
            raise invalid_params(f"the new code cannot run: {finding['message']}")
    return node.settle("upgrade", contract, code=code)
