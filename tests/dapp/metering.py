"""An operator's metered application: it serves a request for a voucher as the page gave it, and settles it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from api_billing.client import BillingClient
from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.settlement.worker import Settler
from api_billing.metering.stores import open_store
from api_billing.metering.stores.steps import run
from api_billing.metering.web.fastapi import metered


def serve_and_settle(operator: BillingClient, api: str, header: str, cost_wei: int) -> dict[str, Any]:
    """``header`` as one writes it for curl. Status and problem of the request, and what the settlement billed."""
    name, _, credential = header.partition(": ")

    def now_ms() -> int:
        return operator.connection.now() * 1000

    given = {
        "contract": operator.contract,
        "holds_from": "accepted",
        "credit_refresh_seconds": 1,
        "new_consumers": "enterprise",
    }
    settings = MeterSettings.load(store_url="memory://", **given)
    with Meter(open_store("memory://"), settings, clock_ms=now_ms) as meter:
        meter.on_chain = OnChain(operator, meter.store, settings, now_ms, lambda alert: None)
        meter.on_chain.start = lambda: None  # type: ignore[method-assign]
        app = FastAPI()

        @app.get("/tile")
        @metered(meter, api=api, estimate_wei=cost_wei)
        async def tile() -> str:
            return "sea"

        answer = TestClient(app).get("/tile", headers={name: credential})
        settler = Settler(operator, holder="test", now_ms=now_ms, alert=lambda alert: None)
        done = run(settler.round(api), meter.store.call)
        return {"status": answer.status_code, "answer": answer.json(), "settled": done.status}
