"""What the model takes an argument for: the rules of contract.md for names, numbers and addresses, a second time.

Nothing of the contract's own parsing is used here, no regular expression either, so that a slip in one shows.
"""

from __future__ import annotations

import string
from typing import Any

from api_billing.vouchers import Voucher

MAX_WEI = 2**128 - 1
MAX_CALLS = 2**48 - 1
MAX_SEQUENCE = 2**64 - 1
MAX_ENTRIES = 256
MAX_VOUCHERS = 64
NAME_FIRST = frozenset(string.ascii_lowercase + string.digits)
NAME_REST = NAME_FIRST | set("._-")
HEX = frozenset(string.hexdigits)
LOWER_HEX = HEX - set("ABCDEF")


class Refused(Exception):
    """The model refuses with this code."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def refuse_unless(condition: object, code: str) -> None:
    if not condition:
        raise Refused(code)


def number(
    value: Any,
    *,
    low: int = 0,
    too_low: str = "negative_number",
    high: int = MAX_WEI,
    too_high: str = "number_too_large",
) -> int:
    refuse_unless(isinstance(value, int) and not isinstance(value, bool), "bad_type")
    refuse_unless(value >= low, too_low)
    refuse_unless(value <= high, too_high)
    return value


def flag(value: Any) -> bool:
    refuse_unless(value is True or value is False, "bad_type")
    return value


def text(value: Any) -> str:
    """Digits can arrive as a number: the command line makes one of them."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**64:
        return f"{value}"
    refuse_unless(isinstance(value, str), "bad_type")
    return value


def name(value: Any, *, empty: str = "bad_name") -> str:
    found = text(value).strip().lower()
    refuse_unless(found, empty)
    good = len(found) <= 64 and found[0] in NAME_FIRST and set(found) <= NAME_REST
    refuse_unless(good, "bad_name")
    return found


def api_name(value: Any) -> str:
    return name(value, empty="api_name_required")


def address(value: Any) -> str:
    """Lower-case 0x text. Accepted are 0x text of 40 hex digits in any case, 20 bytes, and addresses."""
    value = getattr(value, "as_bytes", value)
    if isinstance(value, bytes) and len(value) == 20:
        value = "0x" + value.hex()
    good = isinstance(value, str) and len(value) == 42 and value.startswith("0x") and set(value[2:]) <= HEX
    refuse_unless(good and set(value[2:]) != {"0"}, "bad_address")
    return str(value).lower()


def request_id(value: Any) -> str:
    found = text(value)
    refuse_unless(1 <= len(found) <= 64, "bad_request_id")
    return found


def usage_root(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.hex()
    refuse_unless(isinstance(value, str), "bad_usage_root")
    digits = value[2:] if value.startswith("0x") else value
    refuse_unless(value == "" or (len(digits) == 64 and set(digits) <= HEX), "bad_usage_root")
    return digits.lower()


def reason(value: Any) -> str:
    found = text(value)
    refuse_unless(len(found) <= 200 and found.isprintable(), "bad_reason")
    return found


def promise(days: Any, percent: Any, terms: Any, status_url: Any) -> tuple[int, int, str, str]:
    days = number(days, low=3, too_low="bad_promise", high=14, too_high="bad_promise")
    percent = number(percent, low=1, too_low="bad_promise", high=100, too_high="bad_promise")
    terms, url = text(terms), text(status_url)
    page = url.removeprefix("https://")
    good_url = url == "" or (url != page and page and len(url) <= 200 and all("!" <= each <= "~" for each in page))
    refuse_unless(len(terms) <= 2_000 and good_url, "bad_promise")
    return days, percent, terms, url


def entries(value: Any) -> list[dict[str, Any]]:
    refuse_unless(isinstance(value, list), "bad_type")
    refuse_unless(1 <= len(value) <= MAX_ENTRIES, "too_many_entries")
    lines = [_entry(item) for item in value]
    refuse_unless(len([line for line in lines if line["voucher"]]) <= MAX_VOUCHERS, "too_many_vouchers")
    return lines


def _entry(value: Any) -> dict[str, Any]:
    keys = {"consumer", "day_id", "calls", "spend_wei"}
    refuse_unless(
        isinstance(value, dict) and keys | set(value) - {"voucher", "close"} == keys == keys & set(value), "bad_entry"
    )
    return {
        "consumer": address(value["consumer"]),
        "day_id": number(value["day_id"]),
        "calls": number(value["calls"], low=1, too_low="bad_entry", high=MAX_CALLS),
        "voucher": _voucher(value.get("voucher")),
        "close": flag(value.get("close", False)),
        "spend_wei": number(value["spend_wei"]),
    }


def _voucher(value: Any) -> Voucher | None:
    if value is None:
        return None
    refuse_unless(isinstance(value, dict) and sorted(value) == ["cumulative_wei", "salt", "signature"], "bad_voucher")
    sum_wei = number(value["cumulative_wei"], too_low="bad_voucher")
    return Voucher(hex_of(value["salt"], 32), sum_wei, hex_of(value["signature"], 65))


def hex_of(value: Any, size: int) -> str:
    """0x text of so many bytes, or the bytes themselves."""
    if isinstance(value, bytes):
        value = "0x" + value.hex()
    good = isinstance(value, str) and value.startswith("0x") and set(value[2:]) <= LOWER_HEX
    refuse_unless(good and len(value) == 2 + 2 * size, "bad_voucher")
    return str(value)
