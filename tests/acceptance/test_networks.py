"""What the README and the tutorial show, on a localnet that is like Studio and on one like Studio Next.

The same commands, the same script and the same contracts, and nothing but the network's name differs: its edition of
the contracts and its fees follow from that.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from api_billing.contract_source import contract_path, deployed_form
from api_billing.metering import Meter
from api_billing.metering.web.fastapi import metered
from api_billing.networks import NETWORKS, find_network
from genlayer_localnet.testing.server import ServerProcess
from tests.other_versions import ROOT, locked, other_versions

MODES = {"studionet": "studio", "studio-next": "studio-next"}
"""By the name that a user gives; how the localnet is started that stands for the network."""
SCRIPT = Path(__file__).with_name("by_genlayer_py.py")
CONTRACTS = ("api_usage_billing.py", "examples/metered_fetch.py")
PAGE = b"sunny"
SECONDS = 120


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The address of a page of an API; contracts ask for it with a query."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


built = cache(make_app)


@pytest.fixture(scope="module", params=MODES)
def node(request: pytest.FixtureRequest, page: str) -> Iterator[tuple[str, ServerProcess]]:
    """The name of a network, and the localnet in its mode."""
    options = ("--network", MODES[request.param], "--finality-window", "0", "--allow-web", page)
    with ServerProcess(*options) as server:
        yield request.param, server


@dataclass(frozen=True)
class Person:
    """Runs `api-billing` as a user would who named network and node once."""

    folder: Path
    network: str
    url: str

    def run(self, line: str) -> str:
        """What a command prints."""
        ran = CliRunner().invoke(built(), line.split())
        assert ran.exit_code == 0, (line, ran.output, ran.stderr)
        return str(ran.stdout)

    def json(self, line: str) -> Any:
        return json.loads(self.run(f"--json {line}"))


def serve(requests: int, consumer: str, person: Person, store: str) -> None:
    """The operator's API answers requests, each for the price of a call."""
    contract = json.loads((person.folder / "deployments" / f"{person.network}.json").read_text("utf-8"))["address"]
    app = FastAPI()
    with Meter.open(
        store, contract=contract, network=person.network, url=person.url, holds_from="accepted", key_pepper="p" * 32
    ) as meter:

        @app.get("/forecast")
        @metered(meter, api="weather", price=10**15)
        async def forecast() -> dict[str, str]:
            return {"paris": "sunny"}

        meter.add_consumer(consumer)
        key = meter.create_key(consumer).text
        with TestClient(app) as client:
            for _ in range(requests):
                answer = client.get("/forecast", headers={"authorization": f"Bearer {key}"})
                assert answer.status_code == 200, answer.text


@pytest.fixture
def person(node: tuple[str, ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    """In an empty folder."""
    network, server = node
    for name in [name for name in os.environ if name.startswith("API_BILLING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("API_BILLING_NETWORK", network)
    monkeypatch.setenv("API_BILLING_URL", server.url)
    monkeypatch.chdir(tmp_path)
    return Person(tmp_path, network, server.url)


def test_commands__of_the_tutorial__work_on_both(person: Person) -> None:
    operator, consumer = "--account localnet:0", "--account localnet:1"
    person.run(f"deploy {operator}")
    person.run(f"deploy --court-bond 0.1gen {operator}")
    person.run(f"api register weather --price 0.001gen --daily 1000 {operator}")
    person.run(f"subscribe weather --max-daily-spend 0.5gen --deposit 5gen {consumer}")
    person.run(f"consume weather --calls 3 {consumer}")
    person.run(f"hold place weather 1gen --for 7d {consumer}")
    address = person.json("localnet accounts")[1]["address"].lower()
    store = f"sqlite:///{person.folder}/meter.db"
    serve(4, address, person, store)
    settled = f"--store {store}"
    person.run(f"settle once weather {settled} {operator}")
    person.run(f"reconcile weather {settled}")
    person.run(f"hold release weather --consumer {address} {operator}")
    person.run(f"withdraw 1gen --on finalized {consumer}")
    person.run(f"earnings --withdraw 0.007gen --on finalized {operator}")

    report = person.json(f"report {consumer}")
    assert report["apis"][0]["calls_today"] == 7
    assert report["credit_balance_wei"] == 5 * 10**18 - 10**18 - 7 * 10**15
    assert person.json("solvency")["surplus_wei"] == 0


@pytest.mark.parametrize("versions", ["", "genlayer-py-newest", "genlayer-py-preview"])
def test_genlayer_py__alone__does_it_all_on_both(
    node: tuple[str, ServerProcess], versions: str, page: str, tmp_path: Path
) -> None:
    network, server = node
    if network == "studio-next" and versions != "genlayer-py-preview":
        pytest.skip("genlayer-py sends fees from 0.19 on")
    for name in CONTRACTS:
        code = deployed_form(contract_path(name).read_text(encoding="utf-8"), find_network(network).line)
        (tmp_path / Path(name).name).write_text(code, encoding="utf-8")
    environ = other_versions(versions).environ if versions else dict(os.environ)
    chain = "studio_devnet" if network == "studio-next" else network
    done = subprocess.run(
        [sys.executable, str(SCRIPT), chain, server.url, str(tmp_path), f"http://{page}/"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["fetched"] == ["fetched", PAGE.decode()]
    assert (told["calls"], told["earnings_wei"], told["solvency"]["surplus_wei"]) == (5, 0, 0)


# --- what the page says


def rows(heading: str) -> list[list[str]]:
    """Of the first table below a heading of the page."""
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8").split(f"{heading}\n", 1)[1]
    table = text.split("\n\n|", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in table]


def test_page__networks__are_those_of_the_table() -> None:
    told = {name: (chain_id, lines, size) for _, name, chain_id, lines, size, _ in rows("# Networks")}
    known = {}
    for name, network in NETWORKS.items():
        most = network.max_code_bytes
        lines = " and ".join(network.lines) if network.lines != ("v0.3",) else "v0.3 only"
        chain_id = 61999 if name == "localnet" else network.genlayer_chain().id
        known[name] = (str(chain_id), lines, f"at most {most:,} bytes" if most else "any")
    assert told == known


def test_page__versions__are_those_of_the_locks() -> None:
    told = {row[0].split(",")[0]: row[1] for row in rows("## What takes what, and what was tried")}
    locks = ("dev", "genlayer-py-newest", "genlayer-py-preview")
    assert told["genlayer-py alone"] == ", ".join(locked(name)["genlayer-py"] for name in locks)
    assert told["gltest"] == ", ".join(locked(name)["genlayer-test"] for name in ("dev", "genlayer-test-preview"))
