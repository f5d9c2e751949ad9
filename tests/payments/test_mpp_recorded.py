"""The public test vectors of MPP and ours, each file whole."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from api_billing.errors import InvalidInput
from api_billing.payments.encoding import NotReadable, canonical, from_base64url, json_object, to_base64url
from api_billing.payments.mpp import (
    Challenge,
    Credential,
    challenges_in,
    read_credential,
    read_receipt,
    receipt_value,
    session_payload,
    source_of,
)

from .recorded import FOLDER, each, recorded

CHALLENGES = recorded("mpp-www-authenticate.json")
CREDENTIALS = recorded("mpp-authorization.json")
ENCODINGS = recorded("mpp-base64url.json")
IDS = recorded("mpp-challenge-id.json")
VERIFICATIONS = recorded("mpp-server-verification.json", "cases")
OUR_CHALLENGES, OUR_CREDENTIALS, OUR_RECEIPTS, BAD_RECEIPTS = (
    recorded("mpp-session-genlayer.json", part) for part in ("challenges", "credentials", "receipts", "bad_receipts")
)
CHAIN_ID = 61_999
PAYER = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1"
# What is placeholder in our file, and another way in docs/mpp-genlayer-session.md: a credential there need not have a
# source, unitType is "request", and methodDetails have neither api nor asset.
WITHOUT_SOURCE = ("voucher", "voucher_stale", "voucher_forged_stale", "close", "unknown_action")


def wire_of(case: dict[str, Any]) -> str:
    wire = case["wire"]
    return wire if isinstance(wire, str) else wire["prefix"] + wire["repeat"] * wire["count"]


def encoded(terms: dict[str, Any]) -> str:
    return to_base64url(canonical(terms))


def challenge_of(members: dict[str, Any], **other: Any) -> Challenge:
    """Of an object as the vectors have it: with its request, and its opaque, as JSON."""
    texts = {name: value for name, value in (members | other).items() if value is not None}
    return Challenge(
        **{name: encoded(value) if isinstance(value, dict) else value for name, value in texts.items()}  # type: ignore[arg-type]
    )


def object_of(challenge: Challenge) -> dict[str, Any]:
    return challenge.members() | {"request": challenge.terms}


def is_of(case: dict[str, Any], test: str, wanted: Any = True) -> bool:
    found = case["tests"].get(test, False)
    return bool(found is True if wanted is True else isinstance(found, dict))


@pytest.mark.skipif(not CHALLENGES, reason=f"no recorded cases in {FOLDER}")
def test_vectors__of_mpp__are_all_there() -> None:
    assert [len(part) for part in (CHALLENGES, CREDENTIALS, ENCODINGS, IDS, VERIFICATIONS)] == [27, 9, 12, 29, 7]
    assert [len(part) for part in (OUR_CHALLENGES, OUR_CREDENTIALS, OUR_RECEIPTS, BAD_RECEIPTS)] == [7, 7, 2, 9]


# ---- challenges ----


@each([case for case in CHALLENGES if is_of(case, "parse")])
def test_challenges_in__recorded_field__is_the_recorded_challenge(case: dict[str, Any]) -> None:
    assert [object_of(found) for found in challenges_in([wire_of(case)])] == [case["object"]]


@each([case for case in CHALLENGES if is_of(case, "format")])
def test_challenge_value__recorded_object__reads_back_as_it(case: dict[str, Any]) -> None:
    written = challenge_of(case["object"]).value()
    assert [object_of(found) for found in challenges_in([written])] == [case["object"]]
    if case["name"] != "full_challenge":  # there the optional ones stand in another order
        assert written == case["wire"]


@each([case for case in CHALLENGES if is_of(case, "parse", "error")])
def test_challenges_in__recorded_error__is_no_challenge(case: dict[str, Any]) -> None:
    if "Payment" in case["wire"]:
        with pytest.raises(NotReadable):
            challenges_in([case["wire"]])
    else:  # there is none, or it is another scheme's
        assert challenges_in([case["wire"]]) == []


@each([case for case in CHALLENGES if is_of(case, "format", "error")])
def test_challenge_value__recorded_error__is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="one line"):
        challenge_of(case["object"]).value()


@each([case for case in IDS if "expected" in case])
def test_challenge_id__recorded_terms__is_the_recorded_id(case: dict[str, Any]) -> None:
    terms = dict(case["input"])
    secret = terms.pop("secretKey").encode()
    if terms.get("header") == "Authorization":  # which is where a credential stands anyhow: it is not said
        del terms["header"]
    challenge = challenge_of(terms, id="").with_id(secret)
    assert challenge.id == case["expected"]
    assert challenge.is_by(secret)
    assert not challenge.is_by(secret + b"!")


@each([case for case in IDS if "expected" not in case])
def test_challenge_id__recorded_weak_secret__is_refused(case: dict[str, Any]) -> None:
    terms = dict(case["input"])
    secret = terms.pop("secretKey").encode()
    with pytest.raises(InvalidInput, match="32 bytes"):
        challenge_of(terms, id="").with_id(secret)


@each(OUR_CHALLENGES)
def test_session_challenge__recorded__is_read_and_written_and_has_its_id(case: dict[str, Any]) -> None:
    members = {name: case[name] for name in case if name not in ("name", "secretKey", "wire")}
    (found,) = challenges_in([case["wire"]])
    assert found == challenge_of(members)
    assert found.is_by(case["secretKey"].encode())
    assert challenges_in([found.value()]) == [found]
    assert found.expires_ms() == int(datetime.fromisoformat(case["expires"]).timestamp()) * 1000


# ---- credentials ----


@each([case for case in CREDENTIALS if is_of(case, "parse")])
def test_read_credential__recorded_field__is_the_recorded_object(case: dict[str, Any]) -> None:
    found = read_credential(case["wire"])
    assert found is not None
    wanted = case["object"]
    assert object_of(found.challenge) == wanted["challenge"]
    assert (found.payload, found.source) == (wanted["payload"], wanted.get("source", ""))


@each([case for case in CREDENTIALS if is_of(case, "format")])
def test_credential_value__recorded_object__is_the_recorded_field(case: dict[str, Any]) -> None:
    wanted = case["object"]
    credential = Credential(challenge_of(wanted["challenge"]), wanted["payload"], wanted.get("source", ""))
    assert credential.value() == case["wire"]


@each([case for case in CREDENTIALS if is_of(case, "parse", "error")])
def test_read_credential__recorded_error__is_no_credential(case: dict[str, Any]) -> None:
    if case["wire"].startswith("Payment"):
        with pytest.raises(NotReadable):
            read_credential(case["wire"])
    else:
        assert read_credential(case["wire"]) is None


@each(OUR_CREDENTIALS)
def test_session_credential__recorded__is_read_whole(case: dict[str, Any]) -> None:
    found = read_credential(case["wire"])
    assert found is not None
    assert found.challenge.id == case["challengeId"]
    assert (found.payload, found.source) == (case["payload"], case["source"] or "")
    assert read_credential(found.value()) == found


@each(OUR_CREDENTIALS)
def test_session_payload__recorded__needs_a_source_and_an_action_that_is_one(case: dict[str, Any]) -> None:
    found = read_credential(case["wire"])
    assert found is not None
    if case["name"] in WITHOUT_SOURCE:
        with pytest.raises(NotReadable, match="source"):
            session_payload(found, CHAIN_ID)
        found = replace(found, source=source_of(CHAIN_ID, PAYER))
    if case["name"] == "unknown_action":
        with pytest.raises(NotReadable, match="action"):
            session_payload(found, CHAIN_ID)
        return
    payload, wanted = session_payload(found, CHAIN_ID), case["payload"]
    assert (payload.action, payload.payer, payload.channel_id) == (wanted["action"], PAYER, wanted["channelId"])
    said = payload.voucher and (str(payload.voucher.cumulative_wei), payload.voucher.signature)
    assert said == ((wanted["cumulativeAmount"], wanted["signature"]) if "signature" in wanted else None)


def verified(given: dict[str, Any], at_ms: int) -> str:
    """What a server says that verifies as the specification orders it, with the parts that are there for it."""
    theirs = challenge_of(given["credential"]["challenge"])
    credential = read_credential(Credential(theirs, given["credential"]["payload"]).value())
    assert credential is not None
    echoed = credential.challenge
    own = challenge_of({name: given[name] for name in ("realm", "method", "intent", "request", "expires")}, id="")
    if not echoed.is_by(given["secretKey"].encode()) or replace(echoed, id="") != own:
        return "invalid_challenge"
    if echoed.expires_ms() <= at_ms:
        return "payment_expired"
    return "verification_failed" if "verificationError" in given else "ok"


@each(VERIFICATIONS)
def test_verification__recorded_credential__ends_as_recorded(case: dict[str, Any]) -> None:
    now_ms = int(datetime(2026, 1, 29, 12, tzinfo=UTC).timestamp()) * 1000
    assert verified(case["input"], now_ms) == case["expected"].get("errorType", "ok")


# ---- receipts and encodings ----


@each(OUR_RECEIPTS)
def test_receipt__recorded__is_read_and_written(case: dict[str, Any]) -> None:
    assert read_receipt(case["wire"]) == case["decoded"]
    assert receipt_value(case["decoded"]) == case["wire"]


@each(BAD_RECEIPTS)
def test_read_receipt__recorded_bad_one__is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(NotReadable):
        read_receipt(case["wire"])


@each([case for case in ENCODINGS if "decoded" in case])
def test_base64url__recorded_text__is_read_and_written(case: dict[str, Any]) -> None:
    assert to_base64url(case["decoded"].encode()) == case["encoded"]
    assert from_base64url(case["encoded"]).decode() == case["decoded"]


@each([case for case in ENCODINGS if "decoded" not in case])
def test_base64url__recorded_error__is_refused_at_the_latest_as_json(case: dict[str, Any]) -> None:
    """What is no UTF-8 is base64url all the same: where text is wanted, it is refused as such."""
    with pytest.raises(NotReadable):
        json_object(from_base64url(case["encoded"]))
