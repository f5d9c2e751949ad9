"""What comes from outside is printed without credentials, and without what a terminal would act on."""

import json
import stat
from pathlib import Path

import pytest

from api_billing.errors import OutcomeUnknown, Unreachable
from api_billing.networks import find_network
from api_billing.transport import RAW_SEND, RpcProvider
from genlayer_localnet.rpc.server import RpcServer
from tests.client.scripted_node import HANG_UP, scripted_node

from .conftest import MARKET, Run

SECRET = "S3cr3t"
HOSTILE = "a\x1b[2J\x9b2J\u202eb"


def with_secrets(url: str) -> str:
    """The URL with a user, a password, and a key in its query."""
    return url.replace("://", f"://ann:{SECRET}@") + f"?key={SECRET}"


@pytest.mark.parametrize(
    "command",
    [
        "api list",
        "deploy",
        "report",
        "accounts",
        "fund 1gen",
        "solvency",
        "tx 0x" + "ab" * 32,
        "settle status",
        "localnet page",
        "--json api list",
    ],
)
@pytest.mark.parametrize(
    "url", [f"http://ann:{SECRET}@127.0.0.1:9/{SECRET}0123456789abcdef?k={SECRET}", f"ftp://{SECRET}@h"]
)
def test_command__node_that_cannot_be_had__is_named_without_credentials(
    bare: Run, command: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_billing.transport.RETRY_PAUSES_SECONDS", ())
    ran = bare(*command.split(), "--url", url)
    assert ran.code != 0
    assert SECRET not in ran.out + ran.err


def test_command__node_with_credentials__works_and_leaves_them_nowhere(
    bare: Run, server: RpcServer, tmp_path: Path
) -> None:
    outputs = []
    for line in (*MARKET, "deploy --dry-run", "deploy", "report", "--json deploy"):
        ran = bare(*line.split(), "--url", with_secrets(server.url))
        assert ran.code == 0, ran.err
        outputs.append(ran.out + ran.err)
    files = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert files
    assert not any(SECRET in text for text in outputs + files)


def test_deploy__earlier_record_with_credentials__is_told_without(bare: Run, server: RpcServer, tmp_path: Path) -> None:
    bare("deploy", "--url", server.url)
    path = tmp_path / "deployments" / "localnet.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"url": with_secrets(server.url)}))
    ran = bare("--json", "deploy", "--url", server.url)
    assert ran.code == 0
    assert SECRET not in ran.out + ran.err


def test_network__shown__has_no_credentials() -> None:
    network = find_network("localnet", with_secrets("http://127.0.0.1:1/api"))
    assert SECRET not in f"{network!r} {network}"
    assert SECRET in network.rpc_url


def test_read__failing_node_with_credentials__quotes_them_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_billing.transport.RETRY_PAUSES_SECONDS", ())
    with scripted_node(HANG_UP) as node, pytest.raises(Unreachable) as caught:
        RpcProvider(with_secrets(node.url)).result("eth_chainId")
    assert SECRET not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_write__answer_lost_on_the_way__quotes_no_credentials() -> None:
    with scripted_node(HANG_UP) as node, pytest.raises(OutcomeUnknown) as caught:
        RpcProvider(with_secrets(node.url)).result(RAW_SEND, "0x" + "ab" * 100)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ("api", "show", HOSTILE),
        ("report", HOSTILE),
        ("meter", "credit", "show", HOSTILE),
        ("api", "list", "--network", HOSTILE),
        ("keys", "list"),
        (HOSTILE,),
        (f"--{HOSTILE}",),
        ("deploy", HOSTILE),
        ("meter", "keys", "list", HOSTILE),
        ("meter", "usage", f"--{HOSTILE}"),
        ("meter", "serve", "--host", HOSTILE),
    ],
)
def test_command__hostile_name__reaches_no_terminal_raw(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], as_json: bool
) -> None:
    (tmp_path / "keys").mkdir(mode=stat.S_IRWXU)
    (tmp_path / "keys" / f"{HOSTILE}.json").write_text('{"address": "' + "ab" * 20 + '"}')
    ran = run(*(["--json"] if as_json else []), *arguments)
    assert (ran.out + ran.err).replace("\n", "").isprintable()
