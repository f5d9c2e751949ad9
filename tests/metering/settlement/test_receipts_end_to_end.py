"""contracts/examples/metered_fetch.py on a localnet, fetching an API whose meter checks the receipt on that localnet.

Three processes: the localnet, the API's server, and this one. Nothing is mocked.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.metering.ledger.operations import ListRecords, SumUsage
from api_billing.metering.settlement.reconcile import reconcile
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import run
from api_billing.networks import Network, find_network
from api_billing.unlocked import unlocked_account
from genlayer_localnet.testing.server import ServerProcess

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "contracts" / "examples" / "metered_fetch.py"
ONE_GEN = 10**18
PRICE_WEI = 1_000
VALIDATORS = 5
LONG_SECONDS = 60
STACKS = {
    "uvicorn-fastapi": [
        "-m", "uvicorn", "--fd", "{fd}", "--log-level", "critical", "--factory", "receipt_apps:fastapi_app",
    ],
    "gunicorn-flask": [
        "-m", "gunicorn", "--bind", "fd://{fd}", "--log-level", "critical", "--workers", "2",
        "receipt_apps:flask_app()",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with ServerProcess("--finality-window", "0", "--allow-web", "127.0.0.1") as server:
        yield find_network("localnet", server.url)


@pytest.fixture(scope="module")
def contract(network: Network) -> str:
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    return contract_of(connection, connection.send_deployment(contract_path().read_bytes()))


def contract_of(connection: Connection, tx: str) -> str:
    address = connection.follower.wait(tx, "accepted", LONG_SECONDS).contract
    assert address is not None
    return address


@dataclass(frozen=True)
class Place:
    """An API with its server and its meter's store, and a consumer contract that has subscribed and has credit.

    ``earlier`` is how often the handler had run before.
    """

    api: str
    operator: BillingClient
    owner: BillingClient
    fetcher: str
    port: int
    store: Store
    runs: Path
    earlier: int = 0

    def fetch(self, path: str = "/forecast?city=oslo") -> dict[str, Any]:
        """What came of one call of the example's ``fetch``."""
        connection = self.owner.connection
        outcome = connection.write(
            self.fetcher, "fetch", [f"http://127.0.0.1:{self.port}{path}"],
            value_wei=0, phase="accepted", timeout_seconds=LONG_SECONDS,
        )  # fmt: skip
        found: dict[str, Any] = connection.read(self.fetcher, "get_request", [outcome.value])
        return found

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_SECONDS)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): each for name, each in headers.items()})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def billed(self) -> str:
        """The receipt of a call that the owner was billed itself, and that nobody has used."""
        written = self.owner.consume_credit(self.api, self.owner.address)
        return written.result.receipt_id

    def answers(self) -> list[str]:
        """Of each run of the handler."""
        return self.runs.read_text("ascii").split()[self.earlier :]

    def records(self, *states: Any) -> Any:
        return self.store.call(ListRecords(self.fetcher, states=states))


@pytest.fixture(scope="module", params=STACKS)
def api(
    request: pytest.FixtureRequest, network: Network, contract: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    api, folder = request.param, tmp_path_factory.mktemp("api")

    def client(role: str) -> BillingClient:
        account = Account.from_key(keccak(text=f"{role} of {api}"))
        made = BillingClient(network, contract=contract, account=account)
        made.connection.fund(made.address, 10 * ONE_GEN)
        return made

    operator, owner = client("operator"), client("owner")
    operator.register_api(api, PRICE_WEI, 1000)
    url, runs = f"sqlite:///{folder}/meter.db", folder / "runs"
    runs.touch()
    environment = {
        **os.environ,
        "METERED_API": api,
        "RUNS": str(runs),
        "API_BILLING_STORE_URL": url,
        "API_BILLING_CONTRACT": contract,
        "API_BILLING_NETWORK": "localnet",
        "API_BILLING_URL": network.rpc_url,
        "API_BILLING_READS_PER_10_SECONDS": "1000",  # all tests of this file within ten seconds
    }
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        arguments = [word.format(fd=listening.fileno()) for word in STACKS[request.param]]
        with subprocess.Popen(
            [sys.executable, *arguments], cwd=HERE, env=environment, pass_fds=[listening.fileno()]
        ) as process:
            try:
                with open_store(url) as store:
                    yield Place(api, operator, owner, "", listening.getsockname()[1], store, runs)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(LONG_SECONDS)


@pytest.fixture
def place(api: Place, contract: str) -> Place:
    """The API with a consumer contract of the test's own."""
    return replace(api, fetcher=subscribed(api.owner, contract, api.api), earlier=len(api.answers()))


def subscribed(owner: BillingClient, contract: str, api: str) -> str:
    """The example, deployed by its owner, with credit and a subscription."""
    connection = owner.connection
    tx = connection.send_deployment(EXAMPLE.read_bytes(), [contract, api])
    fetcher = contract_of(connection, tx).lower()
    owner.top_up_for(fetcher, 10 * PRICE_WEI)
    connection.write(fetcher, "subscribe", [ONE_GEN], value_wei=0, phase="finalized", timeout_seconds=LONG_SECONDS)
    return fetcher


def test_fetch__by_leader_and_validators__is_served_once_and_billed_once(place: Place) -> None:
    request = place.fetch()
    (answer,) = place.answers()
    assert (request["status"], request["detail"]) == ("fetched", f"oslo {answer}")
    (record,) = place.records()
    assert (record.state, record.consumer, record.charged_wei) == ("redeemed", place.fetcher, 0)
    assert json.loads(record.outcome.tags)["receipt"] == request["receipt_id"]
    (line,) = place.operator.get_usage_report(place.fetcher).apis
    assert (line.calls_today, line.spend_today_wei) == (1, PRICE_WEI)
    assert place.store.call(SumUsage()) == ()
    assert run(reconcile(place.operator, place.api, record.at_ms), place.store.call).is_zero


def test_fetch__twice__is_served_for_each_receipt(place: Place) -> None:
    requests = [place.fetch() for _ in range(2)]
    assert [request["detail"] for request in requests] == [f"oslo {answer}" for answer in place.answers()]
    assert len({request["receipt_id"] for request in requests}) == 2
    assert len(place.records("redeemed")) == 2


def test_receipt__used_by_somebody_else__gives_the_stored_response_and_no_other(place: Place) -> None:
    request = place.fetch()
    receipt = quote(request["receipt_id"])
    body = request["detail"].encode()
    assert place.get(f"/forecast?city=oslo&receipt={receipt}") == (200, body)
    assert place.get("/forecast?city=oslo", X_Receipt_Id=request["receipt_id"]) == (200, body)
    assert place.get(f"/forecast?city=rome&receipt={receipt}")[0] == 422
    call, _, tag = request["receipt_id"].rpartition(":")
    assert place.get("/forecast?city=oslo", X_Receipt_Id=call) == (200, body)
    assert place.get("/forecast?city=rome", X_Receipt_Id=call)[0] == 422
    made_up = f"{call.rpartition(':')[0]}:2:{tag}"
    status, problem = place.get("/forecast?city=oslo", X_Receipt_Id=made_up)
    assert (status, json.loads(problem)["reason"]) == (402, "unknown")
    assert len(place.answers()) == 1


def test_receipt__of_eight_requests_at_once__runs_the_handler_once(place: Place) -> None:
    """In several threads, and with gunicorn in two processes on one store."""
    place.owner.subscribe(place.api, ONE_GEN, PRICE_WEI)
    receipt = place.billed()
    at_once = Barrier(8)

    def get(_: int) -> tuple[int, bytes]:
        at_once.wait()
        return place.get("/forecast?city=oslo", X_Receipt_Id=receipt)

    with ThreadPoolExecutor(8) as threads:
        replies = set(threads.map(get, range(8)))
    (answer,) = place.answers()
    assert replies == {(200, f"oslo {answer}".encode())}
    assert [record.state for record in place.store.call(ListRecords(place.owner.address.lower()))] == ["redeemed"]


def test_fetch__of_what_the_api_refuses__is_billed_and_says_so(place: Place) -> None:
    request = place.fetch("/forecast?city=oslo&receipt=17")
    assert (request["status"], request["detail"]) == ("failed", "HTTP 402")
    assert place.answers() == []
