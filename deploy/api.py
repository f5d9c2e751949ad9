"""The API of compose.yaml, in the place of yours: `uvicorn --factory api:make_app`, metered as the environment says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api_billing.metering import Meter, configure_logging
from api_billing.metering.settings import MeterSettings
from api_billing.metering.web.fastapi import REFUSALS, metered
from api_billing.metering.web.operating import operating_asgi


def make_app() -> FastAPI:
    """Made in each worker."""
    configure_logging(MeterSettings.load())
    meter = Meter.open()
    price_wei = 10 ** max(0, meter.currency.decimals - 3)  # a thousandth of a dollar, or of a GEN; one credit

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        meter.close()

    app = FastAPI(title="A billed API", responses=REFUSALS, lifespan=lifespan)
    app.mount("/ops", operating_asgi(meter, token=meter.settings.service_token.get_secret_value()))

    @app.get("/forecast")
    @metered(meter, api="weather", estimate_wei=price_wei)
    async def forecast(city: str) -> dict[str, str]:
        return {"city": city, "sky": "clear"}

    return app
