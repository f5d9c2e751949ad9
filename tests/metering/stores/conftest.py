"""Every store that there is, empty; and a ``desk`` to ask it from, with ids and an instant of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import Added, Batch
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import (
    Balance,
    Grant,
    Operation,
    ReadBalance,
    ReadCounts,
    Release,
    Reserve,
    ReserveMore,
    Settle,
)
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import run

# What several processes can use at once. "serializable" is PostgreSQL as engines are that spread over machines.
SHARED = ("sqlite", "postgresql", "serializable", "redis")
STORES = ("memory", *SHARED)
ON_CLUSTER = {
    f"test_conformance_{what}"
    for what in ("claims", "consumers", "counts", "currency", "limits", "money", "more", "moving", "records")
}
# Usage of a batch, and ids, of several accounts.
NOT_IN_SHARDS = ("batch", "test_record__noted_with_the_id_of_a_request")

NOW_MS = int(datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Desk:
    """Asks a store for one account, consumer and API, unless told otherwise."""

    store: Store
    now_ms: int = NOW_MS
    account: str = "acme/weather"
    consumer: str = "acme"
    api: str = "weather"
    numbers: Iterator[int] = field(default_factory=count)

    def call(self, operation: Operation[Any]) -> Any:
        return self.store.call(operation)

    def new_id(self, now_ms: int | None = None) -> str:
        return first_id(self.now_ms if now_ms is None else now_ms)[:10] + f"{next(self.numbers):016d}"

    def grant(self, amount_wei: int, account: str | None = None, grant_id: str | None = None) -> Any:
        return self.call(Grant(grant_id or self.new_id(), account or self.account, amount_wei, self.now_ms))

    def reserve_op(self, estimate_wei: int = 10, *checks: WindowCheck, **changes: Any) -> Reserve:
        now_ms = changes.get("now_ms", self.now_ms)
        values = {
            "reservation_id": self.new_id(now_ms), "now_ms": now_ms, "expires_ms": now_ms + 60_000,
            "account": self.account, "api": self.api, "consumer": self.consumer, "checks": checks,
            "claim_expires_ms": now_ms + DAY_MS, **changes,
        }  # fmt: skip
        return Reserve(estimate_wei=estimate_wei, **values)

    def reserve(self, estimate_wei: int = 10, *checks: WindowCheck, **changes: Any) -> tuple[str, Any]:
        operation = self.reserve_op(estimate_wei, *checks, **changes)
        return operation.reservation_id, self.call(operation)

    def settle(self, reservation_id: str, actual_wei: int, **changes: Any) -> Any:
        values = {"account": self.account, "now_ms": self.now_ms, **changes}
        return self.call(Settle(reservation_id, actual_wei=actual_wei, **values))

    def reserve_more(self, made: Reserve, estimate_wei: int) -> Any:
        return self.call(ReserveMore.of(made, estimate_wei))

    def release(self, reservation_id: str, **changes: Any) -> Any:
        return self.call(Release(reservation_id, **{"account": self.account, "now_ms": self.now_ms, **changes}))

    def served(self, actual_wei: int = 10, **changes: Any) -> str:
        """A request that was reserved and settled for the same amount; its id."""
        reservation_id, _ = self.reserve(actual_wei, **changes)
        self.settle(reservation_id, actual_wei, account=changes.get("account", self.account))
        return reservation_id

    def cut(self, api: str | None = None, now_ms: int | None = None, **values: Any) -> Batch | None:
        """Settled usage in no batch, as the next batch, in as many steps as it takes."""
        cutter = Cutter(api or self.api, **values)
        while (added := self.cut_step(cutter, now_ms)) is not None and added.batch is None:
            pass
        return None if added is None else added.batch

    def cut_step(self, cutter: Cutter, now_ms: int | None = None) -> Added | None:
        """One step of cutting."""
        return run(cutter.step(self.now_ms if now_ms is None else now_ms), self.call)

    def balance(self, account: str | None = None) -> Balance:
        balance: Balance = self.call(ReadBalance(account or self.account))
        return balance

    def free(self, account: str | None = None) -> int:
        return self.balance(account).free_wei

    def counts(self, *checks: WindowCheck) -> tuple[int, ...]:
        counts: tuple[int, ...] = self.call(ReadCounts(checks))
        return counts


def calls_window(limit: int | None, name: str = "day", **changes: Any) -> WindowCheck:
    day = NOW_MS // DAY_MS * DAY_MS
    values = {"counter": f"acme/{name}", "starts_ms": day, "ends_ms": day + DAY_MS, "unit": "calls", "name": name}
    return WindowCheck(**{**values, "limit": limit, **changes})  # type: ignore[arg-type]


def wei_window(limit: int | None, name: str = "spend", **changes: Any) -> WindowCheck:
    return calls_window(limit, name, **{"unit": "wei", "code": "budget_exceeded", **changes})


@pytest.fixture(scope="session")
def calls() -> Any:
    """Makes a window of today that counts calls."""
    return calls_window


@pytest.fixture(scope="session")
def wei() -> Any:
    """Makes a window of today that counts wei."""
    return wei_window


def url_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty store of a kind."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/meter.db"
    if kind == "memory":
        return "memory://"
    empty = request.getfixturevalue("emptied")
    if kind == "redis_cluster":
        urls = [empty(url) for url in request.getfixturevalue("redis_cluster_urls")]
        return f"{urls[0]}?shards=16"
    server = "postgresql" if kind == "serializable" else kind
    url: str = empty(request.getfixturevalue(f"{server}_url"))
    return f"{url}&options=-cdefault_transaction_isolation%3Dserializable" if kind == "serializable" else url


@pytest.fixture(scope="session")
def processes() -> Iterator[Any]:
    """Makes processes that race or die, see processes.py; a function of what they have to do."""
    command = [sys.executable, str(Path(__file__).with_name("processes.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def ask(do: str, **task: Any) -> Any:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps({"do": do, **task}) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield ask
        assert server.stdin is not None
        server.stdin.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a cluster of many shards usage is not settled, and the other tests are about what is the same there."""
    items[:] = [item for item in items if "[redis_cluster" not in item.name or _is_for_cluster(item)]


def _is_for_cluster(item: pytest.Item) -> bool:
    return item.path.stem in ON_CLUSTER and not any(name in item.name for name in NOT_IN_SHARDS)


@pytest.fixture(params=(*STORES, "redis_cluster"))
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """Each kind of store, empty."""
    url = url_of(request.param, request, folder)
    with open_store(url) as store:
        yield store


@pytest.fixture(params=SHARED)
def shared_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of each kind of store that several processes can use at once, empty."""
    return url_of(request.param, request, folder)


@pytest.fixture
def desk(store: Store) -> Desk:
    """Asks a store as one consumer."""
    return Desk(store)


@pytest.fixture(scope="session")
def desk_of() -> type[Desk]:
    """A desk of a store that a test opens itself."""
    return Desk
