"""What runs in these tests is what the locks name."""

import json
import subprocess
import sys
from pathlib import Path

from tests.other_versions import OtherVersions, locked

from .conftest import SCRIPTS

PACKAGES = ("agent-security-harness", "pympp", "x402", "x402-conformance-suite")


def test_python_clients__in_use__are_those_of_the_lock(python_clients: OtherVersions) -> None:
    say = f"import importlib.metadata as m; print(*map(m.version, {PACKAGES}))"
    run = subprocess.run([sys.executable, "-c", say], env=python_clients.environ, capture_output=True, text=True)
    assert run.stdout.split() == [locked("payment-clients")[name] for name in PACKAGES], run.stderr


def test_javascript_clients__in_use__are_those_of_the_lock(node_modules: Path) -> None:
    named = json.loads((SCRIPTS / "package.json").read_text("utf-8"))["dependencies"]
    found = {name: json.loads((node_modules / name / "package.json").read_text("utf-8"))["version"] for name in named}
    assert found == named
