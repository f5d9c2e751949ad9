"""Where a request comes by several terms, those nearest to the handler hold, and it is charged once."""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from flask import Flask

from api_billing.metering import Meter, from_address
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.web.asgi import MeteredASGI
from api_billing.metering.web.fastapi import MeterDependency, MeterMiddleware, install, metered
from api_billing.metering.web.flask import metered as metered_view
from api_billing.metering.web.wsgi import MeteredWSGI
from api_billing.testing import paying

CHEAP, DEAR = 1, 500
BODY = {"model": "small"}


def estimate(request: Any) -> int:
    return len(request.json()) * CHEAP


async def endpoint(request: Request) -> Any:
    return await request.json()


async def streamed(request: Request) -> Any:
    return StreamingResponse(iter([b"a", b"b"]))


def below_a_middleware(meter: Meter, handler: Any) -> Any:
    app = FastAPI()
    app.post("/it")(metered(meter, api="shop", estimate_wei=DEAR, limits="2/day")(handler))
    app.add_middleware(MeterMiddleware, metering=meter.metering("shop", estimate_wei=estimate, price=CHEAP))
    return app


def below_a_dependency(meter: Meter, handler: Any) -> Any:
    app = FastAPI()
    cheap = MeterDependency(meter.metering("shop", estimate_wei=estimate, price=CHEAP))
    router = APIRouter(dependencies=[Depends(cheap)])
    router.post("/it")(metered(meter, api="shop", estimate_wei=DEAR, limits="2/day")(handler))
    app.include_router(router)
    install(app)
    return app


def two_dependencies(meter: Meter, handler: Any) -> Any:
    cheap = MeterDependency(meter.metering("shop", estimate_wei=estimate, price=CHEAP))
    dear = MeterDependency(meter.metering("shop", estimate_wei=DEAR, limits="2/day"))
    app = FastAPI(dependencies=[Depends(cheap)])
    app.post("/it", dependencies=[Depends(dear)])(handler)
    install(app)
    return app


def two_applications(meter: Meter, handler: Any) -> Any:
    app = FastAPI()
    app.post("/it")(handler)
    inner = MeteredASGI(app, meter.metering("shop", estimate_wei=DEAR, limits="2/day"))
    return MeteredASGI(inner, meter.metering("shop", estimate_wei=estimate, price=CHEAP))


MADE = [below_a_middleware, below_a_dependency, two_dependencies, two_applications]


@pytest.mark.parametrize("handler", [endpoint, streamed])
@pytest.mark.parametrize("make", MADE)
def test_nearer_terms__below_others__hold_and_are_charged_once(
    memory_meter: Meter, make: Callable[[Meter, Any], Any], handler: Any
) -> None:
    client, acme = TestClient(make(memory_meter, handler)), paying(memory_meter, "acme", 10_000)
    answers = [client.post("/it", json=BODY, headers=acme) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].text in ('{"model":"small"}', "ab")
    today = datetime.now(UTC)
    seconds = monthrange(today.year, today.month)[1] * 86_400
    assert answers[0].headers.get_list("ratelimit-policy") == [f'"month";q=1000;w={seconds}, "2-per-day";q=2;w=86400']
    balance = memory_meter.balance("acme")
    assert (balance.charged_wei, balance.reserved_wei) == (2 * DEAR, 0)
    settled = memory_meter.store.call(ListRecords(states=("settled",)))
    assert [record.charged_wei for record in settled] == [DEAR, DEAR]


def test_route_that_costs__below_free_limits_by_address__is_for_who_can_pay(memory_meter: Meter) -> None:
    app = FastAPI()
    app.get("/dear")(metered(memory_meter, api="shop", estimate_wei=DEAR)(lambda: "served"))
    free = memory_meter.metering("shop", identify=from_address(), limits="5/minute")
    app.add_middleware(MeterMiddleware, metering=free)
    client = TestClient(app)
    assert client.get("/dear").status_code == 401
    assert client.get("/dear", headers=paying(memory_meter)).headers["x-cost-wei"] == str(DEAR)


def test_view_of_flask__below_wsgi_middleware__has_its_own_terms(memory_meter: Meter) -> None:
    app = Flask(__name__)
    app.get("/it")(metered_view(memory_meter, api="shop", estimate_wei=DEAR, limits="2/day")(lambda: "served"))
    app.wsgi_app = MeteredWSGI(app.wsgi_app, memory_meter.metering("shop", estimate_wei=CHEAP))  # type: ignore[method-assign]
    client, acme = app.test_client(), paying(memory_meter, "acme", 10_000)
    answers = [client.get("/it", headers=acme) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers.getlist("x-cost-wei") == [str(DEAR)]
    assert memory_meter.balance("acme").charged_wei == 2 * DEAR
