"""What becomes of money, messages and later transactions when an appeal overturns what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from genlayer_localnet import Address, Localnet, NotAppealable, Receipt
from genlayer_localnet.state.transactions import Transaction

# What `ask` sends depends on an answer; `note` and `note_of` remember what they saw.
BANK = """
class Bank(gl.Contract):
    notes: DynArray[str]

    def __init__(self): pass

    @gl.public.write.payable
    def __receive__(self) -> None:
        self.notes.append(f"received {gl.message.value}")

    @gl.public.write.payable
    def ask(self, to: Address, amounts: dict, deliver: str = "") -> str:
        answer = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("which"))
        for amount in amounts.get(answer, []):
            if deliver:
                gl.get_contract_at(to).emit(value=u256(amount), on="accepted").note(deliver)
            else:
                gl.get_contract_at(to).emit_transfer(value=u256(amount), on="accepted")
        self.notes.append(answer)
        if answer == "fail":
            raise gl.vm.UserError("no")
        return answer

    @gl.public.write.payable
    def note(self, text: str) -> list:
        self.notes.append(text)
        if text == "return":
            gl.get_contract_at(gl.message.sender_address).emit_transfer(value=gl.message.value, on="accepted")
        return list(self.notes)

    @gl.public.write
    def note_of(self, other: Address) -> list:
        self.notes.append(",".join(gl.get_contract_at(other).view().all()))
        return list(self.notes)

    @gl.public.write
    def poor(self) -> str:
        return str(self.balance) + str(gl.get_contract_at(gl.message.sender_address).balance)

    @gl.public.write
    def send(self, to: Address, amount: int) -> None:
        gl.get_contract_at(to).emit_transfer(value=u256(amount), on="accepted")

    @gl.public.view
    def all(self) -> list:
        return list(self.notes)
"""
Deploy = Callable[..., Receipt]


class World:
    """A network with two banks and people, where every step is checked."""

    def __init__(self, deploy: Deploy, alice: Address, **options: Any) -> None:
        self.net = net = Localnet(**options)
        self.answer = "a"
        net.prompt_handler = lambda request, node: self.answer
        net.fund(alice, 1_000)
        self.funded = 1_000
        self.bank, self.other = (deploy(BANK, net=net, value=100).address for _ in range(2))
        net.process("finalized")

    def overturn(self, receipt: Receipt, answer: str = "b") -> Receipt:
        self.answer = answer
        again = self.net.appeal(receipt.id)
        assert "Validator Appeal Successful" in [round_.name for round_ in again.rounds]
        self.check()
        return again

    def check(self) -> None:
        balances = self.net.balances()
        assert min(balances.values()) >= 0
        assert sum(balances.values()) + self.net.undelivered_value() == self.funded


@pytest.fixture
def world(deploy: Deploy, alice: Address) -> World:
    return World(deploy, alice)


@pytest.fixture
def carol() -> Address:
    return Address("0x" + "ca" * 20)


def queued(
    world: World, kind: Literal["call", "transfer"], sender: Address, to: Address, value: int = 0
) -> Transaction:
    """Submitted, and not run."""
    chain, number = world.net._chain, len(world.net._chain.world.transactions)
    transaction = Transaction(
        id=f"0x{number:064x}",
        kind=kind,
        sender=sender.as_bytes,
        origin=sender.as_bytes,
        to=to.as_bytes,
        calldata=b"\x06",
        value=value,
        created_at=world.net.now,
    )
    chain.submit(transaction)
    return transaction


# --- what was paid out, and spent ---


def test_overturned__receiver_passed_it_on__the_transfer_is_undone(
    world: World, alice: Address, bob: Address, carol: Address
) -> None:
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    passed_on = world.net.transfer(carol, 20, sender=bob)
    assert passed_on.status == "accepted"
    world.overturn(first)
    assert (world.net.balance(bob), world.net.balance(carol), world.net.balance(world.bank)) == (0, 0, 100)
    assert (passed_on.status, world.net.transaction(passed_on.id).message) == ("undetermined", "insufficient balance")


def test_overturned__receiver_passed_it_on_to_others__all_of_it_is_undone(
    world: World, alice: Address, bob: Address, carol: Address
) -> None:
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    world.net.transfer(carol, 20, sender=bob)
    world.net.write(world.other, "note", "carol was here", sender=carol, value=10)
    world.overturn(first)
    assert world.net.balance(carol) == 0
    assert world.net.view(world.other, "all") == []


def test_overturned__receiver_called_a_contract_with_it__the_call_cannot_be_paid(
    world: World, alice: Address, bob: Address
) -> None:
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    call = world.net.write(world.other, "note", "bob was here", sender=bob, value=25)
    world.overturn(first)
    assert (world.net.balance(bob), world.net.balance(world.other), call.status) == (0, 100, "undetermined")
    assert world.net.view(world.other, "all") == []


def test_overturned__less_is_paid_now__what_it_still_pays_for_stays(world: World, alice: Address, bob: Address) -> None:
    first = world.net.write(world.bank, "ask", bob, {"a": [30], "b": [30]}, sender=alice)
    call = world.net.write(world.other, "note", "bob was here", sender=bob, value=25)
    world.overturn(first)
    assert (world.net.balance(bob), call.status) == (5, "accepted")
    assert world.net.view(world.other, "all") == ["bob was here"]


def test_overturned__receiver_has_money_of_its_own__its_spending_stays(
    world: World, alice: Address, bob: Address, carol: Address
) -> None:
    world.net.fund(bob, 20)
    world.funded += 20
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    passed_on = world.net.transfer(carol, 20, sender=bob)
    world.overturn(first)
    assert (world.net.balance(bob), world.net.balance(carol), passed_on.status) == (0, 20, "finalized")


def test_overturned__contract_received_and_sent__both_are_undone(world: World, alice: Address, bob: Address) -> None:
    first = world.net.write(world.bank, "ask", world.other, {"a": [30]}, sender=alice)
    world.net.write(world.other, "send", bob, 120, sender=alice)
    assert world.net.balance(bob) == 120
    world.overturn(first)
    assert (world.net.balance(bob), world.net.balance(world.other)) == (0, 100)


def test_overturned__somebody_looked_at_the_contract__looks_again(world: World, alice: Address) -> None:
    first = world.net.write(world.bank, "ask", world.other, {}, sender=alice)
    looked = world.net.write(world.other, "note_of", world.bank, sender=alice)
    assert looked.value == ["a"]
    world.overturn(first)
    assert world.net.transaction(looked.id).value == ["b"]


def test_overturned__another_contract_was_asked__it_is_left_alone(world: World, alice: Address) -> None:
    first = world.net.write(world.bank, "ask", world.bank, {}, sender=alice)
    unconcerned = world.net.write(world.other, "ask", world.bank, {}, sender=alice, value=3)
    world.overturn(first)
    assert world.net.transaction(unconcerned.id).value == "a"
    assert world.net.view(world.other, "all") == ["a"]


def test_overturned__waiting_call_was_paid_with_it__is_paid_in_its_turn(
    world: World, alice: Address, bob: Address
) -> None:
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    waiting = queued(world, "call", bob, world.other, 25)
    world.overturn(first)
    world.net.process()
    world.check()
    assert (world.net.balance(bob), waiting.status) == (0, "undetermined")


@pytest.mark.parametrize(("answer", "left"), [("a", 5), ("b", 0)])
def test_overturned__with_minting__only_what_a_call_lacks_is_made(
    deploy: Deploy, alice: Address, bob: Address, answer: str, left: int
) -> None:
    world = World(deploy, alice, mint_missing=True)
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    world.net.write(world.other, "note", "bob was here", sender=bob, value=25)
    world.answer = answer
    world.net.appeal(first.id)
    world.net.write(world.other, "note", "for nothing", sender=bob)
    assert world.net.balance(bob) == left
    world.funded += 0 if answer == "a" else 25
    world.check()


# --- values that return ---


def test_returned_value__before_it_is_final__cannot_be_spent(deploy: Deploy, alice: Address, bob: Address) -> None:
    world = World(deploy, alice, failed_value="return")
    world.net.transfer(bob, 50, sender=alice)
    world.answer = "fail"
    failed = world.net.write(world.bank, "ask", bob, {}, sender=bob, value=50)
    assert (failed.kind, world.net.balance(bob), world.net.undelivered_value()) == ("user_error", 0, 50)
    world.overturn(failed, "b")
    assert (world.net.balance(bob), world.net.balance(world.bank)) == (0, 150)


def test_returned_value__of_a_message__returns_to_the_contract_when_final(deploy: Deploy, alice: Address) -> None:
    world = World(deploy, alice, failed_value="return")
    nobody = Address("0x" + "99" * 20)
    world.net.write(world.bank, "ask", nobody, {"a": [40]}, "note", sender=alice)
    world.check()
    assert (world.net.balance(world.bank), world.net.undelivered_value()) == (60, 40)
    world.net.process("finalized")
    assert (world.net.balance(world.bank), world.net.undelivered_value()) == (100, 0)


# --- messages ---


def test_message__same_again__keeps_place_id_and_time(world: World, alice: Address) -> None:
    """A deposit that came before the bill comes before it again."""
    first = world.net.write(world.bank, "ask", world.other, {"a": [5], "b": [5]}, sender=alice)
    [deposit] = first.children
    world.net.advance(5)
    bill = world.net.write(world.other, "note", "bill", sender=alice)
    world.net.advance(5)
    again = world.overturn(first)
    [same] = again.children
    assert (same.id, same.created_at, same.status) == (deposit.id, deposit.created_at, "accepted")
    assert world.net.transaction(bill.id).value == ["received 5", "bill"]


def test_message__of_several__the_same_ones_stay_and_others_come_last(world: World, alice: Address) -> None:
    amounts = {"a": [1, 2, 3], "b": [2, 4]}
    first = world.net.write(world.bank, "ask", world.other, amounts, sender=alice)
    world.net.write(world.other, "note", "between", sender=alice)
    ids = [child.id for child in first.children]
    again = world.overturn(first)
    assert world.net.view(world.other, "all") == ["received 2", "between", "received 4"]
    assert [child.id for child in again.children][:1] == ids[1:2]


def test_message__not_sent_again__what_it_had_sent_is_cancelled_too(world: World, alice: Address, bob: Address) -> None:
    first = world.net.write(world.bank, "ask", world.other, {"a": [5]}, "return", sender=alice)
    [child] = first.children
    [returned] = child.children
    world.overturn(first)
    assert (child.status, returned.status) == ("cancelled", "cancelled")
    assert (world.net.view(world.other, "all"), world.net.view(world.bank, "all")) == ([], ["b"])


def test_cancel__waiting_message__its_value_returns_to_the_contract(world: World, alice: Address, bob: Address) -> None:
    chain = world.net._chain
    first = world.net.write(world.bank, "ask", bob, {}, sender=alice)
    transaction = chain.transaction(world.net.write(world.bank, "send", bob, 30, sender=alice).id)
    [child] = [chain.transaction(one) for one in transaction.children]
    chain.undo(child)
    chain.world.pending.append(child)
    world.check()
    chain.cancel(child)
    world.check()
    assert (child.status, world.net.balance(world.bank)) == ("cancelled", 100)
    world.overturn(first)
    world.net.process("finalized")
    world.check()


# --- votes ---


@pytest.mark.parametrize("method", ["fund", "transfer"])
@pytest.mark.parametrize("receiver", ["bank", "sender"])
def test_appeal__money_came_meanwhile__deterministic_code_is_not_overturned(
    world: World, alice: Address, bob: Address, method: str, receiver: str
) -> None:
    world.net.fund(bob, 100)
    first = world.net.write(world.bank, "poor", sender=alice)
    to = world.bank if receiver == "bank" else alice
    world.net.fund(to, 5) if method == "fund" else world.net.transfer(to, 5, sender=bob)
    assert world.net.appeal(first.id).rounds[-1].name == "Validator Appeal Failed"


def test_appeal__code_lacked_money_that_came_meanwhile__is_not_overturned(
    world: World, alice: Address, bob: Address
) -> None:
    first = world.net.write(world.bank, "send", bob, 101, sender=alice)
    assert first.kind == "vm_error"
    world.net.fund(world.bank, 100)
    assert world.net.appeal(first.id).rounds[-1].name == "Validator Appeal Failed"


def test_appeal__of_what_has_no_code_twice__fails_twice(world: World, alice: Address, bob: Address) -> None:
    [child] = world.net.write(world.bank, "send", bob, 1, sender=alice).children
    for _ in range(2):
        assert world.net.appeal(child.id).rounds[-1].name == "Validator Appeal Failed"
    assert (child.status, world.net.balance(bob)) == ("accepted", 1)


def test_appeal__contract_has_new_code_since__is_refused(world: World, alice: Address) -> None:
    first = world.net.write(world.bank, "poor", sender=alice)
    chain, bank = world.net._chain, world.bank.as_bytes
    code = chain.world.contracts[bank].code
    upgrade = Transaction("0x1", "upgrade", bytes(20), bytes(20), bank, b"", 0, world.net.now, code=code)
    chain.settle(upgrade)
    with pytest.raises(NotAppealable, match="new code"):
        world.net.appeal(first.id)


# --- finality ---


def test_final_state__receiver_passed_on_what_is_not_final__nobody_owes(
    world: World, alice: Address, bob: Address, carol: Address
) -> None:
    world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    world.net.transfer(carol, 20, sender=bob)
    queued(world, "call", bob, world.other, 10)
    with world.net._chain.world.final_state():
        world.check()


def test_finalize__one_transaction__makes_final_what_it_rests_on(world: World, alice: Address, bob: Address) -> None:
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    other = world.net.write(world.other, "note", "alice", sender=alice)
    passed_on = world.net.transfer(alice, 20, sender=bob)
    chain = world.net._chain
    chain.finalize(chain.transaction(passed_on.id))
    assert (first.status, passed_on.status, other.status) == ("finalized", "finalized", "accepted")


# --- the first children stay ---


def test_first_children_stay__sent_again__both_arrive_and_nobody_owes(deploy: Deploy, alice: Address) -> None:
    world = World(deploy, alice, first_children="stay")
    first = world.net.write(world.bank, "ask", world.other, {"a": [30], "b": [20]}, sender=alice, value=7)
    again = world.overturn(first)
    assert world.net.view(world.other, "all") == ["received 30", "received 20"]
    assert (world.net.balance(world.bank), [child.status for child in again.children]) == (57, ["accepted"] * 2)
    world.overturn(first, "c")
    assert (world.net.balance(world.bank), world.net.balance(world.other)) == (57, 150)
    world.net.process("finalized")
    world.check()


def test_first_children_stay__money_is_gone__the_new_run_lacks_it(deploy: Deploy, alice: Address, bob: Address) -> None:
    world = World(deploy, alice, first_children="stay", failed_value="return")
    first = world.net.write(world.bank, "ask", bob, {"a": [107], "b": [107]}, sender=alice, value=7)
    again = world.overturn(first)
    assert (again.kind, world.net.balance(bob), world.net.balance(world.bank)) == ("vm_error", 107, 0)
    world.net.process("finalized")
    world.check()


def test_first_children_stay__receiver_passed_it_on__that_stays(
    deploy: Deploy, alice: Address, bob: Address, carol: Address
) -> None:
    world = World(deploy, alice, first_children="stay")
    first = world.net.write(world.bank, "ask", bob, {"a": [30]}, sender=alice)
    world.net.transfer(carol, 20, sender=bob)
    world.overturn(first)
    assert (world.net.balance(bob), world.net.balance(carol), world.net.balance(world.bank)) == (10, 20, 70)
