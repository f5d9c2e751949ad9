"""What is left running after the demo: its network over JSON-RPC, and the web page with a link into it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from api_billing.client import BillingClient
from demo import __main__ as command
from demo.access_log import read_log
from demo.run import RunResult, run
from demo.serving import busiest, link, server_of
from demo.web_page import PageNotBuiltError
from genlayer_localnet.loading.standard_library import choose
from genlayer_localnet.rpc.server import RpcServer

from .command import bill
from .log_texts import line, write_log

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("log")
    log = write_log(folder / "access.log", line(), line(client="::1"), line(client="::1"))
    return run(read_log(log, lambda *_: None), choose(None), lambda *_: lambda: None)


@pytest.fixture(scope="module")
def server(result: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcServer]:
    page = tmp_path_factory.mktemp("dist")
    (page / "index.html").write_text("page")
    with server_of(result, page, port=0) as running:
        yield running


def test_link__of_the_demo__names_the_busiest_consumer(result: RunResult, server: RpcServer) -> None:
    parts = urlsplit(link(result, server))
    where = parse_qs(parts.fragment.partition("?")[2])
    assert (parts.path, where["rpc"], where["account"]) == (
        "/app/",
        [server.url],
        [result.summary.consumers["::1"].account],
    )


def test_report__over_json_rpc__is_that_of_the_run(result: RunResult, server: RpcServer) -> None:
    client = BillingClient(url=server.url, contract=result.contract)
    standing = result.summary.consumers["::1"]
    assert client.get_usage_report(busiest(result)).credit_balance_wei == standing.credit_wei


def test_clock__of_the_server__goes_on_from_the_run(result: RunResult, server: RpcServer) -> None:
    assert 0 <= (server.node.clock.now() - result.net.now).total_seconds() < 3600


def test_deployment__of_the_page__names_contract_and_accounts(result: RunResult, server: RpcServer) -> None:
    with urlopen(f"{server.url.removesuffix('/api')}/app/deployments/localnet.json", timeout=30) as response:
        deployment = json.load(response)
    assert deployment["address"] == result.contract
    names = {(account["role"], account["name"]) for account in deployment["accounts"]}
    assert {("consumer", "::1"), ("operator", "operator 1")} <= names


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
        assert any(each.startswith("Ctrl-c ends it.") for each in demo.stdout)
        demo.send_signal(signal.SIGINT)
        out, errors = demo.communicate(timeout=60)
    assert (demo.returncode, out.strip(), errors) == (0, "ended", "")
