"""Settlers in processes of their own, killed at every step, on the real contract of a localnet that is one too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.ledger.settlement_operations import ListOutgoing
from api_billing.networks import Network, find_network
from genlayer_localnet.testing.server import ServerProcess

from .places import Place, SessionPlace, deployed

# Of each kind of hold at least, and until there was one at each step; rounds are those it may take.
KILLS = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 60
ROUNDS = 4 * KILLS
STEPS = {"TakeLease", "ReadBook", "NextOutgoing", "AddToBatch", "BeginPosting", "EndPosting", "chain"}
CYCLE = 20  # after so many kills everything is checked


@pytest.fixture(scope="module")
def chain(tmp_path_factory: Any) -> Iterator[Network]:
    """A localnet with a state file, in a process of its own."""
    state = tmp_path_factory.mktemp("chain") / "net.sqlite"
    with ServerProcess("--state", str(state), "--finality-window", "3600") as server:
        yield find_network("localnet", server.url)


@pytest.fixture(scope="module")
def contract(chain: Network) -> str:
    return deployed(chain)


@pytest.fixture(scope="module")
def settlers() -> Iterator[Any]:
    """Makes settlers, see settlers.py: a function of what they have to do."""
    command = [sys.executable, "-m", "tests.metering.settlement.settlers"]
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def ask(do: str, place: Place, **task: Any) -> Any:
            assert server.stdin is not None
            assert server.stdout is not None
            given = {
                "rpc": place.network.rpc_url, "contract": place.contract, "key": place.key("operator").hex(),
                "api": place.api, "store": place.url, "lease_ms": 0, "max_records": 4, "max_step": 2, **task,
            }  # fmt: skip
            server.stdin.write(json.dumps({"do": do, **given}) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield ask
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture(params=[Place, SessionPlace], ids=["hold", "session"])
def place(request: Any, chain: Network, contract: str, folder: Path) -> Iterator[Place]:
    kind = request.param
    made = kind(request.node.nodeid, chain, contract, url=f"sqlite:///{folder}/meter.db", hold_wei=10**9)
    made.refresh()
    with made.store:
        yield made


def clean_round(settlers: Any, place: Place) -> None:
    code, said = settlers("settle", place, at=-1, when="")
    assert (code, said) == (0, ["done "])
    place.is_billed_once()


def test_settlers__killed_at_every_step__bill_everything_once(
    settlers: Any, place: Place, record_property: Any
) -> None:
    killed: Counter[str] = Counter()
    at, rounds = 0, 0
    missed = {f"{when} {step}" for when in ("before", "after") for step in STEPS} | {"sent chain"}
    while missed or sum(killed.values()) < KILLS:
        rounds += 1
        assert rounds < ROUNDS, missed
        place.serve(rounds, 3)
        when = "sent" if rounds % 6 == 0 else ("before", "after")[rounds % 2]
        code, said = settlers("settle", place, at=-1 if when == "sent" else at, when=when)
        if code == -signal.SIGKILL:
            killed[f"{when} {said[0]}"] += 1
            missed.discard(f"{when} {said[0]}")
            at += when != "sent"
        else:
            # The round was over before that step: begin anew.
            assert code == 0, said
            at = 0
        assert place.earned_wei() <= place.served_wei
        if rounds % CYCLE == 0:
            clean_round(settlers, place)
    clean_round(settlers, place)
    record_property("settlers killed", [f"{step}: {times}" for step, times in sorted(killed.items())])


def test_settlers__two_at_once__bill_everything_once(settlers: Any, place: Place) -> None:
    for lease_ms in (900_000, 0):
        for _ in range(4):
            place.serve(7, 10)
            ended = settlers("race", place, processes=2, rounds=2, lease_ms=lease_ms)
            assert all(rounds is not None for rounds in ended), "a settler died"
            # Of two that send under one nonce the node does not take one.
            heal = {"done", "busy", "unknown", "rejected", "unreachable"}
            assert {status for rounds in ended for status, _ in rounds} <= heal
            clean_round(settlers, place)
    assert len({each.posting.chain_sequence for each in place.store.call(ListOutgoing(place.api))}) == len(
        place.store.call(ListOutgoing(place.api))
    )


def test_settler__killed_with_a_lease__is_followed_when_it_ends(settlers: Any, place: Place) -> None:
    place.serve(5)
    code, _ = settlers("settle", place, at=4, when="after", lease_ms=60_000)
    assert code == -signal.SIGKILL
    assert settlers("settle", place, at=-1, when="", lease_ms=60_000)[1][0].startswith("busy")
    place.pass_time(61)
    assert settlers("settle", place, at=-1, when="", lease_ms=60_000)[1][0].startswith("done")
    place.is_billed_once()
