"""GenLayer's methods: reads, simulations, schemas, code."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import GEN, HEADER, TILL, ZERO, Client, call_object, leader, result, tx_data

NOBODY = "0x" + "77" * 20


# --- reads ---


def test_read__value__is_bare_hexadecimal(client: Client, till: str) -> None:
    assert client.call("read", till, "get") == calldata.encode(0).hex()


def test_read__none__is_a_zero_byte(client: Client) -> None:
    contract = client.deploy(
        f"{HEADER}class C(gl.Contract):\n    def __init__(self): pass\n    @gl.public.view\n    def f(self): pass\n"
    )
    assert client.call("read", contract, "f") == "00"


def test_read__address_in_lower_case__is_found(client: Client, till: str) -> None:
    assert client.read(till.lower(), "get") == 0


def test_read__long_argument__is_understood(client: Client, till: str) -> None:
    assert client.read(till, "echo", "x" * 70_000) == "x" * 70_000


def test_read__method_under_the_empty_key__is_called(client: Client, till: str) -> None:
    data = "0x" + tx_data(calldata.encode({"": "echo", "args": ["hi"]}), b"").hex()
    answer = client.rpc.call("gen_call", {**client.request("read", till, "get"), "data": data})
    assert calldata.decode(bytes.fromhex(answer)) == "hi"


def test_read__of_a_write_method__changes_nothing(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure):
        client.read(till, "put", 5)
    assert client.read(till, "get") == 0


def test_read__contract_refuses__has_the_text_and_the_receipt(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.read(till, "no")
    assert (failure.value.code, failure.value.message) == (-32000, "execution failed: boom")
    receipt = failure.value.data["receipt"]
    assert (receipt["execution_result"], b64decode(receipt["result"])) == ("ERROR", b"\x01boom")


def test_read__unknown_method__says_what_happened(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure, match=r"execution failed: exit_code 1 \(ValueError: call to undefined method"):
        client.read(till, "nothing")


def test_read__unknown_contract__is_not_found(client: Client) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.read(NOBODY, "get")
    assert failure.value.code == -32001


@pytest.mark.parametrize("missing", ["type", "to", "data", "from"])
def test_call__field_missing__is_named(client: Client, till: str, missing: str) -> None:
    request = client.request("read", till, "get")
    del request[missing]
    with pytest.raises(RpcFailure, match=f"{missing} is missing") as failure:
        client.rpc.call("gen_call", request)
    assert failure.value.code == -32602


@pytest.mark.parametrize(
    "change",
    [{"type": "look"}, {"to": "0x12"}, {"data": 5}, {"data": "0xzz"}, {"from": None}, {"value": "much"},
     {"sim_config": 5}, {"sim_config": {"genvm_datetime": "soon"}}, {"sim_config": {"validators": {}}}],
)  # fmt: skip
def test_call__wrong_field__is_refused(client: Client, till: str, change: dict[str, Any]) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.rpc.call("gen_call", {**client.request("read", till, "get"), **change})
    assert failure.value.code == -32602


@pytest.mark.parametrize("params", [[], [5], [None], [{}, {}]])
def test_call__no_object__is_refused(rpc: RpcConnection, params: list[Any]) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("gen_call", *params)
    assert failure.value.code == -32602


def test_read__final_state__is_without_what_is_only_accepted(client: Client, till: str) -> None:
    client.rpc.call("sim_increaseTime", 61)
    client.write(till, "put", 5)
    final = {"transaction_hash_variant": "latest-final"}
    assert (client.read(till, "get", **final), client.read(till, "get")) == (0, 5)
    client.rpc.call("sim_increaseTime", 61)
    assert client.read(till, "get", **final) == 5


def test_read__final_state_of_a_new_contract__is_not_found(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.read(till, "get", transaction_hash_variant="latest-final")
    assert failure.value.code == -32001


# --- simulations ---


def test_simulated_write__value__is_seen_and_nothing_stays(client: Client, till: str) -> None:
    answer = client.call("write", till, "pay", "Ann", value=hex(5))
    assert calldata.decode(bytes.fromhex(answer)) == 5
    assert (client.read(till, "get"), client.balance(till), client.balance()) == (0, 0, 1_000 * GEN)


def test_simulated_write__nobody_has_the_value__runs(client: Client, till: str) -> None:
    assert client.call("write", till, "pay", "Ann", value=hex(10**30))


def test_simulated_write__refused__is_an_error(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure, match="execution failed: enough"):
        client.call("write", till, "refuse", "enough")


def test_simulated_write__unknown_contract__is_not_found(client: Client) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.call("write", NOBODY, "put", 1)
    assert failure.value.code == -32001


def test_simulated_deploy__constructor__returns_nothing_and_leaves_nothing(client: Client) -> None:
    data = "0x" + tx_data(TILL.encode(), call_object(None, 5), b"").hex()
    request = {"type": "deploy", "from": client.address, "data": data}
    assert client.rpc.call("gen_call", request) == "00"
    assert client.rpc.call("eth_getTransactionCount", client.address) == "0x0"


def test_simulated_deploy__constructor_fails__is_an_error(client: Client) -> None:
    data = "0x" + tx_data(TILL.encode(), call_object(None, "no number"), b"").hex()
    with pytest.raises(RpcFailure, match="AttributeError"):
        client.rpc.call("gen_call", {"type": "deploy", "from": client.address, "data": data})


def test_sim_call__write__is_a_receipt_with_the_state(client: Client, till: str) -> None:
    receipt = client.rpc.call("sim_call", client.request("write", till, "pay", "Ann", value="0x5"))
    assert (receipt["execution_result"], b64decode(receipt["result"])) == ("SUCCESS", b"\x00" + calldata.encode(5))
    assert receipt["contract_state"]
    assert receipt["genvm_result"]["stdout"] == "paid by Ann\n"
    assert [event["name"] for event in receipt["events"]] == ["Paid"]
    assert client.read(till, "get") == 0


def test_sim_call__refused__is_an_error(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure, match="enough") as failure:
        client.rpc.call("sim_call", client.request("write", till, "refuse", "enough"))
    assert failure.value.code == -32000


# --- schema and code ---


def test_schema__of_a_contract__has_types_and_marks(client: Client, till: str) -> None:
    schema = client.rpc.call("gen_getContractSchema", till)
    assert schema["ctor"] == {"params": [["start", "int"]], "kwparams": {}}
    pay, get = schema["methods"]["pay"], schema["methods"]["get"]
    assert pay == {"params": [["name", "string"]], "kwparams": {}, "readonly": False, "payable": True, "ret": "int"}
    assert get == {"params": [], "kwparams": {}, "readonly": True, "ret": "int"}


@pytest.mark.parametrize("form", [lambda source: "0x" + source.encode().hex(), lambda source: source])
def test_schema__for_code__is_that_of_the_contract(client: Client, till: str, form: Any) -> None:
    assert client.rpc.call("gen_getContractSchemaForCode", form(TILL)) == client.rpc.call("gen_getContractSchema", till)


@pytest.mark.parametrize("source", ["", "nonsense", f"{HEADER}x = 1\n", f"{HEADER}class C(gl.Contract):\n    x: u8\n"])
def test_schema__for_code_without_one__is_an_error(rpc: RpcConnection, source: str) -> None:
    with pytest.raises(RpcFailure, match="no schema") as failure:
        rpc.call("gen_getContractSchemaForCode", "0x" + source.encode().hex())
    assert failure.value.code == -32000


@pytest.mark.parametrize("method", ["gen_getContractSchema", "gen_getContractCode", "gen_getContractNonce"])
def test_contract__unknown__is_not_found(rpc: RpcConnection, method: str) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call(method, NOBODY)
    assert failure.value.code == -32001


def test_code__of_a_contract__is_the_source_in_base64(client: Client, till: str) -> None:
    assert b64decode(client.rpc.call("gen_getContractCode", till)).decode() == TILL


# --- transactions ---


@pytest.mark.parametrize("form", [lambda key: key, lambda key: {"txId": key}])
def test_status__of_a_transaction__has_name_and_code(client: Client, till: str, form: Any) -> None:
    sent = client.write(till, "put", 5)
    assert client.rpc.call("gen_getTransactionStatus", form(sent["hash"])) == {"status": "ACCEPTED", "statusCode": 5}


def test_transaction__call__has_the_fields_of_studio(client: Client, till: str) -> None:
    sent = client.write(till, "pay", "Ann", value=7)
    expected = {
        "status": "ACCEPTED",
        "type": 2,
        "from_address": client.address,
        "to_address": till,
        "value": 7,
        "result": 6,
        "result_name": "MAJORITY_AGREE",
        "txExecutionResult": 1,
        "txExecutionResultName": "FINISHED_WITH_RETURN",
        "triggered_by": None,
        "triggered_transactions": [],
        "leader_only": False,
        "execution_mode": "NORMAL",
        "value_credited": True,
        "nonce": 1,
    }
    assert {name: sent[name] for name in expected} == expected
    assert b64decode(sent["data"]["calldata"]) == call_object("pay", "Ann")


def test_transaction__call__has_votes_and_receipts_of_five(client: Client, till: str) -> None:
    data = client.write(till, "put", 5)["consensus_data"]
    assert list(data["votes"].values()) == ["agree"] * 5
    assert [receipt["mode"] for receipt in data["leader_receipt"]] == ["leader", "validator"]
    assert [receipt["vote"] for receipt in data["validators"]] == ["agree"] * 4
    assert data["leader_receipt"][0]["node_config"]["address"] in data["votes"]


@pytest.mark.parametrize(
    ("method", "args", "encoded"),
    [
        ("pay", ["x"], b"\x00" + calldata.encode(0)),
        ("put", [5], b"\x00\x00"),
        ("refuse", ["boom"], b"\x01boom"),
        ("crash", [], b"\x02exit_code 1"),
        ("nothing", [], b"\x02exit_code 1"),
    ],
)
def test_transaction__result__is_code_byte_and_payload(
    client: Client, till: str, method: str, args: list[Any], encoded: bytes
) -> None:
    sent = client.write(till, method, *args)
    assert result(sent) == encoded
    assert leader(sent)["execution_result"] == ("ERROR" if encoded[0] else "SUCCESS")
    assert sent["txExecutionResult"] == (2 if encoded[0] else 1)


def test_transaction__prints__has_stdout_and_stderr(client: Client, till: str) -> None:
    printed = leader(client.write(till, "pay", "Ann"))["genvm_result"]
    failed = leader(client.write(till, "crash"))["genvm_result"]
    assert (printed["stdout"], printed["stderr"]) == ("paid by Ann\n", "")
    assert failed["stderr"].splitlines()[-1] == "KeyError: 'no such thing'"


def test_transaction__deploy__has_address_and_code(client: Client) -> None:
    sent = client.transaction(client.send(ZERO, tx_data(TILL.encode(), call_object(None), b"")))
    assert (sent["type"], sent["to_address"]) == (1, sent["data"]["contract_address"])
    assert b64decode(sent["data"]["contract_code"]).decode() == TILL


def test_transaction__deploy_of_the_same_source_twice__gives_two_contracts(client: Client) -> None:
    first, second = client.deploy(TILL, 1), client.deploy(TILL, 2)
    assert (client.read(first, "get"), client.read(second, "get")) == (1, 2)


def test_transaction__constructor_fails__there_is_no_contract(client: Client) -> None:
    sent = client.transaction(client.send(ZERO, tx_data(TILL.encode(), call_object(None, "x"), b"")))
    assert (sent["status"], leader(sent)["execution_result"]) == ("ACCEPTED", "ERROR")
    with pytest.raises(RpcFailure) as failure:
        client.read(sent["data"]["contract_address"], "get")
    assert failure.value.code == -32001


@pytest.mark.parametrize(("flag", "mode"), [(b"\x01", "LEADER_ONLY"), (b"\x02", "LEADER_SELF_VALIDATOR")])
def test_transaction__leader_only__is_final_at_once(client: Client, till: str, flag: bytes, mode: str) -> None:
    client.rpc.call("sim_increaseTime", 61)
    sent = client.write(till, "put", 5, flag=flag)
    assert (sent["status"], sent["leader_only"], sent["execution_mode"]) == ("FINALIZED", True, mode)
    assert len(sent["consensus_data"]["votes"]) == 1


def test_transaction__leader_only_after_one_that_is_not_final__waits_for_it(client: Client, till: str) -> None:
    client.write(till, "put", 4)
    assert client.write(till, "put", 5, flag=b"\x01")["status"] == "ACCEPTED"


def test_transaction__by_hash_in_capitals__is_found(client: Client, till: str) -> None:
    sent = client.write(till, "put", 5)
    assert client.transaction("0x" + sent["hash"][2:].upper())["hash"] == sent["hash"]


def test_trace__of_a_failed_call__has_its_output(client: Client, till: str) -> None:
    sent = client.write(till, "crash")
    trace = client.rpc.call("gen_dbg_traceTransaction", {"txID": sent["hash"], "round": 0})
    assert (trace["transaction_id"], trace["result_code"]) == (sent["hash"], 2)
    assert "KeyError" in trace["stderr"]


def test_studio_transaction__by_hash__is_the_transaction(client: Client, till: str) -> None:
    sent = client.write(till, "put", 5)
    assert client.rpc.call("gen_getStudioTransactionByHash", sent["hash"], True).items() <= sent.items()
