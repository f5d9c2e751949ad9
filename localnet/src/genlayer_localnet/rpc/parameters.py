"""Parameters in the forms in which clients send them. Everything here raises ``RpcError`` for what it cannot read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from genlayer_localnet.rpc.errors import RpcError, invalid_params

_ADDRESS = re.compile(r"(?:0x)?([0-9a-fA-F]{40})")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
MAX_U256 = 2**256 - 1


def address(value: Any, name: str = "address") -> bytes:
    """20 bytes from hexadecimal text; the case of the letters does not matter."""
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise invalid_params(f"{name}: an address is 0x and 40 hexadecimal digits, not {shown(value)}")
    return bytes.fromhex(match.group(1))


def transaction_id(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise invalid_params(f"a transaction hash is 0x and 64 hexadecimal digits, not {shown(value)}")
    return value.lower()


def data(value: Any, name: str = "data") -> bytes:
    """Bytes from hexadecimal text, with or without 0x."""
    if not isinstance(value, str):
        raise invalid_params(f"{name}: hexadecimal text is wanted, not {shown(value)}")
    try:
        return bytes.fromhex(value.removeprefix("0x").removeprefix("0X"))
    except ValueError:
        raise invalid_params(f"{name}: not hexadecimal: {shown(value)}") from None


def code_of(value: Any) -> bytes:
    """Source or ZIP from hexadecimal; text that is none is itself the source."""
    if isinstance(value, str) and not value.startswith("0x"):
        try:
            return bytes.fromhex(value)
        except ValueError:
            return value.encode("utf-8", "replace")
    return data(value, "code")


def quantity(value: Any, name: str = "value") -> int:
    """A number from 0 to 2**256 - 1: JSON number, 0x text or decimal text. Large numbers of JavaScript are floats."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and math.isfinite(value) and value == int(value):
        number = int(value)
    elif isinstance(value, str) and len(value) <= 80:
        try:
            number = int(value, 16) if value[:2] in ("0x", "0X") else int(value, 10)
        except ValueError:
            number = None
    if number is None or not 0 <= number <= MAX_U256:
        raise invalid_params(f"{name}: a number from 0 to 2**256 - 1 is wanted, not {shown(value)}")
    return number


def first_of(fields: Mapping[str, Any], *names: str, default: Any) -> Any:
    """Of these fields the first that is there; null is not."""
    return next((fields[name] for name in names if fields.get(name) is not None), default)


def count(value: Any, name: str) -> int:
    """A small whole number, not negative."""
    number = quantity(value, name)
    if number > 1_000_000_000:
        raise invalid_params(f"{name}: {shown(value)} is too large")
    return number


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise invalid_params(f"{name}: an object is wanted, not {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A value for an error message, cut when it is long."""
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:80]}… ({len(text):,} characters)"


def missing(name: str) -> RpcError:
    return invalid_params(f"{name} is missing")
