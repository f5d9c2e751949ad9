"""The example APIs as they are started by hand: a process each, paid by clients that nobody here wrote."""

from __future__ import annotations

import json
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
from api_billing.networks import Network
from api_billing.unlocked import unlocked_account
from tests.metering.examples.test_examples import stop
from tests.metering.examples.test_on_chain import Started
from tests.metering.settlement.places import ONE_GEN, deployed

from .outsiders import Outsider

GWEI = 10**9
PRICE_WEI = 100 * GWEI
HOLD_WEI = 1000 * GWEI
CALLS = {"/fixed": GWEI, "/by-size?kib=2": 3 * GWEI, "/custom?text=to+be+or+not": 8 * GWEI, "/fixed?again": GWEI}
PAYERS = ("x402-fetch", "pympp")


def key(name: str, role: str) -> bytes:
    return keccak(text=f"{role} of {name} at the examples")


@pytest.fixture
def contract(network: Network) -> str:
    """One for each example: they are one API to it, and each has a store of its own."""
    address = deployed(network)
    operator = BillingClient(network, contract=address, account=unlocked_account(Connection(network).provider, 0))
    operator.register_api("demo", PRICE_WEI, 1000)
    for name in PAYERS:
        payer = BillingClient(network, contract=address, account=Account.from_key(key(name, "payer")))
        payer.connection.fund(payer.address, 10 * ONE_GEN)
        signer = Account.from_key(key(name, "session")).address
        ends_at = payer.connection.now() + 86_400
        payer.open_session("demo", ONE_GEN, HOLD_WEI, ends_at, signer, deposit_wei=ONE_GEN)
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


def test_example__paid_by_both_protocols__is_settled_to_the_wei(
    example: Started, network: Network, tmp_path: Path, running: Callable[[str], Outsider]
) -> None:
    url = f"http://127.0.0.1:{example.port}"
    for name in PAYERS:
        pays = running(name).begin("0x" + key(name, "payer").hex(), "0x" + key(name, "session").hex())
        answers = [pays(f"{url}{path}") for path in CALLS]
        assert [each.status for each in answers] == [200] * len(CALLS), answers
        assert [int(each.fields["x-cost-wei"]) for each in answers] == list(CALLS.values())
        assert pays(f"{url}/broken").status == 500
    stop(example.process)

    def command(line: str) -> Any:
        ran = CliRunner().invoke(make_app(), ["--json", *line.split(), "--url", network.rpc_url])
        assert ran.exit_code == 0, (line, ran.output, ran.stderr)
        return json.loads(ran.stdout)

    store = f"--store sqlite:///{tmp_path}/meter.db"
    command(f"settle once demo {store} --account localnet:0")
    command(f"reconcile demo {store}")
    assert command("earnings --account localnet:0")["earnings_wei"] == len(PAYERS) * sum(CALLS.values())
    for name in PAYERS:
        (api,) = command(f"report {Account.from_key(key(name, 'payer')).address}")["apis"]
        assert (api["calls_today"], api["spend_today_wei"]) == (len(CALLS), sum(CALLS.values()))
