"""A server with fees: what it refuses, what it says of a transaction's fees. The arithmetic is the chain's."""

from __future__ import annotations

from typing import Any

import pytest

from genlayer_localnet.chain.fees import deposit_for
from genlayer_localnet.rpc.networks import PRICES
from genlayer_localnet.state.fees import FeesDistribution
from genlayer_localnet.testing.server import RpcFailure

from .test_lines import TILL
from .test_networks import Start
from .wire import FEE_NAMES, GEN, MAIN, ZERO, Client, add_transaction, add_with_fees, call_object, leader, tx_data

BUDGET = 10**14
FEES = {
    "executionBudgetPerRound": BUDGET,
    "maxPriceGenPerTimeUnit": PRICES.gen_per_time_unit,
    "storageFeeMaxGasPrice": PRICES.storage_unit_price,
    "receiptFeeMaxGasPrice": PRICES.receipt_gas_price,
    "rotations": [1],
}
DEPOSIT = deposit_for(FeesDistribution(100, 200, 0, BUDGET, 0, 0, (1,)), 5, PRICES)
TAKEN = "0x7a120"


class Payer(Client):
    """An account on a network with fees."""

    def add(self, recipient: str, data: bytes, **changes: Any) -> str:
        return add_with_fees(self.address, recipient, data, fees={**FEES, **changes.pop("fees", {})}, **changes)

    def pay(self, recipient: str, data: bytes, *, deposit: int = DEPOSIT, value: int = 0, **changes: Any) -> Any:
        raw = self.raw(self.add(recipient, data, user_value=value, **changes), value=value + deposit)
        return self.transaction(self.rpc.call("eth_sendRawTransaction", raw))

    def deployed(self) -> str:
        address: str = self.pay(ZERO, tx_data(TILL.encode(), call_object(None), b""))["data"]["contract_address"]
        return address


@pytest.fixture
def payer(start: Start) -> Payer:
    return Payer(start(network="studio-next", strict_funds=True))


PAY = tx_data(call_object("pay", "alice"), b"")


def test_call__with_its_deposit__runs_and_says_what_it_was_given(payer: Payer) -> None:
    till = payer.deployed()
    before = payer.balance()
    sent = payer.pay(till, PAY, value=7)
    assert (leader(sent)["execution_result"], sent["value"], payer.balance()) == ("SUCCESS", 7, before - 7 - DEPOSIT)
    given = sent["fees"]
    assert (given["feeValue"], given["payer"], given["messageAllocations"]) == (str(DEPOSIT), payer.address, [])
    assert tuple(given["distribution"]) == FEE_NAMES
    assert given["distribution"]["rotations"] == ["1"]
    accounting = sent["fee_accounting"]
    assert (accounting["paid_fee_value"], accounting["refunded_fee_value"]) == (str(DEPOSIT), None)
    assert accounting["fees_distribution"] == given["distribution"]


def test_call__final__has_paid_what_it_spent_alone(payer: Payer) -> None:
    till = payer.deployed()
    payer.rpc.call("sim_increaseTime", 100)
    before = payer.balance()
    sent = payer.pay(till, PAY)
    payer.rpc.call("sim_increaseTime", 100)
    accounting = payer.transaction(sent["hash"])["fee_accounting"]
    spent = int(accounting["primary_fee_consumed"])
    assert int(accounting["refunded_fee_value"]) == DEPOSIT - spent
    assert payer.balance() == before - spent


def test_call__without_fees__says_nothing_of_any(client: Client, till: str) -> None:
    sent = client.write(till, "put", 7)
    assert (sent["fees"], sent["fee_accounting"]) == (None, None)


ABOVE = PRICES.gen_per_time_unit - 1
REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"deposit": 0}, "FeeValueMustBeNonZero", "0x632be5a1"),
    ({"deposit": DEPOSIT - 1}, "InsufficientFees", "0x8d53e553"),
    ({"fees": {"maxPriceGenPerTimeUnit": ABOVE}}, "MaxPriceExceeded", "0xb4132db3"),
    ({"fees": {"executionConsumed": BUDGET + 1}}, "ExecutionBudgetExceeded", "0x57df8523"),
    ({"fees": {"executionBudgetPerRound": 1}}, "RollupBudgetBelowFloor", "0xa70732ee"),
]


@pytest.mark.parametrize(("changes", "name", "selector"), REFUSALS)
def test_call__with_fees_that_do_not_do__is_refused_by_its_name(
    payer: Payer, changes: dict[str, Any], name: str, selector: str
) -> None:
    data = tx_data(TILL.encode(), call_object(None), b"")
    with pytest.raises(RpcFailure, match=f"execution reverted: {name}.*{selector}") as caught:
        payer.pay(ZERO, data, **changes)
    assert caught.value.data == selector
    asked = {"from": payer.address, "to": MAIN, "data": payer.add(ZERO, data, fees=changes.get("fees", {}))}
    with pytest.raises(RpcFailure, match=name):
        payer.rpc.call("eth_estimateGas", {**asked, "value": hex(changes.get("deposit", DEPOSIT))})
    assert payer.balance() == 1_000 * GEN


def test_call__in_the_form_without_fees__is_refused_by_name(payer: Payer) -> None:
    call = add_transaction(payer.address, ZERO, tx_data(TILL.encode(), call_object(None), b""))
    with pytest.raises(RpcFailure, match="FeeValueMustBeNonZero"):
        payer.rpc.call("eth_sendRawTransaction", payer.raw(call))


def test_gas__of_a_call_that_would_be_taken__is_the_usual(payer: Payer) -> None:
    call = payer.add(ZERO, tx_data(TILL.encode(), call_object(None), b""))
    asked = {"from": payer.address, "to": MAIN, "data": call, "value": hex(DEPOSIT)}
    assert payer.rpc.call("eth_estimateGas", asked) == TAKEN


def test_payment__on_a_network_with_fees__needs_none(payer: Payer) -> None:
    to = "0x" + "77" * 20
    payer.rpc.call("eth_sendRawTransaction", payer.raw("0x", to=to, value=5))
    assert payer.balance(to) == 5
