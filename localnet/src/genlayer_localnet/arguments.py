"""Arguments of the public interface, in the forms that callers give them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.address import Address, AddressError
from genlayer_localnet.errors import InvalidArgument

AddressLike = str | bytes | Address
_MAX_U256 = 2**256 - 1


def as_address(value: object) -> bytes:
    """The 20 bytes of an address in any form. Raises: InvalidArgument."""
    if isinstance(value, Address):
        return value.as_bytes
    if isinstance(value, str | bytes):
        try:
            return Address(value).as_bytes
        except AddressError as error:
            raise InvalidArgument(str(error)) from None
    raw = getattr(value, "as_bytes", None)  # an Address of another library
    if isinstance(raw, bytes) and len(raw) == Address.SIZE:
        return raw
    raise InvalidArgument(f"an address is 0x text, 20 bytes or an Address, not {type(value).__name__}")


def as_amount(wei: int) -> int:
    """Check that this is an amount of wei. Raises: InvalidArgument."""
    if not isinstance(wei, int) or isinstance(wei, bool):
        raise InvalidArgument(f"an amount is an int in wei, not {type(wei).__name__}")
    if not 0 <= wei <= _MAX_U256:
        raise InvalidArgument(f"an amount is between 0 and 2**256 - 1, not {wei}")
    return wei


def as_time(moment: Any) -> datetime:
    """An aware datetime in UTC, from one or from ISO text. Raises: InvalidArgument."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidArgument("a time is ISO text or a datetime, with its time zone")
    return moment.astimezone(UTC)


def as_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression. Raises: InvalidArgument."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InvalidArgument(f"not a regular expression: {pattern!r} ({error})") from None


def encode_call(method: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], key: str = "method") -> bytes:
    """The call object as calldata, with the method's name under ``key``. Raises: InvalidArgument."""
    call: dict[str, Any] = {}
    if method is not None:
        call[key] = method
    if args:
        call["args"] = list(args)
    if kwargs:
        call["kwargs"] = dict(kwargs)
    try:
        return calldata.encode(call)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"the arguments cannot be encoded: {error}") from error


def source_of(path_or_source: str | bytes | os.PathLike[str]) -> tuple[bytes, str | None]:
    """The source, and the file it came from. Raises: InvalidArgument."""
    if isinstance(path_or_source, bytes):
        return path_or_source, None
    if isinstance(path_or_source, str) and ("\n" in path_or_source or path_or_source.startswith("#")):
        return path_or_source.encode("utf-8"), None
    path = Path(path_or_source)
    try:
        return path.read_bytes(), str(path.resolve())
    except OSError as error:
        raise InvalidArgument(f"cannot read the contract: {error}") from None
