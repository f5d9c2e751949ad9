#!/usr/bin/env python3
"""An API with FastAPI, billed per request.

python examples/fastapi_app.py --port 8000     shows an API key at the first start; the API: http://127.0.0.1:8000/docs
curl -i -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/fixed

/balance and /usage want the key: a voucher of a session pays, and does not say who asks, as others get to see it.
"""

import asyncio
from typing import Annotated, Any

import uvicorn
from demo_account import GWEI, arguments, balance_of, open_meter, usage_of
from fastapi import Depends, FastAPI, Query, Response

from api_billing.metering import (
    Meter,
    MeteredRequest,
    MeteredResponse,
    by_processing_time,
    by_response_size,
    current_exchange,
)
from api_billing.metering.web.fastapi import REFUSALS, metered
from api_billing.metering.web.fastapi_dependency import Identified, install


def price_per_word(request: MeteredRequest, response: MeteredResponse) -> int:
    """A price of one's own: 2 gwei for each word of the query parameter ``text``."""
    return 2 * GWEI * len(request.query_values("text")[0].split())


def make_app(meter: Meter) -> FastAPI:
    """The API. What a request is expected to cost at most is reserved first, what it has cost is charged then."""
    app = FastAPI(title="A billed API", responses=REFUSALS)
    install(app)  # for Identified; @metered needs nothing
    Consumer = Annotated[str, Depends(Identified(meter))]  # noqa: N806

    @app.get("/fixed")
    @metered(meter, api="demo", estimate_wei=GWEI)
    async def fixed() -> dict[str, str]:
        return {"costs": "1 gwei"}

    @app.get("/by-size")
    @metered(meter, api="demo", estimate_wei=100 * GWEI, price=by_response_size(GWEI, per_kib_wei=GWEI))
    async def by_size(kib: Annotated[int, Query(ge=0, le=90)] = 1) -> Response:
        return Response(bytes(1024 * kib))

    @app.get("/by-time")
    @metered(meter, api="demo", estimate_wei=20 * GWEI, price=by_processing_time(GWEI, per_second_wei=10 * GWEI))
    async def by_time(ms: Annotated[int, Query(ge=0, le=1000)] = 100) -> dict[str, int]:
        await asyncio.sleep(ms / 1000)
        return {"slept_ms": ms}

    @app.get("/custom")
    @metered(meter, api="demo", estimate_wei=50 * GWEI, price=price_per_word)
    async def custom(text: str) -> dict[str, str]:
        return {"reversed": text[::-1]}

    @app.get("/locked")
    @metered(meter, api="demo", estimate_wei=1000 * GWEI)
    def locked() -> dict[str, str]:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(3 * GWEI)  # known only now; the rest of what is locked is given back
        return balance_of(meter, exchange.consumer)

    @app.get("/broken")
    @metered(meter, api="demo", estimate_wei=GWEI)
    async def broken() -> None:
        raise RuntimeError("what fails costs nothing")

    @app.get("/balance")
    def balance(consumer: Consumer) -> dict[str, str]:
        return balance_of(meter, consumer)

    @app.get("/usage")
    def usage(consumer: Consumer) -> list[dict[str, Any]]:
        return usage_of(meter, consumer)

    return app


if __name__ == "__main__":
    given = arguments(__doc__)
    with open_meter(given.database, given.consumer) as opened:
        uvicorn.run(make_app(opened), host=given.host, port=given.port, log_level="warning")
