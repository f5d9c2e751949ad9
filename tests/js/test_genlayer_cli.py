"""The genlayer CLI against the localnet: its deploy with our script, call, write, receipt, schema, code."""

import json
import re
from pathlib import Path

import pytest

from api_billing.contract_source import Source

from .conftest import Genlayer

PRICE_WEI = 10**16


@pytest.fixture(scope="module")
def deployed(genlayer: Genlayer, project: Path) -> str:
    """Address of the contract that `genlayer deploy` has deployed with our script."""
    out = genlayer("deploy")
    assert "Successfully executed" in out
    recorded = json.loads((project / "deployments" / "localnet.json").read_text(encoding="utf-8"))
    address: str = recorded["address"]
    return address


@pytest.fixture(scope="module")
def registered(genlayer: Genlayer, deployed: str) -> str:
    """What `genlayer write` prints when it registers an API."""
    return genlayer("write", deployed, "register_api", "--args", "weather", str(PRICE_WEI), "100", "0")


def test_deploy__with_our_script__records_the_deployment_as_our_command_does(deployed: str, project: Path) -> None:
    recorded = json.loads((project / "deployments" / "localnet.json").read_text(encoding="utf-8"))
    assert re.fullmatch("0x[0-9a-fA-F]{40}", deployed)
    source = Source.read()
    assert (recorded["code_sha256"], recorded["source_sha256"]) == (source.code_sha256, source.source_sha256)
    assert sorted(path.name for path in (project / "deploy").glob("*.js")) == []


def test_deploy__again__changes_nothing(genlayer: Genlayer, deployed: str, project: Path) -> None:
    before = (project / "deployments" / "localnet.json").read_text(encoding="utf-8")
    assert f"nothing to do: this contract is at {deployed}" in genlayer("deploy")
    assert (project / "deployments" / "localnet.json").read_text(encoding="utf-8") == before


def test_write__accepted__is_executed(registered: str) -> None:
    assert "Write operation successfully executed" in registered
    assert "SUCCESS" in registered


def test_call__after_the_write__shows_the_record(genlayer: Genlayer, deployed: str, registered: str) -> None:
    out = genlayer("call", deployed, "get_api", "--args", "weather")
    assert "Read operation successfully executed" in out
    assert str(PRICE_WEI) in out


def test_receipt__of_the_write__is_final(genlayer: Genlayer, registered: str) -> None:
    found = re.search("Write Transaction Hash:\\s+(0x[0-9a-f]{64})", registered)
    assert found is not None, registered
    out = genlayer("receipt", found[1], "--retries", "50", "--interval", "100")
    assert "FINALIZED" in out


def test_schema__of_the_contract__has_its_methods(genlayer: Genlayer, deployed: str) -> None:
    out = genlayer("schema", deployed)
    assert "get_usage_report" in out
    assert "payable: true" in out


def test_code__of_the_contract__is_the_deployed_form(genlayer: Genlayer, deployed: str) -> None:
    assert Source.read().code.decode().strip() in genlayer("code", deployed)
