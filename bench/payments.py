"""What a payment at the door costs: requests paid by voucher beside the same with an API key, and what is refused
beside a request that is not metered.

One FastAPI application, asked in process as in ``bench/meter_path.py``, or behind uvicorn by another process, over as
many connections as there are channels. The store in memory is asked at once in the caller's thread. Figures are CPU of
the process that serves, so that what is left is the reading of a payment, its check, the exchange and the bare ledger,
and uvicorn. The contract is on a localnet in a process of its own, with a hold of the key's consumer and a session
of another one. Payments are made before the clock runs, each for a price more than the last. The collector is set as
docs/metering-speed.md advises for services. Variants take turns, and the least of the rounds counts: what else the
machine does only adds.

    python bench/payments.py [--quick] [--profile "x402 voucher"]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import io
import itertools
import multiprocessing
import os
import pstats
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import meter_apps
import uvicorn
import uvloop
from eth_account import Account
from eth_utils.crypto import keccak
from fastapi import FastAPI
from meter_path import FIELDS, AtOnceStore
from rich.console import Console
from rich.table import Table
from settlement_app import API, PRICE_WEI

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.metering.clock import system_clock_ms
from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.web.asgi import MeterMiddleware
from api_billing.metering.web.fastapi import metered
from api_billing.networks import find_network
from api_billing.payments import mpp, x402
from api_billing.unlocked import unlocked_account
from api_billing.vouchers import Channel, Voucher, sign_voucher
from genlayer_localnet.testing.server import ServerProcess

GEN = 10**18
DAY_SECONDS = 86_400
ROUNDS = 25
CONNECTIONS = 8  # two times as many channels are in a session
KEY, OTHER_KEY = keccak(text="the key of the session"), keccak(text="another key")
UNMETERED, BY_KEY = "unmetered", "API key"
AIMS = {
    "x402 voucher": 0.6,
    "MPP voucher": 0.6,
    "unpaid probe": 0.8,
    "unpaid probe, middleware": 0.8,
    "x402, not decodable": 1,
    "MPP, not decodable": 1,
}

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of request: header fields of one after the other, and the status that all are answered with."""

    app: Any
    fields: tuple[Iterator[Fields], ...]  # of each connection
    status: int = 200
    baseline: str = UNMETERED


def main() -> None:
    parser = argparse.ArgumentParser(description="Requests paid by voucher, beside an API key; unpaid and bad ones.")
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests")
    parser.add_argument("--profile", metavar="REQUEST", help="where the time goes for one of them, instead of figures")
    options = parser.parse_args()
    requests = 100 if options.quick else 500
    busy = os.getloadavg()[0]
    with ServerProcess("--accounts", "3") as node, multiprocessing.get_context("spawn").Pool(1) as asking:
        place = Place(node.url)
        variants = made(place)
        loop = uvloop.new_event_loop()
        if options.profile:
            print(_profile(loop, variants[options.profile], requests))
            return
        in_process = _taking_turns(variants, requests, place.store, lambda *of: _in_process(loop, *of))
        behind = _taking_turns(variants, requests, place.store, lambda *of: _behind_uvicorn(asking, *of))
    console = Console()
    console.width = max(console.width, 120)
    table = Table(title="CPU of the process that serves, store in memory asked at once", title_justify="left")
    for column in (
        "request",
        "status",
        "in process: us",
        "ratio",
        "uvicorn: us",
        "requests/s",
        "ratio",
        "beside",
        "aim",
    ):
        table.add_column(column, justify="left" if column in ("request", "beside") else "right")
    for name, variant in variants.items():
        beside, aim = variant.baseline if name != UNMETERED else "", f"{AIMS[name]:g}" if name in AIMS else ""
        inside, served = (
            (f"{found[name]:.0f}", f"{found[variant.baseline] / found[name]:.2f}") for found in (in_process, behind)
        )
        rate = f"{1e6 / behind[name]:,.0f}"
        table.add_row(name, f"{variant.status}", *inside, served[0], rate, served[1], beside, aim)
    console.print(table)
    console.print(f"load average at the start {busy:.2f}, at the end {os.getloadavg()[0]:.2f}")


# --- what is asked


class Place:
    """A meter on a localnet: ``key`` is an API key of a consumer with a hold, ``payer`` one with a session."""

    def __init__(self, url: str) -> None:
        network = find_network("localnet", url)
        provider = Connection(network).provider
        connection = Connection(network, unlocked_account(provider, 0))
        deployed = connection.follower.wait(connection.send_deployment(contract_path().read_bytes()), "accepted", 60)
        self.operator, holder, payer = (
            BillingClient(network, contract=deployed.contract, account=unlocked_account(provider, number))
            for number in range(3)
        )
        self.operator.register_api(API, PRICE_WEI, 10**9)
        expires_at = connection.now() + 2 * DAY_SECONDS
        holder.subscribe(API, 10 * GEN, 2 * GEN)
        holder.place_hold(API, GEN, expires_at)
        payer.open_session(API, 10 * GEN, GEN, expires_at, Account.from_key(KEY).address, deposit_wei=2 * GEN)
        settings = MeterSettings.load(
            store_url="memory://", contract=deployed.contract, url=url, holds_from="accepted",
            new_consumers="enterprise", payments="x402,mpp", reads_per_10_seconds=1_000, key_pepper="a" * 32,
        )  # fmt: skip
        self.store = AtOnceStore()
        self.meter = Meter(self.store, settings, clock_ms=system_clock_ms)
        self.meter.connect(API)
        self.meter.add_consumer(holder.address.lower(), tier="enterprise")
        self.key = self.meter.create_key(holder.address.lower()).text
        self.payer = payer.address.lower()

    def channel(self, number: int) -> Channel:
        return self.operator.get_channel(API, self.payer, f"0x{number:064x}")

    def decorated(self) -> FastAPI:
        app = FastAPI()

        @app.get("/forecast")
        @metered(self.meter, api=API, estimate_wei=PRICE_WEI)
        async def forecast() -> dict[str, Any]:
            return meter_apps.FORECAST

        return app

    def behind_middleware(self) -> Any:
        app = meter_apps.fastapi_unmetered()
        app.add_middleware(MeterMiddleware, metering=self.meter.metering(API, estimate_wei=PRICE_WEI))
        return app


def made(place: Place) -> dict[str, Variant]:
    """All kinds of requests by their names."""
    app, loop = place.decorated(), asyncio.new_event_loop()
    _, asked = loop.run_until_complete(_ask(app, {}))
    loop.close()
    fields = {name.decode(): value.decode() for name, value in asked}
    _, offer = x402.offers_in(fields["payment-required"])[0][0]
    (challenge,) = mpp.challenges_in([fields["www-authenticate"]])
    source = mpp.source_of(place.channel(1).chain_id, place.payer)

    def by_x402(channel: Channel, voucher: Voucher) -> Fields:
        return {"payment-signature": x402.payment_value(channel, voucher, offer)}

    def by_mpp(channel: Channel, voucher: Voucher, answered: mpp.Challenge = challenge) -> Fields:
        payload = mpp.voucher_payload(channel.id, voucher)
        return {"authorization": mpp.Credential(answered, payload, source).value()}

    def forged(channel: Channel, voucher: Voucher) -> Voucher:
        other = replace(channel, signer=Account.from_key(OTHER_KEY).address.lower())
        return sign_voucher(OTHER_KEY, other, voucher.cumulative_wei)

    def paid(first: int, by: Callable[[Channel, Voucher], Fields]) -> tuple[Iterator[Fields], ...]:
        """Each connection has a channel of its own."""

        def of(channel: Channel) -> Iterator[Fields]:
            return (by(channel, sign_voucher(KEY, channel, count * PRICE_WEI)) for count in itertools.count(1))

        return tuple(of(place.channel(first + number)) for number in range(CONNECTIONS))

    def always(fields: Fields) -> tuple[Iterator[Fields], ...]:
        return (itertools.repeat(fields),) * CONNECTIONS

    never = replace(challenge, id="A" * len(challenge.id))
    bare, second = meter_apps.fastapi_unmetered(), CONNECTIONS
    return {
        UNMETERED: Variant(bare, always({})),
        BY_KEY: Variant(app, always({"authorization": f"Bearer {place.key}"})),
        "x402 voucher": Variant(app, paid(0, by_x402), 200, BY_KEY),
        "MPP voucher": Variant(app, paid(second, by_mpp), 200, BY_KEY),
        "unpaid probe": Variant(app, always({}), 402),
        "unpaid probe, middleware": Variant(place.behind_middleware(), always({}), 402),
        "x402, not decodable": Variant(app, always({"payment-signature": "e30" * 500}), 400),
        "MPP, not decodable": Variant(app, always({"authorization": "Payment " + "e30" * 400}), 402),
        "MPP, challenge of nobody": Variant(app, paid(0, lambda *of: by_mpp(*of, answered=never)), 402),
        "x402, of another key": Variant(app, paid(0, lambda on, by: by_x402(on, forged(on, by))), 402),
        "MPP, of another key": Variant(app, paid(second, lambda on, by: by_mpp(on, forged(on, by))), 402),
    }


# --- how


Measure = Callable[[Variant, list[list[Fields]]], float]


def _taking_turns(
    variants: dict[str, Variant], requests: int, store: AtOnceStore, cpu_seconds: Measure
) -> dict[str, float]:
    """Microseconds a request for each variant: the least of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        cpu_seconds(variant, _taken(variant, requests))
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    for _ in range(ROUNDS):
        for name, variant in variants.items():
            taken = _taken(variant, requests)
            found[name].append(cpu_seconds(variant, taken) / (CONNECTIONS * len(taken[0])) * 1e6)
            store.forget_requests()
    return {name: min(figures) for name, figures in found.items()}


def _profile(loop: Any, variant: Variant, requests: int) -> str:
    _in_process(loop, variant, _taken(variant, requests))
    taken, profile = _taken(variant, 5 * requests), cProfile.Profile()
    profile.runcall(_in_process, loop, variant, taken)
    output = io.StringIO()
    pstats.Stats(profile, stream=output).sort_stats("tottime").print_stats(45)
    return output.getvalue()


def _taken(variant: Variant, requests: int) -> list[list[Fields]]:
    """Header fields of the next requests of each connection."""
    return [list(itertools.islice(fields, requests // CONNECTIONS)) for fields in variant.fields]


def _in_process(loop: Any, variant: Variant, taken: list[list[Fields]]) -> float:
    began = time.process_time()
    loop.run_until_complete(_serve(variant, [fields for turn in zip(*taken, strict=True) for fields in turn]))
    return time.process_time() - began


async def _serve(variant: Variant, requests: list[Fields]) -> None:
    for number, fields in enumerate(requests):
        status, headers = await _ask(variant.app, fields)
        if status != variant.status:
            raise RuntimeError(f"answered {status}: {headers}")
        if number % 64 == 0:
            await asyncio.sleep(0)


async def _ask(app: Any, fields: Fields) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The status and the header fields of an answer."""
    found: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        found.append(message)

    headers = [(name.encode(), value.encode()) for name, value in {**FIELDS, **fields}.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 40_000), "scheme": "http", "root_path": "",
        "method": "GET", "path": "/forecast", "raw_path": b"/forecast", "query_string": b"", "state": {},
        "headers": headers,
    }  # fmt: skip
    await app(scope, receive, send)
    return found[0]["status"], found[0]["headers"]


_served: dict[int, int] = {}  # by application: the port of its server, in a thread


def _behind_uvicorn(asking: Any, variant: Variant, taken: list[list[Fields]]) -> float:
    port = _served.get(id(variant.app)) or _served.setdefault(id(variant.app), _serving(variant.app))
    texts = [[_text(fields) for fields in each] for each in taken]
    began = time.process_time()
    statuses = asking.apply(_ask_over, (port, texts))
    spent = time.process_time() - began
    if statuses != {variant.status}:
        raise RuntimeError(f"answered {statuses}")
    return spent


def _serving(app: Any) -> int:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, loop="uvloop", http="httptools"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    return int(listening.getsockname()[1])


def _text(fields: Fields) -> bytes:
    lines = [f"{name}: {value}" for name, value in {**FIELDS, **fields}.items()]
    return "\r\n".join(["GET /forecast HTTP/1.1", *lines, "", ""]).encode()


def _ask_over(port: int, texts: list[list[bytes]]) -> set[int]:
    """Ask over a connection for each list, all at once; the statuses of the answers."""
    statuses = set()

    async def ask(requests: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in requests:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
            statuses.add(int(head.split(" ", 2)[1]))
        writer.close()

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, texts))

    uvloop.run(ask_all())
    return statuses


if __name__ == "__main__":
    main()
