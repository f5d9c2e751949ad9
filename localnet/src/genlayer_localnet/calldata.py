"""The calldata codec: what every call, return value, message and event of the GenVM is encoded in.

A value begins with the ULEB128 number ``(n << 3) | tag``. Tag 0 is a special byte (null, false, true, address),
1 the integer ``n``, 2 the integer ``-n - 1``, 3 ``n`` bytes, 4 ``n`` bytes of UTF-8, 5 an array of ``n`` values and
6 a map of ``n`` entries: bare ULEB128 key length, key, value, in strictly ascending order of keys.
There is exactly one encoding of every value, and the decoder accepts no other.

Error tree::

    ValueError
    └── CalldataError      a value nested too deeply
        └── DecodingError  the bytes are not calldata
    TypeError              a value of a type that calldata does not have
    └── MemoryviewError    a memoryview
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from genlayer_localnet.address import Address

__all__ = (
    "MAX_DEPTH",
    "CalldataEncodable",
    "CalldataError",
    "DecodingError",
    "MemoryviewError",
    "Raw",
    "decode",
    "encode",
    "to_str",
)

MAX_DEPTH: Final = 256
"""How deep arrays and maps may nest: fixed, so that it does not depend on how deep the caller's own stack is."""

# The decoded side is Any for the reader's sake: a recursive union would make every use a cast.
type Default = Callable[[Any], Any]

_TAG_POSITIVE: Final = 1
_TAG_NEGATIVE: Final = 2
_TAG_BYTES: Final = 3
_TAG_TEXT: Final = 4
_TAG_ARRAY: Final = 5
_TAG_MAP: Final = 6
_NULL, _FALSE, _TRUE, _ADDRESS = 0x00, 0x08, 0x10, 0x18
_ADDRESS_SIZE: Final = 20
# Above this many bits the digit-by-digit loops, which are quadratic, give way to the blockwise ones.
_LOOP_BITS: Final = 1024
_SHOWN_BYTES, _SHOWN_CHARACTERS = 10, 100
# Contracts can see these texts: they are as they were recorded.
_TRUNCATED: Final = "unexpected end of memory"
_TOO_DEEP: Final = f"calldata is nested too deeply (at most {MAX_DEPTH} levels)"


class CalldataError(ValueError):
    """A value or its encoding breaks the rules of calldata."""


class DecodingError(CalldataError):
    """The bytes are not the encoding of any value."""


class MemoryviewError(TypeError):
    """A memoryview: the older line's libraries write it in a way that nobody can read, newer ones as bytes."""


class Raw:
    """Calldata that is there already; it is taken as it is."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray | memoryview, /) -> None:
        self.data = bytes(data)


@runtime_checkable
class CalldataEncodable(Protocol):
    """An object that says itself what it is encoded as; storage views do."""

    def __to_calldata__(self) -> Any: ...


# --- encoding ---------------------------------------------------------------------------------------------------


def encode(value: Any, *, default: Default | None = None) -> bytes:
    """Encode a value.

    Encodable are None, bool, int, str, bytes, Address, sequences, mappings with text keys, dataclass instances (as
    maps) and objects with ``__to_calldata__``. ``default`` is called with the value, then with every value in what it
    returned, and gives what is encoded in its place.

    Raises:
        TypeError: for a value, or a key of a mapping, that calldata does not have.
        CalldataError: for nesting beyond ``MAX_DEPTH``, which includes values that contain themselves.
    """
    out = bytearray()
    try:
        _encode(out, value, 0, default)
    except RecursionError:
        raise CalldataError(_TOO_DEEP) from None
    return bytes(out)


def _encode(out: bytearray, value: Any, depth: int, default: Default | None) -> None:
    if default is not None:
        value = default(value)
    kind = type(value)
    if kind is int:
        _put_number(out, value << 3 | _TAG_POSITIVE if value >= 0 else ~value << 3 | _TAG_NEGATIVE)
    elif kind is str:
        raw = value.encode("utf-8")
        _put_number(out, len(raw) << 3 | _TAG_TEXT)
        out += raw
    elif kind is dict:
        _encode_map(out, value, depth, default)
    elif kind is list or kind is tuple:
        _encode_array(out, value, depth, default)
    elif value is None:
        out.append(_NULL)
    elif kind is bool:
        out.append(_TRUE if value else _FALSE)
    elif kind is Address:
        out.append(_ADDRESS)
        out += value.as_bytes
    elif kind is bytes:
        _put_number(out, len(value) << 3 | _TAG_BYTES)
        out += value
    else:
        _encode_other(out, value, depth, default)


def _encode_other(out: bytearray, value: Any, depth: int, default: Default | None) -> None:
    """Encode what is not exactly one of the built-in types: subclasses, views, dataclasses, abstract collections."""
    if depth > MAX_DEPTH:
        raise CalldataError(_TOO_DEEP)
    if isinstance(value, Address):  # of a class derived from it, as the newer line's is
        out.append(_ADDRESS)
        out += value._bytes
        return None
    if isinstance(value, Raw):
        out += value.data
        return None
    if not isinstance(value, type):
        as_calldata = getattr(value, "__to_calldata__", None)
        if as_calldata is not None:
            return _encode(out, as_calldata(), depth + 1, default)
        plain = _plain(value)
        if plain is not None:
            return _encode(out, plain, depth, None)
        if isinstance(value, Mapping):
            return _encode_map(out, _with_text_keys(value), depth, default)
        if isinstance(value, Sequence):
            return _encode_array(out, value, depth, default)
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return _encode_map(out, fields, depth, default)
    raise TypeError(f"not calldata encodable {value!r}: {type(value).__name__}")


def _plain(value: Any) -> Any:
    """The value as the built-in type it derives from, or None where there is none."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, memoryview):
        raise MemoryviewError("a memoryview is not calldata encodable: use bytes(…)")
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    return None


def _encode_array(out: bytearray, values: Iterable[Any], depth: int, default: Default | None) -> None:
    if depth >= MAX_DEPTH:
        raise CalldataError(_TOO_DEEP)
    items = tuple(values)  # the length of other classes is what they say, and of a list it can change meanwhile
    _put_number(out, len(items) << 3 | _TAG_ARRAY)
    depth += 1
    for item in items:
        _encode(out, item, depth, default)


def _encode_map(out: bytearray, entries: dict[Any, Any], depth: int, default: Default | None) -> None:
    if depth >= MAX_DEPTH:
        raise CalldataError(_TOO_DEEP)
    for key in entries:
        if type(key) is not str:
            entries = _with_text_keys(entries)
            break
    keys = sorted(entries)
    _put_number(out, len(keys) << 3 | _TAG_MAP)
    depth += 1
    for key in keys:
        raw = key.encode("utf-8")
        _put_number(out, len(raw))
        out += raw
        _encode(out, entries[key], depth, default)


def _with_text_keys(entries: Mapping[Any, Any]) -> dict[str, Any]:
    """The entries as a dict, whatever their class and those of their keys say about lengths, order and equality."""
    plain = {}
    for key in entries:
        if not isinstance(key, str):
            raise TypeError(f"key is not string {type(key).__name__}")
        plain[str.__str__(key)] = entries[key]
    return plain


def _put_number(out: bytearray, number: int) -> None:
    """Append an unsigned number as minimal ULEB128."""
    if number < 0x80:
        out.append(number)
    elif number.bit_length() <= _LOOP_BITS:
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    else:
        _put_long_number(out, number)


def _put_long_number(out: bytearray, number: int) -> None:
    """As ``_put_number`` in linear time: every 7 bytes of the number make 8 of the encoding."""
    groups = -(-number.bit_length() // 7)
    raw = number.to_bytes((number.bit_length() + 7) // 8, "little")
    start = len(out)
    for at in range(0, len(raw), 7):
        block = int.from_bytes(raw[at : at + 7], "little")
        for _ in range(8):
            out.append(block & 0x7F | 0x80)
            block >>= 7
    del out[start + groups :]
    out[-1] &= 0x7F


# --- decoding ---------------------------------------------------------------------------------------------------


def decode(data: bytes | bytearray | memoryview, address: type[Address] = Address) -> Any:
    """Decode one value, which must take up all of the bytes.

    Gives None, bool, int, str, bytes, ``address``, list and dict only. Time and memory are linear in the input.

    Raises:
        DecodingError: for anything but the one valid encoding of a value.
    """
    raw = bytes(memoryview(data))
    try:
        value, end = _decode(raw, 0, 0, address)
    except IndexError:
        raise DecodingError(_TRUNCATED) from None
    except UnicodeDecodeError as error:
        raise DecodingError(f"calldata has text that is not UTF-8: {error.reason}") from error
    except RecursionError:
        raise DecodingError(_TOO_DEEP) from None
    if end != len(raw):
        raise DecodingError(
            f"unparsed end {raw[end : end + _SHOWN_BYTES]!r}... (decoded {repr(value)[:_SHOWN_CHARACTERS]})"
        )
    return value


def _decode(raw: bytes, at: int, depth: int, address: type[Address]) -> tuple[Any, int]:
    number = raw[at]
    at += 1
    if number >= 0x80:
        number, at = _get_number(raw, at - 1)
    tag = number & 7
    number >>= 3
    if tag == _TAG_POSITIVE:
        return number, at
    if tag == _TAG_TEXT:
        end = _end_of(raw, at, number)
        return raw[at:end].decode("utf-8"), end
    if tag == _TAG_MAP:
        return _decode_map(raw, at, depth, number, address)
    if tag == _TAG_ARRAY:
        return _decode_array(raw, at, depth, number, address)
    if tag == 0:
        return _decode_special(raw, at, number, address)
    if tag == _TAG_BYTES:
        end = _end_of(raw, at, number)
        return raw[at:end], end
    if tag == _TAG_NEGATIVE:
        return ~number, at
    raise DecodingError(f"invalid type {tag}")


def _decode_special(raw: bytes, at: int, number: int, address: type[Address]) -> tuple[Any, int]:
    match number:
        case 0:
            return None, at
        case 1:
            return False, at
        case 2:
            return True, at
        case 3:
            end = _end_of(raw, at, _ADDRESS_SIZE)
            return address._unchecked(raw[at:end]), end
    raise DecodingError(f"Unknown special {number << 3:#b} {number << 3:#x}")


def _decode_array(raw: bytes, at: int, depth: int, count: int, address: type[Address]) -> tuple[list[Any], int]:
    if depth >= MAX_DEPTH:
        raise DecodingError(_TOO_DEEP)
    _end_of(raw, at, count)  # every item takes a byte at least
    depth += 1
    items = []
    for _ in range(count):
        item, at = _decode(raw, at, depth, address)
        items.append(item)
    return items, at


def _decode_map(raw: bytes, at: int, depth: int, count: int, address: type[Address]) -> tuple[dict[str, Any], int]:
    if depth >= MAX_DEPTH:
        raise DecodingError(_TOO_DEEP)
    _end_of(raw, at, count)
    depth += 1
    entries: dict[str, Any] = {}
    previous: bytes | None = None
    for _ in range(count):
        length = raw[at]
        at += 1
        if length >= 0x80:
            length, at = _get_number(raw, at - 1)
        end = _end_of(raw, at, length)
        key = raw[at:end]
        # UTF-8 sorts as its code points do, so the raw keys can be compared.
        if previous is not None and key <= previous:
            raise DecodingError(f"unordered calldata keys: `{previous.decode('utf-8')}` >= `{key.decode('utf-8')}`")
        previous = key
        entries[key.decode("utf-8")], at = _decode(raw, end, depth, address)
    return entries, at


def _end_of(raw: bytes, at: int, length: int) -> int:
    end = at + length
    if end > len(raw):
        raise DecodingError(_TRUNCATED)
    return end


def _get_number(raw: bytes, at: int) -> tuple[int, int]:
    """Read a ULEB128 number of more than one byte and the position after it."""
    end = at
    while raw[end] >= 0x80:
        end += 1
    if raw[end] == 0:
        raise DecodingError("most significant octet can not be zero")
    end += 1
    if (end - at) * 7 <= _LOOP_BITS:
        number = 0
        for byte in reversed(raw[at:end]):
            number = number << 7 | byte & 0x7F
        return number, end
    return _long_number(raw[at:end]), end


def _long_number(digits: bytes) -> int:
    """Read a long ULEB128 number in linear time: every 8 bytes of it hold 7 bytes of the number."""
    out = bytearray()
    for at in range(0, len(digits), 8):
        block = 0
        for byte in reversed(digits[at : at + 8]):
            block = block << 7 | byte & 0x7F
        out += block.to_bytes(7, "little")
    return int.from_bytes(out, "little")


# --- text -------------------------------------------------------------------------------------------------------


def to_str(value: Any) -> str:
    """Show a decoded value on one line, as JSON with ``b#`` and ``addr#`` marking bytes and addresses."""
    if isinstance(value, Raw):
        return f"raw#{value.data.hex()}"
    if hasattr(value, "__to_calldata__"):
        return to_str(value.__to_calldata__())
    if isinstance(value, Address):
        return f"addr#{value.as_bytes.hex()}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"b#{bytes(value).hex()}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{to_str(value[key])}" for key in value) + "}"
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, Sequence):
        return "[" + ",".join(to_str(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"not calldata {value!r}: {type(value).__name__}")
