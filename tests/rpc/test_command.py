"""The command ``genlayer-localnet up``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genlayer_localnet.cli import app
from genlayer_localnet.testing.server import ServerProcess

from .wire import Client


def test_up__started__says_what_one_needs_to_know() -> None:
    with ServerProcess("--accounts", "2", "--seed", "mine") as server:
        accounts = server.call("eth_accounts")
        output = server.stop()
    assert server.url in output
    assert "chain id          61999" in output
    assert "standard library" in output
    assert "for tests only" in output
    assert re.findall(r"0x[0-9a-fA-F]{40}(?= 0x[0-9a-f]{64}\b)", output) == accounts
    assert "warning" not in output


def test_up__interrupted__ends_cleanly() -> None:
    with ServerProcess() as server:
        output = server.stop()
    assert (server.exit_code, output.rstrip().splitlines()[-1]) == (0, "stopped")


def test_up__terminated__ends_cleanly() -> None:
    with ServerProcess() as server:
        output = server._end(signal.SIGTERM)
    assert "Traceback" not in output


def test_up__ready_file__has_the_address() -> None:
    with ServerProcess("--chain-id", "61127") as server:
        assert json.loads(server.ready_file.read_text()) == {
            "url": server.url,
            "port": int(server.url.split(":")[2].split("/")[0]),
            "chain_id": 61127,
            "pid": server.pid,
        }


def test_up__port_in_use__says_so() -> None:
    with ServerProcess() as server:
        port = server.url.split(":")[2].split("/")[0]
        command = [sys.executable, "-m", "genlayer_localnet", "up", "--port", port]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert second.stderr.strip() == f"error: cannot listen on 127.0.0.1 port {port}: Address already in use"


def test_up__state_in_use__says_so(tmp_path: Path) -> None:
    state = str(tmp_path / "state.sqlite")
    with ServerProcess("--state", state):
        command = [sys.executable, "-m", "genlayer_localnet", "up", "--port", "0", "--state", state]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert "is in use by another localnet" in second.stderr


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
