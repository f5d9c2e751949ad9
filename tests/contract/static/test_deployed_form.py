"""The form in which a contract is deployed: small, always the same bytes, and seen from outside as its source is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api_billing.contract_source import contract_path
from genlayer_localnet import Localnet
from genlayer_localnet.chain.simulation import schema_of_code

from ..forms import billing_code, code_of
from ..market import CONTRACTS, RELAY

CONTRACT_FILES = sorted([*CONTRACTS.rglob("*.py"), RELAY])
MAX_BYTES = 36_000
each_contract = pytest.mark.parametrize("path", CONTRACT_FILES, ids=lambda path: path.name)


def test_deployed_form__of_the_billing_contract__is_below_36000_bytes() -> None:
    assert len(billing_code("deployed").encode()) < MAX_BYTES


@each_contract
def test_deployed_form__header__is_that_of_the_source(path: Path) -> None:
    source, deployed = code_of(path, "source"), code_of(path, "deployed")
    header = source[: source.index("\n\n") + 2]
    assert deployed.startswith(header)
    assert deployed.removeprefix(header)[0] not in "#\n"


@each_contract
def test_deployed_form__schema__is_that_of_the_source(path: Path) -> None:
    chain = Localnet()._chain
    source, deployed = (schema_of_code(chain, code_of(path, form).encode()) for form in ("source", "deployed"))
    assert (source.kind, source.result) == ("return", deployed.result)


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_deployed_form__in_another_process__has_the_same_bytes(seed: str) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "api_billing.contract_source", contract_path()],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert made.stdout == billing_code("deployed")
