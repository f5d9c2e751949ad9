"""The command, run in this process against a localnet server, in an empty folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from api_billing.keys import create_key, import_key
from api_billing.transport import RpcProvider
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

ONE_GEN = 10**18
MARKET = (
    "deploy",
    "api register weather --price 0.01gen --daily 100",
    "subscribe weather --max-daily-spend 1gen --deposit 5gen --account localnet:1",
)


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]

server = server_fixture(finality_window_seconds=3_600)


# Building the whole command takes longer than most commands do.
the_app = cache(make_app)
built = cache(get_command)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder; no node is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_BILLING_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("typer.testing._get_command", built)
    for name, function in (("create_key", create_key), ("import_key", import_key)):  # the usual work takes a second
        monkeypatch.setattr(f"api_billing.cli.key_files.{name}", partial(function, scrypt_n=4))
    for name in (
        "NETWORK",
        "URL",
        "CONTRACT",
        "ACCOUNT",
        "PASSWORD",
        "PASSWORD_FILE",
        "ON",
        "DEPLOYMENTS",
        "MAX_FEE",
        "FEE_PROFILE",
    ):
        monkeypatch.delenv(f"API_BILLING_{name}", raising=False)

    def run(*arguments: str | Path, stdin: str | None = None, charset: str = "utf-8") -> Ran:
        result = CliRunner(charset).invoke(the_app(), [str(each) for each in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def run(bare: Run, server: RpcServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against the server; nothing is deployed yet."""
    monkeypatch.setenv("API_BILLING_URL", server.url)
    return bare


@pytest.fixture(scope="session")
def prepared(server: RpcServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """A snapshot of the server with the market on it, and what `deployments/localnet.json` says of it."""
    folder = tmp_path_factory.mktemp("deployments")
    environment = {"API_BILLING_URL": server.url, "API_BILLING_DEPLOYMENTS": str(folder)}
    for line in MARKET:
        result = CliRunner().invoke(make_app(), line.split(), env=environment)
        assert result.exit_code == 0, result.stderr
    snapshot: int = RpcProvider(server.url).result("sim_createSnapshot")
    return snapshot, (folder / "localnet.json").read_text(encoding="utf-8")


@pytest.fixture
def market(run: Run, server: RpcServer, prepared: tuple[int, str], tmp_path: Path) -> Run:
    """A deployed contract with the API `weather` of localnet:0, to which localnet:1 subscribed with 5 GEN."""
    snapshot, deployment = prepared
    assert RpcProvider(server.url).result("sim_restoreSnapshot", snapshot) is True
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "localnet.json").write_text(deployment, encoding="utf-8")
    return run


@pytest.fixture
def consumer(market: Run) -> str:
    """Address of localnet:1."""
    address: str = market("localnet", "accounts", "--json").json[1]["address"]
    return address
