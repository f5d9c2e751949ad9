"""pytest plugin: the billing contract on the localnet of the test, and a meter that lives as long as the test.

`memory_meter` is a `Meter` on a store in memory, whose time is that of `meter_clock` and goes on when it is told to:
`meter_clock.advance(days=1)`. `paying(memory_meter)` gives the header fields of a consumer with credit and a key.

`billing` is a `Billing`: the contract bound to its localnet. Use `billing.write("subscribe", …, sender=alice)` and
`billing.view("get_api", "weather")`. It builds on the fixture `localnet` of `genlayer_localnet.testing.plugin`.
Every pytest run of a project that has this package loads the plugin, so it loads nothing until the fixture is used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from api_billing.metering import Meter
    from api_billing.networks import Line
    from genlayer_localnet import Localnet, Receipt

OPERATOR_SEED = "0x" + "0e" * 20


@dataclass(frozen=True)
class Billing:
    """A deployed billing contract. Every method runs one transaction or one read on `net`."""

    net: Localnet
    address: str

    def write(self, method: str, *args: Any, sender: Any, value: int = 0, **kwargs: Any) -> Receipt:
        """Run a write and return its receipt, whether or not the contract refused it. `value` in wei."""
        return self.net.write(self.address, method, *args, sender=sender, value=value, **kwargs)

    def view(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Read a view; raises `ContractRejected` when the contract refuses."""
        return self.net.view(self.address, method, *args, **kwargs)

    def report(self, consumer: Any) -> dict[str, Any]:
        """`get_usage_report` as a dict."""
        report: dict[str, Any] = json.loads(self.view("get_usage_report", consumer))
        return report

    def api_report(self, consumer: Any, api_name: str) -> dict[str, Any]:
        """The line of one API in the consumer's report."""
        return next(line for line in self.report(consumer)["apis"] if line["api_name"] == api_name)


def deploy_billing(net: Localnet, line: Line = "v0.2") -> Billing:
    """Deploy the contract of this checkout, in its edition for a line of GenVM; who deploys it has no power over it."""
    from api_billing.contract_source import contract_path, deployed_form

    path = contract_path()
    code = path if line == "v0.2" else deployed_form(path.read_text(encoding="utf-8"), line, minified=False)
    receipt = net.deploy(code, sender=OPERATOR_SEED)
    assert receipt.kind == "return", receipt.stderr
    return Billing(net, str(receipt.to))


@pytest.fixture
def billing(request: pytest.FixtureRequest) -> Billing:
    """The billing contract on a fresh localnet. Raises: MissingExtra without genlayer-localnet."""
    from api_billing.extras import needed_by

    with needed_by("the fixture billing"):
        import_module("genlayer_localnet")
    net: Localnet = request.getfixturevalue("localnet")
    return deploy_billing(net)


@dataclass(slots=True)
class MeterClock:
    """The time of a meter under test, in milliseconds since 1970-01-01 UTC. It stands still."""

    now_ms: int

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, **duration: float) -> None:
        """Let so much time go by, given as to `timedelta`: `hours=1`, `days=31`."""
        self.now_ms += timedelta(**duration) // timedelta(milliseconds=1)


@pytest.fixture
def meter_clock() -> MeterClock:
    """The clock of `memory_meter`; at first what time it is."""
    return MeterClock(time.time_ns() // 1_000_000)


@pytest.fixture
def memory_meter(meter_clock: MeterClock) -> Iterator[Meter]:
    """A meter with the settings of the environment on an empty store in memory, closed after the test."""
    from api_billing.metering import Meter
    from api_billing.metering.settings import MeterSettings
    from api_billing.metering.stores.memory.store import MemoryStore

    settings = MeterSettings.load(store_url="memory://")
    store = MemoryStore(now_ms=meter_clock)
    with Meter(store, settings, clock_ms=meter_clock, randrange=lambda _: 0) as meter:
        yield meter


def paying(
    meter: Meter, consumer: str = "consumer", credit_wei: int | str = 10**18, *, tier: str = "free"
) -> dict[str, str]:
    """Make a consumer with so much credit; the header fields of its requests, an API key in them."""
    meter.add_consumer(consumer, tier=tier)
    meter.grant(consumer, credit_wei, grant_id=f"test {consumer} {credit_wei}")
    return {"authorization": f"Bearer {meter.create_key(consumer).text}"}
