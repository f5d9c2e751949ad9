"""An API at its real door, on a localnet, and a consumer who has GEN and nothing else. Fixtures of the conftest."""

import socket
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import Body, FastAPI, Request
from fastapi.responses import StreamingResponse

from api_billing.metering import by_response_size
from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.web.fastapi import metered
from api_billing.networks import Network, find_network
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture
from tests.metering.settlement.places import PRICE, Place, deployed

node = server_fixture(scope="module", finality_window_seconds=0)

PIECES = [f"data: {text * 292}\n\n".encode() for text in "abc"]  # of 300 bytes, which cost 1 wei each


class PayersPlace(Place):
    """An API, and a consumer who has an account with GEN and nothing else."""

    def place_hold(self, hold_wei: int) -> None:
        pass


@pytest.fixture(scope="module")
def network(node: RpcServer) -> Network:
    return find_network("localnet", node.url)


@pytest.fixture(scope="module")
def contract(network: Network) -> str:
    return deployed(network)


@pytest.fixture
def place(request: pytest.FixtureRequest, network: Network, contract: str) -> Iterator[PayersPlace]:
    made = PayersPlace(request.node.nodeid, network, contract)
    with made.store:
        yield made


@pytest.fixture
def url(place: PayersPlace) -> Iterator[str]:
    """Where an API is served that costs half of what it may."""
    given: dict[str, Any] = {"payments": "x402,mpp", "holds_from": "finalized", "credit_refresh_seconds": 1}
    settings = MeterSettings.load(store_url="memory://", contract=place.contract, url=place.network.url, **given)
    meter = Meter(place.store, settings, clock_ms=place.now_ms)
    meter.on_chain = OnChain(place.operator, place.store, settings, place.now_ms, place.alerts.append)
    meter.on_chain.start = lambda: None  # type: ignore[method-assign]
    app = FastAPI()

    @app.get("/forecast")  # which allows no HEAD
    @metered(meter, api=place.api, estimate_wei=PRICE, price=PRICE // 2)
    async def forecast() -> str:
        return "sunny"

    @app.api_route("/echo", methods=["POST", "PUT"])
    async def echo(request: Request) -> list[str | None]:
        fields = [request.headers.get(name) for name in ("content-type", "x-mark")]
        return [request.method, (await request.body()).decode(), *fields]

    terms: dict[str, Any] = {"api": place.api, "estimate_wei": 310, "price": by_response_size(10, 1024)}

    def pieces() -> StreamingResponse:
        return StreamingResponse(iter(PIECES), media_type="text/event-stream")

    @app.api_route("/events", methods=["GET", "HEAD"])
    @metered(meter, **terms)
    def events() -> StreamingResponse:
        return pieces()

    @app.post("/ring")
    @metered(meter, api=place.api, estimate_wei=PRICE, price=PRICE // 2)
    async def ring() -> str:
        return "rung"

    @app.post("/talk")
    @metered(meter, **terms)
    def talk(question: Annotated[str, Body()]) -> StreamingResponse:
        return pieces()

    with serving(app) as at:
        yield f"{at}/forecast"
    meter.close()


class serving:  # noqa: N801
    """An application in a server of this process."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
