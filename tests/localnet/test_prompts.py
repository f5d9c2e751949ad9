"""Prompts: a handler, mocks, or a clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, LocalnetError, Node, PromptRequest, Receipt

ASKER = """
class Asker(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def ask(self, prompt: str, response_format: str) -> str:
        def leader():
            return gl.nondet.exec_prompt(prompt, response_format=response_format)
        try:
            return gl.eq_principle.strict_eq(leader)
        except gl.vm.UserError as error:
            return f"caught {error.message}"

    @gl.public.write
    def compare(self) -> str:
        return gl.eq_principle.prompt_comparative(lambda: "text", "same meaning")

    @gl.public.write
    def summarise(self) -> str:
        return gl.eq_principle.prompt_non_comparative(lambda: "long text", task="shorten", criteria="short")
"""


@pytest.fixture
def asker(deploy: Callable[..., Receipt]) -> Address:
    return deploy(ASKER).address


def test_prompt__nobody_to_answer__says_what_to_set(localnet: Localnet, alice: Address, asker: Address) -> None:
    receipt = localnet.write(asker, "ask", "hello", "text", sender=alice)
    assert receipt.kind == "vm_error"
    assert receipt.message is not None
    assert "net.prompt_handler" in receipt.message
    assert "net.mock_prompt" in receipt.message


def test_prompt__handler__gets_request_and_node(localnet: Localnet, alice: Address, asker: Address) -> None:
    seen: list[tuple[PromptRequest, Node]] = []
    localnet.prompt_handler = lambda request, node: seen.append((request, node)) or f"answer to {request.prompt}"
    assert localnet.write(asker, "ask", "hello", "text", sender=alice).value == "answer to hello"
    assert seen[0] == (PromptRequest("hello"), Node("leader", 0, 0))


def test_prompt__mock__goes_before_the_handler(localnet: Localnet, alice: Address, asker: Address) -> None:
    localnet.prompt_handler = lambda request, node: "handler"
    localnet.mock_prompt("^hel", "mock")
    assert localnet.write(asker, "ask", "hello", "text", sender=alice).value == "mock"
    localnet.clear_mocks()
    assert localnet.write(asker, "ask", "hello", "text", sender=alice).value == "handler"


def test_prompt__two_mocks_match__the_later_one_answers(localnet: Localnet, alice: Address, asker: Address) -> None:
    localnet.mock_prompt("hello", "first")
    localnet.mock_prompt("hello", "second")
    assert localnet.write(asker, "ask", "hello", "text", sender=alice).value == "second"


@pytest.mark.parametrize("answer", ['{"a": [1, true]}', {"a": [1, True]}])
def test_prompt__json__is_given_as_data(localnet: Localnet, alice: Address, asker: Address, answer: Any) -> None:
    localnet.mock_prompt("hello", answer)
    assert localnet.write(asker, "ask", "hello", "json", sender=alice).value == {"a": [1, True]}


@pytest.mark.parametrize(("answer", "cause"), [("{not json", "PROMPT_ANSWER"), ({"a": 1.5}, "UNENCODABLE_ANSWER")])
def test_prompt__answer_that_is_no_data__is_an_error_the_contract_can_catch(
    localnet: Localnet, alice: Address, asker: Address, answer: Any, cause: str
) -> None:
    localnet.mock_prompt("hello", answer)
    receipt = localnet.write(asker, "ask", "hello", "json", sender=alice)
    assert receipt.value.startswith("caught")
    assert cause in receipt.value


def test_prompt__handler_raises__ends_the_call_with_its_traceback(
    localnet: Localnet, alice: Address, asker: Address
) -> None:
    localnet.prompt_handler = lambda request, node: {}["missing"]
    receipt = localnet.write(asker, "ask", "hello", "text", sender=alice)
    assert (receipt.kind, receipt.message) == (
        "vm_error", "the handler for the prompt 'hello' raised KeyError: 'missing'",
    )  # fmt: skip
    assert "test_prompts.py" in receipt.stderr


def test_prompt__handler_calls_the_localnet__is_refused(localnet: Localnet, alice: Address, asker: Address) -> None:
    localnet.prompt_handler = lambda request, node: str(localnet.balance(alice))
    receipt = localnet.write(asker, "ask", "hello", "text", sender=alice)
    assert receipt.message is not None
    assert LocalnetError.__name__ in receipt.message
    assert localnet.write(asker, "ask", "hello", "text", sender=alice).kind == "vm_error"


@pytest.mark.parametrize(("verdict", "status"), [(True, "accepted"), (False, "undetermined")])
def test_comparative_principle__validators_ask_for_a_verdict(
    localnet: Localnet, alice: Address, asker: Address, verdict: bool, status: str
) -> None:
    seen: list[PromptRequest] = []
    localnet.prompt_handler = lambda request, node: seen.append(request) or verdict
    receipt = localnet.write(asker, "compare", sender=alice)
    assert receipt.status == status
    assert seen[0].fields == {"leader_answer": "text", "validator_answer": "text", "principle": "same meaning"}
    assert (seen[0].template, seen[0].response_format) == ("EqComparative", "bool")


def test_non_comparative_principle__leader_works_and_validators_judge(
    localnet: Localnet, alice: Address, asker: Address
) -> None:
    localnet.mock_prompt("criteria: short", lambda request, node: "short" if node.role == "leader" else True)
    receipt = localnet.write(asker, "summarise", sender=alice)
    assert (receipt.value, set(receipt.votes.values())) == ("short", {"agree"})


def test_mock__pattern_that_is_no_regular_expression__is_refused(localnet: Localnet) -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        localnet.mock_prompt("(", "x")
