"""Nondeterministic blocks: a leader, validators with functions of their own, votes, rotation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Node, Receipt

ORACLE = """
import dataclasses
LIMIT = 10

@dataclasses.dataclass
class Answer:
    text: str
    length: int

def shorten(text: str) -> str:
    return text[:LIMIT]

class Oracle(gl.Contract):
    calls: u256
    last: str

    def __init__(self): pass

    @gl.public.write.payable
    def strict(self) -> str:
        self.calls = u256(self.calls + 1)
        self.last = gl.eq_principle.strict_eq(lambda: shorten(gl.nondet.exec_prompt("question one")))
        if self.balance:
            gl.get_contract_at(gl.message.sender_address).emit_transfer(value=u256(1), on="accepted")
        return self.last

    @gl.public.write
    def two_blocks(self) -> list:
        first = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question one"))
        second = gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question two"))
        return [first, second]

    @gl.public.write
    def tolerant(self) -> dict:
        def leader():
            text = gl.nondet.exec_prompt("question one")
            return Answer(text, len(text))
        def validator(result) -> bool:
            if not isinstance(result, gl.vm.Return):
                return False
            return result.calldata["length"] == leader().length
        return gl.vm.run_nondet_unsafe(leader, validator)

    @gl.public.write
    def leader_error(self, kind: str) -> str:
        def leader():
            if kind == "user":
                raise gl.vm.UserError("[EXPECTED] no_data: nothing there")
            raise ValueError(kind)
        try:
            return gl.vm.run_nondet(leader, lambda result: leader() is None)
        except gl.vm.UserError as error:
            return error.message

    @gl.public.write
    def inside(self, what: str) -> str:
        address = gl.message.contract_address
        storage = self
        def leader():
            if what == "write":
                storage.last = "x"
            elif what == "message":
                gl.get_contract_at(address).emit().strict()
            elif what == "call":
                gl.get_contract_at(address).view().get()
            elif what == "nested":
                gl.eq_principle.strict_eq(lambda: 1)
            elif what == "event":
                gl.advanced.emit_raw_event([bytes(32)], {})
            return what
        return gl.eq_principle.strict_eq(leader)

    @gl.public.write
    def prints(self) -> str:
        return gl.eq_principle.strict_eq(lambda: print("in the block") or "done")

    @gl.public.view
    def get(self) -> list:
        return [self.calls, self.last]

    @gl.public.view
    def strict_view(self) -> str:
        return gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question one"))
"""
Answers = Callable[[Any, Node], str]


@pytest.fixture
def oracle(deploy: Callable[..., Receipt]) -> Address:
    return deploy(ORACLE).address


def _by_node(answers: dict[tuple[int, int], str], default: str = "same") -> Answers:
    """Answers by (round, index of the node)."""
    return lambda _request, node: answers.get((node.round, node.index), default)


def test_block__all_agree__returns_the_leaders_value(localnet: Localnet, alice: Address, oracle: Address) -> None:
    localnet.mock_prompt("question one", "a long answer that is cut")
    receipt = localnet.write(oracle, "strict", sender=alice)
    assert receipt.value == "a long ans"
    assert set(receipt.votes.values()) == {"agree"}
    assert receipt.eq_outputs == (b"\x00" + b"\x54" + b"a long ans",)


def test_block__every_node__runs_its_own_function(localnet: Localnet, alice: Address, oracle: Address) -> None:
    nodes: list[Node] = []
    localnet.mock_prompt("question", lambda _request, node: nodes.append(node) or "same")
    localnet.write(oracle, "strict", sender=alice)
    assert nodes == [Node("leader", 0, 0), *(Node("validator", index, 0) for index in range(1, 5))]


def test_block__minority_disagrees__is_accepted_with_their_votes(
    localnet: Localnet, alice: Address, oracle: Address
) -> None:
    localnet.mock_prompt("question", _by_node({(0, 3): "other", (0, 4): "another"}))
    receipt = localnet.write(oracle, "strict", sender=alice)
    assert (receipt.kind, receipt.status) == ("return", "accepted")
    assert receipt.votes == {0: "agree", 1: "agree", 2: "agree", 3: "disagree", 4: "disagree"}


def test_block__majority_disagrees_with_first_leader__next_leader_runs_the_whole_call_again(
    localnet: Localnet, alice: Address, oracle: Address
) -> None:
    localnet.mock_prompt("question", _by_node({(0, 0): "wrong"}))
    receipt = localnet.write(oracle, "strict", sender=alice)
    assert (receipt.value, [round_.leader for round_ in receipt.rounds]) == ("same", [0, 1])
    assert localnet.view(oracle, "get") == [1, "same"]


def test_block__no_majority_in_all_rounds__is_undetermined_and_changes_nothing(
    localnet: Localnet, alice: Address, oracle: Address
) -> None:
    localnet.mock_prompt("question", lambda _request, node: str(node.index))
    receipt = localnet.write(oracle, "strict", sender=alice)
    assert (receipt.status, receipt.message, len(receipt.rounds)) == ("undetermined", "validator_disagrees", 4)
    assert localnet.view(oracle, "get") == [0, ""]


@pytest.mark.parametrize(("rule", "balance"), [("keep", 5), ("return", 0)])
def test_block__undetermined_with_value__follows_the_rule_for_failed_calls(
    alice: Address, deploy: Callable[..., Receipt], rule: Any, balance: int
) -> None:
    net = Localnet(failed_value=rule, rotations=0)
    net.fund(alice, 10)
    oracle = deploy(ORACLE, net=net).address
    net.mock_prompt("question", lambda _request, node: str(node.index))
    receipt = net.write(oracle, "strict", sender=alice, value=5)
    assert (net.balance(oracle), receipt.children) == (balance, ())


def test_block__disagreed_before__validator_does_not_run_the_next_block(
    localnet: Localnet, alice: Address, oracle: Address
) -> None:
    asked: list[int] = []
    localnet.mock_prompt("question one", _by_node({(0, 4): "other"}))
    localnet.mock_prompt("question two", lambda _request, node: asked.append(node.index) or "same")
    receipt = localnet.write(oracle, "two_blocks", sender=alice)
    assert (asked, receipt.votes[4]) == ([0, 1, 2, 3], "disagree")


def test_block__disagreements_in_different_blocks__add_up(localnet: Localnet, alice: Address, oracle: Address) -> None:
    localnet.mock_prompt("question one", _by_node({(0, 3): "other", (0, 4): "other"}))
    localnet.mock_prompt("question two", _by_node({(0, 2): "other"}))
    assert len(localnet.write(oracle, "two_blocks", sender=alice).rounds) == 2


def test_block__own_validator__decides_by_its_own_rule(localnet: Localnet, alice: Address, oracle: Address) -> None:
    localnet.mock_prompt("question", lambda _request, node: "abcde"[node.index] * 3)
    receipt = localnet.write(oracle, "tolerant", sender=alice)
    assert (receipt.value, receipt.status) == ({"text": "aaa", "length": 3}, "accepted")


def test_block__leaders_user_error__is_agreed_on_and_can_be_caught(
    localnet: Localnet, alice: Address, oracle: Address
) -> None:
    receipt = localnet.write(oracle, "leader_error", "user", sender=alice)
    assert (receipt.value, set(receipt.votes.values())) == ("[EXPECTED] no_data: nothing there", {"agree"})


def test_block__leader_crashes__ends_the_call(localnet: Localnet, alice: Address, oracle: Address) -> None:
    receipt = localnet.write(oracle, "leader_error", "crash", sender=alice)
    assert (receipt.kind, receipt.message, receipt.status) == ("vm_error", "exit_code 1", "accepted")
    assert "ValueError: crash" in receipt.stderr


@pytest.mark.parametrize("what", ["message", "call", "nested", "event"])
def test_block__forbidden_inside__fails(localnet: Localnet, alice: Address, oracle: Address, what: str) -> None:
    receipt = localnet.write(oracle, "inside", what, sender=alice)
    assert receipt.kind == "vm_error"
    assert "6: forbidden" in receipt.stderr


def test_block__writes_storage__changes_nothing(localnet: Localnet, alice: Address, oracle: Address) -> None:
    assert localnet.write(oracle, "inside", "write", sender=alice).kind == "vm_error"
    assert localnet.view(oracle, "get") == [0, ""]


def test_block__prints__only_the_leaders_output_is_in_the_receipt(
    localnet: Localnet, alice: Address, oracle: Address
) -> None:
    assert localnet.write(oracle, "prints", sender=alice).stdout == "in the block\n"


def test_block__in_a_view__runs_on_one_node(localnet: Localnet, oracle: Address) -> None:
    nodes: list[Node] = []
    localnet.mock_prompt("question", lambda _request, node: nodes.append(node) or "same")
    assert localnet.view(oracle, "strict_view") == "same"
    assert nodes == [Node("leader", 0, 0)]


def test_block__single_validator__needs_nobody_else(alice: Address, deploy: Callable[..., Receipt]) -> None:
    net = Localnet(validators=1)
    oracle = deploy(ORACLE, net=net).address
    net.mock_prompt("question", "x")
    assert net.write(oracle, "strict", sender=alice).votes == {0: "agree"}


def test_sandbox__fails__is_data_and_keeps_what_it_wrote(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy("""
        class C(gl.Contract):
            n: u256
            def __init__(self): pass
            @gl.public.write
            def run(self, allowed: bool) -> str:
                storage = self
                def inner():
                    storage.n = u256(storage.n + 1)
                    raise gl.vm.UserError("inner")
                result = gl.vm.spawn_sandbox(inner, allow_write_ops=allowed)
                return f"{type(result).__name__} {result.message} {self.n}"
    """).address
    assert localnet.write(contract, "run", True, sender=alice).value == "UserError inner 1"
    assert localnet.write(contract, "run", False, sender=alice).value == "VMError exit_code 1 1"
