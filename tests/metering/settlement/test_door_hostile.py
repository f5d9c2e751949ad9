"""Payments in the wrong order, of others, for others, forged or unreadable: nothing is served, and it is said why."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from api_billing.metering import Budget
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import ListRecords, ReadBalance
from api_billing.metering.settlement.chain import chain_account
from api_billing.payments import mpp
from api_billing.payments.encoding import to_base64
from api_billing.vouchers import Voucher

from .paying import DoorDesk, Served
from .signing import OTHER_KEY, OTHER_SIGNER, WHO, anybody, open_session, salt_of, sign
from .world import API, World, address

PROBLEMS = "https://paymentauth.org/problems/"
REASONS = "invalid_batch_settlement_evm_"


@pytest.fixture
def desk(world: World) -> DoorDesk:
    open_session(world)
    return DoorDesk(world)


def refused(answer: Served) -> tuple[int, str, str]:
    """Status, code and problem type; every 402 asks for another payment, and nothing else does."""
    assert not answer.ran
    assert answer.has_challenge == (answer.status == 402), answer.headers
    assert "payment-receipt" not in answer.fields
    assert "traceback" not in answer.body.decode().lower()
    return answer.status, answer.code, str(answer.problem["type"]).removeprefix(PROBLEMS)


def reason(answer: Served) -> str:
    assert not answer.ran
    return str(answer.required["error"]).removeprefix(REASONS)


# --- credentials that are none


@pytest.mark.parametrize(
    "value",
    ["Payment", "Payment x", "Payment ====", "payment " + 9_000 * "A", "Payment e30", "PAYMENT bnVsbA", "Payment \xe9"],
)
def test_mpp__credential_that_cannot_be_read__is_malformed_with_a_fresh_challenge(desk: DoorDesk, value: str) -> None:
    answer = desk.ask(("authorization", value))
    assert refused(answer) == (402, "malformed_credential", "malformed-credential")
    assert desk.ask(desk.by_mpp(desk.sign(10), answer.challenge)).ran


def test_mpp__credential_longer_than_a_key_may_be__is_malformed_under_any_extractor(desk: DoorDesk) -> None:
    """The field is read for an API key, too."""
    desk.identify = None
    answer = desk.ask(("authorization", "Payment " + 9_000 * "A"))
    assert refused(answer) == (402, "malformed_credential", "malformed-credential")
    assert answer.has_challenge
    assert desk.ask(("authorization", "Bearer " + 9_000 * "A")).status == 401


def test_mpp__challenge_that_is_not_ours__is_invalid(desk: DoorDesk) -> None:
    good = desk.ask().challenge
    later = "2099-01-01T00:00:00Z"
    for change in ({"id": "x"}, {"realm": "other"}, {"expires": later}, {"method": "tempo"}, {"intent": "charge"},
                   {"request": replace(good, request="e30").request}, {"opaque": "e30"}, {"digest": "sha-256=x"},
                   {"header": mpp.OWN_FIELD}):  # fmt: skip
        answer = desk.ask(desk.by_mpp(desk.sign(10), replace(good, **change)))
        assert refused(answer) == (402, "invalid_challenge", "invalid-challenge"), change


def test_mpp__challenge_in_the_field_that_it_did_not_name__is_invalid(desk: DoorDesk) -> None:
    _, value = desk.by_mpp(desk.sign(10))
    assert refused(desk.ask(("payment-authorization", value)))[1] == "invalid_challenge"
    own = desk.ask(("authorization", "Bearer x")).challenge
    _, value = desk.by_mpp(desk.sign(10), own)
    assert refused(desk.ask(("authorization", value)))[1] == "invalid_challenge"


def test_mpp__challenge_that_expired__is_told_so(desk: DoorDesk) -> None:
    field = desk.by_mpp(desk.sign(10))
    desk.world.at(desk.world.now_ms + 299_000)
    assert desk.ask(field).ran
    desk.world.at(desk.world.now_ms + 61_000)
    assert refused(desk.ask(field)) == (402, "payment_expired", "payment-expired")


def test_mpp__challenge_of_the_secret_before__serves_and_of_an_older_one_not(desk: DoorDesk) -> None:
    challenge = desk.ask().challenge
    desk.world.at(desk.world.now_ms + 2 * 3_600_000)
    assert refused(desk.ask(desk.by_mpp(desk.sign(10), challenge)))[1] == "invalid_challenge"
    desk.world.at(desk.world.now_ms - desk.world.now_ms % 3_600_000 + 3_599_000)
    challenge = desk.ask().challenge
    desk.world.at(desk.world.now_ms + 2_000)
    assert desk.ask(desk.by_mpp(desk.sign(10), challenge)).ran


def test_mpp__clock_set_back__serves_nothing_uncovered(desk: DoorDesk) -> None:
    field = desk.by_mpp(desk.sign(10))
    assert desk.ask(field).ran
    desk.world.at(desk.world.now_ms - 7_200_000)
    assert refused(desk.ask(field))[1] == "invalid_challenge"
    assert refused(desk.pay_mpp(10))[1] == "voucher_required"


def test_mpp__challenge_of_another_meter__is_invalid(desk: DoorDesk, world: World) -> None:
    other = DoorDesk(World(), key_pepper="another pepper of others")
    assert refused(desk.ask(desk.by_mpp(desk.sign(10), other.ask().challenge)))[1] == "invalid_challenge"


def test_mpp__challenge_of_another_process__serves_in_this_one(desk: DoorDesk) -> None:
    assert desk.ask(desk.by_mpp(desk.sign(10), DoorDesk(desk.world).ask().challenge)).ran


@pytest.mark.parametrize(
    "payload",
    [{"action": "steal"}, {"channelId": "0x1"}, {"cumulativeAmount": "1_0"}, {"cumulativeAmount": "010"},
     {"cumulativeAmount": 10}, {"cumulativeAmount": "-1"}, {"cumulativeAmount": "\u0661\u0660"},
     {"cumulativeAmount": str(2**128)}, {"salt": "0x0"}, {"signature": ""}, {"signature": 7}],
)  # fmt: skip
def test_mpp__payload_that_is_none__is_an_invalid_payload(desk: DoorDesk, payload: dict[str, Any]) -> None:
    answer = desk.ask(desk.by_mpp(desk.sign(10), **payload))
    assert refused(answer) == (402, "malformed_credential", "invalid-payload")


def test_mpp__source_that_is_none_or_of_another_chain__is_an_invalid_payload(desk: DoorDesk) -> None:
    challenge = desk.ask().challenge
    payload = mpp.voucher_payload(desk.world.chain.channel(API, WHO, salt_of(0)).id, desk.sign(10))
    for source in ("", "did:pkh:eip155:1:" + WHO, WHO, "did:pkh:eip155:61999:me"):
        value = mpp.Credential(challenge, payload, source).value()
        assert refused(desk.ask(("authorization", value)))[2] == "invalid-payload"


@pytest.mark.parametrize(
    "value", ["", "x", "e30=", to_base64(b"null"), 9_000 * "A", "eyJ4NDAyVmVyc2lvbiI6M30=", "\xe9"]
)
def test_x402__payment_that_cannot_be_read__is_malformed(desk: DoorDesk, value: str) -> None:
    answer = desk.ask(("payment-signature", value))
    assert refused(answer)[:2] == (400, "malformed_payment")
    assert (answer.response["success"], answer.response["errorReason"]) == (False, "invalid_payload")


def test_payments__that_anybody_can_send__touch_no_store_and_leave_no_record(desk: DoorDesk) -> None:
    never = replace(desk.ask().challenge, id="x")
    calls: list[Any] = []
    perform = desk.world.store.call
    desk.world.store.call = lambda operation: calls.append(operation) or perform(operation)  # type: ignore[method-assign, func-returns-value]
    for field in (("authorization", "Payment e30"), ("payment-signature", "e30="), desk.by_mpp(desk.sign(10), never)):
        assert refused(desk.ask(field))[1] == desk.ask(field).code
    assert calls == []
    assert perform(ListRecords()) == ()


def test_payments__two_in_a_request__are_refused(desk: DoorDesk) -> None:
    by_mpp, by_x402 = desk.by_mpp(desk.sign(10)), desk.by_x402(desk.sign(10))
    own = desk.by_mpp(desk.sign(10), desk.ask(("authorization", "Bearer x")).challenge)
    joined = ("authorization", f"{by_mpp[1]}, {by_mpp[1]}")
    for fields in ((by_mpp, by_x402), (by_x402, by_x402), (by_mpp, by_mpp), (by_mpp, own), (joined,)):
        assert refused(desk.ask(*fields))[:2] == (400, "several_payments")
    assert refused(desk.ask(by_mpp, by_mpp))[2] == "bad-request"


# --- vouchers that are not what they should be


def forged(desk: DoorDesk) -> list[Voucher]:
    good = desk.sign(10)
    r, s, v = good.signature[2:66], good.signature[66:130], good.signature[130:]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    mirrored = f"0x{r}{order - int(s, 16):064x}{'1b' if v == '1c' else '1c'}"
    signatures = [mirrored, f"0x{r}{s}00", f"0x{r}{s}23", "0x" + 130 * "0", "0x" + 130 * "f"]
    return [replace(good, cumulative_wei=11), *(replace(good, signature=each) for each in signatures)]


def test_voucher__forged__is_refused_in_the_words_of_each_protocol(desk: DoorDesk) -> None:
    for voucher in forged(desk):
        answer = desk.ask(desk.by_mpp(voucher))
        assert refused(answer) == (402, "invalid_voucher", "session/invalid-signature")
        answer = desk.ask(desk.by_x402(voucher))
        assert (refused(answer)[:2], reason(answer)) == ((402, "invalid_voucher"), "voucher_signature")
    assert {record.consumer for record in desk.world.store.call(ListRecords())} == {""}
    assert desk.meter.session(API, WHO) is None


def test_voucher__of_another_channel__is_refused_before_its_signature_is_looked_at(desk: DoorDesk) -> None:
    desk.pay_mpp(10)
    by = desk.sign(20)
    other = desk.world.chain.channel(API, WHO, salt_of(1)).id
    answer = desk.ask(desk.by_mpp(replace(by, signature="0x" + 130 * "0"), channelId=other))
    assert refused(answer) == (402, "invalid_voucher", "session/signer-mismatch")


def test_voucher__of_who_has_no_session__is_refused(desk: DoorDesk) -> None:
    channel, by = anybody(desk.world, address(7))
    answer = desk.ask(desk.by_mpp(by, who=address(7), channelId=channel.id))
    assert refused(answer) == (402, "invalid_voucher", "session/channel-not-found")


def test_voucher__of_another_payers_session__pays_nothing(desk: DoorDesk) -> None:
    desk.world.chain.subscribe(API, address(2), hold_wei=500, signer=OTHER_SIGNER, expires_at=2**40)
    answer = desk.ask(desk.by_mpp(desk.sign(10), who=address(2)))
    assert refused(answer)[1] == "invalid_voucher"


def test_voucher__of_another_api__pays_nothing(desk: DoorDesk) -> None:
    offer, asset = desk.ask().offer, desk.world.chain.asset
    desk.world.chain.asset = "0x" + "a6" * 20
    by = desk.sign(10)
    field = desk.by_x402(by, offer)
    desk.world.chain.asset = asset
    assert refused(desk.ask(desk.by_mpp(by)))[1] == "invalid_voucher"
    answer = desk.ask(field)
    assert (refused(answer)[1], reason(answer)) == ("invalid_voucher", "token_mismatch")


def test_voucher__replayed__is_an_authority_and_never_more_than_it_covers(desk: DoorDesk) -> None:
    field = desk.by_mpp(desk.sign(30))
    assert [desk.ask(field).ran for _ in range(5)] == [True, True, True, False, False]
    assert desk.channel().charged_wei == 30


@pytest.mark.parametrize("protocol", ["mpp", "x402"])
def test_voucher__copied_to_many_requests_at_once__pays_no_two_of_them_on_one_wei(
    desk: DoorDesk, protocol: str
) -> None:
    field = getattr(desk, f"by_{protocol}")(desk.sign(30 if protocol == "mpp" else 10))
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: desk.exchange(field).begin(), range(16)))
    assert answers.count(None) == (3 if protocol == "mpp" else 1)
    assert {answer.status for answer in answers if answer is not None} == {402}
    assert desk.channel().free_wei == 0


def test_voucher__higher_ones_in_the_wrong_order__pay_as_much_as_the_highest(desk: DoorDesk) -> None:
    challenge = desk.ask().challenge
    fields = [desk.by_mpp(desk.sign(10 * number), challenge) for number in (3, 1, 4, 2)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda field: desk.exchange(field).begin(), fields * 2))
    assert answers.count(None) == 4
    assert desk.channel().signed_wei == 40


def test_voucher__lower_than_before__changes_nothing_and_serves_as_far_as_is_signed(desk: DoorDesk) -> None:
    desk.pay_mpp(30)
    assert desk.pay_mpp(5).ran
    assert desk.channel()[2:4] == (30, 20)


def test_voucher__that_was_posted__serves_nothing(desk: DoorDesk) -> None:
    desk.pay_mpp(30)
    desk.world.settle()
    for wei in (30, 20):
        answer = desk.pay_mpp(wei)
        assert (refused(answer)[1], answer.problem["requiredCumulative"]) == ("voucher_required", "31")
    answer = desk.pay_x402(20)
    assert (refused(answer)[1], reason(answer)) == ("cumulative_mismatch", "cumulative_amount_mismatch")
    assert answer.offer["amount"] == "21"  # from what is charged to above what is posted
    served = desk.ask(desk.by_x402(desk.sign(31), answer.offer))
    assert served.response["extra"]["chargedAmount"] == "10"


@pytest.mark.parametrize("wei", [30, 10])
def test_voucher__that_anybody_has__is_told_only_what_is_public(desk: DoorDesk, wei: int) -> None:
    desk.pay_mpp(10)
    desk.world.settle()
    desk.pay_mpp(30)
    desk.world.settle()
    desk.pay_mpp(500)
    assert desk.exchange(desk.by_mpp(desk.sign(500))).begin() is None  # while one is being served
    answers = [desk.pay_mpp(wei), desk.pay_mpp(wei, method="HEAD"), desk.pay_x402(wei)]
    answers.append(desk.ask(desk.by_mpp(desk.sign(wei), action="close")))
    for answer in answers:
        told = {what: answer.problem[f"{what}_wei"] for what in ("signed", "charged", "reserved", "posted", "required")}
        assert told == {"signed": "30", "charged": "20", "reserved": "0", "posted": "30", "required": "31"}
    assert answers[2].offer["extra"]["channelState"]["chargedCumulativeAmount"] == "20"
    assert answers[2].offer["amount"] == "11"
    desk.estimate_wei = 5_000
    assert "free_wei" not in desk.pay_mpp(wei).problem
    proven = desk.ask(desk.by_mpp(desk.sign(31)), method="HEAD")
    assert (proven.receipt["acceptedCumulative"], proven.receipt["spent"]) == ("500", "30")


def test_voucher__below_the_posted_one__is_no_public_one_and_told_the_sums(desk: DoorDesk) -> None:
    desk.price = 1
    desk.pay_mpp(30)
    desk.world.settle()
    assert desk.pay_mpp(31).ran
    for answer in (desk.pay_mpp(29), desk.pay_x402(29)):
        assert answer.problem["charged_wei"] == "2"


def test_voucher__of_the_17th_channel__is_refused(desk: DoorDesk) -> None:
    for number in range(16):
        assert desk.pay_mpp(10, number=number).ran
    assert refused(desk.pay_mpp(10, number=16))[:2] == (402, "too_many_channels")
    assert desk.pay_mpp(20, number=3).ran


def test_x402__voucher_for_another_sum__is_corrected_with_the_state(desk: DoorDesk) -> None:
    desk.pay_x402(10)
    for wei in (10, 19, 21, 40):
        answer = desk.pay_x402(wei)
        assert (refused(answer)[1], reason(answer)) == ("cumulative_mismatch", "cumulative_amount_mismatch")
        extra = answer.offer["extra"]
        assert extra["channelState"]["chargedCumulativeAmount"] == "10"
        assert extra["voucherState"] == {"signedMaxClaimable": "10", "signature": desk.sign(10).signature}
        assert "payment-response" not in answer.fields  # its client would not correct itself
    assert desk.pay_x402(20).ran


def test_x402__second_request_of_a_channel__is_busy(desk: DoorDesk) -> None:
    offer = desk.ask().offer
    first = desk.exchange(desk.by_x402(desk.sign(10), offer))
    assert first.begin() is None
    answer = desk.ask(desk.by_x402(desk.sign(10), offer))
    assert (refused(answer)[1], reason(answer)) == ("channel_busy", "channel_busy")
    assert "payment-response" not in answer.fields
    first.abort()
    assert desk.ask(desk.by_x402(desk.sign(10), offer)).ran


def test_x402__offer_with_another_term__is_refused_with_the_one_that_holds(desk: DoorDesk) -> None:
    offer = desk.ask().offer
    for change in ({"amount": "9"}, {"payTo": address(9)}, {"asset": address(9)}, {"network": "eip155:1"},
                   {"scheme": "exact"}, {"maxTimeoutSeconds": 1}, {"extra": {}}):  # fmt: skip
        answer = desk.ask(desk.by_x402(desk.sign(10), {**offer, **change}))
        assert refused(answer)[:2] == (402, "offer_changed"), change
        assert answer.response["errorReason"] == "invalid_payment_requirements"


def test_x402__deposit_and_part_refund__are_refused(desk: DoorDesk) -> None:
    answer = desk.ask(desk.by_x402(desk.sign(10), kind="deposit"))
    assert (refused(answer)[:2], reason(answer)) == ((402, "deposit_refused"), "deposit_payload")
    assert answer.response["success"] is False


# --- what changes in between


def test_price__that_rose__is_a_fresh_offer(desk: DoorDesk) -> None:
    by_mpp, by_x402 = desk.by_mpp(desk.sign(10)), desk.by_x402(desk.sign(10))
    desk.estimate_wei = 12
    answer = desk.ask(by_mpp)
    assert refused(answer) == (402, "offer_changed", "invalid-challenge")
    assert desk.ask(by_x402).offer["amount"] == "12"
    assert desk.ask(desk.by_mpp(desk.sign(12), answer.challenge)).ran


def test_operator__that_changed__is_paid_by_no_voucher_for_the_one_before(desk: DoorDesk) -> None:
    fields = desk.by_mpp(desk.sign(10)), desk.by_x402(desk.sign(10))
    by = desk.sign(10)
    desk.world.chain.operator = "0x" + "0f" * 20
    desk.world.at(desk.world.now_ms + 31_000)
    assert [refused(desk.ask(field))[1] for field in fields] == ["offer_changed"] * 2
    assert refused(desk.ask(desk.by_mpp(by)))[1] == "invalid_voucher"
    assert desk.pay_mpp(10).ran


def test_signer__that_changed__has_the_old_ones_vouchers_refused(desk: DoorDesk) -> None:
    assert desk.pay_mpp(10).ran
    desk.world.settle()
    by = desk.sign(20)
    desk.world.chain.subscriptions[API, WHO].signer = OTHER_SIGNER
    desk.tick()
    assert refused(desk.ask(desk.by_mpp(by)))[1] == "invalid_voucher"
    assert desk.ask(desk.by_mpp(desk.sign(20, key=OTHER_KEY))).ran


def test_hold__that_is_used_up_or_ends__serves_nothing_more(world: World) -> None:
    open_session(world, hold_wei=25, expires_at=world.now_ms // 1000 + 3_600)
    desk = DoorDesk(world)
    assert desk.pay_mpp(100).ran
    assert desk.pay_mpp(100).ran
    answer = desk.pay_mpp(100)
    assert refused(answer) == (402, "insufficient_credit", "session/amount-exceeds-deposit")
    assert reason(desk.pay_x402(30)) == "cumulative_exceeds_balance"
    world.chain.subscriptions[API, WHO].hold_wei = 1_000
    desk.tick()
    assert desk.pay_mpp(100).ran
    world.at(world.now_ms + 2_700_000)
    answer = desk.pay_mpp(100)
    assert (refused(answer)[1], answer.problem["reason"]) == ("insufficient_credit", "hold_ends")


def test_quota__that_is_used_up__is_a_429_and_asks_for_no_payment(world: World) -> None:
    open_session(world, daily_calls=1)
    desk = DoorDesk(world)
    assert desk.pay_mpp(10).ran
    for answer in (desk.pay_mpp(20), desk.pay_x402(20)):
        assert (answer.status, answer.code, answer.has_challenge) == (429, "quota_exceeded", False)


def test_budget_and_switch__of_an_operator__ask_for_no_payment(desk: DoorDesk) -> None:
    assert desk.pay_mpp(10).ran
    desk.meter.change_consumer(WHO, budgets=[Budget("mine", "day", 15)])
    assert desk.pay_mpp(20).ran
    answer = desk.pay_mpp(30)
    assert (answer.status, answer.code, answer.has_challenge) == (402, "budget_exceeded", False)
    desk.meter.change_consumer(WHO, disabled=True, budgets=[])
    answer = desk.pay_mpp(30)
    assert (answer.status, answer.code, answer.has_challenge) == (403, "disabled", False)


def test_session__that_was_closed__pays_for_nothing_more(desk: DoorDesk) -> None:
    desk.pay_mpp(10)
    assert desk.ask(desk.by_mpp(desk.sign(10), action="close")).status == 204
    for answer in (desk.pay_mpp(20), desk.pay_x402(20)):
        assert refused(answer)[1] == "session_closing"
    assert refused(desk.pay_mpp(20))[2] == "session/channel-finalized"
    desk.world.settle()
    desk.tick()
    for answer in (desk.pay_mpp(20), desk.pay_x402(20)):
        assert refused(answer)[0] == 402


def test_chain__gone__serves_who_is_known_until_grace_ends(desk: DoorDesk) -> None:
    assert desk.pay_mpp(10).ran
    desk.world.chain.readable = False
    desk.world.at(desk.world.now_ms + 600_000)
    assert desk.ask().has_challenge
    assert desk.pay_mpp(20).ran
    desk.world.at(desk.world.now_ms + 600_000)
    for answer in (desk.ask(), desk.ask(("authorization", "Payment x"))):
        assert (answer.status, answer.code, answer.has_challenge) == (503, "meter_unavailable", False)


def test_chain__gone__is_tried_once_in_a_while_and_not_by_each_request(desk: DoorDesk) -> None:
    desk.ask()
    desk.world.chain.readable = False
    desk.world.at(desk.world.now_ms + 60_000)
    reads = desk.world.chain.reads
    for _ in range(5):
        assert desk.ask().has_challenge
    assert desk.world.chain.reads == reads + 1


def test_chain__never_read__is_tried_once_in_a_while_and_not_by_each_request(desk: DoorDesk) -> None:
    desk.world.chain.readable = False
    for _ in range(5):
        assert (desk.ask().status, desk.ask().has_challenge) == (503, False)
    assert desk.world.chain.reads == 1
    desk.world.chain.readable = True
    desk.world.at(desk.world.now_ms + 2_000)
    assert desk.ask().has_challenge


def test_store__gone__is_a_503_without_a_challenge(desk: DoorDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    field = desk.by_mpp(desk.sign(30))
    assert desk.ask(field).ran

    def away(operation: Any) -> Any:
        raise StoreUnavailable("the secret address of a store")

    monkeypatch.setattr(desk.world.store, "call", away)
    assert desk.ask().has_challenge
    answer = desk.ask(field)
    assert (answer.status, answer.code, answer.has_challenge) == (503, "meter_unavailable", False)
    assert "secret" not in answer.body.decode()


def test_store__gone_with_fail_open__serves_nobody_who_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session(world)
    desk = DoorDesk(world, fail_open=True)
    field = desk.by_mpp(desk.sign(10), DoorDesk(world).ask().challenge)

    def away(operation: Any) -> Any:
        raise StoreUnavailable("it does not answer")

    monkeypatch.setattr(world.store, "call", away)
    desk = DoorDesk(world, fail_open=True)
    for fields in ((), (field,)):
        answer = desk.ask(*fields)
        assert (answer.status, answer.code, answer.ran) == (503, "meter_unavailable", False)


# --- nothing is told, nothing is taken


def test_log__of_refused_payments__has_nothing_of_them(desk: DoorDesk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    by = desk.sign(10)
    fields = [
        desk.by_mpp(by),
        desk.by_x402(by),
        desk.by_mpp(replace(by, cumulative_wei=11)),
        ("payment-signature", "x"),
    ]
    answers = [desk.ask(field) for field in fields for _ in range(2)]
    told = caplog.text + repr(desk.world.store.call(ListRecords()))
    told += "".join(answer.body.decode() for answer in answers)
    for secret in (by.signature, by.signature[2:], *(value[20:] for _, value in fields[:3])):
        assert secret not in told


def test_payments__whatever_was_refused__leave_nothing_set_aside(desk: DoorDesk) -> None:
    desk.ask(desk.by_mpp(replace(desk.sign(10), cumulative_wei=11)))
    desk.pay_x402(11)
    desk.pay_mpp(9)
    balance = desk.world.store.call(ReadBalance(chain_account(API, WHO)))
    assert (balance.reserved_wei, balance.charged_wei) == (0, 0)


def test_identity__that_is_wrong__is_a_401_also_beside_a_payment(desk: DoorDesk) -> None:
    answer = desk.ask(desk.by_mpp(desk.sign(10)), ("x-consumer", "a"), ("x-consumer", "b"))
    assert refused(answer)[:2] == (401, "invalid_identity")


def test_voucher__of_the_meters_own_form_beside_a_payment__is_two(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world)
    desk.identify = None
    own = ("payment-voucher", sign(world, 10).credential(WHO))
    assert desk.ask(own).ran
    assert refused(desk.ask(own, desk.by_mpp(desk.sign(20))))[1] == "several_payments"
    answer = desk.ask(("payment-voucher", "x"))
    assert (answer.status, answer.code) == (402, "invalid_voucher")
