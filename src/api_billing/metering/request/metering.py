"""The terms of metering: what is metered how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.prices import Price, check_wei, fixed
from api_billing.metering.request.request_meter import RequestMeter

Estimate = int | Callable[[MeteredRequest], int]


class FurtherTerms(TypedDict, total=False):
    """The terms beside the API as keyword arguments; ``Metering`` says what each means."""

    estimate_wei: Estimate
    price: Price | None
    identify: Extractor | None
    operation: str
    model: Callable[[MeteredRequest], str] | None
    units: int
    idempotent: bool


class Terms(FurtherTerms):
    """The terms as keyword arguments of every ``metered``."""

    api: str


@dataclass(frozen=True, slots=True)
class Metering:
    """What is metered how. One for each decorated route, middleware or application; immutable, shared by all requests.

    ``estimate_wei`` is what is set aside before serving, an amount or a callable of the request; ``price`` what serving
    has cost then (default: the estimate). ``identify`` says who it is (default: the meter's, API keys). ``operation``
    names the route for budgets and the audit log (default: the request's own), ``model`` the model that a request asks
    for. With ``idempotent`` an ``Idempotency-Key`` is honoured.

    Raises: InvalidSetting for a name or an amount that is none.
    """

    meter: RequestMeter
    api: str
    estimate_wei: Estimate = 0
    price: Price | None = None
    identify: Extractor | None = None
    operation: str = ""
    model: Callable[[MeteredRequest], str] | None = None
    units: int = 1
    idempotent: bool = True

    def __post_init__(self) -> None:
        if not self.api or len(self.api) > 64 or not self.api.isprintable():
            raise InvalidSetting(f"an API's name has 1 to 64 printable characters: {self.api!r:.80}")
        self.meter.connect(self.api)
        if not callable(self.estimate_wei):
            check_wei("estimate_wei", self.estimate_wei)
            if self.price is None:
                object.__setattr__(self, "price", fixed(self.estimate_wei))
        elif self.price is None:
            raise InvalidSetting("an estimate that is computed needs a price: which one is charged?")

    def covers(self, method: str, path: str) -> bool:
        """Whether requests of this method and path are metered at all."""
        return self.meter.covers(method, path)
