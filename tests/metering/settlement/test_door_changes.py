"""What changes on the contract while a consumer pays at the door: its session, the operator, the price."""

from __future__ import annotations

import pytest

from .paying import DoorDesk
from .signing import WHO, open_session
from .test_door_hostile import refused
from .world import API, World


@pytest.fixture
def desk(world: World) -> DoorDesk:
    open_session(world)
    return DoorDesk(world)


@pytest.mark.parametrize("pays", ["mpp", "x402"])
def test_session__closed_and_opened_anew_with_the_same_key__goes_on_above_what_was_posted(
    desk: DoorDesk, pays: str
) -> None:
    pay, chain = getattr(desk, f"pay_{pays}"), desk.world.chain
    assert pay(10).ran
    assert desk.ask(desk.by_mpp(desk.sign(10), action="close")).receipt["final"]
    assert refused(pay(20))[1] == "session_closing"
    desk.world.settle()
    desk.tick(31)
    answer = pay(20)
    assert refused(answer)[0] == 402  # nothing is on hold
    chain.subscriptions[API, WHO].hold_wei = 500
    desk.tick(31)
    assert refused(pay(10))[1] in ("voucher_required", "cumulative_mismatch")  # public since it was closed
    assert pay(20).ran
    assert desk.ask(desk.by_mpp(desk.sign(20), action="close")).receipt["final"]
    desk.world.settle()
    assert list(chain.subscriptions[API, WHO].channels.values()) == [(20, 20)]
    assert (chain.subscriptions[API, WHO].hold_wei, chain.subscriptions[API, WHO].credit_wei) == (0, 990 + 490)
    assert desk.world.reconcile().is_zero


@pytest.mark.parametrize("pays", ["mpp", "x402"])
def test_operator__another_one__is_asked_for_and_paid_in_channels_of_its_own(desk: DoorDesk, pays: str) -> None:
    pay, chain = getattr(desk, f"pay_{pays}"), desk.world.chain
    assert pay(10).ran
    desk.world.settle()
    before = getattr(desk, f"by_{pays}")(desk.sign(20))
    chain.operator = "0x" + "0f" * 20
    desk.tick(31)
    assert refused(desk.ask(before))[0] in (400, 402)
    assert desk.ask().offer["payTo"].lower() == chain.operator
    assert pay(10).ran  # from 0 in the channel that is the new one's
    desk.world.settle()
    assert sorted(chain.subscriptions[API, WHO].channels.values()) == [(10, 10), (10, 10)]
    assert desk.world.reconcile().is_zero


@pytest.mark.parametrize("pays", ["mpp", "x402"])
def test_price__that_rises__is_another_offer_and_served_when_it_is_accepted(desk: DoorDesk, pays: str) -> None:
    pay, by, chain = getattr(desk, f"pay_{pays}"), getattr(desk, f"by_{pays}"), desk.world.chain
    assert pay(10).ran
    before = by(desk.sign(20))
    desk.estimate_wei = 15
    assert refused(desk.ask(before))[1] == "offer_changed"
    assert pay(25).ran
    chain.subscriptions[API, WHO].price_wei = 200  # above what was accepted
    desk.tick(31)
    answer = pay(40)
    assert (refused(answer)[:2], answer.problem["reason"]) == ((403, "not_subscribed"), "price_changed")
    assert desk.channel()[2:5] == (25, 25, 0)
    desk.world.settle()
    assert chain.subscriptions[API, WHO].channels.popitem()[1] == (25, 25)
    chain.subscriptions[API, WHO].accepted_price_wei = 200
    desk.tick(31)
    assert pay(40).ran
