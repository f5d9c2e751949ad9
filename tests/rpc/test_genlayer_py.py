"""genlayer-py, as it is published, against a server in another process."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
from genlayer_py import create_account, create_client
from genlayer_py.chains import localnet as localnet_chain
from genlayer_py.exceptions import GenLayerError
from genlayer_py.transactions.actions import wait_for_transaction_receipt
from genlayer_py.types import CalldataAddress, TransactionHashVariant, TransactionStatus

from genlayer_localnet import Address
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.testing.server import ServerProcess

from .wire import GEN, TILL, about, signed


def test_window__of_a_server_without_options__is_over_long_before_the_client_gives_up() -> None:
    defaults = inspect.signature(wait_for_transaction_receipt).parameters
    last_poll_seconds = defaults["interval"].default * (defaults["retries"].default - 1) / 1_000
    window = Node(NodeOptions()).chain.settings.finality_window.total_seconds()
    assert 2 * window < last_poll_seconds


class Till:
    """A contract, deployed by an account that has 1,000 GEN."""

    def __init__(self, url: str) -> None:
        # The client keeps what it learns in its chain object: each test has one of its own.
        self.account = create_account()
        self.client: Any = create_client(chain=copy.deepcopy(localnet_chain), endpoint=url, account=self.account)
        self.client.fund_account(self.account.address, 1_000 * GEN)
        self.deployed = self.wait(self.client.deploy_contract(code=TILL, args=[3]))
        self.address: str = self.deployed["data"]["contract_address"]

    def wait(self, transaction_id: Any, status: TransactionStatus = TransactionStatus.ACCEPTED, **options: Any) -> Any:
        return self.client.wait_for_transaction_receipt(
            transaction_id, status=status, interval=50, retries=200, full_transaction=True, **options
        )

    def write(self, method: str, *args: Any, value: int = 0, **options: Any) -> Any:
        return self.wait(
            self.client.write_contract(
                address=self.address, function_name=method, args=list(args), value=value, **options
            )
        )

    def read(self, method: str, *args: Any, **options: Any) -> Any:
        return self.client.read_contract(address=self.address, function_name=method, args=list(args), **options)


@pytest.fixture
def till(rpc_server: ServerProcess) -> Till:
    return Till(rpc_server.url)


def _leader(transaction: Any) -> Any:
    return transaction["consensus_data"]["leader_receipt"][0]


def test_fund__account__has_a_hash_and_the_money(till: Till) -> None:
    other = create_account()
    funded = till.client.fund_account(other.address, 5)
    assert (len(funded), till.client.get_balance(other.address)) == (32, 5)


def test_deploy__contract__is_there(till: Till) -> None:
    assert (till.deployed["status_name"], _leader(till.deployed)["execution_result"]) == ("ACCEPTED", "SUCCESS")
    assert till.read("get") == 3


def test_write__on_a_localnet_like_studio__is_the_same() -> None:
    with ServerProcess("--network", "studio") as server:
        till = Till(server.url)
        assert _leader(till.write("pay", "Ann", value=5))["result"]["payload"]["readable"] == "8"
        assert till.read("get") == 8


def test_write__with_value__is_decoded(till: Till) -> None:
    sent = till.write("pay", "Ann", value=5)
    assert (sent["value"], _leader(sent)["result"]["status"]) == (5, "return")
    assert _leader(sent)["result"]["payload"]["readable"] == "8"
    assert till.client.get_balance(till.address) == 5
    assert till.client.get_balance(till.account.address) == 1_000 * GEN - 5


def test_write__refused__shows_the_text(till: Till) -> None:
    result = _leader(till.write("refuse", "boom"))["result"]
    assert (result["status"], result["payload"]) == ("rollback", "boom")


def test_write__crash__shows_the_error(till: Till) -> None:
    receipt = _leader(till.write("crash"))
    assert (receipt["result"]["status"], receipt["result"]["payload"]) == ("contract_error", "exit_code 1")
    assert "KeyError" in receipt["genvm_result"]["stderr"]


def test_write__leader_only__is_final(till: Till) -> None:
    transaction = till.client.write_contract(address=till.address, function_name="put", args=[5], leader_only=True)
    assert till.client.get_transaction(transaction)["leader_only"] is True


def test_write__with_mocks__is_answered(till: Till) -> None:
    validator = {
        "stake": 1,
        "provider": "p",
        "model": "m",
        "config": {},
        "plugin": "q",
        "plugin_config": {"mock_response": {"response": {"question": "yes"}}},
    }
    sent = till.write("ask", "a question", sim_config={"validators": [validator] * 3})
    assert _leader(sent)["result"]["payload"]["readable"] == '"yes"'
    assert _leader(sent)["eq_outputs"]["0"]["payload"]["readable"] == '"yes"'


@pytest.mark.parametrize("variant", list(TransactionHashVariant))
def test_read__value__is_decoded(till: Till, variant: TransactionHashVariant, rpc_server: ServerProcess) -> None:
    rpc_server.call("eth_sendRawTransaction", _finalize(till))
    assert till.read("echo", "hello", transaction_hash_variant=variant) == "hello"


def _finalize(till: Till) -> str:
    """Make the deployment final without waiting for the clock."""
    nonce = till.client.get_current_nonce(till.account.address)
    return signed(till.account, nonce=nonce, data=about("b2efda83", till.deployed["hash"]))


def test_read__refused__shows_the_text(till: Till) -> None:
    with pytest.raises(GenLayerError, match=r"code=-32000.*boom"):
        till.read("no")


def test_simulate__write__changes_nothing(till: Till) -> None:
    receipt = till.client.simulate_write_contract(address=till.address, function_name="put", args=[77])
    assert (receipt["execution_result"], till.read("get")) == ("SUCCESS", 3)


def test_simulate__refused__shows_the_text(till: Till) -> None:
    with pytest.raises(GenLayerError, match="execution failed: boom"):
        till.client.simulate_write_contract(address=till.address, function_name="refuse", args=["boom"])


def test_wait__finalized__is_reached(rpc_server: ServerProcess, till: Till) -> None:
    rpc_server.call("eth_sendRawTransaction", _finalize(till))
    final = till.wait(till.deployed["hash"], TransactionStatus.FINALIZED)
    assert final["status_name"] == "FINALIZED"


def test_wait__simplified__has_no_trouble(till: Till) -> None:
    sent = till.client.write_contract(address=till.address, function_name="pay", args=["x"], value=1)
    receipt = till.client.wait_for_transaction_receipt(sent)
    assert receipt["status_name"] == "ACCEPTED"
    assert _leader(receipt)["execution_result"] == "SUCCESS"


def test_triggered__transactions__are_listed(till: Till) -> None:
    to = CalldataAddress(Address(till.address).as_bytes)
    sent = till.client.write_contract(address=till.address, function_name="forward", args=[to, 2, "accepted"], value=2)
    (child,) = till.client.get_triggered_transaction_ids(sent)
    assert till.wait(child)["triggered_by"] == sent
    assert till.read("paid", "forwarded") == 2


def test_appeal__accepted__is_processed(till: Till) -> None:
    sent = till.client.write_contract(address=till.address, function_name="put", args=[5])
    assert till.client.appeal_transaction(transaction_id=sent) == sent
    assert till.wait(sent)["status_name"] == "ACCEPTED"


def test_schema__of_the_contract__is_that_of_the_code(till: Till) -> None:
    schema = till.client.get_contract_schema(till.address)
    assert schema == till.client.get_contract_schema_for_code(TILL)
    assert schema["methods"]["pay"]["payable"] is True


def test_trace__transaction__has_its_result(till: Till) -> None:
    assert till.client.debug_trace_transaction(till.deployed["hash"])["result_code"] == 0


def test_transaction__unknown__is_an_error(till: Till) -> None:
    with pytest.raises(GenLayerError, match="not found"):
        till.client.get_transaction("0x" + "12" * 32)
