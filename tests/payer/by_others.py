"""The packages `x402` and `pympp` pay with our plugins, each function one case: `python -m tests.payer.by_others x402`.

Runs on `requirements/payment-clients.lock`, against the scripted server.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from x402 import x402Client, x402ClientSync
from x402.http.clients import x402_httpx_transport
from x402.http.clients.requests import x402_requests

from api_billing.errors import NotPayable, TooExpensive
from api_billing.payer import Bounds, Wallet
from api_billing.payer.mpp import paying_mpp
from api_billing.payer.x402 import BatchSettlement
from tests.payer.scripted import URL, ScriptedContract, Server
from tests.payer.serving import over_http

BOUNDS: dict[str, Any] = {"max_wei_per_call": 1_000, "max_wei_a_day": 10_000, "open_session": 50_000}


@contextmanager
def wallet_of(chain: ScriptedContract, folder: str) -> Iterator[Wallet]:
    client: Any = chain
    made = Wallet(client, file=Path(folder) / "payer.db", sleep=chain.clock.sleep)
    yield made
    made.close()


def scripted(protocol: str) -> tuple[ScriptedContract, Server]:
    chain = ScriptedContract()
    chain.clock.now = time.time()  # by which the packages go
    return chain, Server(chain, protocols=(protocol,))


def error_of(paying: Coroutine[Any, Any, Any]) -> Exception:
    try:
        asyncio.run(paying)
    except Exception as error:
        return error
    raise AssertionError("there was no error")


async def by_x402(wallet: Wallet, server: Server, count: int = 1, **options: Any) -> list[httpx.Response]:
    client = x402Client().register("eip155:*", BatchSettlement(wallet, **{**BOUNDS, **options}))
    transport = x402_httpx_transport(client, transport=httpx.MockTransport(server))
    async with httpx.AsyncClient(transport=transport) as http:
        return [await http.get(URL) for _ in range(count)]


def x402__pays_and_is_allowed_by_spend_controls(folder: str) -> None:
    chain, server = scripted("x402")
    server.cost = lambda _: 30
    with wallet_of(chain, folder) as wallet:
        answers = asyncio.run(by_x402(wallet, server, 3))
        assert [each.text for each in answers] == ["sunny"] * 3
        assert (server.charged_wei, wallet.book.signed_wei(wallet.payer)) == (90, 160)


def x402__started_again__goes_on(folder: str) -> None:
    chain, server = scripted("x402")
    for _ in range(3):
        with wallet_of(chain, folder) as wallet:
            assert [each.status_code for each in asyncio.run(by_x402(wallet, server, 2))] == [200, 200]
    assert (server.charged_wei, len(server.sums), len(chain.opened)) == (600, 1, 1)


def x402__whose_voucher_became_public__is_corrected(folder: str) -> None:
    chain, server = scripted("x402")
    server.cost = lambda _: 1
    with wallet_of(chain, folder) as wallet:
        for price_wei in (100, 100, 10):
            server.price_wei = price_wei
            assert [each.status_code for each in asyncio.run(by_x402(wallet, server))] == [200]
            server.post()
    assert server.charged_wei == 3


def x402__answer_that_was_lost__is_corrected_by_what_the_server_says(folder: str) -> None:
    chain, server = scripted("x402")

    async def lose(wallet: Wallet) -> None:
        def loses(request: httpx.Request) -> httpx.Response:
            response = server(request)
            if response.is_success:
                raise httpx.ReadError("gone")
            return response

        client = x402Client().register("eip155:*", BatchSettlement(wallet, **BOUNDS))
        transport = x402_httpx_transport(client, transport=httpx.MockTransport(loses))
        async with httpx.AsyncClient(transport=transport) as http:
            await http.get(URL)

    with wallet_of(chain, folder) as wallet:
        assert "gone" in str(error_of(lose(wallet)))
    with wallet_of(chain, folder) as wallet:
        assert [each.status_code for each in asyncio.run(by_x402(wallet, server))] == [200]
    assert (server.charged_wei, len(server.sums)) == (200, 1)


def x402__price_above_the_bound__is_refused(folder: str) -> None:
    chain, server = scripted("x402")
    with wallet_of(chain, folder) as wallet:
        error = error_of(by_x402(wallet, server, max_wei_per_call=99))
    assert isinstance(error.__cause__, TooExpensive), repr(error)
    assert (server.paid, chain.opened) == ([], [])


def x402__answers_that_are_errors__take_no_channel(folder: str) -> None:
    chain, server = scripted("x402")
    works, server.handler = server.handler, lambda _: httpx.Response(500)
    with wallet_of(chain, folder) as wallet:
        client = x402Client().register("eip155:*", BatchSettlement(wallet, **BOUNDS))

        async def twenty() -> None:
            transport = x402_httpx_transport(client, transport=httpx.MockTransport(server))
            async with httpx.AsyncClient(transport=transport) as http:
                for _ in range(20):
                    assert (await http.get(URL)).status_code == 500
                server.handler = works
                assert (await http.get(URL)).status_code == 200

        asyncio.run(twenty())
    assert len(server.sums) == 1


def x402__over_requests__pays(folder: str) -> None:
    chain, server = scripted("x402")
    client = x402ClientSync()
    with wallet_of(chain, folder) as wallet, over_http(server) as url:
        client.register("eip155:*", BatchSettlement(wallet, **BOUNDS))
        with x402_requests(client) as http:
            for _ in range(3):
                assert http.get(url).text == "sunny"
    assert server.charged_wei == 300


async def by_mpp(wallet: Wallet, server: Server, count: int = 1, **options: Any) -> list[httpx.Response]:
    async with paying_mpp(wallet, **{**BOUNDS, **options}, inner=httpx.MockTransport(server)) as client:
        return [await client.fetch(URL) for _ in range(count)]


def mpp__pays_and_goes_on_by_receipts(folder: str) -> None:
    chain, server = scripted("mpp")
    server.cost = lambda _: 30
    for _ in range(2):
        with wallet_of(chain, folder) as wallet:
            assert [each.text for each in asyncio.run(by_mpp(wallet, server, 3))] == ["sunny"] * 3
            signed_wei = wallet.book.signed_wei(wallet.payer)
    [sums] = server.sums.values()
    assert (sums.charged_wei, signed_wei) == (180, 250)
    assert sums.signed_wei <= 280


def mpp__whose_voucher_became_public__signs_for_more(folder: str) -> None:
    chain, server = scripted("mpp")
    server.cost = lambda _: 1
    with wallet_of(chain, folder) as wallet:
        for _ in range(3):
            assert [each.status_code for each in asyncio.run(by_mpp(wallet, server))] == [200]
            server.post()
    [sums] = server.sums.values()
    assert (sums.charged_wei, sums.signed_wei <= 202) == (3, True)


def mpp__that_is_refused_again_and_again__signs_for_no_more_than_may_be_due(folder: str) -> None:
    chain, server = scripted("mpp")
    with wallet_of(chain, folder) as wallet:
        asyncio.run(by_mpp(wallet, server))
        [sums] = server.sums.values()
        sums.posted_wei = 10**6
        assert [each.status_code for each in asyncio.run(by_mpp(wallet, server))] == [402]
        assert wallet.book.signed_wei(wallet.payer) == 200
    assert sums.signed_wei <= 210


def mpp__answers_that_are_errors__cost_nothing(folder: str) -> None:
    chain, server = scripted("mpp")
    server.handler = lambda _: httpx.Response(404)
    with wallet_of(chain, folder) as wallet:
        assert [each.status_code for each in asyncio.run(by_mpp(wallet, server, 5))] == [404] * 5
    [sums] = server.sums.values()
    assert sums.signed_wei <= 100


def mpp__plain_http__is_not_paid(folder: str) -> None:
    chain, server = scripted("mpp")

    async def asks(wallet: Wallet) -> None:
        async with paying_mpp(wallet, **BOUNDS, inner=httpx.MockTransport(server)) as client:
            await client.fetch(URL.replace("https", "http"))

    with wallet_of(chain, folder) as wallet:
        assert isinstance(error_of(asks(wallet)).__cause__, NotPayable)
    assert server.paid == []


def mpp__price_above_the_bound__is_refused(folder: str) -> None:
    chain, server = scripted("mpp")
    with wallet_of(chain, folder) as wallet:
        error = error_of(by_mpp(wallet, server, max_wei_per_call=99))
    assert isinstance(error, TooExpensive), repr(error)
    assert (server.paid, chain.opened) == ([], [])


def of_page(number: int, wallet: Wallet) -> dict[str, Any]:
    """What the Python of docs/paying.md has made, of which block 2 is for `x402` and block 3 for `pympp`."""
    page = (Path(__file__).parents[2] / "docs" / "paying.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"wallet": wallet}
    exec(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[number], names)
    return names


def x402__page__shows_a_client_that_pays(folder: str) -> None:
    chain, server = scripted("x402")
    with wallet_of(chain, folder) as wallet:
        transport = x402_httpx_transport(of_page(2, wallet)["client"], transport=httpx.MockTransport(server))

        async def asks() -> None:
            async with httpx.AsyncClient(transport=transport) as http:
                assert (await http.get(URL)).text == "sunny"

        asyncio.run(asks())


def mpp__page__shows_a_client_that_pays(folder: str) -> None:
    chain, server = scripted("mpp")
    httpx.AsyncHTTPTransport.handle_async_request = httpx.MockTransport(server).handle_async_request  # type: ignore[method-assign,assignment]
    with wallet_of(chain, folder) as wallet:
        wallet.open_session("weather", 50_000, 7, Bounds(1_000, 10_000))
        assert asyncio.run(of_page(3, wallet)["forecast"]()).text == "sunny"


def main(package: str) -> None:
    """Run all cases of a package, each with a folder of its own."""
    for name, case in list(globals().items()):
        if name.startswith(f"{package}__"):
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                case(folder)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
