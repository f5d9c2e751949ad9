"""`deploy/deploy.py` as a script: it asks nothing, and finds its own deployment again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from genlayer_localnet.rpc.server import RpcServer

SCRIPT = Path(__file__).parents[2] / "deploy" / "deploy.py"


def deploy(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("API_BILLING_")}
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--url", url, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_script__dry_run__sends_and_writes_nothing(server: RpcServer, tmp_path: Path) -> None:
    data = answer(deploy(tmp_path, server.url, "--network", "localnet", "--dry-run", "--minify", "--json"))
    assert (data["action"], data["dry_run"]) == ("deploy", True)
    assert data["minified_bytes"] == data["code_bytes"] < data["source_bytes"]
    assert list(tmp_path.iterdir()) == []


def test_script__run_twice__deploys_once(server: RpcServer, tmp_path: Path) -> None:
    first = answer(deploy(tmp_path, server.url, "--json"))
    again = answer(deploy(tmp_path, server.url, "--json"))
    assert (first["action"], again["action"]) == ("deploy", "keep")
    recorded = json.loads((tmp_path / "deployments" / "localnet.json").read_text())
    assert recorded == first["deployment"] == again["deployment"]


def test_script__as_text__says_what_it_does(server: RpcServer, tmp_path: Path) -> None:
    out = deploy(tmp_path, server.url).stdout
    assert "deploy: no deployment is recorded" in out
    assert "minified" in out
    assert "recorded in deployments/localnet.json" in out
