"""Settlement on the command line, against the real contract: dry run, once, reconcile, prove, verify, refused parts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.metering import Meter
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Reserve, Reserved, Settle
from api_billing.metering.request.request_meter import Admitted
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings
from api_billing.metering.stores.steps import run as drive
from api_billing.networks import find_network
from api_billing.results import SettlementEntry
from api_billing.unlocked import unlocked_account
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

ONE_GEN = 10**18
API = "weather"

FINALITY_SECONDS = 120

server = server_fixture(scope="module", finality_window_seconds=FINALITY_SECONDS)


@pytest.fixture(scope="module")
def operator(server: RpcServer) -> BillingClient:
    """The node's first account, which commands sign as; it has deployed the contract."""
    network = find_network("localnet", server.url)
    account = unlocked_account(Connection(network).provider, 0)
    connection = Connection(network, account)
    contract = connection.follower.wait(
        connection.send_deployment(contract_path().read_bytes()), "accepted", 30
    ).contract
    return BillingClient(network, contract=contract, account=account)


@pytest.fixture
def place(request: Any, run: Any, operator: BillingClient, monkeypatch: Any, tmp_path: Any) -> Any:
    """The command on a store with 3 requests of a consumer with a hold; its name of the API is its own."""
    monkeypatch.setenv("API_BILLING_URL", operator.network.rpc_url)
    monkeypatch.setenv("API_BILLING_CONTRACT", operator.contract)
    api = "api-" + keccak(text=request.node.nodeid).hex()[:12]
    client = BillingClient(operator.network, contract=operator.contract, account=Account.from_key(keccak(text=api)))
    client.connection.fund(client.address, 10 * ONE_GEN)
    operator.register_api(api, 1000, 100)
    client.subscribe(api, 1500, ONE_GEN)
    client.place_hold(api, 10_000, client.connection.now() + 86_400)
    who = client.address.lower()
    with Meter.open(f"sqlite:///{tmp_path}/meter.db") as meter:
        credit = ChainCredit(client, meter.store.call, now_ms=meter.now_ms, settings=CreditSettings("accepted"))
        assert isinstance(drive(credit.admit(api, who, 500), meter.store.call), Admitted)
        ids = [_serve(meter, api, who) for _ in range(3)]
    return Place(run, api, client, ids)


class Place:
    def __init__(self, run: Any, api: str, client: BillingClient, ids: list[str]) -> None:
        self.run, self.api, self.client, self.ids = run, api, client, ids

    def serve(self) -> None:
        """One more request, for which the consumer raises its cap."""
        who = self.client.address.lower()
        self.client.subscribe(self.api, 5_000)
        with Meter.open("sqlite:///meter.db") as meter:
            credit = ChainCredit(
                self.client, meter.store.call, now_ms=meter.now_ms, settings=CreditSettings("accepted", refresh_ms=0)
            )
            assert drive(credit.refresh(who, (self.api,)), meter.store.call)
            _serve(meter, self.api, who)


def _serve(meter: Any, api: str, who: str) -> str:
    now_ms, account = meter.now_ms(), chain_account(api, who)
    record_id = new_id(now_ms)
    reserved = meter.store.call(Reserve(record_id, now_ms, now_ms + 60_000, account, api, who, 500))
    assert isinstance(reserved, Reserved)
    meter.store.call(Settle(record_id, account, now_ms, 500))
    return record_id


def test_settle__dry_run__says_what_would_be_posted_and_posts_nothing(place: Place) -> None:
    found = place.run("settle", "once", place.api, "--dry-run", "--json").json[place.api]
    assert [(line["calls"], line["amount_wei"]) for line in found["cut"][0]["lines"]] == [(3, 1500)]
    assert "1 batch of 1 line would be posted, 3 calls" in place.run("settle", "once", place.api, "--dry-run").out
    assert place.client.get_settlement(place.api).next_sequence == 1


def test_settle__settings_of_the_api_in_the_environment__do_not_ask_for_a_contract_there(
    place: Place, monkeypatch: Any
) -> None:
    monkeypatch.setenv("API_BILLING_PAYMENTS", "x402,mpp")
    monkeypatch.setenv("API_BILLING_SETTLE_APIS", place.api)
    assert place.run("settle", "once", place.api, "--dry-run", "--json").json[place.api]["cut"]


def test_settle__once__bills_and_reconciles_to_zero(place: Place) -> None:
    before = place.run("reconcile", place.api, "--json", code=1).json
    assert before["lines"][0]["why"] == [{"reason": "not in a batch yet", "calls": 3, "amount_wei": 1500}]
    assert place.run("settle", "once", place.api, "--json").json[place.api]["status"] == "done"
    assert place.run("reconcile", place.api, "--json").json["zero"] is True
    assert "no difference" in place.run("reconcile", place.api).out
    assert place.run("settle", "status", place.api, "--json").json[0]["state"] == "settled"
    assert "settled" in place.run("settle", "status", place.api).out
    assert place.run("settle", "status", place.api, "--limit", "1").out.endswith("\nmore: --after 1\n")
    assert "nothing to post" in place.run("settle", "once", place.api, "--dry-run").out


def test_prove__then_verify__holds_and_a_changed_one_does_not(place: Place, tmp_path: Any) -> None:
    place.run("usage", "prove", place.ids[0], code=1)
    place.run("settle", "once", place.api)
    proof = place.run("usage", "prove", place.ids[1])
    (tmp_path / "proof.json").write_text(proof.out)
    assert place.run("usage", "verify", "proof.json", "--json").json["billed"] is True
    changed = proof.json
    changed["line"][-1] = "499"
    (tmp_path / "proof.json").write_text(json.dumps(changed))
    assert place.run("usage", "verify", "proof.json", code=1).out.startswith("false: ")
    for content, because in ((b"[]", "not a JSON object"), (b"{", "not JSON"), (b"\xff", "not JSON")):
        (tmp_path / "proof.json").write_bytes(content)
        assert because in place.run("usage", "verify", "proof.json", code=2).err
    assert "No such file or directory" in place.run("usage", "verify", "nowhere.json", code=2).err


def test_refused__retried_and_written_off__is_resolved(place: Place) -> None:
    place.client.consume_credit(place.api, place.client.address)
    assert place.run("settle", "once", place.api).out.startswith(f"{place.api}: done, 1 batch")
    assert "daily_spend_exceeded" in place.run("settle", "status", place.api).out
    assert "is not final" in place.run("settle", "retry", place.api, 1, code=2).err
    retry = ("settle", "retry", place.api, 1, "--before-final")
    assert place.run(*retry, "--json").json["sequence"] == 2
    place.run(*retry, code=2)
    place.run("settle", "once", place.api)
    written_off = place.run("settle", "write-off", place.api, 2, "--note", "agreed", "--json").json
    assert written_off == {"lines": 1, "written_off_wei": 1000}
    place.run("settle", "write-off", place.api, 2, code=2)
    found = place.run("reconcile", place.api, "--json").json
    assert [why["reason"] for why in found["lines"][0]["why"]] == ["written off (batch 2)"]
    assert (found["zero"], found["closed"]) == (False, True)
    assert "1,000 wei, all of it written off" in place.run("reconcile", place.api).out


def test_reconcile__store_that_has_settled_nothing__is_told_from_one_where_all_is_settled(place: Place) -> None:
    place.run("settle", "once", place.api)
    other = ("--store", "sqlite:///other.db")
    place.run("tier", "set", "own", "--unlimited", *other)
    assert "of which this store knows nothing" in place.run("reconcile", place.api, *other, code=1).out
    assert place.run("reconcile", place.api, *other, "--json", code=1).json["unknown_settlements"] == 1


@pytest.mark.parametrize("command", [("reconcile",), ("settle", "once")])
def test_settling__of_an_api_that_is_not_registered__is_refused(place: Place, command: tuple[str, ...]) -> None:
    assert "api_not_registered" in place.run(*command, "nosuch", code=1).err


def test_retry__of_a_settlement_that_is_final__is_made(place: Place) -> None:
    place.client.consume_credit(place.api, place.client.address)
    place.run("settle", "once", place.api)
    place.client.connection.provider.result("sim_increaseTime", FINALITY_SECONDS + 1)
    assert place.run("settle", "retry", place.api, 1, "--json").json["sequence"] == 2


def test_settle__chain_undone__is_posted_again_by_the_next_round(place: Place, operator: BillingClient) -> None:
    ask = operator.connection.provider.result
    before = ask("sim_createSnapshot")
    place.run("settle", "once", place.api)
    ask("sim_restoreSnapshot", before)
    place.run("reconcile", place.api, code=1)
    again = place.run("settle", "once", place.api, "--recheck", "--json").json[place.api]
    assert again == {"status": "done", "settled": 1, "message": ""}
    place.run("reconcile", place.api)


def test_settle__run_dry__says_what_would_be_posted_and_ends(place: Place) -> None:
    assert "1 batch of 1 line would be posted" in place.run("settle", "run", place.api, "--dry-run").out


def test_settle__watched__shows_how_many_batches_are_through(place: Place, monkeypatch: Any) -> None:
    seen: list[tuple[str, Any]] = []

    @contextmanager
    def progress(printer: Any, message: str, total: int | None) -> Iterator[Callable[[int], None]]:
        yield lambda done: seen.append((message, (done, total)))

    monkeypatch.setattr("api_billing.cli.settle.progress", progress)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    place.run("settle", "once", place.api)
    assert seen == [(f"settling {place.api}: batches", (1, 1))]


def test_settle__sequence_used_by_hand__is_foreign_and_can_be_renumbered(place: Place, operator: BillingClient) -> None:
    place.run("settle", "renumber", place.api, code=1)
    place.run("settle", "once", place.api)
    # Of the meter's clock: the chain's was put forward by another test, perhaps over midnight.
    day, who = int(time.time()) // 86_400, place.client.address
    place.serve()
    operator.settle_usage(place.api, 2, [SettlementEntry(who, day, 1, 7)])
    assert place.run("settle", "once", place.api, "--json", code=1).json[place.api]["status"] == "foreign"
    assert "gets the next sequence" in place.run("settle", "renumber", place.api).out
    assert place.run("settle", "once", place.api, "--json").json[place.api]["status"] == "done"
    assert [each["chain_sequence"] for each in place.run("settle", "status", place.api, "--json").json] == [1, 3]
    assert "-7 wei" in place.run("reconcile", place.api, code=1).out


def test_settle__node_gone__ends_as_unreachable_and_loses_nothing(place: Place, monkeypatch: Any) -> None:
    with monkeypatch.context() as gone:
        gone.setenv("API_BILLING_URL", "http://127.0.0.1:9")
        gone.setattr("api_billing.transport.RETRY_PAUSES_SECONDS", ())
        place.run("settle", "once", place.api, code=3)
    place.run("settle", "once", place.api)
    place.run("reconcile", place.api)
