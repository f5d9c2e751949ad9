"""Raw transactions, and the data in them. The vectors are of real clients."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.rpc import consensus_calls, envelopes
from genlayer_localnet.rpc import rlp as own_rlp
from genlayer_localnet.rpc.consensus_calls import AboutTransaction, AddTransaction
from genlayer_localnet.rpc.errors import INVALID_PARAMS, RpcError

from .wire import MAIN, V5, V6, ZERO, about, add_transaction, call_object, signed, tx_data

KEY = "0x" + "11" * 32
SIGNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
SOMEBODY = "0x" + "22" * 20
JS_CALL = bytes.fromhex(
    "f9014880808307a12094b7278a61aa25c888815afc32ad3cc52ff24fe57507b8e427241a99"
    "00000000000000000000000019e7e376e7c213b7e7e7e46cc70a5dd086daff2a"
    "0000000000000000000000002222222222222222222222222222222222222222"
    "0000000000000000000000000000000000000000000000000000000000000005"
    "0000000000000000000000000000000000000000000000000000000000000003"
    "00000000000000000000000000000000000000000000000000000000000000a0"
    "0000000000000000000000000000000000000000000000000000000000000016"
    "d5931604617267730d29066d6574686f641c736574000000000000000000000083"
    "01ddb2a0ec7d71e1f40ca41743513e607acb05396227fbda47ed738afd333399"
    "0f87360da00ff9b013bb0ede7e2ef07649c9c7eb8e3c38dcc600c29fb1990fea128ece8f15"
)
PY_HASH = "0xdbe9c37bfda7df5e3bc3882b826912a2706dbd30a16932ccda23f1d0c900f94e"
JS_HASH = "0x427fc4d4ec9420bfb66448fccc3c12e7d8936f9176c6fbe5fbf9cd542c501d3c"
account = Account.from_key(KEY)


def _asked(data: bytes, to: str = MAIN) -> Any:
    return consensus_calls.asked_of(bytes.fromhex(to[2:]), data)


def _decoded(data: str) -> AddTransaction:
    call = _asked(bytes.fromhex(data[2:]))
    assert isinstance(call, AddTransaction)
    return call


def _raw(**fields: Any) -> bytes:
    return bytes.fromhex(signed(account, **fields)[2:])


def test_decode__call_of_genlayer_js__gives_hash_signer_and_value() -> None:
    envelope = envelopes.decode(JS_CALL)
    assert (envelope.hash, Address(envelope.signer).as_hex, envelope.value) == (JS_HASH, SIGNER, 7)


def test_decode__call_of_genlayer_js__gives_the_call() -> None:
    call = _asked(envelopes.decode(JS_CALL).data)
    assert isinstance(call, AddTransaction)
    assert calldata.decode(call.calldata) == {"method": "set", "args": [5]}
    assert (Address(call.sender).as_hex, call.recipient.hex(), call.mode) == (SIGNER, "22" * 20, "NORMAL")


def test_decode__call_of_genlayer_py__has_the_hash_of_the_vector() -> None:
    data = add_transaction(SIGNER, SOMEBODY, bytes.fromhex("d5931604617267730d29066d6574686f641c73657480"), V6)
    envelope = envelopes.decode(_raw(data=data, value=7))
    assert (envelope.hash, envelope.signer.hex()) == (PY_HASH, SIGNER[2:].lower())


def test_sign__same_fields__gives_the_bytes_of_genlayer_js() -> None:
    envelope = envelopes.decode(JS_CALL)
    assert envelope.to is not None
    fields = (envelope.nonce, 0, 500_000, envelope.to, envelope.value, envelope.data)
    assert envelopes.sign(b"\x11" * 32, fields, 61127) == JS_CALL


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"chainId": 61127},
        {"chainId": None},
        {"type": 1, "accessList": [{"address": MAIN, "storageKeys": ["0x" + "01" * 32]}]},
        {"type": 2, "maxFeePerGas": 5, "maxPriorityFeePerGas": 2},
    ],
    ids=["EIP-155", "other chain", "without a chain", "type 1", "type 2"],
)
def test_decode__every_type__recovers_the_signer(fields: dict[str, Any]) -> None:
    fields = {name: value for name, value in {"chainId": 61999, **fields}.items() if value is not None}
    transaction = {"nonce": 3, "gas": 1, "to": MAIN, "value": 9, "data": "0x01", **fields}
    if fields.get("type") != 2:
        transaction["gasPrice"] = 0
    envelope = envelopes.decode(bytes(account.sign_transaction(transaction).raw_transaction))
    assert (Address(envelope.signer).as_hex, envelope.nonce, envelope.value) == (SIGNER, 3, 9)


def test_decode__nonce_as_a_zero_byte__recovers_the_signer() -> None:
    unsigned = [b"\x00", b"", b"\x01", bytes.fromhex(MAIN[2:]), b"", b"", b"\xf2\x2f", b"", b""]
    digest = envelopes.keccak256(rlp.encode(unsigned))
    signature = account.unsafe_sign_hash(digest)
    v = 0xF22F * 2 + 35 + signature.v - 27
    fields = [*unsigned[:6], *(number.to_bytes(32, "big").lstrip(b"\x00") for number in (v, signature.r, signature.s))]
    envelope = envelopes.decode(rlp.encode(fields))
    assert (Address(envelope.signer).as_hex, envelope.nonce) == (SIGNER, 0)


def _without(position: int, value: bytes) -> bytes:
    fields = list(rlp.decode(JS_CALL))
    fields[position] = value
    return bytes(rlp.encode(fields))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"\x03\xc0",
        b"\x7f",
        b"\xff" * 40,
        b"\x02",
        b"\xc0",
        JS_CALL[:-1],
        JS_CALL + b"\x00",
        _without(6, b"\x05"),
        _without(7, b""),
        _without(8, b"\xff" * 32),
        _without(8, b""),
        _without(3, b"\x01" * 19),
        _without(4, b"\x01" * 33),
    ],
    ids=[
        "empty", "zero", "type 3", "type 127", "cut list", "type alone", "no fields", "cut off", "longer",
        "v", "no r", "s too high", "no s", "short receiver", "value too large",
    ],
)  # fmt: skip
def test_decode__not_a_signed_transaction__is_refused(raw: bytes) -> None:
    with pytest.raises(RpcError) as refusal:
        envelopes.decode(raw)
    assert refusal.value.code == INVALID_PARAMS


@given(st.binary(max_size=200))
def test_decode__any_bytes__is_refused_or_understood(raw: bytes) -> None:
    with contextlib.suppress(RpcError):
        assert len(envelopes.decode(raw).signer) == 20


@given(st.integers(0, len(JS_CALL) - 1), st.integers(1, 255))
def test_decode__one_byte_changed__gives_another_hash_or_is_refused(position: int, change: int) -> None:
    raw = bytearray(JS_CALL)
    raw[position] ^= change
    try:
        envelope = envelopes.decode(bytes(raw))
    except RpcError:
        return
    assert envelope.hash != JS_HASH


@pytest.mark.parametrize("data", [b"\xc1" * 100_000 + b"\xc0", b"\x81\x00", b"\xc2\x81\x00", b"\xf8\x01\x00", b""])
def test_list__too_deep_or_not_in_the_shortest_form__is_none(data: bytes) -> None:
    assert envelopes.decoded_list(data) is None


@pytest.mark.parametrize("selector", [V5, V6])
@pytest.mark.parametrize(
    ("items", "mode"),
    [((), "NORMAL"), ((b"",), "NORMAL"), ((b"\x00",), "NORMAL"), ((b"\x01",), "LEADER_ONLY"),
     ((b"\x02",), "LEADER_SELF_VALIDATOR")],
)  # fmt: skip
def test_call__leader_flag__is_read_in_all_forms(selector: str, items: tuple[bytes, ...], mode: str) -> None:
    call = _decoded(add_transaction(SIGNER, SOMEBODY, tx_data(call_object("get"), *items), selector))
    assert (call.mode, call.code) == (mode, None)


def test_deploy__vector__has_code_and_calldata() -> None:
    call = _decoded(add_transaction(SIGNER, ZERO, bytes.fromhex("c7842320780a0680")))
    assert (call.code, call.calldata) == (b"# x\n", b"\x06")


def test_call__valid_until__is_read() -> None:
    call = _decoded(add_transaction(SIGNER, SOMEBODY, tx_data(call_object("get"), b""), V6, valid_until=77))
    assert call.valid_until == 77


@pytest.mark.parametrize(
    ("selector", "function"),
    [("8b5de1bc", "submitAppeal"), ("b2efda83", "finalizeTransaction"), ("70ba3339", "cancelTransaction")],
)
def test_call__about_another_transaction__is_read(selector: str, function: str) -> None:
    call = _asked(bytes.fromhex(about(selector, JS_HASH)[2:]))
    assert call == AboutTransaction(function, JS_HASH)


@pytest.mark.parametrize("data", ["", "0x", "0xa9059cbb" + "00" * 64, "0x01"])
def test_call__unknown_selector_to_somebody__is_a_transfer(data: str) -> None:
    assert _asked(bytes.fromhex(data.removeprefix("0x")), SOMEBODY) is None


@pytest.mark.parametrize(
    "data",
    ["0x" + V5, "0x" + V5 + "ff" * 160, add_transaction(SIGNER, SOMEBODY, b""), add_transaction(SIGNER, SOMEBODY, b"x"),
     add_transaction(SIGNER, ZERO, tx_data(b"only one")), add_transaction(SIGNER, SOMEBODY, tx_data(*[b"x"] * 3))],
)  # fmt: skip
def test_call__not_decodable__is_refused(data: str) -> None:
    with pytest.raises(RpcError) as refusal:
        _asked(bytes.fromhex(data[2:]))
    assert refusal.value.code == INVALID_PARAMS


def test_read__vector__gives_the_calldata() -> None:
    assert consensus_calls.call_of_read(bytes.fromhex("ce8c0e066d6574686f641c67657400")) == call_object("get")


def test_read__long_calldata__is_unpacked() -> None:
    call = call_object("echo", "x" * 5_000)
    assert consensus_calls.call_of_read(tx_data(call, b"\x00")) == call


def test_read__bare_calldata__is_taken_as_it_is() -> None:
    assert consensus_calls.call_of_read(call_object("get")) == call_object("get")


def _by_the_library(data: bytes) -> Any:
    try:
        return rlp.decode(data)
    except rlp.DecodingError:
        return None


ITEMS = st.recursive(st.binary(max_size=70), lambda items: st.lists(items, max_size=5), max_leaves=12)


@given(ITEMS)
def test_rlp__any_item__is_that_of_the_library(item: Any) -> None:
    data = own_rlp.encode(item)
    assert (data, own_rlp.decode(data)) == (rlp.encode(item), item)


@given(ITEMS, st.integers(0, 200), st.integers(0, 255), st.booleans())
def test_rlp__damaged__is_read_as_the_library_does(item: Any, position: int, byte: int, cut: bool) -> None:
    data = bytearray(rlp.encode(item))
    data[position % len(data)] = byte
    damaged = bytes(data[:-1] if cut else data)
    expected = _by_the_library(damaged)
    if expected is None:
        with pytest.raises(ValueError, match=r"\w"):
            own_rlp.decode(damaged)
    else:
        assert own_rlp.decode(damaged) == expected


@given(st.binary(max_size=80))
def test_rlp__any_bytes__are_read_as_by_the_library(data: bytes) -> None:
    expected = _by_the_library(data)
    assert envelopes.decoded_list(data) == (expected if isinstance(expected, list) else None)


@pytest.mark.parametrize("size", [0, 55, 56, 255, 256, 70_000])
def test_rlp__of_a_size__is_that_of_the_library(size: int) -> None:
    for item in (b"x" * size, [b"x"] * size):
        assert own_rlp.encode(item) == rlp.encode(item)
        assert own_rlp.decode(rlp.encode(item)) == item


@pytest.mark.parametrize("words", [(0, 3, 4), (1, 3, 4)])
def test_call__address_of_more_than_20_bytes__is_refused(words: tuple[int, ...]) -> None:
    data = bytearray.fromhex(add_transaction(SIGNER, SOMEBODY, tx_data(call_object("get"), b""))[2:])
    data[4 + 32 * words[0] + words[1]] = words[2]
    with pytest.raises(RpcError, match="is no address"):
        _asked(bytes(data))


def test_call__data_reaches_beyond_the_end__is_refused() -> None:
    data = bytes.fromhex(add_transaction(SIGNER, SOMEBODY, tx_data(call_object("get"), b""))[2:])
    for start in (2**255, len(data), 5 * 32 + 1):
        moved = data[: 4 + 4 * 32] + start.to_bytes(32, "big") + data[4 + 5 * 32 :]
        with pytest.raises(RpcError, match="cut off"):
            _asked(moved)
