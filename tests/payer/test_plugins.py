"""Our plugins in the clients of `x402` and `pympp`, which run on a lock of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.other_versions import ROOT, OtherVersions, other_versions

CASES = (Path(__file__).parent / "by_others.py").read_text("utf-8")


@pytest.fixture(scope="session")
def others() -> OtherVersions:
    return other_versions("payment-clients")


@pytest.mark.parametrize("package", ["x402", "mpp"])
def test_plugin__in_the_client_of_others__passes_each_case(others: OtherVersions, package: str) -> None:
    command = [sys.executable, "-m", "tests.payer.by_others", package]
    done = subprocess.run(command, cwd=ROOT, env=others.environ, capture_output=True, text=True, check=False)
    *run, last = done.stdout.split()
    assert last == "done", done.stdout + done.stderr
    assert len(run) == CASES.count(f"\ndef {package}__") > 4
