"""Prices: what a served request costs, in smallest units (wei), from the request and its response.

A price is ``fixed``, ``by_response_size``, ``by_processing_time``, or an own sync or async callable of (request,
response) that returns an amount. It must not fail, but when it does the request is charged a share of its estimate
(``price_of``). Amounts may be texts in the meter's currency (``"0.002 usd"``): ``Metering`` makes ints of them.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, Protocol, Self, cast

from api_billing.amounts import GEN, Currency
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import MAX_AMOUNT_WEI
from api_billing.metering.limits.checks import Amount, amount_in, check_amount
from api_billing.metering.request.callables import name_of
from api_billing.metering.request.http import Headers, MeteredRequest, MeteredResponse
from api_billing.metering.seldom import Seldom
from api_billing.metering.stores.steps import Steps, is_waiting

Price = Callable[[MeteredRequest, MeteredResponse], "Amount | Awaitable[Amount]"]

_LOG: Final = logging.getLogger("api_billing.metering.prices")
_KIB: Final = 1024
_SECOND_MS: Final = 1000


class ChargeEstimate(Exception):
    """Raised by a price that cannot tell what a request has cost: all of its estimate is charged, and it is logged."""


class Watcher(Protocol):
    """Sees a response's body as it goes out. Must not fail."""

    def see(self, piece: bytes) -> None:
        """A piece of the body, as the client gets it."""


class Watching(Protocol):
    """A price that wants to see the body of a response: it has ``watch``, and finds its watcher in the response."""

    def watch(self, headers: Headers) -> Watcher:
        """What is shown the body of a response with these header fields."""


class OfAmounts(ABC):
    """A price of nothing but amounts. Raises: InvalidSetting for one that is none."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, amount in self._amounts().items():
            (check_amount if type(amount) is str else check_wei)(name, amount)

    @abstractmethod
    def __call__(self, request: MeteredRequest, response: MeteredResponse) -> int:
        """The price. Of an amount that is a text yet it fails."""

    def in_currency(self, currency: Currency) -> Self:
        """The same without texts. Raises: InvalidSetting for one that is not of this currency."""
        return type(self)(**{name: amount_in(currency, name, amount) for name, amount in self._amounts().items()})

    def _amounts(self) -> dict[str, Amount]:
        return {each.name: getattr(self, each.name) for each in fields(cast("type[Fixed]", self))}


@dataclass(frozen=True, slots=True)
class Fixed(OfAmounts):
    """Every request costs the same."""

    wei: Amount

    def __call__(self, request: MeteredRequest, response: MeteredResponse) -> int:
        return self.wei  # type: ignore[return-value] # see in_currency


@dataclass(frozen=True, slots=True)
class ByResponseSize(OfAmounts):
    """``base_wei``, and ``per_kib_wei`` for each 1,024 bytes of the response's body: exact to the byte, rounded up."""

    base_wei: Amount
    per_kib_wei: Amount

    def __call__(self, request: MeteredRequest, response: MeteredResponse) -> int:
        return self.base_wei - response.body_bytes * self.per_kib_wei // -_KIB  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class ByProcessingTime(OfAmounts):
    """``base_wei``, and ``per_second_wei`` for each second of serving, exact to the millisecond and rounded up."""

    base_wei: Amount
    per_second_wei: Amount

    def __call__(self, request: MeteredRequest, response: MeteredResponse) -> int:
        # A clock that was set back in between must not make a request cheaper than its base.
        return self.base_wei - max(0, response.duration_ms) * self.per_second_wei // -_SECOND_MS  # type: ignore[operator]


fixed = Fixed
by_response_size = ByResponseSize
by_processing_time = ByProcessingTime


def check_wei(what: str, amount: object) -> int:
    """Return an amount that is one: an int from 0 to 2^256 - 1, and no bool. Raises: InvalidSetting."""
    if not is_wei(amount):
        like = "an int of smallest units, from 0 to 2^256 - 1, or a text such as '0.002 usd'"
        raise InvalidSetting(f"{what} is {like}, not {amount!r:.80}")
    return cast(int, amount)


def is_wei(amount: object) -> bool:
    """Whether something is an amount of wei."""
    return type(amount) is int and 0 <= amount <= MAX_AMOUNT_WEI


def is_amount(currency: Currency, amount: object) -> bool:
    """Whether something is an amount, as an int or a text in this currency."""
    if type(amount) is not str:
        return is_wei(amount)
    try:
        return amount_in(currency, "", amount) >= 0
    except InvalidSetting:
        return False


class Priced(NamedTuple):
    """What a request costs. ``problem`` says why it is the fallback: a class of exception, or ``no amount``."""

    wei: int
    problem: str = ""


def price_of(
    price: Price,
    request: MeteredRequest,
    response: MeteredResponse,
    estimate_wei: int,
    fallback_percent: int,
    seldom: Seldom | None = None,
    currency: Currency = GEN,
) -> Steps[Priced]:
    """What a request costs; ``fallback_percent`` of the estimate (rounded up) when the price fails. It never raises."""
    try:
        amount = price(request, response)
        if type(amount) is not int and is_waiting(amount):
            amount = yield cast("Awaitable[Amount]", amount)
        if type(amount) is str:
            amount = amount_in(currency, "the price", amount)
    except ChargeEstimate as exc:
        what = (request.method, request.route, str(exc))
        (seldom or Seldom()).log(_LOG, logging.ERROR, "%.20r %.200r is charged its whole estimate: %s", *what, kind=exc)
        return Priced(estimate_wei, str(exc))
    except Exception as exc:
        where = (request.method, request.route)
        (seldom or Seldom()).log(_LOG, logging.ERROR, "the price of %.20r %.200r failed", *where, exc_info=True)
        return Priced(fallback_wei(estimate_wei, fallback_percent), type(exc).__name__)
    if type(amount) is int and 0 <= amount <= MAX_AMOUNT_WEI:
        return Priced(amount)
    what, kind = (request.method, request.route, type(amount).__name__), (name_of(price), type(amount).__name__)
    (seldom or Seldom()).log(_LOG, logging.ERROR, "the price of %.20r %.200r is no amount but %s", *what, kind=kind)
    return Priced(fallback_wei(estimate_wei, fallback_percent), "no amount")


def fallback_wei(estimate_wei: int, percent: int) -> int:
    """A share of the estimate, rounded up."""
    return -(-estimate_wei * percent // 100)
