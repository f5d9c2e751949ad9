"""Administration over HTTP: consumers, keys, credit and tiers, for whoever shows the admin token."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query, Security
from fastapi.security import HTTPBearer

from api_billing.metering.ledger.consumer_operations import ListProfiles, ListTiers
from api_billing.metering.meter import Meter
from api_billing.metering.service import admin_bodies as bodies
from api_billing.metering.service.access import Access
from api_billing.metering.service.body_limit import CONSUMERS, TIERS
from api_billing.metering.service.problems import documented

_PAGE: Final = 100

After = Annotated[str, Query(max_length=200, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def of_admins(access: Access) -> dict[str, Any]:
    """What a route has that only the admin token opens."""
    token = HTTPBearer(auto_error=False, scheme_name="admin token", description="The admin token")
    return {"dependencies": [Security(token), Depends(access.require_admin)], "tags": ["administration"]}


class Routes:
    """The routes of administration."""

    def __init__(self, meter: Meter, access: Access) -> None:
        self._meter = meter
        self._access = access

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        admin = of_admins(self._access)
        read = {**admin, "responses": documented(400, 401, 503)}
        app.add_api_route(CONSUMERS, self.consumers, **read)
        app.add_api_route(TIERS, self.tiers, **read)

    async def consumers(self, after: After = "", limit: Limit = _PAGE) -> bodies.ConsumersAnswer:
        """Consumers in the order of their names."""
        found = await self._meter.store.acall(ListProfiles(after, limit))
        last = found[-1].consumer if len(found) == limit else None
        return bodies.ConsumersAnswer(consumers=[bodies.ConsumerBody.of(each) for each in found], next=last)

    async def tiers(self) -> bodies.TiersAnswer:
        """All tiers."""
        found = await self._meter.store.acall(ListTiers())
        return bodies.TiersAnswer(tiers=[bodies.TierBody.of(each) for each in found])
