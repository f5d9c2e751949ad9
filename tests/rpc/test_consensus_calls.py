"""What a call of the consensus contract asks for: the functions of v0.5 and v0.6, and all that is none of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from genlayer_localnet.errors import FeesRefused
from genlayer_localnet.rpc.consensus_calls import AboutTransaction, AddTransaction, FeeOffer, asked_of
from genlayer_localnet.rpc.errors import RpcError, reverted
from genlayer_localnet.state.fees import FeesDistribution, MessageAllocation
from genlayer_localnet.testing.server import RpcConnection, RpcFailure
from genlayer_localnet.vm.host_requests import salted_address

from .wire import (
    DATA,
    FEES,
    FEES_TYPE,
    GEN,
    INTERNAL_PARAMS,
    MAIN,
    TILL,
    ZERO,
    Client,
    about,
    add_transaction,
    add_with_fees,
    call_object,
    leader,
    new_account,
    tx_data,
)

SENDER, RECIPIENT = "0x" + "11" * 20, "0x" + "22" * 20
ALLOCATION = (1, True, 2**256 - 1, RECIPIENT, b"k" * 32, 5, INTERNAL_PARAMS)
PAY = tx_data(call_object("pay", "alice"), b"")
TX = b"\xab" * 32


def _asked(data: str, to: str = MAIN) -> Any:
    return asked_of(bytes.fromhex(to[2:]), bytes.fromhex(data[2:]))


def _refusal(data: str) -> int | None:
    """The error's code; None where there is none."""
    try:
        _asked(data)
    except RpcError as error:
        return error.code
    except FeesRefused as error:
        return reverted(error).code
    return None


def _call(signature: str, parameters: bytes) -> str:
    return "0x" + (keccak(text=signature)[:4] + parameters).hex()


def test_add_transaction__with_fees__is_read_whole() -> None:
    given_call = add_with_fees(
        SENDER, RECIPIENT, PAY, user_value=7, valid_until=9, fees={"rotations": [3, 2]}, allocations=[ALLOCATION]
    )
    assert given_call.startswith("0x35a251fb")
    found = _asked(given_call)
    assert isinstance(found, AddTransaction)
    offer, found = found.offer, replace(found, offer=None)
    assert found == AddTransaction(
        b"\x11" * 20, b"\x22" * 20, 5, 3, call_object("pay", "alice"), None, "NORMAL", valid_until=9
    )
    assert offer == FeeOffer(
        7,
        FeesDistribution(100, 200, 0, 500_000, 0, 0, (3, 2), 10, 20, 30),
        (MessageAllocation(True, True, None, b"\x22" * 20, b"k" * 32, 5, INTERNAL_PARAMS),),
    )


def test_deploy_salted__with_fees__has_its_salt() -> None:
    given_call = add_with_fees(SENDER, ZERO, tx_data(b"code", b""), "deploySalted", salt=5)
    assert given_call.startswith("0x98863702")
    found = _asked(given_call)
    assert (found.code, found.salt) == (b"code", 5)


def test_deploy_salted__to_a_recipient__is_refused() -> None:
    with pytest.raises(RpcError, match="has no recipient"):
        _asked(add_with_fees(SENDER, RECIPIENT, PAY, "deploySalted", salt=5))


@pytest.mark.parametrize(
    ("function", "has_decision", "has_fees"),
    [
        ("submitAppeal", False, False),
        ("submitAppeal", True, False),
        ("topUpAndSubmitAppeal", True, True),
        ("topUpFees", False, True),
        ("finalizeTransaction", False, False),
        ("finalizeTransaction", True, False),
        ("cancelTransaction", False, False),
    ],
)
def test_function__about_another_transaction__is_read(function: str, has_decision: bool, has_fees: bool) -> None:
    kinds = ["bytes32", *(["uint256"] if has_decision else []), *([FEES_TYPE] if has_fees else [])]
    values = [TX, *([4] if has_decision else []), *([FEES] if has_fees else [])]
    data = _call(f"{function}({','.join(kinds)})", encode(kinds, values))
    distribution = FeesDistribution(100, 200, 0, 500_000, 0, 0, (3,), 10, 20, 30) if has_fees else None
    expected = AboutTransaction(function, "0x" + TX.hex(), 4 if has_decision else None, distribution)
    assert _asked(data) == expected


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"allocations": [ALLOCATION] * 1_025}, "TooManyMessageAllocations: 1025"),
        ({"allocations": [(2, *ALLOCATION[1:])]}, "its type is 0, external, or 1, internal"),
        ({"allocations": [(1, True, 0, *ALLOCATION[3:])]}, "number 0 is below 0"),
        ({"allocations": [ALLOCATION, (1, True, 1, *ALLOCATION[3:])]}, "number 1 is below 1"),
        ({"allocations": [(*ALLOCATION[:6], b"none")]}, "feeParams of number 0"),
    ],
)
def test_add_transaction__with_allocations_that_are_none__is_refused(changes: Any, text: str) -> None:
    with pytest.raises((RpcError, FeesRefused), match=text):
        _asked(add_with_fees(SENDER, RECIPIENT, PAY, **changes))


def test_add_transaction__with_as_many_allocations_as_there_can_be__is_read() -> None:
    found = _asked(add_with_fees(SENDER, RECIPIENT, PAY, allocations=[ALLOCATION] * 1_024))
    assert len(found.offer.allocations) == 1_024


selectors = st.sampled_from([bytes.fromhex(each) for each in ("35a251fb", "98863702", "27241a99", "e71d5196")])
known = st.sampled_from(
    [
        add_with_fees(SENDER, RECIPIENT, PAY, allocations=[ALLOCATION] * 2),
        add_with_fees(SENDER, ZERO, tx_data(b"code", b""), "deploySalted"),
        add_transaction(SENDER, RECIPIENT, PAY),
    ]
)


@given(selectors, st.binary(max_size=600))
def test_call__any_bytes_behind_a_selector__is_read_or_refused(selector: bytes, rest: bytes) -> None:
    assert _refusal("0x" + (selector + rest).hex()) in (None, -32602, -32000)


@given(known, st.data())
def test_call__changed_words__is_read_or_refused(call: str, data: st.DataObject) -> None:
    changed = bytearray.fromhex(call[2:])
    place = 4 + 32 * data.draw(st.integers(0, (len(changed) - 36) // 32))
    changed[place : place + 32] = data.draw(st.binary(min_size=32, max_size=32) | st.just(b"\xff" * 32))
    assert _refusal("0x" + changed.hex()) in (None, -32602, -32000)


# --- what is meant for the consensus contract, and would be kept as a payment ---


@pytest.mark.parametrize("data", ["0x", "0x35", "0x35a251", "0x12345678", "0x12345678" + "00" * 64])
@pytest.mark.parametrize("to", [MAIN, DATA])
def test_payment__to_the_consensus_contract__is_refused(client: Client, data: str, to: str) -> None:
    with pytest.raises(RpcFailure, match="nothing is paid to it"):
        client.rpc.call("eth_sendRawTransaction", client.raw(data, to=to, value=5))
    assert client.balance() == 1_000 * GEN


@pytest.mark.parametrize(
    "call",
    [
        add_transaction(SENDER, RECIPIENT, PAY),
        add_with_fees(SENDER, RECIPIENT, PAY),
        add_with_fees(SENDER, ZERO, tx_data(b"code", b""), "deploySalted"),
        about("8b5de1bc", "0x" + "ab" * 32),
    ],
)
@pytest.mark.parametrize("to", [DATA, RECIPIENT, "0xe66B434bc83805f380509642429eC8e43AE9874a"])
def test_call__of_the_consensus_contract_to_another_address__is_refused(client: Client, call: str, to: str) -> None:
    with pytest.raises(RpcFailure, match="is a function of the consensus contract"):
        client.rpc.call("eth_sendRawTransaction", client.raw(call, to=to, value=5))
    assert (client.balance(), client.balance(to)) == (1_000 * GEN, 0)


def test_call__of_the_consensus_contract_by_an_open_account_to_another_address__is_refused(rpc: RpcConnection) -> None:
    account = rpc.call("eth_accounts")[0]
    transaction = {"from": account, "to": RECIPIENT, "data": add_transaction(account, RECIPIENT, PAY), "value": "0x5"}
    with pytest.raises(RpcFailure, match="addTransaction is a function of the consensus contract"):
        rpc.call("eth_sendTransaction", transaction)


def test_payment__with_data_to_a_contract__is_refused(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure, match="the data would not be read"):
        client.rpc.call("eth_sendRawTransaction", client.raw("0x12345678", to=till, value=5))


def test_payment__without_data_to_a_contract__arrives(client: Client, till: str) -> None:
    client.rpc.call("eth_sendRawTransaction", client.raw("0x", to=till, value=5))
    assert client.balance(till) == 5


def test_payment__with_data_to_an_ordinary_account__arrives(client: Client) -> None:
    other = new_account().address
    client.rpc.call("eth_sendRawTransaction", client.raw("0x12345678", to=other, value=5))
    assert client.balance(other) == 5


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_call"])
def test_question__about_a_call_that_would_be_refused__is_refused(client: Client, method: str) -> None:
    for to, data in ((MAIN, "0x12345678"), (RECIPIENT, add_transaction(client.address, RECIPIENT, PAY))):
        with pytest.raises(RpcFailure, match="consensus contract"):
            client.rpc.call(method, {"from": client.address, "to": to, "data": data})


def test_question__about_a_call_that_would_run__is_answered(client: Client) -> None:
    asked = {"from": client.address, "to": MAIN, "data": add_transaction(client.address, RECIPIENT, PAY)}
    assert client.rpc.call("eth_estimateGas", asked) == "0x7a120"


# --- fee-aware calls on a chain without fees ---


def test_call__with_fees__runs_with_the_users_value_alone(client: Client, till: str) -> None:
    call = add_with_fees(client.address, till, PAY, user_value=7)
    sent = client.rpc.call("eth_sendRawTransaction", client.raw(call, value=7 + 1_000))
    transaction = client.transaction(sent)
    assert (leader(transaction)["execution_result"], transaction["value"], client.balance(till)) == ("SUCCESS", 7, 7)
    client.rpc.call("sim_increaseTime", 100)
    assert client.balance() == 1_000 * GEN - 7


def test_call__with_less_than_its_user_value__is_refused(client: Client, till: str) -> None:
    call = add_with_fees(client.address, till, PAY, user_value=7)
    with pytest.raises(RpcFailure, match="userValue is 7 wei, and the transaction brings 6"):
        client.rpc.call("eth_sendRawTransaction", client.raw(call, value=6))


def test_deploy__salted__has_the_address_that_follows(client: Client) -> None:
    data = tx_data(TILL.encode(), call_object(None), b"")
    sent = client.rpc.call("eth_sendRawTransaction", client.raw(add_with_fees(client.address, ZERO, data, salt=9)))
    address = client.transaction(sent)["data"]["contract_address"]
    expected = salted_address(bytes.fromhex(client.address[2:]), 9, 61999)
    assert expected == keccak(b"\1" + bytes.fromhex(client.address[2:]) + (9).to_bytes(32) + (61999).to_bytes(32))[:20]
    assert bytes.fromhex(address[2:]) == expected
    assert client.read(address, "get") == 0


def test_deploy__salted_twice__fails_the_second_time(client: Client) -> None:
    data = tx_data(TILL.encode(), call_object(None), b"")
    call = add_with_fees(client.address, ZERO, data, "deploySalted", salt=9)
    client.rpc.call("eth_sendRawTransaction", client.raw(call))
    again = client.rpc.call("eth_sendRawTransaction", client.raw(call))
    assert leader(client.transaction(again))["genvm_result"]["error_description"] == "localnet: address is taken"
