"""The status page of the HTTP meter, at ``/``: static files, and what they show that no other route tells.

The page asks with the admin token, which its user types in. There is none of it where there is no such token.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

from api_billing import __version__
from api_billing.metering.clock import DAY_MS, date_of
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.meter import Meter
from api_billing.metering.request.health import Looks, WithStore
from api_billing.metering.service.access import Access
from api_billing.metering.service.admin import of_admins
from api_billing.metering.service.bodies import Wei, WrongBody
from api_billing.metering.service.day_sums import DaySums
from api_billing.metering.service.problems import documented
from api_billing.metering.stores.steps import Steps, arun

STATUS: Final = "/v1/status"
_DAYS: Final = 30
_KINDS: Final = {"status.css": "text/css", "status.js": "text/javascript"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FIELDS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class DayBody(BaseModel):
    """What was used on a day (UTC), by all consumers."""

    day: str
    calls: int
    charged_wei: Wei


class StatusAnswer(BaseModel):
    """Whether the meter is well, and what was used on each of the last 30 days, oldest first; no days while the store
    is away.
    """

    version: str
    store: str
    currency: str
    currency_decimals: int
    ok: bool
    wrong: list[WrongBody]
    days: list[DayBody]


class Routes:
    """The routes of the page."""

    def __init__(self, meter: Meter, access: Access, days: DaySums) -> None:
        self._meter = meter
        self._access = access
        self._looks = Looks(WithStore(meter))
        self._days = days

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        read = {**of_admins(self._access), "responses": documented(401, 503)}
        app.add_api_route(STATUS, self.status, **read)
        app.add_api_route("/", self.page, methods=["GET", "HEAD"], include_in_schema=False)
        app.add_api_route("/static/{name}", self.file, include_in_schema=False)

    async def status(self) -> StatusAnswer:
        """What the status page shows: health, version, and the usage of 30 days."""
        return await arun(self._read(), self._meter.store.acall)

    async def page(self) -> Response:
        """The page."""
        return _static("status.html", "text/html")

    async def file(self, name: str) -> Response:
        """What it loads."""
        if name not in _KINDS:
            raise HTTPException(404, "There is no such file.")
        return _static(name, _KINDS[name])

    def _read(self) -> Steps[StatusAnswer]:
        health = yield from self._looks.look()
        today, currency, days = self._meter.now_ms() // DAY_MS, self._meter.currency, []
        with suppress(StoreUnavailable):  # which is told
            for day in range(today - _DAYS + 1, today + 1):
                sums = yield from self._days.of(day)
                calls, charged_wei = sum(each.calls for each in sums), sum(each.charged_wei for each in sums)
                days.append(DayBody(day=date_of(day).isoformat(), calls=calls, charged_wei=str(charged_wei)))
        return StatusAnswer(
            version=__version__,
            store=self._meter.store.url.partition(":")[0],
            currency=currency.code,
            currency_decimals=currency.decimals,
            ok=health.ok,
            wrong=[WrongBody(**each._asdict()) for each in health.wrong],
            days=days,
        )


def _static(name: str, kind: str) -> Response:
    content = files("api_billing.metering.service").joinpath("static", name).read_bytes()
    return Response(content, headers={**_FIELDS, "content-type": f"{kind}; charset=utf-8"})
