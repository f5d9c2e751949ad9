"""The command ``genlayer-localnet up``."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from genlayer_localnet.cli import app
from genlayer_localnet.rpc.server import PortInUse, _bind
from genlayer_localnet.testing.server import ServerProcess

from .wire import Client


@dataclass(frozen=True)
class Seen:
    """A server's life from outside: how it was started, what it did meanwhile, and how it ended."""

    server: ServerProcess
    accounts: list[str]
    ready_file: dict[str, Any]
    second_on_port: Result
    second_on_state: Result
    output: str

    @property
    def port(self) -> int:
        return int(self.server.url.split(":")[2].split("/")[0])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One server for all tests that only look at it; interrupted at the end."""
    state = str(tmp_path_factory.mktemp("state") / "state.sqlite")
    with ServerProcess("--accounts", "2", "--seed", "mine", "--chain-id", "61127", "--state", state) as server:
        accounts = server.call("eth_accounts")
        ready_file = json.loads(server.ready_file.read_text())
        on_port = CliRunner().invoke(app, ["up", "--port", str(ready_file["port"])])
        on_state = CliRunner().invoke(app, ["up", "--port", "0", "--state", state])
        output = server.stop()
    return Seen(server, accounts, ready_file, on_port, on_state, output)


def test_up__started__says_what_one_needs_to_know(seen: Seen) -> None:
    assert seen.server.url in seen.output
    assert "chain id          61127" in seen.output
    assert "standard library" in seen.output
    assert "for tests only" in seen.output
    assert re.findall(r"0x[0-9a-fA-F]{40}(?= 0x[0-9a-f]{64}\b)", seen.output) == seen.accounts
    assert "warning" not in seen.output


def test_up__interrupted__ends_cleanly(seen: Seen) -> None:
    assert (seen.server.exit_code, seen.output.rstrip().splitlines()[-1]) == (0, "stopped")


def test_up__terminated__ends_cleanly() -> None:
    with ServerProcess() as server:
        output = server._end(signal.SIGTERM)
    assert "chain id          61999" in output
    assert "Traceback" not in output


def test_up__ready_file__has_the_address(seen: Seen) -> None:
    expected = {"url": seen.server.url, "port": seen.port, "chain_id": 61127, "pid": seen.server.pid}
    assert seen.ready_file == expected


def test_up__port_in_use__says_so(seen: Seen) -> None:
    assert seen.second_on_port.exit_code == 1
    wanted = f"error: cannot listen on 127.0.0.1 port {seen.port}: Address already in use"
    assert seen.second_on_port.stderr.strip() == wanted


@pytest.mark.parametrize("host", ["a\x00b", "\u202e", "a..b", "x" * 70 + ".example"])
def test_up__host_that_is_none__says_so(host: str) -> None:
    with pytest.raises(PortInUse):
        _bind(host, 0)


def test_up__state_in_use__says_so(seen: Seen) -> None:
    assert seen.second_on_state.exit_code == 1
    assert "is in use by another localnet" in seen.second_on_state.stderr


def test_up__not_on_loopback__warns() -> None:
    with ServerProcess("--host", "0.0.0.0") as server:
        assert server.url.startswith("http://127.0.0.1:")
        output = server.stop()
    assert "warning: 0.0.0.0 is not a loopback address" in output


def test_up__options__reach_the_chain() -> None:
    options = (
        "--failed-value",
        "return",
        "--finality-window",
        "0",
        "--validators",
        "3",
        "--now",
        "2030-01-02T00:00:00Z",
    )
    with ServerProcess(*options) as server:
        client = Client(server)
        till = client.deploy()
        sent = client.write(till, "refuse", "no", value=5)
        assert client.balance(till) == 0
        assert len(sent["consensus_data"]["votes"]) == 3
        assert sent["created_at"].startswith("2030-01-02")
        assert client.transaction(sent["hash"])["status"] == "FINALIZED"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--port", "70000"], "--port"),
        (["--now", "tomorrow"], "2026-01-15T12:00:00Z"),
        (["--failed-value", "burn"], "--failed-value"),
        (["--first-children", "orphaned"], "--first-children"),
        (["--validators", "0"], "--validators"),
        (["--host", "no such host"], "no such host"),
    ],
)
def test_up__wrong_option__is_named(options: list[str], text: str) -> None:
    outcome = CliRunner().invoke(app, ["up", "--port", "0", *options])
    assert outcome.exit_code in (1, 2)
    assert text in outcome.output


def test_help__of_up__explains_every_option() -> None:
    outcome = CliRunner().invoke(app, ["up", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert outcome.exit_code == 0
    for option in ("--port", "--host", "--state", "--failed-value", "--no-auto-mine", "--strict-funds", "--seed"):
        assert option in outcome.output
