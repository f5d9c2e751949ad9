"""The documents are right: their Python runs, their links lead somewhere, what they name exists."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from fastapi.testclient import TestClient
from typer.main import get_command
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from api_billing.client import BillingClient
from api_billing.networks import find_network
from api_billing.payments import mpp
from api_billing.vouchers import is_signed_by
from genlayer_localnet.cli import app as localnet_app
from genlayer_localnet.testing.server import ServerProcess
from tests.metering.settlement.places import deployed
from tests.payer.served import serving

ROOT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING, CHANGELOG = (ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [README, CONTRIBUTING, ROOT / "localnet" / "README.md", ROOT / "dapp" / "README.md", *PAGES]
WITH_FIGURES = [ROOT / "docs" / name for name in ("figures.md", "metering-speed.md", "rpc.md")]
# Made while working; git ignores them.
NOT_KEPT = {"artifacts", "build", "deployments", "dist", "node_modules"}
# What nobody installs who uses the package.
FOR_DEVELOPERS = {"all", "bench", "dev", "test"}
# Where documents say "metering/…", "stores/…" or "rpc/…".
HOMES = [
    ROOT,
    ROOT / "src" / "api_billing",
    ROOT / "src" / "api_billing" / "metering",
    ROOT / "localnet" / "src" / "genlayer_localnet",
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def text_of(document: str | Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def python_of(document: str) -> list[str]:
    return [block for kind, block in FENCE.findall(text_of(document)) if kind == "python"]


def spans_of(document: Path) -> list[str]:
    """What stands in code within the text."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of(document)))


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def missing_lines(shown: str, printed: str) -> list[str]:
    """The lines of an excerpt that do not stand in the output, in the same order."""
    remaining = iter([line.rstrip() for line in printed.splitlines()])
    return [line for line in shown.splitlines() if line.strip() != "…" and line.rstrip() not in remaining]


# Python


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


def test_readme__server_and_command_of_the_door__serve_who_has_a_wallet(
    rpc_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = find_network("localnet", rpc_server.url)
    contract, keys = deployed(network), [keccak(text=f"{role} of the README") for role in ("operator", "payer")]
    operator, payer = (BillingClient(network, contract=contract, account=Account.from_key(key)) for key in keys)
    for client in (operator, payer):
        client.connection.fund(client.address, 10**18)
    operator.register_api("weather", 10**15, 1_000)
    monkeypatch.setenv("API_BILLING_URL", rpc_server.url)
    names: dict[str, Any] = {}
    exec(python_of("README.md")[1].replace("0x…", contract), names)
    command, answer = next(
        block for kind, block in FENCE.findall(text_of("README.md")) if "pay http" in block
    ).splitlines()
    monkeypatch.setenv("PAYER_KEY", "0x" + keys[1].hex())
    monkeypatch.setenv("API_BILLING_PAYER_FILE", str(tmp_path / "payer.db"))
    with names["meter"] as meter, serving(names["app"]) as url:
        here = {"http://127.0.0.1:8000": url, "0x…": contract, "alice": "env:PAYER_KEY"}
        for written, meant in here.items():
            command = command.replace(written, meant)
        words = shlex.split(command.removeprefix("$ api-billing "))
        done = CliRunner().invoke(make_app(), words)
        assert (done.exit_code, done.stdout) == (0, answer), done.stderr
        session = meter.session("weather", payer.address)
    assert session is not None
    assert [channel.charged_wei for channel in session.channels] == [10**15]


def test_readme__python_of_the_contract__runs() -> None:
    run(python_of("README.md")[2])


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


# Output


def test_readme__output_of_the_demo__is_what_it_prints() -> None:
    shown = re.search(r"\$ make demo\n(.*?)\n\n\$", text_of(README), re.DOTALL)
    module = re.search(r"^demo:(?:.*\n\t)+?@?\S+/python -m (\S+)", text_of("Makefile"), re.MULTILINE)
    assert shown is not None
    assert module is not None
    command = [sys.executable, "-m", module[1]]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert missing_lines(shown[1], printed) == []


def test_tutorial__output_of_api_billing__is_what_it_prints(
    rpc_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("NETWORK", "CONTRACT", "ACCOUNT", "ON", "DEPLOYMENTS"):
        monkeypatch.delenv(f"API_BILLING_{name}", raising=False)
    monkeypatch.setenv("API_BILLING_URL", rpc_server.url)
    monkeypatch.setenv("COLUMNS", "80")
    section = re.search(r"^## With `api-billing`\n(.*?)^## ", text_of("docs/tutorial.md"), re.DOTALL | re.MULTILINE)
    assert section is not None
    [block] = [block for kind, block in FENCE.findall(section[1]) if kind == "console"]
    steps = re.findall(r"^\$ \.venv/bin/api-billing (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    assert len(steps) == block.count("$ ") > 3
    for typed, shown in steps:
        done = CliRunner().invoke(make_app(), shlex.split(typed))
        assert (done.exit_code, missing_lines(shown, done.stdout)) == (0, []), done.output


# Form and links


def test_method_specification__example__is_what_the_client_and_the_server_say() -> None:
    text = text_of("docs/mpp-genlayer-session.md").partition("## 12. Example")[2]
    challenge_line = re.search(r"^WWW-Authenticate: (.*)$", text, re.MULTILINE)
    receipt_line = re.search(r"^Payment-Receipt: (.*)$", text, re.MULTILINE)
    assert challenge_line
    assert receipt_line
    (challenge,) = mpp.challenges_in([challenge_line[1]])
    request, answered = (json.loads(block) for kind, block in FENCE.findall(text) if kind == "json")
    assert challenge.terms == request
    credential = mpp.read_credential(mpp.Credential(challenge, answered["payload"], answered["source"]).value())
    assert credential is not None
    assert {"challenge": challenge.members(), "payload": credential.payload, "source": credential.source} == answered
    payload = mpp.session_payload(credential, request["methodDetails"]["chainId"])
    payer, signer = re.findall("`(0x[0-9a-f]{40})`", text)
    channel = mpp.offer_of(challenge).channel(payer, signer)
    assert channel.id == payload.channel_id
    assert f"```\n{channel.id}\n```" in text
    assert payload.voucher is not None
    assert is_signed_by(channel, payload.voucher)
    receipt = mpp.read_receipt(receipt_line[1])
    assert (receipt["reference"], receipt["challengeId"]) == (channel.id, challenge.id)
    assert (receipt["acceptedCumulative"], receipt["spent"]) == (str(payload.voucher.cumulative_wei), "3000000000")


@pytest.mark.parametrize(("document", "most"), [("README.md", 160), ("CONTRIBUTING.md", 40)])
def test_first_pages__length__is_bounded(document: str, most: int) -> None:
    assert len(text_of(document).splitlines()) <= most


def links_of(document: Path) -> list[tuple[Path, str]]:
    """The files, or folders, that a document links to, and the heading within each."""
    found = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text_of(document))
    return [
        ((document.parent / path).resolve() if path else document, anchor)
        for path, anchor in found
        if "://" not in path
    ]


def anchors_of(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_document__relative_links__lead_to_files_and_headings(document: Path) -> None:
    assert [path for path, _ in links_of(document) if not path.exists()] == []
    assert [(path, each) for path, each in links_of(document) if each and each not in anchors_of(path)] == []


def test_pages__every_one__is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [README]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [path for path, _ in links_of(page) if path.suffix == ".md"]
    assert set(PAGES) - reached == set()


CHANGES = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_changelog__kinds_of_changes__are_those_of_keep_a_changelog_in_their_order() -> None:
    for version in text_of(CHANGELOG).split("\n## ")[1:]:
        kinds = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert kinds
        assert kinds == [each for each in CHANGES if each in kinds]


# What is named


@cache
def commands_known() -> dict[str, Any]:
    return {"api-billing": get_command(make_app()), "genlayer-localnet": get_command(localnet_app)}


def commands_of(document: Path) -> Iterator[str]:
    """What is typed in a document's blocks of commands, without comments, and in its text."""
    blocks = [block for kind, block in FENCE.findall(text_of(document)) if kind in ("", "console")]
    typed = [line.partition("#")[0].removeprefix("$ ") for block in blocks for line in block.splitlines()]
    for line in (*typed, *spans_of(document)):
        command = line.removeprefix(".venv/bin/")
        if command.startswith(tuple(f"{name} " for name in commands_known())):
            yield command


@every_document
def test_document__commands_and_options__exist(document: Path) -> None:
    for typed in commands_of(document):
        name, *words = shlex.split(typed)
        command = commands_known()[name]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands") or not words or words[0] in ("…", "[OPTIONS]", "--help"), typed
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known.add("--help")
        # What `localnet up` does not know itself it gives to genlayer-localnet.
        assert command.ignore_unknown_options or {word for word in words if word.startswith("--")} <= known, typed


@every_document
def test_document__make_targets__exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^\$ )make ([a-z]+)", text_of(document), re.MULTILINE)) <= targets


@every_document
def test_document__source_files__exist(document: Path) -> None:
    named = [span for span in spans_of(document) if re.fullmatch(r"[\w.-]+/[\w./-]+\.(py|sh|ts)", span)]
    assert [name for name in named if not any((home / name).is_file() for home in [*HOMES, document.parent])] == []


def test_readme__table_of_folders__has_every_one() -> None:
    rows = re.findall(r"^\| (`[^|]+/`) \|", text_of(README), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)/`", row)}
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert named == there - NOT_KEPT


def test_readme__table_of_extras__has_every_one() -> None:
    defined = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"].keys()
    assert defined - FOR_DEVELOPERS <= set(re.findall(r"`\[(\w+)\]`", text_of(README)))


def test_first_pages__python_that_they_ask_for__is_that_of_the_packages() -> None:
    packages = [tomllib.loads(text_of(path))["project"] for path in ("pyproject.toml", "localnet/pyproject.toml")]
    [asked] = {package["requires-python"].removeprefix(">=") for package in packages}
    pages = [README, CONTRIBUTING, "docs/tutorial.md", "localnet/README.md"]
    assert [set(re.findall(r"Python (3\.\d+)", text_of(page))) for page in pages] == [{asked}] * len(pages)


# Figures


def benches_of(document: Path) -> list[tuple[str, list[str]]]:
    """The benchmarks that a document says how to run, and the options it gives or mentions with each."""
    return [
        (name, re.findall(r"--\w+", rest))
        for name, rest in re.findall(r"`(?:python )?bench/(\w+\.py)`?([^`\n]*)", text_of(document))
    ]


@pytest.mark.parametrize("document", WITH_FIGURES, ids=lambda path: path.name)
def test_figures__benches_they_name__exist(document: Path) -> None:
    named = benches_of(document)
    assert named
    for name, options in named:
        source = text_of(f"bench/{name}")
        assert [option for option in options if f'"{option}"' not in source] == []


def test_figures__every_bench_of_make__is_named() -> None:
    run_by_make = re.search(r"for name in ([\w ]+); do \S+/python bench/", text_of("Makefile"))
    assert run_by_make is not None
    named = {name for name, _ in benches_of(ROOT / "docs" / "figures.md")}
    assert {f"{name}.py" for name in run_by_make[1].split()} <= named
