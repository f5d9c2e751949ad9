from __future__ import annotations

import datetime
import time
import zoneinfo
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genlayer_localnet.address import Address

ADDRESS = Address(b"\xa1" * 20)
UTC = datetime.UTC
same_library = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("u8", 255),
        ("u24", 2**24 - 1),
        ("u256", 2**256 - 1),
        ("i8", -128),
        ("i8", 127),
        ("i256", -(2**255)),
        ("bigint", 2**300),
        ("bigint", -(2**300)),
        ("bigint", -1),
        ("bigint", 128),
        ("bigint", 0),
    ],
)
def test_integer__in_range__comes_back(std: Any, name: str, value: int) -> None:
    holder = std.field(getattr(std, name))
    holder.value = value
    assert holder.value == value


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("u8", 256, "int too big to convert"),
        ("u8", -1, "can't convert negative int to unsigned"),
        ("u256", 2**256, "int too big to convert"),
        ("i16", 32768, "int too big to convert"),
        ("i16", -32769, "int too big to convert"),
    ],
)
def test_integer__out_of_range__raises_overflow_error(std: Any, name: str, value: int, text: str) -> None:
    holder = std.field(getattr(std, name))
    with pytest.raises(OverflowError, match=text):
        holder.value = value


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        ("u8", "5", AttributeError),
        ("u8", None, AttributeError),
        ("u8", 1.0, AttributeError),
        ("bigint", "5", AttributeError),
        (str, 5, AttributeError),
        (str, b"x", AttributeError),
        (bytes, "x", TypeError),
        (bytes, 5, TypeError),
        (Address, "0x" + "00" * 20, AttributeError),
        (Address, b"\0" * 20, AttributeError),
        (datetime.datetime, 5, AttributeError),
        (None, 5, TypeError),
    ],
)
def test_scalar__wrong_type__raises_and_keeps_the_value(std: Any, kind: Any, value: Any, error: Any) -> None:
    holder = std.field(getattr(std, kind) if isinstance(kind, str) else kind)
    before = holder.value
    with pytest.raises(error):
        holder.value = value
    assert holder.value == before


@pytest.mark.parametrize(
    ("kind", "zero"),
    [
        (bool, False),
        (float, 0.0),
        (str, ""),
        (bytes, b""),
        (Address, Address(bytes(20))),
        (None, None),
    ],
)
def test_scalar__never_written__is_zero(std: Any, kind: Any, zero: Any) -> None:
    assert std.field(kind).value == zero


@pytest.mark.parametrize(("value", "stored"), [(1, True), ("x", True), ([], False), (None, False), (2, True)])
def test_bool__any_value__is_stored_by_its_truth(std: Any, value: Any, stored: bool) -> None:
    holder = std.field(bool)
    holder.value = value
    assert holder.value is stored


@pytest.mark.parametrize("value", ["", "héllo|\0", "x" * 10_000])
def test_text__any__comes_back(std: Any, value: str) -> None:
    holder = std.field(str)
    holder.value = value
    assert holder.value == value


def test_text__shorter_than_before__has_no_rest_of_it(std: Any) -> None:
    holder = std.field(str)
    holder.value = "a long text"
    holder.value = "b"
    assert holder.value == "b"


@pytest.mark.parametrize("value", [b"\0\xff", bytearray(b"ab"), memoryview(b"cd")])
def test_bytes__any_buffer__comes_back_as_bytes(std: Any, value: Any) -> None:
    holder = std.field(bytes)
    holder.value = value
    assert (holder.value, type(holder.value)) == (bytes(value), bytes)


@same_library
@given(value=st.floats(allow_nan=False))
def test_float__any__comes_back(std: Any, value: float) -> None:
    holder = std.field(float)
    holder.value = value
    assert holder.value == value


def test_field__fixed_size__costs_one_read_and_one_write(std: Any) -> None:
    holder = std.field(std.u256)
    std.host.count()
    holder.value = 5
    assert holder.value == 5
    assert std.host.count() == (1, 1)


def test_field__text__costs_two_reads_and_two_writes(std: Any) -> None:
    holder = std.field(str)
    std.host.count()
    holder.value = "x"
    assert holder.value == "x"
    assert std.host.count() == (2, 2)


# --- points in time ---


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime.datetime(1970, 1, 1, tzinfo=UTC),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(-datetime.timedelta(hours=8))),
        datetime.datetime(9999, 12, 31, tzinfo=UTC),
    ],
)
def test_datetime__with_zone__comes_back_with_its_offset(std: Any, value: datetime.datetime) -> None:
    holder = std.field(datetime.datetime)
    holder.value = value
    assert holder.value.isoformat() == value.isoformat()


def test_datetime__fixed_offset_of_zone_info__is_stored(std: Any) -> None:
    holder = std.field(datetime.datetime)
    holder.value = datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))
    assert holder.value == datetime.datetime(2026, 1, 1, tzinfo=UTC)


def test_datetime__zone_without_fixed_offset__raises_assertion_error(std: Any) -> None:
    class Summertime(datetime.tzinfo):
        def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta | None:
            return None if when is None else datetime.timedelta(hours=1)

        def dst(self, when: datetime.datetime | None) -> datetime.timedelta | None:
            return None

    with pytest.raises(AssertionError, match="fixed offset"):
        std.field(datetime.datetime).value = datetime.datetime(2026, 1, 1, tzinfo=Summertime())


def test_datetime__before_1970__raises_overflow_error(std: Any) -> None:
    with pytest.raises(OverflowError):
        std.field(datetime.datetime).value = datetime.datetime(1969, 12, 31, tzinfo=UTC)


def test_datetime__without_zone__is_local_time(std: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        holder = std.field(datetime.datetime)
        holder.value = datetime.datetime(2026, 1, 1, 12, 0, 0, 5)
        assert holder.value == datetime.datetime(2026, 1, 1, 12, 0, 0, 5)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_datetime__never_written__is_1970_without_zone(std: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert std.field(datetime.datetime).value == datetime.datetime(1970, 1, 1)
    finally:
        monkeypatch.undo()
        time.tzset()


# --- what cannot be stored ---


class Undecorated:
    pass


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (int, "u256"),
        (list, "DynArray"),
        (list[int], "DynArray"),
        (dict, "TreeMap"),
        (dict[str, int], "TreeMap"),
        (set, "TreeMap"),
        (tuple[int, int], "dataclass"),
        (Undecorated, "allow_storage"),
        (str | None, "not marked"),
        (Any, "not"),
        (5, "not a type"),
    ],
)
def test_annotation__not_storable__raises_type_error_that_helps(std: Any, kind: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy) as caught:
        std.field(kind)
    assert caught.value.__notes__ == ["in attribute 'value' of class Holder"]


def test_annotation__collection_without_arguments__raises_type_error(std: Any) -> None:
    for kind in (std.DynArray, std.TreeMap, std.Array):
        with pytest.raises(TypeError, match="needs type arguments"):
            std.field(kind)


def test_annotation__numpy_scalar__is_stored(std: Any) -> None:
    numpy = pytest.importorskip("numpy")
    holder = std.field(numpy.float32)
    holder.value = 1.5
    assert (holder.value, type(holder.value)) == (1.5, numpy.float32)


def test_annotation__numpy_array__is_stored_with_its_shape(std: Any) -> None:
    numpy = pytest.importorskip("numpy")
    holder = std.field(numpy.ndarray[tuple[Literal[2], Literal[3]], numpy.dtype[numpy.float32]])
    assert holder.value.tolist() == [[0.0] * 3] * 2
    holder.value = numpy.arange(6).reshape(2, 3)
    assert (holder.value.tolist(), holder.value.dtype) == ([[0, 1, 2], [3, 4, 5]], numpy.float32)
    with pytest.raises(AssertionError, match="shape"):
        holder.value = numpy.zeros(6)


def test_annotation__numpy_array_without_lengths__raises_type_error(std: Any) -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="shape"):
        std.field(numpy.ndarray[tuple[int, int], numpy.dtype[numpy.float32]])


def test_sized_integers__called__check_nothing(std: Any) -> None:
    assert (std.u8(300), std.u8("x"), std.bigint(None)) == (300, "x", None)


def test_lazy__value__is_computed_once(std: Any) -> None:
    calls: list[int] = []
    lazy = std.Lazy(lambda: calls.append(1) or len(calls))
    assert (lazy.get(), lazy.get()) == (1, 1)


def test_lazy__error__is_raised_each_time(std: Any) -> None:
    lazy = std.Lazy(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy.get()


def test_keccak__pieces_and_copy__agree_with_the_whole(std: Any) -> None:
    keccak = std.module("genlayer.py.keccak").Keccak256
    pieces = keccak(b"ab")
    copied = pieces.copy()
    pieces.update(b"c")
    assert pieces.hexdigest() == keccak(b"abc").hexdigest()
    assert copied.digest() == keccak(b"ab").digest()
