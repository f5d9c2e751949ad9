"""What the examples share: a command line, and a meter with one consumer who has an API key and credit."""

import argparse
from typing import Any

from api_billing.metering import Meter
from api_billing.metering.operations import ListKeys, SumUsage

GWEI = 10**9
GEN = 10**18
CONSUMER = "demo"


def arguments(description: str | None) -> argparse.Namespace:
    """Read --host, --port and --database."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--database", default="demo-meter.db", help="SQLite file of the meter")
    return parser.parse_args()


def open_meter(database: str) -> Meter:
    """Open the meter; the first time, make the demo consumer and show its API key, which is stored only as a hash."""
    meter = Meter.open(f"sqlite:///{database}")
    if not meter.store.call(ListKeys(CONSUMER)):
        meter.add_consumer(CONSUMER, tier="pro")
        meter.grant(CONSUMER, GEN, grant_id="demo-credit", note="demo credit")
        print(f"API key of {CONSUMER}, with 1 GEN of credit: {meter.create_key(CONSUMER).text}", flush=True)
    return meter


def balance_of(meter: Meter, consumer: str) -> dict[str, str]:
    """A consumer's money. Wei are text: a JSON number would be rounded."""
    balance = meter.balance(consumer)
    return {
        "consumer": consumer,
        "free_wei": str(balance.free_wei),
        "reserved_wei": str(balance.reserved_wei),
        "charged_wei": str(balance.charged_wei),
    }


def usage_of(meter: Meter, consumer: str) -> list[dict[str, Any]]:
    """A consumer's usage by API and day (days since 1970-01-01 UTC)."""
    days = meter.store.call(SumUsage(consumer))
    return [{"api": day.api, "day": day.day, "calls": day.calls, "charged_wei": str(day.charged_wei)} for day in days]
