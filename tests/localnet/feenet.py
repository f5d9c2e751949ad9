"""A network with fees, where every wei is counted, and transactions with fees that a test chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from genlayer_localnet import Address, Localnet
from genlayer_localnet.arguments import encode_call
from genlayer_localnet.chain.fees import budget_floor, deposit_for
from genlayer_localnet.state.changes import Changes
from genlayer_localnet.state.fees import FEE_ACCOUNT, FeePolicy, Fees, FeesDistribution
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
        dist = dist or distribution()
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
