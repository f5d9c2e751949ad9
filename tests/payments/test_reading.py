"""Reading: what is written comes back as it was, and any other text is refused or is a value; nothing else happens."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api_billing.errors import InvalidInput
from api_billing.payments.encoding import (
    NotReadable,
    canonical,
    compact,
    from_base64,
    from_base64url,
    json_object,
    to_base64,
    to_base64url,
)
from api_billing.payments.mpp import (
    ACTIONS,
    INTENT,
    METHOD,
    OWN_FIELD,
    Challenge,
    Credential,
    challenges_in,
    offer_of,
    read_credential,
    read_receipt,
    receipt_value,
    session_challenge,
    session_payload,
    source_of,
    takes_sessions,
    voucher_payload,
)
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
from api_billing.vouchers import MAX_CUMULATIVE_WEI, NO_SALT, Channel, Voucher

CHAIN_ID = 61_999
SECRET = b"a secret of challenges, 32 bytes"
OFFER = Offer("weather", 1000, "0x" + 40 * "1", "0x" + 40 * "2", "0x" + 40 * "3", CHAIN_ID)
CHANNEL = OFFER.channel("0x" + 40 * "a", "0x" + 40 * "b")
VOUCHER = Voucher(NO_SALT, 1000, "0x" + 130 * "1")
CHALLENGE = session_challenge(OFFER, expires_ms=4_070_908_800_000, secret=SECRET)
CREDENTIAL = Credential(CHALLENGE, voucher_payload(CHANNEL.id, VOUCHER), source_of(CHAIN_ID, CHANNEL.payer))
PAYMENT = payment_value(CHANNEL, VOUCHER, requirements(OFFER))

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
WORDS = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
SUMS = st.one_of(st.integers(0, MAX_CUMULATIVE_WEI), st.sampled_from([0, 1, MAX_CUMULATIVE_WEI]))
OFFERS = st.builds(
    Offer,
    st.from_regex("[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    SUMS,
    ADDRESSES,
    ADDRESSES,
    ADDRESSES,
    st.integers(1, 2**48),
)
SIGNATURES = st.binary(min_size=65, max_size=65).map(lambda raw: "0x" + raw.hex())
# Also halves of pairs of surrogates, NUL and line breaks.
ANY_TEXT = st.text(st.characters(), max_size=60)


# ---- what is written comes back ----


@given(data=st.binary(max_size=200))
def test_base64__any_bytes__come_back_in_both_alphabets(data: bytes) -> None:
    assert from_base64(to_base64(data)) == from_base64url(to_base64url(data)) == data


@pytest.mark.parametrize(
    "text", ["AB==", "AAB=", "A===", "AA=A", "AAA", "AA", "A", "====", "AA-A", "AA_A", "AAA\n", "AA AA"]
)
def test_from_base64__what_is_not_exactly_of_its_form__is_refused(text: str) -> None:
    with pytest.raises(NotReadable):
        from_base64(text)


@pytest.mark.parametrize("text", ["AB", "AAB", "A", "AA==", "AAA=", "AA+A", "AA/A", "AAA\n", "AAAAA", "AA\u0661A"])
def test_from_base64url__what_is_not_exactly_of_its_form__is_refused(text: str) -> None:
    with pytest.raises(NotReadable):
        from_base64url(text)


@given(value=OBJECTS)
def test_json__any_object__comes_back(value: dict[str, Any]) -> None:
    assert json_object(canonical(value)) == json_object(compact(value)) == value
    assert canonical(value) == canonical(dict(reversed(value.items())))


@given(
    texts=st.fixed_dictionaries(dict.fromkeys(("realm", "expires", "digest", "description"), ASCII)),
    names=st.tuples(*3 * [st.from_regex("[a-zA-Z0-9-]{1,20}", fullmatch=True)]),
    terms=OBJECTS,
    opaque=st.none() | OBJECTS,
    header=st.sampled_from(["", OWN_FIELD]),
    source=ASCII,
)
def test_challenge__any_in_ascii__comes_back_alone_between_others_and_in_a_credential(
    texts: dict[str, str],
    names: tuple[str, str, str],
    terms: dict[str, Any],
    opaque: dict[str, Any] | None,
    header: str,
    source: str,
) -> None:
    """Quotes, commas, bars and backslashes in its texts too."""
    challenge = Challenge(
        id=names[0],
        method=names[1],
        intent=names[2],
        request=to_base64url(canonical(terms)),
        opaque="" if opaque is None else to_base64url(canonical(opaque)),
        header=header,
        **texts,
    )
    assert challenges_in([challenge.value()]) == [challenge]
    assert challenge.terms == terms
    around = f'Bearer realm="a, b", {challenge.value()}, Basic realm="Payment id=", {challenge.value()}'
    assert challenges_in([around]) == challenges_in([challenge.value(), "Negotiate YQ==", challenge.value()])
    assert challenges_in([around]) == 2 * [challenge]
    credential = Credential(challenge, {"terms": terms}, source)
    if len(credential.value()) <= 8_192:
        assert read_credential(credential.value()) == credential


@given(offer=OFFERS, expires=st.integers(1, 250_000_000), header=st.sampled_from(["", OWN_FIELD]))
def test_session_challenge__any_offer__comes_back_with_its_id_and_end(offer: Offer, expires: int, header: str) -> None:
    expires_ms = expires * 1000
    challenge = session_challenge(offer, expires_ms=expires_ms, secret=SECRET, header=header, description="a call")
    (found,) = challenges_in([challenge.value()])
    assert found == challenge
    assert found.is_by(SECRET)
    assert (offer_of(found), found.expires_ms(), found.header) == (offer, expires_ms, header)


@pytest.mark.parametrize("name", [field.name for field in fields(Challenge) if field.name != "description"])
def test_is_by__any_term_changed__is_not(name: str) -> None:
    assert CHALLENGE.is_by(SECRET)
    assert not replace(CHALLENGE, **{name: getattr(CHALLENGE, name) + "x"}).is_by(SECRET)


def test_is_by__bars_that_move_a_term_to_another_place__is_not() -> None:
    with_header = session_challenge(OFFER, expires_ms=10**12, secret=SECRET, header=OWN_FIELD)
    moved = replace(with_header, header="", digest="|" + OWN_FIELD, opaque="")
    assert moved.id_by(SECRET) == with_header.id
    assert not moved.is_by(SECRET)


@given(offer=OFFERS, payer=ADDRESSES, signer=ADDRESSES, salt=WORDS, sum_wei=SUMS, signature=SIGNATURES)
def test_voucher__of_any_channel__comes_back_over_both_protocols(
    offer: Offer, payer: str, signer: str, salt: str, sum_wei: int, signature: str
) -> None:
    channel, voucher = offer.channel(payer, signer, salt), Voucher(salt, sum_wei, signature)
    listed = requirements(offer)
    paid = read_payment(payment_value(channel, voucher, listed, payment_id="p" * 16), offer.chain_id)
    assert (paid.channel, paid.channel_id, paid.voucher) == (channel, channel.id, voucher)
    assert accepts(paid.accepted, listed)
    assert (paid.accepted_wei, paid.payment_id) == (offer.amount_wei, "p" * 16)
    for action in ACTIONS:
        credential = Credential(CHALLENGE, voucher_payload(channel.id, voucher, action), source_of(CHAIN_ID, payer))
        found = session_payload(credential, CHAIN_ID)
        assert (found.action, found.payer, found.channel_id, found.voucher) == (action, payer, channel.id, voucher)


@given(offer=OFFERS, url=TEXTS, description=TEXTS)
def test_required_value__any_offer__comes_back_without_the_name_that_it_has_not(
    offer: Offer, url: str, description: str
) -> None:
    listed = requirements(offer)
    foreign = [listed | change for change in ({"scheme": "exact"}, {"network": "solana:1"}, {"extra": {}})]
    found, message = offers_in(required_value([*foreign, listed], url, description=description))
    assert found == [(replace(offer, api=""), listed | {"resource": url})]
    assert message["resource"]["url"] == url


@given(members=OBJECTS)
def test_response__any_members__come_back(members: dict[str, Any]) -> None:
    assert read_response(response_value(members | {"success": False})) == members | {"success": False}
    receipt = members | {"status": "success", "method": METHOD, "reference": "r", "timestamp": "2026-04-01T12:00:00Z"}
    assert read_receipt(receipt_value(receipt)) == receipt


# ---- any other text ----


def wire_forms(data: bytes) -> list[str]:
    padded = b64encode(data).decode()
    return [padded, urlsafe_b64encode(data).rstrip(b"=").decode(), f"Payment {padded.rstrip('=')}"]


def in_payment_field(text: str) -> None:
    found = read_payment(text, CHAIN_ID)
    accepts(found.accepted, requirements(OFFER))


def in_credential_field(text: str) -> None:
    found = read_credential(text)
    if found is not None:
        found.challenge.is_by(SECRET)
        session_payload(found, CHAIN_ID)
        offer_of(found.challenge)
        found.challenge.expires_ms()


def in_challenge_field(text: str) -> None:
    for challenge in challenges_in([text]):
        challenge.is_by(SECRET)
        offer_of(challenge)
        challenge.expires_ms()


READERS: tuple[Callable[[str], object], ...] = (
    in_payment_field,
    in_credential_field,
    in_challenge_field,
    offers_in,
    read_response,
    read_receipt,
    takes_sessions,
)


def read_all(text: str) -> None:
    """Raises what is neither a value nor NotReadable."""
    for reader in READERS:
        with suppress(NotReadable):
            reader(text)


@given(text=ANY_TEXT)
@example("Payment \ud800")
@example('Payment id="\ud800", realm="", method="m", intent="i", request="e30"')
def test_readers__any_text__is_refused_or_a_value(text: str) -> None:
    read_all(text)
    read_all("Payment " + text)
    read_all(f'{CHALLENGE.value()}, expires="{text}"')


@given(data=st.binary(max_size=80))
def test_readers__any_bytes_encoded__are_refused_or_a_value(data: bytes) -> None:
    for text in wire_forms(data):
        read_all(text)


DEEP = b'{"a":' * 3_000 + b"1" + b"}" * 3_000


@pytest.mark.parametrize(
    "data",
    [
        DEEP,
        b"[" * 100_000,
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":1e999}',
        b'{"a":-0}',
        rb'{"a":"\ud800"}',
        rb'{"\udfff":1}',
        b'{"a":Infinity}',
        b'\xef\xbb\xbf{"a":1}',
    ],
    ids=["deep", "brackets", "long number", "overflow", "minus zero", "half a pair", "half a name", "infinity", "BOM"],
)
def test_readers__json_that_is_odd__is_refused_or_a_value(data: bytes) -> None:
    for text in wire_forms(data):
        read_all(text)
    with suppress(NotReadable):
        assert type(json_object(data)) is dict


@pytest.mark.parametrize("data", [DEEP, b"[]", b"1", rb'{"a":"\ud800"}', b'{"a":1,"a":1}', b'{"a":NaN}', b"{}x", b""])
def test_json_object__what_is_none__is_refused(data: bytes) -> None:
    with pytest.raises(NotReadable):
        json_object(data)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for name, found in inner for each in places(found, (*path, name)))]


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copied = value.copy()
    copied[path[0]] = changed(value[path[0]], path[1:], other)
    return copied


PAID = json_object(from_base64(PAYMENT))
CREDENTIALLED = json_object(from_base64url(CREDENTIAL.value().removeprefix("Payment ")))
REQUIRED = json_object(from_base64(required_value([requirements(OFFER)], "http://a")))


@given(
    good=st.sampled_from([PAID, CREDENTIALLED, REQUIRED]),
    place=st.integers(0, 200),
    other=VALUES
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["1", "0x", "-1", "\u0661\u0660", "1_0"]),
)
def test_readers__one_member_that_is_anything__are_refused_or_a_value(
    good: dict[str, Any], place: int, other: Any
) -> None:
    paths = places(good)
    text = json.dumps(changed(good, paths[place % len(paths)], other)).encode()
    for wire in wire_forms(text):
        read_all(wire)


@given(place=st.integers(0, 10_000), character=st.characters())
def test_readers__one_character_that_is_another__are_refused_or_a_value(place: int, character: str) -> None:
    for text in (PAYMENT, CREDENTIAL.value(), CHALLENGE.value()):
        at = place % len(text)
        read_all(text[:at] + character + text[at + 1 :])


@pytest.mark.parametrize(
    "piece", ['a="', 'a="\\', ' a= "\\",', "a ", "a", " ", '",', "Payment ", 'Payment id="', "a=b", "="]
)
def test_challenges_in__long_and_repetitive__is_read_to_its_end(piece: str) -> None:
    """A reader that looks back would not end: there is no limit of time here, but for the test's own."""
    for before in ("", CHALLENGE.value() + ", ", "Payment "):
        read_all((before + piece * 16_000)[:16_384])


# ---- single rules ----


@pytest.mark.parametrize("text", ["\r", "\n", "a\r\nb", "\0", "\x7f", "é", "☕"])
def test_challenge_value__what_is_no_line_of_ascii__is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="one line of ASCII"):
        replace(CHALLENGE, description=text).value()


@pytest.mark.parametrize(
    "expires", ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-W01-1T00:00:00Z", "soon"]
)
def test_expires_ms__what_is_no_instant__is_not_readable(expires: str) -> None:
    with pytest.raises(NotReadable, match="RFC 3339"):
        replace(CHALLENGE, expires=expires).expires_ms()


@pytest.mark.parametrize("expires", ["1970-01-01T00:00:01Z", "1970-01-01T02:00:01+02:00", "1970-01-01T00:00:01.000Z"])
def test_expires_ms__any_form_of_an_instant__is_the_same(expires: str) -> None:
    assert replace(CHALLENGE, expires=expires).expires_ms() == 1000


@pytest.mark.parametrize(
    "payload",
    [
        {"action": "voucher"},
        {"action": "refund"},
        {"action": ["voucher"]},
        {"cumulativeAmount": 1000},
        {"cumulativeAmount": "01"},
        {"cumulativeAmount": str(2**128)},
        {"salt": "0x" + 64 * "A"},
        {"signature": "0x" + 128 * "1"},
        {"signature": None},
        {"channelId": CHANNEL.id[2:]},
        {"action": "open", "type": "authorization"},
        {"action": "topUp", "type": "permit2"},
    ],
)
def test_session_payload__one_member_wrong__is_refused(payload: dict[str, Any]) -> None:
    given = payload if payload == {"action": "voucher"} else {**CREDENTIAL.payload, **payload}
    with pytest.raises(NotReadable):
        session_payload(replace(CREDENTIAL, payload=given), CHAIN_ID)


@pytest.mark.parametrize("action", ["open", "topUp"])
def test_session_payload__opened_or_topped_up_without_a_voucher__has_none(action: str) -> None:
    payload = {"action": action, "channelId": CHANNEL.id, "type": "hash", "hash": "0x" + 64 * "9"}
    assert session_payload(replace(CREDENTIAL, payload=payload), CHAIN_ID).voucher is None


@pytest.mark.parametrize(
    "source",
    ["", CHANNEL.payer, f"did:pkh:eip155:1:{CHANNEL.payer}", f"did:pkh:eip155:061999:{CHANNEL.payer}", "did:web:a"],
)
def test_session_payload__source_that_names_no_payer_on_the_chain__is_refused(source: str) -> None:
    with pytest.raises(NotReadable, match="source"):
        session_payload(replace(CREDENTIAL, source=source), CHAIN_ID)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "PaymentX", ""])
def test_read_credential__of_another_scheme__is_none(scheme: str) -> None:
    assert read_credential(f"{scheme} e30") is None


@pytest.mark.parametrize("scheme", ["Payment", "payment", "PAYMENT", " Payment "])
def test_read_credential__scheme_in_any_case__is_read(scheme: str) -> None:
    assert read_credential(CREDENTIAL.value().replace("Payment", scheme, 1)) == CREDENTIAL


def test_read_credential__longer_than_its_bound__is_refused_unread() -> None:
    with pytest.raises(NotReadable, match="too long"):
        read_credential("Payment " + "A" * 8_192)


@pytest.mark.parametrize(
    "identifier", ["short", "a" * 129, "a" * 15 + "!", 1, None, True], ids=lambda found: str(found)[:20]
)
def test_read_payment__identifier_that_is_none__is_refused(identifier: Any) -> None:
    message = PAID | {"extensions": {"payment-identifier": {"info": {"id": identifier}}}}
    with pytest.raises(NotReadable, match="identifier"):
        read_payment(to_base64(compact(message)), CHAIN_ID)


@pytest.mark.parametrize("extensions", [{}, None, {"other": 1}, {"payment-identifier": {"info": {"required": False}}}])
def test_read_payment__without_identifier__has_none(extensions: Any) -> None:
    assert read_payment(to_base64(compact(PAID | {"extensions": extensions})), CHAIN_ID).payment_id == ""


def test_payment__of_the_longest_numbers__is_far_within_its_bound() -> None:
    channel = Channel(*5 * ["0x" + 40 * "f"], 2**48, "0x" + 64 * "f")
    voucher = Voucher(channel.salt, MAX_CUMULATIVE_WEI, "0x" + 130 * "f")
    offer = Offer("a" * 64, MAX_CUMULATIVE_WEI, channel.receiver, channel.contract, channel.asset, channel.chain_id)
    resource = {"url": "https://" + "a" * 1_000}
    assert (
        len(payment_value(channel, voucher, requirements(offer), resource=resource, payment_id="i" * 128)) < MAX_PAYMENT
    )
    challenge = session_challenge(offer, expires_ms=4_070_908_800_000, secret=SECRET, header=OWN_FIELD)
    assert len(challenge.value()) < 1_500
    assert len(replace(CREDENTIAL, challenge=challenge).value()) < 4_096


@pytest.mark.parametrize(
    ("other", "is_taken"),
    [
        ({}, True),
        ({"extra": requirements(OFFER)["extra"] | {"channelState": {}, "minDeposit": "1"}}, True),
        ({"asset": OFFER.asset.upper().replace("0X", "0x")}, True),
        ({"resource": "http://a"}, True),
        ({"amount": "1001"}, False),
        ({"amount": "01000"}, False),
        ({"scheme": "exact"}, False),
        ({"network": "eip155:1"}, False),
        ({"payTo": OFFER.contract}, False),
        ({"asset": OFFER.contract}, False),
        ({"maxTimeoutSeconds": 300.0}, False),
        ({"maxTimeoutSeconds": "300"}, False),
        ({"extra": None}, False),
        ({"extra": {"receiverAuthorizer": OFFER.contract}}, False),
        ({"extra": requirements(OFFER)["extra"] | {"withdrawDelay": True}}, False),
    ],
    ids=str,
)
def test_accepts__offer_with_other_members__only_where_it_is_the_same(other: dict[str, Any], is_taken: bool) -> None:
    assert accepts(requirements(OFFER) | other, requirements(OFFER)) is is_taken


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        ("", True),
        ("what is this", True),
        ("genlayer/session", True),
        ("tempo/session, genlayer/*;q=0.5, */charge;q=0", True),
        ("*/session", True),
        ("*/*;q=0.001", True),
        ("GENLAYER/session, */*", True),
        ("tempo/session", False),
        ("genlayer/charge", False),
        ("genlayer/session;q=0, */*", False),
        ("genlayer/*; q=0.000, */session", False),
        ("*/*;q=0", False),
        ("genlayer/session;q=2, tempo/charge", False),
    ],
)
def test_takes_sessions__field_accept_payment__the_most_special_range_counts(value: str, is_taken: bool) -> None:
    assert takes_sessions(value) is is_taken
    assert (METHOD, INTENT) == ("genlayer", "session")
