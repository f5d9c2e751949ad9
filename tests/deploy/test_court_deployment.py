"""Deploying a court beside its billing contract: recorded on its own, and kept where contract or bond differ."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api_billing.connection import Connection
from api_billing.contract_api import COURT_METHODS
from api_billing.contract_source import COURT_FILE_NAME, Source
from api_billing.court_client import CourtClient
from api_billing.deployment import Action, CourtDeployer, Deployer
from api_billing.errors import BillingError, InvalidInput, RpcFailed, UnexpectedAnswer, WaitTimedOut
from api_billing.networks import Network, load_deployment, save_deployment

BOND_WEI = 10**17
COURT = Source.read(COURT_FILE_NAME)


def silent(_: str) -> None:
    """A node that does not tell the code of contracts."""
    raise RpcFailed("gen_getContractCode", -32601, "no such method")


@pytest.fixture
def billing(deployer: Deployer, source: Source) -> str:
    """Of a billing contract that is deployed and recorded."""
    return deployer.run(deployer.plan(source)).deployment.address


@pytest.fixture
def courts(connection: Connection, billing: str, tmp_path: Path) -> CourtDeployer:
    return CourtDeployer(connection, billing, BOND_WEI, directory=tmp_path)


def test_run__court__is_that_of_the_contract_and_recorded_beside_it(
    courts: CourtDeployer, network: Network, billing: str, tmp_path: Path
) -> None:
    done = courts.run(courts.plan(COURT))
    court = CourtClient(network, contract=done.deployment.address).get_court()
    assert (court.billing, court.min_bond_wei, court.disputes) == (billing.lower(), BOND_WEI, 0)
    assert load_deployment("localnet", tmp_path, kind="court") == done.deployment
    assert sorted(path.name for path in tmp_path.iterdir()) == ["localnet.court.json", "localnet.json"]
    recorded = load_deployment("localnet", tmp_path)
    assert recorded is not None
    assert (recorded.address, recorded.court) == (billing, done.deployment.address)


def test_run__court_of_another_contract__is_not_named_in_the_record(
    courts: CourtDeployer, deployer: Deployer, source: Source, tmp_path: Path
) -> None:
    later = deployer.run(deployer.plan(source, force=True)).deployment
    courts.run(courts.plan(COURT))
    assert load_deployment("localnet", tmp_path) == later
    assert later.court == ""


def test_run__court__tells_its_checks(courts: CourtDeployer) -> None:
    done = courts.run(courts.plan(COURT))
    assert done.points == {
        "code": f"{len(COURT.code)} bytes, as deployed",
        "schema": f"{len(COURT_METHODS)} methods, as the source",
        "call": "0 disputes, solvent",
    }
    assert len(COURT.code) < len(COURT.source)


def test_plan__court_deployed_already__keeps_it(courts: CourtDeployer) -> None:
    done = courts.run(courts.plan(COURT))
    again = courts.plan(COURT)
    assert (again.action, courts.run(again).deployment) == (Action.KEEP, done.deployment)


@pytest.mark.parametrize("told", [True, False])
def test_plan__other_bond_or_contract__is_refused_and_the_recorded_court_kept(
    connection: Connection,
    courts: CourtDeployer,
    billing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
) -> None:
    done = courts.run(courts.plan(COURT)).deployment
    if not told:
        monkeypatch.setattr(connection, "code", silent)
    dearer = CourtDeployer(connection, billing, BOND_WEI + 1, directory=tmp_path)
    with pytest.raises(
        InvalidInput, match=rf"{done.address} has a least bond of 0\.1 GEN, not 0\.100+1 GEN"
    ) as refused:
        dearer.plan(COURT)
    assert refused.value.hint == "--force deploys another, and replaces the record"
    other = "0x" + "77" * 20
    with pytest.raises(InvalidInput, match=f"is for {billing.lower()}, not {other}"):
        CourtDeployer(connection, other, BOND_WEI, directory=tmp_path).plan(COURT)
    assert courts.plan(COURT).action is Action.KEEP
    assert load_deployment("localnet", tmp_path, kind="court") == done
    assert dearer.plan(COURT, force=True).action is Action.DEPLOY


def test_line__of_a_court__is_that_of_its_recorded_contract(
    connection: Connection, deployer: Deployer, billing: str, tmp_path: Path
) -> None:
    later = deployer.run(deployer.plan(Source.read(line="v0.3"))).deployment.address
    courts = CourtDeployer(connection, later, BOND_WEI, directory=tmp_path)
    assert (courts.line, CourtDeployer(connection, billing, BOND_WEI, directory=tmp_path).line) == ("v0.3", "v0.2")
    done = courts.run(courts.plan(Source.read(COURT_FILE_NAME, line=courts.line)))
    assert done.points["call"] == "0 disputes, solvent"


def test_check__court_of_another_bond__is_told(
    connection: Connection, courts: CourtDeployer, billing: str, tmp_path: Path
) -> None:
    done = courts.run(courts.plan(COURT)).deployment
    with pytest.raises(UnexpectedAnswer, match="another contract, or bond"):
        CourtDeployer(connection, billing, 1, directory=tmp_path).check(done)


def test_plan__court_that_the_network_does_not_tell_of__is_asked_itself(
    courts: CourtDeployer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    courts.run(courts.plan(COURT))
    monkeypatch.setattr(connection, "code", silent)
    assert courts.plan(COURT).action is Action.KEEP


def test_run__court_not_decided_in_time__is_continued_with_the_same_arguments_only(
    courts: CourtDeployer, connection: Connection, billing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(tx: str, *_: object) -> None:
        raise WaitTimedOut(tx, 60, "ACCEPTED", "PENDING")

    with monkeypatch.context() as slow_network:
        slow_network.setattr(connection.follower, "wait", late)
        with pytest.raises(WaitTimedOut) as unknown:
            courts.run(courts.plan(COURT))
    assert json.loads((tmp_path / "localnet.court.pending.json").read_text())["arguments"] == [
        billing.lower(),
        BOND_WEI,
    ]
    assert CourtDeployer(connection, billing, 1, directory=tmp_path).plan(COURT).action is Action.DEPLOY
    plan = courts.plan(COURT)
    assert (plan.action, plan.pending_tx) == (Action.RESUME, unknown.value.tx)
    assert courts.run(plan).deployment.transaction == unknown.value.tx


def test_court_deployer__no_address__is_refused(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        CourtDeployer(connection, "0x12", BOND_WEI, directory=tmp_path)


def test_run__billing_contract_that_is_none__fails_and_records_nothing(
    connection: Connection, billing: str, tmp_path: Path
) -> None:
    nowhere = CourtDeployer(connection, "0x" + "77" * 20, BOND_WEI, directory=tmp_path)
    with pytest.raises(BillingError):
        nowhere.run(nowhere.plan(COURT))
    assert [path.name for path in tmp_path.iterdir()] == ["localnet.json"]


def test_plan__recorded_court_gone__deploys_again(courts: CourtDeployer, tmp_path: Path) -> None:
    done = courts.run(courts.plan(COURT)).deployment
    save_deployment(replace(done, address="0x" + "77" * 20), tmp_path, kind="court")
    assert "no longer there" in courts.plan(COURT).reason
