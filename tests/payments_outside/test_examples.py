"""The example APIs as they are started by hand: a process each, paid by clients that nobody here wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.metering import Meter
from api_billing.metering.service import create_app
from api_billing.networks import Network
from api_billing.unlocked import unlocked_account
from tests.metering.examples.test_examples import stop
from tests.metering.examples.test_on_chain import Started
from tests.metering.settlement.places import ONE_GEN, deployed
from tests.npm_packages import npm_packages
from tests.other_versions import ROOT

from .outsiders import Outsider
from .shop import served

EXPRESS = ROOT / "examples" / "express"
TOKEN = "service-token-of-the-tests-0123456789"
GWEI = 10**9
PRICE_WEI = 100 * GWEI
HOLD_WEI = 1000 * GWEI
CALLS = {"/fixed": GWEI, "/by-size?kib=2": 3 * GWEI, "/custom?text=to+be+or+not": 8 * GWEI, "/fixed?again": GWEI}
AT_EXPRESS = {"/forecast/paris": 5 * GWEI, "/archive/7": 7 * GWEI, "/forecast/rome": 5 * GWEI}
PAYERS = ("x402-fetch", "pympp")


def key(name: str, role: str) -> bytes:
    return keccak(text=f"{role} of {name} at the examples")


@pytest.fixture
def api() -> str:
    """The name that the examples in Python have; tests of another one are parametrized with it."""
    return "demo"


@pytest.fixture
def contract(network: Network, api: str) -> str:
    """One for each example, as each has a store of its own; with sessions of the payers."""
    address = deployed(network)
    operator = BillingClient(network, contract=address, account=unlocked_account(Connection(network).provider, 0))
    operator.register_api(api, PRICE_WEI, 1000)
    for name in PAYERS:
        payer = BillingClient(network, contract=address, account=Account.from_key(key(name, "payer")))
        payer.connection.fund(payer.address, 10 * ONE_GEN)
        signer = Account.from_key(key(name, "session")).address
        ends_at = payer.connection.now() + 86_400
        payer.open_session(api, ONE_GEN, HOLD_WEI, ends_at, signer, deposit_wei=ONE_GEN)
    return address


@pytest.fixture(params=["fastapi", "flask", "django"])
def example(
    request: pytest.FixtureRequest, contract: str, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Started]:
    for setting, text in {"CONTRACT": contract, "PAYMENTS": "x402,mpp", "HOLDS_FROM": "accepted"}.items():
        monkeypatch.setenv(f"API_BILLING_{setting}", text)
    started = Started(request.param, tmp_path, contract, network.rpc_url)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            stop(started.process)


@pytest.fixture
def pay(running: Callable[[str], Outsider]) -> Callable[..., None]:
    """Has all payers make calls, each of which costs what it should."""

    def pay(url: str, calls: dict[str, int]) -> None:
        for name in PAYERS:
            pays = running(name).begin("0x" + key(name, "payer").hex(), "0x" + key(name, "session").hex())
            answers = [pays(f"{url}{path}") for path in calls]
            assert [each.status for each in answers] == [200] * len(calls), answers
            assert pays(f"{url}/broken").status == 500

    return pay


@pytest.fixture
def is_settled(contract: str, network: Network, api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """By the commands: all calls of all payers are billed, earned and reported."""

    def command(line: str) -> Any:
        where = ["--url", network.rpc_url, "--contract", contract]
        ran = CliRunner().invoke(make_app(), ["--json", *line.split(), *where])
        assert ran.exit_code == 0, (line, ran.output, ran.stderr)
        return json.loads(ran.stdout)

    def is_settled(calls: dict[str, int]) -> None:
        monkeypatch.delenv("API_BILLING_PAYMENTS", raising=False)
        store = f"--store sqlite:///{tmp_path}/meter.db"
        command(f"settle once {api} {store} --account localnet:0")
        command(f"reconcile {api} {store}")
        assert command("earnings --account localnet:0")["earnings_wei"] == len(PAYERS) * sum(calls.values())
        for name in PAYERS:
            (line,) = command(f"report {Account.from_key(key(name, 'payer')).address}")["apis"]
            assert (line["calls_today"], line["spend_today_wei"]) == (len(calls), sum(calls.values()))

    return is_settled


def test_example__paid_by_both_protocols__is_settled_to_the_wei(example: Started, pay: Any, is_settled: Any) -> None:
    pay(f"http://127.0.0.1:{example.port}", CALLS)
    stop(example.process)
    is_settled(CALLS)


@pytest.mark.parametrize("api", ["weather"])
def test_express__paid_by_both_protocols__is_settled_to_the_wei(
    contract: str, network: Network, tmp_path: Path, pay: Any, is_settled: Any
) -> None:
    folder = npm_packages(EXPRESS, "express-example").parent
    for source in EXPRESS.glob("*.js"):
        shutil.copy(source, folder / source.name)
    given: dict[str, Any] = {"payments": "x402,mpp", "holds_from": "accepted", "key_pepper": "p" * 32}
    meter = Meter.open(f"sqlite:///{tmp_path}/meter.db", contract=contract, url=network.rpc_url, **given)
    with meter, served(create_app(meter, service_token=TOKEN)) as url:
        environ = {"API_BILLING_SERVICE_TOKEN": TOKEN, "METER_URL": url, "PAYMENTS": "true", "PORT": "0"}
        node = subprocess.Popen(
            ["node", "app.js"], cwd=folder, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert node.stdout is not None
            pay(json.loads(node.stdout.readline())["url"], AT_EXPRESS)
        finally:
            node.kill()
            node.communicate()
    is_settled(AT_EXPRESS)
