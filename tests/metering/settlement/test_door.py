"""Payment at the door, from the first 402 to the contract, on a fake chain that checks vouchers."""

from __future__ import annotations

from typing import Any

import pytest

from api_billing.metering import Identity
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.consumer_operations import GetProfile
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.settings import MeterSettings

from .paying import DoorDesk
from .signing import WHO, open_session
from .world import API, World


@pytest.fixture
def desk(world: World) -> DoorDesk:
    open_session(world)
    return DoorDesk(world)


# --- without a payment


def test_unpaid__without_identity__is_asked_by_both_protocols(desk: DoorDesk) -> None:
    answer = desk.ask()
    assert (answer.status, answer.code, answer.ran) == (402, "payment_required", False)
    chain = desk.world.chain
    offer = answer.offer
    assert (offer["amount"], offer["payTo"], offer["asset"]) == ("10", chain.operator, chain.asset)
    assert (offer["network"], offer["extra"]["receiverAuthorizer"]) == ("eip155:61999", chain.contract)
    assert answer.required["resource"]["url"] == "https://api.example.com/forecast"
    challenge = answer.challenge
    assert (challenge.realm, challenge.method, challenge.intent) == (API, "genlayer", "session")
    assert challenge.terms["amount"] == "10"
    assert 300_000 <= challenge.expires_ms() - desk.world.now_ms <= 360_000
    assert answer.problem["type"] == "https://paymentauth.org/problems/payment-required"
    assert answer.problem["challengeId"] == challenge.id
    assert answer.fields["cache-control"] == "no-store"
    assert "PAYMENT-REQUIRED" in answer.fields["access-control-expose-headers"]


def test_unpaid__asked_again__touches_no_store_and_leaves_no_record(desk: DoorDesk) -> None:
    first = desk.ask()
    calls: list[Any] = []
    perform = desk.world.store.call
    desk.world.store.call = lambda operation: calls.append(operation) or perform(operation)  # type: ignore[method-assign, func-returns-value]
    assert desk.ask().headers == first.headers
    assert calls == []
    assert perform(ListRecords()) == ()


def test_unpaid__with_a_key_in_the_query__is_told_the_url_without_it(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world, key_query="api_key")
    answer = desk.ask(query=b"api_key=ab_secret&q=1&api%5Fkey=ab_secret")
    assert answer.required["resource"]["url"] == "https://api.example.com/forecast?q=1"
    assert desk.ask(query=b"api_key=ab_secret").required["resource"]["url"] == "https://api.example.com/forecast"
    assert "secret" not in f"{answer.required} {answer.challenge} {answer.headers} {answer.problem}"


def test_unpaid__estimate_of_nothing__is_offered_for_one_wei_and_charged_nothing(desk: DoorDesk) -> None:
    desk.estimate_wei = 0
    assert (desk.ask().offer["amount"], desk.ask().challenge.terms["amount"]) == ("1", "1")
    assert desk.pay_x402(1).response["extra"]["chargedAmount"] == "0"


def test_unpaid__client_that_takes_no_sessions__is_asked_by_x402_alone(desk: DoorDesk) -> None:
    answer = desk.ask(("accept-payment", "tempo/charge"))
    assert "www-authenticate" not in answer.fields
    assert answer.offer["amount"] == "10"


def test_unpaid__estimate_that_reads_the_body__says_what_it_says(desk: DoorDesk) -> None:
    desk.estimate_wei = lambda request: len(request.body or b"") or int("no number")
    desk.price = 1
    assert desk.ask(body=b"seven..").offer["amount"] == "7"
    assert desk.ask().code == "not_estimable"


def test_unpaid__with_an_identity__is_as_without_a_door(desk: DoorDesk) -> None:
    other = "0x" + "77" * 20
    desk.world.chain.subscribe(API, other, hold_wei=100)
    assert desk.ask(("x-consumer", other)).ran
    stranger = desk.ask(("x-consumer", "acme"))
    assert (stranger.status, stranger.code, stranger.has_challenge) == (403, "not_subscribed", False)
    twice = desk.ask(("x-consumer", "a"), ("x-consumer", "b"))
    assert (twice.status, twice.code, twice.has_challenge) == (401, "invalid_identity", False)


def test_unpaid__by_name_of_who_has_a_session__is_asked_in_a_field_of_its_own(desk: DoorDesk) -> None:
    named = (("x-consumer", WHO), ("authorization", "Bearer something"))
    answer = desk.ask(*named)
    assert (answer.status, answer.code) == (402, "voucher_required")
    assert answer.challenge.header == "Payment-Authorization"
    field = desk.by_mpp(desk.sign(10), answer.challenge)
    assert field[0] == "payment-authorization"
    assert desk.ask(*named, field).ran
    assert not desk.ask(*named).ran


def test_unpaid__by_name_of_who_has_signed_for_more__is_not_served_from_it(desk: DoorDesk) -> None:
    key, replayed = ("idempotency-key", "mine"), ("idempotency-replayed", "true")
    assert desk.pay_mpp(35, key).ran
    name = ("x-consumer", WHO)
    answer = desk.ask(name)
    assert (answer.status, answer.code, answer.has_challenge) == (402, "voucher_required", True)
    assert (answer.problem["required_wei"], answer.problem["channel_id"]) == ("20", desk.channel().channel_id)
    assert (desk.channel().charged_wei, desk.channel().reserved_wei) == (10, 0)
    assert replayed in desk.ask(name, key).headers  # what was paid for can be had again
    desk.estimate_wei = 0
    assert desk.ask(name).ran  # nothing to sign for


def test_unpaid__by_name_of_who_has_a_session__asks_for_the_estimate_once(desk: DoorDesk) -> None:
    asked: list[Any] = []
    desk.estimate_wei = lambda request: asked.append(request) or 10
    desk.price = 10
    assert desk.ask(("x-consumer", WHO)).offer["amount"] == "10"
    assert len(asked) == 1
    del asked[:]
    assert desk.ask(desk.by_mpp(desk.sign(10), desk.ask().challenge)).ran
    assert len(asked) == 2


# --- receipts


@pytest.mark.parametrize("name", ["query", "field"])
@pytest.mark.parametrize("text", ["x", f"{API}:{WHO}:1:1", f"{API}:{WHO}:20000:9", f"other:{WHO}:1:1"])
def test_receipt__that_is_no_good__is_asked_for_payment(desk: DoorDesk, name: str, text: str) -> None:
    carried = {"query": f"receipt={text}".encode()} if name == "query" else {}
    answer = desk.ask(*(() if carried else (("x-receipt-id", text),)), **carried)
    assert (answer.status, answer.code) == (402, "invalid_receipt")
    assert (answer.offer["amount"], answer.challenge.terms["amount"]) == ("10", "10")
    assert answer.fields["cache-control"] == "no-store"


@pytest.mark.parametrize("pays", ["pay_mpp", "pay_x402"])
def test_receipt__as_a_parameter_of_the_api__is_the_apis_where_it_is_paid(desk: DoorDesk, pays: str) -> None:
    served = getattr(desk, pays)(10, query=b"receipt=of+the+shop")
    assert (served.status, served.ran, served.fields["x-cost-wei"]) == (200, True, "10")


@pytest.mark.parametrize("payments", ["x402", "mpp"])
def test_unpaid__one_protocol__asks_by_that_one(world: World, payments: str) -> None:
    open_session(world)
    answer = DoorDesk(world, payments=payments).ask()
    assert ("payment-required" in answer.fields, "www-authenticate" in answer.fields) == (
        payments == "x402",
        payments == "mpp",
    )


def test_settings__payments__are_known_ones_with_a_contract() -> None:
    for given in ({"payments": "x402"}, {"payments": "x403", "contract": "0x" + "c0" * 20}):
        with pytest.raises(InvalidSetting):
            MeterSettings.load(**given)


# --- paid by a voucher


def test_mpp__voucher__is_served_settled_and_has_a_receipt(desk: DoorDesk) -> None:
    served = desk.pay_mpp(25)
    assert (served.status, served.fields["x-cost-wei"]) == (200, "10")
    receipt = served.receipt
    assert (receipt["acceptedCumulative"], receipt["spent"], receipt["chainId"]) == ("25", "10", 61999)
    assert receipt["reference"] == receipt["channelId"] == desk.channel().channel_id
    assert served.fields["cache-control"] == "private"
    assert "payment-response" not in served.fields
    assert desk.pay_mpp(25).receipt["spent"] == "20"  # an authority, not a ticket
    assert desk.world.settle().status == "done"
    assert list(desk.world.chain.subscriptions[API, WHO].channels.values()) == [(25, 20)]
    assert desk.world.reconcile().is_zero


def test_mpp__voucher_that_does_not_cover__is_told_what_does(desk: DoorDesk) -> None:
    desk.pay_mpp(10)
    answer = desk.pay_mpp(19)
    assert (answer.status, answer.code, answer.ran) == (402, "voucher_required", False)
    assert (answer.problem["requiredCumulative"], answer.problem["acceptedCumulative"]) == ("20", "19")
    assert answer.problem["type"].endswith("/problems/session/insufficient-balance")
    assert desk.pay_mpp(20).ran


def test_x402__vouchers__are_served_each_for_what_was_charged_and_the_amount(desk: DoorDesk) -> None:
    desk.price = 4
    offer = desk.ask().offer
    served = desk.ask(desk.by_x402(desk.sign(10), offer))
    assert served.response["success"]
    extra = served.response["extra"]
    assert (extra["chargedAmount"], extra["channelState"]["chargedCumulativeAmount"]) == ("4", "4")
    assert (served.response["transaction"], served.response["payer"]) == ("", WHO)
    assert "payment-receipt" not in served.fields
    assert desk.ask(desk.by_x402(desk.sign(14), offer)).response["extra"]["channelState"]["balance"] == "1000"
    assert desk.world.settle().status == "done"
    assert desk.world.reconcile().is_zero


def test_payer__who_is_new__has_a_profile_once_it_has_proven_itself(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world, new_consumers="refuse")
    forged = desk.sign(10)
    assert not desk.ask(desk.by_mpp(type(forged)(forged.salt, 11, forged.signature))).ran
    assert world.store.call(GetProfile(WHO)) is None
    assert desk.pay_mpp(10).ran
    assert world.store.call(GetProfile(WHO)).tier.name == "enterprise"


def test_records__of_payments__hold_nothing_of_them(desk: DoorDesk) -> None:
    field = desk.by_mpp(desk.sign(10))
    desk.ask(field)
    desk.world.at(desk.world.now_ms + 1_000)
    desk.ask(field)
    served, refused = desk.world.store.call(ListRecords())
    assert (served.consumer, refused.consumer, refused.code) == (WHO, WHO, "voucher_required")
    signature = desk.sign(10).signature
    assert signature not in repr((served, refused))
    assert not served.outcome.tags


def test_unpaid__by_an_anonymous_client__is_asked_for_what_costs_and_served_what_does_not(desk: DoorDesk) -> None:
    desk.identify = lambda request: Identity("ip:203.0.113.7", anonymous=True)
    answer = desk.ask()
    assert (answer.status, answer.code, answer.has_challenge) == (402, "payment_required", True)
    assert desk.pay_x402(10).ran
    desk.estimate_wei = 0
    assert desk.ask().ran
