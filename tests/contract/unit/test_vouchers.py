"""What a voucher pays: never more than was signed, by that key, for that channel; and never twice."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from coincurve import PrivateKey

from api_billing.vouchers import Channel, sign_voucher
from genlayer_localnet import Localnet
from genlayer_localnet.address import Address

from ..forms import Form, billing_code
from ..market import (
    ALICE,
    API,
    BOB,
    DAY,
    DEPOSIT,
    METER,
    NOW,
    OPERATOR,
    PRICE,
    RIVAL,
    START,
    TODAY,
    Market,
    entry,
)
from ..sessions import (
    HOUR_LATER,
    KEY,
    OTHER_KEY,
    OTHER_SIGNER,
    SIGNER,
    billed,
    channel_of,
    forged,
    open_session,
    salt_of,
    signed_entry,
    voucher,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
EXPIRED = "2026-01-15T13:00:00Z"  # the second HOUR_LATER


@pytest.fixture
def in_session(wide: Market) -> Market:
    """ALICE holds 500 wei for `weather` until HOUR_LATER, to be billed with vouchers of KEY."""
    open_session(wide)
    return wide


def channel(market: Market, salt: int = 0, consumer: str = ALICE, api_name: str = API, **other: Any) -> tuple[int, int]:
    """Signed and billed wei of a channel."""
    channel_id = channel_of(market, salt, api_name, payer=consumer, **other).id
    (shown,) = market.view("get_session", consumer, api_name, channel_id)["channels"]
    return shown["signed_wei"], shown["billed_wei"]


def settled(market: Market, *entries: dict[str, Any]) -> list[tuple[int, str]]:
    return billed(market.settle(*entries))


# ---- how much ----

# Signed before and calls of that (10 wei each); signed now, calls and wei of the entry; wei billed, code.
SUMS = [
    (0, 0, 30, 3, 30, 30, ""),
    (0, 0, 29, 3, 30, 20, "voucher_exceeded"),
    (0, 0, 31, 3, 30, 30, ""),
    (0, 0, 9, 3, 30, 0, "voucher_exceeded"),
    (0, 0, 10, 3, 11, 7, "voucher_exceeded"),
    (0, 0, 2**128 - 1, 3, 30, 30, ""),
    (30, 3, 60, 3, 30, 30, ""),
    (30, 3, 59, 3, 30, 20, "voucher_exceeded"),
    (30, 3, 30, 1, 10, 0, "voucher_exceeded"),
    (30, 3, 29, 1, 10, 0, "voucher_exceeded"),
    (30, 3, 0, 1, 10, 0, "voucher_exceeded"),
    (35, 3, 20, 1, 5, 5, ""),
    (60, 3, 10, 3, 30, 30, ""),
    (60, 3, 0, 4, 40, 30, "voucher_exceeded"),
    (2**128 - 1, 1, 2**128 - 1, 3, 30, 30, ""),
]


@pytest.mark.parametrize(("before", "calls_before", "signed", "calls", "spend", "wei", "code"), SUMS)
def test_voucher__of_some_sum__pays_signed_less_billed(
    in_session: Market, before: int, calls_before: int, signed: int, calls: int, spend: int, wei: int, code: str
) -> None:
    if before:
        in_session.settle(signed_entry(in_session, before, calls=calls_before))
    assert settled(in_session, signed_entry(in_session, signed, calls=calls, spend_wei=spend)) == [(wei, code)]
    total = 10 * calls_before + wei
    known_signed, known_billed = channel(in_session)
    assert known_billed == total == in_session.earnings() == 500 - in_session.line()["hold_wei"]
    assert total <= known_signed
    assert in_session.credit() == DEPOSIT - 500


def test_voucher__of_a_sum_already_known__has_its_signature_not_looked_at(in_session: Market) -> None:
    in_session.settle(signed_entry(in_session, 30))
    lines = [entry() | {"voucher": forged(30)}, entry() | {"voucher": forged(0)}, entry() | {"voucher": forged(1)}]
    assert settled(in_session, *lines) == [(10, ""), (10, ""), (0, "voucher_exceeded")]
    assert channel(in_session) == (30, 30)


def test_voucher__bad_one__bills_nothing_and_stops_nothing_else(in_session: Market) -> None:
    lines = [
        signed_entry(in_session, 10),
        entry() | {"voucher": forged(20)},
        signed_entry(in_session, 20, calls=2),
        entry(BOB),
    ]
    in_session.subscribe(BOB)
    assert settled(in_session, *lines) == [(10, ""), (0, "bad_signature"), (10, "voucher_exceeded"), (10, "")]


def test_voucher__bad_one__changes_nothing_of_the_channel(in_session: Market) -> None:
    in_session.settle(signed_entry(in_session, 15))
    assert settled(in_session, entry() | {"voucher": forged(2**128 - 1)}) == [(0, "bad_signature")]
    assert channel(in_session) == (15, 10)


def test_voucher__entry_stopped_by_a_limit__is_charged_for_what_was_billed(in_session: Market) -> None:
    in_session.register(daily=3)
    outcome = in_session.settle(signed_entry(in_session, 1_000, calls=5))
    assert billed(outcome) == [(30, "daily_limit_exceeded")]
    assert channel(in_session) == (1_000, 30)


def test_voucher__share_of_the_spend_that_rounds_to_0__charges_nothing(in_session: Market) -> None:
    outcome = in_session.settle(signed_entry(in_session, 0, calls=10, spend_wei=1))
    line = outcome["entries"][0]
    assert (line["billed_calls"], line["billed_wei"], line["code"]) == (9, 0, "voucher_exceeded")
    assert in_session.view("get_session", ALICE, API)["channels"] == []


def test_vouchers__several_channels_in_a_batch__are_several_entries(in_session: Market) -> None:
    lines = [signed_entry(in_session, 10 * salt, calls=3, salt=salt) for salt in range(5)]
    assert [wei for wei, _ in settled(in_session, *lines)] == [0, 10, 20, 30, 30]
    assert [channel(in_session, salt) for salt in range(5)] == [(0, 0), (10, 10), (20, 20), (30, 30), (40, 30)]


def test_vouchers__of_one_channel_in_a_batch__add_up(in_session: Market) -> None:
    lines = [signed_entry(in_session, signed) for signed in (10, 20, 20, 15, 30)]
    assert [wei for wei, _ in settled(in_session, *lines)] == [10, 10, 0, 0, 10]


def test_vouchers__together_above_the_hold__take_the_hold(in_session: Market) -> None:
    lines = [signed_entry(in_session, 10**6, calls=20, salt=salt) for salt in range(3)]
    assert settled(in_session, *lines) == [(200, ""), (200, ""), (100, "insufficient_credit")]


# ---- replay ----


def test_voucher__in_the_next_settlement_again__pays_nothing(in_session: Market) -> None:
    line = signed_entry(in_session, 10)
    assert [settled(in_session, line) for _ in range(3)] == [
        [(10, "")],
        [(0, "voucher_exceeded")],
        [(0, "voucher_exceeded")],
    ]


def test_voucher__from_an_earlier_hold_of_the_same_signer__pays_what_was_unspent_and_no_more(
    in_session: Market,
) -> None:
    line = signed_entry(in_session, 30, calls=5)
    in_session.settle(signed_entry(in_session, 30))
    in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    open_session(in_session, 400)
    assert settled(in_session, line) == [(20, "voucher_exceeded")]
    assert settled(in_session, line) == [(0, "voucher_exceeded")]
    assert channel(in_session) == (30, 30)


def test_voucher__of_a_former_signer__pays_nothing_until_that_signer_is_back(in_session: Market) -> None:
    line = signed_entry(in_session, 30, calls=3)
    in_session.settle(signed_entry(in_session, 20, calls=2))
    in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    in_session.ok("place_hold", API, 100, HOUR_LATER, OTHER_SIGNER, sender=ALICE)
    assert settled(in_session, line) == [(0, "bad_signature")]
    in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    open_session(in_session, 100)
    assert settled(in_session, line) == [(10, "voucher_exceeded")]


def test_channel__through_leaving_coming_back_and_a_plain_hold__is_never_lower(in_session: Market) -> None:
    in_session.settle(signed_entry(in_session, 30, calls=3))
    in_session.ok("unsubscribe", API, sender=ALICE)
    in_session.at("2026-03-01T12:00:00Z")
    in_session.ok("release_hold", API, sender=ALICE)
    in_session.subscribe(deposit=0)
    later = int(in_session.net.now.timestamp())
    in_session.ok("place_hold", API, 100, later + 60, "plain", sender=ALICE)
    in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    in_session.ok("place_hold", API, 100, later + 60, SIGNER, sender=ALICE)
    assert channel(in_session) == (30, 30)
    assert settled(in_session, signed_entry(in_session, 30, day_id=later // DAY)) == [(0, "voucher_exceeded")]


def test_voucher__after_a_hand_over__of_the_former_operators_channel_pays_nothing(in_session: Market) -> None:
    in_session.settle(signed_entry(in_session, 10))
    former = signed_entry(in_session, 30)
    in_session.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    in_session.ok("accept_operator", API, sender=RIVAL)
    outcome = in_session.settle(former, signed_entry(in_session, 10, receiver=RIVAL), sender=RIVAL)
    assert billed(outcome) == [(0, "bad_signature"), (10, "")]
    in_session.ok("propose_operator", API, OPERATOR, sender=RIVAL)
    in_session.ok("accept_operator", API, sender=OPERATOR)
    assert settled(in_session, former) == [(10, "")]
    assert (channel(in_session), channel(in_session, receiver=RIVAL)) == ((30, 20), (10, 10))


FOREIGN: dict[str, Callable[[Channel], Channel]] = {
    "another consumer": lambda own: replace(own, payer=BOB),
    "another operator": lambda own: replace(own, receiver=RIVAL),
    "another contract": lambda own: replace(own, contract="0x" + "cc" * 20),
    "another API or instance": lambda own: replace(own, asset="0x" + "dd" * 20),
    "another chain": lambda own: replace(own, chain_id=4_221),
    "another salt": lambda own: replace(own, salt=salt_of(1)),
    "another signer named": lambda own: replace(own, signer=OTHER_SIGNER),
}


def sign(key: bytes, digest: bytes) -> str:
    signed = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return f"0x{signed[:64].hex()}{27 + signed[64]:02x}"


@pytest.mark.parametrize("other", FOREIGN)
def test_voucher__signed_for_something_else__is_a_bad_signature(in_session: Market, other: str) -> None:
    foreign = FOREIGN[other](channel_of(in_session))
    line = entry() | {"voucher": {**forged(100), "signature": sign(KEY, foreign.digest(100))}}
    assert settled(in_session, line) == [(0, "bad_signature")]
    own = entry() | {"voucher": {**forged(100), "signature": sign(KEY, channel_of(in_session).digest(100))}}
    assert settled(in_session, own) == [(10, "")]


@pytest.mark.parametrize("key", [OTHER_KEY, b"\xa1" * 32])
def test_voucher__signed_by_another_key__is_a_bad_signature(in_session: Market, key: bytes) -> None:
    line = entry() | {"voucher": {**forged(100), "signature": sign(key, channel_of(in_session).digest(100))}}
    assert settled(in_session, line) == [(0, "bad_signature")]


@pytest.mark.parametrize("signed", [99, 101, 2**128 - 1])
def test_voucher__sum_changed_after_signing__is_a_bad_signature(in_session: Market, signed: int) -> None:
    line = entry() | {"voucher": voucher(in_session, 100) | {"cumulative_wei": signed}}
    assert settled(in_session, line) == [(0, "bad_signature")]


def test_voucher__of_another_consumer_with_the_same_signer__is_a_bad_signature(in_session: Market) -> None:
    in_session.subscribe(BOB)
    open_session(in_session, 100, consumer=BOB)
    theirs = voucher(in_session, 10, payer=BOB)
    assert settled(in_session, entry() | {"voucher": theirs}, entry(BOB) | {"voucher": theirs}) == [
        (0, "bad_signature"),
        (10, ""),
    ]


def test_voucher__of_another_api_of_the_operator__is_a_bad_signature(in_session: Market) -> None:
    in_session.register("maps")
    in_session.subscribe(api_name="maps")
    in_session.ok("place_hold", "maps", 100, HOUR_LATER, SIGNER, sender=ALICE)
    line = signed_entry(in_session, 10)
    assert billed(in_session.settle(line, api_name="maps")) == [(0, "bad_signature")]
    of_maps = entry() | {"voucher": voucher(in_session, 10, api_name="maps")}
    assert billed(in_session.settle(of_maps, api_name="maps")) == [(10, "")]


def another_network(form: Form, **settings: Any) -> Market:
    """The same contract and session on a network of its own."""
    net = Localnet(**({"now": START} | settings))
    net.fund(ALICE, 10**6)
    there = Market(net, str(net.deploy(billing_code(form), sender=OPERATOR).to), form)
    there.register()
    there.subscribe()
    open_session(there)
    return there


@pytest.mark.parametrize(
    ("deployed_at", "expected"), [(START, (10, "")), ("2026-01-15T11:59:59Z", (0, "bad_signature"))]
)
def test_voucher__after_a_reset_of_the_network__pays_nothing(
    in_session: Market, deployed_at: str, expected: tuple[int, str]
) -> None:
    """The contract has the same address there; only the time of its deployment tells it apart."""
    line = signed_entry(in_session, 10)
    there = another_network(in_session.form, now=deployed_at)
    assert there.address == in_session.address
    assert settled(there, line) == [expected]


def test_voucher__on_a_network_of_another_chain_id__is_signed_for_that_one(form: Form) -> None:
    there = another_network(form, chain_id=61_127)
    lines = [signed_entry(there, 10, chain_id=chain_id) for chain_id in (61_999, 61_127)]
    assert settled(there, *lines) == [(0, "bad_signature"), (10, "")]
    assert there.view("get_api", API)["voucher_domain"]["chainId"] == 61_127


def test_voucher__mirrored_signature__is_refused_and_the_original_is_not(in_session: Market) -> None:
    line = signed_entry(in_session, 10)
    raw = bytes.fromhex(line["voucher"]["signature"][2:])
    s = (ORDER - int.from_bytes(raw[32:64])).to_bytes(32)
    mirrored = "0x" + (raw[:32] + s + bytes([55 - raw[64]])).hex()
    lines = [entry() | {"voucher": line["voucher"] | {"signature": mirrored}}, line]
    assert settled(in_session, *lines) == [(0, "bad_signature"), (10, "")]


# ---- channels ----


def test_channels__16_of_a_session__and_no_more(in_session: Market) -> None:
    lines = [signed_entry(in_session, 10, salt=salt) for salt in range(17)]
    assert settled(in_session, *lines) == [(10, "")] * 16 + [(0, "too_many_channels")]
    shown = in_session.view("get_session", ALICE, API)["channels"]
    assert [each["channel_id"] for each in shown] == [channel_of(in_session, salt).id for salt in range(16)]
    assert settled(in_session, signed_entry(in_session, 20, salt=3)) == [(10, "")]
    assert settled(in_session, signed_entry(in_session, 10, salt=16)) == [(0, "too_many_channels")]


def test_channels__that_were_charged_nothing__are_not_counted(in_session: Market) -> None:
    lines = [entry() | {"voucher": forged(10, salt)} for salt in range(30)]
    lines += [signed_entry(in_session, 0, salt=salt) for salt in range(30, 60)]
    in_session.settle(*lines)
    assert settled(in_session, *[signed_entry(in_session, 10, salt=salt) for salt in range(16)]) == [(10, "")] * 16


@pytest.mark.parametrize("end", ["expired", "released", "closed", "used up"])
def test_channels__next_session__are_counted_anew(in_session: Market, end: str) -> None:
    in_session.settle(*[signed_entry(in_session, 10, salt=salt) for salt in range(16)])
    if end == "expired":
        in_session.at(EXPIRED)
    elif end == "released":
        in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    elif end == "closed":
        in_session.settle(signed_entry(in_session, 20, close=True))
    else:
        in_session.settle(signed_entry(in_session, 10**6, calls=34))
    open_session(in_session, 300, HOUR_LATER + DAY)
    assert in_session.view("get_session", ALICE, API)["channels"] == []
    first, *others = [signed_entry(in_session, 20, salt=salt) for salt in (20, *range(1, 16))]
    assert settled(in_session, first, *others) == [(10, "")] * 16
    assert settled(in_session, signed_entry(in_session, 30, salt=16)) == [(0, "too_many_channels")]
    assert channel(in_session, 16) == (0, 0)


def test_channels__raised_hold__are_not_counted_anew(in_session: Market) -> None:
    in_session.settle(*[signed_entry(in_session, 10, salt=salt) for salt in range(16)])
    in_session.ok("place_hold", API, 100, HOUR_LATER, sender=ALICE)
    assert settled(in_session, signed_entry(in_session, 10, salt=16)) == [(0, "too_many_channels")]


# ---- form ----

GOOD_FORM = forged(10)
BYTES = {"salt": bytes(32), "signature": bytes.fromhex(GOOD_FORM["signature"][2:])}
MALFORMED: list[Any] = [
    {},
    [],
    "x",
    True,
    0,
    {**GOOD_FORM, "close": True},
    {key: value for key, value in GOOD_FORM.items() if key != "salt"},
    *[{**GOOD_FORM, "cumulative_wei": bad} for bad in (-1, -(2**200))],
    *[{**GOOD_FORM, "salt": bad} for bad in ("", "0x", "00" * 32, "0x" + "AB" * 32, "0X" + "ab" * 32, None, 0, [])],
    *[{**GOOD_FORM, "salt": bad} for bad in ("0x" + "ab" * 31, "0x" + "ab" * 33, bytes(31), bytes(33), Address(ALICE))],
    *[{**GOOD_FORM, "salt": bad} for bad in ("0x" + "ab" * 32 + "\n", "0x" + "٣" * 64)],
    *[{**GOOD_FORM, "signature": bad} for bad in ("", "0x", "0x" + "ab" * 64, "0x" + "ab" * 66, "ab" * 65, None, 7)],
    *[{**GOOD_FORM, "signature": bad} for bad in (bytes(64), bytes(66), "0x" + "AB" * 65, "0x" + "ab" * 65 + "\n")],
]


@pytest.mark.parametrize("bad", MALFORMED)
@pytest.mark.parametrize("place", [0, 1])
def test_voucher__malformed__refuses_the_batch(in_session: Market, bad: Any, place: int) -> None:
    lines = [signed_entry(in_session, 10)]
    lines.insert(place, entry() | {"voucher": bad})
    in_session.refused("bad_voucher", "settle_usage", API, 1, lines, sender=METER)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        *[(value, "bad_type") for value in (True, "10", None, b"\1", [10], {}, Address(ALICE))],
        *[(value, "number_too_large") for value in (2**128, 2**256)],
    ],
)
def test_voucher__sum_that_is_none__refuses_the_batch(in_session: Market, bad: Any, code: str) -> None:
    lines = [entry() | {"voucher": {**GOOD_FORM, "cumulative_wei": bad}}]
    in_session.refused(code, "settle_usage", API, 1, lines, sender=METER)


@pytest.mark.parametrize("close", [0, 1, None, "true", "", []])
def test_close__not_a_bool__refuses_the_batch(in_session: Market, close: Any) -> None:
    line = signed_entry(in_session, 10) | {"close": close}
    in_session.refused("bad_type", "settle_usage", API, 1, [line], sender=METER)


def test_voucher__in_bytes__is_the_same_as_in_hex(in_session: Market) -> None:
    good = voucher(in_session, 10)
    raw = {key: bytes.fromhex(good[key][2:]) for key in ("salt", "signature")}
    first = in_session.settle(entry() | {"voucher": good | raw})
    assert billed(first) == [(10, "")]
    again = in_session.ok("settle_usage", API, 1, [entry() | {"voucher": good}], sender=METER)
    assert again.value == first


def test_vouchers__64_in_a_settlement__and_no_more(in_session: Market) -> None:
    line = entry(spend_wei=1) | {"voucher": forged(10)}
    plain = entry(BOB)
    in_session.refused("too_many_vouchers", "settle_usage", API, 1, [line] * 65, sender=METER)
    in_session.refused("too_many_vouchers", "settle_usage", API, 1, [line] * 65 + [plain] * 191, sender=METER)
    assert len(settled(in_session, *[line] * 64, *[plain] * 192)) == 256


# ---- a settled sequence ----


def test_settled_sequence__with_a_higher_voucher_in_its_place__answers_as_before(in_session: Market) -> None:
    first = in_session.settle(signed_entry(in_session, 5))
    for better in (signed_entry(in_session, 100), entry() | {"voucher": forged(100)}):
        again = in_session.ok("settle_usage", API, 1, [better], sender=METER)
        assert (again.value, again.events) == (first, ())
    assert channel(in_session) == (0, 0)


@pytest.mark.parametrize("change", [{"salt": salt_of(1)}, None])
def test_settled_sequence__of_another_channel_or_none__is_refused(
    in_session: Market, change: dict[str, str] | None
) -> None:
    line = signed_entry(in_session, 10)
    in_session.settle(line)
    other = line | {"voucher": line["voucher"] | change if change else None}
    in_session.refused("sequence_mismatch", "settle_usage", API, 1, [other], sender=METER)


# ---- prices, limits, caps: as everywhere ----


def test_voucher__of_a_subscription_with_limits__is_bounded_by_them(market: Market) -> None:
    market.ok("subscribe", API, 20, 0, sender=ALICE)
    open_session(market)
    assert settled(market, signed_entry(market, 1_000, calls=3)) == [(20, "daily_spend_exceeded")]
    assert settled(market, signed_entry(market, 1_000, spend_wei=PRICE + 1)) == [(0, "spend_above_price")]
    assert channel(market) == (1_000, 20)


def test_voucher__api_paused__is_billed_for_what_was_served(in_session: Market) -> None:
    in_session.ok("set_api_active", API, False, sender=OPERATOR)
    assert settled(in_session, signed_entry(in_session, 10)) == [(10, "")]


def test_voucher__of_yesterday__is_settled_while_the_hold_is_in_force(wide: Market) -> None:
    open_session(wide, expires_at=NOW + DAY)
    wide.at("2026-01-16T11:59:59Z")
    assert settled(wide, signed_entry(wide, 10, day_id=TODAY), signed_entry(wide, 20, day_id=TODAY + 1)) == [
        (10, ""),
        (10, ""),
    ]


def test_channel__of_the_whole_voucher_range__counts_up_to_its_end(billing: Market) -> None:
    """Sums near 2^128 - 1 do not run into each other in the channel's word."""
    most = 2**128 - 1
    billing.net.fund(ALICE, 2**129)
    billing.register(price=2**127, daily=1_000)
    billing.subscribe(deposit=most, cap=most)
    open_session(billing, most)
    line = {"consumer": ALICE, "day_id": TODAY, "calls": 2, "spend_wei": most}
    assert settled(billing, line | {"voucher": voucher(billing, most)}) == [(most, "")]
    assert channel(billing) == (most, most)
    assert billing.view("get_api_days", API)[0]["earned_wei"] == most


def test_sign_voucher__of_another_key__is_what_the_contract_refuses(in_session: Market) -> None:
    own = channel_of(in_session)
    signed = sign_voucher(OTHER_KEY, replace(own, signer=OTHER_SIGNER), 10).as_dict()
    assert settled(in_session, entry() | {"voucher": signed}) == [(0, "bad_signature")]
