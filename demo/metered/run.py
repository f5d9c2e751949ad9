"""One run: a network, a metered API and its consumers, each for itself, and real requests between them."""

import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from api_billing.errors import BillingError
from api_billing.metering.identity.api_keys import new_key
from api_billing.metering.ledger.consumer_operations import PutKey, PutProfile
from api_billing.metering.stores import Store, open_store
from api_billing.networks import find_network
from demo import ROOT
from demo.metered.closing import Traffic, close_books, wait_until_settled
from demo.metered.contract_consumer import CALLS, ContractConsumer
from demo.metered.figures import MeteredFigures
from demo.metered.load import send_all
from demo.metered.place import FIRST_CONSUMER, METER, Consumer, Place, prepare
from demo.metered.plan import API, AT_THE_DOOR, FIXED, ConsumerPlan, Role, plan_load
from demo.metered.processes import BrokeOffError, blaming, ending_on_signals, example_api, localnet
from demo.metered.redress import dispute
from demo.run import Phase
from genlayer_localnet.loading.standard_library import StandardLibrary

_EXAMPLE: Final = ROOT / "examples" / "fastapi_app.py"
_REQUESTS: Final = 2_000
_MAX_REQUESTS: Final = 100_000
_CONSUMERS: Final = 50
_MAX_CONSUMERS: Final = 250
"""Each sends from a thread of its own."""

_TIER: Final = "enterprise"


def run_metered(
    requests: int | None, consumers: int | None, std: StandardLibrary, phase: Phase, network: str = "localnet"
) -> MeteredFigures:
    """Have so many consumers, of which one is a contract, send so many requests; nothing is left but the figures. The
    localnet is in the mode of the ``network``.

    Raises: ValueError, when it cannot be run like that or here; BrokeOffError; OSError.
    """
    requests = _REQUESTS if requests is None else requests
    consumers = _CONSUMERS if consumers is None else consumers
    if consumers > _MAX_CONSUMERS or requests > _MAX_REQUESTS:
        raise ValueError(f"at most {_MAX_CONSUMERS} consumers and {_MAX_REQUESTS:,} requests")
    plans = plan_load(requests, consumers - 1)
    if find_spec("fastapi") is None:
        raise ValueError("the API of this demo needs FastAPI: pip install 'api-billing[serve]', or make demo METER=1")
    try:
        with ending_on_signals():
            return _run(plans, std, phase, network)
    except BillingError as error:
        raise BrokeOffError(str(error)) from error


def _run(plans: Sequence[ConsumerPlan], std: StandardLibrary, phase: Phase, network: str) -> MeteredFigures:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="api-billing-demo-")))
        started = phase("starting", 3)
        url, node = stack.enter_context(localnet(folder, FIRST_CONSUMER + len(plans), std.name, network))
        stack.enter_context(blaming(node))
        started()
        place = prepare(find_network(network, url), plans, folder, phase("opening accounts", len(plans)))
        contract = ContractConsumer(place)
        started()
        database, pepper = folder / "meter.db", secrets.token_hex(32)
        store = stack.enter_context(open_store(f"sqlite:///{database}"))
        keys = _register(store, place.consumers, pepper.encode())
        serving = stack.enter_context(ExitStack())
        api_url, api = serving.enter_context(example_api(_EXAMPLE, folder, database, _settings(place, pepper)))
        serving.enter_context(blaming(api))
        started()

        def look() -> None:
            node.require_alive()
            api.require_alive()

        sent = phase("sending requests", sum(len(each.asks) for each in plans))
        traffic = _traffic(api_url, place, keys, contract, sent, look)
        wait_until_settled(store, look)
        environment = f"a localnet with the {std.name} standard library, and uvicorn with examples/{_EXAMPLE.name}"
        figures = close_books(place, store, traffic, environment, phase("comparing the books", len(plans)))
        serving.close()  # a dispute takes days, which the localnet lets pass
        judged = dispute(place, place.in_role(Role.FAILS))
        return replace(figures, dispute=judged, solvency=place.operator.get_solvency())


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
        "network": place.network.name,
        "url": place.network.rpc_url,
        "account": f"localnet:{METER}",
        "settle_apis": API,
        "settle_seconds": "1",
        "payments": "x402,mpp",
        "key_pepper": pepper,
    }
    return {f"API_BILLING_{name.upper()}": value for name, value in settings.items()}


def _register(store: Store, consumers: Sequence[Consumer], pepper: bytes) -> dict[str, str]:
    """Make each consumer known to the meter by its address, but those that pay at the door; returns their API keys."""
    keys = {}
    for consumer in consumers:
        if consumer.plan.role in AT_THE_DOOR:
            continue
        key = new_key(pepper, consumer.address, time.time_ns() // 1_000_000)
        store.call(PutProfile(consumer.address, _TIER, replaces=0))
        store.call(PutKey(key.stored))
        keys[consumer.address] = key.text
    return keys
