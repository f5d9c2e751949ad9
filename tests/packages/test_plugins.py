"""The pytest plugins: light where nobody uses them, as they are loaded in every run of a project that has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOCALNET, BILLING = "genlayer_localnet.testing.plugin", "api_billing.testing"
HEAVY = ["Crypto", "api_billing.errors", "asyncio", "genlayer_localnet.localnet", "requests"]


def run(folder: Path, test: str, *plugins: str) -> str:
    """What pytest prints with these plugins, and no others."""
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-rA", *(part for plugin in plugins for part in ("-p", plugin))]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_plugins__of_a_test_that_uses_neither__load_nothing_heavy(tmp_path: Path) -> None:
    test = f"import sys\n\ndef test_it():\n    assert [name for name in {HEAVY} if name in sys.modules] == []\n"
    assert "1 passed" in run(tmp_path, test, LOCALNET, BILLING)


def test_plugins__of_a_test_that_uses_them__deploy_the_contract(tmp_path: Path) -> None:
    test = "def test_it(billing, alice):\n    assert billing.net.balance(alice) and billing.view('get_solvency')\n"
    assert "1 passed" in run(tmp_path, test, LOCALNET, BILLING)


def test_billing__without_the_localnet__says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\n\nsys.modules['genlayer_localnet'] = None\n")
    printed = run(tmp_path, "def test_it(billing): ...\n", BILLING)
    assert "the fixture billing needs genlayer-localnet: pip install 'api-billing[localnet]'" in printed
