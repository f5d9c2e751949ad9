"""Deploying: what is planned, what is checked, and that nothing is deployed twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api_billing.connection import Connection
from api_billing.contract_source import Source, contract_path
from api_billing.deployment import Action, Deployer, schema_differences
from api_billing.errors import InvalidInput, RpcFailed, TransactionFailed, UnexpectedAnswer, WaitTimedOut
from api_billing.networks import HEADERS, Line, find_network, load_deployment, save_deployment

AS_IT_STANDS = Source.read(minified=False)
OTHER = replace(AS_IT_STANDS, source=AS_IT_STANDS.source + b"# 2\n", code=AS_IT_STANDS.code + b"# 2\n")
BROKEN = replace(OTHER, code=OTHER.code.replace(b"def __init__(self):", b"def __init__(self, missing):"))
OnChain = Callable[[int | None], None]


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


def test_plan__other_source__deploys_it(deployer: Deployer, source: Source) -> None:
    deployer.run(deployer.plan(source))
    plan = deployer.plan(OTHER)
    assert plan.action is Action.DEPLOY
    assert "the source differs" in plan.reason


def test_plan__same_source_in_another_form__keeps_what_is_there(deployer: Deployer, source: Source) -> None:
    done = deployer.run(deployer.plan(source))
    assert done.deployment.minified != AS_IT_STANDS.minified
    again = deployer.run(deployer.plan(AS_IT_STANDS))
    assert again.deployment == done.deployment
    assert again.points["code"] == f"{len(source.code)} bytes, as deployed"


@pytest.mark.parametrize(("spare", "refused"), [(0, False), (-1, True)])
def test_plan__code_of_the_size_that_the_network_takes__is_deployed_and_of_a_byte_more_refused(
    connection: Connection, source: Source, tmp_path: Path, spare: int, refused: bool
) -> None:
    connection.network = replace(connection.network, max_code_bytes=len(source.code) + spare)
    deployer = Deployer(connection, directory=tmp_path)
    if refused:
        with pytest.raises(InvalidInput, match=f"up to {len(source.code) - 1:,} bytes, and this has"):
            deployer.plan(source)
    else:
        assert deployer.plan(source).action is Action.DEPLOY
    with pytest.raises(InvalidInput) as too_large:
        deployer.plan(AS_IT_STANDS)
    assert too_large.value.hint == "the minified form is smaller"


# ---- chains ----


@pytest.fixture
def on_chain(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> OnChain:
    """Have the node tell another chain id."""
    return lambda chain_id: monkeypatch.setattr(connection, "chain_id", lambda: chain_id)


def deployer_on(connection: Connection, directory: Path, name: str, url: str | None = None) -> Deployer:
    """Of the localnet, as if it were another network."""
    known = find_network(name, url)
    connection.network = replace(known, url=connection.network.url) if url is None else known
    return Deployer(connection, directory=directory)


@pytest.mark.parametrize(
    ("name", "chain_id", "refused"),
    [
        ("studionet", 61997, "studionet is chain 61999, and http://127.0.0.1:[0-9]+/api is a node of chain 61997"),
        ("studio-next", 61999, "studio-next is chain 61997"),
        ("testnet-asimov", 61999, "testnet-asimov is chain 4221"),
        ("studionet", 61999, ""),
        ("testnet-bradbury", 4221, ""),
        ("localnet", 5, ""),
    ],
)
def test_plan__node_of_another_chain__is_refused_with_both(
    connection: Connection, tmp_path: Path, on_chain: OnChain, name: str, chain_id: int, refused: str
) -> None:
    deployer = deployer_on(connection, tmp_path, name)
    on_chain(chain_id)
    edition = Source.read(line=deployer.line)
    if refused:
        with pytest.raises(InvalidInput, match=refused):
            deployer.plan(edition)
    else:
        assert deployer.plan(edition).action is Action.DEPLOY


# ---- editions ----

HASH = "py-genlayer:" + 52 * "z"


@pytest.mark.parametrize(
    ("name", "line", "why"),
    [
        ("studio-next", "v0.2", "studio-next runs GenVM v0.3 only, and this contract is of the v0.2 line"),
        ("studionet", "v0.3", "studionet runs GenVM v0.2 only, and this contract is of the v0.3 line"),
        ("testnet-bradbury", "v0.3", "testnet-bradbury runs GenVM v0.2 only"),
    ],
)
def test_plan__edition_that_the_network_does_not_run__is_refused_with_the_reason(
    connection: Connection, tmp_path: Path, on_chain: OnChain, name: str, line: Line, why: str
) -> None:
    deployer = deployer_on(connection, tmp_path, name)
    on_chain(connection.network.chain_id)
    with pytest.raises(InvalidInput, match=why) as refused:
        deployer.plan(Source.read(line=line))
    assert refused.value.hint == f"--line {deployer.line} deploys the edition for it"
    assert deployer.plan(Source.read(line=deployer.line)).action is Action.DEPLOY


@pytest.mark.parametrize("line", ["v0.2", "v0.3"])
def test_run__edition_of_either_line__is_the_contract_and_recorded_with_its_line(
    deployer: Deployer, connection: Connection, tmp_path: Path, line: Line
) -> None:
    edition = Source.read(line=line)
    done = deployer.run(deployer.plan(edition))
    assert connection.code(done.deployment.address) == edition.code
    recorded = load_deployment("localnet", tmp_path)
    assert recorded is not None
    assert (recorded.line, recorded.source_bytes) == (line, len(AS_IT_STANDS.source))
    assert done.points["schema"].endswith("methods, as the source")
    assert deployer.plan(edition).action is Action.KEEP


def test_plan__other_edition_of_the_same_source__is_deployed(deployer: Deployer, source: Source) -> None:
    done = deployer.run(deployer.plan(source)).deployment
    plan = deployer.plan(Source.read(line="v0.3"))
    assert (plan.action, plan.reason) == (Action.DEPLOY, f"{done.address} is the edition for GenVM v0.2")


def test_plan__recorded_before_lines_were__is_of_the_older_line(
    deployer: Deployer, source: Source, tmp_path: Path
) -> None:
    deployer.run(deployer.plan(source))
    path = tmp_path / "localnet.json"
    recorded = json.loads(path.read_text())
    assert recorded.pop("line") == "v0.2"
    path.write_text(json.dumps(recorded))
    assert deployer.plan(source).action is Action.KEEP


@pytest.mark.parametrize("url", [None, "https://studio.example/api"])
def test_plan__runner_of_which_only_the_beginning_is_known__is_sent_to_no_other_machine(
    connection: Connection, tmp_path: Path, on_chain: OnChain, url: str | None
) -> None:
    deployer = deployer_on(connection, tmp_path, "studio-next", url or find_network("studio-next").rpc_url)
    on_chain(61997)
    with pytest.raises(InvalidInput, match=r"only the beginning .* is known here, py-genlayer:5jycge4q") as refused:
        deployer.plan(Source.read(line="v0.3"))
    assert "API_BILLING_PIN" in refused.value.hint
    assert deployer.plan(Source.read(line="v0.3", pin=HASH)).action is Action.DEPLOY


@pytest.mark.parametrize("pin", ["py-genlayer:latest", "py-genlayer:test"])
@pytest.mark.parametrize("name", ["studionet", "testnet-bradbury", "studio-next"])
def test_plan__runner_of_debug_builds__is_for_localnets_alone(
    connection: Connection, tmp_path: Path, on_chain: OnChain, name: str, pin: str
) -> None:
    assert deployer_on(connection, tmp_path, "localnet").plan(Source.read(pin=pin)).action is Action.DEPLOY
    deployer = deployer_on(connection, tmp_path, name, find_network(name).rpc_url)
    on_chain(connection.network.chain_id)
    with pytest.raises(InvalidInput, match=f"only debug builds of GenVM know {pin}, and the nodes of {name} are none"):
        deployer.plan(Source.read(line=deployer.line, pin=pin))


def test_source__pin_of_another_line__is_told_to_be_at_fault() -> None:
    with pytest.raises(InvalidInput, match="the pin py-genlayer:5jycge4q is a runner of the v0"):
        Source.read(pin=HEADERS["v0.3"].pin)


def test_source__pin__is_the_runner_that_is_named(source: Source) -> None:
    pinned = Source.read(pin=HASH)
    assert (pinned.header.pin, pinned.line, pinned.source) == (HASH, "v0.2", source.source)
    with pytest.raises(InvalidInput, match="is no runner"):
        Source.read(pin="latest")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (AS_IT_STANDS.source.replace(b" }\n", b" }\n# Ours.\n", 1), "an empty line must stand before"),
        (AS_IT_STANDS.source.replace(b'"""Prep', b'"""\xff', 1), "'utf-8' codec can't decode byte 0xff"),
        (b"\xef\xbb\xbf" + AS_IT_STANDS.source, "does not begin with a version and runner header"),
    ],
)
def test_source__that_nodes_would_not_read__is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    (tmp_path / "a.py").write_bytes(text)
    with pytest.raises(InvalidInput, match=why):
        Source.read(path=tmp_path / "a.py")


def test_source__of_the_later_line_for_the_older__is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(Source.read(line="v0.3", minified=False).code)
    assert Source.read(path=tmp_path / "a.py").line == "v0.3"
    with pytest.raises(InvalidInput, match="cannot be made one of"):
        Source.read(path=tmp_path / "a.py", line="v0.2")


def test_plan__recorded_contract_gone__deploys_again(deployer: Deployer, source: Source, tmp_path: Path) -> None:
    done = deployer.run(deployer.plan(source)).deployment
    save_deployment(replace(done, address="0x" + "77" * 20), tmp_path)
    assert "no longer there" in deployer.plan(source).reason


def test_plan__recorded_hash_is_not_that_of_the_code__says_so(
    deployer: Deployer, source: Source, tmp_path: Path
) -> None:
    done = deployer.run(deployer.plan(source)).deployment
    save_deployment(replace(done, code_sha256=OTHER.code_sha256), tmp_path)
    plan = deployer.plan(source)
    assert (plan.action, plan.reason) == (Action.DEPLOY, f"the code at {done.address} is not the one that is recorded")


def test_run__deployed__records_what_was_deployed(deployer: Deployer, source: Source, tmp_path: Path) -> None:
    done = deployer.run(deployer.plan(source))
    recorded = load_deployment("localnet", tmp_path)
    assert recorded == done.deployment
    assert recorded is not None
    assert (recorded.code_sha256, recorded.code_bytes, recorded.chain_id) == (
        source.code_sha256,
        len(source.code),
        61999,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["localnet.json"]


def test_run__deployed__tells_its_checks(deployer: Deployer, source: Source) -> None:
    points = deployer.run(deployer.plan(source)).points
    assert points["code"] == f"{len(source.code)} bytes, as deployed"
    assert points["schema"].endswith("methods, as the source")
    assert points["call"] == "0 APIs, solvent"


def test_run__by_default__is_the_same_contract_in_fewer_bytes(deployer: Deployer, source: Source) -> None:
    done = deployer.run(deployer.plan(source)).deployment
    assert done.minified
    assert done.code_bytes == len(source.code) < done.source_bytes == len(AS_IT_STANDS.code)


def test_run__as_it_stands__is_the_source(deployer: Deployer, connection: Connection) -> None:
    done = deployer.run(deployer.plan(AS_IT_STANDS)).deployment
    assert (done.minified, connection.code(done.address)) == (False, contract_path().read_bytes())


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
    done = deployer.run(deployer.plan(source)).deployment
    with pytest.raises(UnexpectedAnswer, match="is not what was deployed"):
        deployer.check(replace(done, code_sha256=OTHER.code_sha256))


def test_check__network_that_does_not_tell_code_or_schema__leaves_the_call(
    deployer: Deployer, connection: Connection, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = deployer.run(deployer.plan(source)).deployment

    def silent(_: str) -> None:
        raise RpcFailed("gen_getContractCode", -32601, "no such method")

    monkeypatch.setattr(connection, "code", silent)
    monkeypatch.setattr(connection, "schema", silent)
    assert (deployer.plan(source).action, deployer.pin(done)) == (Action.KEEP, None)
    assert deployer.check(done) == {
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
        Source.read(path=tmp_path / "a.py")
