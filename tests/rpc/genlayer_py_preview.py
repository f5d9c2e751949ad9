"""Stories of the genlayer-py that knows fees, unmodified, on a server of each network: see test_genlayer_py_preview."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from genlayer_py import create_account, create_client
from genlayer_py.chains import localnet, studio_devnet, studionet
from genlayer_py.exceptions import GenLayerError
from genlayer_py.transactions import is_successful
from genlayer_py.types import CalldataAddress, TransactionHashVariant
from gltest.fees.profile import FeeProfileCollector

from genlayer_localnet.testing.server import ServerProcess

from .test_lines import TILL as NEW_TILL
from .test_methods import ROWS, sent_by
from .wire import GEN
from .wire import TILL as OLD_TILL

CHAINS = {"studio": studionet, "studio-next": studio_devnet, None: localnet}


class Till:
    """A contract, deployed by an account that has 1,000 GEN, on a chain as the client knows it."""

    def __init__(self, server: ServerProcess, chain: Any, source: str) -> None:
        self.server, self.is_old = server, source == OLD_TILL
        self.account = create_account()
        self.client: Any = create_client(chain=copy.deepcopy(chain), endpoint=server.url, account=self.account)
        server.call("sim_fundAccount", self.account.address, 1_000 * GEN)
        self.has_fees: bool = server.call("sim_getFeeConfig")["enabled"]
        self.deployed = self.wait(self.client.deploy_contract(code=source, args=[3], fees=self.some_fees()))
        self.address: str = self.deployed["data"]["contract_address"]

    def some_fees(self) -> Any:
        """For a call that sends nothing; None where there are no fees."""
        return self.client.estimate_transaction_fees() if self.has_fees else None

    def wait(self, transaction_id: Any, until: str = "decided") -> Any:
        return self.client.wait_for_transaction_receipt(
            transaction_id, wait_until=until, interval=50, retries=200, full_transaction=True
        )

    def call(self, method: str, *args: Any) -> dict[str, Any]:
        return {"address": self.address, "function_name": method, "args": list(args)}

    def write(self, method: str, *args: Any, value: int = 0, **options: Any) -> Any:
        if self.has_fees and "fees" not in options:
            options["fees"] = self.client.estimate_transaction_fees_for_write(**self.call(method, *args), value=value)
        return self.wait(self.client.write_contract(**self.call(method, *args), value=value, **options))

    def read(self, method: str, *args: Any, **options: Any) -> Any:
        return self.client.read_contract(**self.call(method, *args), **options)

    def result(self, transaction: Any) -> Any:
        return transaction["consensus_data"]["leader_receipt"][0]["result"]


@pytest.fixture(scope="module", params=["studio", "studio-next", None])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    options = ["--network", request.param] if request.param else []
    with ServerProcess(*options, "--finality-window", "60", "--strict-funds") as running:
        running.network = request.param  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def till(server: ServerProcess) -> Till:
    network: Any = server.network  # type: ignore[attr-defined]
    return Till(server, CHAINS[network], OLD_TILL if network == "studio" else NEW_TILL)


def test_deploy__contract__is_decided_and_read(till: Till) -> None:
    assert till.deployed["lifecycle"] == {"state": "decided", "outcome": "accepted"}
    assert is_successful(till.deployed)
    assert till.read("get") == 3


def test_write__with_value__is_decoded_and_final(till: Till) -> None:
    sent = till.write("pay", "Ann", value=5)
    assert (sent["value"], till.result(sent)["payload"]["readable"]) == (5, "8")
    till.server.call("sim_increaseTime", 100)
    final = till.wait(sent["hash"], "finalized")
    assert final["lifecycle"] == {"state": "finalized", "outcome": "accepted"}
    assert till.read("get", transaction_hash_variant=TransactionHashVariant.LATEST_FINAL) == 8


def test_write__refused__shows_the_text(till: Till) -> None:
    sent = till.write("refuse", "boom", fees=till.some_fees())
    assert (till.result(sent)["status"], till.result(sent)["payload"]) == ("rollback", "boom")
    assert not is_successful(sent)


def test_write__that_sends_a_message__is_estimated_with_it(till: Till) -> None:
    till.write("pay", "Ann", value=7)
    call = ("forward", CalldataAddress(till.address), 2, "accepted") if till.is_old else ("later", 2)
    estimate = till.client.estimate_transaction_fees_for_write(**till.call(*call))
    sent = till.write(*call, fees=estimate if till.has_fees else None)
    (child,) = till.client.get_triggered_transaction_ids(sent["hash"])
    assert is_successful(till.client.get_transaction(child))
    assert len(estimate["messageAllocations"]) == till.has_fees


def test_simulation__with_fees__says_what_they_would_come_to(till: Till) -> None:
    simulated = till.client.simulate_write_contract(**till.call("pay", "Ann"), fees=till.some_fees())
    assert (simulated["fee_accounting"] is not None) == till.has_fees
    assert till.read("get") == 3


def test_write__with_too_little__is_named(till: Till) -> None:
    if not till.has_fees:
        sent = till.write("pay", "Ann", fees={"feeValue": 1})
        assert is_successful(sent)
        return
    estimate = till.client.estimate_transaction_fees_for_write(**till.call("pay", "Ann"))
    fees = {"distribution": estimate["distribution"], "feeValue": estimate["feeValue"] - 1}
    for offered, name in ((fees, "InsufficientFees"), (None, "FeeValueMustBeNonZero")):
        with pytest.raises(GenLayerError, match=name):
            till.client.write_contract(**till.call("pay", "Ann"), fees=offered)


def test_fee_profile__of_a_call__has_what_it_used(till: Till) -> None:
    collector = FeeProfileCollector()
    sent = till.write("pay", "Ann")
    collector.record_method("pay", sent)
    profile = collector.build_profile("here", 1.0)["methods"]
    if not till.has_fees:
        assert profile == {}
        return
    budget = int(profile["pay"].pop("executionBudgetPerRound"))
    assert profile["pay"] == {
        "leaderTimeunitsAllocation": "100",
        "validatorTimeunitsAllocation": "200",
        "totalMessageFees": "0",
        "rotationsPerRound": "3",
    }
    time_fee = int(sent["fee_accounting"]["primary_fee_consumed"]) - budget
    assert time_fee == (100 + 5 * 200) * till.client.estimate_transaction_fees()["policy"]["genPerTimeUnit"]


def test_appeal__of_a_decision__is_quoted_paid_and_decided(till: Till) -> None:
    sent = till.write("pay", "Ann", value=5)["hash"]
    assert till.client.can_appeal(sent)
    quote, before = till.client.get_appeal_quote(sent), till.client.get_balance(till.account.address)
    assert quote["decision_id"] == 1
    assert (quote["total"] > 0) == till.has_fees
    assert till.client.appeal_transaction(sent) == sent
    assert till.client.get_balance(till.account.address) == before - quote["total"]
    assert till.client.get_transaction(sent)["appealed"]
    assert till.client.get_transaction_lifecycle(sent)["decision_id"] == "2"
    assert not till.client.can_appeal(sent, expected_decision_id=1)


def test_appeal__of_what_is_final__is_not_possible(till: Till) -> None:
    sent = till.write("pay", "Ann")["hash"]
    till.server.call("sim_increaseTime", 100)
    assert not till.client.can_appeal(sent)
    with pytest.raises(GenLayerError, match="CanNotAppeal"):
        till.client.get_appeal_quote(sent)


def test_top_up__of_a_transaction__is_in_its_deposit(till: Till) -> None:
    sent = till.write("pay", "Ann")
    if not till.has_fees:
        with pytest.raises(GenLayerError, match="CanNotTopUp"):
            till.client.top_up_fees(sent["hash"], {"totalMessageFees": 7}, 7)
        return
    paid = till.client.top_up_fees(sent["hash"], {"totalMessageFees": 7}, 7)
    assert paid != sent["hash"]
    after = till.client.get_transaction(sent["hash"])["fee_accounting"]
    assert int(after["paid_fee_value"]) == int(sent["fee_accounting"]["paid_fee_value"]) + 7
    assert after["message_fee_budget"] == "7"


def test_methods__that_clients_send__are_all_known() -> None:
    for package in ("genlayer_py", "gltest"):
        assert sent_by(package) <= ROWS.keys()
