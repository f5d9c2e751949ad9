"""What is left running after the demo: its network over JSON-RPC, and the web page with a link into it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from api_billing.client import BillingClient
from api_billing.court_client import CourtClient
from demo import __main__ as command
from demo.access_log import read_log
from demo.live_meter import LiveMeter, running
from demo.market import REFUND_PERCENT
from demo.people import CARL, FIONA, OLGA, PEOPLE
from demo.present import Present, present
from demo.serving import links, server_of
from demo.web_page import PageNotBuiltError
from genlayer_localnet.loading.standard_library import choose
from genlayer_localnet.rpc.server import RpcServer

from ..metering.settlement.waiting import eventually
from .command import bill, complaints
from .log_texts import line, write_log

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Present:
    folder = tmp_path_factory.mktemp("log")
    log = write_log(folder / "access.log", line(), line(client="::1"), line(client="::1"))
    return present(read_log(log, lambda *_: None), choose(None), lambda *_: lambda: None)


@pytest.fixture(scope="module")
def server(made: Present, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcServer]:
    page = tmp_path_factory.mktemp("dist")
    (page / "index.html").write_text("page")
    with server_of(made, page, port=0, finality_seconds=0.1) as running:
        yield running


@pytest.fixture(scope="module")
def deployment(server: RpcServer) -> Any:
    with urlopen(f"{server.url.removesuffix('/api')}/app/deployments/localnet.json", timeout=30) as response:
        return json.load(response)


def key_of(deployment: Any, name: str) -> LocalAccount:
    """Of the account whose name begins so."""
    known = next(each for each in deployment["accounts"] if each["name"].startswith(name))
    account: LocalAccount = Account.from_key(known["key"])
    return account


def test_links__of_the_demo__lead_to_all_to_carl_and_to_olga(server: RpcServer) -> None:
    page = f"{server.url.removesuffix('/api')}/app/"
    places = [page, f"{page}#/usage?account={CARL.account}", f"{page}#/operate?account={OLGA.account}"]
    assert [url for url, _ in links(server)] == places


def test_report__over_json_rpc__is_that_of_the_network(made: Present, server: RpcServer) -> None:
    client = BillingClient(url=server.url, contract=made.contract)
    credit_wei = made.net.view(made.contract, "get_account", FIONA.account)["credit_wei"]
    assert client.get_usage_report(FIONA.account).credit_balance_wei == credit_wei


def test_clock__of_the_server__is_the_machine_s(server: RpcServer) -> None:
    assert abs((server.node.clock.now() - datetime.now(UTC)).total_seconds()) < 60


def test_deployment__of_the_page__names_contract_court_and_accounts(made: Present, deployment: Any) -> None:
    assert (deployment["address"], deployment["court"]) == (made.contract, made.court)
    names = {(account["role"], account["name"]) for account in deployment["accounts"]}
    assert {("consumer", "::1"), ("consumer", CARL.name), ("operator", "operator 1"), ("operator", OLGA.name)} <= names


def test_deployment__keys_of_people__are_those_of_their_addresses(deployment: Any) -> None:
    keys = {each["address"]: each["key"] for each in deployment["accounts"] if "key" in each}
    assert keys.keys() == {person.account for person in PEOPLE}
    assert all(Account.from_key(key).address.lower() == address for address, key in keys.items())


def test_deployment__without_a_meter__names_none(deployment: Any) -> None:
    assert "meter" not in deployment


def test_live_meter__beside_the_network__is_told_to_the_page_and_serves_requests(made: Present, tmp_path: Path) -> None:
    meter = LiveMeter(made.metered_api)
    with server_of(made, tmp_path, meter=meter, port=0) as server, running(meter, server.url, made.contract):
        with urlopen(f"{server.url.removesuffix('/api')}/app/deployments/localnet.json", timeout=30) as response:
            told = json.load(response)["meter"]
        headers = {"Authorization": f"Bearer {told['admin_token']}"}
        records = Request(f"{told['url']}/v1/records?consumer={FIONA.account}", headers=headers)

        def states() -> set[str]:
            try:
                with urlopen(records, timeout=30) as response:
                    return {each["state"] for each in json.load(response)["records"]}
            except URLError:  # it starts
                return set()

        eventually(lambda: {"settled", "released"} <= states())


def test_account__with_its_key__tops_up_over_json_rpc(server: RpcServer, deployment: Any) -> None:
    client = BillingClient(url=server.url, contract=deployment["address"], account=key_of(deployment, "Carl"))
    before = client.get_account(CARL.account).credit_wei
    client.top_up_credit(10**18)
    assert client.get_account(CARL.account).credit_wei == before + 10**18


def test_open_dispute__of_the_network__can_be_judged(server: RpcServer, deployment: Any) -> None:
    court = CourtClient(url=server.url, contract=deployment["court"], account=key_of(deployment, "Dora"))
    assert court.judge(2).result.refund_percent == REFUND_PERCENT


def test_serve__page_that_cannot_be_built__is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> Path:
        raise PageNotBuiltError("npm is not installed")

    monkeypatch.setattr(command, "built_page", fail)
    ran = bill(write_log(tmp_path / "access.log", line()), "--serve")
    assert (ran.code, ran.report, "npm is not installed" in ran.errors) == (2, "", True)


def test_serve__ctrl_c__ends_it_cleanly(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("page")
    program = (
        "import sys; from pathlib import Path; from demo import __main__ as command;"
        f"command.built_page = lambda tell: Path({str(tmp_path)!r});"
        "sys.exit(command.main(sys.argv[1:]))"
    )
    log = write_log(tmp_path / "access.log", line())
    with subprocess.Popen(
        [sys.executable, "-c", program, str(log), "--serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        cwd=ROOT,
    ) as demo:
        assert demo.stdout is not None
        told = "".join(takewhile(lambda each: each.strip() != OLGA.name, demo.stdout))
        demo.send_signal(signal.SIGINT)
        out, errors = demo.communicate(timeout=60)
    assert [person.name for person in PEOPLE if person.question not in told] == [], errors
    assert ("API usage" in told, "solvent" in told, "Top consumers" in told) == (True, True, False)
    assert told.splitlines()[-1].endswith(f"/app/#/operate?account={OLGA.account}")
    assert (demo.returncode, out.strip(), complaints(errors)) == (0, "ended", [])
