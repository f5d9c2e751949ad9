"""What is asked of a session at the door beside serving: opening, adding, keeping, closing; retries; and what fails."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from api_billing.errors import BillingError
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredResponse, TextHeaders
from api_billing.payments import mpp, x402

from .paying import DoorDesk
from .signing import SIGNER, WHO, open_session, salt_of
from .test_door_hostile import reason, refused
from .world import API, FAULTS, Killed, World, drive

ID = "0123456789abcdef-id"


@pytest.fixture
def desk(world: World) -> DoorDesk:
    open_session(world)
    return DoorDesk(world)


# --- MPP's actions


def test_open__without_a_voucher__is_answered_as_the_contract_says(world: World) -> None:
    world.chain.subscribe(API, WHO, signer=SIGNER)
    desk = DoorDesk(world)
    del world.chain.subscriptions[API, WHO]
    challenge = desk.ask().challenge
    open_session(world)
    field = desk.by_mpp(None, challenge, action="open", hash="0x1")
    world.chain.subscriptions[API, WHO].signer = ""
    assert refused(desk.ask(field))[:2] == (402, "invalid_voucher")
    world.chain.subscriptions[API, WHO].signer = SIGNER
    answer = desk.ask(field)
    assert (answer.status, answer.ran, answer.body) == (204, False, b"")
    assert answer.receipt["reference"] == world.chain.channel(API, WHO, salt_of(0)).id
    assert "spent" not in answer.receipt  # who it is was not proven
    assert answer.fields["cache-control"] == "private"


def test_open__with_a_voucher__serves_and_with_one_for_nothing_does_not(desk: DoorDesk) -> None:
    answer = desk.ask(desk.by_mpp(desk.sign(0), action="open"))
    assert (answer.status, answer.ran) == (204, False)
    assert desk.ask(desk.by_mpp(desk.sign(10), action="open")).ran
    assert not desk.ask(desk.by_mpp(desk.sign(19), action="open")).ran


def test_open__of_who_was_refused_a_moment_ago__serves_at_once(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world)
    by_voucher, by_open = desk.by_mpp(desk.sign(10)), desk.by_mpp(desk.sign(10), action="open")
    subscription = world.chain.subscriptions.pop((API, WHO))
    for field in (by_voucher, by_open):
        assert refused(desk.ask(field))[:2] == (402, "invalid_voucher")
    world.chain.subscriptions[API, WHO] = subscription
    assert not desk.ask(by_voucher).ran  # who is a stranger is not read for each of its requests
    assert desk.ask(by_open).ran


@pytest.mark.parametrize("pays", ["pay_mpp", "pay_x402"])
def test_session__that_became_final_a_moment_ago__serves_at_once(world: World, pays: str) -> None:
    world.chain.freeze()
    open_session(world)
    desk = DoorDesk(world, holds_from="finalized")
    pay = getattr(desk, pays)
    assert pay(10).problem["reason"] == "not_final"
    world.chain.freeze()
    again = pay(10)
    assert again.ran, again.problem


def test_top_up__reads_the_hold_anew(world: World) -> None:
    open_session(world, hold_wei=10)
    desk = DoorDesk(world)
    assert desk.pay_mpp(10).ran
    assert refused(desk.pay_mpp(20))[1] == "insufficient_credit"
    world.chain.subscriptions[API, WHO].hold_wei += 50
    answer = desk.ask(desk.by_mpp(None, action="topUp"))
    assert (answer.status, answer.ran) == (204, False)
    assert desk.pay_mpp(20).ran


def test_top_up__chain_gone__is_a_503(desk: DoorDesk) -> None:
    field = desk.by_mpp(None, action="topUp")
    desk.world.chain.readable = False
    answer = desk.ask(field)
    assert (answer.status, answer.code, answer.has_challenge) == (503, "meter_unavailable", False)


def test_head__with_a_voucher__keeps_it_and_does_not_run_the_handler(desk: DoorDesk) -> None:
    answer = desk.pay_mpp(30, method="HEAD")
    assert (answer.status, answer.ran, answer.receipt["acceptedCumulative"]) == (204, False, "30")
    assert desk.pay_mpp(5, method="HEAD").receipt["acceptedCumulative"] == "30"
    assert desk.channel()[2:4] == (30, 0)
    assert desk.pay_mpp(5).ran  # by what is kept
    assert refused(desk.ask(method="HEAD"))[1] == "payment_required"
    assert refused(desk.ask(desk.by_mpp(desk.sign(0), salt=salt_of(1)), method="HEAD"))[1] == "invalid_voucher"


def test_head_and_top_up__with_a_public_voucher__add_and_tell_nothing(desk: DoorDesk) -> None:
    desk.pay_mpp(30)
    desk.world.settle()
    answer = desk.pay_mpp(30, method="HEAD")
    assert (refused(answer)[1], answer.problem["requiredCumulative"]) == ("voucher_required", "31")
    told = desk.ask(desk.by_mpp(desk.sign(20), action="topUp")).receipt
    assert "spent" not in told
    assert desk.pay_mpp(31, method="HEAD").receipt["acceptedCumulative"] == "31"


def test_close__settles_what_is_charged_and_releases_the_rest(desk: DoorDesk) -> None:
    desk.pay_mpp(10)
    answer = desk.ask(desk.by_mpp(desk.sign(10), action="close"))
    assert (answer.status, answer.ran) == (204, False)
    assert (answer.receipt["final"], answer.receipt["spent"]) == (True, "10")
    assert desk.ask(desk.by_mpp(desk.sign(10), action="close")).receipt["final"]  # asked for again
    desk.world.settle()
    subscription = desk.world.chain.subscriptions[API, WHO]
    assert (subscription.hold_wei, subscription.credit_wei) == (0, 990)


def test_close__by_a_voucher_that_is_public__closes_nothing(desk: DoorDesk) -> None:
    desk.pay_mpp(10)
    desk.world.settle()
    desk.pay_mpp(20)
    answer = desk.ask(desk.by_mpp(desk.sign(10), action="close"))
    assert (refused(answer)[1], answer.problem["requiredCumulative"]) == ("voucher_required", "11")
    assert desk.pay_mpp(30).ran


def test_close__with_nothing_left_to_bill__says_so(desk: DoorDesk) -> None:
    answer = desk.ask(desk.by_mpp(desk.sign(10), action="close"))
    assert refused(answer)[:2] == (409, "nothing_to_bill")
    assert desk.pay_mpp(10).ran


@pytest.mark.parametrize("pays", ["mpp", "x402"])
def test_close__while_a_request_is_served__is_final_only_when_that_has_been_charged(desk: DoorDesk, pays: str) -> None:
    by_mpp, by_x402 = desk.by_mpp(desk.sign(10), action="close"), desk.by_x402(desk.sign(10), kind="refund")
    closing = by_mpp if pays == "mpp" else by_x402
    exchange, *_ = begun(desk, desk.by_mpp(desk.sign(10)))
    answer = desk.ask(closing)
    assert (*refused(answer)[:2], answer.fields["retry-after"]) == (409, "serving", "1")
    assert refused(desk.pay_mpp(20))[1] == "session_closing"
    exchange.abort()
    assert refused(desk.ask(closing))[1] == "nothing_to_bill"
    exchange, *_ = begun(desk, desk.by_mpp(desk.sign(10)))
    assert refused(desk.ask(closing))[1] == "serving"
    exchange.finish(MeteredResponse(200, TextHeaders([]), body_bytes=5))
    assert desk.ask(closing).status in (200, 204)
    desk.world.settle()
    assert desk.world.chain.subscriptions[API, WHO].credit_wei == 990


# --- x402's


def test_refund__without_an_amount__closes_the_session(desk: DoorDesk) -> None:
    desk.pay_x402(10)
    answer = desk.ask(desk.by_x402(desk.sign(10), kind="refund"))
    assert (answer.status, answer.ran, answer.response["success"]) == (200, False, True)
    assert answer.response["extra"]["channelState"]["chargedCumulativeAmount"] == "10"
    desk.world.settle()
    assert desk.world.chain.subscriptions[API, WHO].credit_wei == 990


def test_refund__with_nothing_to_bill__is_one_without_balance(desk: DoorDesk) -> None:
    answer = desk.ask(desk.by_x402(desk.sign(0), kind="refund"))
    assert (refused(answer)[:2]) == (409, "nothing_to_bill")
    assert answer.response["errorReason"].endswith("refund_no_balance")


# --- retries


@pytest.mark.parametrize("by_id", [False, True])
def test_retry__with_the_same_key__gets_the_response_and_receipt_again(desk: DoorDesk, by_id: bool) -> None:
    key = () if by_id else (("idempotency-key", ID),)
    offer = desk.ask().offer
    field = desk.by_x402(desk.sign(10), offer, payment_id=ID if by_id else "")
    first, again = desk.ask(field, *key), desk.ask(field, *key)
    assert (first.ran, again.ran, again.status, again.body) == (True, False, 200, b"sunny")
    told = [each.response["extra"] for each in (first, again)]
    assert [each["chargedAmount"] for each in told] == ["10", "10"]
    assert [each["channelState"]["chargedCumulativeAmount"] for each in told] == ["10", "10"]
    assert again.fields["x-cost-wei"] == "0"
    desk.world.settle()
    assert desk.ask(field, *key).status == 200  # public by now, and the one that it came with
    assert desk.channel().charged_wei == 10


def test_retry__key_in_either_place__is_one_mechanism(desk: DoorDesk) -> None:
    offer = desk.ask().offer
    assert desk.ask(desk.by_x402(desk.sign(10), offer, payment_id=ID)).ran
    assert desk.ask(desk.by_x402(desk.sign(10), offer), ("idempotency-key", ID)).status == 200
    assert desk.ran == 1
    both = desk.ask(desk.by_x402(desk.sign(20), offer, payment_id=ID), ("idempotency-key", "another"))
    assert refused(both)[:2] == (400, "invalid_idempotency_key")


def test_retry__of_another_request__is_refused(desk: DoorDesk) -> None:
    field = desk.by_x402(desk.sign(10), payment_id=ID)
    desk.ask(field)
    answer = desk.ask(field, path="/other")
    assert refused(answer)[:2] == (409, "payment_id_reused")
    by_mpp = desk.by_mpp(desk.sign(20))
    assert refused(desk.ask(by_mpp, ("idempotency-key", ID), path="/other"))[:2] == (422, "idempotency_mismatch")


def test_retry__by_a_channel_that_nothing_was_charged_in__is_private_all_the_same(desk: DoorDesk) -> None:
    offer = desk.ask().offer
    assert desk.ask(desk.by_x402(desk.sign(10), offer, payment_id=ID)).ran
    again = desk.ask(desk.by_x402(desk.sign(1, 1), offer, payment_id=ID))
    assert (again.status, again.ran, again.fields["cache-control"]) == (200, False, "private")


def test_retry__with_the_id_of_another_payer__is_a_request_of_its_own(desk: DoorDesk) -> None:
    key = ("idempotency-key", ID)
    assert desk.pay_mpp(10, key).ran
    other = "0x" + "77" * 20
    desk.world.chain.subscribe(API, other, hold_wei=100)
    assert desk.ask(("x-consumer", other), key).ran


# --- what the handler makes of it


@pytest.mark.parametrize("pays", ["pay_mpp", "pay_x402"])
def test_handler__that_fails__costs_nothing_and_the_voucher_serves_again(desk: DoorDesk, pays: str) -> None:
    failed = getattr(desk, pays)(10, status=500)
    assert failed.fields["x-cost-wei"] == "0"
    assert not {"payment-receipt", "payment-response"} & set(failed.fields)
    assert getattr(desk, pays)(10).ran


@pytest.mark.parametrize("status", [303, 404])
def test_handler__that_redirects_or_refuses__is_paid_and_only_x402_has_to_be_told(desk: DoorDesk, status: int) -> None:
    by_mpp, by_x402 = desk.pay_mpp(10, status=status), desk.pay_x402(10, number=1, status=status)
    assert "payment-receipt" not in by_mpp.fields
    assert by_x402.response["extra"]["chargedAmount"] == "10"
    assert {by_mpp.fields["x-cost-wei"], by_x402.fields["x-cost-wei"]} == {"10"}


def test_handler__that_raises__costs_nothing(desk: DoorDesk) -> None:
    field = desk.by_mpp(desk.sign(10))
    exchange = desk.exchange(field)
    assert exchange.begin() is None
    exchange.abort(RuntimeError("broken"))
    assert desk.ask(field).ran


def test_price__above_the_estimate__is_charged_as_was_agreed(desk: DoorDesk) -> None:
    desk.price = 50
    assert desk.pay_mpp(100).receipt["spent"] == "10"
    assert desk.pay_x402(10, number=1).response["extra"]["chargedAmount"] == "10"


# --- what a stream is told


def begun(desk: DoorDesk, *fields: tuple[str, str]) -> tuple[Exchange, dict[str, str], Any]:
    exchange = desk.exchange(*fields)
    assert exchange.begin() is None
    payer = exchange._payer
    return exchange, dict(payer.begun_fields()), payer


@pytest.mark.parametrize("price", [4, lambda *_: 4])
def test_stream__over_x402__costs_its_estimate_as_was_said_before_it_began(desk: DoorDesk, price: Any) -> None:
    desk.price = price
    exchange, fields, payer = begun(desk, desk.by_x402(desk.sign(10)))
    assert x402.read_response(fields["payment-response"])["extra"]["chargedAmount"] == "10"
    assert payer.told_wei == 10
    exchange.abort()
    assert desk.channel().charged_wei == 0


def test_stream__over_mpp__has_a_receipt_before_it_and_one_at_its_end(desk: DoorDesk) -> None:
    exchange, fields, payer = begun(desk, desk.by_mpp(desk.sign(25)))
    assert mpp.read_receipt(fields["payment-receipt"])["spent"] == "0"
    assert (payer.speaks, payer.told_wei, payer.receipt_event()) == ("mpp", None, None)
    exchange.finish(MeteredResponse(200, TextHeaders([]), body_bytes=5))
    assert payer.receipt_event()["spent"] == "10"


def test_records__of_management__are_none_of_requests(desk: DoorDesk) -> None:
    desk.pay_mpp(10, method="HEAD")
    desk.ask(desk.by_mpp(None, action="open"))
    assert desk.world.store.call(ListRecords()) == ()
    assert reason(desk.ask()) == "Payment required"


# --- what dies on the way


def let_down(protocol: str, fault: str, at: int) -> int:
    """A paid request that something happens to at a step, which its client repeats; how many steps there were."""
    world = World()
    open_session(world)
    desk = DoorDesk(world)
    key = ("idempotency-key", ID)
    field = getattr(desk, f"by_{protocol}")(desk.sign(10))
    exchange = desk.exchange(field, key)

    def flow() -> Any:
        if (yield from exchange.begin_steps()) is None:
            response = MeteredResponse(200, TextHeaders([]), body_bytes=5, body=b"sunny")
            yield from exchange.finish_steps(response)

    steps = 0
    with suppress(Killed, BillingError):
        _, steps = drive(world, flow(), fault, at)
    desk.meter.keeper.tick(world.now_ms)
    world.at(world.now_ms + 150_000)
    desk.meter.keeper.tick(world.now_ms)  # what a process that died had set aside is given back
    again = desk.ask(field, key)
    assert again.status == 200
    told = again.receipt["spent"] if protocol == "mpp" else again.response["extra"]["chargedAmount"]
    assert (told, desk.channel()[2:5]) == ("10", (10, 10, 0))
    world.settle()
    assert list(world.chain.subscriptions[API, WHO].channels.values()) == [(10, 10)]
    assert world.reconcile().is_zero
    world.store.close()
    return steps


@pytest.mark.parametrize("protocol", ["mpp", "x402"])
@pytest.mark.parametrize("fault", FAULTS)
def test_request__let_down_at_any_step__is_charged_once_and_has_its_receipt(fault: str, protocol: str) -> None:
    steps = let_down(protocol, "", -1)
    assert steps > 5
    for at in range(steps):
        let_down(protocol, fault, at)


def close_let_down(fault: str, at: int) -> int:
    world = World()
    open_session(world)
    desk = DoorDesk(world)
    desk.pay_mpp(10)
    field = desk.by_mpp(desk.sign(10), action="close")
    steps = 0
    with suppress(Killed, BillingError):
        _, steps = drive(world, desk.exchange(field).begin_steps(), fault, at)
    assert desk.ask(field).receipt["final"]
    world.settle()
    subscription = world.chain.subscriptions[API, WHO]
    assert (subscription.hold_wei, subscription.credit_wei, world.billed_wei()) == (0, 990, 10)
    world.store.close()
    return steps


@pytest.mark.parametrize("fault", FAULTS)
def test_close__let_down_at_any_step__closes_once_when_it_is_repeated(fault: str) -> None:
    for at in range(close_let_down("", -1)):
        close_let_down(fault, at)
