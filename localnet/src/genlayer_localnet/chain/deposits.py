"""Where the money for fees is: with a transaction until it is final, then a fee or back with who put it in.

What it took from its sender's balance is in its journal. What others add, and bonds of appeals, are taken for good, and
so never of money that an appeal can take away. The deposit of a message is a part of its parent's until that is final.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from genlayer_localnet.chain.allocations import Allotment, external_fee
from genlayer_localnet.chain.fees import check, check_prices, round_fees
from genlayer_localnet.chain.runs import Runs, Settings
from genlayer_localnet.errors import FeesRefused, InsufficientFunds, UnknownTransaction
from genlayer_localnet.state.changes import Changes
from genlayer_localnet.state.fees import FEE_ACCOUNT, FeePolicy, Fees, FeesDistribution
from genlayer_localnet.state.journal import add_amount
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.state.world import World
from genlayer_localnet.vm.execution import VirtualMachine

_NO_PRICES: Final = FeePolicy(0, 0, 0)
"""Budgets are what they are at any prices."""


class Deposits(Runs):
    def __init__(self, world: World, machine: VirtualMachine, settings: Settings) -> None:
        super().__init__(world, machine, settings)
        self.changes: Changes | None = None
        """Where to note what changes; None when nobody saves it."""

    def transaction(self, transaction_id: str) -> Transaction:
        try:
            return self.world.transactions[transaction_id]
        except KeyError:
            raise UnknownTransaction(f"no transaction {transaction_id}") from None

    def fund(self, address: bytes, wei: int) -> None:
        add_amount(self.world.balances, address, wei)
        if self.changes is not None:
            self.changes.balances.add(address)

    def changed(self, transaction: Transaction) -> None:
        """Note what a transaction touched, before its journal is emptied."""
        if self.changes is not None:
            self.changes.record(transaction)

    # --- prices ---

    def set_fees(self, policy: FeePolicy | None) -> None:
        """Change the prices, for what runs for the first time from now on."""
        self.settings = replace(self.settings, fees=policy)

    def _is_refused(self, waiting: Transaction) -> bool:
        """Whether it is too late for it, or it would not be taken now for its fees, before it ran for the first time.

        What a message may cost was looked at with what sent it.
        """
        fees, policy = waiting.fees, self.settings.fees
        if waiting.block:
            return False
        if 0 < waiting.valid_until < self.world.now.timestamp():
            waiting.refused = "Expired"
            return True
        if fees is None or policy is None:
            return False
        try:
            if waiting.triggered_by is None:
                check(fees, self.committee(waiting), policy)
            else:
                check_prices(fees.distribution, policy)
        except FeesRefused as refusal:
            waiting.refused = refusal.name
        return bool(waiting.refused)

    # --- what is put in ---

    def top_up(self, transaction: Transaction, payer: bytes, distribution: FeesDistribution, wei: int) -> None:
        """Add to the deposit of what is not final. Raises: FeesRefused, InsufficientFunds.

        ``distribution``: what is added to the budgets of messages and of each run; the rest of it does not matter.
        """
        fees = transaction.fees
        if fees is None or transaction.status in ("finalized", "cancelled"):
            what = "without fees" if fees is None else transaction.status
            raise FeesRefused("CanNotTopUp", f"the transaction is {what}")
        if wei <= 0:
            raise FeesRefused("FeeValueMustBeNonZero", "nothing is added")
        more = fees.distribution
        more = replace(
            more,
            total_message_fees=more.total_message_fees + distribution.total_message_fees,
            execution_budget_per_round=more.execution_budget_per_round + distribution.execution_budget_per_round,
        )
        validators = self.committee(transaction)
        wanted = round_fees(more, validators, _NO_PRICES) - round_fees(fees.distribution, validators, _NO_PRICES)
        wanted += distribution.total_message_fees
        if wei < wanted:
            raise FeesRefused("InsufficientFees", f"{wei} wei are added, and {wanted} at least are wanted")
        self.take_for_good(payer, wei)
        fees.distribution = more
        self.add_to_deposit(transaction, payer, wei)

    def add_to_deposit(self, transaction: Transaction, payer: bytes, wei: int) -> None:
        """What has left the payer's balance."""
        fees = transaction.fees
        if fees is not None and wei:
            fees.deposit += wei
            fees.top_ups = (*fees.top_ups, (payer, wei))
        self.changed(transaction)

    def take_for_good(self, address: bytes, wei: int) -> None:
        """Take what no appeal can take away from the account any more. Raises: InsufficientFunds."""
        world = self.world
        in_question = sum(max(one.brought(address), 0) for one in (*world.unfinalized, *world.pending))
        lacks = wei - (world.balance(address) - in_question)
        if lacks > 0:
            if not self.settings.mint_missing:
                raise InsufficientFunds(f"0x{address.hex()} lacks {lacks} of {wei} wei that nothing can take back")
            self.fund(address, lacks)
        self.fund(address, -wei)

    def decide_bonds(self, transaction: Transaction, *, won: bool) -> None:
        """Whether the appeal that was not decided so far has succeeded."""
        fees = transaction.fees
        if fees is not None:
            fees.bonds = tuple(replace(bond, won=won) if bond.won is None else bond for bond in fees.bonds)

    def _fees_of_message(self, parent: Transaction, allotment: Allotment, given: int) -> Fees | None:
        """None for an external message: its sender pays for it when it is delivered. ``given``: to others before."""
        fees = parent.fees
        assert fees is not None
        assert fees.policy is not None
        left = max(fees.distribution.total_message_fees - fees.external_fee - given, 0)
        if allotment.distribution is None:
            fees.external_fee += min(left, external_fee(fees.policy))
            return None
        # There may be less than it gets: where an appeal took its sender back, earlier messages can still be there.
        for_rounds = min(left, allotment.for_rounds)
        for_messages = min(left - for_rounds, allotment.for_messages)
        distribution = replace(allotment.distribution, total_message_fees=for_messages)
        return Fees(fees.payer, for_rounds + for_messages, distribution, fees.allocations, allotment.place)

    # --- what becomes of it ---

    def _settle_fees(self, transaction: Transaction, *, is_paid: bool) -> None:
        """What is final, or does not run any more, pays what it spent; the rest goes back."""
        fees = transaction.fees
        if fees is None:
            return
        if not is_paid:  # there is nothing but what others added
            self._give_back(transaction)
            return
        rest = fees.deposit - self.fees_of_messages(transaction)
        assert rest >= 0, "messages have got more than there was"
        spent = min(fees.spent, rest)
        rest -= spent
        self.fund(FEE_ACCOUNT, spent)
        for bond in fees.bonds:
            reward = min(bond.reward, rest) if bond.won else 0
            rest -= reward
            self.fund(FEE_ACCOUNT if bond.won is False else bond.appellant, bond.wei + reward)
        fees.bonds, fees.refunded = (), rest
        self._refund(transaction, rest)

    def fees_of_messages(self, transaction: Transaction) -> int:
        """The part of its deposit that is now with messages that it has sent."""
        found = (self.transaction(child) for child in transaction.children)
        given = (child.fees for child in found if child.status != "cancelled")
        return sum(fees.deposit - fees.added for fees in given if fees is not None)

    def _refund(self, transaction: Transaction, wei: int) -> None:
        """To those first who added something to it, or to what sent it, the last of them before the others."""
        one: Transaction | None = transaction
        while one is not None and one.fees is not None and wei:
            fees = one.fees
            given_back = fees.given_back
            for payer, added in reversed(fees.top_ups):
                before = min(given_back, added)
                given_back -= before
                back = min(added - before, wei)
                wei -= back
                fees.given_back += back
                self.fund(payer, back)
            self.changed(one)
            one = self.world.transactions.get(one.triggered_by or "")
        assert transaction.fees is not None
        self.fund(transaction.fees.payer, wei)

    def _give_back(self, transaction: Transaction) -> None:
        """What others put into a transaction: additions to its deposit, bonds of appeals."""
        fees = transaction.fees
        if fees is None:
            return
        for payer, wei in (*fees.top_ups, *((bond.appellant, bond.wei) for bond in fees.bonds)):
            self.fund(payer, wei)
        fees.deposit, fees.top_ups, fees.bonds = fees.deposit - fees.added, (), ()
