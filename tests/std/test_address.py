from __future__ import annotations

import copy
import pickle

import pytest
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from genlayer_localnet.address import Address, AddressError, keccak256

RAW = bytes(range(20))
HEX = "0x000102030405060708090a0B0c0d0e0f10111213"


def test_keccak256__empty__is_not_sha3() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize(
    "form", [RAW, bytearray(RAW), memoryview(RAW), HEX, HEX.lower(), "0x" + HEX[2:].upper(), Address(RAW).as_b64]
)
def test_address__every_form__is_the_same(form: object) -> None:
    assert Address(form) == Address(RAW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0x",
        HEX[2:],
        HEX + "0",
        "0x" + "g" * 40,
        "0X" + HEX[2:],
        "0x" + "00 " * 13 + "0",
        " " + HEX[:-1],
        "é" * 42,
        "!" * 28,
        "A" * 28,
        RAW[:-1],
        RAW + b"\0",
        b"",
        5,
        None,
        True,
        Address(RAW),
        [0] * 20,
    ],
)
def test_address__anything_else__raises_address_error(bad: object) -> None:
    with pytest.raises(AddressError):
        Address(bad)  # type: ignore[arg-type]


def test_address_error__is_no_value_error() -> None:
    assert not issubclass(AddressError, ValueError)


@given(st.binary(min_size=20, max_size=20))
def test_as_hex__any__agrees_with_eth_utils(raw: bytes) -> None:
    assert Address(raw).as_hex == to_checksum_address(raw)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=20, max_size=20))
def test_order__any__is_that_of_the_bytes(one: bytes, other: bytes) -> None:
    a, b = Address(one), Address(other)
    assert (a < b, a <= b, a > b, a >= b, a == b) == (
        one < other,
        one <= other,
        one > other,
        one >= other,
        one == other,
    )


def test_text__all_forms__are_as_recorded() -> None:
    address = Address(b"\x0b" * 20)
    text = "0x0B0b0b0b0B0B0B0B0b0b0b0b0B0B0B0B0B0b0B0b"
    assert [str(address), address.as_hex, f"{address}", f"{address:x}", repr(address)] == [
        text,
        text,
        f'Address("{text}")',
        text,
        f'Address("{text}")',
    ]


def test_format__unknown__raises_type_error() -> None:
    with pytest.raises(TypeError, match="unsupported format"):
        f"{Address(RAW):>50}"


def test_other_forms__bytes_int_base64__agree() -> None:
    address = Address(RAW)
    assert (bytes(address), address.as_bytes, address.as_int) == (RAW, RAW, int.from_bytes(RAW, "little"))
    assert f"{address:b64}" == address.as_b64 == "AAECAwQFBgcICQoLDA0ODxAREhM="


def test_compare__with_text__is_unequal_and_has_no_order() -> None:
    address = Address(RAW)
    assert address != HEX
    with pytest.raises(TypeError):
        address < HEX  # type: ignore[operator]  # noqa: B015


def test_address__is_immutable() -> None:
    address = Address(RAW)
    with pytest.raises(AttributeError):
        address._bytes = b"\1" * 20
    with pytest.raises(AttributeError):
        address.note = "x"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        del address._bytes


def test_copies__pickle_and_copy__are_equal_with_equal_hash() -> None:
    address = Address(RAW)
    for other in (pickle.loads(pickle.dumps(address)), copy.copy(address), copy.deepcopy(address)):
        assert other == address
        assert hash(other) == hash(address)
