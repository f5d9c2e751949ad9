"""One run: a network, a metered API and its consumers, each for itself, and real requests between them."""

import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api_billing.contract_source import contract_path
from api_billing.metering.identity.api_keys import new_key
from api_billing.metering.ledger.operations import PutKey, PutProfile
from api_billing.metering.stores import Store, open_store
from demo.metered.closing import Traffic, close_books, wait_until_settled
from demo.metered.contract_consumer import CALLS, ContractConsumer
from demo.metered.figures import MeteredFigures
from demo.metered.load import send_all
from demo.metered.place import FIRST_CONSUMER, METER, Consumer, Place, prepare
from demo.metered.plan import API, FIXED, plan_load
from demo.metered.processes import blaming, ending_on_signals, example_api, localnet
from demo.run import Phase
from genlayer_localnet.loading.standard_library import StandardLibrary

_TIER: Final = "enterprise"


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is: HTTP requests of accounts, and consumers, the one that is a contract among them."""

    requests: int = 2_000
    consumers: int = 50


def example_path() -> Path:
    """The FastAPI example of this checkout. Raises: FileNotFoundError."""
    path = contract_path().parents[1] / "examples" / "fastapi_app.py"
    if not path.is_file():
        raise FileNotFoundError(f"the example API is not at {path}: run this in a checkout of the project")
    return path


def run_metered(size: Size, std: StandardLibrary, phase: Phase) -> MeteredFigures:
    """Run it, with nothing left behind but the figures.

    Raises: ValueError for a size that cannot be; BrokeOffError; BillingError; FileNotFoundError; OSError.
    """
    plans = plan_load(size.requests, size.consumers - 1)
    script = example_path()
    with ending_on_signals(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="api-billing-demo-")))
        started = phase("starting", 3)
        url, node = stack.enter_context(localnet(folder, FIRST_CONSUMER + len(plans), std.name))
        stack.enter_context(blaming(node))
        started()
        place = prepare(url, plans, phase("opening accounts", len(plans)))
        contract = ContractConsumer(place)
        started()
        database, pepper = folder / "meter.db", secrets.token_hex(32)
        store = stack.enter_context(open_store(f"sqlite:///{database}"))
        keys = _register(store, place.consumers, pepper.encode())
        api_url, api = stack.enter_context(example_api(script, folder, database, _settings(place, pepper)))
        stack.enter_context(blaming(api))
        started()

        def look() -> None:
            node.require_alive()
            api.require_alive()

        traffic = _traffic(api_url, place, keys, contract, phase("sending requests", size.requests), look)
        wait_until_settled(store, look)
        environment = f"a localnet with the {std.name} standard library, and uvicorn with examples/{script.name}"
        return close_books(place, store, traffic, environment, phase("comparing the books", len(plans)))


def _traffic(
    url: str,
    place: Place,
    keys: Mapping[str, str],
    contract: ContractConsumer,
    step: Callable[[], None],
    look: Callable[[], None],
) -> Traffic:
    """The requests of the accounts, and beside them those of the contract."""
    page = url + FIXED.path
    with ThreadPoolExecutor(1) as pool:
        fetching = [pool.submit(contract.fetch, page) for _ in range(CALLS)]
        try:
            load = send_all(url, place.consumers, keys, step=step, look=look)
        finally:
            pool.shutdown(wait=False, cancel_futures=sys.exception() is not None)
        return Traffic(load, contract.address, page, tuple(each.result() for each in fetching))


def _settings(place: Place, pepper: str) -> Mapping[str, str]:
    """Of the API's meter, as its operator sets them: only the contract, and who settles."""
    settings = {
        "contract": place.contract,
        "url": place.network.rpc_url,
        "account": f"localnet:{METER}",
        "settle_apis": API,
        "settle_seconds": "1",
        "key_pepper": pepper,
    }
    return {f"API_BILLING_{name.upper()}": value for name, value in settings.items()}


def _register(store: Store, consumers: Sequence[Consumer], pepper: bytes) -> dict[str, str]:
    """Make each consumer known to the meter by its address; returns their API keys."""
    keys = {}
    for consumer in consumers:
        key = new_key(pepper, consumer.address, time.time_ns() // 1_000_000)
        store.call(PutProfile(consumer.address, _TIER, replaces=0))
        store.call(PutKey(key.stored))
        keys[consumer.address] = key.text
    return keys
