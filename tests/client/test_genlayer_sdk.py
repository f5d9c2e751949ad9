"""What the installed genlayer-py, of any version, and the nodes of both lines say in different words."""

from typing import Any

import pytest
from genlayer_py.types import CalldataAddress

from api_billing.errors import RpcFailed, UnexpectedAnswer
from api_billing.genlayer_sdk import Transactions, calldata, error_text, is_studio, plain
from api_billing.networks import NETWORKS, find_network
from api_billing.transport import RpcProvider

from .scripted_node import error, scripted_node

TX = "0x" + "01" * 32


def found(answer: Any) -> Any:
    """What is found of a transaction of Studio's that the node answers so."""
    with scripted_node(answer) as node:
        return Transactions(find_network("localnet", node.url), RpcProvider(node.url)).find(TX)


def status(**transaction: Any) -> str:
    return str(found({"result": transaction})["status_name"])


@pytest.mark.parametrize("name", NETWORKS)
def test_is_studio__of_a_network__goes_by_its_name(name: str) -> None:
    assert is_studio(NETWORKS[name]) is not name.startswith("testnet")


@pytest.mark.parametrize("answer", [{"result": None}, error(-32001, "not found")])
def test_find__node_does_not_know_it__is_nothing(answer: Any) -> None:
    assert found(answer) is None


def test_find__node_has_another_error__is_raised() -> None:
    with pytest.raises(RpcFailed, match="broken"):
        found(error(-32000, "broken"))


@pytest.mark.parametrize(
    ("told", "read"), [("ACTIVATED", "PENDING"), ("ACCEPTED", "ACCEPTED"), ("CANCELED", "CANCELED")]
)
def test_status__of_studio__is_its_name(told: str, read: str) -> None:
    assert status(status=told) == read


@pytest.mark.parametrize("told", ["99", 99, None])
def test_status__unknown__is_unexpected(told: Any) -> None:
    with pytest.raises(UnexpectedAnswer, match=str(told)):
        status(status=told)


@pytest.mark.parametrize(
    ("lifecycle", "read"),
    [
        ({"state": "processing", "phase": "leader_revealing"}, "LEADER_REVEALING"),
        ({"state": "decided", "outcome": "accepted"}, "ACCEPTED"),
        ({"state": "decided", "outcome": "undetermined"}, "UNDETERMINED"),
        ({"state": "finalized"}, "FINALIZED"),
        ({"state": "finalized", "outcome": "accepted"}, "FINALIZED"),
        ({"state": "finalized", "outcome": "leader_timeout"}, "LEADER_TIMEOUT"),
        ({"state": "canceled"}, "CANCELED"),
    ],
)
def test_status__in_the_lifecycle_of_later_versions__is_the_same(lifecycle: dict[str, str], read: str) -> None:
    assert status(lifecycle=lifecycle) == read


@pytest.mark.parametrize(
    ("result", "read"),
    [
        ("MAJORITY_AGREE", "FINALIZED"),
        ("IDLE", "FINALIZED"),
        ("MAJORITY_DISAGREE", "UNDETERMINED"),
        ("NO_MAJORITY", "UNDETERMINED"),
        ("TIMEOUT", "VALIDATORS_TIMEOUT"),
    ],
)
def test_status__final__is_a_success_only_where_validators_agreed(result: str, read: str) -> None:
    assert status(status="FINALIZED", result_name=result) == read


@pytest.mark.parametrize("text", ["[EXPECTED] api_paused: api is paused", "boom", "no", "Q", "", "lost", "ä" * 3_000])
def test_error_text__of_both_lines__is_the_same(text: str) -> None:
    assert error_text(text.encode()) == text
    assert error_text(calldata.encode(text)) == text


def test_error_text__other_calldata__is_shown() -> None:
    assert error_text(calldata.encode({"code": [300, None]})) == "{'code': [300, None]}"


@pytest.mark.parametrize("payload", [b"\xff\xfe", calldata.encode("cut off")[:-1]])
def test_error_text__neither_text_nor_calldata__is_shown_as_far_as_it_can_be(payload: bytes) -> None:
    assert error_text(payload) == payload.decode("utf-8", "replace")


def test_plain__addresses_and_bytes__have_no_class_of_genlayer_py() -> None:
    assert plain({"a": [CalldataAddress(b"\xab" * 20), memoryview(b"x")]}) == {"a": ["0x" + "ab" * 20, b"x"]}
