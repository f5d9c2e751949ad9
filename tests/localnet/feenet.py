"""A network with fees, where every wei is counted, and transactions with fees that a test chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from genlayer_localnet import Address, Localnet
from genlayer_localnet.arguments import encode_call
from genlayer_localnet.chain.allocations import EXTERNAL_PARAMS, encoded_params, key_of_method, message_fees
from genlayer_localnet.chain.fees import budget_floor, deposit_for, round_fees
from genlayer_localnet.state.changes import Changes
from genlayer_localnet.state.fees import (
    ANY_CALL,
    FEE_ACCOUNT,
    NO_NAME,
    FeePolicy,
    Fees,
    FeesDistribution,
    MessageAllocation,
)
from genlayer_localnet.state.transactions import Transaction

POLICY = FeePolicy(gen_per_time_unit=7, storage_unit_price=5, receipt_gas_price=3)
LEADER, VALIDATOR = 100, 200
ROUND_UNITS = LEADER + 5 * VALIDATOR
ALICE, BOB = (Address(bytes([number]) * 20) for number in (0xA1, 0xB0))
SUPPLY = 10**12


def distribution(**changes: Any) -> FeesDistribution:
    """The default one, without rotations."""
    return replace(
        FeesDistribution(LEADER, VALIDATOR, execution_budget_per_round=2 * budget_floor(POLICY)),
        **changes,
    )


def internal(
    recipient: Address, key: str | bytes = ANY_CALL, *, parent: int | None = None, on: str = "accepted", **changes: Any
) -> MessageAllocation:
    """What one message without messages of its own wants, for any method or for the one that is named."""
    own = distribution()
    call_key = key_of_method(key) if isinstance(key, str) else key
    found = MessageAllocation(
        True, on == "accepted", parent, recipient.as_bytes, call_key, round_fees(own, 5, POLICY), encoded_params(own)
    )
    return replace(found, **changes)


def external(gas_limit: int = 50_000, **changes: Any) -> MessageAllocation:
    """What a payment to bob may cost."""
    params = EXTERNAL_PARAMS.encode({"gas_limit": gas_limit, "max_gas_price": 3})
    return replace(MessageAllocation(False, False, None, BOB.as_bytes, NO_NAME, gas_limit * 3, params), **changes)


class FeeNet:
    """``submit`` and ``send`` make a transaction with just these fees, or with what they have to be at least."""

    def __init__(self, policy: FeePolicy | None = POLICY, **options: Any) -> None:
        self.net = Localnet(fees=policy, **options)
        self.chain = self.net._chain
        self.chain.changes = self.changes = Changes()
        self.supply = 0
        for person in (ALICE, BOB):
            self.fund(person, SUPPLY)

    def fund(self, address: Address, wei: int) -> None:
        self.net.fund(address, wei)
        self.supply += wei

    def fees(self, dist: FeesDistribution | None = None, **changes: Any) -> Fees:
        dist = dist or distribution(total_message_fees=message_fees(changes.get("allocations", ()), None))
        return replace(Fees(ALICE.as_bytes, deposit_for(dist, 5, POLICY), dist), **changes)

    def submit(
        self, to: Address, method: str, *args: Any, fees: Fees | None, value: int = 0, sender: Address = ALICE
    ) -> Transaction:
        transaction = self.net._transaction("call", sender, to.as_bytes, encode_call(method, args, {}), value)
        transaction.fees = fees
        self.chain.submit(transaction)
        self.check()
        return transaction

    def send(
        self, to: Address, method: str, *args: Any, fees: Fees | None = None, value: int = 0, sender: Address = ALICE
    ) -> Transaction:
        transaction = self.submit(to, method, *args, fees=fees or self.fees(), value=value, sender=sender)
        self.run()
        return transaction

    def run(self) -> None:
        self.chain.run_pending()
        self.check()

    def finalize(self) -> None:
        self.net.process("finalized")
        self.check()

    @property
    def paid(self) -> int:
        """To the account of fees."""
        return self.net.balance(FEE_ACCOUNT)

    def check(self) -> None:
        balances = self.net.balances()
        assert all(wei > 0 for wei in balances.values())
        assert sum(balances.values()) + self.net.undelivered_value() == self.supply
