"""The documents are right: their Python runs, their links lead somewhere, their commands exist."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.main import get_command

from api_billing.cli.app import make_app
from api_billing.extras import EXTRAS
from genlayer_localnet.testing.server import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "localnet" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def python_of(document: str) -> list[str]:
    return FENCE.findall((ROOT / document).read_text(encoding="utf-8"))


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_readme__python_of_the_meter__charges_for_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(python_of("README.md")[0], names)
    with names["meter"] as meter:
        meter.add_consumer("acme")
        meter.grant("acme", 10**10, grant_id="first")
        key = meter.create_key("acme")
        response = TestClient(names["app"]).get("/forecast", headers={"authorization": f"Bearer {key.text}"})
        assert (response.status_code, response.json()) == (200, {"paris": "sunny"})
        charged_wei = meter.balance("acme").charged_wei
    assert charged_wei == int(response.headers["x-cost-wei"]) > 10**9


def test_readme__python_of_the_contract__runs() -> None:
    run(python_of("README.md")[1])


def test_tutorial__python_of_the_client__shows_the_usage_report(rpc_server: ServerProcess) -> None:
    code = python_of("docs/tutorial.md")[0].replace("http://127.0.0.1:4000/api", rpc_server.url)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert '"calls_today": 3' in done.stdout, done.stderr


def test_tutorial__test_of_a_consumer__passes(tmp_path: Path) -> None:
    module = tmp_path / "test_example.py"
    module.write_text(python_of("docs/tutorial.md")[1], encoding="utf-8")
    # gltest is not needed, and takes a second to load.
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "gltest", "gltest_direct")]
    command = [sys.executable, "-m", "pytest", "-q", *without, "--rootdir", str(tmp_path), str(module)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("document", ["docs/localnet.md", "localnet/README.md"])
def test_localnet_page__python__runs(document: str) -> None:
    run(python_of(document)[0])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_document__relative_links__lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
    targets = [document.parent / link for link in links if "://" not in link]
    assert [target for target in targets if not target.exists()] == []


def commands_of(document: Path) -> list[str]:
    """What is typed in a document's blocks of commands, without comments."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for kind, block in blocks if kind in ("", "console") for line in block.splitlines()]
    return [line.partition("#")[0] for line in lines if re.match(r"(\$ )?(\.venv/bin/)?api-billing ", line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_document__commands_and_options_of_api_billing__exist(document: Path) -> None:
    whole = get_command(make_app())
    for typed in commands_of(document):
        words = shlex.split(typed.removeprefix("$ "))[1:]
        command: Any = whole
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands") or not words or words[0] in ("…", "[OPTIONS]", "--help"), typed
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, typed


def test_readme__make_targets_it_names__exist() -> None:
    named = set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    defined = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= defined


def test_install_commands__everywhere__name_extras_that_exist() -> None:
    texts = [*DOCUMENTS, *sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.md"))]
    named = re.findall(r"api-billing\[([a-z,]+)\]", "\n".join(each.read_text(encoding="utf-8") for each in texts))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {extra for each in named for extra in each.split(",")} <= extras.keys()
    assert set(EXTRAS) <= extras.keys()


def test_readme__folders_it_names__are_there() -> None:
    named = re.findall(r"^\| `([a-z_/]+)/`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    assert "contracts" in named


def test_readme__output_of_the_demo__is_what_it_prints() -> None:
    """Every line of the excerpt stands in the real output, in the same order."""
    shown = re.search(r"\$ make demo\n(.*?)\n\n\$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    command = [sys.executable, "-m", "demo"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    remaining = iter(line.rstrip() for line in printed)
    assert [line for line in shown[1].splitlines() if line.strip() != "…" and line not in remaining] == []
