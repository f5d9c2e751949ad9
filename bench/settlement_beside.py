"""Settles stores that nobody else uses, one after another: what settlement takes of a machine, and not of an API.

python settlement_beside.py NODE_URL CONTRACT API SECONDS STORE_URL...
"""

import sys
import time

from settlement import settle_round

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.metering.stores import open_store
from api_billing.networks import find_network
from api_billing.unlocked import unlocked_account


def main(url: str, contract: str, api: str, seconds: str, *stores: str) -> None:
    network = find_network("localnet", url)
    chain = BillingClient(network, contract=contract, account=unlocked_account(Connection(network).provider, 0))
    sys.stdin.readline()  # now
    for store_url in stores:
        time.sleep(float(seconds))
        with open_store(store_url) as store:
            settle_round(chain, store, api)


if __name__ == "__main__":
    main(*sys.argv[1:])
