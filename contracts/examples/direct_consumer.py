# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

from genlayer import *


class DirectConsumer(gl.Contract):
    """The shortest contract that pays per call: it bills itself and goes on.

    It cannot wait for the result: a write to another contract is a message that runs after this call has ended,
    so it never learns whether it was billed. A contract that must know first uses `request_call`: metered_fetch.py.
    After an appeal a message can be sent again. The number of the use, which is storage and so the same again, is its
    request id: an id is billed once.
    """

    owner: Address
    billing: Address
    uses: u64

    def __init__(self, billing: str):
        self.owner = gl.message.sender_address
        self.billing = billing if isinstance(billing, Address) else Address(billing)

    @gl.public.write
    def subscribe(self, api_name: str, max_daily_spend_wei: int, max_price_wei: int) -> None:
        """Accept the API's price, if it is at most `max_price_wei` when the message arrives."""
        self._require_owner()
        billing = gl.get_contract_at(self.billing).emit(on="accepted")
        billing.subscribe(api_name, max_daily_spend_wei, 0, "standard", max_price_wei)

    @gl.public.write
    def use_api(self, api_name: str, calls: int) -> None:
        self._require_owner()
        self.uses += 1
        billing = gl.get_contract_at(self.billing).emit(on="accepted")
        billing.consume_credit(api_name, gl.message.contract_address, calls, f"use-{self.uses}")

    def _require_owner(self) -> None:
        if gl.message.sender_address != self.owner:
            raise gl.vm.UserError("[EXPECTED] not_owner: caller is not the owner of this contract")
