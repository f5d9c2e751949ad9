"""More lines with vouchers than a batch takes: which go first, and what is served while they wait."""

from __future__ import annotations

from typing import Any

import pytest

from api_billing.errors import Unreachable
from api_billing.metering.ledger.settlement_operations import ListOutgoing, ReadBook
from api_billing.metering.request.problems import Answer
from api_billing.metering.settlement.credit_rules import CreditSettings, usable_wei

from .signing import open_session, sign
from .test_credit import TERMS
from .test_sessions import SessionDesk
from .world import API, NOON_MS, World, address

MARGIN_SECONDS = 900
SOON_SECONDS = MARGIN_SECONDS + 600


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A batch takes four lines with vouchers."""
    monkeypatch.setattr("api_billing.metering.ledger.cutting.MAX_VOUCHERS", 4)
    monkeypatch.setattr("api_billing.metering.settlement.cutting.MAX_VOUCHERS", 4)
    made = World()
    yield made
    made.store.close()


def serve(desk: SessionDesk, who: str, number: int, cost_wei: int) -> Any:
    return desk.serve(by=sign(desk.world, cost_wei, number, who=who), who=who, cost_wei=cost_wei)


def flooded(world: World, *, ends_in: int = SOON_SECONDS, dear_ends_in: int = SOON_SECONDS) -> SessionDesk:
    """Eleven channels that cost 1 wei, and last one that costs 90."""
    desk = SessionDesk(world)
    for number, seconds in ((1, ends_in), (2, dear_ends_in)):
        open_session(world, who=address(number), expires_at=world.now_ms // 1000 + seconds)
    for number in range(11):
        assert not isinstance(serve(desk, address(1), number, 1), Answer)
        world.at(world.now_ms + 1)
    assert not isinstance(serve(desk, address(2), 0, 90), Answer)
    world.at(world.now_ms + 1)
    return desk


def batches(world: World) -> list[list[int]]:
    """What the lines of each batch are about."""
    return [sorted(line.amount_wei for line in each.batch.lines) for each in world.call(ListOutgoing(API))]


@pytest.mark.parametrize("dear_ends_in", [SOON_SECONDS, SOON_SECONDS + 60])
def test_lines__of_holds_that_end_soon__are_settled_the_dearest_first(world: World, dear_ends_in: int) -> None:
    flooded(world, dear_ends_in=dear_ends_in)
    world.settle()
    assert batches(world) == [[1, 1, 1, 1], [1, 1, 1, 90], [1, 1, 1, 1]]
    assert world.reconcile().is_zero


def test_lines__of_holds_that_last__are_settled_in_their_order(world: World) -> None:
    flooded(world, ends_in=86_400, dear_ends_in=86_400)
    world.settle()
    assert batches(world) == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 90]]


def test_lines__of_a_hold_that_ends_soon__go_before_older_ones_of_holds_that_last(world: World) -> None:
    flooded(world, ends_in=86_400)
    world.settle()
    assert batches(world) == [[1, 1, 1, 1], [1, 1, 1, 90], [1, 1, 1, 1]]


def test_lines__that_are_dear_and_served_since_the_round_began__go_with_its_next_batch(world: World) -> None:
    desk = flooded(world, ends_in=86_400)
    settle_usage = world.chain.settle_usage

    def settle(*given: Any) -> Any:
        if not world.chain.settlements.get(API):
            world.at(world.now_ms + 30_000)
            serve(desk, address(2), 1, 80)
        return settle_usage(*given)

    world.chain.settle_usage = settle  # type: ignore[method-assign]
    world.settle()
    assert batches(world) == [[1, 1, 1, 1], [1, 1, 80, 90], [1, 1, 1, 1], [1]]
    assert world.reconcile().is_zero


def test_queue__while_it_lasts__ends_holds_earlier(world: World) -> None:
    desk = flooded(world)
    settler = world.settler()
    settle_usage = world.chain.settle_usage

    def settle(*given: Any) -> Any:
        world.at(world.now_ms + 200_000)  # it takes so long
        if len(world.chain.settlements.get(API, ())) == 1:
            raise Unreachable("no node answers")
        return settle_usage(*given)

    world.chain.settle_usage = settle  # type: ignore[method-assign]
    assert world.round(settler).status == "unreachable"
    assert world.call(ReadBook(API)).queue_ms == 200_000  # four lines are in no batch yet
    desk.tick()
    assert desk.problem(by=sign(world, 2, 0, who=address(1)), who=address(1), cost_wei=1)["reason"] == "hold_ends"
    world.chain.settle_usage = settle_usage  # type: ignore[method-assign]
    world.settle()
    assert world.call(ReadBook(API)).queue_ms == 0


@pytest.mark.parametrize(("queue_ms", "expected"), [(0, 100), (100_000, 0), (99_999, 100)])
def test_usable__of_a_hold__ends_earlier_by_what_waits(queue_ms: int, expected: int) -> None:
    terms = TERMS._replace(hold_expires_ms=NOON_MS + 1_000_000, queue_ms=queue_ms)
    assert usable_wei(terms, CreditSettings(), NOON_MS) == expected
