"""Limits of requests over HTTP, for whoever shows the admin token: what `api-billing meter limits` does."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.documents import limit_to_object
from api_billing.metering.ledger.limit_operations import ListLimits
from api_billing.metering.limits.limits import Limit
from api_billing.metering.meter import Meter
from api_billing.metering.service.access import Access
from api_billing.metering.service.admin import of_admins
from api_billing.metering.service.admin_bodies import Body, LimitName
from api_billing.metering.service.bodies import ApiName
from api_billing.metering.service.body_limit import LIMITS
from api_billing.metering.service.problems import ServiceProblem, documented

LimitText = Annotated[
    str, Field(min_length=1, max_length=400, examples=["100/minute; per=address; on=api", "0.5 gen/day"])
]
ApiQuery = Annotated[str, Query(pattern=r"^[!-~]{1,64}$", description="Of this API")]


class LimitToSet(Body):
    """A limit as a text, and what it is called, if that is not in the text."""

    api: ApiName
    limit: LimitText
    name: LimitName | None = None


class LimitThatIsSet(BaseModel):
    """A limit of requests to an API. Amounts are decimal strings; its length is one of `seconds` to `years`."""

    model_config = ConfigDict(extra="allow")

    api: str
    name: str
    window: str
    amount: str
    unit: str
    burst: str
    anchor: str | None
    per: str
    on: str
    group: str
    by_tier: dict[str, str | None]

    @classmethod
    def of(cls, api: str, limit: Limit) -> Self:
        """A limit for JSON."""
        return cls(api=api, **limit_to_object(limit))


class LimitsAnswer(BaseModel):
    """The limits that are set; those in an API's code are not among them."""

    limits: list[LimitThatIsSet]


class LimitRemoved(BaseModel):
    """Whether there was such a limit."""

    removed: bool


class LimitRoutes:
    """The routes of limits."""

    def __init__(self, meter: Meter, access: Access) -> None:
        self._meter = meter
        self._access = access

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        admin = {**of_admins(self._access), "responses": documented(400, 401, 413, 503)}
        app.add_api_route(LIMITS, self.limits, **admin)
        app.add_api_route(LIMITS, self.set_limit, methods=["PUT"], **admin)
        app.add_api_route(LIMITS, self.remove_limit, methods=["DELETE"], **admin)

    async def limits(self, api: ApiQuery | None = None) -> LimitsAnswer:
        """The limits that are set, of one API or of all."""
        found = (await self._meter.store.acall(ListLimits(api or ""))).by_api
        return LimitsAnswer(limits=[LimitThatIsSet.of(each, limit) for each in found for limit in found[each]])

    async def set_limit(self, body: LimitToSet) -> LimitThatIsSet:
        """Set a limit from the next request on, in the place of the one of its name, or beside the others."""
        try:
            return LimitThatIsSet.of(body.api, await self._meter.aset_limit(body.api, body.limit, name=body.name or ""))
        except InvalidSetting as error:
            raise ServiceProblem("invalid_request", f"body.limit: {error}") from None

    async def remove_limit(self, api: ApiQuery, name: Annotated[str, Query(max_length=64)]) -> LimitRemoved:
        """Take back a limit that was set; one of its name in code holds again."""
        return LimitRemoved(removed=await self._meter.aremove_limit(api, name))
