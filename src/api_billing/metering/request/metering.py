"""The terms of metering: what is metered how."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Required, TypedDict, cast

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.limits.checks import Amount, check_one_of
from api_billing.metering.limits.limits import Limit, limits_of
from api_billing.metering.limits.scopes import Limits, limits_at
from api_billing.metering.request.callables import check_callable, is_callable
from api_billing.metering.request.http import Headers, MeteredRequest, MeteredResponse
from api_billing.metering.request.identity import Extractor, Identity
from api_billing.metering.request.prices import Price, Watcher, fixed
from api_billing.metering.request.request_meter import OnBreach, OwnAnswer, RequestMeter
from api_billing.metering.request.tokens import ByTokens
from api_billing.metering.settings import MeterSettings

Estimate = Amount | Callable[[MeteredRequest], "Amount | Awaitable[Amount]"]
Units = int | Callable[[MeteredRequest], "int | Awaitable[int]"]
Exempts = Callable[[MeteredRequest, Identity], "bool | Awaitable[bool]"]
ExemptWhen = Callable[[MeteredRequest], "bool | Awaitable[bool]"] | Exempts
CountWhen = Callable[[MeteredRequest, MeteredResponse], "bool | Awaitable[bool]"]
GivenLimits = str | Limit | Iterable[str | Limit]
Text = Callable[[MeteredRequest], "str | Awaitable[str | None] | None"]
OnRefusal = Literal["answer", "pass"] | OwnAnswer
_MAX_OPERATION: Final = 200
_MAX_UNITS: Final = 2**31 - 1


class FurtherTerms(TypedDict, total=False):
    """The terms beside the API as keyword arguments; ``Metering`` says what each means."""

    estimate_wei: Estimate | None
    price: Price | Amount | None
    identify: Extractor | None
    operation: str | Text
    model: Text | None
    units: Units
    idempotent: bool
    reads_body: bool
    on_refusal: OnRefusal | None
    on_breach: OnBreach | None
    limits: GivenLimits
    exempt_when: ExemptWhen | None
    count_when: CountWhen | None


class ChargeTerms(TypedDict, total=False):
    """The terms of what is charged without a request, as keyword arguments: plain values, as nothing can be asked.

    With an ``idempotency_key``, which is apart from those of requests and known for 400 days, it is charged once.
    ``tags`` are kept with its record.
    """

    api: Required[str]
    idempotency_key: str
    tags: Mapping[str, str | int | bool | None] | None
    operation: str
    model: str
    units: int
    limits: GivenLimits


class Terms(FurtherTerms):
    """The terms as keyword arguments of every ``metered``."""

    api: str


@dataclass(frozen=True, slots=True)
class Metering:
    """What is metered how. One for each decorated route, middleware or application; immutable, shared by all requests.

    ``estimate_wei`` is what is set aside before serving, an amount or a callable of the request; ``price`` what serving
    has cost then, an amount or a callable of request and response. Each is the other where it is not given (0 where
    neither is); a price that is computed needs an estimate. An amount is an int of smallest units, or a text in the
    meter's currency (``"0.002 usd"``). ``identify`` says who it is (default: the meter's, API keys). ``operation``
    names the route for budgets and the audit log, as a text or a callable of the request (default: the request's own),
    ``model`` is a callable that tells the model that a request asks for. All of these callables may be async, and may
    ask for the body (``request.json()``); a price only when something has read it before serving: with ``reads_body``
    the meter does. ``units`` (from 1, or a callable of the request) is what a request counts as in usage, and in limits
    of calls. With ``idempotent`` an ``Idempotency-Key`` is honoured. With ``on_refusal="pass"`` a request that is
    refused is served all the same, and costs nothing: its handler looks at ``current_exchange().refusal``. As a
    callable of the request and the ``NotAllowed`` it gives the ``Answer``, or None for the problem; ``on_breach`` is
    one that is told what a limit or the credit refuses. Both may be async, do not fail a request, and are the meter's
    where they are not given.

    ``limits`` are those of requests, as texts (``"100/minute; per=address"``) or ``Limit``s. Requests of which
    ``exempt_when``, a callable of the request, or of it and its ``Identity``, says so have none of them; those of whose
    response ``count_when`` says False do not count in the ones of calls.

    Raises: InvalidSetting for what is no name, amount, number or callable.
    """

    meter: RequestMeter
    api: str
    estimate_wei: Estimate | None = None
    price: Price | Amount | None = None
    identify: Extractor | None = None
    operation: str | Text = ""
    model: Text | None = None
    units: Units = 1
    idempotent: bool = True
    reads_body: bool = False
    on_refusal: OnRefusal | None = None
    on_breach: OnBreach | None = None
    limits: GivenLimits = ()
    exempt_when: ExemptWhen | None = None
    count_when: CountWhen | None = None
    # What looks at the body of a response, where the price has something that does.
    watch: Callable[[Headers], Watcher] | None = field(init=False, repr=False)
    asks_nothing: bool = field(init=False, repr=False)  # what is to be known before serving stands in the terms
    scoped: Limits | None = field(init=False, repr=False)  # the limits, where they count; None: none
    exempts: Exempts | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_api(self.api)
        self._check()
        callables = (self.estimate_wei, self.operation, self.model, self.units)
        object.__setattr__(self, "asks_nothing", not (any(map(callable, callables)) or self.reads_body))
        self._check_limits()
        self.meter.connect(self.api)

    def _check(self) -> None:
        estimate, price = self._in_currency("estimate_wei"), self._in_currency("price")
        if type(price) is str:
            price = self.meter.amount("price", price)
        object.__setattr__(self, "watch", getattr(price, "watch", None))
        if estimate is None:
            if callable(price):
                raise InvalidSetting("a price that is computed needs an estimate, which the credit is asked for before")
            estimate = 0 if price is None else price
        if callable(estimate):
            check_callable("estimate_wei", estimate, "request")
            if price is None:
                raise InvalidSetting("an estimate that is computed needs a price: which one is charged?")
        else:
            estimate = self.meter.amount("estimate_wei", estimate)
            if isinstance(price, ByTokens) and not estimate:
                raise InvalidSetting("by_tokens needs an estimate: it is charged where an answer has no usage")
            object.__setattr__(self, "estimate_wei", estimate)
        if price is None or type(price) is int:
            object.__setattr__(self, "price", fixed(cast(int, estimate if price is None else price)))
        else:
            check_callable("price", price, "request", "response", or_else="an amount")
        if self.identify is not None:
            check_callable("identify", self.identify, "request", or_else="such as from_header('X-User')")
        if self.model is not None:
            check_callable("model", self.model, "request", or_else="such as lambda request: 'small'")
        operation, units = self.operation, self.units
        if callable(operation):
            check_callable("operation", operation, "request", or_else="or a text")
        elif type(operation) is not str or len(operation) > _MAX_OPERATION or not operation.isprintable():
            raise InvalidSetting(
                f"operation is a text of at most {_MAX_OPERATION} printable characters, not {operation!r:.80}"
            )
        if callable(units):
            check_callable("units", units, "request", or_else="or a number")
        elif not is_units(units):
            raise InvalidSetting(f"units are a whole number from 1 to 2^31 - 1, not {units!r:.80}")
        self._check_hooks()
        for name in ("idempotent", "reads_body"):
            if type(value := getattr(self, name)) is not bool:
                raise InvalidSetting(f"{name} is True or False, not {value!r:.80}")

    def _check_hooks(self) -> None:
        for name, else_ in (("on_refusal", "answer"), ("on_breach", None)):
            hook = getattr(self, name)
            if hook is None:
                hook = getattr(self.meter, name) or else_
                object.__setattr__(self, name, hook)
            elif callable(hook):
                check_callable(name, hook, "request", "refusal")
            else:
                check_one_of(name, hook, ("answer", "pass") if else_ else ())

    def _check_limits(self) -> None:
        limits = limits_of(self.limits, self.meter.currency)
        scoped = limits_at(self.api, limits)
        self.meter.check_limits(limits)
        exempts = self.exempt_when
        if exempts is not None:
            if not is_callable(exempts, "request"):
                check_callable("exempt_when", exempts, "request", "identity", or_else="or of the request alone")
            else:
                exempts = _of_request(cast(Any, exempts))
        if self.count_when is not None:
            check_callable("count_when", self.count_when, "request", "response")
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "scoped", scoped)
        object.__setattr__(self, "exempts", exempts)

    def _in_currency(self, term: str) -> Any:
        """An estimate or price; one of amounts that may be texts has none any more."""
        value = getattr(self, term)
        if not isinstance(value, type) and hasattr(value, "in_currency"):
            value = value.in_currency(self.meter.currency)
            object.__setattr__(self, term, value)
        return value

    def covers(self, method: str, path: str, mount: str = "") -> bool:
        """Whether middleware meters requests of this method and path, behind what its application is mounted at."""
        return self.meter.covers(method, path, mount)

    def takes(self, method: str) -> bool:
        """Whether requests of this method are metered where the terms stand at a route."""
        return method not in self.meter.settings.unmetered_methods


def check_terms(given: Iterable[str], kind: Any, what: str) -> None:
    """Raises: InvalidSetting for names that are no terms of this kind, a TypedDict."""
    known = kind.__annotations__
    for name in given:
        if name in known:
            continue
        if name in MeterSettings.model_fields:
            raise InvalidSetting(f"{name} is no term of {what}, but a setting of the meter: Meter.open(…, {name}=…)")
        raise InvalidSetting(f"{name} is no term of {what}, which are: {', '.join(known)}")


def check_api(name: object) -> None:
    """Raises: InvalidSetting for what is no name of an API."""
    if type(name) is not str or not 0 < len(name) <= 64 or not name.isprintable():
        raise InvalidSetting(f"an API's name has 1 to 64 printable characters: {name!r:.80}")


def is_units(found: object) -> bool:
    """Whether it is what a request may count as."""
    return type(found) is int and 1 <= found <= _MAX_UNITS


def _of_request(exempts: Callable[[MeteredRequest], Any]) -> Exempts:
    @functools.wraps(exempts)
    def of_both(request: MeteredRequest, identity: Identity) -> Any:
        return exempts(request)

    return of_both
