"""What is recommended to deposit: enough for a call and all that it leads to, found without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genlayer_localnet import Address, FeePolicy, FeesRefused, InsufficientFunds, Localnet, Receipt
from genlayer_localnet.arguments import encode_call
from genlayer_localnet.chain.allocations import distribution_of
from genlayer_localnet.chain.estimates import recommended
from genlayer_localnet.chain.fees import budget_floor, deposit_for
from genlayer_localnet.chain.runs import MAX_CHAIN_LENGTH
from genlayer_localnet.nondet import web
from genlayer_localnet.nondet.web import WebRequest, WebResponse
from genlayer_localnet.state.fees import Fees
from genlayer_localnet.state.transactions import Transaction

from .feenet import ALICE, BOB, POLICY, SUPPLY, FeeNet
from .test_fees_of_messages import NEST, ONE, PAY, RELAY, THREE, TWO, to

LOOP = """
class Loop(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def again(self, times: int) -> None:
        for _ in range(times):
            gl.get_contract_at(gl.message.contract_address).emit(on="accepted").again(times)
"""


@pytest.fixture
def net(source: Callable[[str], str]) -> FeeNet:
    found = FeeNet(None)
    for address in (ONE, TWO, THREE):
        found.net.deploy(source(RELAY), sender=BOB, address=address)
        found.fund(address, 100)
    found.finalize()
    found.net.fees = POLICY
    return found


def _call(net: FeeNet, method: str, *args: Any, contract: Address = ONE) -> Transaction:
    return net.net._transaction("call", ALICE, contract.as_bytes, encode_call(method, args, {}), 0)


def _recommended(net: FeeNet, plans: list[Any]) -> Fees:
    return recommended(net.chain, _call(net, "pass_on", plans), POLICY)


def _all(receipt: Receipt) -> Iterator[Receipt]:
    yield receipt
    for child in receipt.children:
        yield from _all(child)


def test_recommended__one_call__is_the_default_with_a_fifth_more(net: FeeNet) -> None:
    fees = _recommended(net, [])
    wanted, cost = fees.distribution, fees.report["totalEstimatedFee"]
    assert (wanted.leader_time_units, wanted.validator_time_units, wanted.rotations) == (100, 200, (3,))
    assert wanted.execution_budget_per_round == -(-max(budget_floor(POLICY), cost) * 6 // 5)
    assert (wanted.max_price_per_time_unit, wanted.max_storage_gas_price, wanted.max_receipt_gas_price) == (9, 6, 4)
    assert (fees.payer, fees.deposit, fees.allocations) == (ALICE.as_bytes, deposit_for(wanted, 5, POLICY), ())


def test_recommended__much_to_store__is_above_the_floor(net: FeeNet) -> None:
    fees = recommended(net.chain, _call(net, "note", "a" * 10**6), replace(POLICY, storage_unit_price=50))
    assert fees.distribution.execution_budget_per_round == -(-fees.report["totalEstimatedFee"] * 6 // 5)
    assert fees.report["totalEstimatedFee"] > budget_floor(POLICY)


def test_recommended__tree__names_parents_before_children(net: FeeNet) -> None:
    fees = _recommended(net, [to(TWO, to(THREE), PAY), PAY, to(TWO, on="finalized")])
    found = [(one.parent, one.is_internal, one.on_acceptance, one.recipient) for one in fees.allocations]
    assert found == [
        (None, True, True, TWO.as_bytes),
        (0, True, True, THREE.as_bytes),
        (0, False, False, BOB.as_bytes),
        (None, False, False, BOB.as_bytes),
        (None, True, False, TWO.as_bytes),
    ]
    assert distribution_of(fees.allocations[1]).max_price_per_time_unit == 9


SLOW = """
class Slow(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def spin(self, times: int, rounds: int) -> None:
        if times:
            gl.get_contract_at(gl.message.contract_address).emit(on="accepted").work(times - 1, rounds)

    @gl.public.write
    def work(self, times: int, rounds: int) -> None:
        for _ in range(rounds):
            pass
        self.spin(times, rounds)
"""
# What it asks for is sent to an oracle, which fetches a page and answers.
ORACLE = """
import json

class Oracle(gl.Contract):
    answers: DynArray[str]

    def __init__(self): pass

    @gl.public.write
    def ask(self, oracle: Address, method: str, verb: str) -> None:
        getattr(gl.get_contract_at(oracle).emit(on="accepted"), method)(verb)

    @gl.public.write
    def read(self, verb: str) -> None:
        def page():
            return json.loads(gl.nondet.web.request("https://api.test/price", method=verb).body.decode())["price"]
        self._answer(gl.eq_principle.strict_eq(page))

    @gl.public.write
    def pass_on(self, verb: str) -> None:
        def page():
            return gl.nondet.web.request("https://api.test/price", method=verb).body.decode()
        self._answer(gl.eq_principle.strict_eq(page))

    def _answer(self, answer: str) -> None:
        gl.get_contract_at(gl.message.sender_address).emit(on="accepted").take(answer)

    @gl.public.write
    def take(self, answer: str) -> None:
        self.answers.append(answer)
"""


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs of the requests that were made."""
    found: list[str] = []

    def ask(request: WebRequest) -> WebResponse:
        found.append(request.method)
        return WebResponse(body=b'{"price": "5"}')

    monkeypatch.setattr(web, "_ask", ask)
    return found


@pytest.fixture
def oracle(net: FeeNet, source: Callable[[str], str]) -> Address:
    return net.net.deploy(source(ORACLE), sender=ALICE).address


def test_recommended__message_that_fails_without_its_page__reads_it(
    net: FeeNet, oracle: Address, source: Callable[[str], str], requested: list[str]
) -> None:
    consumer = net.net.deploy(source(ORACLE), sender=ALICE).address
    fees = recommended(net.chain, _call(net, "ask", oracle, "read", "GET", contract=consumer), POLICY)
    assert (requested, len(fees.allocations)) == (["GET"], 2)
    sent = net.send(consumer, "ask", oracle, "read", "GET", fees=fees)
    (asked,) = map(net.chain.transaction, sent.children)
    (answered,) = map(net.chain.transaction, asked.children)
    assert [one.outcome and one.outcome.message for one in (asked, answered)] == [None, None]


@pytest.mark.parametrize(("method", "verb", "allocations"), [("pass_on", "GET", 2), ("read", "POST", 1)])
def test_recommended__message_with_a_page__asks_nobody_otherwise(
    net: FeeNet, oracle: Address, requested: list[str], method: str, verb: str, allocations: int
) -> None:
    fees = recommended(net.chain, _call(net, "ask", oracle, method, verb, contract=oracle), POLICY)
    assert (requested, len(fees.allocations)) == ([], allocations)


DEPLOYER = """
class Deployer(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def deploy(self, code: str, salt: int) -> None:
        gl.deploy_contract(code=code.encode(), args=[Address(bytes([0xC1]) * 20)], on="accepted", salt_nonce=u256(salt))
"""


def test_recommended__constructor_sends_to_itself__holds_at_another_address(
    net: FeeNet, source: Callable[[str], str]
) -> None:
    tried, sent = (
        net.net._transaction("deploy", ALICE, bytes([number]) * 20, encode_call(None, [Address(b"\xe0" * 20)], {}), 0)
        for number in (0xE1, 0xE2)
    )
    tried.code = sent.code = source(NEST).encode()
    sent.fees = recommended(net.chain, tried, POLICY)
    net.chain.submit(sent)
    net.run()
    (child,) = map(net.chain.transaction, sent.children)
    assert [one.outcome and one.outcome.message for one in (sent, child)] == [None, None]


@pytest.mark.parametrize("salt", [0, 7])
def test_recommended__deploy_as_a_message__holds_at_another_address(
    net: FeeNet, source: Callable[[str], str], salt: int
) -> None:
    deployer = net.net.deploy(source(DEPLOYER), sender=ALICE).address
    tried = _call(net, "deploy", source(NEST), salt, contract=deployer)
    tried.id = "0x00"
    sent = net.send(deployer, "deploy", source(NEST), salt, fees=recommended(net.chain, tried, POLICY))
    (made,) = map(net.chain.transaction, sent.children)
    (child,) = map(net.chain.transaction, made.children)
    assert [one.outcome and one.outcome.message for one in (sent, made, child)] == [None] * 3


def test_recommended__message_runs_on_what_the_call_leaves__is_found(net: FeeNet) -> None:
    """The second message pays out what the first one brought."""
    net.chain.fund(TWO.as_bytes, -100)
    net.supply -= 100
    receipt = net.net.write(ONE, "pass_on", [["give", TWO, []], to(TWO, ["give", THREE, []])], sender=ALICE)
    net.finalize()
    assert [one.message for one in _all(receipt)] == [None] * 4


def test_recommended__whatever_is_tried__leaves_nothing(net: FeeNet) -> None:
    world = net.chain.world
    before = world.clone()
    net.chain.changes = None
    _recommended(net, [to(TWO, to(THREE)), PAY, ["give", TWO, []]])
    assert (world.balances, world.nonces, world.transactions.keys()) == (
        before.balances,
        before.nonces,
        before.transactions.keys(),
    )
    assert {key: dict(one.storage) for key, one in world.contracts.items()} == {
        key: dict(one.storage) for key, one in before.contracts.items()
    }


def test_recommended__endless_messages__is_refused(net: FeeNet, source: Callable[[str], str]) -> None:
    loop = net.net.deploy(source(LOOP), sender=ALICE).address
    with pytest.raises(FeesRefused, match="TooManyMessageAllocations"):
        recommended(net.chain, _call(net, "again", 2, contract=loop), POLICY)
    chain = recommended(net.chain, _call(net, "again", 1, contract=loop), POLICY)
    assert len(chain.allocations) == MAX_CHAIN_LENGTH + 1


@pytest.mark.parametrize(("times", "rounds"), [(500, 10**6), (1, 10**9)])
def test_recommended__messages_that_take_long_together__is_refused(
    net: FeeNet, source: Callable[[str], str], times: int, rounds: int
) -> None:
    slow = net.net.deploy(source(SLOW), sender=ALICE).address
    net.chain.settings = replace(net.chain.settings, contract_timeout_seconds=0.5)
    with pytest.raises(FeesRefused, match="EstimateTimedOut"):
        recommended(net.chain, _call(net, "spin", times, rounds, contract=slow), POLICY)


@pytest.mark.parametrize(("price", "is_taken"), [(POLICY.gen_per_time_unit * 6 // 5, True), (9, True), (10, False)])
def test_recommended__prices_rise__holds_up_to_a_fifth(net: FeeNet, price: int, is_taken: bool) -> None:
    fees = _recommended(net, [to(TWO)])
    sent = net.submit(ONE, "pass_on", [to(TWO)], fees=fees)
    net.net.fees = replace(POLICY, gen_per_time_unit=price)
    net.run()
    assert sent.status == ("accepted" if is_taken else "cancelled")
    assert [net.chain.transaction(child).status for child in sent.children] == ["accepted"] * is_taken


def test_recommended__all_prices_rise_by_a_fifth__are_held(net: FeeNet) -> None:
    dear = replace(POLICY, gen_per_time_unit=60, storage_unit_price=6_000, receipt_gas_price=24)
    cheap = replace(POLICY, gen_per_time_unit=50, storage_unit_price=5_000, receipt_gas_price=20)
    fees = recommended(net.chain, _call(net, "pass_on", [to(TWO)]), cheap)
    net.net.fees = cheap
    sent = net.submit(ONE, "pass_on", [to(TWO)], fees=fees)
    net.net.fees = dear
    net.run()
    assert [one.status for one in (sent, *map(net.chain.transaction, sent.children))] == ["accepted"] * 2


plans = st.recursive(
    st.just([]),
    lambda inner: st.lists(
        st.one_of(
            st.tuples(st.sampled_from(("accepted", "finalized")), st.sampled_from((ONE, TWO, THREE)), inner),
            st.tuples(st.sampled_from(("pay", "give")), st.sampled_from((BOB, ONE, TWO)), st.just([])),
        ).map(list),
        max_size=3,
    ),
    max_leaves=8,
)


@settings(settings(), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(plan=plans)
def test_recommended__any_tree__pays_for_all_of_it(net: FeeNet, plan: list[Any]) -> None:
    for each in (ONE, TWO, THREE):
        net.fund(each, 100)  # what all trees together give away is more than one can
    before, paid = net.net.balance(ALICE), net.paid
    receipt = net.net.write(ONE, "pass_on", plan, sender=ALICE)
    net.check()
    net.finalize()
    found = list(_all(receipt))
    assert [(one.status, one.message) for one in found] == [("finalized", None)] * len(found)
    spent = sum(one.fee_wei for one in found)
    assert (net.paid - paid, before - net.net.balance(ALICE)) == (spent, spent)


# --- the Python API ---


def test_localnet__with_fees__deposits_what_is_recommended(source: Callable[[str], str]) -> None:
    net = Localnet(fees=FeePolicy(10**9, 10**3, 10**6))
    net.fund(ALICE, 10**18)
    relay = net.deploy(source(RELAY), sender=ALICE)
    receipt = net.write(relay.address, "pass_on", [], sender=ALICE, value=5)
    assert (relay.ok, receipt.ok) == (True, True)
    net.process("finalized")
    assert net.balance(ALICE) == 10**18 - 5 - relay.fee_wei - receipt.fee_wei
    assert receipt.fee_wei > 1_100 * 10**9


def test_localnet__with_fees_and_no_money__refuses(source: Callable[[str], str]) -> None:
    net = Localnet(fees=POLICY)
    with pytest.raises(InsufficientFunds):
        net.deploy(source(RELAY), sender=ALICE)


def test_localnet__without_fees__takes_none(net: FeeNet) -> None:
    net.net.fees = None
    assert net.net.write(ONE, "pass_on", [to(TWO)], sender=ALICE).fee_wei == 0
    assert net.net.balance(ALICE) == SUPPLY
