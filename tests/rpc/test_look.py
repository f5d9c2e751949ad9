"""Looks at the chain that need not wait for their turn: when they may be answered, and when not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.vm.execution import LOCK

NOW = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    state = StateFile(tmp_path / "state.sqlite")
    yield Node(NodeOptions(now=NOW, accounts=1), state)
    state.close()


def _balance(node: Node) -> int | None:
    return node.look(lambda: node.world.balance(b"\x01" * 20))


def test_look__all_saved__is_answered_at_the_time_of_now(node: Node) -> None:
    assert _balance(node) == 0
    now = node.look(lambda: node.world.now)
    assert now is not None
    assert now >= NOW


def test_look__something_not_saved__waits(node: Node) -> None:
    node.chain.fund(b"\x01" * 20, 5)
    assert _balance(node) is None
    node.save()
    assert _balance(node) == 5


def test_look__facts_not_saved__waits(node: Node) -> None:
    node.set_finality_window(60)
    assert _balance(node) is None


def test_look__in_memory__needs_no_saving() -> None:
    node = Node(NodeOptions(now=NOW, accounts=1))
    node.chain.fund(b"\x01" * 20, 5)
    assert _balance(node) == 5


def test_look__another_thread_works__waits(node: Node) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with LOCK:
            held.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    try:
        assert _balance(node) is None
    finally:
        done.set()
        other.join()


def test_look__something_becomes_final__waits(node: Node) -> None:
    sender = node.accounts[0].address
    call = Transaction("0x1", "call", sender, sender, b"\x02" * 20, b"", 0, node.world.now)
    node.run(lambda: node.chain.submit(call))
    node.run(node.chain.run_pending)
    node.save()
    assert _balance(node) == 0
    node.clock.offset += timedelta(seconds=31)
    assert _balance(node) is None
    node.run(lambda: None)
    assert call.status == "finalized"
