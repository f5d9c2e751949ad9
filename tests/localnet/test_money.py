"""Where the money of a call goes; that none is lost or made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genlayer_localnet import Address, InsufficientFunds, InvalidArgument, Localnet, Receipt
from genlayer_localnet.testing import named_account

PURSE = """
@gl.evm.contract_interface
class Account:
    class View: pass
    class Write: pass

class Purse(gl.Contract):
    received: u256

    def __init__(self, fail: bool = False):
        if fail:
            raise gl.vm.UserError("no")

    @gl.public.write.payable
    def __receive__(self) -> None:
        self.received = u256(self.received + gl.message.value)

    @gl.public.write.payable
    def take(self, fail: bool) -> list:
        if fail:
            raise gl.vm.UserError("no")
        return [gl.message.value, self.balance]

    @gl.public.write
    def to_account(self, to: Address, amount: int) -> list:
        Account(to).emit_transfer(value=u256(amount))
        return [self.balance, gl.get_contract_at(gl.message.contract_address).balance]

    @gl.public.write
    def to_contract(self, to: Address, amount: int, on: str) -> None:
        gl.get_contract_at(to).emit_transfer(value=u256(amount), on=on)

    @gl.public.write
    def call(self, to: Address, amount: int, on: str, fail: bool) -> None:
        gl.get_contract_at(to).emit(value=u256(amount), on=on).take(fail)

    @gl.public.write
    def twice(self, to: Address, amount: int) -> None:
        Account(to).emit_transfer(value=u256(amount))
        Account(to).emit_transfer(value=u256(amount))

    @gl.public.view
    def get_received(self) -> int:
        return self.received
"""
Deploy = Callable[..., Receipt]
RULES = ("keep", "return")


@pytest.fixture(params=RULES)
def net(request: pytest.FixtureRequest, alice: Address) -> Localnet:
    """A network under each of the two rules for the value of failed calls."""
    net = Localnet(failed_value=request.param)
    net.fund(alice, 1_000)
    return net


def test_write__with_value__moves_it_before_the_method_runs(net: Localnet, alice: Address, deploy: Deploy) -> None:
    purse = deploy(PURSE, net=net).address
    receipt = net.write(purse, "take", False, sender=alice, value=7)
    assert (receipt.value, receipt.balance, net.balance(alice)) == ([7, 7], 7, 993)


def test_write__fails_under_keep__leaves_the_value_with_the_contract(alice: Address, deploy: Deploy) -> None:
    net = Localnet(failed_value="keep")
    net.fund(alice, 10)
    purse = deploy(PURSE, net=net).address
    net.write(purse, "take", True, sender=alice, value=7)
    assert (net.balance(purse), net.balance(alice)) == (7, 3)


def test_write__fails_under_return__gives_the_value_back_when_it_is_final(alice: Address, deploy: Deploy) -> None:
    net = Localnet(failed_value="return")
    net.fund(alice, 10)
    purse = deploy(PURSE, net=net).address
    receipt = net.write(purse, "take", True, sender=alice, value=7)
    assert (net.balance(purse), net.balance(alice), receipt.balance, net.undelivered_value()) == (0, 3, 0, 7)
    net.process("finalized")
    assert (net.balance(purse), net.balance(alice), net.undelivered_value()) == (0, 10, 0)


@pytest.mark.parametrize(("rule", "left"), [("keep", 3), ("return", 10)])
def test_deploy__fails_with_value__follows_the_rule(alice: Address, deploy: Deploy, rule: Any, left: int) -> None:
    net = Localnet(failed_value=rule)
    net.fund(alice, 10)
    deploy(PURSE, True, net=net, value=7, check=False)
    net.process("finalized")
    assert net.balance(alice) == left


def test_write__value_above_balance__is_refused_and_changes_nothing(
    net: Localnet, alice: Address, deploy: Deploy
) -> None:
    purse = deploy(PURSE, net=net).address
    before = net.nonce(alice)
    with pytest.raises(InsufficientFunds, match="has 1000 wei and sends 1001"):
        net.write(purse, "take", False, sender=alice, value=1001)
    assert (net.balance(alice), net.nonce(alice)) == (1000, before)


def test_write__value_above_balance_with_minting__is_minted(alice: Address, deploy: Deploy) -> None:
    net = Localnet(mint_missing=True)
    purse = deploy(PURSE, net=net).address
    assert net.write(purse, "take", False, sender=alice, value=7).value == [7, 7]


@pytest.mark.parametrize("value", [-1, True, 1.5, "5", 2**256])
def test_write__value_that_is_no_amount__is_refused(net: Localnet, alice: Address, deploy: Deploy, value: Any) -> None:
    purse = deploy(PURSE, net=net).address
    with pytest.raises(InvalidArgument):
        net.write(purse, "take", False, sender=alice, value=value)


def test_payout__to_account__leaves_at_once_and_arrives_when_final(
    net: Localnet, alice: Address, bob: Address, deploy: Deploy
) -> None:
    purse = deploy(PURSE, net=net, value=10).address
    receipt = net.write(purse, "to_account", bob, 4, sender=alice)
    assert receipt.value == [6, 10]
    assert (net.balance(purse), net.balance(bob), net.undelivered_value()) == (6, 0, 4)
    net.process("finalized")
    assert (net.balance(purse), net.balance(bob), net.undelivered_value()) == (6, 4, 0)


def test_payout__more_than_the_balance_in_two__is_vm_error(
    net: Localnet, alice: Address, bob: Address, deploy: Deploy
) -> None:
    purse = deploy(PURSE, net=net, value=10).address
    receipt = net.write(purse, "twice", bob, 6, sender=alice)
    assert "7: inbalance" in receipt.stderr
    assert net.balance(purse) == 10


@pytest.mark.parametrize("on", ["accepted", "finalized"])
def test_transfer__to_contract__runs_its_receive(net: Localnet, alice: Address, deploy: Deploy, on: str) -> None:
    purse, other = deploy(PURSE, net=net, value=10).address, deploy(PURSE, net=net).address
    net.write(purse, "to_contract", other, 4, on, sender=alice)
    net.process("finalized")
    assert (net.view(other, "get_received"), net.balance(other), net.balance(purse)) == (4, 4, 6)


def test_transfer__to_account_without_code__is_a_payment(
    net: Localnet, alice: Address, bob: Address, deploy: Deploy
) -> None:
    purse = deploy(PURSE, net=net, value=10).address
    [child] = net.write(purse, "to_contract", bob, 4, "accepted", sender=alice).children
    assert (child.kind, net.balance(bob)) == ("return", 4)


@pytest.mark.parametrize(("rule", "balances"), [("keep", (6, 4)), ("return", (10, 0))])
def test_message__fails_at_its_target__follows_the_rule(
    alice: Address, deploy: Deploy, rule: Any, balances: tuple[int, int]
) -> None:
    net = Localnet(failed_value=rule)
    net.fund(alice, 10)
    purse, other = deploy(PURSE, net=net, value=10).address, deploy(PURSE, net=net).address
    [child] = net.write(purse, "call", other, 4, "accepted", True, sender=alice).children
    assert child.kind == "user_error"
    net.process("finalized")
    assert (net.balance(purse), net.balance(other)) == balances


@pytest.mark.parametrize(("rule", "balances"), [("keep", (6, 4)), ("return", (10, 0))])
def test_message__method_of_account_without_code__fails_and_follows_the_rule(
    alice: Address, bob: Address, deploy: Deploy, rule: Any, balances: tuple[int, int]
) -> None:
    net = Localnet(failed_value=rule)
    net.fund(alice, 10)
    purse = deploy(PURSE, net=net, value=10).address
    [child] = net.write(purse, "call", bob, 4, "accepted", False, sender=alice).children
    assert (child.kind, child.message) == ("vm_error", "invalid_contract absent")
    net.process("finalized")
    assert (net.balance(purse), net.balance(bob)) == balances


def test_plain_transfer__to_contract__runs_no_code(net: Localnet, alice: Address, deploy: Deploy) -> None:
    purse = deploy(PURSE, net=net).address
    receipt = net.transfer(purse, 5, sender=alice)
    assert (receipt.status, net.balance(purse), net.view(purse, "get_received")) == ("finalized", 5, 0)


def test_view__balance__includes_nothing_of_the_future(net: Localnet, alice: Address, deploy: Deploy) -> None:
    purse = deploy(PURSE, net=net, value=3).address
    assert net.balance(purse) == 3


_ACTION = st.tuples(
    st.sampled_from(["take", "to_account", "to_contract", "call", "twice", "transfer", "deploy", "process", "advance"]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 40),
    st.booleans(),
    st.sampled_from(["accepted", "finalized"]),
)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(_ACTION, max_size=12))
def test_money__whatever_happens__is_neither_lost_nor_made(
    source: Callable[[str], str], rule: Any, actions: list[tuple[str, int, int, int, bool, str]]
) -> None:
    net = Localnet(failed_value=rule)
    people = [named_account(name) for name in ("alice", "bob", "carol")]
    for person in people:
        net.fund(person, 100)
    purses = [net.deploy(source(PURSE), sender=people[0], value=20).address for _ in range(2)]
    targets = [*purses, people[1]]
    for name, who, where, amount, fail, on in actions:
        _act(net, source, name, people[who], purses[where % 2], targets[(where + 1) % 3], amount, fail, on)
        assert sum(net.balances().values()) + net.undelivered_value() == 300


def _act(
    net: Localnet, source: Any, name: str, sender: Any, purse: Any, target: Any, amount: int, fail: bool, on: str
) -> None:
    arguments = {
        "take": (fail,),
        "to_account": (target, amount),
        "to_contract": (target, amount, on),
        "call": (target, amount, on, fail),
        "twice": (target, amount),
    }
    match name:
        case "process":
            net.process("finalized")
        case "advance":
            net.advance(amount)
        case _ if net.balance(sender) < amount:
            pass
        case "transfer":
            net.transfer(target, amount, sender=sender)
        case "deploy":
            net.deploy(source(PURSE), fail, sender=sender, value=amount)
        case _:
            net.write(purse, name, *arguments[name], sender=sender, value=amount if name == "take" else 0)
