"""`CourtClient`: a court from Python, one typed method for each of `contracts/usage_court.py`.

court = CourtClient("localnet", contract=billing.get_promise("weather").court, account=account)
court.open_dispute("weather", day_id, "503 from 10 to 12 UTC", bond_wei=court.get_court().min_bond_wei)
"""

from __future__ import annotations

from api_billing.extras import needed_by

with needed_by(__name__):
    from api_billing.contract_client import ContractClient, Written, all_of, nothing
from api_billing.contract_api import KEPT, CourtMethod
from api_billing.court_results import Court, CourtSolvency, Dispute, DisputeHead, OpenedDispute, Verdict


class CourtClient(ContractClient):
    """A court, whose address the promise of an API names."""

    def _billing(self) -> str:
        return self.get_court().billing

    _not_this = "no court"

    def _recognize(self) -> None:
        self.get_court()

    def open_dispute(
        self, api_name: str, day_id: int, claim: str, evidence_url: str = "", *, bond_wei: int = 0
    ) -> Written[OpenedDispute]:
        """Dispute what this account paid an API on a day, two days after it at the earliest. Sends the bond along.

        Raises: BondReturned, when it is refused.
        """
        args = api_name, day_id, claim, evidence_url
        return self._pay(CourtMethod.OPEN_DISPUTE, OpenedDispute.of, bond_wei, *args)

    def judge(self, dispute_id: int) -> Written[Verdict]:
        """Have leader and validators decide, each with its language model; without a verdict it can be asked again."""
        return self._write(CourtMethod.JUDGE, Verdict.of, dispute_id)

    def close_dispute(self, dispute_id: int) -> Written[None]:
        """End a dispute that nobody has judged in 30 days; the bond goes back."""
        return self._write(CourtMethod.CLOSE_DISPUTE, nothing, dispute_id)

    def get_dispute(self, dispute_id: int) -> Dispute:
        """A dispute with its texts."""
        return Dispute.of(self._read(CourtMethod.GET_DISPUTE, dispute_id))

    def list_disputes(self, api_name: str, after: int = 0, limit: int = KEPT) -> tuple[DisputeHead, ...]:
        """Disputes of an API with a number above `after`, oldest first, at most 64 at a time."""
        return all_of(DisputeHead.of, self._read(CourtMethod.LIST_DISPUTES, api_name, after, limit))

    def list_disputes_of(self, consumer: str, after: int = 0, limit: int = KEPT) -> tuple[DisputeHead, ...]:
        """Disputes of a consumer about all its APIs, in the same order."""
        return all_of(DisputeHead.of, self._read(CourtMethod.LIST_DISPUTES_OF, consumer, after, limit))

    def get_court(self) -> Court:
        """Of which contract it judges, and the least bond."""
        return Court.of(self._read(CourtMethod.GET_COURT))

    def get_solvency(self) -> CourtSolvency:
        """What the court holds and owes."""
        return CourtSolvency.of(self._read(CourtMethod.GET_SOLVENCY))
