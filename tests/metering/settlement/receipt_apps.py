"""The APIs that a consumer contract fetches in these tests: ``receipt_apps:fastapi_app`` and ``flask_app``, factories.

Each run of a handler answers otherwise than all others, and is written down in the file ``RUNS``.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from api_billing.metering import Meter

TERMS: dict[str, Any] = {"api": os.environ.get("METERED_API", "weather"), "estimate_wei": 500}


def forecast_now() -> str:
    """An answer that nobody gets a second time."""
    answer = str(uuid.uuid4())
    with Path(os.environ["RUNS"]).open("a", encoding="ascii") as runs:
        runs.write(f"{answer}\n")
    return answer


def fastapi_app() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    from api_billing.metering.web.fastapi import metered

    app = FastAPI()
    meter = Meter.open()

    @app.get("/forecast")
    @metered(meter, **TERMS)
    async def forecast(city: str) -> PlainTextResponse:
        return PlainTextResponse(f"{city} {forecast_now()}")

    return app


def flask_app() -> Any:
    from flask import Flask, request

    from api_billing.metering.web.flask import metered

    app = Flask(__name__)
    meter = Meter.open()

    @app.get("/forecast")
    @metered(meter, **TERMS)
    def forecast() -> str:
        return f"{request.args['city']} {forecast_now()}"

    return app
