"""The localnet's reading and writing of the ABI, against eth-abi."""

from __future__ import annotations

import time
from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genlayer_localnet.abi import AbiError, Array, Structure
from genlayer_localnet.rpc.consensus_calls import ALLOCATION, DISTRIBUTION

CALL = Structure(first="address", fees=DISTRIBUTION, data="bytes", allocations=Array(ALLOCATION), last="uint256")
numbers = st.integers(0, 2**256 - 1)
fees = st.tuples(*[numbers] * 6, st.lists(numbers, max_size=4), *[numbers] * 3)
allocations = st.tuples(
    st.integers(0, 255),
    st.booleans(),
    numbers,
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=32, max_size=32),
    numbers,
    st.binary(max_size=70),
)
calls = st.tuples(
    st.binary(min_size=20, max_size=20), fees, st.binary(max_size=70), st.lists(allocations, max_size=3), numbers
)


def _encoded(call: Any) -> bytes:
    return eth_abi.encode([CALL.name], [call])[32:]  # without the place of the whole


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(map(_plain, value.values()))
    return [_plain(item) for item in value] if isinstance(value, list) else value


@given(calls)
def test_decode__what_eth_abi_wrote__is_the_same(call: Any) -> None:
    data = _encoded(call)
    found = CALL.decode(data)
    assert _plain(found) == call
    assert CALL.encode(found) == data


@given(calls, st.data())
def test_decode__changed_data__is_read_or_refused(call: Any, data: st.DataObject) -> None:
    broken = bytearray(_encoded(call))
    for _ in range(data.draw(st.integers(1, 3))):
        word = data.draw(st.integers(0, len(broken) // 32 - 1)) * 32
        broken[word : word + 32] = data.draw(st.binary(min_size=32, max_size=32) | st.just(b"\xff" * 32))
    cut = bytes(broken[: data.draw(st.integers(0, len(broken)))])
    for given_data in (bytes(broken), cut):
        try:
            CALL.decode(given_data)
        except AbiError:
            continue


@given(st.binary(max_size=400))
def test_decode__any_bytes__are_read_or_refused(data: bytes) -> None:
    try:
        CALL.decode(data)
    except AbiError:
        return


@pytest.mark.parametrize(
    ("kind", "word"),
    [("address", b"\1" + bytes(31)), ("bool", bytes(31) + b"\2"), ("uint8", bytes(30) + b"\1\0")],
)
def test_decode__bits_that_the_type_has_not__are_refused(kind: str, word: bytes) -> None:
    with pytest.raises(AbiError, match=kind):
        Structure(value=kind).decode(word)


def test_decode__array_that_is_longer_than_the_data__is_refused_at_once() -> None:
    data = (32).to_bytes(32, "big") + (2**255).to_bytes(32, "big") + bytes(64)
    with pytest.raises(AbiError, match="longer than the data"):
        Structure(rotations=Array("uint256")).decode(data)


def test_decode__a_thousand_times_the_same_megabyte__is_refused_at_once() -> None:
    places = [(2**15).to_bytes(32, "big")] * 1_000
    data = b"".join([(32).to_bytes(32, "big"), (1_000).to_bytes(32, "big"), *places]).ljust(64 + 2**15, b"\0")
    data += (2**20).to_bytes(32, "big") + bytes(2**20)
    began = time.process_time()
    with pytest.raises(AbiError, match="over each other"):
        Structure(items=Array("bytes")).decode(data)
    assert time.process_time() - began < 1
