"""Settlement entries from a file: JSON (a list, or an object with `entries`) or CSV with a heading."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from api_billing.cli.values import day_id_of, require_wei
from api_billing.contract_api import MAX_SETTLEMENT_ENTRIES
from api_billing.errors import InvalidInput
from api_billing.networks import checked_address
from api_billing.results import SettlementEntry
from api_billing.vouchers import Voucher

_FIELDS: Final = ("consumer", "day_id", "calls", "spend_wei")
_VOUCHER: Final = tuple(field.name for field in fields(Voucher))
_HINT: Final = f"an entry has {', '.join(_FIELDS)}"


def read_entries(path: Path) -> list[SettlementEntry]:
    """The entries of a file; days may be written as dates and amounts as 0.5gen.

    Raises: InvalidInput, with the place of what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _json_rows(text)
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path} cannot be read: {reason}", hint=_HINT) from error
    if not 0 < len(rows) <= MAX_SETTLEMENT_ENTRIES:
        hint = "split it into files that are settled one after the other"
        raise InvalidInput(f"{path} has {len(rows)} entries, not 1 to {MAX_SETTLEMENT_ENTRIES}", hint=hint)
    return [_entry(row, f"{path}, entry {number}") for number, row in enumerate(rows, 1)]


def _json_rows(text: str) -> list[Any]:
    content = json.loads(text)
    rows = content.get("entries") if isinstance(content, Mapping) else content
    if not isinstance(rows, list):
        raise ValueError("it is neither a list of entries nor an object with one")
    return rows


def _csv_rows(text: str) -> list[Any]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    if reader.fieldnames is None or not set(_FIELDS) <= {name.strip() for name in reader.fieldnames}:
        raise ValueError(f"its first line is not {','.join(_FIELDS)}")
    return [{str(key).strip(): value for key, value in row.items()} for row in reader]


def _entry(row: Any, where: str) -> SettlementEntry:
    if not isinstance(row, Mapping) or not set(_FIELDS) <= set(row):
        raise InvalidInput(f"{where}: not an entry", hint=_HINT)
    try:
        return SettlementEntry(
            consumer=checked_address(str(row["consumer"]).strip(), "address of a consumer"),
            day_id=day_id_of(_text(row["day_id"])),
            calls=_count(_text(row["calls"])),
            spend_wei=require_wei(_text(row["spend_wei"])),
            voucher=_voucher(row.get("voucher")),
            close=_flag(row.get("close", False)),
        )
    except ValueError as error:  # InvalidInput is one
        raise InvalidInput(f"{where}: {error}", hint=_HINT) from None


def _voucher(value: object) -> Voucher | None:
    """As `session sign` prints it."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) != set(_VOUCHER):
        raise ValueError(f"a voucher has {', '.join(_VOUCHER)}")
    return Voucher(**value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"close is true or false, not {value!r}")
    return value


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is neither a whole number nor a text")
    return str(value).strip()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 15 and int(text)):
        raise ValueError(f"{text!r} is not a number of calls")
    return int(text)
