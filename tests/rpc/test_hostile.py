"""Whatever a client sends: the answer is a documented error or a result, and the server goes on."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genlayer_localnet import calldata
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import MAIN, V5, V6, ZERO, Client, about, add_transaction, call_object, signed, tx_data

CODES = {-32700, -32600, -32601, -32602, -32000, -32001, -32002}
# Half of what is tried elsewhere: every example is a request or more. The thorough profile multiplies them all.
EXAMPLES = settings().max_examples // 2
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
addresses = st.sampled_from([ZERO, MAIN, "0x" + "77" * 20, "0x", "0x" + "7" * 39, "latest"])
words = addresses | st.sampled_from(["0x0", "0x" + "12" * 32, "latest", "0x5", "-1"]) | values
call_objects = st.dictionaries(
    st.sampled_from(["type", "to", "from", "data", "value", "sim_config", "transaction_hash_variant", "status"]),
    st.sampled_from(["read", "write", "deploy", "0x", "0xc0", "0xc180", "latest-final"]) | words,
)


def _check(answer: Any) -> None:
    """One answer of the documented form."""
    assert answer["jsonrpc"] == "2.0"
    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert answer["error"]["code"] in CODES, answer
        assert isinstance(answer["error"]["message"], str)


@FUZZ
@given(st.binary(max_size=300))
def test_body__any_bytes__is_answered(rpc: RpcConnection, body: bytes) -> None:
    response = rpc.post(body)
    if response.status_code != 204:
        answers = response.json()
        for answer in answers if isinstance(answers, list) else [answers]:
            _check(answer)


@FUZZ
@given(values)
def test_body__any_json__is_answered(rpc: RpcConnection, body: Any) -> None:
    response = rpc.post(json.dumps(body).encode())
    if response.status_code != 204:
        answers = response.json()
        for answer in answers if isinstance(answers, list) else [answers]:
            _check(answer)


@settings(FUZZ, max_examples=3 * EXAMPLES)
@given(st.data())
def test_method__any_parameters__is_answered(rpc: RpcConnection, shared_server: RpcServer, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(shared_server.methods))
    params = data.draw(st.lists(words | call_objects, max_size=4) | st.dictionaries(st.text(max_size=5), values))
    snapshot = rpc.call("sim_createSnapshot")
    _check(rpc.post({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).json())
    # What it did to validators, to the finality window and to prices is no concern of the next test.
    if rpc.call("sim_countValidators") != 5:
        rpc.call("sim_deleteAllValidators")
        rpc.call("sim_createRandomValidators", 5)
    rpc.call("sim_setFinalityWindowTime", 60)
    rpc.call("sim_setFeeConfig", {"enabled": False})
    rpc.call("sim_restoreSnapshot", snapshot)


@pytest.mark.parametrize("selector", [V5, V6, "35a251fb", "98863702", "8b5de1bc", "b2efda83", "70ba3339"])
@FUZZ
@given(st.binary(max_size=400))
def test_raw_transaction__any_data__is_answered(rpc: RpcConnection, selector: str, data: bytes) -> None:
    client = Client(rpc)
    raw = client.raw("0x" + selector + data.hex())
    _check(rpc.post({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}).json())


@FUZZ
@given(st.binary(max_size=60), st.binary(max_size=3), st.integers(0, 2**256 - 1), st.booleans())
def test_raw_transaction__any_call__is_decided(
    client: Client, till: str, call: bytes, flag: bytes, validators: int, is_deploy: bool
) -> None:
    items = (b"# no contract", call, flag) if is_deploy else (call, flag)
    data = add_transaction(client.address, ZERO if is_deploy else till, tx_data(*items), validators=validators)
    sent = client.transaction(client.rpc.call("eth_sendRawTransaction", client.raw(data)))
    assert sent["status"] in ("ACCEPTED", "FINALIZED")
    assert sent["txExecutionResult"] == 2


@FUZZ
@given(values)
def test_call__any_arguments__is_answered(client: Client, till: str, argument: Any) -> None:
    try:
        call = calldata.encode({"method": "echo", "args": [argument]})
    except (TypeError, ValueError):
        return
    request = {**client.request("read", till, "get"), "data": "0x" + tx_data(call, b"").hex()}
    _check(client.rpc.post({"jsonrpc": "2.0", "id": 1, "method": "gen_call", "params": [request]}).json())


def test_deeply_nested_calldata__any__is_answered(client: Client, till: str) -> None:
    call = b"\x0d" * 50_000 + b"\x05"
    request = {**client.request("read", till, "get"), "data": "0x" + tx_data(call, b"").hex()}
    _check(client.rpc.post({"jsonrpc": "2.0", "id": 1, "method": "gen_call", "params": [request]}).json())
    assert client.read(till, "get") == 0


def test_contract__endless_recursion__fails_alone(client: Client) -> None:
    source = (
        '# { "Depends": "py-genlayer:test" }\nfrom genlayer import *\n\n\nclass C(gl.Contract):\n'
        "    def __init__(self): pass\n\n    @gl.public.write\n    def f(self): self.f()\n"
    )
    contract = client.deploy(source)
    assert client.write(contract, "f")["txExecutionResult"] == 2
    assert client.rpc.call("ping") == "OK"


def test_contract__exits__fails_alone(client: Client) -> None:
    source = (
        '# { "Depends": "py-genlayer:test" }\nfrom genlayer import *\n\n\nclass C(gl.Contract):\n'
        "    def __init__(self): pass\n\n    @gl.public.write\n    def f(self): raise SystemExit(3)\n"
    )
    assert client.write(client.deploy(source), "f")["txExecutionResult"] == 2
    assert client.rpc.call("ping") == "OK"


@pytest.mark.parametrize("about_what", ["8b5de1bc", "b2efda83", "70ba3339"])
def test_transaction__about_a_faucet_payment__is_refused_or_does_nothing(client: Client, about_what: str) -> None:
    funded = client.rpc.call("sim_fundAccount", client.address, 5)
    with contextlib.suppress(RpcFailure):
        client.rpc.call("eth_sendRawTransaction", client.raw(about(about_what, funded)))
    assert client.balance() == 1_000 * 10**18 + 5


def test_sender__spoofed__is_refused_whatever_the_function(client: Client, till: str) -> None:
    data = add_transaction(ZERO, till, tx_data(call_object("put", 5), b""), V6)
    with pytest.raises(RpcFailure, match="is signed by"):
        client.rpc.call("eth_sendRawTransaction", signed(client.account, data=data))
