"""Says what a transaction should deposit on a network with fees, before it is sent: what the node estimates when it
simulates it with all messages that it sends, else what a profile has. Never is it paid from a contract's balance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from api_billing.amounts import format_wei
from api_billing.contract_api import CONSUMER_MESSAGES, MESSAGES, METHODS, Message, Method
from api_billing.errors import ContractNotFound, RpcFailed, Unfunded, WouldFail
from api_billing.fee_profile import FeeProfile, shipped_profile
from api_billing.fees import ROOT, Allocation, Fees, Prices, call_key, external_params, internal_params, with_headroom
from api_billing.genlayer_sdk import NOT_FOUND, is_studio
from api_billing.networks import Network
from api_billing.sending import Payload
from api_billing.transactions import Execution, error_of_receipt, refusal_of
from api_billing.transport import RpcProvider

_TRANSFER_GAS: Final = 100_000
_HINT: Final = "nothing was sent; what is deposited and not used comes back when the transaction is final"


class FeeDesk:
    """Of one network. ``max_wei`` is the most that one transaction may deposit, None any amount; ``tell`` hears of each
    deposit before it is sent; ``billing`` says which billing contract courts and consumer contracts send messages to.
    Safe to use from several threads.
    """

    def __init__(
        self,
        network: Network,
        provider: RpcProvider,
        *,
        max_wei: int | None = None,
        profile: FeeProfile | None = None,
    ) -> None:
        self._network, self._provider = network, provider
        self._asks = is_studio(network)  # consensus of the testnets is older than fees
        self._profile = profile
        self.max_wei = max_wei
        self.tell: Callable[[Fees], None] = lambda _: None
        self.billing: Callable[[], str] | None = None

    def prices(self) -> Prices | None:
        """What the network charges now, None where it takes no fees. Raises: NetworkError, UnexpectedAnswer."""
        if not self._asks:
            return None
        try:
            return Prices.of(self._provider.result("sim_getFeeConfig"))
        except RpcFailed:
            return None  # if it takes fees all the same, it refuses what comes without

    def fees_of(self, sender: str, payload: Payload, args: Sequence[Any] = ()) -> Fees | None:
        """What to deposit, None where there are no fees.

        Raises: ContractRejected, when the contract would refuse it; WouldFail, when it would fail in another way;
        ContractNotFound, Unfunded, NetworkError, UnexpectedAnswer.
        """
        prices = self.prices()
        if prices is None:
            return None
        profile = self._profile or shipped_profile()
        fees = _without_messages(profile, payload.method, prices)
        if payload.method:
            fees = self._estimated(sender, payload, fees) or fees
            if not fees.allocations:
                fees = self._with_messages(fees, sender, payload, args, prices, profile)
        self._check(sender, payload.value_wei, fees)
        self.tell(fees)
        return fees

    def fees_of_deployment(self) -> Fees | None:
        """What to deposit for a new contract, whoever sends it; None where there are no fees.

        Raises: NetworkError, UnexpectedAnswer.
        """
        prices = self.prices()
        return None if prices is None else _without_messages(self._profile or shipped_profile(), "", prices)

    def _estimated(self, sender: str, payload: Payload, known: Fees) -> Fees | None:
        """What the node recommends after it has simulated the call; None where it cannot."""
        request: dict[str, Any] = {
            "type": "write",
            "to": payload.to,
            "from": sender,
            "data": "0x" + payload.data.hex(),
            "transaction_hash_variant": "latest-nonfinal",
            "fees": known.as_json(),
        }
        if payload.value_wei:
            request["value"] = hex(payload.value_wei)
        try:
            told = self._provider.result("sim_estimateTransactionFees", request)
        except RpcFailed as error:
            refusal = refusal_of(error)
            if refusal is not None:  # as it would be if it was sent, which costs
                raise refusal from error
            execution, message = error_of_receipt(error.data)
            if execution is not Execution.NONE:  # so it would be, too, and what is sent along would stay there
                raise WouldFail(payload.to, payload.method, message) from error
            if error.code == NOT_FOUND:
                raise ContractNotFound(payload.to, self._network.name) from error
            return None
        preset = told.get("recommendedPreset") if isinstance(told, dict) else None
        return Fees.of(preset) if isinstance(preset, dict) else None

    def _with_messages(
        self, fees: Fees, sender: str, payload: Payload, args: Sequence[Any], prices: Prices, profile: FeeProfile
    ) -> Fees:
        """The same with allocations for what the method sends as far as this version knows."""
        allocations: list[Allocation] = []

        def add(message: Message, parent: int, caller: str, contract: str) -> int:
            """The budget of a message, and of the internal ones that it sends."""
            to = self._recipient(message, caller, payload, args)
            if not message.method:
                gas_price_wei = with_headroom(prices.receipt_gas_wei)
                params, budget_wei = external_params(_TRANSFER_GAS, gas_price_wei), _TRANSFER_GAS * gas_price_wei
                allocations.append(Allocation(False, message.on_acceptance, to, bytes(32), budget_wei, params, parent))
                return 0
            distribution, place = profile.distribution(message.method, prices), len(allocations)
            key, params = call_key(message.method), internal_params(distribution)
            allocations.append(Allocation(True, message.on_acceptance, to, key, 0, params, parent))
            below_wei = sum(add(each, place, contract, to) for each in message.sends)
            budget_wei = distribution.deposit_wei(prices) + below_wei
            allocations[place] = replace(allocations[place], budget_wei=budget_wei)
            return budget_wei

        for message in self._messages(payload):
            add(message, ROOT, sender, payload.to)
        # What they send below is part of their budget; only what is external is paid by the transaction itself.
        messages_wei = sum(each.budget_wei for each in allocations if each.parent == ROOT or not each.is_internal)
        distribution = replace(fees.distribution, message_fees_wei=fees.distribution.message_fees_wei + messages_wei)
        return Fees(distribution, tuple(allocations), fees.deposit_wei + messages_wei)

    def _messages(self, payload: Payload) -> tuple[Message, ...]:
        ours = MESSAGES.get(payload.method, ())
        if self.billing is None:
            return tuple(each for each in ours if each.to != "billing")
        theirs = CONSUMER_MESSAGES.get(payload.method, ours)
        return ours if ours == theirs or payload.to.lower() == self.billing().lower() else theirs

    def _recipient(self, message: Message, caller: str, payload: Payload, args: Sequence[Any]) -> str:
        if message.to == "sender":
            return caller
        if message.to == "billing":
            assert self.billing is not None
            return self.billing()
        place = METHODS[Method(payload.method)].parameters.index("to")
        return str(args[place]) if len(args) > place and args[place] else caller

    def _check(self, sender: str, value_wei: int, fees: Fees) -> None:
        """Raises: Unfunded, NetworkError."""
        shown = format_wei(fees.deposit_wei, exact=True)
        if self.max_wei is not None and fees.deposit_wei > self.max_wei:
            most = f"--max-fee (max_fee_wei) allows no more than {format_wei(self.max_wei, exact=True)}"
            raise Unfunded(f"the network's fee is at most {shown}, and {most}", fees.deposit_wei, hint=_HINT)
        balance_wei = int(str(self._provider.result("eth_getBalance", sender, "latest")), 16)
        if balance_wei < value_wei + fees.deposit_wei:
            has = format_wei(balance_wei, exact=True)
            besides = f" besides the {format_wei(value_wei, exact=True)} to send" if value_wei else ""
            raise Unfunded(
                f"the network's fee is at most {shown}{besides}, and {sender} has {has}", fees.deposit_wei, hint=_HINT
            )


def _without_messages(profile: FeeProfile, method: str, prices: Prices) -> Fees:
    distribution = profile.distribution(method, prices)
    return Fees(distribution, (), distribution.deposit_wei(prices))
