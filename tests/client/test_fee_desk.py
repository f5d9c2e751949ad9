"""What a transaction deposits on a network with fees: asked of the node, taken from a profile, shown, and bounded."""

import ast
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api_billing.contract_api import CONSUMER_MESSAGES, COURT_METHODS, MESSAGES, METHODS, CourtMethod, Method
from api_billing.errors import ContractNotFound, ContractRejected, Unfunded, Unreachable, WouldFail
from api_billing.fee_desk import FeeDesk
from api_billing.fee_profile import FeeProfile, Measured
from api_billing.fees import ANY_CALL, ROOT, Allocation, Distribution, Fees, Prices, call_key
from api_billing.networks import find_network
from api_billing.sending import Payload, call, deployment
from api_billing.transport import RpcProvider

from .conftest import ONE_GEN, never_sleep
from .scripted_node import HANG_UP, error, scripted_node

SENDER, CONTRACT, BILLING, OTHER = ("0x" + each * 20 for each in ("a1", "b2", "c3", "d4"))
PRICES = Prices(1_000, 20, 3, floor_wei=500)
CONFIG = {
    "enabled": True,
    "policy": {
        "genPerTimeUnit": 1_000,
        "storageUnitPrice": 20,
        "receiptGasPrice": 3,
        "messageFeeParamsBudgetFloor": 500,
    },
}
PROFILE = FeeProfile({"subscribe": Measured(10, 20, 7_000, 0, 1), "": Measured(execution_budget_wei=1)})
PRESET = {
    "distribution": {"leaderTimeunitsAllocation": 7, "totalMessageFees": "9", "rotations": [2]},
    "feeValue": "12345",
    "messageAllocations": [{"messageType": 1, "onAcceptance": True, "recipient": OTHER, "budget": "9"}],
}
RICH = {"result": hex(10**18)}
NO_ESTIMATE = error(-32601, "no such method")
CALL = call(CONTRACT, Method.SUBSCRIBE, ["a"], 5)


class Asked:
    """A desk that was asked once: what it said, what it told, and what the node was asked for."""

    def __init__(self, *answers: Any, payload: Payload = CALL, args: Any = (), **options: Any) -> None:
        billing: Callable[[], str] | None = options.pop("billing", None)
        network: str = options.pop("network", "localnet")
        self.told: list[Fees] = []
        with scripted_node(*answers) as node:
            provider = RpcProvider(node.url, sleep=never_sleep)
            desk = FeeDesk(find_network(network, node.url), provider, profile=PROFILE, **options)
            desk.tell, desk.billing = self.told.append, billing
            try:
                self.fees = desk.fees_of(SENDER, payload, args)
            finally:
                self.methods, self.params = node.methods, node.params


@pytest.mark.parametrize(
    "answer", [{"result": {"enabled": False}}, error(-32601, "no such method"), error(-32000, "?")]
)
def test_fees__network_without__are_none_and_nothing_is_told(answer: Any) -> None:
    asked = Asked(answer)
    assert (asked.fees, asked.told, asked.methods) == (None, [], ["sim_getFeeConfig"])


def test_fees__testnet__are_not_asked_for() -> None:
    assert Asked(HANG_UP, network="testnet-bradbury").methods == []


def test_fees__node_cannot_be_asked__are_not_guessed() -> None:
    with pytest.raises(Unreachable):
        Asked(HANG_UP)


def test_fees__call_that_the_contract_would_refuse__is_refused_before_it_costs() -> None:
    receipt = {"receipt": {"result": base64.b64encode(b"\x01[EXPECTED] api_paused: api is paused").decode()}}
    with pytest.raises(ContractRejected) as refused:
        Asked({"result": CONFIG}, error(-32000, "execution failed", receipt), RICH)
    assert (refused.value.code, refused.value.tx) == ("api_paused", None)


@pytest.mark.parametrize("result", [b"\x02exit_code 1", b"\x01of another form"])
def test_fees__call_that_would_fail_in_another_way__is_refused_with_what_it_ends_with(result: bytes) -> None:
    receipt = {"receipt": {"result": base64.b64encode(result).decode()}}
    with pytest.raises(WouldFail, match=f"subscribe would fail in the contract at {CONTRACT}: {result[1:].decode()}"):
        Asked({"result": CONFIG}, error(-32000, "execution failed", receipt), RICH)


def test_fees__call_of_no_contract__is_refused() -> None:
    with pytest.raises(ContractNotFound):
        Asked({"result": CONFIG}, error(-32001, "Contract not found"), RICH)


def test_fees__node_estimates__are_what_it_recommends_and_are_told() -> None:
    asked = Asked({"result": CONFIG}, {"result": {"recommendedPreset": PRESET}}, RICH)
    allocation = Allocation(True, True, OTHER, ANY_CALL, 9)
    distribution = Distribution(leader_time_units=7, message_fees_wei=9, rotations=(2,))
    assert asked.fees == Fees(distribution, (allocation,), 12_345)
    assert asked.told == [asked.fees]


def test_estimate__of_a_write__asks_as_genlayer_py_does() -> None:
    asked = Asked({"result": CONFIG}, {"result": {"recommendedPreset": PRESET}}, RICH)
    assert asked.methods == ["sim_getFeeConfig", "sim_estimateTransactionFees", "eth_getBalance"]
    ((request,),) = asked.params[1:2]
    fees = request.pop("fees")
    assert request == {
        "type": "write",
        "to": CONTRACT,
        "from": SENDER,
        "data": "0x" + CALL.data.hex(),
        "transaction_hash_variant": "latest-nonfinal",
        "value": "0x5",
    }
    assert fees["distribution"]["executionBudgetPerRound"] == 7_000
    assert (fees["messageAllocations"], fees["feeValue"] > 0) == ([], True)


@pytest.mark.parametrize("answer", [NO_ESTIMATE, error(-32000, "cannot"), {"result": {}}, {"result": None}])
def test_fees__node_that_cannot_estimate__are_those_of_the_profile(answer: Any) -> None:
    fees = Asked({"result": CONFIG}, answer, RICH).fees
    caps = {"max_time_unit_wei": 1_200, "max_storage_unit_wei": 24, "max_receipt_gas_wei": 4}
    distribution = Distribution(10, 20, execution_budget_wei=7_000, rotations=(1,), **caps)
    assert fees == Fees(distribution, (), 2 * ((10 + 5 * 20) * 1_200 + 7_000))


def test_fees__method_that_no_profile_has__are_enough_for_any() -> None:
    fees = Asked({"result": CONFIG}, NO_ESTIMATE, RICH, payload=call(CONTRACT, "unheard_of", [])).fees
    assert fees is not None
    assert fees.distribution.execution_budget_wei == PRICES.usual_execution_wei


def test_fees__deployment__are_of_the_profile_and_enough_for_any_contract() -> None:
    asked = Asked({"result": CONFIG}, RICH, payload=deployment(b"#"))
    assert asked.fees is not None
    assert asked.fees.distribution.execution_budget_wei == PRICES.usual_execution_wei
    assert asked.methods == ["sim_getFeeConfig", "eth_getBalance"]


ESTIMATED = {"result": CONFIG}, {"result": {"recommendedPreset": PRESET}}


@pytest.mark.parametrize("most", [None, 12_345])
def test_fees__up_to_the_most_that_is_allowed__are_told(most: int | None) -> None:
    assert Asked(*ESTIMATED, RICH, max_wei=most).told


@pytest.mark.parametrize("most", [12_344, 0])
def test_fees__above_the_most_that_is_allowed__are_refused(most: int) -> None:
    with pytest.raises(Unfunded, match=r"at most 0\.000012345 Gwei, and --max-fee .* allows no more than") as refused:
        Asked(*ESTIMATED, RICH, max_wei=most)
    assert refused.value.deposit_wei == 12_345


def test_fees__account_has_just_so_much__are_told() -> None:
    assert Asked(*ESTIMATED, {"result": hex(12_350)}).told


def test_fees__account_has_not_so_much__are_refused_with_both_amounts() -> None:
    with pytest.raises(Unfunded, match=f"besides the 5 wei to send, and {SENDER} has"):
        Asked(*ESTIMATED, {"result": hex(12_349)})


# ---- messages ----


def by_table(method: str, args: Any = (), **options: Any) -> Fees:
    payload = call(CONTRACT, method, args)
    fees = Asked({"result": CONFIG}, NO_ESTIMATE, RICH, payload=payload, args=args, **options).fees
    assert fees is not None
    return fees


@pytest.mark.parametrize("method", [Method.WITHDRAW_CREDIT, Method.WITHDRAW_EARNINGS])
@pytest.mark.parametrize(("args", "payee"), [((7, ""), SENDER), ((7, OTHER), OTHER), ((7,), SENDER)])
def test_messages__of_a_withdrawal__are_one_to_the_payee(method: str, args: Any, payee: str) -> None:
    (payout,) = by_table(method, args).allocations
    assert (payout.is_internal, payout.on_acceptance, payout.recipient, payout.call_key) == (
        False,
        False,
        payee,
        bytes(32),
    )


def test_messages__of_a_fetch__are_a_tree_of_depth_three() -> None:
    fees = by_table("fetch", billing=lambda: BILLING)
    asked, *answers = fees.allocations
    assert (asked.parent, asked.recipient, asked.call_key) == (ROOT, BILLING, call_key("request_call"))
    assert [each.call_key for each in answers] == [call_key("on_call_billed"), call_key("on_call_denied")]
    assert {(each.parent, each.recipient, each.is_internal, each.on_acceptance) for each in answers} == {
        (0, CONTRACT, True, True)
    }
    assert asked.budget_wei > sum(each.budget_wei for each in answers)


@pytest.mark.parametrize(("to", "messages"), [(CONTRACT, 1), (BILLING, 0)])
def test_messages__of_a_name_that_both_have__are_those_of_the_contract_that_is_called(to: str, messages: int) -> None:
    payload = call(to, "subscribe", [ONE_GEN])
    fees = Asked({"result": CONFIG}, NO_ESTIMATE, RICH, payload=payload, billing=lambda: BILLING).fees
    assert fees is not None
    assert len(fees.allocations) == messages


def test_messages__to_a_billing_contract_that_is_not_known__are_left_to_the_estimate() -> None:
    assert by_table("fetch").allocations == by_table(CourtMethod.JUDGE, (1,)).allocations == ()


def test_messages__of_a_court__go_to_its_billing_contract() -> None:
    found = by_table(CourtMethod.JUDGE, (1,), billing=lambda: BILLING).allocations
    assert [(each.recipient, each.call_key) for each in found] == [
        (BILLING, call_key("refund_by_court")),
        (BILLING, call_key("top_up_for")),
    ]


def test_messages__budgets__are_part_of_the_deposit() -> None:
    without, fees = by_table("subscribe"), by_table("fetch", billing=lambda: BILLING)
    assert without.distribution.message_fees_wei == 0
    assert fees.distribution.message_fees_wei == fees.allocations[0].budget_wei
    assert fees.deposit_wei == fees.distribution.deposit_wei(PRICES)


def test_messages__external_below_an_internal_one__are_paid_by_the_transaction() -> None:
    fees = by_table(Method.WITHDRAW_CREDIT, (7,))
    assert fees.distribution.message_fees_wei == fees.allocations[0].budget_wei == 100_000 * 4
    assert fees.deposit_wei == fees.distribution.deposit_wei(PRICES)


def test_messages__estimate_names_some__are_those() -> None:
    payload = call(CONTRACT, Method.WITHDRAW_CREDIT, (7,))
    fees = Asked({"result": CONFIG}, {"result": {"recommendedPreset": PRESET}}, RICH, payload=payload).fees
    assert fees is not None
    assert [each.recipient for each in fees.allocations] == [OTHER]


def test_messages__estimate_names_none__are_those_of_the_table_too() -> None:
    preset = {"distribution": {"rotations": [0], "executionBudgetPerRound": 1}, "feeValue": 50}
    payload = call(CONTRACT, Method.WITHDRAW_CREDIT, (7,))
    fees = Asked({"result": CONFIG}, {"result": {"recommendedPreset": preset}}, RICH, payload=payload).fees
    assert fees is not None
    assert (len(fees.allocations), fees.deposit_wei) == (1, 50 + 400_000)


def test_messages__of_the_tables__are_calls_of_methods_that_there_are() -> None:
    assert set(MESSAGES) <= {*METHODS, *COURT_METHODS}
    source = (Path(__file__).parents[2] / "contracts" / "examples" / "metered_fetch.py").read_text(encoding="utf-8")
    theirs = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert set(CONSUMER_MESSAGES) <= theirs
    for messages in (*MESSAGES.values(), *CONSUMER_MESSAGES.values()):
        for each in messages:
            assert not each.method or each.method in METHODS
            assert {answer.method for answer in each.sends} <= theirs
