"""What a transaction or a read wants of its validators, of their answers and of the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.testing.server import RpcConnection

from .wire import Client, leader, result


def _validator(prompts: dict[str, Any] | None = None, pages: dict[str, Any] | None = None) -> dict[str, Any]:
    plugin_config: dict[str, Any] = {}
    if prompts is not None:
        plugin_config["mock_response"] = {"response": prompts}
    if pages is not None:
        plugin_config["mock_web_response"] = {"nondet_web_request": pages}
    return {"stake": 1, "provider": "p", "model": "m", "config": {}, "plugin": "q", "plugin_config": plugin_config}


def _answered(text: str, number: int = 5) -> dict[str, Any]:
    return {"validators": [_validator({"question": text})] * number}


def test_prompt__mocked__is_answered_and_agreed_on(client: Client, till: str) -> None:
    sent = client.write(till, "ask", "a question", sim_config=_answered("yes"))
    assert result(sent) == b"\x00" + calldata.encode("yes")
    assert sent["result_name"] == "MAJORITY_AGREE"
    assert list(leader(sent)["eq_outputs"]) == ["0"]


def test_prompt__validators_disagree__is_undetermined(client: Client, till: str) -> None:
    config = {"validators": [_validator({"question": str(number)}) for number in range(5)]}
    sent = client.write(till, "ask", "a question", sim_config=config)
    assert (sent["status"], sent["result_name"]) == ("UNDETERMINED", "MAJORITY_DISAGREE")
    assert sent["rotation_count"] == 3


def test_prompt__empty_key__answers_everything_else(client: Client, till: str) -> None:
    config = {"validators": [_validator({"other": "no", "": "default"})]}
    assert result(client.write(till, "ask", "a question", sim_config=config)) == b"\x00" + calldata.encode("default")


def test_prompt__nobody_answers__the_call_fails_and_says_why(client: Client, till: str) -> None:
    sent = client.write(till, "ask", "a question", sim_config={"validators": [_validator({"other": "no"})]})
    assert leader(sent)["execution_result"] == "ERROR"
    assert b"mock_response" in result(sent)


def test_prompt__no_mock_at_all__the_call_fails(client: Client, till: str) -> None:
    said = result(client.write(till, "ask", "a question"))
    assert b"no language model" in said
    assert b"sim_updateValidator" in said


@pytest.fixture
def told(client: Client) -> Iterator[None]:
    """Every validator's model has its answers; the server is that of other tests, too."""
    mocked = {"mock_response": {"response": {"a quest": "yes", "": "other"}}}
    before = client.rpc.call("sim_getAllValidators")
    kept = [[each[name] for name in ("address", "stake", "provider", "model", "config", "plugin")] for each in before]
    for each in kept:
        client.rpc.call("sim_updateValidator", *each, mocked)
    yield
    for each, was in zip(kept, before, strict=True):
        client.rpc.call("sim_updateValidator", *each, was["plugin_config"])


@pytest.mark.usefixtures("told")
def test_prompt__of_validators_told_what_to_answer__is_answered(client: Client, till: str) -> None:
    assert result(client.write(till, "ask", "a question")) == b"\x00" + calldata.encode("yes")
    assert result(client.write(till, "ask", "anything")) == b"\x00" + calldata.encode("other")


def test_page__mocked__is_not_fetched(client: Client, till: str) -> None:
    pages = {"http://no.such.host/": {"method": "GET", "status": 200, "body": "hello"}}
    sent = client.write(till, "page", "http://no.such.host/", sim_config={"validators": [_validator(pages=pages)]})
    assert result(sent) == b"\x00" + calldata.encode("hello")


def test_validators__of_the_config__are_those_that_vote(client: Client, till: str) -> None:
    assert len(client.write(till, "put", 1, sim_config=_answered("x", 3))["consensus_data"]["votes"]) == 3


def test_config__of_a_transaction__does_not_stay(client: Client, till: str) -> None:
    client.write(till, "ask", "a question", sim_config=_answered("yes"))
    assert result(client.write(till, "ask", "a question"))[:1] == b"\x02"


def test_datetime__of_a_transaction__is_what_the_contract_sees(client: Client, till: str) -> None:
    config = {"genvm_datetime": "2025-01-01T00:00:00Z"}
    sent = client.write(till, "stamp", sim_config=config)
    assert result(sent) == b"\x00" + calldata.encode("2025-01-01T00:00:00Z")
    assert sent["sim_config"] == config


def test_datetime__of_a_transaction__does_not_leak(client: Client, till: str) -> None:
    client.write(till, "stamp", sim_config={"genvm_datetime": "2025-01-01T00:00:00Z"})
    later = client.write(till, "stamp")
    assert b"2025-01-01" not in result(later)
    assert not client.read(till, "clock").startswith("2025-01-01")
    assert not later["created_at"].startswith("2025-01-01")


def test_datetime__of_a_read__is_what_the_contract_sees(client: Client, till: str) -> None:
    config = {"genvm_datetime": "2025-01-01T00:00:00"}
    assert client.read(till, "clock", sim_config=config) == "2025-01-01T00:00:00Z"
    assert not client.read(till, "clock").startswith("2025-01-01")


def test_mocks__of_created_validators__answer_every_transaction(start: Callable[..., RpcConnection]) -> None:
    rpc = start(validators=1)
    rpc.call("sim_deleteAllValidators")
    mock = _validator({"": "yes"})["plugin_config"]
    for _ in range(3):
        rpc.call("sim_createValidator", 1, "p", "m", {}, "q", mock)
    client = Client(rpc)
    sent = client.write(client.deploy(), "ask", "a question")
    assert result(sent) == b"\x00" + calldata.encode("yes")
    assert len(sent["consensus_data"]["votes"]) == 3
