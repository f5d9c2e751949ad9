"""The examples with a contract in their environment: consumers are addresses, and pay from their holds on it."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from eth_account import Account
from eth_utils.crypto import keccak

from api_billing.cli.app import make_app
from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.networks import Network, find_network
from api_billing.unlocked import unlocked_account
from api_billing.vouchers import sign_voucher
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .test_examples import EXAMPLES, LONG_SECONDS, free_port, start, stop, wait_for

GWEI = 10**9
GEN = 10**18
PRICE_WEI = 1000 * GWEI
HOLD_WEI = 2000 * GWEI
DAY_SECONDS = 86_400
SESSION_KEY = keccak(text="the key of a session with an example")

server = server_fixture(scope="module", finality_window_seconds=0)


@pytest.fixture(scope="module")
def network(server: RpcServer) -> Network:
    return find_network("localnet", server.url)


@pytest.fixture(scope="module")
def contract(network: Network) -> str:
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    outcome = connection.follower.wait(connection.send_deployment(contract_path().read_bytes()), "accepted", 30)
    assert outcome.contract is not None
    return outcome.contract


@pytest.fixture(scope="module")
def consumer(network: Network, contract: str) -> BillingClient:
    """A subscriber of the API ``demo`` with a hold."""
    operator, consumer = (
        BillingClient(network, contract=contract, account=unlocked_account(Connection(network).provider, index))
        for index in (0, 1)
    )
    operator.register_api("demo", PRICE_WEI, 100)
    consumer.subscribe("demo", GEN, GEN)
    consumer.place_hold("demo", HOLD_WEI, consumer.connection.now() + DAY_SECONDS)
    return consumer


@pytest.fixture(scope="module")
def payer(network: Network, contract: str, consumer: BillingClient) -> BillingClient:
    """A consumer with a session at the same API."""
    made = BillingClient(network, contract=contract, account=unlocked_account(Connection(network).provider, 2))
    signer = Account.from_key(SESSION_KEY).address
    made.open_session("demo", GEN, HOLD_WEI, made.connection.now() + DAY_SECONDS, signer, deposit_wei=GEN)
    return made


@pytest.fixture
def salt(request: pytest.FixtureRequest) -> str:
    """A channel of its own for each test, as each example has a store of its own."""
    return "0x" + keccak(text=request.node.nodeid).hex()


class Started:
    """An example with a contract in its environment."""

    def __init__(self, name: str, folder: Path, contract: str, url: str, *options: str) -> None:
        self.port = free_port()
        environment = {"API_BILLING_CONTRACT": contract, "API_BILLING_URL": url}
        self.process = start(name, self.port, folder / "meter.db", *options, environment=environment)
        wait_for(self.port, self.process)

    def get(self, path: str, key: str) -> tuple[int, Any]:
        return self.ask(path, "Authorization", f"Bearer {key}")

    def ask(self, path: str, field: str, value: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_SECONDS)
        try:
            connection.request("GET", path, headers={field: value, "Connection": "close"})
            got = connection.getresponse()
            body = got.read()
            return got.status, json.loads(body) if "json" in (got.getheader("Content-Type") or "") else None
        finally:
            connection.close()


@pytest.fixture(scope="module", params=["fastapi", "flask", "django"])
def example(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    contract: str,
    network: Network,
    consumer: BillingClient,
) -> Iterator[tuple[Started, str]]:
    folder = tmp_path_factory.mktemp(request.param)
    started = Started(request.param, folder, contract, network.rpc_url, "--consumer", consumer.address)
    try:
        assert started.process.stdout is not None
        shown = re.search(r"ab_\w+", started.process.stdout.readline())
        assert shown, "no API key was shown"
        yield started, shown[0]
    finally:
        stop(started.process)


def test_request__with_a_hold_on_the_contract__is_paid_from_it(example: tuple[Started, str]) -> None:
    started, key = example
    _, before = started.get("/balance", key)
    assert started.get("/fixed", key)[0] == 200
    status, locked = started.get("/locked", key)
    assert (status, locked["reserved_wei"]) == (200, str(1000 * GWEI))
    _, after = started.get("/balance", key)
    assert int(after["charged_wei"]) - int(before["charged_wei"]) == 4 * GWEI
    assert int(after["free_wei"]) + int(after["charged_wei"]) == HOLD_WEI


def test_handler__that_fails__costs_nothing(example: tuple[Started, str]) -> None:
    started, key = example
    _, before = started.get("/balance", key)
    assert started.get("/broken", key)[0] == 500
    assert started.get("/balance", key) == (200, before)


def test_request__of_a_consumer_with_a_session__is_paid_by_the_voucher_that_it_is_told_to_sign(
    example: tuple[Started, str], payer: BillingClient, salt: str
) -> None:
    started, _ = example
    channel = payer.get_channel("demo", payer.address, salt)

    def pay(cumulative_wei: int) -> tuple[int, Any]:
        signed = sign_voucher(SESSION_KEY, channel, cumulative_wei)
        text = signed.credential(payer.address)
        return started.ask("/fixed", "Payment-Voucher", text)

    status, problem = pay(1)
    assert (status, problem["code"]) == (402, "voucher_required")
    assert pay(int(problem["required_wei"]))[0] == 200
    assert pay(int(problem["required_wei"]))[0] == 402


@pytest.fixture
def demo_account(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("demo_account")


def open_on_chain(
    demo_account: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, consumer: str | None
) -> None:
    monkeypatch.setenv("API_BILLING_CONTRACT", "0x" + "c0" * 20)
    demo_account.open_meter(str(folder / "meter.db"), consumer).close()


def test_open_meter__contract_and_no_consumer__says_how_to_make_a_key(
    demo_account: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_on_chain(demo_account, tmp_path, monkeypatch, None)
    text = capsys.readouterr().out
    assert "api-billing meter keys create 0x… --store sqlite:///" in text
    assert not re.search(r"ab_\w+", text)


def test_open_meter__contract_and_a_consumer__shows_its_key_once_and_what_it_has_to_do(
    demo_account: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for _ in range(2):
        open_on_chain(demo_account, tmp_path, monkeypatch, "0x" + "aB" * 20)
        texts.append(capsys.readouterr().out)
    assert re.search(r"API key of 0x(ab){20}: ab_\w+", texts[0])
    assert "api-billing hold place demo" in texts[0]
    assert texts[1] == ""


@pytest.mark.parametrize(("contract", "consumer"), [("0x" + "c0" * 20, "acme"), ("", "0x" + "ab" * 20), ("acme", None)])
def test_open_meter__what_cannot_be__ends_with_a_message(
    demo_account: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: str, consumer: str | None
) -> None:
    monkeypatch.setenv("API_BILLING_CONTRACT", contract)
    with pytest.raises(SystemExit, match=r"0x|API_BILLING_CONTRACT"):
        demo_account.open_meter(str(tmp_path / "meter.db"), consumer)


def test_commands__that_are_printed__exist(demo_account: ModuleType) -> None:
    lines = re.findall(
        r"^  api-billing (.+)$", demo_account._WITHOUT_CONSUMER + demo_account._TO_BE_SERVED, re.MULTILINE
    )
    assert len(lines) == 5
    for line in lines:
        command: Any = typer.main.get_command(make_app())
        for word in line.split():
            command = getattr(command, "commands", {}).get(word, command)
        assert not hasattr(command, "commands"), line
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= known, line


def test_process__of_an_example_without_consumer__serves_and_says_what_to_do(
    contract: str, network: Network, tmp_path: Path
) -> None:
    started = Started("fastapi", tmp_path, contract, network.rpc_url)
    try:
        assert started.get("/fixed", "ab_none")[0] == 401
    finally:
        started.process.send_signal(signal.SIGINT)
        text, _ = started.process.communicate(timeout=LONG_SECONDS)
    assert contract in text
    assert os.fspath(tmp_path) in text
