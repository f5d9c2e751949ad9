# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

"""A consumer contract that pays for an API only while the API promises what its owner has read.

Its owner names the court, the SHA-256 of the terms, and the least days and percent. Before it accepts a price, and
before each use, it reads the promise in force today; the billing contract does not let that change until tomorrow.
It goes to the court itself for a day that was not as promised: only who paid can. The bond is paid from what this
contract holds (`receive_credit`). It comes back as credit, as a refund does; `reclaim_credit` pays that to the owner.
"""

from genlayer import *


class CarefulConsumer(gl.Contract):
    owner: Address
    billing: Address
    api_name: str
    court: str  # 0x and lower-case hex, as the billing contract shows it
    terms_sha256: str
    least_payout_days: u8
    least_refund_percent: u8
    uses: u64

    def __init__(
        self,
        billing: str,
        api_name: str,
        court: str,
        terms_sha256: str,
        least_payout_days: int,
        least_refund_percent: int,
    ):
        self.owner = gl.message.sender_address
        self.billing = billing if isinstance(billing, Address) else Address(billing)
        self.api_name = api_name
        self.court = (court if isinstance(court, Address) else Address(court)).as_hex.lower()
        self.terms_sha256 = terms_sha256
        self.least_payout_days = least_payout_days
        self.least_refund_percent = least_refund_percent

    @gl.public.write
    def subscribe(self, max_daily_spend_wei: int, max_price_wei: int) -> None:
        """Accept the API's price, if it is at most `max_price_wei` when the message arrives."""
        self._require_owner()
        self._require_promise()
        billing = gl.get_contract_at(self.billing).emit(on="accepted")
        billing.subscribe(self.api_name, max_daily_spend_wei, 0, "standard", max_price_wei)

    @gl.public.write
    def use_api(self, calls: int) -> None:
        """Be billed. A message can be sent again after an appeal; the same number of a use is billed once."""
        self._require_owner()
        self._require_promise()
        self.uses += 1
        billing = gl.get_contract_at(self.billing).emit(on="accepted")
        billing.consume_credit(self.api_name, gl.message.contract_address, calls, f"use-{self.uses}")

    @gl.public.write
    def dispute(self, day_id: int, claim: str, evidence_url: str, bond_wei: int) -> None:
        """Dispute a day in the court, with a bond from what this contract holds."""
        self._require_owner()
        court = gl.get_contract_at(Address(self.court)).emit(value=bond_wei, on="finalized")
        court.open_dispute(self.api_name, day_id, claim, evidence_url)

    @gl.public.write
    def reclaim_credit(self, amount: int) -> None:
        """Have the billing contract pay credit to the owner, which must be an account."""
        self._require_owner()
        gl.get_contract_at(self.billing).emit(on="finalized").withdraw_credit(amount, self.owner)

    @gl.public.write.payable
    def receive_credit(self) -> None:
        """Take GEN for bonds."""

    @gl.public.write
    def pay_owner(self) -> None:
        """Send what this contract holds to its owner."""
        self._require_owner()
        if self.balance > 0:
            PlainAccount(self.owner).emit_transfer(value=self.balance)

    def _require_owner(self) -> None:
        if gl.message.sender_address != self.owner:
            raise gl.vm.UserError("[EXPECTED] not_owner: caller is not the owner of this contract")

    def _require_promise(self) -> None:
        promise = gl.get_contract_at(self.billing).view().get_promise(self.api_name)
        if (
            promise["court"] != self.court
            or promise["terms_sha256"] != self.terms_sha256
            or promise["payout_days"] < self.least_payout_days
            or promise["max_refund_percent"] < self.least_refund_percent
        ):
            raise gl.vm.UserError("[EXPECTED] promise_differs: the API does not promise what the owner has read")


@gl.evm.contract_interface
class PlainAccount:
    class View:
        pass

    class Write:
        pass
