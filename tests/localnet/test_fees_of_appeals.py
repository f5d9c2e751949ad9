"""What an appeal pays, what it gets, and what is added to a deposit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from genlayer_localnet import Address, FeesRefused, InsufficientFunds, NotAppealable
from genlayer_localnet.chain import appeals
from genlayer_localnet.chain.appeals import AppealCharge, appeal_charge
from genlayer_localnet.state.fees import FeesDistribution
from genlayer_localnet.state.transactions import Transaction

from .feenet import ALICE, BOB, LEADER, POLICY, SUPPLY, VALIDATOR, FeeNet, distribution, internal

ORACLE = """
class Oracle(gl.Contract):
    answers: DynArray[str]

    def __init__(self): pass

    @gl.public.write.payable
    def ask(self) -> str:
        answer = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question"))
        self.answers.append(answer)
        return answer

    @gl.public.view
    def all(self) -> list:
        return list(self.answers)

    @gl.public.write
    def reward(self, to: Address, wei: int) -> None:
        answer = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question"))
        if answer == "yes":
            gl.get_contract_at(to).emit_transfer(value=u256(wei), on="accepted")

    @gl.public.write
    def tell(self, other: Address) -> None:
        gl.get_contract_at(other).emit(on="accepted").ask()

    @gl.public.write
    def pay(self, to: Address, wei: int) -> None:
        gl.get_contract_at(to).emit_transfer(value=u256(wei), on="accepted")
"""
ONE, TWO = (Address(bytes([number]) * 20) for number in (0xC1, 0xC2))
PRICE = POLICY.gen_per_time_unit
ROUND, VOTED_AGAIN, RUN_AGAIN = ((LEADER + voters * VALIDATOR) * PRICE for voters in (5, 7, 11))
WITH_APPEAL = distribution(appeal_rounds=1, rotations=(0, 0))


class Asked(FeeNet):
    """A network whose nodes answer as they are told; ``None`` is each its own."""

    answer: str | None = "yes"

    def __init__(self, source: Callable[[str], str]) -> None:
        super().__init__(None)
        self.net.prompt_handler = lambda request, node: f"own {node.index}" if self.answer is None else self.answer
        for address in (ONE, TWO):
            self.net.deploy(source(ORACLE), sender=BOB, address=address)
        self.finalize()
        self.net.fees = POLICY

    def ask(self, dist: FeesDistribution = WITH_APPEAL, **changes: Any) -> Transaction:
        return self.send(ONE, "ask", fees=self.fees(dist, **changes))

    def charge(self, transaction: Transaction) -> AppealCharge:
        return appeal_charge(self.chain, transaction)

    def appeal(self, transaction: Transaction, answer: str | None = "yes", *, extra: int = 0) -> AppealCharge:
        """By bob."""
        self.answer = answer
        charge = self.charge(transaction)
        appeals.appeal(self.chain, transaction, appellant=BOB.as_bytes, paid=charge.total + extra)
        self.check()
        self.run()
        return charge


@pytest.fixture
def net(source: Callable[[str], str]) -> Asked:
    return Asked(source)


def _refusal(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(FeesRefused) as refusal:
        function(*args, **kwargs)
    return refusal.value.name


# --- what it pays ---


def test_charge__deposit_is_for_an_appeal__is_the_bond_alone(net: Asked) -> None:
    sent = net.ask()
    charge = net.charge(sent)
    assert (charge.decision_id, charge.bond, charge.funding, charge.total) == (1, RUN_AGAIN, 0, RUN_AGAIN)
    assert sent.decided_at is not None
    assert charge.deadline == sent.decided_at + timedelta(seconds=30)


def test_charge__deposit_is_for_one_round__wants_the_rest(net: Asked) -> None:
    sent = net.ask(distribution())
    assert sent.fees is not None
    budget, left = sent.fees.distribution.execution_budget_per_round, sent.fees.left_for_rounds
    wanted = VOTED_AGAIN + RUN_AGAIN + 2 * budget + RUN_AGAIN // 2
    assert (net.charge(sent).bond, net.charge(sent).funding) == (RUN_AGAIN, wanted - left)


def test_charge__nothing_was_accepted__wants_no_vote(net: Asked) -> None:
    net.answer = None
    sent = net.ask(distribution())
    assert sent.fees is not None
    wanted = RUN_AGAIN + sent.fees.distribution.execution_budget_per_round + RUN_AGAIN // 2
    assert (sent.status, net.charge(sent).funding) == ("undetermined", wanted - sent.fees.left_for_rounds)


def test_charge__rotations_of_the_appeal__are_in_the_bond(net: Asked) -> None:
    assert net.charge(net.ask(distribution(appeal_rounds=1, rotations=(0, 2)))).bond == 3 * RUN_AGAIN


def test_charge__second_appeal__is_of_the_larger_committees(net: Asked) -> None:
    sent = net.ask()
    net.appeal(sent)
    assert (net.charge(sent).decision_id, net.charge(sent).bond) == (2, (LEADER + 23 * VALIDATOR) * PRICE)


def test_charge__no_fees__is_nothing(net: Asked) -> None:
    net.net.fees = None
    sent = net.send(ONE, "ask", fees=net.fees(deposit=1_000))
    assert net.charge(sent).total == 0
    appeals.appeal(net.chain, sent, appellant=BOB.as_bytes, paid=500)
    assert net.net.balance(BOB) == SUPPLY


def test_charge__final__is_refused(net: Asked) -> None:
    sent = net.ask()
    net.finalize()
    with pytest.raises(NotAppealable):
        net.charge(sent)


def test_appeal__a_wei_too_little__is_refused_and_nothing_taken(net: Asked) -> None:
    sent = net.ask(distribution())
    total = net.charge(sent).total
    for options in ({"appellant": BOB.as_bytes, "paid": total - 1}, {"paid": total}, {}):
        assert _refusal(appeals.appeal, net.chain, sent, **options) == "InsufficientFees"
    assert (net.net.balance(BOB), len(sent.rounds)) == (SUPPLY, 1)


def test_appeal__more_than_the_appellant_has__is_refused(net: Asked) -> None:
    with pytest.raises(InsufficientFunds):
        net.appeal(net.ask(), extra=SUPPLY)
    net.check()


def test_appeal__vote_interrupted__gives_back_what_was_paid(net: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = net.ask()

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(net.chain.machine, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.appeal(sent)
    net.check()
    assert sent.fees is not None
    assert (net.net.balance(BOB), sent.fees.bonds, sent.fees.added) == (SUPPLY, (), 0)


# --- what it gets ---


def test_appeal__fails__is_a_fee(net: Asked) -> None:
    sent = net.ask()
    charge = net.appeal(sent)
    assert (sent.status, sent.rounds[-1].name) == ("accepted", "Validator Appeal Failed")
    net.finalize()
    assert sent.fees is not None
    assert sent.fees.time_fee == ROUND + VOTED_AGAIN
    assert sent.fees.execution_fee == 2 * sent.fees.report["totalEstimatedFee"]
    assert (net.net.balance(BOB), net.paid) == (SUPPLY - charge.bond, charge.bond + sent.fees.spent)
    assert net.net.balance(ALICE) == SUPPLY - sent.fees.spent


def test_appeal__succeeds__gets_the_bond_and_half_of_it(net: Asked) -> None:
    sent = net.ask()
    charge = net.appeal(sent, "no")
    assert (sent.status, sent.decisions, net.net.view(ONE, "all")) == ("accepted", 2, ["no"])
    net.finalize()
    assert sent.fees is not None
    assert sent.fees.time_fee == ROUND + VOTED_AGAIN + RUN_AGAIN
    assert net.net.balance(BOB) == SUPPLY + charge.bond // 2
    assert net.net.balance(ALICE) == SUPPLY - sent.fees.spent - charge.bond // 2


def test_appeal__of_what_was_not_agreed_on__succeeds_when_it_is_accepted(net: Asked) -> None:
    net.answer = None
    sent = net.ask()
    charge = net.appeal(sent, "yes")
    assert (sent.status, sent.fees and sent.fees.bonds[0].won) == ("accepted", True)
    net.finalize()
    assert net.net.balance(BOB) == SUPPLY + charge.bond // 2


def test_appeal__of_what_is_not_agreed_on_again__is_a_fee(net: Asked) -> None:
    net.answer = None
    sent = net.ask()
    charge = net.appeal(sent, None)
    assert sent.status == "undetermined"
    net.finalize()
    assert net.net.balance(BOB) == SUPPLY - charge.bond


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_appeal__funded__gets_the_rest_of_it_before_the_payer(net: Asked, answer: str) -> None:
    sent = net.ask(distribution())
    charge = net.appeal(sent, answer, extra=1_000)
    net.finalize()
    assert sent.fees is not None
    assert sent.fees.refunded is not None
    back = min(sent.fees.refunded, charge.funding + 1_000)
    reward = charge.bond // 2 if answer == "no" else -charge.bond
    assert net.net.balance(BOB) == SUPPLY - charge.funding - 1_000 + back + reward
    assert net.net.balance(ALICE) <= SUPPLY - ROUND


def test_appeal__own_call__can_get_no_more_than_was_paid(net: Asked) -> None:
    sent = net.ask()
    net.answer = "no"
    charge = net.charge(sent)
    appeals.appeal(net.chain, sent, appellant=ALICE.as_bytes, paid=charge.total)
    net.finalize()
    assert sent.fees is not None
    assert net.net.balance(ALICE) == SUPPLY - sent.fees.spent


def test_appeal__by_the_python_api__pays_the_charge(net: Asked) -> None:
    receipt = net.net.write(ONE, "ask", sender=ALICE)
    bond = net.charge(net.chain.transaction(receipt.id)).bond
    net.net.appeal(receipt.id, sender=BOB)
    net.finalize()
    assert net.net.balance(BOB) == SUPPLY - bond


def test_appeal__prices_fell_since__is_at_those_of_the_first_run(net: Asked) -> None:
    sent = net.ask()
    net.net.fees = replace(POLICY, gen_per_time_unit=1, storage_unit_price=500)
    net.appeal(sent)
    assert sent.fees is not None
    assert (sent.rounds[-1].name, sent.fees.time_fee) == ("Validator Appeal Failed", ROUND + VOTED_AGAIN)


def test_appeal__call_that_ended_for_its_fees__fails(net: Asked) -> None:
    sent = net.send(ONE, "tell", TWO)
    assert sent.outcome is not None
    assert sent.outcome.message == "fee no_matching_allocation # internal"
    net.appeal(sent)
    assert sent.rounds[-1].name == "Validator Appeal Failed"


def test_appeal__later_call_runs_again__pays_from_its_own_deposit_what_it_can(net: Asked) -> None:
    first, later = net.ask(), net.ask(distribution())
    net.appeal(first, "no")
    assert later.fees is not None
    assert (later.status, later.fees.time_fee) == ("accepted", 2 * ROUND)
    net.appeal(first, "maybe")
    net.finalize()
    assert later.fees.refunded == later.fees.deposit - later.fees.spent >= 0


def test_appeal__message__is_funded_by_its_appellant(net: Asked) -> None:
    sent = net.send(ONE, "tell", TWO, fees=net.fees(allocations=(internal(TWO, "ask"),)))
    child = net.chain.transaction(sent.children[0])
    charge = net.appeal(child, "no")
    net.finalize()
    assert sent.fees is not None
    assert child.fees is not None
    assert charge.funding > 0
    assert net.chain.fees_of_messages(sent) == internal(TWO).budget
    lost = sent.fees.spent + child.fees.spent
    assert net.paid == lost
    assert net.net.balance(ALICE) + net.net.balance(BOB) == 2 * SUPPLY - lost
    assert net.net.balance(ALICE) <= SUPPLY - ROUND


def test_appeal__message_whose_sender_is_taken_back__gives_back_bond_and_funding(net: Asked) -> None:
    net.answer = "yes"
    first = net.ask()
    sent = net.send(ONE, "tell", TWO, fees=net.fees(allocations=(internal(TWO, "ask"),)))
    child = net.chain.transaction(sent.children[0])
    net.appeal(child, "yes")
    before = net.net.balance(BOB)
    assert child.fees is not None
    added = child.fees.added + child.fees.bonds[0].wei
    net.chain.undo(child)
    net.chain.world.pending.append(child)
    net.chain.cancel(child)
    net.check()
    assert net.net.balance(BOB) == before + added
    assert first.status == "accepted"


# --- what is added ---


def test_top_up__goes_back_before_the_deposit(net: Asked) -> None:
    sent = net.ask()
    net.chain.top_up(sent, BOB.as_bytes, FeesDistribution(), 1_000)
    net.check()
    assert net.net.balance(BOB) == SUPPLY - 1_000
    net.finalize()
    assert net.net.balance(BOB) == SUPPLY


def test_top_up__messages_and_runs__raises_their_budgets(net: Asked) -> None:
    sent = net.submit(ONE, "tell", TWO, fees=net.fees(distribution(rotations=(1,))))
    more = FeesDistribution(total_message_fees=70, execution_budget_per_round=30)
    assert _refusal(net.chain.top_up, sent, BOB.as_bytes, more, 70 + 2 * 30 - 1) == "InsufficientFees"
    net.chain.top_up(sent, BOB.as_bytes, more, 70 + 2 * 30)
    net.check()
    assert sent.fees is not None
    assert sent.fees.distribution.total_message_fees == 70
    assert sent.fees.distribution.execution_budget_per_round == distribution().execution_budget_per_round + 30


def test_top_up__fees_off__raises_no_budget_that_is_not_paid(net: Asked) -> None:
    sent = net.submit(ONE, "ask", fees=net.fees())
    net.net.fees = None
    assert _refusal(net.chain.top_up, sent, BOB.as_bytes, FeesDistribution(total_message_fees=70), 69) == (
        "InsufficientFees"
    )
    net.chain.top_up(sent, BOB.as_bytes, FeesDistribution(total_message_fees=70), 70)
    net.net.fees = POLICY
    net.run()
    assert sent.status == "accepted"


def test_top_up__nothing_or_too_much__is_refused(net: Asked) -> None:
    sent = net.ask()
    assert _refusal(net.chain.top_up, sent, BOB.as_bytes, FeesDistribution(), 0) == "FeeValueMustBeNonZero"
    with pytest.raises(InsufficientFunds):
        net.chain.top_up(sent, BOB.as_bytes, FeesDistribution(), SUPPLY + 1)


def test_top_up__final_or_without_fees__is_refused(net: Asked) -> None:
    sent = net.ask()
    net.finalize()
    assert _refusal(net.chain.top_up, sent, BOB.as_bytes, FeesDistribution(), 5) == "CanNotTopUp"
    net.net.fees = None
    without = net.net.write(ONE, "ask", sender=ALICE)
    free = net.chain.transaction(without.id)
    assert _refusal(net.chain.top_up, free, BOB.as_bytes, FeesDistribution(), 5) == "CanNotTopUp"


def test_top_up__of_a_message__goes_back_to_who_added(net: Asked) -> None:
    sent = net.send(ONE, "tell", TWO, fees=net.fees(allocations=(internal(TWO, "ask"),)))
    child = net.chain.transaction(sent.children[0])
    for one in (sent, child):
        net.chain.top_up(one, BOB.as_bytes, FeesDistribution(), 10**6)
        net.check()
    net.finalize()
    assert net.net.balance(BOB) == SUPPLY


def test_top_up__of_what_waits_and_is_cancelled__goes_back(net: Asked) -> None:
    sent = net.submit(ONE, "ask", fees=net.fees())
    net.chain.top_up(sent, BOB.as_bytes, FeesDistribution(), 1_000)
    net.chain.cancel(sent)
    net.check()
    assert (net.net.balance(ALICE), net.net.balance(BOB)) == (SUPPLY, SUPPLY)


def test_top_up__with_money_that_an_appeal_can_take_away__is_refused(net: Asked) -> None:
    carol = Address(b"\xca" * 20)
    net.fund(ONE, 100)
    payment = internal(carol, bytes(32))
    net.send(ONE, "pay", carol, 100, fees=net.fees(allocations=(payment,)))
    assert net.net.balance(carol) == 100
    sent = net.ask()
    with pytest.raises(InsufficientFunds):
        net.chain.top_up(sent, carol.as_bytes, FeesDistribution(), 1)
    net.finalize()
    again = net.ask()
    net.chain.top_up(again, carol.as_bytes, FeesDistribution(), 100)
    net.check()


def test_deposit__paid_with_money_that_an_appeal_takes_away__is_owed_by_nobody(net: Asked) -> None:
    carol = Address(b"\xca" * 20)
    net.fund(ONE, 10**9)
    first = net.ask()
    net.send(ONE, "pay", carol, 10**9, fees=net.fees(allocations=(internal(carol, bytes(32)),)))
    paid = net.send(TWO, "ask", sender=carol, fees=net.fees(distribution(), payer=carol.as_bytes))
    net.appeal(first, "no")
    assert paid.status == "accepted"
    net.finalize()
    assert paid.fees is not None
    assert net.net.balance(carol) == 10**9 - paid.fees.spent


@pytest.mark.parametrize("run_again", [True, False])
def test_deposit__of_money_that_is_gone__is_neither_kept_nor_given_back(net: Asked, run_again: bool) -> None:
    """Its sender cannot pay it again: it has not run, nobody pays for it, and what others put into it comes back."""
    carol, dave = Address(b"\xca" * 20), Address(b"\xda" * 20)
    wanted = net.fees(distribution(), payer=carol.as_bytes)
    net.fund(ONE, wanted.deposit)
    tree = (internal(carol, bytes(32)),)
    first = net.send(ONE, "reward", carol, wanted.deposit, fees=net.fees(allocations=tree))
    poor = net.send(TWO, "ask", sender=carol, fees=wanted)
    assert (poor.status, net.net.balance(carol)) == ("accepted", 0)
    net.fund(dave, 50)
    net.chain.top_up(poor, dave.as_bytes, FeesDistribution(), 50)
    net.answer = "no"
    appeals.appeal(net.chain, first, appellant=BOB.as_bytes, paid=net.charge(first).total)
    net.check()
    if run_again:
        net.run()
        assert (poor.status, poor.outcome and poor.outcome.message) == ("undetermined", "insufficient balance")
    else:
        net.chain.cancel(poor)
        net.check()
    net.finalize()
    assert (net.net.balance(carol), net.net.balance(dave)) == (0, 50)
