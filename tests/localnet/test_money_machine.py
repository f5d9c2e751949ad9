"""Whatever is sent, appealed, cancelled and made final in any order: no GEN is lost or made, and nobody owes any."""

from __future__ import annotations

import textwrap
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from genlayer_localnet import Address, Localnet, calldata
from genlayer_localnet.chain import appeals
from genlayer_localnet.chain.allocations import EXTERNAL_PARAMS, encoded_params, message_fees
from genlayer_localnet.chain.chain import Chain
from genlayer_localnet.chain.fees import budget_floor, round_fees
from genlayer_localnet.chain.runs import FirstChildren
from genlayer_localnet.errors import FeesRefused, InsufficientFunds
from genlayer_localnet.state.fees import ANY_CALL, FEE_ACCOUNT, FeePolicy, Fees, FeesDistribution, MessageAllocation
from genlayer_localnet.state.transactions import ExecutionMode, Transaction

from .conftest import HEADER

# What `pay` sends, and to whom, is an answer; it is sent on acceptance or finality, to accounts and contracts.
PAYER = """
@gl.evm.contract_interface
class Account:
    class View: pass
    class Write: pass

class Payer(gl.Contract):
    calls: DynArray[str]

    def __init__(self): pass

    @gl.public.write.payable
    def __receive__(self) -> None:
        self.calls.append("received")

    @gl.public.write.payable
    def pay(self, plans: dict) -> None:
        answer = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("which"))
        self.calls.append(answer)
        for kind, to, wei in plans.get(answer, []):
            value = u256(min(wei, self.balance))
            if value == 0:
                continue
            elif kind == "account":
                Account(to).emit_transfer(value=value)
            elif kind == "call":
                gl.get_contract_at(to).emit(value=value, on="accepted").pass_on()
            elif kind == "fail":
                gl.get_contract_at(to).emit(value=value, on="accepted").no_such_method()
            else:
                gl.get_contract_at(to).emit_transfer(value=value, on=kind)
        if answer == "fail":
            raise gl.vm.UserError("no")

    @gl.public.write.payable
    def pass_on(self) -> None:
        self.calls.append("passed on")
        gl.get_contract_at(gl.message.origin_address).emit_transfer(value=gl.message.value, on="accepted")

    @gl.public.write.payable
    def look(self, other: Address) -> None:
        seen = gl.get_contract_at(other).view().count()
        self.calls.append(str(seen))
        if seen % 2 and self.balance:
            gl.get_contract_at(gl.message.sender_address).emit_transfer(value=u256(1), on="accepted")

    @gl.public.view
    def count(self) -> int:
        return len(self.calls)
"""
PEOPLE = [Address(bytes([number]) * 20) for number in (1, 2, 3)]
CONTRACTS = [Address(bytes([number]) * 20) for number in (0xC1, 0xC2)]
ANSWERS = ("a", "b", "fail", "own")
FIRST_CHILDREN: tuple[FirstChildren, ...] = get_args(FirstChildren)

DAVE = Address(b"\x04" * 20)
"""Adds to deposits, and appeals, and sends nothing."""
# So small that they compare with what is sent.
CHEAP = FeePolicy(
    gen_per_time_unit=2,
    storage_unit_price=1,
    receipt_gas_price=1,
    time_unit_overlay_bps=500,
    intrinsic_gas=3,
    bootloader_overhead=1,
    gas_per_changed_slot=1,
    calldata_gas_per_byte=0,
    fixed_propose_receipt_gas=5,
    fixed_message_reveal_gas=5,
)
PER_RUN = budget_floor(CHEAP) + 20

wei = st.integers(0, 40)
person, contract, anybody = (st.sampled_from(some) for some in (PEOPLE, CONTRACTS, PEOPLE + CONTRACTS))
message = st.tuples(st.sampled_from(("accepted", "accepted", "finalized", "account", "call", "fail")), anybody, wei)
plan = st.lists(message, max_size=3)
mode = st.sampled_from(("NORMAL", "NORMAL", "NORMAL", "LEADER_ONLY"))
runs = st.sampled_from((True, True, True, False))


def _distribution(rotations: int = 0, *, with_appeal: bool = False, cap: int = 0) -> FeesDistribution:
    rounds = (rotations, 0) if with_appeal else (rotations,)
    return FeesDistribution(
        1, 1, len(rounds) - 1, execution_budget_per_round=PER_RUN, rotations=rounds, max_price_per_time_unit=cap
    )


def _tree(branches: list[tuple[Address, Address, bool, bool]]) -> tuple[MessageAllocation, ...]:
    """Room for messages to the first of these, each with one to the second, or for payments to the outside."""
    each, tree = round_fees(_distribution(cap=4), 5, CHEAP), list[MessageAllocation]()
    for receiver, next_one, is_internal, on_acceptance in branches:
        to = receiver.as_bytes
        if not is_internal:
            params = EXTERNAL_PARAMS.encode({"gas_limit": 5, "max_gas_price": 1})
            tree.append(MessageAllocation(False, False, None, to, ANY_CALL, 5, params))
            continue
        params = encoded_params(_distribution(cap=4))
        place = len(tree)
        tree.append(MessageAllocation(True, on_acceptance, None, to, ANY_CALL, 2 * each, params))
        tree.append(MessageAllocation(True, True, place, next_one.as_bytes, ANY_CALL, each, params))
    return tuple(tree)


offered = st.builds(
    lambda rotations, with_appeal, cap, tree, extra: (
        _distribution(rotations, with_appeal=with_appeal, cap=cap),
        _tree(tree),
        extra,
    ),
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from((0, 2, 3)),
    st.lists(st.tuples(anybody, person, st.sampled_from((True, True, False)), st.booleans()), max_size=2),
    st.sampled_from((0, 0, 7)),
)
Offer = tuple[FeesDistribution, tuple[MessageAllocation, ...], int]
# Whatever somebody writes where nobody looks at it: there is more in the budgets than in any deposit.
wished = st.builds(
    FeesDistribution,
    st.integers(0, 2),
    st.integers(0, 2),
    execution_budget_per_round=st.sampled_from((0, PER_RUN, 10**6)),
    total_message_fees=st.sampled_from((0, 900, 10**6)),
    rotations=st.sampled_from(((), (0,), (0, 0))),
)


class MoneyMachine(RuleBasedStateMachine):
    def __init__(self, first_children: FirstChildren, *, fees: bool) -> None:
        super().__init__()
        self.first_children, self.with_fees = first_children, fees
        self.deposited: dict[str, int] = {}
        self.returned: Counter[str] = Counter()
        """By what a user sent, with all that it led to."""
        self.collected = 0

    @initialize(failed_value=st.sampled_from(("keep", "return")), mint_missing=st.booleans())
    def begin(self, failed_value: Literal["keep", "return"], mint_missing: bool) -> None:
        self.net = Localnet(
            failed_value=failed_value, mint_missing=mint_missing, first_children=self.first_children, rotations=1
        )
        self.net.prompt_handler = lambda request, node: f"own {node}" if self.answer == "own" else self.answer
        self.answer = "a"
        self.supply = 0
        for address in CONTRACTS:
            self.net.deploy(HEADER + textwrap.dedent(PAYER), sender=PEOPLE[0], address=address)
        self.net.process("finalized")
        for address in (*PEOPLE, *CONTRACTS):
            self.fund(address, 50)
        if self.with_fees:
            self.net.fees = CHEAP
            for address, amount in zip((*PEOPLE, DAVE), (60_000, 300, 0, 5_000), strict=True):
                self.fund(address, amount)
        self.count_minted(self.chain)
        self.count_refunds(self.chain)

    @property
    def chain(self) -> Chain:
        return self.net._chain

    def count_minted(self, chain: Chain) -> None:
        take = chain._take_value

        def counted(transaction: Transaction, *, mint: bool, back: int = 0) -> None:
            lacks = max(transaction.taken - chain.world.balance(transaction.sender) - back, 0)
            take(transaction, mint=mint, back=back)
            self.supply += lacks

        chain._take_value = counted  # type: ignore[method-assign]
        take_for_good = chain.take_for_good

        def counted_too(address: bytes, wei: int) -> None:
            before = chain.world.balance(address)
            take_for_good(address, wei)
            self.supply += chain.world.balance(address) + wei - before

        chain.take_for_good = counted_too  # type: ignore[method-assign]

    def count_refunds(self, chain: Chain) -> None:
        refund = chain._refund

        def counted(transaction: Transaction, wei: int) -> None:
            assert transaction.fees is not None
            payer, root = transaction.fees.payer, transaction
            while root.triggered_by is not None:
                root = chain.transaction(root.triggered_by)
            before = chain.world.balance(payer)
            refund(transaction, wei)
            self.returned[root.id] += chain.world.balance(payer) - before

        chain._refund = counted  # type: ignore[method-assign]

    def run(self, now: bool = True) -> None:
        if now:
            self.chain.run_pending()

    def submit(
        self,
        kind: Any,
        sender: Address,
        to: Address,
        value: int,
        call: Any,
        now: bool,
        mode: ExecutionMode = "NORMAL",
        offer: Offer | None = None,
        fees: Fees | None = None,
    ) -> None:
        world = self.chain.world
        transaction = Transaction(
            id=f"0x{len(world.transactions):064x}",
            kind=kind,
            sender=sender.as_bytes,
            origin=sender.as_bytes,
            to=to.as_bytes,
            calldata=calldata.encode(call),
            value=value,
            created_at=world.now,
            mode=mode,
            fees=fees,
        )
        if offer is not None and self.with_fees:
            transaction.fees = self.fees(sender, *offer)
        try:
            self.chain.submit(transaction)
        except (InsufficientFunds, FeesRefused):
            return
        if transaction.fees is not None:
            self.deposited[transaction.id] = transaction.fees.deposit
        self.run(now)

    def fees(self, payer: Address, wanted: FeesDistribution, tree: tuple[MessageAllocation, ...], extra: int) -> Fees:
        wanted = replace(wanted, total_message_fees=message_fees(tree, None))
        least = round_fees(wanted, 5, self.net.fees or CHEAP) + wanted.total_message_fees
        return Fees(payer.as_bytes, least + extra, wanted, tree)

    # --- what can happen ---

    @rule(address=anybody, amount=wei)
    def fund(self, address: Address, amount: int) -> None:
        self.net.fund(address, amount)
        self.supply += amount

    @rule(
        sender=person,
        to=contract,
        value=wei,
        a=plan,
        b=plan,
        answer=st.sampled_from(ANSWERS),
        now=runs,
        mode=mode,
        offer=offered,
    )
    def pay(
        self,
        sender: Address,
        to: Address,
        value: int,
        a: Any,
        b: Any,
        answer: str,
        now: bool,
        mode: ExecutionMode,
        offer: Offer,
    ) -> None:
        self.answer = answer
        plans = {"a": [list(one) for one in a], "b": [list(one) for one in b]}
        self.submit("call", sender, to, value, {"method": "pay", "args": [plans]}, now, mode, offer)

    @rule(sender=person, to=contract, other=contract, value=wei, now=runs, offer=offered)
    def look(self, sender: Address, to: Address, other: Address, value: int, now: bool, offer: Offer) -> None:
        self.submit("call", sender, to, value, {"method": "look", "args": [other]}, now, offer=offer)

    @precondition(lambda self: self.with_fees)
    @rule(sender=person, to=contract, answer=st.sampled_from(ANSWERS), a=plan)
    def pay_as_recommended(self, sender: Address, to: Address, answer: str, a: Any) -> None:
        if self.net.fees is None:
            return
        self.answer = answer
        try:
            receipt = self.net.write(to, "pay", {answer: [list(one) for one in a]}, sender=sender)
        except InsufficientFunds:
            return
        sent = self.chain.transaction(receipt.id)
        assert sent.fees is not None
        self.deposited[sent.id] = sent.fees.deposit - sent.fees.added

    @precondition(lambda self: self.with_fees)
    @rule(sender=person, to=contract, a=plan, wish=wished, offer=offered, deposit=st.integers(0, 900))
    def pay_as_wished(
        self, sender: Address, to: Address, a: Any, wish: FeesDistribution, offer: Offer, deposit: int
    ) -> None:
        """Where nobody looks at it; mostly there are fees when its turn comes."""
        policy, self.net.fees = self.net.fees, None
        _, tree, _ = offer
        plans = {self.answer: [list(one) for one in a]}
        fees = Fees(sender.as_bytes, deposit, wish, tree)
        self.submit("call", sender, to, 0, {"method": "pay", "args": [plans]}, now=False, fees=fees)
        self.net.fees = policy

    @precondition(lambda self: self.with_fees)
    @rule(policy=st.sampled_from((CHEAP, CHEAP, replace(CHEAP, gen_per_time_unit=3), None)))
    def change_prices(self, policy: FeePolicy | None) -> None:
        self.net.fees = policy

    @precondition(lambda self: self.with_fees)
    @rule(data=st.data(), wei=st.integers(1, 60), for_messages=st.integers(0, 60) | st.just(10**6))
    def top_up(self, data: st.DataObject, wei: int, for_messages: int) -> None:
        world = self.chain.world
        found = [one for one in (*world.pending, *world.unfinalized) if one.fees is not None]
        if found:
            more = FeesDistribution(total_message_fees=for_messages)
            with suppress(InsufficientFunds, FeesRefused):
                self.chain.top_up(data.draw(st.sampled_from(found)), DAVE.as_bytes, more, wei)

    def appeal(self, transaction: Transaction, extra: int = 0) -> None:
        charge = appeals.appeal_charge(self.chain, transaction)
        with suppress(InsufficientFunds):
            appeals.appeal(self.chain, transaction, appellant=DAVE.as_bytes, paid=charge.total + extra)

    @rule(sender=person, to=anybody, value=wei, now=runs)
    def transfer(self, sender: Address, to: Address, value: int, now: bool) -> None:
        self.submit("transfer", sender, to, value, {}, now)

    @rule(data=st.data(), now=st.booleans())
    def overturn(self, data: st.DataObject, now: bool) -> None:
        found = [one for one in self.chain.world.unfinalized if one.outcome and one.outcome.eq_outputs]
        if found:
            one = data.draw(st.sampled_from(found))
            assert one.outcome is not None
            before = calldata.decode(one.outcome.eq_outputs[0][1:])
            self.answer = data.draw(st.sampled_from([answer for answer in ANSWERS if answer != before]))
            self.appeal(one, data.draw(st.sampled_from((0, 9))))
            self.run(now)

    @rule(data=st.data())
    def appeal_or_cancel(self, data: st.DataObject) -> None:
        world = self.chain.world
        if not world.pending:
            found = [one for one in world.unfinalized if one.kind == "call"]
            if found:
                self.appeal(data.draw(st.sampled_from(found)))
                self.run()
            return
        waiting = [one for one in world.pending if self.first_children == "undone" or not one.block]
        if waiting:
            self.chain.cancel(data.draw(st.sampled_from(waiting)))

    @rule(data=st.data(), what=st.sampled_from(("mine", "mine", "finalize", "seconds", "window", "snapshot")))
    def go_on(self, data: st.DataObject, what: str) -> None:
        unfinalized = list(self.chain.world.unfinalized)
        match what:
            case "mine":
                self.run()
            case "finalize" if unfinalized:
                self.chain.finalize(data.draw(st.sampled_from(unfinalized)))
            case "seconds":
                self.net.advance(10)
            case "window":
                self.net.advance(31)
            case "snapshot":
                self.net.restore(self.net.snapshot())

    # --- what holds ---

    @invariant()
    def nothing_is_lost_or_made_and_nobody_owes(self) -> None:
        world = self.chain.world
        assert all(balance > 0 for balance in world.balances.values())
        assert sum(world.balances.values()) + world.undelivered_value() == self.supply

    @invariant()
    def fees_are_never_taken_back(self) -> None:
        collected = self.chain.world.balance(FEE_ACCOUNT)
        assert collected >= self.collected
        self.collected = collected

    @invariant()
    def nothing_costs_more_than_its_deposit(self) -> None:
        for one in self.chain.world.transactions.values():
            if one.fees is not None and one.status != "cancelled":
                assert one.fees.spent + self.chain.fees_of_messages(one) <= one.fees.deposit

    @invariant()
    def nobody_gets_back_more_than_was_deposited(self) -> None:
        assert all(back <= self.deposited[sent] for sent, back in self.returned.items())

    @invariant()
    def nobody_owes_in_what_is_final(self) -> None:
        with self.chain.world.final_state():
            assert all(balance > 0 for balance in self.chain.world.balances.values())

    @invariant()
    def what_is_final_rests_on_what_is_final(self) -> None:
        world = self.chain.world
        assert world.arrivals == Counter(one.to for one in world.unfinalized)
        assert [one.block for one in world.unfinalized] == sorted(one.block for one in world.unfinalized)
        for one in world.transactions.values():
            if one.status == "finalized" and one.triggered_by is not None:
                assert world.transactions[one.triggered_by].status == "finalized"

    def teardown(self) -> None:
        if hasattr(self, "net"):
            self.net.process("finalized")
            assert self.net.undelivered_value() == 0
            assert sum(self.net.balances().values()) == self.supply
            if not self.with_fees:
                assert self.net.balance(FEE_ACCOUNT) == 0


@pytest.mark.parametrize("fees", [False, True])
@pytest.mark.parametrize("first_children", FIRST_CHILDREN)
def test_money__any_course_of_events__is_neither_lost_nor_made_nor_owed(
    first_children: FirstChildren, fees: bool
) -> None:
    run_state_machine_as_test(
        lambda: MoneyMachine(first_children, fees=fees),
        settings=settings(
            settings(),
            max_examples=settings().max_examples // 2,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
