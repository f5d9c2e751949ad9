"""Deploying: what is planned, what is checked, and that nothing is deployed twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api_billing.connection import Connection
from api_billing.deployment import Action, Deployer, Source, schema_differences
from api_billing.errors import InvalidInput, RpcFailed, TransactionFailed, UnexpectedAnswer, WaitTimedOut
from api_billing.networks import load_deployment, save_deployment

MINIFIED = Source.read(minified=True)
BROKEN = replace(MINIFIED, code=MINIFIED.code.replace(b"def __init__(self):", b"def __init__(self, missing):"))


def test_plan__nothing_recorded__deploys(deployer: Deployer, source: Source) -> None:
    assert deployer.plan(source).action is Action.DEPLOY


def test_plan__deployed_already__keeps_it(deployer: Deployer, source: Source) -> None:
    done = deployer.run(deployer.plan(source))
    again = deployer.plan(source)
    assert (again.action, again.earlier) == (Action.KEEP, done.deployment)
    assert deployer.run(again).deployment == done.deployment


def test_plan__forced__deploys_again(deployer: Deployer, source: Source) -> None:
    first = deployer.run(deployer.plan(source)).deployment
    plan = deployer.plan(source, force=True)
    assert plan.action is Action.DEPLOY
    assert deployer.run(plan).deployment.address != first.address


def test_plan__other_code__deploys_it(deployer: Deployer, source: Source) -> None:
    deployer.run(deployer.plan(source))
    plan = deployer.plan(MINIFIED)
    assert plan.action is Action.DEPLOY
    assert "the code differs" in plan.reason


def test_plan__recorded_contract_gone__deploys_again(deployer: Deployer, source: Source, tmp_path: Path) -> None:
    done = deployer.run(deployer.plan(source)).deployment
    save_deployment(replace(done, address="0x" + "77" * 20), tmp_path)
    assert "no longer there" in deployer.plan(source).reason


def test_run__deployed__records_what_was_deployed(deployer: Deployer, source: Source, tmp_path: Path) -> None:
    done = deployer.run(deployer.plan(source))
    recorded = load_deployment("localnet", tmp_path)
    assert recorded == done.deployment
    assert recorded is not None
    assert (recorded.code_sha256, recorded.code_bytes, recorded.chain_id) == (
        source.code_sha256,
        len(source.source),
        61999,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["localnet.json"]


def test_run__deployed__tells_its_checks(deployer: Deployer, source: Source) -> None:
    points = deployer.run(deployer.plan(source)).points
    assert points["code"] == f"{len(source.source)} bytes, as the source"
    assert points["schema"].endswith("methods, as the source")
    assert points["call"] == "0 APIs, solvent"


def test_run__minified__is_the_same_contract_in_fewer_bytes(deployer: Deployer) -> None:
    done = deployer.run(deployer.plan(MINIFIED)).deployment
    assert done.minified
    assert done.code_bytes == MINIFIED.minified_bytes < done.source_bytes


def test_run__constructor_fails__leaves_nothing_recorded(deployer: Deployer, tmp_path: Path) -> None:
    with pytest.raises(TransactionFailed):
        deployer.run(deployer.plan(BROKEN))
    assert list(tmp_path.iterdir()) == []


def test_run__not_decided_in_time__is_continued_by_the_next_run(
    deployer: Deployer, connection: Connection, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(tx: str, *_: object) -> None:
        raise WaitTimedOut(tx, 60, "ACCEPTED", "PENDING")

    with monkeypatch.context() as slow_network:
        slow_network.setattr(connection.follower, "wait", late)
        with pytest.raises(WaitTimedOut) as unknown:
            deployer.run(deployer.plan(source))
    plan = deployer.plan(source)
    assert (plan.action, plan.pending_tx) == (Action.RESUME, unknown.value.tx)
    assert deployer.run(plan).deployment.transaction == unknown.value.tx
    assert [path.name for path in tmp_path.iterdir()] == ["localnet.json"]


def test_plan__pending_transaction_that_nobody_knows__deploys_anew(
    deployer: Deployer, source: Source, tmp_path: Path
) -> None:
    pending = {"transaction": "0x" + "77" * 32, "code_sha256": source.code_sha256, "url": "x"}
    (tmp_path / "localnet.pending.json").write_text(json.dumps(pending))
    assert deployer.plan(source).action is Action.DEPLOY


def test_check__other_code_at_the_address__is_told(deployer: Deployer, source: Source) -> None:
    done = deployer.run(deployer.plan(MINIFIED)).deployment
    with pytest.raises(UnexpectedAnswer, match="is not the source"):
        deployer.check(done, source)


def test_check__network_that_does_not_tell_code_or_schema__leaves_the_call(
    deployer: Deployer, connection: Connection, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = deployer.run(deployer.plan(source)).deployment

    def silent(_: str) -> None:
        raise RpcFailed("gen_getContractCode", -32601, "no such method")

    monkeypatch.setattr(connection, "code", silent)
    monkeypatch.setattr(connection, "schema", silent)
    assert deployer.plan(source).action is Action.KEEP
    assert deployer.check(done, source) == {
        "code": "not told by this network",
        "schema": "not told by this network",
        "call": "0 APIs, solvent",
    }


def test_schema_differences__same_contract__are_none(
    deployer: Deployer, connection: Connection, source: Source
) -> None:
    done = deployer.run(deployer.plan(source)).deployment
    schema = dict(connection.schema(done.address))
    assert schema_differences(schema) == []
    schema["methods"] = {name: method for name, method in schema["methods"].items() if name != "subscribe"}
    schema["methods"]["steal"] = {}
    schema["methods"]["get_api"] = {"params": [["name", "string"]], "readonly": False}
    assert schema_differences(schema) == [
        "get_api takes (name)",
        "get_api is a write",
        "steal is unknown",
        "subscribe is missing",
    ]


@pytest.mark.parametrize("schema", [None, {}, {"methods": []}])
def test_schema_differences__no_schema__says_so(schema: object) -> None:
    assert schema_differences(schema) == ["it lists no methods"]


def test_source__no_file__is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be used"):
        Source.read(path=tmp_path / "none.py")


def test_source__not_to_be_minified__is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(InvalidInput, match="runner header"):
        Source.read(path=tmp_path / "a.py", minified=True)
