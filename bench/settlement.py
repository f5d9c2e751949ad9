"""Settlement: how many calls a transaction carries, how fast batches are built and settled, what requests feel of it.

All of it against a localnet in a process of its own, through the typed client, with real holds of 256 consumers.

(a) 10,000 calls of 256 consumers in one store: cut into a batch and posted. Baseline: the same localnet billing calls
one by one with ``consume_credit``. Beside the cut a thread goes on reserving and settling: what its steps took, with
and without.

(b) An API behind FastAPI under wrk, in turns: not settled, settled every so often by a process of its own
(``api-billing settle run``), and by the API's own process. Their p99 is compared, at a quarter of what the API can do:
with all of its time taken, whatever else is done takes some. It is taken when all consumers are known, as a first
request waits for the chain. Not settled, but with as much settled on the same machine for a store that the API does not
use, says what of the effect is only that the machine, and the chain on it, have other work. Of those that are settled,
the delay from the end of a request until its settlement is recorded.

    python bench/settlement.py [--quick] [--every SECONDS] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meter_load import LoadFigure, Served, WrkMissing, serving, under_load, warm_up, wrk_program
from rich.console import Console
from rich.progress import track
from rich.table import Table
from settlement_app import API, PRICE_WEI

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import ListRecords, Operation, Reserve, Reserved, Settle
from api_billing.metering.ledger.settlement_operations import ListOutgoing
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings
from api_billing.metering.settlement.cutting import MAX_LINES
from api_billing.metering.settlement.reconcile import reconcile
from api_billing.metering.settlement.worker import Settler
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import run
from api_billing.networks import find_network
from api_billing.results import SettlementEntry
from api_billing.unlocked import unlocked_account
from genlayer_localnet.testing.server import ServerProcess

CONSUMERS = MAX_LINES
CALLS = 10_000
CONNECTIONS = 32
LOAD = 0.25  # of what the API can do
STEADY_SECONDS = 4  # under that load, before it is measured
GEN = 10**18
HOLD_WEI = GEN
DAY_SECONDS = 86_400
APART, IN_PROCESS = "settled by another process", "settled by the API's own process"
ALONE, ELSEWHERE = "not settled", "not settled, another store beside"
VARIANTS = (ALONE, ELSEWHERE, APART, IN_PROCESS)
AIMS = "aims: 10,000 calls in one transaction of 256 lines; no visible effect on the p99 of requests while settling"


@dataclass(frozen=True, slots=True)
class Place:
    """A contract with an API and consumers who have holds."""

    operator: BillingClient
    consumers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """One batch. Rates are per second; ``step_p99_ms`` is of a request's steps beside it."""

    calls: int
    lines: int
    cut_seconds: float
    settle_seconds: float
    single_calls_per_second: float
    idle_step_p99_ms: float
    step_p99_ms: float
    step_max_ms: float


@dataclass(frozen=True, slots=True)
class Delay:
    """From the end of a request until its settlement was recorded, in seconds."""

    calls: int
    transactions: int
    p50_seconds: float
    p99_seconds: float


def main() -> None:
    options = _options()
    console = Console()
    console.width = max(console.width, 110)
    busy = os.getloadavg()[0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="settlement-bench-")))
        node = stack.enter_context(ServerProcess("--accounts", str(CONSUMERS + 1)))
        place = prepared(node.url, console)
        built = measure_batch(place, folder, quick=options.quick)
        _print_built(console, built)
        found: dict[str, Any] = {"batch": built}
        try:
            wrk_program()
            rate = measure_rate(place, node.url, folder)
            every = options.every or (5 if options.quick else 20)
            load = Load(place, node.url, folder, every, int(rate * LOAD))
            figures, delays, billed = measure_load(load, quick=options.quick)
            _print_load(console, load, figures, delays, billed)
            found |= {"rate": rate, "every": every, "load": figures, "delay": delays, "billed": billed}
        except WrkMissing as missing:
            console.print(str(missing), style="bold")
    console.print(f"load average at the start {busy:.2f}, at the end {os.getloadavg()[0]:.2f}")
    console.print(AIMS, soft_wrap=True)
    if options.json:
        text = json.dumps(found, indent=2, default=dataclasses.asdict) + "\n"
        sys.stdout.write(text) if options.json == "-" else Path(options.json).write_text(text, "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of settlement, and what requests feel of it.")
    parser.add_argument(
        "--every",
        metavar="SECONDS",
        type=int,
        help="pause between two rounds of settling (default: 20, or 5 with --quick)",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--json", metavar="FILE", default="", help="write all figures there as JSON; - is the output")
    return parser.parse_args()


def prepared(url: str, console: Console) -> Place:
    """Deploy the contract, register the API, and have each consumer place a hold."""
    network = find_network("localnet", url)
    provider = Connection(network).provider
    account = unlocked_account(provider, 0)
    connection = Connection(network, account)
    deployed = connection.follower.wait(connection.send_deployment(contract_path().read_bytes()), "accepted", 60)
    operator = BillingClient(network, contract=deployed.contract, account=account)
    apis = [API, *map(_api, VARIANTS)]
    for api in apis:
        operator.register_api(api, PRICE_WEI, 10**9)
    expires_at = connection.now() + DAY_SECONDS
    consumers = []
    for number in track(range(1, CONSUMERS + 1), "consumers with holds", console=console, transient=True):
        client = BillingClient(network, contract=deployed.contract, account=unlocked_account(provider, number))
        for api in apis:
            client.subscribe(api, 10 * GEN, 2 * GEN)
            client.place_hold(api, HOLD_WEI, expires_at)
        consumers.append(client.address.lower())
    return Place(operator, tuple(consumers))


# --- (a)


class TimedChain:
    """The client, and when it was asked for the largest settlement, and had done it."""

    def __init__(self, client: BillingClient) -> None:
        self._client = client
        self.contract = client.contract
        self.calls, self.asked, self.answered = 0, 0.0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def settle_usage(self, api: str, sequence: int, entries: Sequence[SettlementEntry], root: str) -> Any:
        asked = time.perf_counter()
        written = self._client.settle_usage(api, sequence, entries, root)
        calls = sum(entry.calls for entry in entries)
        if calls > self.calls:
            self.calls, self.asked, self.answered = calls, asked, time.perf_counter()
        return written


def measure_batch(place: Place, folder: Path, *, quick: bool) -> Built:
    """10,000 calls into one batch, and that onto the chain."""
    with open_store(f"sqlite:///{folder}/batch.db") as store:
        _grant(place, store)
        idle = _steps_beside(store, place.consumers[0], lambda: time.sleep(0.5 if quick else 2))
        settle_round(place.operator, store)  # what these were
        _pairs(store, place.consumers, CALLS)
        chain = TimedChain(place.operator)
        begun = time.perf_counter()
        beside = _steps_beside(store, place.consumers[0], lambda: settle_round(chain, store))
        outgoing = max(store.call(ListOutgoing(API, limit=1000)), key=lambda each: each.batch.records)
    calls = sum(part.billed_calls for part in outgoing.posting.parts)
    if calls != outgoing.batch.records:
        raise RuntimeError(f"a part was refused: {outgoing.posting.parts}")
    return Built(
        calls=calls,
        lines=len(outgoing.batch.lines),
        cut_seconds=chain.asked - begun,
        settle_seconds=chain.answered - chain.asked,
        single_calls_per_second=_single_calls(place, 20 if quick else 100),
        idle_step_p99_ms=_percentile(idle, 99),
        step_p99_ms=_percentile(beside, 99),
        step_max_ms=max(beside),
    )


def _grant(place: Place, store: Store) -> None:
    """What a meter does with each consumer's first request."""
    settings = CreditSettings(reads_per_10_seconds=1_000)
    credit = ChainCredit(place.operator, store.call, now_ms=_now_ms, settings=settings)
    for consumer in place.consumers:
        run(credit.admit(API, consumer, PRICE_WEI), store.call)


def settle_round(chain: Any, store: Store, api: str = API) -> None:
    """Settle all that is in a store. Raises: RuntimeError, when that did not go through."""
    settler = Settler(chain, holder="bench", now_ms=_now_ms)
    ended = run(settler.round(api), store.call)
    if ended.status != "done":
        raise RuntimeError(f"the settlement ended {ended}")


def _pairs(store: Store, consumers: Sequence[str], calls: int) -> None:
    """So many calls, of each consumer in turn, by as many threads as share a commit well."""

    def work(first: int) -> None:
        for number in range(first, calls, CONNECTIONS):
            for _ in _steps(store, consumers[number % len(consumers)]):
                pass

    threads = [threading.Thread(target=work, args=(first,)) for first in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _steps(store: Store, consumer: str) -> Iterator[float]:
    """Reserve, then settle; how long each took, in milliseconds."""
    now_ms, account = _now_ms(), chain_account(API, consumer)
    made = Reserve(new_id(now_ms), now_ms, now_ms + 60_000, account, API, consumer, PRICE_WEI, fresh=True)
    operations: tuple[Operation[Any], ...] = (made, Settle(made.reservation_id, account, now_ms, PRICE_WEI))
    for operation in operations:
        begun = time.perf_counter()
        reply = store.call(operation)
        yield (time.perf_counter() - begun) * 1e3
        if operation is made and not isinstance(reply, Reserved):
            raise RuntimeError(f"refused: {reply}")


def _steps_beside(store: Store, consumer: str, action: Callable[[], None]) -> list[float]:
    """What the steps of one caller took while something else was done."""
    found: list[float] = []
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            found.extend(_steps(store, consumer))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        action()
    finally:
        ended.set()
        thread.join()
    return found


def _single_calls(place: Place, calls: int) -> float:
    begun = time.perf_counter()
    for number in range(calls):
        place.operator.consume_credit(API, place.consumers[number % CONSUMERS])
    return calls / (time.perf_counter() - begun)


# --- (b)


@dataclass(frozen=True, slots=True)
class Load:
    """Where the API is, how often it is settled, and how many requests a second it gets."""

    place: Place
    url: str
    folder: Path
    every: int
    requests_per_second: int

    @property
    def pause_ms(self) -> int:
        """Between two requests of a connection."""
        return CONNECTIONS * 1000 // self.requests_per_second


def measure_rate(place: Place, url: str, folder: Path) -> float:
    """How many requests a second the API can do, not settled."""
    with _running(Load(place, url, folder, 1, 1), ALONE) as server:
        warm_up(server, CONNECTIONS, place.consumers, folder)
        return under_load(server, CONNECTIONS, STEADY_SECONDS, place.consumers, folder).requests_per_second


def measure_load(load: Load, *, quick: bool) -> tuple[dict[str, list[LoadFigure]], dict[str, Delay], bool]:
    """The same API with and without settling, under wrk in turns; the delays, and whether all was billed."""
    place, folder = load.place, load.folder
    seconds = max(6, load.every * 5 // 4)
    figures: dict[str, list[LoadFigure]] = {name: [] for name in VARIANTS}
    delays: dict[str, Delay] = {}
    billed = True
    for round_ in range(1 if quick else 3):
        # One after the other: a settler beside the one that is measured would be felt, too.
        for name in VARIANTS:
            with ExitStack() as stack:
                begin = stack.enter_context(_settled_beside(load, round_, seconds)) if name == ELSEWHERE else _nothing
                server = stack.enter_context(_running(load, name))
                warm_up(server, CONNECTIONS, place.consumers, folder)
                warm_up(server, CONNECTIONS, place.consumers, folder, seconds=STEADY_SECONDS, pause_ms=load.pause_ms)
                begin()
                figure = under_load(server, CONNECTIONS, seconds, place.consumers, folder, pause_ms=load.pause_ms)
                figures[name].append(figure)
            if name in (APART, IN_PROCESS):
                with open_store(_store_url(folder, name)) as store:
                    settle_round(place.operator, store, _api(name))  # what came in since its last round
    for name in (APART, IN_PROCESS):
        with open_store(_store_url(folder, name)) as store:
            billed = billed and _all_billed(place, store, _api(name))
            delays[name] = _delays(store, _api(name))
    return figures, delays, billed


def _nothing() -> None:
    pass


@contextmanager
def _settled_beside(load: Load, round_: int, seconds: int) -> Iterator[Callable[[], None]]:
    """Stores that are settled as often as the API, with as much in them, once the function that it gives is called."""
    place = load.place
    stores = []
    for number in range(seconds // load.every):
        stores.append(f"sqlite:///{load.folder}/beside-{round_}-{number}.db")
        with open_store(stores[-1]) as store:
            _grant(place, store)
            _pairs(store, place.consumers, load.requests_per_second * load.every)
    command = [
        sys.executable, str(Path(__file__).with_name("settlement_beside.py")), load.url, place.operator.contract, API,
        str(load.every * 0.8), *stores,
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        pipe = process.stdin
        yield lambda: print(file=pipe, flush=True)
        if process.wait():
            raise RuntimeError("the other stores were not settled")


@contextmanager
def _running(load: Load, name: str) -> Iterator[Served]:
    """The API, and a settler in a process of its own when it is that variant."""
    folder, contract = load.folder, load.place.operator.contract
    environment = {
        "METER_URL": _store_url(folder, name), "NODE_URL": load.url, "CONTRACT": contract,
        "API": _api(name), "SETTLE": _api(name) if name == IN_PROCESS else "",
        "EVERY": str(load.every),
    }  # fmt: skip
    with serving("settlement_app:make", environment, folder / f"{_api(name)}.log") as server:
        if name != APART:
            yield server
            return
        command = [
            sys.executable, "-m", "api_billing.cli", "settle", "run", _api(name), "--every", str(load.every), "--store",
            _store_url(folder, name), "--url", load.url, "--contract", contract, "--account", "localnet:0",
        ]  # fmt: skip
        with (folder / "settler.log").open("ab") as log:
            settler = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield server
        finally:
            settler.send_signal(signal.SIGINT)
            settler.wait()


def _api(name: str) -> str:
    """Each variant settles an API of its own: two stores of one API would take each other's sequences."""
    return f"{API}-{VARIANTS.index(name)}"


def _store_url(folder: Path, name: str) -> str:
    return f"sqlite:///{folder}/{_api(name)}.db"


def _all_billed(place: Place, store: Store, api: str) -> bool:
    """Whether nothing is left in the outbox, and the meter's sums are what it says was billed.

    The contract's own sums are of both parts of this benchmark, and of its single calls: ``reconcile`` would tell apart
    what another meter has settled, line by line.
    """
    found = run(reconcile(place.operator, api, _now_ms()), store.call)
    return all(line.metered_wei == line.billed_wei for line in found.lines)


def _delays(store: Store, api: str) -> Delay:
    ended = {each.batch.sequence: each.posting.ended_ms for each in _pages(store, api)}
    delays: list[float] = []
    after = ""
    while page := store.call(ListRecords(api=api, states=("settled",), after=after, limit=1000)):
        delays += [(ended[record.batch] - record.ended_ms) / 1000 for record in page]
        after = page[-1].record_id
    return Delay(len(delays), len(ended), _percentile(delays, 50), _percentile(delays, 99))


def _pages(store: Store, api: str) -> Iterator[Any]:
    after = 0
    while page := store.call(ListOutgoing(api, after)):
        yield from page
        after = page[-1].batch.sequence


# --- printing


def _print_built(console: Console, built: Built) -> None:
    title = f"one batch of {built.calls:,} calls in {built.lines} lines, store SQLite"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("seconds", "lines/s", "calls/s"):
        table.add_column(column, justify="right")
    steps = {"built: cut, with its Merkle root": built.cut_seconds, "settled: one transaction": built.settle_seconds}
    for name, seconds in steps.items():
        table.add_row(name, f"{seconds:.2f}", f"{built.lines / seconds:,.0f}", f"{built.calls / seconds:,.0f}")
    table.add_row("baseline: consume_credit, a transaction a call", "", "", f"{built.single_calls_per_second:,.0f}")
    console.print(table)
    ratio = built.calls / sum(steps.values()) / built.single_calls_per_second
    console.print(f"{built.calls:,} calls in one on-chain write: {ratio:,.0f} x a transaction for each call")
    console.print(
        f"a request's step in the store: p99 {built.idle_step_p99_ms:.2f} ms alone, {built.step_p99_ms:.2f} ms beside"
        f" cutting and settling (longest {built.step_max_ms:.1f} ms)"
    )


def _print_load(
    console: Console, load: Load, figures: dict[str, list[LoadFigure]], delays: dict[str, Delay], billed: bool
) -> None:
    title = f"FastAPI under wrk at {LOAD:.0%} of what it can do, settled every {load.every} s, median of rounds"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in (
        "requests/s",
        "p50 ms",
        "p99 ms",
        "p99 of not settled",
        "delay p50 s",
        "p99 s",
        "calls",
        "in transactions",
    ):
        table.add_column(column, justify="right")
    medians = {name: _median(each) for name, each in figures.items()}
    base = medians[ALONE][2]
    for name, (rate, p50, p99) in medians.items():
        delay = delays.get(name)
        row = [f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", f"{p99 / base:.2f}"]
        if delay is not None:
            row += [f"{delay.p50_seconds:.1f}", f"{delay.p99_seconds:.1f}", f"{delay.calls:,}", str(delay.transactions)]
        table.add_row(name, *row)
    console.print(table)
    console.print("all that was metered is billed" if billed else "NOT all that was metered is billed")


def _median(figures: list[LoadFigure]) -> tuple[float, float, float]:
    rows = [(each.requests_per_second, each.p50_ms, each.p99_ms) for each in figures]
    rate, p50, p99 = (statistics.median(column) for column in zip(*rows, strict=True))
    return rate, p50, p99


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
