"""genlayer-test's own direct mode runs the contract, on the fallback library where there is no official one."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ..forms import Form, billing_code

Deploy = Callable[..., Any]

OPERATOR = bytes.fromhex("0e" * 20)
ALICE = bytes.fromhex("a1" * 20)


# From 0.30 on it runs contracts of the v0.3 line only, before those of v0.2 only.
RUNS = ("source", "v0.2") if find_spec("gltest.direct.sdk_compat") is None else ("v0.3",)
pytestmark = pytest.mark.parametrize("form", RUNS, indirect=True)


@pytest.fixture
def contract(direct_vm: Any, direct_deploy: Deploy, form: Form, tmp_path: Path) -> Any:
    """The contract with the API `weather`; ALICE has 100 wei of credit and is the sender."""
    direct_vm.sender = OPERATOR
    file = tmp_path / "contract.py"
    file.write_text(billing_code(form), encoding="utf-8")
    deployed = direct_deploy(str(file))
    deployed.register_api("weather", 10, 5)
    direct_vm.sender = ALICE
    direct_vm.value = 100
    deployed.subscribe("weather", 1_000, 100)
    direct_vm.value = 0
    return deployed


def test_direct_mode__subscribed__is_billed(contract: Any) -> None:
    receipt = contract.consume_credit("weather", "0x" + ALICE.hex(), 2)
    assert (receipt["call_no"], receipt["cost_wei"], receipt["credit_wei"]) == (2, 20, 80)
    assert contract.get_account("0x" + ALICE.hex())["credit_wei"] == 80


def test_direct_mode__over_the_limit__is_refused(direct_vm: Any, contract: Any) -> None:
    with direct_vm.expect_revert("daily call limit exceeded"):
        contract.consume_credit("weather", "0x" + ALICE.hex(), 6)


def test_direct_mode__stranger__is_refused(direct_vm: Any, contract: Any) -> None:
    with direct_vm.prank(bytes.fromhex("5c" * 20)), direct_vm.expect_revert("not_operator"):
        contract.set_api_active("weather", False)


def test_direct_mode__snapshot_reverted__brings_the_credit_back(direct_vm: Any, contract: Any) -> None:
    before = direct_vm.snapshot()
    contract.consume_credit("weather", "0x" + ALICE.hex(), 2)
    direct_vm.revert(before)
    assert contract.quote_call("weather", "0x" + ALICE.hex())["credit_wei"] == 100
