"""Transactions as they are handed over: the bytes that genlayer-py makes, and what a node says of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from api_billing.errors import OutcomeUnknown, RpcFailed, UnexpectedAnswer
from api_billing.fees import Distribution, Fees
from api_billing.networks import find_network
from api_billing.sending import NOBODY, Payload, Sender, call, deployment
from api_billing.transport import RpcProvider

from .conftest import never_sleep
from .scripted_node import error, scripted_node

MADE = json.loads((Path(__file__).parent / "data" / "transactions-by-genlayer-py.json").read_text())["without_fees"]
TX, ID = "0x" + "ab" * 32, "0x" + "cd" * 32
TAKEN = {
    "status": "0x1",
    "logs": [{"topics": ["0xdab9102861c7483a187584d6371d88316f005af507982ccf95c110879f3ed5a5", ID]}],
}
TO = "0x" + "22" * 20


class RecordingSigner:
    """Has an address that nobody has a key of, and keeps what it was to sign."""

    address = "0x" + "11" * 20

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def sign_transaction(self, transaction_dict: dict[str, Any]) -> Any:
        self.asked = transaction_dict
        return Account.from_key("0x" + "11" * 32).sign_transaction({**transaction_dict, "from": self._signs})

    @property
    def _signs(self) -> str:
        account: LocalAccount = Account.from_key("0x" + "11" * 32)
        return str(account.address)


def consensus(*types: str) -> Any:
    inputs = [{"type": each} for each in types]
    return {"result": {"address": NOBODY, "abi": [{"type": "function", "name": "addTransaction", "inputs": inputs}]}}


BEFORE_FEES = ("address", "address", "uint256", "uint256", "bytes", "uint256")
READY = [{"result": each} for each in ("0x2", "0xf22f", "0x5208")]


def hand_over(*answers: Any, payload: Payload | None = None, fees: Fees | None = None) -> tuple[str, RecordingSigner]:
    signer = RecordingSigner()
    with scripted_node(*answers) as node:
        network = find_network("localnet", node.url)
        ticks = iter(range(1_000))
        sender = Sender(
            network, RpcProvider(node.url), lambda: 5, sleep=never_sleep, clock=lambda: float(next(ticks)) * 10
        )
        return sender.send(signer, payload or call(TO, "top_up_credit", [5], 7), fees), signer


@pytest.mark.parametrize("parameters", [5, 6])
@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("call", call(TO, "top_up_credit", [5])),
        ("no_args", call(TO, "judge", [])),
        ("deploy", deployment(b"# code", ["a", 1])),
    ],
)
def test_send__without_fees__is_what_genlayer_py_makes(parameters: int, name: str, payload: Payload) -> None:
    types = BEFORE_FEES[:parameters]
    _, signer = hand_over(consensus(*types), *READY, {"result": TX}, {"result": TAKEN}, payload=payload)
    assert signer.asked["data"] == MADE["by_parameters"][str(parameters)][name]


def test_send__to_a_localnet__is_signed_for_the_chain_that_it_says_and_pays_no_gas() -> None:
    tx, signer = hand_over(consensus(*BEFORE_FEES), *READY, {"result": TX}, {"result": TAKEN})
    assert tx == ID
    names = ("value", "nonce", "chainId", "gasPrice", "gas", "to")
    assert [signer.asked[name] for name in names] == ["0x7", "0x2", 0xF22F, 0, "0x5208", NOBODY]


def test_send__with_fees__carries_the_deposit_besides_the_value() -> None:
    fees = Fees(Distribution(leader_time_units=1), (), 100)
    _, signer = hand_over(consensus(*BEFORE_FEES), *READY, {"result": TX}, {"result": TAKEN}, fees=fees)
    assert (signer.asked["value"], signer.asked["data"][:10]) == (hex(107), "0x35a251fb")


def test_send__to_a_contract_that_knows_fees_only__deposits_nothing() -> None:
    _, signer = hand_over(consensus("tuple"), *READY, {"result": TX}, {"result": TAKEN})
    assert (signer.asked["value"], signer.asked["data"][:10]) == ("0x7", "0x35a251fb")


def test_send__receipt_is_not_there_yet__is_waited_for() -> None:
    assert hand_over(consensus(*BEFORE_FEES), *READY, {"result": TX}, {"result": None}, {"result": TAKEN})[0] == ID


def test_send__receipt_never_comes__leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown) as unknown:
        hand_over(consensus(*BEFORE_FEES), *READY, {"result": TX}, {"result": None})
    assert unknown.value.tx == TX


@pytest.mark.parametrize("more", [{"revertReason": "InsufficientFees"}, {"error": "InsufficientFees"}])
def test_send__not_taken_by_the_consensus_contract__is_told_with_its_reason(more: dict[str, str]) -> None:
    with pytest.raises(RpcFailed, match="InsufficientFees"):
        hand_over(consensus(*BEFORE_FEES), *READY, {"result": TX}, {"result": {"status": "0x0", "logs": [], **more}})


def test_send__receipt_names_no_transaction__is_unexpected() -> None:
    with pytest.raises(UnexpectedAnswer, match=TX):
        hand_over(consensus(*BEFORE_FEES), *READY, {"result": TX}, {"result": {"status": "0x1", "logs": []}})


def test_send__node_that_does_not_tell_its_consensus_contract__is_sent_to_genlayer_pys() -> None:
    network = find_network("localnet").genlayer_chain()
    answers = [error(-32601), *READY, {"result": TX}, {"result": TAKEN}]
    assert hand_over(*answers)[1].asked["to"] == network.consensus_main_contract["address"]
