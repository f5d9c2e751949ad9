"""The API that ``bench/settlement.py`` asks: a small FastAPI service whose consumers pay from the chain.

METER_URL, NODE_URL, CONTRACT and API say where; SETTLE names the API when this process settles it, EVERY so many
seconds.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api_billing.metering.identity.extractors import from_header
from api_billing.metering.meter import Meter
from api_billing.metering.web.asgi import MeterMiddleware

API = "weather"
PRICE_WEI = 10**9


def make() -> FastAPI:
    settling = os.environ.get("SETTLE", "")
    meter = Meter.open(
        os.environ["METER_URL"],
        identify=from_header("X-Consumer"),
        contract=os.environ["CONTRACT"],
        url=os.environ["NODE_URL"],
        new_consumers="enterprise",
        reads_per_10_seconds=1_000,
        settle_apis=settling,
        settle_seconds=int(os.environ["EVERY"]),
        account="localnet:0" if settling else "",
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        meter.close()  # gives the lease back, so that somebody else can settle the rest

    app = FastAPI(lifespan=lifespan)

    @app.get("/forecast")
    async def forecast() -> dict[str, Any]:
        return {"city": "Zürich", "days": [{"day": day, "high": 20 + day, "low": 10 + day} for day in range(5)]}

    app.add_middleware(MeterMiddleware, metering=meter.metering(os.environ["API"], estimate_wei=PRICE_WEI))
    return app
