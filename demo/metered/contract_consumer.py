"""The consumer that is a contract: it asks the billing contract for each call, and fetches the API with the receipt."""

from dataclasses import dataclass
from typing import Any, Final

from api_billing.client import BillingClient
from api_billing.errors import UnexpectedAnswer
from demo.contract_client import SOURCE
from demo.metered.place import CONTRACT_OWNER, Place, deploy
from demo.metered.plan import API, PRICE_WEI

CALLS: Final = 3
"""One more than it has credit for."""

_DEPOSIT_WEI: Final = (CALLS - 1) * PRICE_WEI


@dataclass(frozen=True, slots=True)
class Fetch:
    """What came of one call: ``status`` is fetched, failed or denied; ``detail`` the body, the error or the code."""

    request_id: str
    status: str
    detail: str
    receipt_id: str


class ContractConsumer:
    """The example `metered_fetch.py`, deployed, subscribed, and with credit for all its calls but one.

    Raises: BillingError.
    """

    def __init__(self, place: Place) -> None:
        self._owner: BillingClient = place.client(CONTRACT_OWNER)
        connection = self._owner.connection
        self.address = deploy(connection, SOURCE, (place.contract, API))
        # Its subscription is a message that goes out when the transaction is final.
        self._write("finalized", "subscribe", CALLS * PRICE_WEI)
        self._owner.top_up_for(self.address, _DEPOSIT_WEI)

    def fetch(self, url: str) -> Fetch:
        """One call: billed, then fetched by the leader and all validators. Raises: BillingError."""
        request_id = str(self._write("accepted", "fetch", url))
        found = self._owner.connection.read(self.address, "get_request", [request_id])
        if not isinstance(found, dict) or found["status"] == "open":
            raise UnexpectedAnswer(f"{request_id} was not answered: {found}")
        return Fetch(request_id, found["status"], found["detail"], found["receipt_id"])

    def _write(self, phase: Any, method: str, *arguments: object) -> object:
        seconds = self._owner.network.finalize_seconds
        connection = self._owner.connection
        return connection.write(
            self.address, method, arguments, value_wei=0, phase=phase, timeout_seconds=seconds
        ).value
