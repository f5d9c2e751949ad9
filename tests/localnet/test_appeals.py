"""Appeals: more validators vote; a decision they do not share is taken back and made again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genlayer_localnet import Address, Localnet, Node, NotAppealable, PromptRequest, Receipt, UnknownTransaction

ORACLE = """
class Oracle(gl.Contract):
    answers: DynArray[str]
    calls: u256

    def __init__(self): pass

    @gl.public.write.payable
    def ask(self) -> str:
        answer = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question"))
        self.answers.append(answer)
        if self.balance:
            gl.get_contract_at(gl.message.sender_address).emit_transfer(value=u256(1), on="accepted")
        return answer

    @gl.public.write
    def count(self) -> int:
        self.calls = u256(self.calls + 1)
        return len(self.answers)

    @gl.public.write
    def moody(self) -> str:
        import uuid
        return str(uuid.uuid4())

    @gl.public.view
    def all(self) -> list:
        return [list(self.answers), int(self.calls)]
"""
FIRST_VALIDATORS = range(5)
Deploy = Callable[..., Receipt]


class Opinions:
    """What each node answers; the first five and those an appeal brings can be told apart."""

    def __init__(self) -> None:
        self.of_all = "yes"
        self.of_newcomers: str | None = None
        self.asked: list[tuple[str, int]] = []

    def __call__(self, request: PromptRequest, node: Node) -> str:
        self.asked.append((node.role, node.index))
        if self.of_newcomers is not None and node.index not in FIRST_VALIDATORS:
            return self.of_newcomers
        return f"{self.of_all} {node.index}" if self.of_all == "own" else self.of_all


@pytest.fixture
def opinions(localnet: Localnet) -> Opinions:
    localnet.prompt_handler = opinions = Opinions()
    return opinions


@pytest.fixture
def oracle(deploy: Deploy, opinions: Opinions) -> Address:
    return deploy(ORACLE).address


def names(receipt: Receipt) -> list[str]:
    return [round_.name for round_ in receipt.rounds]


def test_appeal__deterministic_call__stays_accepted(localnet: Localnet, oracle: Address, alice: Address) -> None:
    receipt = localnet.appeal(localnet.write(oracle, "count", sender=alice).id)
    assert (receipt.status, names(receipt)) == ("accepted", ["Accepted", "Validator Appeal Failed"])
    assert (len(receipt.votes), set(receipt.votes.values())) == (12, {"agree"})
    assert localnet.view(oracle, "all") == [[], 1]


def test_appeal__newcomers_agree__only_they_are_asked(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    opinions.asked.clear()
    receipt = localnet.appeal(first.id)
    assert (receipt.status, receipt.value) == ("accepted", "yes")
    assert opinions.asked == [("validator", index) for index in range(5, 12)]


def test_appeal__in_the_middle__leaves_later_transactions(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    localnet.write(oracle, "count", sender=alice)
    localnet.appeal(first.id)
    assert localnet.view(oracle, "all") == [["yes"], 1]


def test_appeal__everybody_says_something_else_now__runs_again_with_all(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    opinions.of_all = "no"
    receipt = localnet.appeal(first.id)
    assert (receipt.status, receipt.value) == ("accepted", "no")
    assert names(receipt) == ["Accepted", "Validator Appeal Successful", "Accepted"]
    assert len(receipt.votes) == 12
    assert localnet.view(oracle, "all") == [["no"], 0]


def test_appeal__nobody_agrees_with_anybody_now__is_undetermined_and_changes_nothing(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    opinions.of_all = "own"
    receipt = localnet.appeal(first.id)
    assert receipt.status == "undetermined"
    assert names(receipt) == ["Accepted", "Validator Appeal Successful", *["Leader Rotation"] * 3, "Undetermined"]
    assert localnet.view(oracle, "all") == [[], 0]


def test_appeal__successful__later_calls_of_the_contract_run_again(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    later = localnet.write(oracle, "count", sender=alice)
    assert later.value == 1
    opinions.of_all = "own"
    localnet.appeal(first.id)
    assert localnet.transaction(later.id).value == 0
    localnet.process("finalized")
    assert (localnet.transaction(first.id).status, localnet.transaction(later.id).status) == ("finalized",) * 2
    assert localnet.view(oracle, "all", state="final") == [[], 1]


def test_appeal__successful__message_that_is_sent_again_is_the_same_one(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    before = localnet.balance(alice)
    first = localnet.write(oracle, "ask", sender=alice, value=5)
    [child] = first.children
    opinions.of_all = "no"
    receipt = localnet.appeal(first.id)
    assert [(one.id, one.status, one.value_wei) for one in receipt.children] == [(child.id, "accepted", 1)]
    assert (localnet.balance(oracle), localnet.balance(alice)) == (4, before - 4)


def test_appeal__successful__money_is_neither_lost_nor_made(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    total = sum(localnet.balances().values())
    first = localnet.write(oracle, "ask", sender=alice, value=5)
    localnet.write(oracle, "ask", sender=alice, value=7)
    opinions.of_all = "own"
    localnet.appeal(first.id)
    assert sum(localnet.balances().values()) + localnet.undelivered_value() == total
    localnet.process("finalized")
    assert sum(localnet.balances().values()) == total


def test_appeal__undetermined__more_validators_decide(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    opinions.of_all = "own"
    first = localnet.write(oracle, "ask", sender=alice)
    assert first.status == "undetermined"
    opinions.of_all = "yes"
    receipt = localnet.appeal(first.id)
    assert (receipt.status, receipt.value, names(receipt)[-1]) == ("accepted", "yes", "Leader Appeal Successful")
    assert len(receipt.votes) == 12


def test_appeal__still_undetermined__fails(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    opinions.of_all = "own"
    receipt = localnet.appeal(localnet.write(oracle, "ask", sender=alice).id)
    assert (receipt.status, names(receipt)[-1]) == ("undetermined", "Leader Appeal Failed")


def test_appeal__twice__brings_more_validators_each_time(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    localnet.appeal(first.id)
    assert len(localnet.appeal(first.id).votes) == 26


def test_appeal__code_that_is_not_deterministic__is_noticed(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "moody", sender=alice)
    receipt = localnet.appeal(first.id)
    assert names(receipt) == ["Accepted", "Validator Appeal Successful", "Accepted"]
    assert receipt.value != first.value


def test_appeal__leader_had_no_time__a_new_leader_tries(deploy: Deploy, alice: Address, source: object) -> None:
    net = Localnet(contract_timeout_seconds=0.5)
    stuck = deploy(
        ORACLE.replace("answer = gl", "while gl.eq_principle.strict_eq(slow): pass\n        answer = gl").replace(
            "class Oracle", "def slow():\n    while gl.nondet.exec_prompt('slow') == 'yes': pass\n\nclass Oracle"
        ),
        net=net,
    ).address
    net.prompt_handler = lambda request, node: "yes" if request.prompt == "slow" and node.index == 0 else "no"
    first = net.write(stuck, "ask", sender=alice)
    assert first.status == "leader_timeout"
    receipt = net.appeal(first.id)
    assert (receipt.status, names(receipt)) == ("accepted", ["Leader Timeout", "Leader Timeout Appeal Successful"])


def test_appeal__keeps_time_and_place__becomes_final_as_it_would_have(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    localnet.advance(20)
    opinions.of_all = "no"
    localnet.appeal(first.id)
    localnet.advance(10)
    assert localnet.transaction(first.id).status == "finalized"


def test_appeal__snapshot_from_before__is_as_before(
    localnet: Localnet, oracle: Address, alice: Address, opinions: Opinions
) -> None:
    first = localnet.write(oracle, "ask", sender=alice)
    before = localnet.snapshot()
    opinions.of_all = "own"
    localnet.appeal(first.id)
    localnet.restore(before)
    assert names(localnet.transaction(first.id)) == ["Accepted"]
    assert localnet.view(oracle, "all") == [["yes"], 0]


def test_appeal__final__is_refused(localnet: Localnet, oracle: Address, alice: Address) -> None:
    receipt = localnet.write(oracle, "count", sender=alice)
    localnet.process("finalized")
    with pytest.raises(NotAppealable, match="finalized"):
        localnet.appeal(receipt.id)


def test_appeal__transfer__is_refused(localnet: Localnet, alice: Address, bob: Address) -> None:
    with pytest.raises(NotAppealable):
        localnet.appeal(localnet.transfer(bob, 1, sender=alice).id)


def test_appeal__unknown__is_refused(localnet: Localnet) -> None:
    with pytest.raises(UnknownTransaction):
        localnet.appeal("0x" + "00" * 32)
