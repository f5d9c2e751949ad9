"""genlayer-js 1.2 against the localnet: fund, deploy, write with value, read, wait, what was triggered."""

from pathlib import Path
from typing import Any

import pytest

from api_billing.contract_api import METHODS
from api_billing.contract_source import contract_path
from genlayer_localnet.rpc.server import RpcServer

from .conftest import run_script

GEN = 10**18


@pytest.fixture(scope="module")
def seen(node_modules: Path, server: RpcServer) -> Any:
    return run_script(node_modules, "billing.mjs", server.url, str(contract_path()))


def test_writes__accepted__tell_whether_they_executed(seen: Any) -> None:
    assert seen["executions"] == ["SUCCESS", "SUCCESS", "ERROR", "SUCCESS"]


def test_value__of_a_payable_call__is_credit(seen: Any) -> None:
    assert seen["report"]["credit_balance_wei"] == 5 * GEN - 3 * GEN // 100 - GEN


def test_report__after_the_calls__counts_them(seen: Any) -> None:
    assert seen["report"]["apis"][0]["calls_today"] == 3


def test_read__record__has_its_fields(seen: Any) -> None:
    assert (seen["api"]["api_name"], seen["api"]["active"]) == ("weather", True)


def test_read__refused__has_the_contracts_text(seen: Any) -> None:
    assert "[EXPECTED] api_not_registered" in seen["rejection"]


def test_withdrawal__final__has_triggered_the_payout(seen: Any) -> None:
    assert seen["triggered"] == 1


def test_schema_and_code__are_those_of_the_source(seen: Any) -> None:
    assert (seen["methods"], seen["code"]) == (len(METHODS), len(contract_path().read_text(encoding="utf-8")))
