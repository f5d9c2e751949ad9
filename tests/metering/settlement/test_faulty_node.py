"""The real contract by way of a node that fails at every request in every way, and one that is killed and restarted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.errors import OutcomeUnknown
from api_billing.metering.ledger.settlement_operations import ListOutgoing
from api_billing.networks import Network, find_network
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture
from genlayer_localnet.testing.server import ServerProcess

from .faulty_node import FAULTS, FaultyNode
from .places import Place, deployed

server = server_fixture(scope="module", finality_window_seconds=3_600)


@pytest.fixture
def place(request: Any, network: Network, contract: str) -> Iterator[Place]:
    made = Place(request.node.nodeid, network, contract, hold_wei=10**7)
    made.refresh()
    with made.store:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries once, and waits only a moment for an answer."""
    monkeypatch.setattr("api_billing.transport.RETRY_PAUSES_SECONDS", ())
    monkeypatch.setattr("api_billing.transport.BUSY_PAUSES_SECONDS", ())


def settle_until_done(place: Place, chain: Any) -> list[str]:
    """Rounds until nothing is left, at most five; how each ended."""
    ended = []
    while len(ended) < 5 and ended[-1:] != ["done"]:
        ended.append(place.settle(chain).status)
    return ended


@pytest.mark.parametrize("fault", FAULTS)
def test_node__fails_at_any_request__all_is_billed_once(
    place: Place, server: RpcServer, fault: str, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    if fault in ("slow", "late"):
        monkeypatch.setattr("api_billing.transport.READ_TIMEOUT_SECONDS", 0.6)
    told: set[str] = set()
    with FaultyNode(server.url) as node:
        chain = place.client("operator", node.url)
        at, requests = 0, 1
        while at < requests:
            place.serve(10 + at, 2)
            node.spoil(fault, at)
            ended = settle_until_done(place, chain)
            requests = max(requests, len(node.methods) if len(ended) == 1 else at + 2)
            assert ended[-1] == "done", ended
            told.update(ended)
            place.is_billed_once()
            at += 1
    record_property("faults of a node", [f"{fault}: {at} requests, rounds ended {', '.join(sorted(told))}"])
    assert at > 5
    assert told == {"done"} or told & {"unreachable", "unknown"}
    sequences = [each.posting.chain_sequence for each in place.store.call(ListOutgoing(place.api, limit=1000))]
    assert sequences == list(range(1, len(sequences) + 1))


def test_node__down__nothing_is_lost_until_it_is_back(place: Place) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    place.serve(500)
    chain = place.client("operator", nowhere)
    assert [place.settle(chain).status for _ in range(2)] == ["unreachable", "unreachable"]
    assert place.settle().status == "done"
    place.is_billed_once()


class Killing:
    """A client whose node is killed, without a chance to save anything, at a moment of a settlement."""

    def __init__(self, client: Any, server: ServerProcess, when: str) -> None:
        self._client, self._server, self._when = client, server, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def settle_usage(self, *values: Any) -> Any:
        follower = self._client.connection.follower
        if self._when == "before it is sent":
            self._server.kill()
        if self._when == "before it is followed":
            wait = follower.wait
            follower.wait = lambda *args: (self._server.kill(), wait(*args))[1]
        written = self._client.settle_usage(*values)
        self._server.kill()
        raise OutcomeUnknown("the answer was lost", written.tx)


def test_localnet__killed_in_the_middle_and_restarted_with_its_state__goes_on(request: Any, folder: Path) -> None:
    options = ("--state", str(folder / "net.sqlite"), "--finality-window", "3600")
    running = ServerProcess(*options)
    place = None
    for when in ("before it is sent", "before it is followed", "before it is recorded"):
        network = find_network("localnet", running.url)
        if place is None:
            place = Place(request.node.nodeid, network, deployed(network))
            place.refresh()
        place.serve(100)
        now_ms = place.now_ms()  # the node's clock stops with it
        ended = place.settle(Killing(place.operator, running, when), now_ms=lambda now_ms=now_ms: now_ms)
        assert ended.status == ("unreachable" if when == "before it is sent" else "unknown"), ended
        running = ServerProcess(*options)
        place.network = find_network("localnet", running.url)
        place.operator, place.consumer = place.client("operator"), place.client("consumer")
        assert place.settle().status == "done"
        place.is_billed_once()
    running.stop()
    assert place is not None
    place.store.close()
