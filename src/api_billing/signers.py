"""Who signs on a network, by name: a key of one's own, or an account that the node of a localnet signs for."""

from __future__ import annotations

from api_billing.connection import Connection
from api_billing.keys import AskPassword, localnet_index, unlock
from api_billing.networks import Network
from api_billing.sending import Signer
from api_billing.unlocked import unlocked_account


def open_signer(network: Network, account: str, ask_password: AskPassword) -> Signer:
    """The account of a name as ``keys`` has them; a localnet is asked for its open accounts.

    Raises: InvalidInput, KeyUnavailable, NetworkError.
    """
    index = localnet_index(account)
    return unlock(account, ask_password) if index is None else unlocked_account(Connection(network).provider, index)
