"""What the package x402 2.25.0 writes and reads, and what a server makes of hostile payments."""

import json
from typing import Any

import pytest

from api_billing.payments.encoding import NotReadable, compact, from_base64, json_object, to_base64
from api_billing.payments.offers import Offer
from api_billing.payments.x402 import (
    MAX_PAYMENT,
    accepts,
    offers_in,
    payment_value,
    read_payment,
    read_response,
    required_value,
    requirements,
    response_value,
)
from api_billing.vouchers import Channel, Voucher, is_signed_by

from .recorded import FOLDER, each, one, recorded

ROUND_TRIPS = recorded("x402-wire.json", "roundtrips")
HOSTILE = recorded("x402-wire.json", "hostile_payment_signatures")
VOUCHERS = [case for case in recorded("eip712-vouchers.json", "vouchers") if case["name"].startswith("x402_")]
CONFIGS = recorded("eip712-vouchers.json", "channelConfigs")
CHAIN_ID = 61_999
NOT_HOSTILE = ("channel_id_upper_case", "extra_member")


def of(field: str, cases: list[dict[str, Any]] = ROUND_TRIPS) -> list[dict[str, Any]]:
    return [case for case in cases if case["header"] == field]


def wire_of(case: dict[str, Any]) -> str:
    """Two are told as recipes, as their text is long."""
    if isinstance(case["wire"], str):
        return str(case["wire"])
    valid = one(ROUND_TRIPS, "payload_voucher")["decoded"]
    if case["wire"]["recipe"] == "deep_nesting":
        text = b"[" * 6_001 + b"]" * 6_001
    else:
        text = compact(valid | {"padding": "A" * 65_536})
    wire = to_base64(text)
    assert abs(len(wire) - case["wire"]["length"]) < 16
    return wire


@pytest.mark.skipif(not ROUND_TRIPS, reason=f"no recorded cases in {FOLDER}")
def test_vectors__of_x402__are_all_there() -> None:
    assert (len(ROUND_TRIPS), len(HOSTILE), len(VOUCHERS)) == (11, 30, 5)


@each(ROUND_TRIPS)
def test_wire__recorded__is_read_and_written(case: dict[str, Any]) -> None:
    assert json_object(from_base64(case["wire"])) == case["decoded"]
    written = to_base64(compact(case["decoded"]))
    assert json_object(from_base64(written)) == case["decoded"]
    if case["header"] != "PAYMENT-RESPONSE":  # that package puts spaces there
        assert written == case["wire"]


@each(of("PAYMENT-REQUIRED"))
def test_offers_in__recorded__are_those_that_a_session_pays(case: dict[str, Any]) -> None:
    found, message = offers_in(case["wire"])
    assert message == case["decoded"]
    of_sessions = [offer for offer in case["decoded"]["accepts"] if offer["scheme"] == "batch-settlement"]
    assert [listed for _, listed in found] == of_sessions
    for offer, listed in found:
        assert offer == Offer("", 1000, "0x" + 40 * "1", "0x" + 40 * "2", "0x" + 40 * "2", CHAIN_ID)
        ours = requirements(offer, {name: listed["extra"][name] for name in listed["extra"]})
        assert {name: listed[name] for name in listed if name != "extra"} == {
            name: ours[name] for name in ours if name != "extra"
        }


@each([case for case in of("PAYMENT-REQUIRED") if case["name"] != "required_minimal"])
def test_required_value__offers_of_the_recorded_one__say_the_same(case: dict[str, Any]) -> None:
    wanted = case["decoded"]
    url = wanted["resource"]["url"]
    written = json_object(from_base64(required_value(wanted["accepts"], url, error=wanted["error"])))
    assert written["accepts"] == [offer | {"resource": url} for offer in wanted["accepts"]]
    assert (written["x402Version"], written["error"], written["resource"]["url"]) == (2, wanted["error"], url)


@each(of("PAYMENT-SIGNATURE"))
def test_read_payment__recorded__says_what_was_signed_and_by_whom(case: dict[str, Any]) -> None:
    message, found = case["decoded"], read_payment(case["wire"], CHAIN_ID)
    payload = message["payload"]
    assert found.kind == payload["type"]
    assert found.channel.id == found.channel_id == payload["voucher"]["channelId"]
    assert found.withdraw_delay == 900
    assert str(found.voucher.cumulative_wei) == payload["voucher"]["maxClaimableAmount"]
    assert is_signed_by(found.channel, found.voucher)
    assert (found.accepted, found.accepted_wei) == (message["accepted"], 1000)
    assert found.refund_wei == (int(payload["amount"]) if "amount" in payload else None)
    assert found.payment_id == message.get("extensions", {}).get("payment-identifier", {}).get("info", {}).get("id", "")


@each(of("PAYMENT-SIGNATURE"))
def test_payment_value__of_the_recorded_payment__reads_back_as_it(case: dict[str, Any]) -> None:
    found = read_payment(case["wire"], CHAIN_ID)
    written = payment_value(found.channel, found.voucher, found.accepted, payment_id=found.payment_id, kind=found.kind)
    again = read_payment(written, CHAIN_ID)
    assert (again.channel, again.voucher, again.accepted) == (found.channel, found.voucher, found.accepted)
    assert (again.kind, again.payment_id, again.channel_id) == (found.kind, found.payment_id, found.channel_id)


@each(of("PAYMENT-RESPONSE"))
def test_response__recorded__is_read_and_written(case: dict[str, Any]) -> None:
    assert read_response(case["wire"]) == case["decoded"]
    assert read_response(response_value(case["decoded"])) == case["decoded"]


@each([case for case in HOSTILE if case["name"] not in NOT_HOSTILE])
def test_read_payment__recorded_hostile_one__is_refused(case: dict[str, Any]) -> None:
    """Also amounts that x402 decodes and compares: what is no amount is malformed, and matches no offer either."""
    with pytest.raises(NotReadable) as refused:
        read_payment(wire_of(case), CHAIN_ID)
    assert len(str(refused.value)) < 100


@each([case for case in HOSTILE if case["name"] in NOT_HOSTILE])
def test_read_payment__recorded_one_that_is_odd_only__is_the_plain_one(case: dict[str, Any]) -> None:
    assert read_payment(wire_of(case), CHAIN_ID) == read_payment(one(ROUND_TRIPS, "payload_voucher")["wire"], CHAIN_ID)


@each([case for case in HOSTILE if case["name"].startswith("amount_")])
def test_accepts__recorded_hostile_amount__is_no_offer_of_ours(case: dict[str, Any]) -> None:
    accepted = json.loads(from_base64(case["wire"]))["accepted"]
    offered = requirements(Offer("weather", 1000, "0x" + 40 * "1", "0x" + 40 * "2", "0x" + 40 * "2", CHAIN_ID))
    accepted["extra"] = offered["extra"]
    assert not accepts(accepted, offered)
    assert accepts(accepted | {"amount": "1000"}, offered)


@each(VOUCHERS)
def test_payment__of_a_recorded_voucher__is_read_as_signed_by_its_signer(case: dict[str, Any]) -> None:
    config = one(CONFIGS, case["channelConfig"])
    fields, chain_id = config["channelConfig"], int(config["network"].removeprefix("eip155:"))
    parties = (fields[name] for name in ("payer", "payerAuthorizer", "receiver", "receiverAuthorizer", "token"))
    channel = Channel(*parties, chain_id, fields["salt"])
    voucher = Voucher(fields["salt"], int(case["message"]["maxClaimableAmount"]), case["signature"])
    offer = Offer("weather", 1, channel.receiver, channel.contract, channel.asset, chain_id)
    found = read_payment(payment_value(channel, voucher, requirements(offer)), chain_id)
    assert found.channel_id == found.channel.id == case["message"]["channelId"]
    assert found.channel.signer == case["signer"]
    assert is_signed_by(found.channel, found.voucher)


def test_read_payment__longer_than_its_bound__is_refused_unread() -> None:
    with pytest.raises(NotReadable, match="too long"):
        read_payment("A" * (MAX_PAYMENT + 4), CHAIN_ID)
