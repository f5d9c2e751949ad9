"""The contract's own secp256k1 and EIP-712, against eth_keys, eth_account, libsecp256k1 and recorded cases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from coincurve import PrivateKey
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys import KeyAPI
from eth_keys.backends import NativeECCBackend
from eth_keys.exceptions import BadSignature
from hypothesis import assume, example, given
from hypothesis import strategies as st

from api_billing.vouchers import Channel, recover_signer
from genlayer_localnet import Address

from ..invariant.profiles import property_settings
from .pure_functions import UserError, contract, methods

FOLDER = Path(os.environ.get("CONFORMANCE_PAYMENTS_DIR") or Path(__file__).parents[4] / "shared/conformance-payments")
P, N, G = contract.P, contract.N, contract.G
ETH_KEYS = KeyAPI(NativeECCBackend())
FEW = property_settings(30)

KEYS = st.integers(1, N - 1)
DIGESTS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.sampled_from([bytes(32), b"\xff" * 32, N.to_bytes(32), (N - 1).to_bytes(32), (N + 1).to_bytes(32)]),
)
LOW_S = st.one_of(st.integers(1, N // 2), st.sampled_from([1, 2, N // 2]))


def recorded(name: str, part: str, wanted: Callable[[dict[str, Any]], bool] = lambda case: True) -> Any:
    """Cases of a file; none where the files are not at hand, for which the tests are skipped."""
    path = FOLDER / name
    cases = json.loads(path.read_text(encoding="utf-8"))[part] if path.is_file() else []
    return pytest.mark.parametrize("case", [*filter(wanted, cases)], ids=lambda case: case["name"])


def signature(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32) + bytes([v])


def recovered(digest: bytes, signed: bytes) -> str | None:
    found = contract._recover(digest, signed)
    return None if found is None else contract._hex(found)


def by_eth_keys(digest: bytes, r: int, s: int, v: int) -> str | None:
    try:
        key = ETH_KEYS.Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except BadSignature:
        return None
    return str(key.to_address())


# ---- points ----


def point(factor: int, z: int = 1) -> tuple[int, int, int] | None:
    """factor times G, in the Jacobian coordinates with that z; None is infinity."""
    if factor % N == 0:
        return None
    raw = PrivateKey((factor % N).to_bytes(32)).public_key.format(compressed=False)
    x, y = int.from_bytes(raw[1:33]), int.from_bytes(raw[33:])
    return x * z * z % P, y * z**3 % P, z


def flat(each: tuple[int, int, int] | None) -> tuple[int, int] | None:
    if each is None:
        return None
    x, y, z = each
    inverse = pow(z, -1, P)
    return x * inverse**2 % P, y * inverse**3 % P


FACTORS = st.one_of(st.integers(0, N - 1), st.sampled_from([0, 1, 2, N - 1, N - 2, N // 2, N // 2 + 1]))
SCALES = st.integers(1, P - 1)


@property_settings()
@given(a=FACTORS, b=FACTORS, relation=st.sampled_from(["any", "equal", "opposite"]), z1=SCALES, z2=SCALES)
@example(a=1, b=1, relation="equal", z1=1, z2=1)
@example(a=1, b=1, relation="opposite", z1=1, z2=1)
@example(a=0, b=0, relation="any", z1=1, z2=1)
def test_add__any_points_in_any_coordinates__is_their_sum(a: int, b: int, relation: str, z1: int, z2: int) -> None:
    b = {"any": b, "equal": a, "opposite": -a % N}[relation]
    assert flat(contract._add(point(a, z1), point(b, z2))) == flat(point(a + b))


@property_settings()
@given(a=FACTORS, z=SCALES)
def test_double__any_point_in_any_coordinates__is_twice_it(a: int, z: int) -> None:
    assert flat(contract._double(point(a, z))) == flat(point(2 * a))


def test_constants__are_those_of_secp256k1() -> None:
    assert flat(G) == flat(point(1))
    assert flat(point(N - 1)) == (G[0], P - G[1])


# ---- recovery ----


@FEW
@given(key=KEYS, digest=DIGESTS)
def test_recover__what_eth_keys_signed__is_its_address(key: int, digest: bytes) -> None:
    private = ETH_KEYS.PrivateKey(key.to_bytes(32))
    signed = private.sign_msg_hash(digest)
    assume(signed.s <= N // 2)
    assert recovered(digest, signature(signed.r, signed.s, 27 + signed.v)) == private.public_key.to_address()


@FEW
@given(r=st.integers(1, N - 1), s=LOW_S, v=st.sampled_from([27, 28]), digest=DIGESTS)
def test_recover__any_numbers_in_range__is_what_eth_keys_and_libsecp256k1_say(
    r: int, s: int, v: int, digest: bytes
) -> None:
    """For half of all r there is no such point."""
    found = recovered(digest, signature(r, s, v))
    assert found == by_eth_keys(digest, r, s, v) == recover_signer(digest, signature(r, s, v))


@FEW
@given(
    factor=st.sampled_from([1, 2, 3, N - 1, N - 2, N // 2, N // 2 + 1]),
    s=LOW_S,
    v=st.sampled_from([27, 28]),
    digest=DIGESTS,
)
@example(factor=1, s=1, v=27, digest=bytes(32))
@example(factor=1, s=1, v=28, digest=b"\0" * 31 + b"\1")
def test_recover__r_of_a_point_near_the_generator__is_what_libsecp256k1_says(
    factor: int, s: int, v: int, digest: bytes
) -> None:
    """R = G and R = -G need doubling and infinity in the joint sum."""
    near = flat(point(factor))
    assert near is not None
    r = near[0] % N
    assert recovered(digest, signature(r, s, v)) == recover_signer(digest, signature(r, s, v))


@FEW
@given(factor=KEYS, s=LOW_S)
@example(factor=1, s=1)
@example(factor=N - 1, s=1)
def test_recover__of_the_point_at_infinity__is_nobody(factor: int, s: int) -> None:
    """s R = z G, so that z G - s R has no address; (0, 0) would have one."""
    of_r = flat(point(factor))
    assert of_r is not None
    assume(of_r[0] < N)
    digest = (s * factor % N).to_bytes(32)
    v = 27 + of_r[1] % 2
    assert recovered(digest, signature(of_r[0], s, v)) is None is recover_signer(digest, signature(of_r[0], s, v))
    assert recovered(digest, signature(of_r[0], s, 55 - v)) is not None


@FEW
@given(key=KEYS, digest=DIGESTS)
def test_recover__mirrored_signature__is_nobody(key: int, digest: bytes) -> None:
    raw = PrivateKey(key.to_bytes(32)).sign_recoverable(digest, hasher=None)
    r, s, v = int.from_bytes(raw[:32]), int.from_bytes(raw[32:64]), 27 + raw[64]
    assert recovered(digest, signature(r, s, v)) is not None
    assert recovered(digest, signature(r, N - s, v)) is None
    assert recovered(digest, signature(r, N - s, 55 - v)) is None


@pytest.mark.parametrize("v", [v for v in range(256) if v not in (27, 28)])
def test_recover__v_other_than_27_and_28__is_nobody(v: int) -> None:
    digest = b"\7" * 32
    raw = PrivateKey(b"\1" * 32).sign_recoverable(digest, hasher=None)
    assert recovered(digest, raw[:64] + bytes([27 + raw[64]])) is not None
    assert recovered(digest, raw[:64] + bytes([v])) is None


@pytest.mark.parametrize("bad", [0, N, N + 1, P, 2**256 - 1])
def test_recover__r_or_s_out_of_range__is_nobody(bad: int) -> None:
    for v in (27, 28):
        assert recovered(b"\7" * 32, signature(bad, 1, v)) is None
        assert recovered(b"\7" * 32, signature(G[0], bad, v)) is None


@pytest.mark.parametrize(("s", "is_somebody"), [(1, True), (N // 2, True), (N // 2 + 1, False), (N - 1, False)])
def test_recover__s_around_its_limit__only_the_lower_half(s: int, is_somebody: bool) -> None:
    assert (recovered(b"\7" * 32, signature(G[0], s, 27)) is not None) is is_somebody


@recorded("signature-cases.json", "cases")
def test_recover__recorded_case__is_accepted_or_refused_as_the_strict_rule_says(case: dict[str, Any]) -> None:
    try:
        signed = contract._bytes(case["signature"], 65)
    except UserError:
        found = None
    else:
        found = recovered(bytes.fromhex(case["digest"][2:]), signed)
    accepted = found is not None and found == case["signer"]
    assert accepted is (case["expect"] == "accept")


# ---- channels and digests ----


MESSAGE = SimpleNamespace()
SEAL = methods("_seal", message=MESSAGE)._seal


def seal(chain_id: int, config: dict[str, Any]) -> Any:
    """The contract's functions of channel ids and of digests, for the receiverAuthorizer as contract."""
    MESSAGE.chain_id, MESSAGE.contract_address = chain_id, Address(config["receiverAuthorizer"])
    itself = SimpleNamespace(
        _operator=lambda api: SimpleNamespace(address=Address(config["receiver"])),
        _asset=lambda name: bytes.fromhex(config["token"][2:]),
    )
    return SEAL(itself, "weather", None)


def channel_id(chain_id: int, config: dict[str, Any]) -> bytes:
    channel_of, _ = seal(chain_id, config)
    addresses = (Address(config[name]) for name in ("payer", "payerAuthorizer"))
    found: bytes = channel_of(*addresses, bytes.fromhex(config["salt"][2:]))
    return found


@recorded("eip712-vouchers.json", "channelConfigs", lambda case: case["channelConfig"]["withdrawDelay"] == 900)
def test_channel__recorded_config__has_its_id(case: dict[str, Any]) -> None:
    chain_id = int(case["network"].split(":")[1])
    assert "0x" + channel_id(chain_id, case["channelConfig"]).hex() == case["channelId"]


@recorded("eip712-vouchers.json", "vouchers", lambda case: case["name"].startswith("x402_"))
def test_voucher__recorded__has_its_digest_and_signer(case: dict[str, Any]) -> None:
    message = case["message"]
    config = dict.fromkeys(("receiver", "receiverAuthorizer", "token"), "0x" + "11" * 20)
    _, digest_of = seal(case["domain"]["chainId"], config)
    digest = digest_of(bytes.fromhex(message["channelId"][2:]), int(message["maxClaimableAmount"]))
    assert "0x" + digest.hex() == case["digest"]
    assert recovered(digest, contract._bytes(case["signature"], 65)) == case["signer"]


ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
CONFIGS = st.fixed_dictionaries(
    dict.fromkeys(("payer", "payerAuthorizer", "receiver", "receiverAuthorizer", "token"), ADDRESSES)
    | {"salt": st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())}
)
DOMAIN = {
    "name": "x402 Batch Settlement",
    "version": "1",
    "verifyingContract": "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003",
}
TYPES = {
    "ChannelConfig": [
        *[{"name": name, "type": "address"} for name in ("payer", "payerAuthorizer", "receiver")],
        *[{"name": name, "type": "address"} for name in ("receiverAuthorizer", "token")],
        {"name": "withdrawDelay", "type": "uint40"},
        {"name": "salt", "type": "bytes32"},
    ],
    "Voucher": [{"name": "channelId", "type": "bytes32"}, {"name": "maxClaimableAmount", "type": "uint128"}],
}


def typed(chain_id: int, name: str, message: dict[str, Any]) -> Any:
    return encode_typed_data(DOMAIN | {"chainId": chain_id}, {name: TYPES[name]}, message)


@FEW
@given(config=CONFIGS, chain_id=st.integers(1, 2**64), cumulative=st.integers(0, 2**128 - 1), key=KEYS)
def test_voucher__of_any_channel__is_what_eth_account_signs_and_the_library_computes(
    config: dict[str, str], chain_id: int, cumulative: int, key: int
) -> None:
    parties = {name: config[name] for name in ("payer", "receiver", "salt")}
    parties |= {"signer": config["payerAuthorizer"], "contract": config["receiverAuthorizer"], "asset": config["token"]}
    channel = Channel(**parties, chain_id=chain_id)
    channel_of, digest_of = seal(chain_id, config)
    found = channel_of(Address(config["payer"]), Address(config["payerAuthorizer"]), bytes.fromhex(config["salt"][2:]))
    message = {"channelId": found, "maxClaimableAmount": cumulative}
    signed = Account.from_key(key.to_bytes(32)).sign_message(typed(chain_id, "Voucher", message))
    id_of_eth_account = signed_digest(typed(chain_id, "ChannelConfig", config | {"withdrawDelay": 900}))
    assert "0x" + found.hex() == channel.id == "0x" + id_of_eth_account.hex()
    digest = digest_of(found, cumulative)
    assert digest == channel.digest(cumulative) == bytes(signed.message_hash)
    assert recovered(digest, bytes(signed.signature)) == Account.from_key(key.to_bytes(32)).address.lower()


def signed_digest(message: Any) -> bytes:
    return bytes(Account.from_key(b"\1" * 32).sign_message(message).message_hash)


# ---- reading a voucher ----

ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.binary(max_size=70))
BYTE_TEXTS = st.from_regex(r"(0x|0X)?[0-9a-fA-F]{62,66}\n?", fullmatch=True)


def read(value: Any) -> bytes | str:
    """The 32 bytes, or the code of the refusal."""
    try:
        found: bytes = contract._bytes(value, 32)
    except UserError as refusal:
        return refusal.code
    return found


@property_settings()
@given(value=st.one_of(ANYTHING, BYTE_TEXTS, st.binary(min_size=31, max_size=33)))
@example("0x" + "\u0661" * 64)
@example("0x" + "ab" * 32 + "\n")
def test_bytes__anything__is_32_bytes_or_0x_and_lower_case_hex_or_refused(value: Any) -> None:
    found = read(value)
    digits = value[2:] if isinstance(value, str) and value[:2] == "0x" else ""
    if isinstance(value, bytes) and len(value) == 32:
        assert found == value
    elif len(digits) == 64 and set(digits) <= set("0123456789abcdef"):
        assert found == bytes.fromhex(digits)
    else:
        assert found == "bad_voucher"
