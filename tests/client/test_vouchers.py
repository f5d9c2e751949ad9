"""Vouchers: the form that x402 clients sign, and the strict rule of what a signature is."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from api_billing.errors import InvalidInput
from api_billing.vouchers import (
    MAX_CUMULATIVE_WEI,
    NO_SALT,
    WITHDRAW_DELAY_SECONDS,
    Channel,
    Voucher,
    domain_of,
    is_signed_by,
    recover_signer,
    sign_voucher,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
FOLDER = Path(os.environ.get("CONFORMANCE_PAYMENTS_DIR") or Path(__file__).parents[3] / "shared/conformance-payments")
KEY = b"\x01" * 32
SIGNER = Account.from_key(KEY).address
CHANNEL = Channel("0x" + 40 * "a", SIGNER, "0x" + 40 * "b", "0x" + 40 * "c", "0x" + 40 * "d", 61_999)

TYPES = {
    "ChannelConfig": [
        {"name": name, "type": kind}
        for name, kind in (
            ("payer", "address"),
            ("payerAuthorizer", "address"),
            ("receiver", "address"),
            ("receiverAuthorizer", "address"),
            ("token", "address"),
            ("withdrawDelay", "uint40"),
            ("salt", "bytes32"),
        )
    ],
    "Voucher": [{"name": "channelId", "type": "bytes32"}, {"name": "maxClaimableAmount", "type": "uint128"}],
}


def recorded(name: str, part: str) -> list[dict[str, Any]]:
    """Cases of a file; none where the files are not at hand, for which the tests are skipped."""
    path = FOLDER / name
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[part] if path.is_file() else []
    return cases


def named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


CONFIGS = recorded("eip712-vouchers.json", "channelConfigs")
VOUCHERS = [each for each in recorded("eip712-vouchers.json", "vouchers") if each["name"].startswith("x402_")]
SIGNATURES = recorded("signature-cases.json", "cases")


def channel_of(config: dict[str, Any]) -> Channel:
    fields = config["channelConfig"]
    return Channel(
        fields["payer"],
        fields["payerAuthorizer"],
        fields["receiver"],
        fields["receiverAuthorizer"],
        fields["token"],
        int(config["network"].removeprefix("eip155:")),
        fields["salt"],
    )


def typed(kind: str, message: dict[str, Any], chain_id: int) -> Any:
    return encode_typed_data(domain_of(chain_id), {kind: TYPES[kind]}, message)


def digest_of(signable: Any) -> bytes:
    return bytes(Account.from_key(KEY).sign_message(signable).message_hash)


# ---- recorded cases ----


@named([each for each in CONFIGS if each["channelConfig"]["withdrawDelay"] == WITHDRAW_DELAY_SECONDS])
def test_channel_id__recorded_config__is_the_recorded_one(case: dict[str, Any]) -> None:
    assert channel_of(case).id == case["channelId"]


@named(VOUCHERS)
def test_voucher__recorded_of_x402__has_digest_and_signature(case: dict[str, Any]) -> None:
    (config,) = (each for each in CONFIGS if each["name"] == case["channelConfig"])
    channel, cumulative_wei = channel_of(config), int(case["message"]["maxClaimableAmount"])
    assert channel.digest(cumulative_wei).hex() == case["digest"][2:]
    assert sign_voucher(bytes.fromhex(case["key"][2:]), channel, cumulative_wei).signature == case["signature"]


@named(SIGNATURES)
def test_signature__recorded_case__is_taken_or_refused_as_recorded(case: dict[str, Any]) -> None:
    try:
        signature = bytes.fromhex(Voucher(NO_SALT, 0, case["signature"]).signature[2:])
    except InvalidInput:
        accepted = False
    else:
        accepted = recover_signer(bytes.fromhex(case["digest"][2:]), signature) == case["signer"]
    assert accepted == (case["expect"] == "accept")


@pytest.mark.skipif(not SIGNATURES, reason=f"no recorded signatures in {FOLDER}")
def test_signatures__recorded__are_all_there() -> None:
    assert (len(SIGNATURES), len(VOUCHERS), len(CONFIGS)) == (39, 5, 7)


# ---- against eth_account, which packs typed data by its types ----

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
KEYS = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32))
SALTS = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
SUMS = st.one_of(st.integers(0, MAX_CUMULATIVE_WEI), st.sampled_from([0, 1, MAX_CUMULATIVE_WEI]))


@st.composite
def signed_channels(draw: st.DrawFn) -> tuple[bytes, Channel]:
    key, addresses = draw(KEYS), [draw(ADDRESSES) for _ in range(4)]
    payer, receiver, contract, asset = addresses
    signer = Account.from_key(key).address
    return key, Channel(payer, signer, receiver, contract, asset, draw(st.integers(1, 2**64)), draw(SALTS))


@given(signed_channels(), SUMS)
@settings(max_examples=50)
def test_sign_voucher__any_channel_and_sum__is_what_eth_account_signs(
    signed: tuple[bytes, Channel], cumulative_wei: int
) -> None:
    key, channel = signed
    config = {
        "payer": channel.payer,
        "payerAuthorizer": channel.signer,
        "receiver": channel.receiver,
        "receiverAuthorizer": channel.contract,
        "token": channel.asset,
        "withdrawDelay": WITHDRAW_DELAY_SECONDS,
        "salt": channel.salt,
    }
    channel_id = digest_of(typed("ChannelConfig", config, channel.chain_id))
    message = {"channelId": channel_id, "maxClaimableAmount": cumulative_wei}
    signed_by_it = Account.from_key(key).sign_message(typed("Voucher", message, channel.chain_id))
    voucher = sign_voucher(key, channel, cumulative_wei)
    assert channel.id == "0x" + channel_id.hex()
    assert voucher.signature == "0x" + signed_by_it.signature.hex()
    assert is_signed_by(channel, voucher)


@given(st.binary(min_size=32, max_size=32), KEYS)
@settings(max_examples=50)
def test_recover_signer__mirrored_signature__is_refused_beside_the_one_taken(digest: bytes, key: bytes) -> None:
    account = Account.from_key(key)
    signed = account.unsafe_sign_hash(digest)
    mirrored = signed.r.to_bytes(32) + (ORDER - signed.s).to_bytes(32) + bytes([27 + 28 - signed.v])
    assert recover_signer(digest, bytes(signed.signature)) == account.address.lower()
    assert recover_signer(digest, mirrored) is None


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 30, 35, 36, 255])
def test_recover_signer__another_v__is_refused(v: int) -> None:
    signature = bytes(Account.from_key(KEY).unsafe_sign_hash(b"\7" * 32).signature)
    assert recover_signer(b"\7" * 32, signature[:64] + bytes([v])) is None


@given(st.binary(max_size=140), st.binary(min_size=32, max_size=32))
def test_recover_signer__any_bytes__never_raises(signature: bytes, digest: bytes) -> None:
    assert recover_signer(digest, signature) is None or len(signature) == 65


# ---- whose it is ----


def test_is_signed_by__other_spelling_of_the_addresses__is_the_same_channel() -> None:
    voucher = sign_voucher(KEY, CHANNEL, 5)
    assert is_signed_by(replace(CHANNEL, signer=SIGNER.lower(), payer=CHANNEL.payer.replace("a", "A")), voucher)


@pytest.mark.parametrize(
    "other",
    [
        {"payer": "0x" + 40 * "1"},
        {"receiver": "0x" + 40 * "1"},
        {"contract": "0x" + 40 * "1"},
        {"asset": "0x" + 40 * "1"},
        {"signer": "0x" + 40 * "1"},
        {"signer": "0x" + 40 * "0"},
        {"chain_id": 4_221},
        {"salt": "0x" + 64 * "1"},
    ],
    ids=str,
)
def test_is_signed_by__voucher_of_another_channel__is_not(other: dict[str, Any]) -> None:
    assert not is_signed_by(replace(CHANNEL, **other), sign_voucher(KEY, CHANNEL, 5))


def test_is_signed_by__other_sum__is_not() -> None:
    assert not is_signed_by(CHANNEL, replace(sign_voucher(KEY, CHANNEL, 5), cumulative_wei=6))


def test_sign_voucher__key_of_somebody_else__is_refused() -> None:
    with pytest.raises(InvalidInput, match=f"not the key of {SIGNER}"):
        sign_voucher(b"\2" * 32, CHANNEL, 5)


# ---- forms ----


@pytest.mark.parametrize("sum_wei", [-1, MAX_CUMULATIVE_WEI + 1, True, 1.0, "1"], ids=repr)
def test_voucher__sum_that_is_none__is_refused(sum_wei: Any) -> None:
    with pytest.raises(InvalidInput, match="sum of a voucher"):
        sign_voucher(KEY, CHANNEL, sum_wei)
    with pytest.raises(InvalidInput, match="sum of a voucher"):
        Voucher(NO_SALT, sum_wei, "0x" + 130 * "1")


@pytest.mark.parametrize("salt", ["", "0x", 64 * "1", "0x" + 63 * "1", "0x" + 64 * "A", "0x" + 64 * "1" + "\n", 1])
def test_voucher__salt_that_is_none__is_refused(salt: Any) -> None:
    with pytest.raises(InvalidInput, match="salt of a voucher"):
        Voucher(salt, 1, "0x" + 130 * "1")
    with pytest.raises(InvalidInput, match="salt of a voucher"):
        replace(CHANNEL, salt=salt)


def test_voucher__as_dict__makes_it_again() -> None:
    voucher = sign_voucher(KEY, CHANNEL, 5)
    assert Voucher(**voucher.as_dict()) == voucher


def test_channel__address_that_is_none__is_refused() -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        replace(CHANNEL, receiver="operator")
