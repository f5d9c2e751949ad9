"""The service that ``test_service_on_chain`` runs under uvicorn: a meter with a contract, which settles by itself."""

import os

from fastapi import FastAPI

from api_billing.metering import Meter, first_of, from_header, from_voucher
from api_billing.metering.web.fastapi import metered

API = "weather"
COST_WEI = 7


def app() -> FastAPI:
    made = FastAPI()
    meter = Meter.open(
        os.environ["METER_URL"],
        identify=first_of(from_voucher(), from_header("X-Consumer")),
        contract=os.environ["CONTRACT"],
        url=os.environ["NODE_URL"],
        new_consumers="enterprise",
        settle_apis=(API,),
        settle_seconds=1,
        account="localnet:0",
    )

    @made.get("/forecast")
    @metered(meter, api=API, estimate_wei=COST_WEI)
    async def forecast() -> str:
        return "sunny"

    return made
