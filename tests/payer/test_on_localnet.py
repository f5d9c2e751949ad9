"""The paying clients at the real door, from the session that they open on the contract to the operator's earnings."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.web.fastapi import metered
from api_billing.networks import Network, find_network
from api_billing.payer import PAYMENT, AsyncPayingClient, PayingClient, PayingSession, Wallet
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture
from tests.metering.settlement.places import PRICE, Place, deployed

BOUNDS: dict[str, Any] = {"max_wei_per_call": PRICE, "max_wei_a_day": 100 * PRICE, "open_session": 50 * PRICE}
server = server_fixture(scope="module", finality_window_seconds=0)
both = pytest.mark.parametrize("protocol", ["mpp", "x402"])


class PayersPlace(Place):
    """An API, and a consumer who has an account with GEN and nothing else."""

    def place_hold(self, hold_wei: int) -> None:
        pass


@pytest.fixture(scope="module")
def network(server: RpcServer) -> Network:
    return find_network("localnet", server.url)


@pytest.fixture(scope="module")
def contract(network: Network) -> str:
    return deployed(network)


@pytest.fixture
def place(request: pytest.FixtureRequest, network: Network, contract: str) -> Iterator[PayersPlace]:
    made = PayersPlace(request.node.nodeid, network, contract)
    with made.store:
        yield made


@pytest.fixture
def wallet(place: PayersPlace, tmp_path: Path) -> Iterator[Wallet]:
    made = Wallet(place.consumer, file=tmp_path / "payer.db")
    yield made
    made.close()


@pytest.fixture
def url(place: PayersPlace) -> Iterator[str]:
    """Where an API is served that costs half of what it may."""
    given: dict[str, Any] = {"payments": "x402,mpp", "holds_from": "finalized", "credit_refresh_seconds": 1}
    settings = MeterSettings.load(store_url="memory://", contract=place.contract, url=place.network.url, **given)
    meter = Meter(place.store, settings, clock_ms=place.now_ms)
    meter.on_chain = OnChain(place.operator, place.store, settings, place.now_ms, place.alerts.append)
    meter.on_chain.start = lambda: None  # type: ignore[method-assign]
    app = FastAPI()

    @app.api_route("/forecast", methods=["GET", "HEAD"])
    @metered(meter, api=place.api, estimate_wei=PRICE, price=PRICE // 2)
    async def forecast() -> str:
        return "sunny"

    with serving(app) as at:
        yield f"{at}/forecast"
    meter.on_chain.close()


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


Send = Callable[[str], Any]


@both
def test_client__of_httpx__opens_a_session_pays_and_is_billed_once(
    place: PayersPlace, wallet: Wallet, url: str, protocol: Any
) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        for number in range(1, 6):
            response = client.get(url)
            assert (response.status_code, response.json()) == (200, "sunny")
            paid = response.extensions[PAYMENT].paid
            assert (paid.cost_wei, paid.charged_wei) == (PRICE // 2, number * PRICE // 2)
    place.served_wei = 5 * PRICE // 2
    assert wallet.book.spent_wei(wallet.payer) == place.served_wei
    assert place.settle().status == "done"
    place.is_billed_once()


@both
def test_client__whose_vouchers_were_posted__goes_on(
    place: PayersPlace, wallet: Wallet, url: str, protocol: Any
) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        for _ in range(3):
            assert client.get(url).is_success
            assert place.settle().status == "done"
    place.served_wei = 3 * PRICE // 2
    place.is_billed_once()


@both
def test_client__that_closes__has_its_hold_back(place: PayersPlace, wallet: Wallet, url: str, protocol: Any) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        assert client.get(url).is_success
        assert place.consumer.get_usage_report(place.who).held_wei == 50 * PRICE
        assert client.close_session(url).session.state == "closed"
    assert place.settle().status == "done"
    assert place.consumer.get_usage_report(place.who).held_wei == 0
    place.served_wei = PRICE // 2
    place.is_billed_once()


@pytest.mark.anyio
async def test_client__of_coroutines__pays(wallet: Wallet, url: str) -> None:
    async with AsyncPayingClient(wallet, **BOUNDS) as client:
        for _ in range(3):
            assert (await client.get(url)).json() == "sunny"


def test_session__of_requests__pays(wallet: Wallet, url: str) -> None:
    with PayingSession(wallet, **BOUNDS) as client:
        for _ in range(3):
            assert client.get(url).json() == "sunny"


def test_session__topped_up__has_more_until_later(place: PayersPlace, wallet: Wallet, url: str) -> None:
    with PayingClient(wallet, **BOUNDS) as client:
        client.get(url)
    [before] = wallet.book.sessions()
    after = wallet.top_up(before, 10 * PRICE, days=30)
    assert (after.signer, after.expires_at > before.expires_at) == (before.signer, True)
    assert place.consumer.get_usage_report(place.who).held_wei == 60 * PRICE
