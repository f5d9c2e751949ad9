"""Refusal codes of the contract in the words of a person who reads a report."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "api_not_registered": "nobody has registered this API",
        "api_paused": "the operator has paused the API",
        "not_subscribed": "the client has no subscription to the API",
        "price_changed": "the price rose above the one the client accepted",
        "daily_limit_exceeded": "all calls of the day were used up",
        "monthly_limit_exceeded": "all calls of the month were used up",
        "daily_spend_exceeded": "the client's own cap for the day was reached",
        "insufficient_credit": "the client's prepaid credit was used up",
        "day_closed": "the usage was reported too late to be billed",
        "spend_above_price": "more was charged than the accepted price",
    }
)


def in_words(code: str) -> str:
    """Return why a call was refused; a code without words of its own is shown as it is, without underscores."""
    return REFUSALS.get(code, code.replace("_", " "))
