"""genlayer-js, the genlayer CLI, ethers and viem from npm, in a cache of their own, and a localnet server for them."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture
from tests.npm_packages import RUN_SECONDS, npm_packages, run
from tests.npm_packages import run_script as npm_packages_script

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEY = "0x" + "17" * 32
PASSWORD = "only for tests"

Genlayer = Callable[..., str]

server = server_fixture("module", finality_window_seconds=0.5)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages of package-lock.json."""
    return npm_packages(HERE, "js-clients")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder as the genlayer CLI expects it: `contracts`, `deploy`, and the Python that the script runs."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("contracts", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def genlayer(node_modules: Path, project: Path, server: RpcServer) -> Genlayer:
    """Runs a command of the genlayer CLI in the project, with a home and an account of its own."""
    keystores = project / "home" / ".genlayer" / "keystores"
    keystores.mkdir(parents=True)
    encrypted = Account.encrypt(KEY, PASSWORD, iterations=4)
    (keystores / "default.json").write_text(str(encrypted).replace("'", '"'), encoding="utf-8")

    def command(*arguments: str, rpc: bool = True) -> str:
        line = [str(node_modules / ".bin" / "genlayer"), *arguments, *(["--rpc", server.url] if rpc else [])]
        environment = {**os.environ, "HOME": str(project / "home"), "NO_COLOR": "1"}
        return run(line, cwd=project, timeout=RUN_SECONDS, stdin=f"{PASSWORD}\n", environment=environment)

    return command


def run_script(node_modules: Path, name: str, *arguments: str) -> Any:
    """What a script of this folder prints as JSON."""
    return npm_packages_script(node_modules, HERE / name, *arguments)
