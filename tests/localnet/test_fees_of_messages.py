"""Which allocation pays for a message, what it gets, and where that is until everything is final."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from genlayer_localnet import Address, calldata
from genlayer_localnet.address import keccak256
from genlayer_localnet.arguments import encode_call
from genlayer_localnet.chain.allocations import EXTERNAL_PARAMS, allotments, encoded_params, key_of_method
from genlayer_localnet.chain.fees import round_fees
from genlayer_localnet.state.fees import ANY_CALL, NO_NAME, Fees, FeesDistribution, MessageAllocation
from genlayer_localnet.state.transactions import OutgoingMessage, Transaction

from .feenet import ALICE, BOB, POLICY, SUPPLY, FeeNet, distribution, external, internal
from .test_lines import V03

# A plan is what is sent: "pay" from outside, or a message on "accepted" or "finalized", with the plan of its receiver.
RELAY = """
@gl.evm.contract_interface
class Account:
    class View: pass
    class Write: pass

class Relay(gl.Contract):
    calls: u256

    def __init__(self): pass

    @gl.public.write.payable
    def __receive__(self) -> None:
        pass

    @gl.public.write.payable
    def pass_on(self, plans: list) -> None:
        self.calls = u256(self.calls + 1)
        for what, to, inner in plans:
            if what == "pay":
                Account(to).emit_transfer(value=u256(1))
            elif what == "give":
                gl.get_contract_at(to).emit_transfer(value=u256(1), on="accepted")
            elif what == "deploy":
                gl.deploy_contract(code=to.encode(), args=[], on="accepted", salt_nonce=u256(inner))
            else:
                gl.get_contract_at(to).emit(on=what).pass_on(inner)

    @gl.public.view
    def count(self) -> int:
        return self.calls

    @gl.public.write
    def a_method_with_a_name_of_more_than_32_bytes(self, to: Address) -> None:
        gl.get_contract_at(to).emit(on="accepted").a_method_with_a_name_of_more_than_32_bytes(to)

    @gl.public.write
    def ask(self, plans: dict) -> None:
        self.pass_on(plans.get(gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("which")), []))
"""
RELAY_V03 = """
@gl.evm.contract_interface
class Account:
    class View: pass
    class Write: pass

class Relay(gl.contract.Contract):
    def __init__(self): pass

    @gl.public.write
    def both(self, person: Address, other: Address) -> None:
        Account(person).emit_transfer(value=1)
        gl.contract.get_at(other).emit(on="decided").pass_on([])
"""
ONE, TWO, THREE = (Address(bytes([number]) * 20) for number in (0xC1, 0xC2, 0xC3))
PAY = ["pay", BOB, []]


def to(contract: Address, *inner: Any, on: str = "accepted") -> list[Any]:
    return [on, contract, list(inner)]


@pytest.fixture
def net(source: Callable[[str], str]) -> FeeNet:
    found = FeeNet(None)
    for address in (ONE, TWO, THREE):
        found.net.deploy(source(RELAY), sender=BOB, address=address)
        found.fund(address, 100)
    found.finalize()
    found.chain.set_fees(POLICY)
    return found


def _send(net: FeeNet, plans: list[Any], *tree: MessageAllocation, **options: Any) -> Transaction:
    return net.send(ONE, "pass_on", plans, fees=net.fees(allocations=tree), **options)


def _error(transaction: Transaction) -> str | None:
    assert transaction.outcome is not None
    return transaction.outcome.message


def _children(net: FeeNet, transaction: Transaction) -> list[Transaction]:
    return [net.chain.transaction(child) for child in transaction.children]


# --- which allocation ---


def test_message__without_an_allocation__ends_the_call(net: FeeNet) -> None:
    sent = _send(net, [to(TWO)])
    assert (_error(sent), sent.children) == ("fee no_matching_allocation # internal", [])
    assert net.net.view(ONE, "count") == 0


def test_payment__without_an_allocation__ends_the_call(net: FeeNet) -> None:
    assert _error(_send(net, [PAY])) == "fee no_matching_allocation # external"


@pytest.mark.parametrize(
    "allocation",
    [
        internal(TWO, "pass_on"),
        internal(TWO),
    ],
)
def test_message__with_its_allocation__is_sent(net: FeeNet, allocation: MessageAllocation) -> None:
    sent = _send(net, [to(TWO)], allocation)
    (child,) = _children(net, sent)
    assert (_error(sent), child.status) == (None, "accepted")
    assert child.fees is not None
    assert (child.fees.place, child.fees.deposit, child.fees.payer) == (0, allocation.budget, ALICE.as_bytes)


@pytest.mark.parametrize(
    "allocation",
    [
        internal(THREE, "pass_on"),
        internal(TWO, "pass_off"),
        internal(TWO, NO_NAME),
        internal(TWO, on="finalized"),
        replace(internal(TWO), budget=internal(TWO).budget - 1),
        external(recipient=TWO.as_bytes, on_acceptance=True, call_key=ANY_CALL),
    ],
)
def test_message__with_another_ones_allocation__ends_the_call(net: FeeNet, allocation: MessageAllocation) -> None:
    assert _error(_send(net, [to(TWO)], allocation)) == "fee no_matching_allocation # internal"


@pytest.mark.parametrize("allocation", [external(on_acceptance=True), external(recipient=ALICE.as_bytes)])
def test_payment__with_another_ones_allocation__ends_the_call(net: FeeNet, allocation: MessageAllocation) -> None:
    assert _error(_send(net, [PAY], allocation)) == "fee no_matching_allocation # external"


def test_messages__one_allocation__draw_on_it_until_it_is_used_up(net: FeeNet) -> None:
    one = internal(TWO)
    twice = replace(one, budget=2 * one.budget)
    assert _error(_send(net, [to(TWO), to(TWO)], twice)) is None
    assert _error(_send(net, [to(TWO), to(TWO), to(TWO)], twice)) == "fee no_matching_allocation # internal"


def test_messages__several_allocations_fit__take_the_first_with_enough(net: FeeNet) -> None:
    sent = _send(net, [to(TWO), to(TWO), to(THREE)], internal(THREE), internal(TWO, "pass_on"), internal(TWO))
    assert [child.fees and child.fees.place for child in _children(net, sent)] == [1, 2, 0]


def test_allotments__many_messages_and_places__each_place_is_looked_at_once() -> None:
    one = internal(TWO)
    too_small = replace(one, budget=one.budget - 1)
    tree = (*[too_small] * 50, replace(one, budget=30 * one.budget))
    fees = Fees(ALICE.as_bytes, 0, FeesDistribution(total_message_fees=10**12), tree)
    call = calldata.encode({"method": "pass_on"})
    messages = [OutgoingMessage("PostMessage", ONE.as_bytes, TWO.as_bytes, call, 0, "accepted")] * 30
    asked = list[FeesDistribution]()

    def counted(wanted: FeesDistribution) -> int:
        asked.append(wanted)
        return round_fees(wanted, 5, POLICY)

    assert [one.place for one in allotments(fees, messages, (), POLICY, counted)] == [50] * 30
    assert len(asked) == len(tree)


def test_message__long_name__has_its_hash_for_a_key(net: FeeNet) -> None:
    name = "a_method_with_a_name_of_more_than_32_bytes"
    hashed = keccak256(name.encode())
    assert key_of_method(name) == hashed[:-1] + bytes([hashed[-1] | 1])
    assert key_of_method("a" * 31) == b"a" * 31 + b"\0"
    sent = net.send(ONE, name, BOB, fees=net.fees(allocations=(internal(BOB, name),)))
    assert _error(sent) is None


@pytest.mark.parametrize("key", [NO_NAME, ANY_CALL])
def test_payment__as_a_message__has_no_name(net: FeeNet, key: bytes) -> None:
    assert _error(_send(net, [["give", TWO, []]], internal(TWO, key))) is None


def test_payment__as_a_message__is_no_call_of_a_method(net: FeeNet) -> None:
    assert _error(_send(net, [["give", TWO, []]], internal(TWO, "pass_on"))) == "fee no_matching_allocation # internal"


@pytest.mark.parametrize("salt", [0, 7])
def test_deploy__as_a_message__has_neither_name_nor_recipient(
    net: FeeNet, source: Callable[[str], str], salt: int
) -> None:
    nobody = Address(bytes(20))
    sent = _send(net, [["deploy", source(RELAY), salt]], internal(nobody, NO_NAME))
    (child,) = _children(net, sent)
    assert (child.kind, child.status) == ("deploy", "accepted")
    assert child.fees is not None
    assert child.fees.report["calldataBytes"] > len(RELAY)


NEST = """
class Egg(gl.Contract):
    def __init__(self, nest: Address):
        gl.get_contract_at(gl.message.contract_address).emit(on="accepted").crack(nest)

    @gl.public.write
    def crack(self, nest: Address) -> None:
        gl.get_contract_at(nest).emit(on="finalized").greet()

    @gl.public.write
    def greet(self) -> None:
        pass
"""
NOBODY = Address(bytes(20))


def _deployed(net: FeeNet, code: str, nest: Address, *tree: MessageAllocation) -> Transaction:
    fees = net.fees(allocations=tree)
    call = encode_call(None, [nest], {})
    sent = net.net._transaction("deploy", ALICE, b"\xe9" * 20, call, 0)
    sent.code, sent.fees = code.encode(), fees
    net.chain.submit(sent)
    net.run()
    return sent


def test_zero_address__contract_that_a_deploy_above_makes__fits(net: FeeNet, source: Callable[[str], str]) -> None:
    nest = Address(b"\xe9" * 20)
    last = internal(NOBODY, "greet", parent=0, on="finalized")
    sent = _deployed(net, source(NEST), nest, _with_budget_for(internal(NOBODY, "crack"), last), last)
    net.finalize()
    (child,) = _children(net, sent)
    (greeted,) = _children(net, child)
    assert [_error(one) for one in (sent, child, greeted)] == [None] * 3


def test_zero_address__another_contract__does_not_fit(net: FeeNet, source: Callable[[str], str]) -> None:
    last = internal(NOBODY, "greet", parent=0, on="finalized")
    sent = _deployed(net, source(NEST), ONE, _with_budget_for(internal(NOBODY, "crack"), last), last)
    (child,) = _children(net, sent)
    assert _error(child) == "fee no_matching_allocation # internal"
    assert _error(_send(net, [to(TWO)], internal(NOBODY, "pass_on"))) == "fee no_matching_allocation # internal"


def test_messages__of_the_other_line__take_the_same_allocations(net: FeeNet) -> None:
    contract = Address(b"\xc4" * 20)
    net.net.fees = None
    net.net.deploy(V03 + textwrap.dedent(RELAY_V03), sender=BOB, address=contract)
    net.fund(contract, 10)
    net.finalize()
    net.net.fees = POLICY
    sent = net.send(contract, "both", BOB, TWO, fees=net.fees(allocations=(external(), internal(TWO, "pass_on"))))
    net.finalize()
    (child, payment) = _children(net, sent)
    assert (child.status, _error(child), payment.kind, payment.value) == ("finalized", None, "transfer", 1)
    without = net.send(contract, "both", BOB, TWO)
    assert _error(without) == "fee no_matching_allocation # external"


# --- deeper ---


def _with_budget_for(allocation: MessageAllocation, *inner: MessageAllocation) -> MessageAllocation:
    return replace(allocation, budget=allocation.budget + sum(one.budget for one in inner))


def test_tree__of_depth_three__pays_for_each_message(net: FeeNet) -> None:
    last = internal(THREE, "pass_on", parent=1, on="finalized")
    middle = _with_budget_for(internal(ONE, "pass_on", parent=0), last)
    first = _with_budget_for(internal(TWO, "pass_on"), middle)
    sent = _send(net, [to(TWO, to(ONE, to(THREE, on="finalized")))], first, middle, last)
    net.finalize()
    places, one = [], sent
    while one.children:
        (one,) = _children(net, one)
        assert (one.status, _error(one)) == ("finalized", None)
        assert one.fees is not None
        places.append(one.fees.place)
    assert places == [0, 1, 2]
    spent = sum(one.fees.spent for one in net.chain.world.transactions.values() if one.fees)
    assert (net.paid, net.net.balance(ALICE)) == (spent, SUPPLY - spent)


def test_tree__without_a_part__ends_the_message_that_would_send_it(net: FeeNet) -> None:
    (child,) = _children(net, _send(net, [to(TWO, to(ONE))], internal(TWO), internal(ONE)))
    assert _error(child) == "fee no_matching_allocation # internal"


def test_tree__payment_far_down__is_paid_by_the_transaction_itself(net: FeeNet) -> None:
    sent = _send(net, [to(TWO, PAY)], internal(TWO), external(parent=0))
    (child,) = _children(net, sent)
    assert child.fees is not None
    assert child.fees.distribution.total_message_fees == external().budget
    net.finalize()
    assert child.fees.external_fee == POLICY.receipt_gas_price * POLICY.intrinsic_gas
    assert net.net.balance(BOB) == SUPPLY + 1


# --- payments to the outside ---


def test_payment__delivered__costs_its_gas_and_the_rest_comes_back(net: FeeNet) -> None:
    sent = _send(net, [PAY], external())
    assert sent.fees is not None
    assert sent.fees.external_fee == 0
    net.finalize()
    assert sent.fees.external_fee == POLICY.receipt_gas_price * POLICY.intrinsic_gas < external().budget
    assert sent.fees.refunded == sent.fees.deposit - sent.fees.spent


@pytest.mark.parametrize(("gas_limit", "price"), [(0, 0), (20_999, 3), (50_000, 2), (10, 6_000)])
def test_payment__may_cost_less_than_it_costs__ends_the_call(net: FeeNet, gas_limit: int, price: int) -> None:
    params = EXTERNAL_PARAMS.encode({"gas_limit": gas_limit, "max_gas_price": price})
    sent = _send(net, [PAY], external(fee_params=params, budget=gas_limit * price))
    assert _error(sent) == "fee no_matching_allocation # external"


def test_payment__may_cost_just_what_it_costs__is_delivered(net: FeeNet) -> None:
    sent = _send(net, [PAY], external(21_000))
    net.finalize()
    assert sent.fees is not None
    assert (_error(sent), sent.fees.external_fee, net.net.balance(BOB)) == (None, 21_000 * 3, SUPPLY + 1)


# --- what becomes of it ---


def test_child__final__gives_back_to_the_same_payer(net: FeeNet) -> None:
    sent = _send(net, [to(TWO)], internal(TWO))
    (child,) = _children(net, sent)
    net.chain.finalize(sent)
    net.check()
    assert child.status == "accepted"
    assert child.fees is not None
    assert sent.fees is not None
    assert sent.fees.refunded == sent.fees.deposit - sent.fees.spent - child.fees.deposit
    net.finalize()
    assert net.net.balance(ALICE) == SUPPLY - sent.fees.spent - child.fees.spent


def test_child__price_above_its_cap__is_cancelled_and_its_value_is_back(net: FeeNet) -> None:
    cheap = distribution(max_price_per_time_unit=10)
    allocation = internal(TWO, NO_NAME, fee_params=encoded_params(cheap), budget=10**8)
    fees = net.fees(allocations=(allocation,))
    fees.deposit *= 2
    sent = net.submit(ONE, "pass_on", [["give", TWO, []]], fees=fees)
    net.chain.set_fees(replace(POLICY, gen_per_time_unit=11))
    net.run()
    (child,) = _children(net, sent)
    assert child.fees is not None
    assert (sent.status, child.status, child.refused) == ("accepted", "cancelled", "MaxPriceExceeded")
    net.finalize()
    assert sent.fees is not None
    assert net.net.balance(ONE) == 100
    assert net.net.balance(ALICE) == SUPPLY - sent.fees.spent


def test_child__cancelled__counts_no_more(net: FeeNet) -> None:
    sent = _send(net, [to(TWO, on="finalized")], internal(TWO, on="finalized"))
    net.chain._finalize(sent)
    net.check()
    (child,) = _children(net, sent)
    net.chain.cancel(child)
    net.finalize()
    assert sent.fees is not None
    assert child.fees is not None
    assert child.fees.refunded == child.fees.deposit
    assert net.net.balance(ALICE) == SUPPLY - sent.fees.spent


@pytest.mark.parametrize("first_children", ["undone", "stay"])
def test_overturned__messages__are_paid_from_the_same_deposit(
    net: FeeNet, source: Callable[[str], str], first_children: Any
) -> None:
    net.chain.settings = replace(net.chain.settings, first_children=first_children)
    net.net.prompt_handler = lambda request, node: answer
    plans = {"a": [to(TWO), to(THREE)], "b": [to(THREE), to(TWO, on="finalized")]}
    tree = (internal(TWO), internal(THREE), internal(TWO, on="finalized"))
    answer = "a"
    sent = net.send(ONE, "ask", plans, fees=net.fees(allocations=tree))
    net.chain.set_fees(None)  # appeals have no bond
    answer = "b"
    before = sent.fees
    net.net.appeal(sent.id)
    net.check()
    assert before is sent.fees is not None
    net.finalize()
    spent = sum(
        one.fees.spent for one in net.chain.world.transactions.values() if one.fees and one.status != "cancelled"
    )
    assert (net.paid, net.net.balance(ALICE)) == (spent, SUPPLY - spent)


def test_fees_off__messages__have_none(net: FeeNet) -> None:
    net.chain.set_fees(None)
    sent = net.send(ONE, "pass_on", [to(TWO), PAY], fees=net.fees(FeesDistribution(), deposit=1_000))
    net.finalize()
    assert [child.fees for child in _children(net, sent)] == [None, None]
    assert (net.paid, net.net.balance(ALICE)) == (0, SUPPLY)
