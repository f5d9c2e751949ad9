"""The client against the contract on a localnet server, with genlayer-py in between."""

import base64
import inspect
from typing import Any

import pytest
from eth_account import Account

from api_billing.client import BillingClient
from api_billing.contract_api import DAY_SECONDS, METHODS, Kind, Method
from api_billing.errors import (
    ContractNotFound,
    ContractRejected,
    DepositKept,
    InvalidInput,
    NoContract,
    OutcomeUnknown,
    TransactionFailed,
    UnexpectedAnswer,
    Unreachable,
)
from api_billing.networks import Network, find_network
from api_billing.results import SettlementEntry
from api_billing.unlocked import unlocked_account

from .conftest import ONE_GEN, MakeClient, never_sleep
from .scripted_node import HANG_UP, error, scripted_node

PRICE = ONE_GEN // 100
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
NOBODY = "0x" + "99" * 20


@pytest.fixture
def subscribed(consumer: BillingClient, api: str) -> BillingClient:
    consumer.subscribe(api, ONE_GEN, 5 * ONE_GEN)
    return consumer


def today(client: BillingClient) -> int:
    return client.connection.now() // DAY_SECONDS


@pytest.mark.parametrize("method", Method)
def test_client__every_method_of_the_contract__is_a_typed_method(method: Method) -> None:
    signature = inspect.signature(getattr(BillingClient, method.value))
    assert signature.return_annotation is not inspect.Signature.empty
    own = [name for name, each in signature.parameters.items() if name != "self" and each.kind is not KEYWORD_ONLY]
    wanted = [name.removesuffix("_address") for name in METHODS[method].parameters]
    renamed = {"initial_deposit_wei": "deposit_wei", "amount": "amount_wei"}
    assert own == [renamed.get(name, name) for name in wanted]


@pytest.mark.parametrize("method", [method for method in Method if METHODS[method].kind is not Kind.VIEW])
def test_client__writes__tell_their_transaction(method: Method) -> None:
    assert inspect.signature(getattr(BillingClient, method.value)).return_annotation.startswith("Written[")


# ---- operator ----


def test_register_api__free_name__can_be_shown(operator: BillingClient, api: str) -> None:
    found = operator.get_api(api)
    assert (found.operator, found.active, found.next_sequence) == (operator.address.lower(), True, 1)
    assert found.plans[0].cost_per_call_wei == PRICE


def test_register_api__name_of_another__is_refused_with_code_and_transaction(client: MakeClient, api: str) -> None:
    with pytest.raises(ContractRejected) as refused:
        client("stranger").register_api(api, 1, 1)
    assert refused.value.code == "not_operator"
    assert str(refused.value.tx).startswith("0x")
    assert refused.value.hint == "use the operator's account"


def test_set_plan__further_plan__is_listed(operator: BillingClient, api: str) -> None:
    operator.set_plan(api, "free", 0, daily_limit_calls=3)
    assert [plan.plan_name for plan in operator.get_api(api).plans] == ["standard", "free"]


def test_set_api_active__paused__refuses_calls(operator: BillingClient, subscribed: BillingClient, api: str) -> None:
    operator.set_api_active(api, False)
    assert subscribed.quote_call(api, subscribed.address).code == "api_paused"


def test_set_meter__allowed__may_bill(
    operator: BillingClient, subscribed: BillingClient, client: MakeClient, api: str
) -> None:
    meter = client("meter")
    operator.set_meter(api, meter.address)
    assert meter.consume_credit(api, subscribed.address).result.cost_wei == PRICE


def test_accept_operator__proposed__takes_over(operator: BillingClient, client: MakeClient, api: str) -> None:
    heir = client("heir")
    operator.propose_operator(api, heir.address)
    heir.accept_operator(api)
    assert heir.get_api(api).operator == heir.address.lower()


def test_withdraw_earnings__earned__leaves_them_withdrawn(
    operator: BillingClient, subscribed: BillingClient, api: str
) -> None:
    subscribed.consume_credit(api, subscribed.address, calls=2)
    operator.withdraw_earnings(PRICE)
    earnings = operator.get_earnings(operator.address)
    assert (earnings.earnings_wei, earnings.withdrawn_wei) == (PRICE, PRICE)


def test_list_apis__all__has_this_one(operator: BillingClient, api: str) -> None:
    assert api in [each.api_name for each in operator.iterate_apis()]
    assert operator.list_apis(0, 1).total == len(list(operator.iterate_apis()))


# ---- consumer ----


def test_subscribe__with_deposit__tells_what_was_accepted(consumer: BillingClient, api: str) -> None:
    written = consumer.subscribe(api, ONE_GEN, 5 * ONE_GEN)
    accepted = written.result
    assert (accepted.accepted_price_wei, accepted.credit_wei, accepted.plan_name) == (PRICE, 5 * ONE_GEN, "standard")
    assert (written.status, "[Subscribed]" in written.stdout) == ("ACCEPTED", True)


def test_subscribe__refused_with_deposit__tells_what_was_kept(consumer: BillingClient) -> None:
    with pytest.raises(DepositKept) as kept:
        consumer.subscribe("nobodys-api", ONE_GEN, 3 * ONE_GEN)
    assert (kept.value.code, kept.value.credited_wei) == ("api_not_registered", 3 * ONE_GEN)
    assert consumer.get_account(consumer.address).credit_wei == 3 * ONE_GEN


def test_subscribe__refused_without_deposit__is_an_ordinary_refusal(consumer: BillingClient) -> None:
    with pytest.raises(ContractRejected) as refused:
        consumer.subscribe("nobodys-api", ONE_GEN)
    assert not isinstance(refused.value, DepositKept)


def test_unsubscribe__subscribed__ends_it(subscribed: BillingClient, api: str) -> None:
    subscribed.unsubscribe(api)
    assert subscribed.get_account(subscribed.address).subscriptions == ()


def test_top_up_credit__value__is_credit(consumer: BillingClient) -> None:
    assert consumer.top_up_credit(ONE_GEN).result.credit_wei == ONE_GEN


def test_top_up_for__another__is_that_ones_credit(consumer: BillingClient, client: MakeClient) -> None:
    friend = client("friend")
    assert consumer.top_up_for(friend.address, 7).result.credited_wei == 7
    assert friend.get_account(friend.address).credit_wei == 7


def test_withdraw_credit__more_than_there_is__is_refused(consumer: BillingClient) -> None:
    with pytest.raises(ContractRejected, match="insufficient_credit"):
        consumer.withdraw_credit(1)


def test_withdraw_credit__until_final__waits_for_the_payout(
    consumer: BillingClient, client: MakeClient, network: Network
) -> None:
    consumer.top_up_credit(5 * ONE_GEN)
    patient = client("consumer", on="finalized", sleep=lambda _: _pass_time(consumer))
    before = patient.connection.balance_wei(patient.address)
    written = patient.withdraw_credit(5 * ONE_GEN)
    assert (written.status, len(written.children)) == ("FINALIZED", 1)
    assert patient.connection.balance_wei(patient.address) == before + 5 * ONE_GEN


def _pass_time(client: BillingClient) -> None:
    client.connection.provider.result("sim_increaseTime", 3_600)


def test_set_low_credit_alert__percentage__is_kept(consumer: BillingClient) -> None:
    consumer.set_low_credit_alert(50)
    assert consumer.get_account(consumer.address).alert_percent == 50


def test_place_hold__then_release_by_the_operator__is_free_credit_again(
    operator: BillingClient, subscribed: BillingClient, api: str
) -> None:
    subscribed.place_hold(api, ONE_GEN, subscribed.connection.now() + DAY_SECONDS)
    assert subscribed.get_account(subscribed.address).held_wei == ONE_GEN
    operator.release_hold(api, subscribed.address)
    assert subscribed.get_account(subscribed.address).credit_wei == 5 * ONE_GEN


# ---- billing ----


def test_consume_credit__allowed__gives_a_receipt_that_is_genuine(subscribed: BillingClient, api: str) -> None:
    receipt = subscribed.consume_credit(api, subscribed.address, calls=3).result
    assert (receipt.call_no, receipt.cost_wei) == (3, 3 * PRICE)
    assert subscribed.get_receipt(receipt.receipt_id).valid


def test_consume_credit__same_request_again__bills_once(subscribed: BillingClient, api: str) -> None:
    first = subscribed.consume_credit(api, subscribed.address, request_id="r1")
    again = subscribed.consume_credit(api, subscribed.address, request_id="r1")
    assert again.result == first.result
    assert again.tx != first.tx


def test_consume_credit__beyond_the_limit__is_refused_as_quoted(subscribed: BillingClient, api: str) -> None:
    quote = subscribed.quote_call(api, subscribed.address, calls=101)
    with pytest.raises(ContractRejected) as refused:
        subscribed.consume_credit(api, subscribed.address, calls=101)
    assert refused.value.code == quote.code == "daily_limit_exceeded"


def test_request_call__from_an_account__is_refused(consumer: BillingClient, api: str) -> None:
    with pytest.raises(ContractRejected, match="caller_not_contract"):
        consumer.request_call(api, "r1")


def test_settle_usage__entries__tell_what_was_billed(
    operator: BillingClient, subscribed: BillingClient, api: str
) -> None:
    day = today(subscribed)
    entries = [
        SettlementEntry(subscribed.address, day, 4, 4 * PRICE),
        SettlementEntry(subscribed.address, day - 9, 1, PRICE),
    ]
    done = operator.settle_usage(api, 1, entries).result
    assert (done.billed_calls, [entry.code for entry in done.entries]) == (4, ["", "day_closed"])
    assert operator.get_settlement(api).settlement == done


def test_settle_usage__gap__is_refused(operator: BillingClient, api: str) -> None:
    with pytest.raises(ContractRejected, match="sequence_gap"):
        operator.settle_usage(api, 5, [SettlementEntry(NOBODY, today(operator), 1, 0)])


# ---- views ----


def test_get_usage_report__after_calls__counts_them(subscribed: BillingClient, api: str) -> None:
    subscribed.consume_credit(api, subscribed.address, calls=2)
    report = subscribed.get_usage_report(subscribed.address)
    assert (report.apis[0].api_name, report.apis[0].calls_today, report.day_id) == (api, 2, today(subscribed))


def test_get_usage_history__after_calls__has_the_day(subscribed: BillingClient, api: str) -> None:
    subscribed.consume_credit(api, subscribed.address)
    day = today(subscribed)
    (used,) = subscribed.get_usage_history(subscribed.address, api, day - 1, day)
    assert (used.day_id, used.calls, used.spend_wei) == (day, 1, PRICE)


def test_list_notices__refused_settlement__is_told(
    operator: BillingClient, subscribed: BillingClient, api: str
) -> None:
    operator.settle_usage(api, 1, [SettlementEntry(subscribed.address, 0, 1, 0)])
    (notice,) = subscribed.list_notices(subscribed.address)
    assert (notice.kind, notice.code, notice.calls) == ("settlement", "day_closed", 1)


def test_get_solvency__any_time__owes_no_more_than_it_holds(consumer: BillingClient) -> None:
    assert consumer.get_solvency().surplus_wei >= 0


def test_consumer_integration_example__is_a_text(consumer: BillingClient) -> None:
    assert "request_call" in consumer.consumer_integration_example()


def test_view__refused__has_a_code_and_no_transaction(consumer: BillingClient) -> None:
    with pytest.raises(ContractRejected) as refused:
        consumer.get_api("nobodys-api")
    assert (refused.value.code, refused.value.tx) == ("api_not_registered", None)


def test_view__without_account__works(network: Network, contract: str) -> None:
    assert BillingClient(network, contract=contract).get_account(NOBODY).credit_wei == 0


def test_view__no_contract_there__says_so(network: Network) -> None:
    with pytest.raises(ContractNotFound, match=NOBODY):
        BillingClient(network, contract=NOBODY).get_solvency()


# ---- accounts, addresses, errors ----


def test_write__without_account__says_how_to_name_one(network: Network, contract: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        BillingClient(network, contract=contract).top_up_credit(1)
    assert "--account" in refused.value.hint


def test_write__open_account__is_signed_by_the_node(network: Network, contract: str, consumer: BillingClient) -> None:
    account = unlocked_account(consumer.connection.provider, 3)
    opened = BillingClient(network, contract=contract, account=account)
    assert opened.top_up_credit(5).result.credited_wei == 5
    assert opened.get_account(account.address).credit_wei >= 5


def test_client__no_deployment_recorded__says_how_to_deploy(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_DEPLOYMENTS", str(tmp_path))
    with pytest.raises(NoContract) as refused:
        BillingClient("localnet")
    assert "api-billing deploy" in refused.value.hint


def test_client__unknown_phase__is_refused(network: Network, contract: str) -> None:
    with pytest.raises(InvalidInput, match="'final'"):
        BillingClient(network, contract=contract, on="final")  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["", "0x12", "0x" + "zz" * 20, "nobody"])
def test_client__bad_address__is_refused_before_anything_is_sent(address: str, consumer: BillingClient) -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        consumer.get_account(address)


def test_write__to_what_is_no_address__is_refused_before_anything_is_sent(consumer: BillingClient) -> None:
    before = consumer.connection.balance_wei(consumer.address)
    with pytest.raises(InvalidInput, match="could not be made"):
        consumer.connection.write("0x" + "ab" * 19, "x", [], value_wei=1, phase="accepted", timeout_seconds=1)
    assert consumer.connection.balance_wei(consumer.address) == before


def test_write__arguments_that_are_no_calldata__are_refused(consumer: BillingClient, contract: str) -> None:
    with pytest.raises(InvalidInput, match="could not be made"):
        consumer.connection.write(contract, "x", [object()], value_wei=0, phase="accepted", timeout_seconds=1)


def test_top_up_credit__at_no_contract__sends_nothing(network: Network, consumer: BillingClient) -> None:
    before = consumer.connection.balance_wei(consumer.address)
    astray = BillingClient(network, contract=NOBODY, account=consumer.connection.signer)
    with pytest.raises(ContractNotFound):
        astray.top_up_credit(ONE_GEN)
    assert (astray.connection.balance_wei(consumer.address), astray.connection.balance_wei(NOBODY)) == (before, 0)


def test_top_up_credit__at_the_right_address__looks_at_the_contract_once(
    consumer: BillingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer.top_up_credit(1)
    monkeypatch.setattr(consumer, "get_solvency", None)
    consumer.top_up_credit(1)


def test_write__with_value_that_fails_all_the_same__says_where_that_is(consumer: BillingClient, contract: str) -> None:
    with pytest.raises(TransactionFailed) as failed:
        consumer.connection.write(contract, "nothing_here", [], value_wei=7, phase="accepted", timeout_seconds=30)
    assert f"the 7 wei sent along may have stayed at {contract}" in failed.value.hint


# Fees, consensus contract, nonce, chain id and gas.
TAKES = [
    {"type": "function", "name": "addTransaction", "inputs": [{"type": "address"}] * 2 + [{"type": "uint256"}] * 2}
]
TAKES[0]["inputs"] += [{"type": "bytes"}]
FREE, CONSENSUS = {"enabled": False}, {"address": NOBODY, "abi": TAKES}
BEFORE_IT_IS_SENT: list[Any] = [{"result": each} for each in (FREE, CONSENSUS, "0x0", "0xf22f", "0x5208")]


def test_write__node_hangs_up_when_it_is_sent__leaves_the_outcome_unknown() -> None:
    account = Account.from_key("0x" + "11" * 32)
    answers = [*BEFORE_IT_IS_SENT, HANG_UP]
    with scripted_node(*answers) as node:
        lost = BillingClient(find_network("localnet", node.url), contract=NOBODY, account=account, sleep=never_sleep)
        with pytest.raises(OutcomeUnknown) as unknown:
            lost.unsubscribe("weather")
        assert node.methods[-1] == "eth_sendRawTransaction"
    assert str(unknown.value.tx) in unknown.value.hint


def test_write__node_lost_after_it_was_taken__leaves_the_outcome_unknown() -> None:
    account = Account.from_key("0x" + "11" * 32)
    answers = [*BEFORE_IT_IS_SENT, {"result": "0x" + "ab" * 32}, HANG_UP]
    with scripted_node(*answers) as node:
        lost = BillingClient(find_network("localnet", node.url), contract=NOBODY, account=account, sleep=never_sleep)
        with pytest.raises(OutcomeUnknown, match="was sent, but then"):
            lost.unsubscribe("weather")


def test_write__node_lost_before_it_was_sent__changed_nothing() -> None:
    account = Account.from_key("0x" + "11" * 32)
    with scripted_node(*BEFORE_IT_IS_SENT[:2], HANG_UP) as node:
        gone = BillingClient(find_network("localnet", node.url), contract=NOBODY, account=account, sleep=never_sleep)
        with pytest.raises(Unreachable):
            gone.unsubscribe("weather")
        assert "eth_sendRawTransaction" not in node.methods


def test_now__localnet_that_tells_no_time__is_that_of_the_latest_block() -> None:
    with scripted_node(error(-32601), {"result": {"timestamp": "0x10"}}) as node:
        assert BillingClient(find_network("localnet", node.url), contract=NOBODY).connection.now() == 16


def test_view__studios_error__is_read_from_its_receipt() -> None:
    result = base64.b64encode(b"\x01[EXPECTED] api_paused: api is paused").decode()
    answer = error(-32000, "execution failed", {"receipt": {"result": result}})
    with scripted_node(answer) as node, pytest.raises(ContractRejected, match="api_paused"):
        BillingClient(find_network("localnet", node.url), contract=NOBODY).get_solvency()


def test_view__crash_of_another_contract__is_unexpected() -> None:
    answer = error(-32000, "execution failed", {"receipt": {"result": base64.b64encode(b"\x02exit_code 1").decode()}})
    with scripted_node(answer) as node, pytest.raises(UnexpectedAnswer, match="exit_code 1"):
        BillingClient(find_network("localnet", node.url), contract=NOBODY).get_solvency()


@pytest.mark.parametrize("result", ["", "zz", "ff", "0c61", None])
def test_view__answer_that_is_no_record__is_unexpected(result: object) -> None:
    with scripted_node({"result": result}) as node, pytest.raises(UnexpectedAnswer):
        BillingClient(find_network("localnet", node.url), contract=NOBODY).get_solvency()
