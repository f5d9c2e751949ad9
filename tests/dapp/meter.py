"""An HTTP meter that settles on a network's contract, with requests of every kind behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import uvicorn
from eth_account import Account

from api_billing.client import BillingClient
from api_billing.metering import Meter
from api_billing.metering.service import create_app
from api_billing.metering.service.serving import listen, url_of
from api_billing.metering.settlement.worker import Settler
from api_billing.metering.stores.steps import run
from api_billing.networks import find_network

from .world import DAY_SECONDS, FINALITY_SECONDS, GEN, PEOPLE, Prepared, serve

API: Final = "tiles"
PRICE_WEI: Final = GEN // 1000
SETTLED: Final = 26
"""One more than the page shows of an audit log at once, with those that are not settled."""
SERVICE_TOKEN, ADMIN_TOKEN = "service token of the stories", "admin-token-of-the-stories"


class MeteredNode:
    """A node like the others, with one API more, and the meter of that. Its site names the meter."""

    def __init__(self, prepared: Prepared, page: Path) -> None:
        self._last_ms, self._reading = 0, threading.Lock()
        with ExitStack() as stack:
            listening = stack.enter_context(listen("127.0.0.1", 0))
            self.url = url_of(listening)
            named = {"url": self.url, "admin_token": ADMIN_TOKEN}
            self.node = stack.enter_context(serve(prepared, page, meter=named))
            network = find_network("localnet", self.node.url)
            self._people = {
                role: BillingClient(network, contract=prepared.contract, account=Account.from_key(person.key))
                for role, person in PEOPLE.items()
            }
            self._prepare()
            self.meter = stack.enter_context(
                Meter.open(
                    "memory://",
                    contract=prepared.contract,
                    url=self.node.url,
                    key_pepper="pepper of the stories, long enough",
                    new_consumers="enterprise",
                    admin_origins=(self.node.url.removesuffix("/api"),),
                    clock_ms=self._now_ms,
                )
            )
            app = create_app(self.meter, service_token=SERVICE_TOKEN, admin_token=ADMIN_TOKEN)
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            self._fill()
            self.close: Callable[[], None] = stack.pop_all().close

    def facts(self) -> dict[str, Any]:
        return {
            "origin": self.node.url.removesuffix("/api"),
            "url": self.node.url,
            "contract": self._people["operator"].contract.lower(),
            "meter": self.url,
            "token": ADMIN_TOKEN,
            "api": API,
        }

    def _now_ms(self) -> int:
        """Another one each time: requests of one millisecond have no order."""
        with self._reading:
            self._last_ms = max(self._last_ms + 1, int(self.node.node.clock.now().timestamp() * 1000))
            return self._last_ms

    def _prepare(self) -> None:
        operator, consumer = self._people["operator"], self._people["consumer"]
        operator.register_api(API, PRICE_WEI, 1_000)
        operator.set_meter(API, PEOPLE["meter"].address)
        consumer.subscribe(API, GEN, 0)
        consumer.place_hold(API, GEN, self._now_ms() // 1000 + 3 * DAY_SECONDS)
        # The meter counts on what is final alone.
        consumer.connection.provider.result("sim_increaseTime", int(FINALITY_SECONDS) + 1)

    def _fill(self) -> None:
        self.meter.add_consumer("zz <img src=x onerror=alert(1)> ".ljust(200, "x"))
        for _ in range(SETTLED):
            self._serve()
        settler = Settler(self._people["meter"], holder="stories", now_ms=self._now_ms, alert=lambda _: None)
        assert run(settler.round(API), self.meter.store.call).status == "done"
        self._serve(cost_wei=str(PRICE_WEI // 2))
        self._serve(status=503)
        assert "id" in self._reserve(PRICE_WEI)  # and is being served
        assert self._reserve(2 * PRICE_WEI)["code"] == "not_subscribed"  # at this price

    def _serve(self, **done: Any) -> None:
        self._post(f"reservations/{self._reserve(PRICE_WEI)['id']}/settle", {"status": 200, "duration_ms": 12, **done})

    def _reserve(self, estimate_wei: int) -> Any:
        who = {"api": API, "consumer": PEOPLE["consumer"].address}
        request = {"estimate_wei": str(estimate_wei), "method": "GET", "route": "/tiles/:zoom/:column/:row"}
        return self._post("reservations", {**who, **request})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {SERVICE_TOKEN}", "Content-Type": "application/json"}
        try:
            with urlopen(Request(f"{self.url}/v1/{path}", json.dumps(body).encode(), headers), timeout=30) as response:
                return json.load(response)
        except HTTPError as refusal:
            return json.load(refusal)
