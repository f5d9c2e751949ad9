"""Contracts of these tests are texts in the tests: ``deploy`` puts the header on top and lets alice deploy."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Receipt

HEADER = '# v0.2.16\n# { "Depends": "py-genlayer:test" }\n\nfrom genlayer import *\n\n'


@pytest.fixture
def source() -> Callable[[str], str]:
    """Makes a contract's source from its text."""
    return lambda body: HEADER + textwrap.dedent(body)


@pytest.fixture
def deploy(localnet: Localnet, alice: Address, source: Callable[[str], str]) -> Callable[..., Receipt]:
    """Deploys, and fails the test where that fails, unless ``check=False``."""

    def run(body: str, *args: Any, net: Localnet | None = None, check: bool = True, **options: Any) -> Receipt:
        receipt = (net or localnet).deploy(source(body), *args, sender=alice, **options)
        assert receipt.ok or not check, receipt.stderr
        return receipt

    return run
