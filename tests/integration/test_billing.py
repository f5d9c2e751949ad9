"""The billing contract with gltest: the same tests on the localnet and on GenLayer Studio."""

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest
from gltest import create_account, get_default_account
from gltest.assertions import tx_execution_failed, tx_execution_succeeded
from gltest.contracts import ContractFactory
from gltest.helpers import load_fixture
from gltest_cli.config.general import get_general_config

from api_billing.contract_api import METHODS
from api_billing.contract_source import contract_path, deployed_form
from api_billing.networks import find_network

API = "weather"
GEN = 10**18
PRICE = GEN // 100


@dataclass(frozen=True)
class Market:
    """The contract as its operator and as a consumer with 5 GEN of credit see it."""

    operator: Any
    consumer: Any

    @property
    def consumer_address(self) -> str:
        return str(self.consumer.account.address)

    def report(self) -> Any:
        return json.loads(self.consumer.get_usage_report(args=[self.consumer_address]).call())


def open_market() -> Market:
    """Deploy the contract, register an API, subscribe with a deposit."""
    line = find_network(get_general_config().get_network_name()).line
    code = deployed_form(contract_path().read_text(encoding="utf-8"), line, os.environ.get("API_BILLING_PIN"))
    operator = ContractFactory("ApiUsageBilling", code).deploy(args=[], account=get_default_account())
    consumer = operator.connect(create_account())
    assert tx_execution_succeeded(operator.register_api(args=[API, PRICE, 100, 0]).transact())
    subscribed = consumer.subscribe(args=[API, GEN, 5 * GEN]).transact(value=5 * GEN)
    assert tx_execution_succeeded(subscribed, match_std_out=r"\[Subscribed\] api_name=weather")
    return Market(operator, consumer)


@pytest.fixture
def market() -> Market:
    return load_fixture(open_market)


def test_deploy__schema__has_the_methods_of_the_client(market: Market) -> None:
    assert [name for name in METHODS if not hasattr(market.operator, name)] == []


def test_subscribe__with_value__is_credit(market: Market) -> None:
    report = market.report()
    assert (report["credit_balance_wei"], report["apis"][0]["api_name"]) == (5 * GEN, API)


def test_consume_credit__allowed__is_billed(market: Market) -> None:
    done = market.consumer.consume_credit(args=[API, market.consumer_address, 3]).transact()
    assert tx_execution_succeeded(done, match_std_out=r"\[CallBilled\].* call_no=3")
    assert market.report()["apis"][0]["calls_today"] == 3


def test_consume_credit__beyond_the_limit__fails_and_changes_nothing(market: Market) -> None:
    before = market.report()
    assert tx_execution_failed(market.consumer.consume_credit(args=[API, market.consumer_address, 101]).transact())
    assert market.report() == before


def test_consume_credit__by_a_stranger__fails(market: Market) -> None:
    stranger = market.operator.connect(create_account())
    assert tx_execution_failed(stranger.consume_credit(args=[API, market.consumer_address, 1]).transact())


def test_top_up_credit__amount_differs_from_value__keeps_the_value_as_credit(market: Market) -> None:
    done = market.consumer.top_up_credit(args=[2 * GEN]).transact(value=GEN)
    assert tx_execution_succeeded(done, match_std_out=r"\[DepositKept\].*code=value_mismatch")
    assert market.report()["credit_balance_wei"] == 6 * GEN


def test_withdraw_credit__when_final__has_left_the_books_and_the_contract(market: Market) -> None:
    done = market.consumer.withdraw_credit(args=[GEN]).transact(
        wait_transaction_status="FINALIZED", wait_interval=200, wait_triggered_transactions=True
    )
    assert tx_execution_succeeded(done)
    assert len(done["triggered_transactions"]) == 1
    solvency = market.operator.get_solvency().call()
    assert (solvency["balance_wei"], solvency["surplus_wei"]) == (4 * GEN, 0)


def test_settle_usage__by_the_operator__bills_the_entries(market: Market) -> None:
    day = market.report()["day_id"]
    entry = {"consumer": market.consumer_address, "day_id": day, "calls": 7, "spend_wei": 7 * PRICE}
    assert tx_execution_succeeded(market.operator.settle_usage(args=[API, 1, [entry]]).transact())
    assert market.operator.get_earnings(args=[str(market.operator.account.address)]).call()["earnings_wei"] == 7 * PRICE


def test_fixture__loaded_again__has_nothing_of_the_tests_before(market: Market) -> None:
    assert (market.report()["apis"][0]["calls_today"], market.report()["credit_balance_wei"]) == (0, 5 * GEN)
