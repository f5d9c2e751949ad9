"""What the examples share: a command line, and a meter with one consumer who has an API key and credit.

With API_BILLING_CONTRACT in the environment credit is on the chain, and only its consumer can provide it: the key is
then for the address given with --consumer, and what is left to do is printed. Who has a session there needs no key.
"""

import argparse
import os
from typing import Any

from api_billing.errors import BillingError
from api_billing.metering import Meter
from api_billing.metering.ledger.consumer_operations import ListKeys
from api_billing.metering.ledger.operations import SumUsage
from api_billing.networks import checked_address
from api_billing.showing import redacted

GWEI = 10**9
GEN = 10**18
CONSUMER = "demo"
API = "demo"

_WITHOUT_CONSUMER = """\
Credit is on the contract {contract}: a consumer is its address there.
An API key for one is made at the start with --consumer 0x…, and at any time with
  api-billing meter consumers add 0x… --store {store}
  api-billing meter keys create 0x… --store {store}
One with a session needs none, and pays by vouchers:
  api-billing session open {api} 1gen --signer 0x… --for 7d --max-daily-spend 1gen --deposit 1gen --account …"""
_TO_BE_SERVED = """\
The consumer pays from its hold on the contract {contract}; it is served after
  api-billing subscribe {api} --max-daily-spend 1gen --deposit 1gen --account …
  api-billing hold place {api} 1gen --for 7d --account …"""


def arguments(description: str | None) -> argparse.Namespace:
    """Read --host, --port, --database and --consumer."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--database", default="demo-meter.db", help="SQLite file of the meter")
    parser.add_argument("--consumer", metavar="0x…", help="with a contract: the address that gets an API key")
    return parser.parse_args()


def open_meter(database: str, consumer: str | None = None) -> Meter:
    """Open the meter; the first time, make the demo consumer and show its API key, which is stored only as a hash.

    What cannot be done ends the program with a message.
    """
    # With a contract, who proves an address may come.
    new = os.environ.get("API_BILLING_NEW_CONSUMERS", "pro" if os.environ.get("API_BILLING_CONTRACT") else "refuse")
    try:
        meter = Meter.open(f"sqlite:///{database}", new_consumers=new)
        if meter.settings.contract:
            _welcome_from_chain(meter, consumer)
        elif consumer is not None:
            raise SystemExit("--consumer goes with API_BILLING_CONTRACT: without a contract, credit is in the store")
        elif not meter.store.call(ListKeys(CONSUMER)):
            meter.add_consumer(CONSUMER, tier="pro")
            meter.grant(CONSUMER, GEN, grant_id="demo-credit", note="demo credit")
            print(f"API key of {CONSUMER}, with 1 GEN of credit: {meter.create_key(CONSUMER).text}", flush=True)
    except BillingError as error:
        raise SystemExit(f"{error}\n  next: {error.hint}" if error.hint else str(error)) from None
    return meter


def _welcome_from_chain(meter: Meter, consumer: str | None) -> None:
    contract, store = meter.settings.contract, redacted(meter.store.url)
    if consumer is None:
        print(_WITHOUT_CONSUMER.format(contract=contract, store=store, api=API), flush=True)
        return
    address = checked_address(consumer).lower()
    if not meter.store.call(ListKeys(address)):
        meter.add_consumer(address, tier="pro")
        print(f"API key of {address}: {meter.create_key(address).text}", flush=True)
        print(_TO_BE_SERVED.format(contract=contract, api=API), flush=True)


def balance_of(meter: Meter, consumer: str) -> dict[str, str]:
    """A consumer's money, at this API where it is on the chain. Wei are text: a JSON number would be rounded."""
    balance = meter.balance(consumer, API)
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
