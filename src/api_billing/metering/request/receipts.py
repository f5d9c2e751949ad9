"""Receipts: requests whose call the contract has billed. The rules, without the chain and without a store.

A consumer contract is billed for a call first, gets a receipt, and fetches the API then. Its leader and each of its
validators make that request, all with the same receipt: one of them is served, and all get its response.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple

from api_billing.contract_api import API_NAME
from api_billing.metering.clock import DAY_MS
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.problems import Refusal
from api_billing.metering.settings import MeterSettings

# As the contract writes it: API, consumer, day of billing, which of the consumer's calls of that day it was, and what
# tells its request from others.
_RECEIPT: Final = re.compile(
    rf"(({API_NAME.pattern}):(0x[0-9a-f]{{40}}):(0|[1-9][0-9]{{0,14}}):[1-9][0-9]{{0,14}})(?::[0-9a-f]{{8}})?"
)
_ACCOUNT: Final = "receipt:"


class Receipt(NamedTuple):
    """What a receipt says of itself; whether it is genuine only the contract knows.

    ``call`` is the call alone: when the contract has forgotten its request, whatever follows that in a receipt is as
    good as any other, and yet one call was paid for.
    """

    text: str
    call: str
    api: str
    consumer: str
    day: int

    def usable_until_ms(self, days: int) -> int:
        """From when on it is too old: so many days after the end of its own."""
        return (self.day + 1 + days) * DAY_MS

    def kept_until_ms(self, days: int) -> int:
        """How long its response is kept: a day longer, so that clocks that differ cannot have it served twice."""
        return self.usable_until_ms(days) + DAY_MS


def receipt_of(request: MeteredRequest, settings: MeterSettings, *, in_query: bool = True) -> Receipt | Refusal | None:
    """The receipt that a request carries, in its header or its query; None when it carries none."""
    field, name, query = settings.receipt_header.lower(), settings.receipt_query, request.query
    values = request.headers.all(field) if field else []
    texts = [text.strip() for value in values for text in value.split(",")]
    # Most requests carry none: their queries need not be taken apart.
    if in_query and name and (name.encode() in query or b"%" in query):
        # From a query that cannot be read no receipt can be, and the query is the handler's to judge.
        with suppress(ValueError):
            texts += request.query_values(name)
    if not texts:
        return None
    if len(set(texts)) > 1:
        return invalid("several")
    return read_receipt(texts[0])


def read_receipt(text: str) -> Receipt | Refusal:
    """The receipt of such an id."""
    match = _RECEIPT.fullmatch(text)
    if match is None:
        return invalid("malformed")
    return Receipt(match[0], match[1], match[2], match[3], int(match[4]))


def receipt_account(consumer: str) -> str:
    """The account of a consumer's requests with receipts. It never has money, so that they cannot cost any."""
    return _ACCOUNT + consumer


def is_receipt_account(account: str) -> bool:
    """Whether an account is one of those: no other name of an account begins so, as no API's has a colon in it."""
    return account.startswith(_ACCOUNT)


def refusal_of(receipt: Receipt, api: str, now_ms: int, days: int) -> Refusal | None:
    """Why a receipt is refused without asking the chain; None when only the contract can tell."""
    if receipt.api != api:
        return invalid("other_api")
    if now_ms >= receipt.usable_until_ms(days):
        return invalid("expired", f"A receipt can be used until {days} days after the day of its call.")
    if receipt.day > now_ms // DAY_MS + 1:
        return UNKNOWN
    return None


def invalid(reason: str, detail: str = "") -> Refusal:
    """A receipt that nothing is served for."""
    return Refusal("invalid_receipt", detail, reason=reason)


UNKNOWN: Final = invalid("unknown")
