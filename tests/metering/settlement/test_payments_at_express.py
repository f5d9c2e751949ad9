"""The express.js example, run by node: clients without a key pay over both protocols, and get what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from api_billing.metering.service.serving import listen, url_of
from api_billing.payments import mpp, x402

from .signing import WHO, open_session, salt_of, sign
from .test_payments_over_http import TOKEN, Service
from .world import API, World

GWEI = 10**9
WAIT_SECONDS = 60
PROTOCOLS = ("mpp", "x402")


@pytest.fixture
def service(world: World) -> Service:
    world.at(world.store.now_ms())  # node's clock cannot be told the time
    open_session(world, hold_wei=1000 * GWEI, price_wei=50 * GWEI, accepted_price_wei=50 * GWEI)
    return Service(world)


@contextmanager
def running(folder: Path, service: Service) -> Iterator[str]:
    """Where the API of a folder's app.js is."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(service.client.app, log_config=None, lifespan="off", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        environment = {"API_BILLING_SERVICE_TOKEN": TOKEN, "METER_URL": url_of(listening), "PAYMENTS": "true"}
        node = subprocess.Popen(
            ["node", "app.js"],
            cwd=folder,
            env={**os.environ, **environment, "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert node.stdout is not None
            yield json.loads(node.stdout.readline())["url"]
        finally:
            node.terminate()
            node.communicate(timeout=WAIT_SECONDS)
            server.should_exit = True
            thread.join(WAIT_SECONDS)


@pytest.fixture
def api(express: Path, service: Service) -> Iterator[str]:
    with running(express, service) as url:
        yield url


OWN_FIELDS = """
import express from "express";
import { metered } from "./meter.js";
const [url, token] = [process.env.METER_URL, process.env.API_BILLING_SERVICE_TOKEN];
const app = express();
app.get("/it", metered({ url, token, api: "weather", estimateWei: 5n, payments: true }), (req, res) => {
  res.set({ "Access-Control-Expose-Headers": "X-Own", "Cache-Control": req.query.cache, "X-Own": "1" }).send("ok");
});
const server = app.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }));
});
"""


@pytest.mark.parametrize(("own", "sent"), [("max-age=60", "private"), ("no-store", "no-store")])
def test_express__fields_of_the_handler__are_joined_with_ours(
    world: World, service: Service, express: Path, tmp_path: Path, own: str, sent: str
) -> None:
    for name in ("node_modules", "meter.js", "package.json"):
        (tmp_path / name).symlink_to(express / name)
    (tmp_path / "app.js").write_text(OWN_FIELDS)
    with running(tmp_path, service) as url:
        answer = pay(world, f"{url}/it?cache={own}", "mpp", 5)
    assert (answer.text, answer.headers["x-own"], answer.headers["cache-control"]) == ("ok", "1", sent)
    assert answer.headers["access-control-expose-headers"].startswith("X-Own, PAYMENT-REQUIRED")


def test_express__chain_does_not_tell_with_fail_open__serves_nothing_unmetered(
    world: World, service: Service, express: Path, tmp_path: Path
) -> None:
    for name in ("node_modules", "meter.js", "package.json"):
        (tmp_path / name).symlink_to(express / name)
    (tmp_path / "app.js").write_text(OWN_FIELDS.replace("payments: true", "failOpen: true"))
    service.meter.add_consumer(WHO)
    key = service.meter.create_key(WHO).text
    world.chain.readable = False
    with running(tmp_path, service) as url:
        answer = ask(f"{url}/it?cache=no-store", Authorization=f"Bearer {key}")
    assert (answer.status_code, answer.json()["reason"]) == (503, "credit_unknown")


def ask(url: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers=headers, timeout=WAIT_SECONDS)


def pay(world: World, url: str, protocol: str, more_wei: int, charged_wei: int = 0) -> requests.Response:
    """Ask what it costs, and pay for it by a voucher of so much more."""
    asked = ask(url)
    assert asked.status_code == 402, asked.text
    channel, voucher = world.chain.channel(API, WHO, salt_of(0)), sign(world, charged_wei + more_wei)
    if protocol == "x402":
        ((_, accepted),), message = x402.offers_in(asked.headers["payment-required"])
        assert message["resource"]["url"] == url
        return ask(url, **{"Payment-Signature": x402.payment_value(channel, voucher, accepted)})
    (challenge,) = mpp.challenges_in([asked.headers["www-authenticate"]])
    payload = mpp.voucher_payload(channel.id, voucher)
    return ask(url, Authorization=mpp.Credential(challenge, payload, mpp.source_of(channel.chain_id, WHO)).value())


def charged_of(answer: requests.Response, protocol: str) -> Any:
    """What its receipt says of the channel's charges."""
    if protocol == "mpp":
        return int(mpp.read_receipt(answer.headers["payment-receipt"])["spent"])
    return int(
        x402.read_response(answer.headers["payment-response"])["extra"]["channelState"]["chargedCumulativeAmount"]
    )


def settled(service: Service) -> None:
    """Wait until nothing is reserved: what is streamed is settled after its end."""
    done = threading.Event()
    for _ in range(WAIT_SECONDS * 100):
        if not service.channel().reserved_wei:
            return
        done.wait(0.01)
    raise AssertionError("the middleware did not settle")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_express__request_that_is_paid__is_served_with_the_receipt_of_what_it_cost(
    world: World, service: Service, api: str, protocol: str
) -> None:
    first = pay(world, f"{api}/forecast/paris", protocol, 5 * GWEI)
    assert (first.status_code, first.json()["forecast"]) == (200, "sunny")
    assert charged_of(first, protocol) == 5 * GWEI
    assert "private" in first.headers["cache-control"]
    second = pay(world, f"{api}/archive/7", protocol, 50 * GWEI, 5 * GWEI)
    assert (len(second.json()["days"]), charged_of(second, protocol)) == (7, 12 * GWEI)
    assert service.channel().charged_wei == 12 * GWEI


@pytest.mark.parametrize(("protocol", "told_wei", "cost_wei"), [("mpp", 0, 3 * GWEI), ("x402", 20 * GWEI, 20 * GWEI)])
def test_express__stream_that_is_paid__has_a_receipt_before_it_begins(
    world: World, service: Service, api: str, protocol: str, told_wei: int, cost_wei: int
) -> None:
    """Over x402 it costs what that said, as its client believes no other figure."""
    answer = pay(world, f"{api}/hours", protocol, 20 * GWEI)
    assert (answer.text.count("sunny"), charged_of(answer, protocol)) == (3, told_wei)
    settled(service)
    assert service.channel().charged_wei == cost_wei


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_express__handler_that_fails__costs_nothing_and_has_no_receipt(
    world: World, service: Service, api: str, protocol: str
) -> None:
    answer = pay(world, f"{api}/broken", protocol, 5 * GWEI)
    assert answer.status_code == 500
    assert not {"payment-receipt", "payment-response"} & {name.lower() for name in answer.headers}
    assert (service.channel().charged_wei, service.channel().reserved_wei) == (0, 0)


def test_express__voucher_that_covers_nothing_more__is_asked_for_more(world: World, api: str) -> None:
    url = f"{api}/forecast/paris"
    pay(world, url, "mpp", 5 * GWEI)
    answer = pay(world, url, "mpp", 5 * GWEI)
    assert (answer.status_code, answer.json()["code"]) == (402, "voucher_required")
    assert mpp.challenges_in([answer.headers["www-authenticate"]])
    assert "PAYMENT-REQUIRED" in answer.headers["access-control-expose-headers"]


def test_express__close__is_answered_and_no_handler_runs(world: World, api: str) -> None:
    url = f"{api}/forecast/paris"
    pay(world, url, "mpp", 5 * GWEI)
    (challenge,) = mpp.challenges_in([ask(url).headers["www-authenticate"]])
    channel = world.chain.channel(API, WHO, salt_of(0))
    payload = mpp.voucher_payload(channel.id, sign(world, 5 * GWEI + 1), "close")
    credential = mpp.Credential(challenge, payload, mpp.source_of(channel.chain_id, WHO))
    answer = ask(url, Authorization=credential.value())
    assert (answer.status_code, answer.content) == (204, b"")
    assert mpp.read_receipt(answer.headers["payment-receipt"])["final"] is True


def test_express__head__runs_no_handler_unpaid(api: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.head(f"{api}/forecast/paris", timeout=WAIT_SECONDS)
    assert (answer.status_code, answer.content) == (402, b"")
    assert answer.headers["payment-required"]


@pytest.mark.parametrize("host", ["a[b", "a b", "\xe9", "a" * 3_000], ids=lambda host: ascii(host)[:10])
def test_express__host_that_is_hostile__is_told_what_it_costs(api: str, host: str) -> None:
    answer = ask(f"{api}/forecast/paris?a=%ff", Host=host)
    assert (answer.status_code, answer.json()["code"]) == (402, "payment_required")


def test_express__long_and_odd_path__is_told_what_it_costs(api: str) -> None:
    assert ask(f"{api}/forecast/{'a' * 3_000}?\xe9").status_code == 402
