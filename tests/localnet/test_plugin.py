"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
import sys
from genlayer_localnet.testing import GEN, named_account

def test_accounts(localnet, alice, bob, carol, dave, erin):
    accounts = [alice, bob, carol, dave, erin]
    assert [localnet.balance(account) for account in accounts] == [1000 * GEN] * 5
    assert len(set(accounts)) == 5
    assert alice == named_account("alice")

def test_fresh(localnet):
    assert localnet.balances() == {}

def test_rule(localnet, alice):
    source = '''# { "Depends": "py-genlayer:test" }

from genlayer import *
class C(gl.Contract):
    def __init__(self): raise gl.vm.UserError("no")
'''
    receipt = localnet.deploy(source, sender=alice, value=5)
    print("BALANCE", localnet.balance(receipt.address))
"""


def _run(folder: Path, *arguments: str) -> str:
    (folder / "test_it.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "genlayer_localnet.testing.plugin", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "balance"),
    [([], 5), (["--failed-value", "return"], 0), (["-o", "localnet_failed_value=return"], 0)],
)
def test_plugin__rule_for_failed_calls__is_an_option(tmp_path: Path, arguments: list[str], balance: int) -> None:
    output = _run(tmp_path, *arguments)
    assert f"BALANCE {balance}" in output
    assert "genlayer_localnet: " in output
