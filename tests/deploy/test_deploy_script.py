"""`deploy/deploy.py` as a script: it asks nothing, and finds its own deployment again."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api_billing.networks import HEADERS
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

SCRIPT = Path(__file__).parents[2] / "deploy" / "deploy.py"

studio_next = server_fixture("module", network="studio-next")

Deploy = Callable[..., str]


@pytest.fixture
def deploy(
    server: RpcServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Deploy:
    """Runs the script in this process, in an empty folder; what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", None)  # asking would fail
    for name in [name for name in os.environ if name.startswith("API_BILLING_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", [str(SCRIPT), "--url", server.url, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err
        return printed.out

    return run


def deploy_in_a_process(folder: Path, url: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--url", url, "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_script__dry_run__sends_and_writes_nothing(deploy: Deploy, tmp_path: Path) -> None:
    data = json.loads(deploy("--network", "localnet", "--dry-run", "--json"))
    assert (data["action"], data["dry_run"]) == ("deploy", True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "minified"), [((), True), (("--minify",), True), (("--no-minify",), False)])
def test_script__form__is_as_asked_for(deploy: Deploy, option: tuple[str, ...], minified: bool) -> None:
    data = json.loads(deploy(*option, "--dry-run", "--json"))
    assert (data["minified"], data["code_bytes"] < data["source_bytes"]) == (minified, minified)


@pytest.mark.parametrize(
    ("options", "line"),
    [((), "v0.2"), (("--line", "v0.3"), "v0.3"), (("--network", "studionet"), "v0.2")],
)
def test_script__edition__is_that_of_the_network_or_as_asked_for(
    deploy: Deploy, options: tuple[str, ...], line: Any
) -> None:
    data = json.loads(deploy(*options, "--dry-run", "--json"))
    assert (data["line"], data["pin"]) == (line, HEADERS[line].pin)
    assert re.search(rf"edition +GenVM {line},", deploy(*options, "--dry-run"))


def test_script__network_of_the_later_line__gets_its_edition(deploy: Deploy, studio_next: RpcServer) -> None:
    data = json.loads(deploy("--network", "studio-next", "--url", studio_next.url, "--dry-run", "--json"))
    assert (data["line"], data["pin"]) == ("v0.3", HEADERS["v0.3"].pin)


def test_script__one_edition_after_the_other__deploys_both(deploy: Deploy) -> None:
    first, second, again = (json.loads(deploy("--line", line, "--json")) for line in ("v0.3", "v0.2", "v0.2"))
    assert [each["action"] for each in (first, second, again)] == ["deploy", "deploy", "keep"]
    assert first["deployment"]["line"] == "v0.3"


def test_script__pin__is_in_what_is_deployed(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_PIN", "py-genlayer:abc")
    data = [json.loads(deploy("--dry-run", "--json", *options)) for options in ((), ("--pin", "py-genlayer:def"))]
    assert [each["pin"] for each in data] == ["py-genlayer:abc", "py-genlayer:def"]


def test_script__run_twice__deploys_once(deploy: Deploy, server: RpcServer, tmp_path: Path) -> None:
    first = deploy_in_a_process(tmp_path, server.url)
    again = json.loads(deploy("--json"))
    assert (first["action"], again["action"]) == ("deploy", "keep")
    recorded = json.loads((tmp_path / "deployments" / "localnet.json").read_text())
    assert recorded == first["deployment"] == again["deployment"]


def test_script__as_text__says_what_it_does(deploy: Deploy) -> None:
    out = deploy()
    assert "deploy: no deployment is recorded" in out
    assert re.search(r"source +[0-9,]+ bytes\n", out)
    assert re.search(r"deployed +[0-9,]+ bytes, minified\n", out)
    assert "recorded in deployments/localnet.json" in out
