"""The pytest plugins: light where nobody uses them, as they are loaded in every run of a project that has them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

LOCALNET, BILLING = "genlayer_localnet.testing.plugin", "api_billing.testing"
LOADED = {
    "api_billing",
    "api_billing.testing",
    "genlayer_localnet",
    "genlayer_localnet.errors",
    "genlayer_localnet.loading",
    "genlayer_localnet.loading.lines",
    "genlayer_localnet.loading.standard_library",
    "genlayer_localnet.testing",
    "genlayer_localnet.testing.direct",
    "genlayer_localnet.testing.plugin",
}
"""All that a run that uses neither plugin imports because of them; pytest itself has imported the rest."""
LIST_MODULES = "import pathlib, sys\n\ndef test_it():\n    pathlib.Path('modules').write_text(' '.join(sys.modules))\n"


def run(folder: Path, test: str, *plugins: str) -> str:
    """What pytest prints with these plugins, and no others."""
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-rA", *(part for plugin in plugins for part in ("-p", plugin))]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def modules_of_a_run(folder: Path, *plugins: str) -> set[str]:
    run(folder, LIST_MODULES, *plugins)
    return set((folder / "modules").read_text().split())


def test_plugins__of_a_test_that_uses_neither__load_nothing_else(tmp_path: Path) -> None:
    assert modules_of_a_run(tmp_path, LOCALNET, BILLING) - modules_of_a_run(tmp_path) == LOADED


def test_plugins__that_pytest_finds__are_these() -> None:
    found = {entry.name: entry.value for entry in entry_points(group="pytest11")}
    assert (found["genlayer_localnet"], found["api_billing"]) == (LOCALNET, BILLING)


def test_plugins__of_a_test_that_uses_them__deploy_the_contract(tmp_path: Path) -> None:
    test = "def test_it(billing, alice):\n    assert billing.net.balance(alice) and billing.view('get_solvency')\n"
    assert "1 passed" in run(tmp_path, test, LOCALNET, BILLING)


def test_billing__without_the_localnet__says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\n\nsys.modules['genlayer_localnet'] = None\n")
    printed = run(tmp_path, "def test_it(billing): ...\n", BILLING)
    assert "the fixture billing needs genlayer-localnet: pip install 'api-billing[localnet]'" in printed
