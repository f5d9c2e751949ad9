"""Who pays, by a voucher of a session in a header field: an extractor like the others (see ``request.identity``).

Here its form and size are checked, and nothing else: whose session it is, and whether its signer signed it, the meter
finds out before it believes, counts or stores anything.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from api_billing.errors import InvalidInput
from api_billing.metering.identity.extractors import credential
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import Extractor, Found, Identity
from api_billing.metering.request.problems import Refusal
from api_billing.networks import checked_address
from api_billing.vouchers import Voucher

MAX_VOUCHER_LENGTH: Final = 1024
FIELDS: Final = ("payer", "salt", "cumulative_wei", "signature")
_SUM: Final = re.compile("0|[1-9][0-9]{0,38}")
_NOT_READ: Final = Refusal("invalid_voucher", reason="malformed_voucher")


def from_voucher(header: str = "Payment-Voucher") -> Extractor:
    """The consumer pays by a voucher in a field of its own, or in ``Authorization: Voucher``.

    ``payer.salt.cumulative_wei.signature``, or a JSON object of these, all of them texts: the consumer's address, salt
    and signature as 0x and lower-case hex, the sum in decimal digits.
    """
    read = credential(header)

    def extract(request: MeteredRequest) -> Found:
        text = read(request)
        if text is None:
            return None
        return read_voucher(text) if isinstance(text, str) else _NOT_READ

    return extract


def read_voucher(text: str) -> Identity | Refusal:
    """Who a voucher says that pays, and the voucher; a refusal for what has another form."""
    if len(text) > MAX_VOUCHER_LENGTH or not text.isascii():
        return _NOT_READ
    try:
        parts = _of_json(text) if text.startswith("{") else text.split(".")
        payer, salt, cumulative, signature = parts
        if not _SUM.fullmatch(cumulative):
            return _NOT_READ
        return Identity(checked_address(payer), voucher=Voucher(salt, int(cumulative), signature))
    except (InvalidInput, ValueError, TypeError, RecursionError):
        return _NOT_READ


def _of_json(text: str) -> list[Any]:
    """The fields of an object that has these, and each once."""
    pairs = json.loads(text, object_pairs_hook=list)
    if sorted(name for name, _ in pairs) != sorted(FIELDS):
        raise ValueError("it has other fields")
    fields = dict(pairs)
    return [fields[name] for name in FIELDS]
