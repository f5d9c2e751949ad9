"""The meter of one of Olga's APIs, in a process beside the network that is left running, with requests coming in."""

import json
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from demo.market import MAPS_PRICE_WEI
from demo.metered.processes import Running, free_port
from demo.people import FIONA, METER, VERA

_FIRST: Final = 24
"""Requests that come at once; after them there is one every so many seconds."""
_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 0.2
_TIMEOUT_SECONDS: Final = 30.0
_TIER: Final = "enterprise"
_FAILS_EVERY: Final = 9
_PARTS: Final = 4


def _token() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class LiveMeter:
    """Where the meter is, and who may ask it for what."""

    api: str
    port: int = field(default_factory=free_port)
    service_token: str = field(default_factory=_token, repr=False)
    admin_token: str = field(default_factory=_token, repr=False)

    @property
    def url(self) -> str:
        """Of this machine alone."""
        return f"http://127.0.0.1:{self.port}"


def can_run() -> bool:
    """Whether what the HTTP meter needs is installed."""
    return find_spec("fastapi") is not None


@contextmanager
def running(meter: LiveMeter, rpc_url: str, contract: str) -> Iterator[None]:
    """Have it run, and requests come to it, until the block ends. It settles on the contract once a minute."""
    settings = {
        "contract": contract,
        "network": "localnet",
        "url": rpc_url,
        "account": "env:DEMO_METER_KEY",
        "settle_apis": meter.api,
        "settle_in": "thread",
        "key_pepper": _token(),
        "service_token": meter.service_token,
        "admin_token": meter.admin_token,
        "admin_origins": rpc_url.removesuffix("/api"),
    }
    environment = {f"API_BILLING_{name.upper()}": value for name, value in settings.items()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="api-billing-demo-")))
        store = f"sqlite:///{folder / 'meter.db'}"
        _make_known(store)
        arguments = ["-m", "api_billing.cli", "meter", "serve", "--port", str(meter.port), "--store", store]
        environment["DEMO_METER_KEY"] = f"0x{METER.key.hex()}"
        stack.enter_context(Running("HTTP meter", folder, arguments, environment))
        stop = threading.Event()
        stack.callback(stop.set)
        threading.Thread(target=_send, args=(meter, stop), daemon=True).start()
        yield


def _make_known(store_url: str) -> None:
    # Loaded only here: without the meter nothing needs it.
    from api_billing.metering.ledger.consumer_operations import PutProfile
    from api_billing.metering.stores import open_store

    with open_store(store_url) as store:
        for person in (FIONA, VERA):
            store.call(PutProfile(person.account, _TIER, replaces=0))


def _send(meter: LiveMeter, stop: threading.Event) -> None:
    """Requests of Fiona and Vera, one after the other; some fail and cost nothing, the others what they were given."""
    sent, pause_seconds = 0, _RETRY_SECONDS
    while not stop.wait(pause_seconds):
        consumer, parts = (FIONA, VERA)[sent % 2].account, 1 + sent % _PARTS
        asked = {"api": meter.api, "consumer": consumer, "estimate_wei": str(MAPS_PRICE_WEI), "route": "/maps/:tile"}
        done = {
            "status": 200 if sent % _FAILS_EVERY else 503,
            "cost_wei": str(MAPS_PRICE_WEI * parts // _PARTS),
            "duration_ms": 20 + sent * 37 % 180,
            "response_bytes": parts * 4_096,
        }
        try:
            reserved = _post(meter, "reservations", {**asked, "method": "GET"})
            _post(meter, f"reservations/{reserved['id']}/settle", done)
        except OSError:  # it starts, the network was not read yet, or a limit is used up
            pause_seconds = _RETRY_SECONDS if sent < _FIRST else _SECONDS
            continue
        sent += 1
        pause_seconds = 0 if sent < _FIRST else _SECONDS


def _post(meter: LiveMeter, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {meter.service_token}", "Content-Type": "application/json"}
    request = Request(f"{meter.url}/v1/{path}", json.dumps(body).encode(), headers)
    with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        return json.load(response)
