"""The web page: its types and components with TypeScript and Vitest, and itself in Chromium against a localnet.

The browser's stories are in `dapp/tests/browser/stories/`; each is one test here. They run in one process, which
asks this one to stop a node, or to run a command of `api-billing`, by lines of JSON on its standard output.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from api_billing.client import BillingClient
from api_billing.networks import NETWORKS, find_network
from demo.web_page import PAGE, built_page, install_packages
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer

from . import heavy
from .meter import MeteredNode
from .metering import serve_and_settle
from .tribunal import Tribunal
from .world import FINALITY_SECONDS, PEOPLE, Prepared, prepare, serve, serve_with_fees

STORIES = PAGE / "tests" / "browser" / "stories.mjs"
NAMES = [
    name
    for file in sorted((PAGE / "tests" / "browser" / "stories").glob("*.mjs"))
    for name in re.findall(r'^(?:story|aside)\("([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)
]
SHOTS = PAGE.parent / ".cache" / "dapp-screenshots"
"""Each run leaves its screenshots there, to look at; tools/dapp_pictures.sh puts some into docs/images."""
SECONDS = 420
SMALLEST_BYTES = 1_400
"""What is smaller is not compressed."""
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)

needs_npm = pytest.mark.skipif(
    shutil.which("npm") is None or shutil.which("node") is None, reason="npm and node are not installed"
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")


@pytest.fixture(scope="module")
def page() -> Path:
    """The built page."""
    return built_page()


def npx(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the page."""
    install_packages(PAGE)
    line = [str(PAGE / "node_modules" / ".bin" / arguments[0]), *arguments[1:]]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(line, cwd=PAGE, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)


def test_networks__of_the_page__are_those_of_the_table() -> None:
    source = (PAGE / "src" / "chain" / "networks.ts").read_text(encoding="utf-8")
    rows = re.findall(r'\{ id: "([^"]+)", .*?url: "([^"]*)", chainId: (\d+),', source)
    found = {name: (url, int(chain_id)) for name, url, chain_id in rows if name not in ("localnet", "custom")}
    chains = {name: each.genlayer_chain().id for name, each in NETWORKS.items() if name != "localnet"}
    assert found == {name: (NETWORKS[name].rpc_url, chain_id) for name, chain_id in chains.items()}


def test_answers_and_refusals__of_the_page__are_those_of_the_sources() -> None:
    tool = [sys.executable, PAGE.parent / "tools" / "dapp_answers.py", "--check"]
    assert subprocess.run(tool, check=False).returncode == 0, "run tools/dapp_answers.py"


def test_lock__of_the_page__names_no_registry() -> None:
    lock = json.loads((PAGE / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


@needs_npm
def test_components__all__pass_vitest(page: Path) -> None:
    done = npx("vitest", "run")
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]


def hash_of_sources() -> str:
    """Of all that the page's tools look at: its files, the lock of its packages among them, and the node that runs."""
    hashed = hashlib.sha256(subprocess.run(["node", "--version"], capture_output=True, check=True).stdout)
    tops = [path for path in PAGE.iterdir() if path.name not in ("dist", "node_modules")]
    for path in sorted(path for top in tops for path in (top, *top.rglob("*")) if path.is_file()):
        hashed.update(f"{path.relative_to(PAGE)} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()


@needs_npm
def test_sources__all__pass_eslint(page: Path) -> None:
    """It works out the types of everything, which takes longer than any other test: once for the same sources."""
    passed, sources = PAGE.parent / ".cache" / "dapp-eslint.sha256", hash_of_sources()
    if passed.is_file() and passed.read_text() == sources:
        return
    done = npx("eslint", "--max-warnings", "0", ".")
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    passed.write_text(sources)


@needs_npm
def test_build__each_file_of_some_size__is_there_compressed_too(page: Path) -> None:
    large = [path for path in (page / "assets").glob("*.*s") if path.stat().st_size > SMALLEST_BYTES]
    assert len(large) > 4
    for path in large:
        assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()
    assert all(path.with_name(f"{path.name}.br").stat().st_size < path.stat().st_size / 2 for path in large)


@needs_npm
def test_page__built__has_no_absolute_path(page: Path) -> None:
    assert re.findall(r'(?:src|href)="/[^"]*"', (page / "index.html").read_text(encoding="utf-8")) == []


# ---- in the browser ----


@dataclass
class Told:
    """What the stories told: by name "ok", or what went wrong."""

    outcomes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rest: str = ""


class Stage:
    """Nodes: one stays, one goes away when it is told to, one takes fees, one has much of everything, one a court."""

    def __init__(self, page: Path, prepared: Prepared, folder: Path) -> None:
        self._page, self._prepared = page, prepared
        self.node = serve(prepared, page).start()
        self.fickle = serve(prepared, page).start()
        self.paid, self._operator = serve_with_fees(page)
        self._heavy = heavy.prepare_heavy()
        self.heavy = serve(self._heavy, page).start()
        self.tribunal = Tribunal(page, folder)
        self._metered: MeteredNode | None = None

    def facts(self) -> dict[str, Any]:
        return {
            "chromium": CHROMIUM,
            "shots": str(SHOTS),
            "pictures": os.environ.get("DAPP_PICTURES", ""),
            "origin": self.node.url.removesuffix("/api"),
            "url": self.node.url,
            "fickle": self.fickle.url,
            "paid": {"url": self.paid.url, "contract": self._operator.contract.lower()},
            "contract": self._prepared.contract,
            "otherContract": self._prepared.other_contract,
            "heavy": {
                "origin": self.heavy.url.removesuffix("/api"),
                "url": self.heavy.url,
                "contract": self._heavy.contract,
                **heavy.FACTS,
            },
            "tribunal": self.tribunal.facts(),
            "finalitySeconds": FINALITY_SECONDS,
            "people": {role: asdict(person) for role, person in PEOPLE.items()},
        }

    def answer(self, question: dict[str, Any]) -> Any:
        questions: dict[str, Callable[..., Any]] = {
            "stop": self._stop,
            "start": self._start,
            "cli": self._cli,
            "register": self._register,
            "say": self.tribunal.say,
            "prove": self.tribunal.prove,
            "settle": self._settle,
            "meter": self._meter,
        }
        return questions[question["ask"]](*question.get("args", []))

    def _stop(self) -> None:
        self.fickle.stop()

    def _start(self) -> None:
        world = self.fickle.node.world
        options = NodeOptions(std=self._prepared.net.std.name, finality_window_seconds=FINALITY_SECONDS)
        self.fickle = RpcServer(options, port=self.fickle.port)
        self.fickle.node.adopt(world)
        self.fickle.start()

    def _register(self, api_name: str) -> None:
        """Somebody else registers an API where fees are taken."""
        self._operator.register_api(api_name, 1, 1)

    def _settle(self, api: str, header: str, cost_wei: str) -> dict[str, Any]:
        """The operator's application serves a request for a voucher, and settles it."""
        account = Account.from_key(PEOPLE["operator"].key)
        network = find_network("localnet", self.node.url)
        operator = BillingClient(network, contract=self._prepared.contract, account=account)
        return serve_and_settle(operator, api, header, int(cost_wei))

    def _meter(self) -> dict[str, Any]:
        """A node with a meter, for who asks first; its facts."""
        self._metered = self._metered or MeteredNode(self._prepared, self._page)
        return self._metered.facts()

    def _cli(self, *arguments: str) -> Any:
        where = ("--url", self.node.url, "--contract", self._prepared.contract, "--json")
        result = CliRunner().invoke(make_app(), [*arguments, *where])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def close(self) -> None:
        self.node.stop()
        self.fickle.stop()
        self.paid.stop()
        self.heavy.stop()
        self.tribunal.server.stop()
        if self._metered is not None:
            self._metered.close()


@pytest.fixture(scope="module")
def told(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """All stories, told once."""
    stage = Stage(page, prepare(), tmp_path_factory.mktemp("meter"))
    SHOTS.mkdir(parents=True, exist_ok=True)
    errors = tmp_path_factory.mktemp("dapp") / "stderr"
    try:
        with (
            errors.open("w") as stderr,
            subprocess.Popen(
                ["node", str(STORIES)],
                cwd=PAGE,
                env={**os.environ, "STAGE": json.dumps(stage.facts())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            ) as stories,
        ):
            guard = Timer(SECONDS, stories.kill)
            guard.start()
            try:
                result = _listen(stories, stage)
            finally:
                guard.cancel()
                stories.kill()
        result.rest += errors.read_text()
        yield result
    finally:
        stage.close()


def _listen(stories: subprocess.Popen[str], stage: Stage) -> Told:
    assert stories.stdin is not None
    assert stories.stdout is not None
    result = Told()
    for line in stories.stdout:
        if not line.startswith("{"):
            result.rest += line
            continue
        message = json.loads(line)
        if "ask" in message:
            stories.stdin.write(json.dumps(_answer(stage, message)) + "\n")
            stories.stdin.flush()
        else:
            result.outcomes[message["story"]] = message["outcome"]
            result.seconds[message["story"]] = message["ms"] / 1000
    return result


def _answer(stage: Stage, question: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": stage.answer(question)}
    except Exception as error:  # the story that asked fails with it
        return {"failure": f"{type(error).__name__}: {error}"}


@needs_npm
@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_story__told_in_chromium__goes_well(told: Told, name: str) -> None:
    outcome = told.outcomes.get(name, "it was not told")
    assert outcome == "ok", f"{outcome}\n{told.rest[-3_000:]}"
