"""The same over coroutines, and over `requests`."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from api_billing.errors import NotPayable, TooExpensive
from api_billing.payer import PAYMENT, AsyncPayingClient, PayingSession, Wallet
from api_billing.payer.paying import Bounds

from .scripted import URL, Server
from .serving import over_http

BOUNDS = {"max_wei_per_call": 1_000, "max_wei_a_day": 100_000, "open_session": 50_000}


def asynchronous(wallet: Wallet, server: Callable[[httpx.Request], Any], **options: Any) -> AsyncPayingClient:
    made = AsyncPayingClient(wallet, **{**BOUNDS, **options}, transport=httpx.MockTransport(server))
    made.payer._clock = wallet._clock
    return made


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["mpp", "x402"])
async def test_requests__of_many_tasks__are_all_paid_once(wallet: Wallet, server: Server, protocol: str) -> None:
    server.protocols = (protocol,)
    async with asynchronous(wallet, server) as client, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(client.get, URL)
    assert (server.served, server.charged_wei, len(wallet.book.sessions())) == (20, 2_000, 1)


@pytest.mark.anyio
async def test_request__given_up_while_it_is_served__counts_as_lost(wallet: Wallet, server: Server) -> None:
    async def hangs(request: httpx.Request) -> httpx.Response:
        response = server(request)
        if response.is_success:
            scope.cancel()
            await anyio.sleep_forever()
        return response

    async with asynchronous(wallet, hangs) as client:
        with anyio.CancelScope() as scope:
            await client.get(URL)
        assert wallet.book.signed_wei(wallet.payer) == 100
    async with asynchronous(wallet, server) as client:
        response = await client.get(URL)
        assert response.extensions[PAYMENT].paid.charged_wei == 200


@pytest.mark.anyio
async def test_request__given_up_while_a_session_is_opened__does_not_wait_for_it(
    wallet: Wallet, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def opens(*_: object, **__: object) -> None:
        begun.set()
        goes_on.wait(30)
        ended.set()

    monkeypatch.setattr(wallet, "open_session", opens)
    async with asynchronous(wallet, server) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.get, URL)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    assert not ended.is_set()
    goes_on.set()


@pytest.mark.anyio
async def test_price__above_the_bound__is_refused_in_a_coroutine(wallet: Wallet, server: Server) -> None:
    async with asynchronous(wallet, server, max_wei_per_call=99) as client:
        with pytest.raises(TooExpensive):
            await client.get(URL)


@pytest.mark.anyio
async def test_session__closed_in_a_coroutine__is_closed(wallet: Wallet, server: Server) -> None:
    async with asynchronous(wallet, server) as client:
        await client.get(URL)
        await client.close_session(URL)
    assert server.closed
    assert [each.state for each in wallet.book.sessions()] == ["closing"]


# --- requests


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """Where the server is on this machine."""
    with over_http(server) as at:
        yield at


@pytest.fixture
def session(wallet: Wallet) -> Iterator[PayingSession]:
    with PayingSession(wallet, **BOUNDS) as made:
        made.payer._clock = wallet._clock
        yield made


@pytest.mark.parametrize("protocol", ["mpp", "x402"])
def test_session_of_requests__asked_to_pay__pays(
    session: PayingSession, server: Server, url: str, protocol: str
) -> None:
    server.protocols, server.cost = (protocol,), lambda _: 30
    server.handler = lambda request: httpx.Response(200, content=request.content)
    for _ in range(3):
        response = session.post(url, json={"city": "paris"})
        assert response.json() == {"city": "paris"}
    assert (response.payment.paid.charged_wei, server.charged_wei) == (90, 90)  # type: ignore[attr-defined]
    assert "Authorization" not in response.request.headers


def test_session_of_requests__402_without_a_challenge__is_handed_on(
    session: PayingSession, server: Server, url: str
) -> None:
    server.protocols = ()
    response = session.get(url)
    assert (response.status_code, response.json()) == (402, {})


def test_session_of_requests__voucher_that_became_public__is_signed_for_more(
    session: PayingSession, server: Server, url: str
) -> None:
    server.protocols, server.cost = ("mpp",), lambda _: 1
    for _ in range(3):
        assert session.get(url).ok
        server.post()


def test_session_of_requests__redirected_to_another_origin_that_asks__is_not_paid(
    session: PayingSession, server: Server, url: str
) -> None:
    asks, port = server.asks, url.split(":")[2].split("/")[0]
    server.asks = lambda **_: (  # type: ignore[method-assign]
        asks() if "localhost" in server.seen[-1].url.host
        else httpx.Response(307, headers={"Location": f"http://localhost:{port}/forecast"})
    )  # fmt: skip
    with pytest.raises(NotPayable, match="redirected"):
        session.get(url)
    assert server.paid == []


def test_bounds__of_a_payer__are_what_was_given(session: PayingSession) -> None:
    assert session.payer.bounds == Bounds(1_000, 100_000, 50_000)
