"""A server with fees: what it refuses, what it says of a transaction's fees. The arithmetic is the chain's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_abi import encode as abi_encode
from eth_utils.crypto import keccak

from genlayer_localnet.chain.fees import deposit_for, round_fees
from genlayer_localnet.rpc.networks import PRICES
from genlayer_localnet.state.fees import FEE_ACCOUNT, FeesDistribution
from genlayer_localnet.testing.server import RpcFailure

from .test_lines import TILL
from .test_networks import Start
from .wire import (
    FEE_NAMES,
    FEES_TYPE,
    GEN,
    MAIN,
    PARAMS_TYPE,
    ZERO,
    Client,
    add_transaction,
    add_with_fees,
    call_object,
    leader,
    tx_data,
)

BUDGET = 10**14
FEES = {
    "leaderTimeunitsAllocation": 100,
    "validatorTimeunitsAllocation": 200,
    "executionBudgetPerRound": BUDGET,
    "maxPriceGenPerTimeUnit": PRICES.gen_per_time_unit,
    "storageFeeMaxGasPrice": PRICES.storage_unit_price,
    "receiptFeeMaxGasPrice": PRICES.receipt_gas_price,
    "rotations": [1],
}
DEPOSIT = deposit_for(FeesDistribution(100, 200, 0, BUDGET, 0, 0, (1,)), 5, PRICES)
ROUNDS = FeesDistribution(100, 200, 0, BUDGET, 0, 0, (0,), PRICES.gen_per_time_unit)
"""Of a message."""
FOR_MESSAGE = round_fees(ROUNDS, 5, PRICES)
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
    ({"deposit": 0, "fees": dict.fromkeys(FEES, 0) | {"rotations": [0]}}, "FeeValueMustBeNonZero", "0x632be5a1"),
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


def test_call__for_a_number_of_validators_that_consensus_has_not__is_refused(payer: Payer) -> None:
    with pytest.raises(RpcFailure, match="InvalidNumOfValidators"):
        payer.pay(ZERO, tx_data(TILL.encode(), call_object(None), b""), validators=3)


@pytest.mark.parametrize("validators", [3, 6, 100])
def test_call__where_another_number_of_validators_votes__pays_for_those_that_it_asks_for(
    start: Start, validators: int
) -> None:
    payer = Payer(start(network="studio-next", strict_funds=True, validators=validators))
    sent = payer.pay(payer.deployed(), PAY, value=7)
    voted = len(sent["last_round"]["validator_votes"])
    assert (leader(sent)["execution_result"], voted) == ("SUCCESS", min(validators, 5))
    estimated = _estimate(payer, sent["to_address"], "pay", "alice")["recommendedPreset"]
    assert payer.pay(sent["to_address"], PAY, fees=_numbers(estimated), deposit=int(estimated["feeValue"]))


def test_call__where_validators_come_and_go__is_taken(payer: Payer) -> None:
    till = payer.deployed()
    while len(validators := payer.rpc.call("sim_getAllValidators")) > 1:
        payer.rpc.call("sim_deleteValidator", validators[0]["address"])
    assert len(payer.pay(till, PAY, value=7)["last_round"]["validator_votes"]) == 1
    payer.rpc.call("sim_createRandomValidators", 8)
    assert len(payer.pay(till, PAY)["last_round"]["validator_votes"]) == 5
    assert int(_estimate(payer, till, "later", 2)["recommendedPreset"]["feeValue"]) > 0


@pytest.mark.parametrize("validators", [3, 6, 100])
def test_call__with_validators_of_its_own__pays_for_a_number_that_consensus_has(payer: Payer, validators: int) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    config = {"sim_config": {"validators": [{}] * validators}}
    preset = _estimate(payer, till, "later", 2, **config)["recommendedPreset"]
    fees, deposit = _numbers(preset), int(preset["feeValue"])
    request = payer.request("write", till, "later", 2, fees={**preset, "feeValue": deposit}, **config)
    assert payer.rpc.call("sim_call", request)["execution_result"] == "SUCCESS"
    call = payer.add(till, LATER, fees=fees, allocations=_allocations(preset))
    raw = payer.raw(call, value=deposit)
    sent = payer.transaction(payer.rpc.call("eth_sendRawTransaction", raw, config["sim_config"]))
    assert len(sent["last_round"]["validator_votes"]) == validators
    (child,) = sent["triggered_transactions"]
    assert leader(payer.transaction(child))["execution_result"] == "SUCCESS"


def test_call__in_the_form_without_fees__is_refused_by_name(payer: Payer) -> None:
    call = add_transaction(payer.address, ZERO, tx_data(TILL.encode(), call_object(None), b""))
    with pytest.raises(RpcFailure, match="FeeValueMustBeNonZero"):
        payer.rpc.call("eth_sendRawTransaction", payer.raw(call))


def test_gas__of_a_call_that_would_be_taken__is_the_usual(payer: Payer) -> None:
    call = payer.add(ZERO, tx_data(TILL.encode(), call_object(None), b""))
    asked = {"from": payer.address, "to": MAIN, "data": call, "value": hex(DEPOSIT)}
    assert payer.rpc.call("eth_estimateGas", asked) == TAKEN


def test_call__whose_price_rose_above_its_cap__is_cancelled_and_paid_back(start: Start) -> None:
    payer = Payer(start(network="studio-next", strict_funds=True, auto_mine=False))
    sent = payer.pay(ZERO, tx_data(TILL.encode(), call_object(None), b""))
    assert (sent["status"], payer.balance()) == ("PENDING", 1_000 * GEN - DEPOSIT)
    payer.rpc.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": PRICES.gen_per_time_unit + 1}})
    payer.rpc.call("sim_mine")
    found = payer.transaction(sent["hash"])
    accounting = found["fee_accounting"]
    assert (found["status"], accounting["error"]) == ("CANCELED", "MaxPriceExceeded")
    assert (accounting["refunded_fee_value"], payer.balance()) == (str(DEPOSIT), 1_000 * GEN)


def test_payment__on_a_network_with_fees__needs_none(payer: Payer) -> None:
    to = "0x" + "77" * 20
    payer.rpc.call("eth_sendRawTransaction", payer.raw("0x", to=to, value=5))
    assert payer.balance(to) == 5


# --- messages ---

LATER = tx_data(call_object("later", 2), b"")


def _allocation(till: str, method: bytes = b"pay") -> tuple[Any, ...]:
    params = (100, 200, 0, BUDGET, [0], PRICES.gen_per_time_unit, 0, 0)
    return (1, True, 2**256 - 1, till, method.ljust(32, b"\0"), FOR_MESSAGE, abi_encode([PARAMS_TYPE], [params]))


def test_message__with_its_allocation__is_sent_with_a_deposit_of_its_own(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    fees, deposit = {"totalMessageFees": FOR_MESSAGE}, DEPOSIT + FOR_MESSAGE
    sent = payer.pay(till, LATER, fees=fees, deposit=deposit, allocations=[_allocation(till)])
    (shown,) = sent["fees"]["messageAllocations"]
    assert shown["callKey"] == "0x" + b"pay".ljust(32, b"\0").hex()
    assert (shown["parentIndex"], shown["budget"]) == (str(2**256 - 1), str(FOR_MESSAGE))
    assert sent["fee_accounting"]["message_fee_consumed"] == str(FOR_MESSAGE)
    (child,) = sent["triggered_transactions"]
    assert payer.transaction(child)["fees"]["feeValue"] == str(FOR_MESSAGE)
    assert payer.transaction(child)["fees"]["payer"] == payer.address


def test_transactions__of_an_account__have_the_tree_of_allocations_once(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    preset = _estimate(payer, till, "later", 2)["recommendedPreset"]
    fees = {"fees": _numbers(preset), "deposit": int(preset["feeValue"]), "allocations": _allocations(preset)}
    (child,) = payer.pay(till, LATER, **fees)["triggered_transactions"]
    found = payer.rpc.call("sim_getTransactionsForAddress", till)
    assert json.dumps(found).count(preset["messageAllocations"][0]["feeParams"]) == 1
    assert payer.transaction(child)["fees"]["messageAllocations"] is None


@pytest.mark.parametrize("method", [None, b"put"])
def test_message__without_an_allocation__ends_its_transaction(payer: Payer, method: bytes | None) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    tree = [] if method is None else [_allocation(till, method)]
    fees = {"totalMessageFees": FOR_MESSAGE}
    sent = payer.pay(till, LATER, fees=fees, deposit=DEPOSIT + FOR_MESSAGE, allocations=tree)
    text = leader(sent)["genvm_result"]["error_description"]
    assert text.startswith("fee no_matching_")
    assert text.endswith("# internal")
    assert sent["triggered_transactions"] == []


# --- simulations ---


def _simulated(payer: Payer, till: str, method: str, *args: Any, **fees: Any) -> dict[str, Any]:
    request = payer.request("write", till, method, *args, fees={"distribution": FEES, **fees})
    found: dict[str, Any] = payer.rpc.call("sim_call", request)["fee_accounting"]
    return found


def test_simulation__with_fees__says_what_it_would_cost(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    simulated = _simulated(payer, till, "pay", "alice", feeValue=DEPOSIT)
    real = payer.pay(till, PAY)["fee_accounting"]
    assert int(simulated["execution_fee_report"]["totalEstimatedFee"]) > 0
    assert int(simulated["execution_fee_consumed"]) > 0
    same = (
        "paid_fee_value",
        "execution_fee_report",
        "execution_fee_consumed",
        "fees_distribution",
        "message_fee_budget",
    )
    assert {name: simulated[name] for name in same} == {name: real[name] for name in same}


def test_simulation__with_messages__says_what_they_get(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    fees = {"totalMessageFees": FOR_MESSAGE}
    sent = payer.pay(till, LATER, fees=fees, deposit=DEPOSIT + FOR_MESSAGE, allocations=[_allocation(till)])
    given = {"distribution": {**FEES, **fees}, "messageAllocations": sent["fees"]["messageAllocations"]}
    simulated = _simulated(payer, till, "later", 2, **given)
    assert simulated["message_fee_consumed"] == sent["fee_accounting"]["message_fee_consumed"]
    assert simulated["message_allocations"] == given["messageAllocations"]


def test_simulation__with_messages_and_no_allocation__fails_as_the_call_would(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    with pytest.raises(RpcFailure, match="fee no_matching_"):
        _simulated(payer, till, "later", 2)
    without_fees = payer.rpc.call("sim_call", payer.request("write", till, "later", 2))
    assert (without_fees["execution_result"], without_fees["fee_accounting"]) == ("SUCCESS", None)


@pytest.mark.parametrize(
    "fees",
    [
        [],
        {"distribution": 5},
        {"distribution": {"rotations": 3}},
        {"distribution": {"totalMessageFees": -1}},
        {"messageAllocations": {}},
        {"messageAllocations": [{"recipient": "nobody"}]},
        {"messageAllocations": [{"recipient": ZERO, "callKey": "0x12"}]},
        {"messageAllocations": [{"recipient": ZERO, "messageType": 2}]},
        {"messageAllocations": [{"recipient": ZERO, "onAcceptance": "false"}]},
        {"feeValue": "much"},
    ],
)
def test_simulation__with_fees_that_are_none__is_refused(payer: Payer, fees: Any) -> None:
    till = payer.deployed()
    with pytest.raises(RpcFailure) as caught:
        payer.rpc.call("sim_call", payer.request("write", till, "pay", "alice", fees=fees))
    assert caught.value.code == -32602


@pytest.mark.parametrize("rotations", [[], [0, 0]])
@pytest.mark.parametrize("method", ["sim_call", "gen_call"])
def test_simulation__with_rotations_that_do_not_fit_its_appeals__is_refused_by_name(
    payer: Payer, method: str, rotations: list[int]
) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    preset = _estimate(payer, till, "later", 2)["recommendedPreset"]
    (allocation,) = preset["messageAllocations"]
    params = (100, 200, 0, BUDGET, rotations, 0, 0, 0)
    allocation["feeParams"] = "0x" + abi_encode([PARAMS_TYPE], [params]).hex()
    with pytest.raises(RpcFailure, match="execution reverted: InvalidAppealRounds"):
        payer.rpc.call(method, payer.request("write", till, "later", 2, fees=preset))


@pytest.mark.parametrize("value", [[], {}, False, "", "much"])
def test_simulation__with_a_value_that_is_no_number__is_refused(payer: Payer, value: Any) -> None:
    till = payer.deployed()
    sent = {"from": payer.rpc.call("eth_accounts")[0], "to": MAIN, "data": payer.add(till, PAY)}
    for method, asked in (
        ("sim_call", payer.request("write", till, "pay", "alice")),
        ("sim_estimateTransactionFees", payer.request("write", till, "pay", "alice")),
        ("eth_estimateGas", sent),
        ("eth_sendTransaction", sent),
    ):
        with pytest.raises(RpcFailure, match="value: a number") as caught:
            payer.rpc.call(method, {**asked, "value": value})
        assert caught.value.code == -32602


# --- estimates ---


def _estimate(payer: Payer, till: str, method: str, *args: Any, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = payer.rpc.call(
        "sim_estimateTransactionFees", payer.request("write", till, method, *args, **fields)
    )
    return found


def _allocations(preset: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            one["messageType"],
            one["onAcceptance"],
            int(one["parentIndex"]),
            one["recipient"],
            bytes.fromhex(one["callKey"][2:]),
            int(one["budget"]),
            bytes.fromhex(one["feeParams"][2:]),
        )
        for one in preset["messageAllocations"]
    ]


@pytest.mark.parametrize(("method", "args", "messages"), [("pay", ["alice"], 0), ("later", [2], 1)])
def test_estimate__of_a_call__is_enough_for_it(payer: Payer, method: str, args: list[Any], messages: int) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    preset = _estimate(payer, till, method, *args)["recommendedPreset"]
    data, deposit = tx_data(call_object(method, *args), b""), int(preset["feeValue"])
    sent = payer.pay(till, data, fees=_numbers(preset), deposit=deposit, allocations=_allocations(preset))
    assert leader(sent)["execution_result"] == "SUCCESS"
    assert len(sent["triggered_transactions"]) == len(preset["messageAllocations"]) == messages
    for child in sent["triggered_transactions"]:
        assert leader(payer.transaction(child))["execution_result"] == "SUCCESS"
    with pytest.raises(RpcFailure, match="InsufficientFees"):
        payer.pay(till, data, fees=_numbers(preset), deposit=deposit - 1, allocations=_allocations(preset))


def _numbers(preset: dict[str, Any]) -> dict[str, Any]:
    given = preset["distribution"]
    return {name: list(map(int, value)) if name == "rotations" else int(value) for name, value in given.items()}


def test_estimate__with_wishes_for_appeals_and_time__keeps_them(payer: Payer) -> None:
    till = payer.deployed()
    usual = _estimate(payer, till, "pay", "alice")["recommendedPreset"]
    wishes = {"appealRounds": 1, "rotations": [0, 1], "leaderTimeunitsAllocation": 300}
    asked = _estimate(payer, till, "pay", "alice", fees={"distribution": wishes})["recommendedPreset"]
    assert asked["distribution"] == {
        **usual["distribution"], "appealRounds": "1", "rotations": ["0", "1"], "leaderTimeunitsAllocation": "300"
    }  # fmt: skip
    assert int(asked["feeValue"]) > int(usual["feeValue"])
    with pytest.raises(RpcFailure, match="MaxPriceExceeded"):
        _estimate(payer, till, "pay", "alice", fees={"distribution": {"maxPriceGenPerTimeUnit": ABOVE}})
    with pytest.raises(RpcFailure, match=r"InsufficientFees: more than 2\*\*256"):
        _estimate(payer, till, "pay", "alice", fees={"distribution": {"maxPriceGenPerTimeUnit": 2**256 - 1}})


def test_estimate__of_a_call_that_fails__says_why(payer: Payer) -> None:
    with pytest.raises(RpcFailure, match="execution failed: no"):
        _estimate(payer, payer.deployed(), "refuse", "no")


def test_estimate__at_the_highest_prices__is_an_amount(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    prices = dict.fromkeys(payer.rpc.call("sim_getFeeConfig")["policy"], str(2**96 - 1))
    payer.rpc.call("sim_setFeeConfig", {"policy": {**prices, "timeUnitOverlayBps": 9_999}})
    preset = _estimate(payer, till, "later", 2)["recommendedPreset"]
    assert 2**192 < int(preset["feeValue"]) < 2**256
    assert len(payer.add(till, LATER, fees=_numbers(preset), allocations=_allocations(preset))) > 0


def test_estimate__leaves_nothing(payer: Payer) -> None:
    till = payer.deployed()
    payer.pay(till, PAY, value=7)
    before = payer.balance(), payer.balance(till), payer.read(till, "get"), payer.rpc.call("eth_blockNumber")
    _estimate(payer, till, "later", 2)
    assert before == (payer.balance(), payer.balance(till), payer.read(till, "get"), payer.rpc.call("eth_blockNumber"))


def test_estimate__where_there_are_no_fees__is_nothing(client: Client, till: str) -> None:
    found = client.rpc.call("sim_estimateTransactionFees", client.request("write", till, "put", 7))
    assert (found["enabled"], found["recommendedPreset"]["feeValue"]) == (False, "0")


def test_estimate__of_a_read__is_refused(payer: Payer) -> None:
    with pytest.raises(RpcFailure, match="a read costs nothing"):
        payer.rpc.call("sim_estimateTransactionFees", payer.request("read", payer.deployed(), "get"))


# --- what is paid later ---


NOTHING, WISHED = (0, 0, 0, 0, 0, 0, [0], 0, 0, 0), (0, 0, 0, 0, 0, 7, [], 0, 0, 0)
"""What genlayer-py sends with an appeal; a budget of 7 wei for messages."""


def _about(
    payer: Payer,
    function: str,
    transaction: dict[str, Any],
    decision: int | None = None,
    distribution: tuple[Any, ...] | None = None,
    **raw: Any,
) -> str:
    """Appeals, or tops up."""
    kinds, values = ["bytes32"], [bytes.fromhex(transaction["hash"][2:])]
    if decision is not None:
        kinds, values = [*kinds, "uint256"], [*values, decision]
    if "topUp" in function:
        kinds, values = [*kinds, FEES_TYPE], [*values, distribution or (WISHED if decision is None else NOTHING)]
    call = keccak(text=f"{function}({','.join(kinds)})")[:4] + abi_encode(kinds, values)
    answer: str = payer.rpc.call("eth_sendRawTransaction", payer.raw("0x" + call.hex(), **raw))
    return answer


def test_top_up__of_another__is_in_the_deposit_and_comes_back(payer: Payer) -> None:
    sent, other = payer.pay(payer.deployed(), PAY), Payer(payer.rpc)
    answer = _about(other, "topUpFees", sent, value=1_000)
    assert answer != sent["hash"]
    assert payer.rpc.call("eth_getTransactionReceipt", answer)["status"] == "0x1"
    accounting = payer.transaction(sent["hash"])["fee_accounting"]
    assert (accounting["paid_fee_value"], accounting["message_fee_budget"]) == (str(DEPOSIT + 1_000), "7")
    assert other.balance() == 1_000 * GEN - 1_000
    payer.rpc.call("sim_increaseTime", 100)
    assert other.balance() == 1_000 * GEN
    with pytest.raises(RpcFailure, match="CanNotTopUp"):
        _about(other, "topUpFees", sent, value=1_000)


@pytest.mark.parametrize("function", ["topUpFees", "submitAppeal"])
def test_payment_for_a_transaction__sent_again__is_made_once_and_answered_as_before(
    payer: Payer, function: str
) -> None:
    sent, other = payer.pay(payer.deployed(), PAY), Payer(payer.rpc)
    _, bond, funding = _charge(payer, sent)
    answers = {_about(other, function, sent, value=bond + funding, nonce=0) for _ in range(3)}
    assert other.balance() == 1_000 * GEN - bond - funding
    (answer,) = answers
    assert (answer == sent["hash"]) == (function == "submitAppeal")


def test_top_up__with_a_nonce_that_is_used_up__is_refused(payer: Payer) -> None:
    sent = payer.pay(payer.deployed(), PAY)
    before = payer.balance()
    with pytest.raises(RpcFailure, match="nonce too low"):
        _about(payer, "topUpFees", sent, value=1_000, nonce=0)
    assert payer.balance() == before


def test_top_up__that_its_payer_has_not__is_refused(payer: Payer) -> None:
    sent, poor = payer.pay(payer.deployed(), PAY), Payer(payer.rpc, wei=999)
    with pytest.raises(RpcFailure, match="insufficient funds"):
        _about(poor, "topUpFees", sent, value=1_000)


def _charge(payer: Payer, transaction: dict[str, Any]) -> tuple[int, int, int]:
    found = payer.rpc.call("gen_estimateLatestAppealCharge", {"txId": transaction["hash"]})
    assert found["appealDeadline"] == transaction["timestamp_awaiting_finalization"] + 60
    return int(found["decisionId"]), int(found["bond"]), int(found["funding"])


@pytest.mark.parametrize("function", ["submitAppeal", "topUpAndSubmitAppeal"])
def test_appeal__with_its_charge__is_made_once(payer: Payer, function: str) -> None:
    sent, other = payer.pay(payer.deployed(), PAY), Payer(payer.rpc)
    decision, bond, funding = _charge(payer, sent)
    assert (decision, bond > 0, funding > 0) == (1, True, True)
    with pytest.raises(RpcFailure, match=r"InsufficientFees.*0x8d53e553"):
        _about(other, function, sent, 1, value=bond + funding - 1)
    with pytest.raises(RpcFailure, match="nonce too high"):
        _about(other, function, sent, 1, value=bond + funding, nonce=5)
    assert _about(other, function, sent, 1, value=bond + funding) == sent["hash"]
    assert other.balance() == 1_000 * GEN - bond - funding
    assert _charge(payer, sent)[0] == 2
    with pytest.raises(RpcFailure, match="CanNotAppeal: it is for decision 1, and the latest one is 2"):
        _about(other, function, sent, 1, value=bond + funding)


@pytest.mark.parametrize(
    "distribution", [WISHED, (0, 0, 1, 0, 0, 0, [0, 0], 0, 0, 0), (0, 0, 0, 0, 0, 0, [1], 0, 0, 0)]
)
def test_appeal__with_a_distribution_of_its_own__is_refused(payer: Payer, distribution: tuple[Any, ...]) -> None:
    sent, other = payer.pay(payer.deployed(), PAY), Payer(payer.rpc)
    with pytest.raises(RpcFailure, match="CanNotTopUp"):
        _about(other, "topUpAndSubmitAppeal", sent, 1, distribution, value=GEN)
    assert (other.balance(), _charge(payer, sent)[0]) == (1_000 * GEN, 1)


def test_appeal__of_what_is_final__has_no_charge(payer: Payer) -> None:
    sent = payer.pay(payer.deployed(), PAY)
    payer.rpc.call("sim_increaseTime", 100)
    with pytest.raises(RpcFailure, match="CanNotAppeal"):
        _charge(payer, sent)


def test_appeal__where_there_are_no_fees__takes_nothing(client: Client, till: str) -> None:
    sent, other = client.write(till, "put", 7), Payer(client.rpc)
    assert _charge(other, sent) == (1, 0, 0)
    _about(other, "topUpAndSubmitAppeal", sent, 1, value=5, nonce=9)
    assert other.balance() == 1_000 * GEN


def test_money__once_everything_is_final__is_all_there(payer: Payer) -> None:
    till, other = payer.deployed(), Payer(payer.rpc)
    payer.pay(till, PAY, value=7)
    preset = _estimate(payer, till, "later", 2)["recommendedPreset"]
    deposit = int(preset["feeValue"])
    sent = payer.pay(till, LATER, fees=_numbers(preset), deposit=deposit, allocations=_allocations(preset))
    _about(other, "topUpFees", sent, value=1_000)
    _, bond, funding = _charge(payer, sent)
    _about(other, "submitAppeal", sent, 1, value=bond + funding)
    payer.rpc.call("sim_increaseTime", 100)
    accounts = (payer.address, other.address, till, "0x" + FEE_ACCOUNT.hex())
    assert sum(map(payer.balance, accounts)) == 2_000 * GEN
    assert payer.balance("0x" + FEE_ACCOUNT.hex()) > bond
