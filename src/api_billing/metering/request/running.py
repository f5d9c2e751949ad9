"""What a response costs while it goes out.

In a session nothing is collected beyond what is set aside, so that more is set aside before each piece that costs more.
How much it costs so far is known by prices that grow, and by what the application says.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.operations import NotReserved, Refused, Reserve, Reserved, ReserveMore
from api_billing.metering.limits.checks import in_smallest_units
from api_billing.metering.request.http import MeteredResponse, TextHeaders
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.prices import ByProcessingTime, ByResponseSize, Fixed
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.receipt_payer import pauses
from api_billing.metering.stores.steps import Pause, Steps

_LONGEST_PAUSE: Final = 2.0  # between two looks at whether there is one
_NO_FIELDS: Final = TextHeaders(())

Gone = Callable[[], Awaitable[bool]]  # whether the client has gone away

_log = logging.getLogger("api_billing.metering")


class Patience(NamedTuple):
    """How long a stream waits for a voucher, and for all of them; whether it keeps a thread from others meanwhile."""

    seconds: float
    seconds_in_all: float
    keeps_thread: bool = False


# A worker of gunicorn that does one thing at a time is killed after 30 seconds with a request.
IN_THREAD: Final = Patience(10, 20, keeps_thread=True)
IN_COROUTINE: Final = Patience(60, 600)


class Running:
    """Not thread-safe, as its exchange. ``cost_wei`` and ``extended_wei`` are what the application says of the cost,
    ``held_wei`` is what is set aside by now.
    """

    __slots__ = ("_estimate_wei", "_paid", "_paused_ms", "_payer", "_refused", "cost_wei", "extended_wei", "held_wei")

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self.cost_wei: int | None = None  # instead of the price
        self.extended_wei = 0  # beside it
        self.held_wei = 0
        self._estimate_wei = 0
        self._paid: tuple[int | None, int] = (None, 0)  # both, when a piece was paid for
        self._paused_ms = 0
        self._refused: tuple[Refused, int] | None = None  # why no more was set aside, and how much it was to be

    def begin(self, estimate_wei: int) -> None:
        """So much is set aside."""
        self.held_wei = self._estimate_wei = estimate_wei

    def duration_ms(self) -> int:
        """How long ago the request came in, without the time that it waited for a voucher."""
        return max(0, self._payer.metering.meter.now_ms() - self._payer.request.at_ms - self._paused_ms)

    def outgrows(self, body_bytes: int) -> bool:
        """Whether with so many bytes of its body it costs more than is set aside."""
        if self._so_far_wei(body_bytes) > self.held_wei:
            return True
        self._paid = self.cost_wei, self.extended_wei
        return False

    def cut(self) -> None:
        """What the application has said of a piece that is not paid for is void."""
        self.cost_wei, self.extended_wei = self._paid

    def cover(
        self, reserve: Reserve | None, body_bytes: int, patience: Patience | None, gone: Gone | None = None
    ) -> Steps[bool]:
        """Have set aside what it costs with so many bytes of its body; with patience, wait for that. Never raises."""
        if reserve is None:
            return False
        if patience is None:
            return (yield from self._cover(reserve, body_bytes))
        keeper = self._payer.metering.meter.keeper
        if patience.keeps_thread and not keeper.may_pause(reserve.reservation_id):
            return False
        try:
            return (yield from self._wait(reserve, body_bytes, patience, gone))
        finally:
            keeper.goes_on(reserve.reservation_id)

    def _wait(self, reserve: Reserve, body_bytes: int, patience: Patience, gone: Gone | None) -> Steps[bool]:
        meter = self._payer.metering.meter
        since_ms = meter.now_ms() - self._paused_ms
        seconds = min(patience.seconds, patience.seconds_in_all - self._paused_ms / 1000)
        for pause in pauses(seconds, _LONGEST_PAUSE):
            yield Pause(pause)
            self._paused_ms = meter.now_ms() - since_ms
            if gone is not None and (yield gone()):
                return False
            if (yield from self._cover(reserve, body_bytes)):
                return True
        return False

    def need_voucher(self) -> Mapping[str, Any] | None:
        """What to ask the client for; None when nothing would help."""
        return None if self._refused is None else self._payer.need_voucher(*self._refused)

    def tell(self, status: int, length: int) -> None:
        """Tell the client over x402 what it costs, when a body of this length begins, and its price knows."""
        payer, price = self._payer, self._payer.metering.price
        is_told = payer.speaks == "x402" and status not in payer.metering.meter.free_statuses
        if is_told and self.cost_wei is None and isinstance(price, ByResponseSize | Fixed):
            payer.told_wei = min(price(payer.request, MeteredResponse(status, _NO_FIELDS, length)), self.held_wei)

    def _so_far_wei(self, body_bytes: int) -> int:
        """What it will have cost with so many bytes of its body; its estimate, where only its end can tell."""
        cost_wei, price = self.cost_wei, self._payer.metering.price
        if cost_wei is None and isinstance(price, ByResponseSize | ByProcessingTime):
            response = MeteredResponse(200, _NO_FIELDS, body_bytes, duration_ms=self.duration_ms())
            cost_wei = price(self._payer.request, response)
        elif cost_wei is None:
            cost_wei = self._estimate_wei
            if isinstance(price, Fixed):
                cost_wei = min(in_smallest_units("a fixed price", price.wei), cost_wei)
        return cost_wei + self.extended_wei

    def _cover(self, reserve: Reserve, body_bytes: int) -> Steps[bool]:
        """As much again as was estimated, so that not each piece asks for itself; or only what is needed."""
        needed_wei, refused = self._so_far_wei(body_bytes), None
        for wanted_wei in dict.fromkeys((max(needed_wei, self.held_wei + self._estimate_wei), needed_wei)):
            if (yield from self.reserve_more(reserve, wanted_wei)):
                return True
            refused = refused or self._refused
        self._refused = refused
        return False

    def reserve_more(self, reserve: Reserve, wanted_wei: int) -> Steps[bool]:
        """Have so much set aside in all, when it is not. Never raises."""
        self._refused = None
        if wanted_wei <= self.held_wei:
            return True
        if reserve.session is None or reserve.session.exact:
            return False  # what was signed is for just what was estimated
        try:
            reply = yield from self.set_aside(reserve, wanted_wei)
        except MeterError as error:
            self._payer.metering.meter.seldom.log(_log, logging.WARNING, "more cannot be set aside: %s", error)
            return False
        if isinstance(reply, Refused):
            self._refused = reply, wanted_wei
        return isinstance(reply, Reserved)

    def set_aside(self, reserve: Reserve, wanted_wei: int) -> Steps[Reserved | Refused | NotReserved | Refusal]:
        """Set so much aside in all, or say why not. Raises: StoreUnavailable."""
        payer, meter = self._payer, self._payer.metering.meter
        if meter.on_chain is not None:
            admitted = yield from meter.on_chain.admit(reserve.api, payer.consumer, wanted_wei)
            if isinstance(admitted, Refusal):
                return admitted  # the contract bills no call above the price accepted for one
        reply: Reserved | Refused | NotReserved = yield ReserveMore.of(reserve, wanted_wei, meter.now_ms())
        if isinstance(reply, Reserved):
            self.held_wei = payer.estimate_wei = wanted_wei
            payer.counts, payer.frees = reply.counts, reply.frees
            self._paid = self.cost_wei, self.extended_wei
        return reply
