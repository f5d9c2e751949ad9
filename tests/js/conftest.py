"""genlayer-js, the genlayer CLI, ethers and viem from npm, in a cache of their own, and a localnet server for them."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEY = "0x" + "17" * 32
PASSWORD = "only for tests"
INSTALL_SECONDS = 600
RUN_SECONDS = 120

Genlayer = Callable[..., str]

server = server_fixture("module", finality_window_seconds=0.5)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages of package-lock.json; installed once for each lock, without running any script of theirs."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed, which the JavaScript clients need")
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".cache" / f"js-clients-{lock}"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "js-clients.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # workers that run side by side install it once
        _install(folder)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    if not (folder / "node_modules").is_dir():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, fresh / name)
        # Not `npm ci`: npm leaves optional packages of other platforms out of a lock, and then finds it incomplete.
        run(["npm", "install", "--ignore-scripts"], cwd=fresh, timeout=INSTALL_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


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
    """What the script prints as JSON. It runs beside node_modules, where node looks for packages."""
    script = node_modules.parent / name
    shutil.copy(HERE / name, script)
    out = run(["node", str(script), *arguments], cwd=script.parent, timeout=RUN_SECONDS)
    return json.loads(next(each for each in out.splitlines() if each.startswith("{")))


def run(
    line: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    stdin: str = "",
    environment: dict[str, str] | None = None,
) -> str:
    """What a program prints, errors last; the test fails with it when the program does."""
    done = subprocess.run(
        line, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )
    assert done.returncode == 0, f"{' '.join(line)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
