"""Payment clients of others: Python's from `requirements/payment-clients.lock`, JavaScript's from npm."""

from pathlib import Path

import pytest

from tests.npm_packages import npm_packages
from tests.other_versions import ROOT, OtherVersions, other_versions

SCRIPTS = ROOT / "tests" / "js" / "payments"


@pytest.fixture(scope="session")
def python_clients() -> OtherVersions:
    return other_versions("payment-clients")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return npm_packages(SCRIPTS, "js-payments")
