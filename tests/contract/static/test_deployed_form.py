"""What is deployed for each line of GenVM: small, always the same bytes, and seen from outside as the source is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api_billing.contract_editions import header_of, line_of
from api_billing.contract_source import contract_path
from api_billing.networks import HEADERS, Line
from api_billing.testing import deploy_billing
from genlayer_localnet import Localnet
from genlayer_localnet.chain.simulation import schema_of_code
from genlayer_localnet.loading import lines

from ..forms import FORMS, Form, billing_code, code_of
from ..market import CONTRACTS, RELAY

CONTRACT_FILES = sorted([*CONTRACTS.rglob("*.py"), RELAY])
MAX_BYTES = 36_000
TOOL = CONTRACTS.parent / "tools" / "build_contracts.py"
LINTER = Path(sys.executable).with_name("genvm-lint")
each_contract = pytest.mark.parametrize("path", CONTRACT_FILES, ids=lambda path: path.name)
each_form = pytest.mark.parametrize("form", FORMS)


@each_form
def test_deployed_form__of_the_billing_contract__is_below_36000_bytes(form: Line) -> None:
    assert len(billing_code(form).encode()) < MAX_BYTES


@each_contract
@each_form
def test_deployed_form__header__is_that_of_its_line(path: Path, form: Line) -> None:
    version, runner, rest = code_of(path, form).split("\n", 2)
    header = HEADERS[form]
    assert (version, runner) == (f"# {header.version}", f'# {{ "Depends": "{header.pin}" }}')
    assert rest[0] == "\n"
    assert rest[1] not in "#\n"


@each_contract
@each_form
def test_deployed_form__line__is_the_one_that_the_localnet_takes_it_for(path: Path, form: Line) -> None:
    code = code_of(path, form)
    assert line_of(header_of(code)) == lines.line_of(code.encode()) == form


@each_contract
@each_form
def test_deployed_form__schema__is_that_of_the_source(path: Path, form: Line) -> None:
    chain = Localnet()._chain
    source, deployed = (schema_of_code(chain, code_of(path, each).encode()) for each in ("source", form))
    assert (source.kind, source.result) == ("return", deployed.result)


@each_contract
@pytest.mark.parametrize("form", ["source", *FORMS])
def test_lint__of_genvm_linter__is_clean(path: Path, form: Form, tmp_path: Path) -> None:
    file = tmp_path / "contract.py"
    file.write_text(code_of(path, form), encoding="utf-8")
    done = subprocess.run([LINTER, "lint", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_form
@pytest.mark.parametrize("seed", ["0", "1"])
def test_deployed_form__in_another_process__has_the_same_bytes(form: Form, seed: str) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "api_billing.contract_source", contract_path(), "--line", form],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert made.stdout == billing_code(form)


def test_build__of_all_contracts__writes_each_form_for_each_line(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TOOL, tmp_path], capture_output=True, check=True)
    for path in CONTRACTS.rglob("*.py"):
        for form in FORMS:
            there = tmp_path / form / path.relative_to(CONTRACTS)
            assert there.with_suffix(".min.py").read_text(encoding="utf-8") == code_of(path, form)
            assert header_of(there.read_text(encoding="utf-8")) == HEADERS[form]
            assert len(there.read_bytes()) > len(code_of(path, form).encode())


@each_form
def test_deploy_billing__line__is_that_of_the_edition(form: Line) -> None:
    shown = deploy_billing(Localnet(), form).view("consumer_integration_example")
    assert ("gl.contract.get_at" in shown) == (form == "v0.3")
