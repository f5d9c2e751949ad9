from __future__ import annotations

import collections
import dataclasses
import enum
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.calldata import MAX_DEPTH, CalldataError, DecodingError, decode, encode, to_str

ADDRESS = Address(b"\xa1" * 20)
VECTORS: list[tuple[Any, str]] = [
    (None, "00"),
    (False, "08"),
    (True, "10"),
    (0, "01"),
    (1, "09"),
    (-1, "02"),
    (5, "29"),
    (8, "41"),
    (128, "8108"),
    (2**64, "81808080808080808010"),
    ("", "04"),
    ("a", "0c61"),
    ("é", "14c3a9"),
    (b"", "03"),
    (b"ab", "136162"),
    ([], "05"),
    ([1, "a"], "15090c61"),
    ({}, "06"),
    ({"b": 1, "a": 2}, "16016111016209"),
    (2**256 - 1, "f9" + "ff" * 35 + "7f"),
    (-(2**255), "fa" + "ff" * 35 + "3f"),
    (ADDRESS, "18" + "a1" * 20),
    ({"method": "get"}, "0e066d6574686f641c676574"),
    ({"method": "set", "args": [5]}, "1604617267730d29066d6574686f641c736574"),
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**3000), max_value=2**3000)
    | st.text()
    | st.binary()
    | st.binary(min_size=20, max_size=20).map(Address),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def _nested(depth: int, leaf: Any = None) -> Any:
    value = leaf
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(("value", "encoded"), VECTORS)
def test_encode__vector__gives_its_bytes(value: Any, encoded: str) -> None:
    assert encode(value).hex() == encoded


@pytest.mark.parametrize(("value", "encoded"), VECTORS)
def test_decode__vector__gives_its_value(value: Any, encoded: str) -> None:
    decoded = decode(bytes.fromhex(encoded))
    assert (decoded, type(decoded)) == (value, type(value))


@given(values)
@example(2**1024)
@example(-(2**70_000))
def test_codec__any_value__comes_back(value: Any) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=64))
def test_decode__any_bytes__is_the_inverse_of_encode_or_raises(data: bytes) -> None:
    try:
        value = decode(data)
    except DecodingError:
        return
    assert encode(value) == data


@given(values, st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_decode__one_byte_changed__is_another_value_or_raises(value: Any, position: int, byte: int) -> None:
    data = bytearray(encode(value))
    position %= len(data)
    changed = data[position] != byte
    data[position] = byte
    try:
        decoded = decode(data)
    except DecodingError:
        return
    assert (encode(decoded) != encode(value)) == changed


@given(values, st.data())
def test_decode__any_prefix__raises(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    length = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    with pytest.raises(DecodingError):
        decode(encoded[:length])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "unexpected end"),
        ("0000", "unparsed end"),
        ("8100", "most significant octet"),
        ("8000", "most significant octet"),
        ("07", "invalid type"),
        ("20", "Unknown special"),
        ("8001", "Unknown special"),
        ("18a1", "unexpected end"),
        ("0cff", "not UTF-8"),
        ("14c3", "unexpected end"),
        ("1cedA080", "not UTF-8"),
        ("1601620901610a", "unordered"),
        ("16016109016109", "unordered"),
        ("0e8100610900", "most significant octet"),
        ("15", "unexpected end"),
        ("ff" * 10, "unexpected end"),
        ("fdffffffffffffffff01" + "00", "unexpected end"),
        ("feffffffffffffffff01" + "00", "unexpected end"),
        ("fbffffffffffffffff01" + "00", "unexpected end"),
        ("0e0161", "unexpected end"),
        ("0e01ff00", "not UTF-8"),
    ],
)
def test_decode__malformed__raises_decoding_error(data: str, why: str) -> None:
    with pytest.raises(DecodingError, match=why):
        decode(bytes.fromhex(data))


def test_decode__of_any_buffer__is_the_same() -> None:
    data = encode({"a": b"x"})
    assert decode(memoryview(data)) == decode(bytearray(data)) == decode(data)


@pytest.mark.parametrize("bad", ["00", None, 5])
def test_decode__no_bytes__raises_type_error(bad: Any) -> None:
    with pytest.raises(TypeError):
        decode(bad)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "not calldata encodable 1.5: float"),
        ({1, 2}, "not calldata encodable {1, 2}: set"),
        ({1: 2}, "key is not string int"),
        ([{None: 2}], "key is not string NoneType"),
        (int, "not calldata encodable <class 'int'>: type"),
        (iter(()), "not calldata encodable <tuple_iterator object"),
    ],
)
def test_encode__not_encodable__raises_type_error(value: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert str(caught.value).startswith(text)


@dataclasses.dataclass
class Point:
    y: int
    x: int


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


class Both:
    def __to_calldata__(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize(
    ("value", "same_as"),
    [
        ((1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), None),
        (bytearray(b"ab"), b"ab"),
        (collections.OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (Point(1, 2), {"x": 2, "y": 1}),
        (Colour.RED, 1),
        (Name("n"), "n"),
        ({Name("n"): 1}, {"n": 1}),
        (Both(), [1, 2]),
    ],
)
def test_encode__like_a_built_in_type__is_encoded_as_it(value: Any, same_as: Any) -> None:
    assert encode(value) == encode(list(value) if same_as is None else same_as)


def test_encode__default__replaces_every_value_from_the_outermost_on() -> None:
    assert encode([object()], default=lambda value: "odd") == encode("odd")
    assert encode({"a": [1.5, True]}, default=lambda v: str(v) if isinstance(v, float) else v) == encode(
        {"a": ["1.5", True]}
    )


def test_encode__default__is_asked_once_for_a_value() -> None:
    asked: list[object] = []
    encode([Colour.RED, Name("n"), 5], default=lambda value: asked.append(value) or value)
    assert asked == [[Colour.RED, Name("n"), 5], Colour.RED, Name("n"), 5]


def test_encode__default_that_always_nests__raises_calldata_error() -> None:
    with pytest.raises(CalldataError, match="too deeply"):
        encode(1, default=lambda value: [value])


@pytest.mark.parametrize("value", [memoryview(b"ab"), [memoryview(b"ab")]])
def test_encode__memoryview__raises_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="memoryview"):
        encode(value)


def test_encode__lone_surrogate__raises_value_error() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode("\ud800")


def test_nesting__at_the_limit__comes_back() -> None:
    assert decode(encode(_nested(MAX_DEPTH))) == _nested(MAX_DEPTH)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_encode__nested_too_deeply__raises_calldata_error(depth: int) -> None:
    with pytest.raises(CalldataError, match="too deeply"):
        encode(_nested(depth))


def _nested_map(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = {"a": value}
    return value


def test_nesting__of_maps_at_the_limit__comes_back() -> None:
    assert decode(encode(_nested_map(MAX_DEPTH))) == _nested_map(MAX_DEPTH)


@pytest.mark.parametrize(
    "value",
    [
        _nested_map(MAX_DEPTH + 1),
        [_nested_map(MAX_DEPTH)],
        collections.ChainMap({"a": _nested_map(MAX_DEPTH)}),
        _nested_map(100_000),
    ],
    ids=["dict", "in a list", "ChainMap", "very deep"],
)
def test_encode__maps_nested_too_deeply__raises_calldata_error(value: Any) -> None:
    with pytest.raises(CalldataError, match="too deeply"):
        encode(value)


def test_encode__map_that_holds_itself__raises_calldata_error() -> None:
    value: dict[str, Any] = {"b": 1}
    value["a"] = [value]
    with pytest.raises(CalldataError, match="too deeply"):
        encode(value)


@pytest.mark.parametrize("opening", [b"\x0d", b"\x0e\x00"])
def test_decode__nested_too_deeply__raises_decoding_error(opening: bytes) -> None:
    with pytest.raises(DecodingError, match="too deeply"):
        decode(opening * 100_000 + b"\x00")


def test_encode__value_that_contains_itself__raises_calldata_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CalldataError, match="too deeply"):
        encode(loop)


def test_encode__view_that_gives_itself__raises_calldata_error() -> None:
    class Endless:
        def __to_calldata__(self) -> Endless:
            return self

    with pytest.raises(CalldataError, match="too deeply"):
        encode(Endless())


def test_codec__near_the_stack_limit__raises_calldata_error() -> None:
    encoded = encode(_nested(MAX_DEPTH))

    def descend(levels: int) -> Any:
        return descend(levels - 1) if levels else decode(encoded)

    with pytest.raises(CalldataError, match="too deeply"):
        descend(sys.getrecursionlimit() - 150)


def test_to_str__every_kind__is_readable() -> None:
    assert to_str({"a": [1, None, True, b"\1"], "b": ADDRESS, "c": "é"}) == (
        '{"a":[1,null,true,b#01],"b":addr#' + "a1" * 20 + ',"c":"\\u00e9"}'
    )


def test_to_str__not_calldata__raises_type_error() -> None:
    with pytest.raises(TypeError, match="not calldata"):
        to_str(1.5)


def test_protocol__storage_views_and_others__are_told_apart() -> None:
    assert isinstance(Both(), calldata.CalldataEncodable)
    assert not isinstance(5, calldata.CalldataEncodable)
