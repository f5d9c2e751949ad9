"""From a meter's settings to its contract."""

from __future__ import annotations

import os
from typing import Final

from api_billing.client import BillingClient
from api_billing.errors import KeyUnavailable
from api_billing.keys import PASSWORD_VARIABLE, given_password
from api_billing.metering.settings import MeterSettings
from api_billing.networks import find_network
from api_billing.signers import open_signer

_PASSWORD_FILE: Final = "API_BILLING_PASSWORD_FILE"


def open_chain(settings: MeterSettings) -> BillingClient:
    """The contract that the settings name; with an account that signs only when this process settles.

    Raises: InvalidInput, KeyUnavailable, NetworkError.
    """
    network = find_network(settings.network, settings.url or None)
    account = open_signer(network, settings.account, _password) if settings.settle_apis else None
    return BillingClient(network, contract=settings.contract, account=account, on=settings.settle_on)


def _password(name: str) -> str:
    """A keystore's password; a server has nobody to ask."""
    given = given_password(os.environ.get(_PASSWORD_FILE))
    if given is None:
        hint = f"set {PASSWORD_VARIABLE}, or name a file in {_PASSWORD_FILE}"
        raise KeyUnavailable(f"the password of {name} is needed", hint=hint)
    return given
