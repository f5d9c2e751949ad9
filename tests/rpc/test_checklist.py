"""What a drop-in for Studio has to do, and what other simulators get wrong: each point, and the tests that hold it.

The points are those of the design's facts about the localnet: its section 8 (gaps of another simulator) and section 10
(checklist). Where no other file had a test, it is at the end of this one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from eth_utils.address import is_checksum_address

from genlayer_localnet.address import Address, keccak256
from genlayer_localnet.testing.server import RpcConnection

from .wire import HEADER, TILL, V5, V6, ZERO, Client, add_transaction, call_object, leader, tx_data

TESTS = Path(__file__).parents[1]
POINTS: dict[str, dict[str, tuple[str, ...]]] = {
    "8.1 value is moved and seen, and refused by what is not payable": {
        "rpc/test_money.py": ("test_call__with_value__is_debited_and_credited",),
        "localnet/test_dispatch.py": ("test_write__value_to_method_that_is_not_payable__is_vm_error",),
    },
    "8.2 a failed write is rolled back": {
        "rpc/test_checklist.py": ("test_write__refused__is_rolled_back_and_accepted_as_an_error",),
        "localnet/test_rollback.py": ("test_write__fails__leaves_storage_as_it_was",),
    },
    "8.3 the error's own text, traceback and output": {
        "rpc/test_genlayer_py.py": ("test_write__refused__shows_the_text", "test_write__crash__shows_the_error"),
        "rpc/test_gen.py": ("test_transaction__prints__has_stdout_and_stderr",),
    },
    "8.4 every message runs, and those of messages": {
        "rpc/test_checklist.py": ("test_messages__several_of_one_call__all_run",),
        "localnet/test_messages.py": ("test_message__chain_of_them__runs_to_its_end",),
    },
    "8.5 messages of a reverted call are dropped for good": {
        "rpc/test_money.py": ("test_message__of_a_refused_call__is_dropped",),
        "rpc/test_checklist.py": ("test_message__of_a_refused_call__is_not_sent_by_the_next",),
    },
    "8.6 reads and simulations change nothing": {
        "rpc/test_gen.py": (
            "test_read__of_a_write_method__changes_nothing",
            "test_simulated_write__value__is_seen_and_nothing_stays",
        ),
    },
    "8.7 private and special methods as the standard library has them": {
        "localnet/test_dispatch.py": (
            "test_write__private_method__is_vm_error",
            "test_write__no_method_name__reaches_receive",
            "test_write__unknown_method__reaches_handler_of_undefined_methods",
            "test_write__special_error_method__reaches_handler_of_errored_messages",
        ),
    },
    "8.8 events, payouts, EVM calls, templates, sandboxes": {
        "localnet/test_events_and_output.py": ("test_event__of_a_class__has_name_fields_topics_and_blob",),
        "localnet/test_money.py": ("test_payout__to_account__leaves_at_once_and_arrives_when_final",),
        "localnet/test_host_requests.py": ("test_gl_call__evm_view__says_that_there_is_no_evm",),
        "localnet/test_prompts.py": ("test_comparative_principle__validators_ask_for_a_verdict",),
        "localnet/test_consensus.py": ("test_sandbox__fails__is_data_and_keeps_what_it_wrote",),
    },
    "8.9 messages are transactions, at their phase": {
        "rpc/test_money.py": (
            "test_message__on_acceptance__is_a_transaction_of_its_own",
            "test_message__on_finality__waits_for_it",
        ),
    },
    "8.10 a view keeps the sender and cannot write": {
        "localnet/test_views.py": (
            "test_view__of_other_contract__keeps_sender_and_has_no_value",
            "test_view__callee_writes__is_forbidden",
        ),
    },
    "8.11 the clock goes, and one transaction's time does not leak": {
        "rpc/test_sim.py": ("test_time__set__goes_on_from_there",),
        "rpc/test_sim_config.py": ("test_datetime__of_a_transaction__does_not_leak",),
    },
    "8.12 results have Studio's form": {
        "rpc/test_sim.py": ("test_fund__result__is_the_hash_of_a_transaction", "test_ping__any__is_ok"),
        "rpc/test_gen.py": ("test_status__of_a_transaction__has_name_and_code",),
        "rpc/test_eth.py": ("test_block__latest__has_the_last_transaction",),
    },
    "8.13 ids, nonces, addresses and types": {
        "rpc/test_checklist.py": (
            "test_id__of_every_kind__is_the_hash_of_the_raw_transaction",
            "test_transaction__deploy_and_call__have_their_types_and_checksummed_addresses",
        ),
        "rpc/test_eth.py": ("test_send__transaction__raises_the_count_at_once",),
    },
    "8.14 transactions of type 2, transfers, appeals": {
        "rpc/test_eth.py": (
            "test_transfer__of_type_two__moves_money",
            "test_transfer__plain__moves_money_and_is_final",
        ),
        "rpc/test_appeals.py": ("test_appeal__deterministic__is_accepted_again",),
    },
    "8.15 methods of Studio are there": {"rpc/test_methods.py": ("test_table__of_methods__is_the_servers_list",)},
    "8.16 a snapshot restores storage": {"rpc/test_sim.py": ("test_snapshot__restored__brings_everything_back",)},
    "8.17 schemas of deployed contracts": {
        "rpc/test_gen.py": ("test_schema__of_a_contract__has_types_and_marks",),
    },
    "8.18 the same source can be deployed twice": {
        "rpc/test_gen.py": ("test_transaction__deploy_of_the_same_source_twice__gives_two_contracts",),
    },
    "8.19 nothing stays in a module": {
        "localnet/test_module_state.py": ("test_module_state__changed_by_a_call__is_fresh_for_the_next",),
    },
    "8.20 nondeterministic blocks: errors and validators": {
        "localnet/test_consensus.py": (
            "test_block__leaders_user_error__is_agreed_on_and_can_be_caught",
            "test_block__leader_crashes__ends_the_call",
            "test_block__every_node__runs_its_own_function",
        ),
    },
    "10.1 paths, null results, batches, CORS, unknown methods": {
        "rpc/test_protocol.py": (
            "test_post__known_path__answers",
            "test_result__null__is_there",
            "test_batch__several__answers_in_order",
            "test_method__unknown__is_named",
        ),
        "rpc/test_web_guard.py": ("test_origin__of_this_machine_allowed_or_the_servers_own__is_echoed",),
    },
    "10.2 raw transactions": {
        "rpc/test_checklist.py": (
            "test_call__in_both_forms_and_for_both_chains__runs",
            "test_id__of_every_kind__is_the_hash_of_the_raw_transaction",
        ),
        "rpc/test_envelopes.py": (
            "test_decode__every_type__recovers_the_signer",
            "test_decode__nonce_as_a_zero_byte__recovers_the_signer",
        ),
    },
    "10.3 a receipt at once": {
        "rpc/test_eth.py": (
            "test_receipt__call__has_the_consensus_log_first_and_events_after_it",
            "test_receipt__contract_failed__has_status_one_and_no_events",
        ),
    },
    "10.4 the transaction object": {
        "rpc/test_gen.py": (
            "test_transaction__call__has_the_fields_of_studio",
            "test_transaction__result__is_code_byte_and_payload",
            "test_transaction__deploy__has_address_and_code",
        ),
    },
    "10.5 reads and their errors": {
        "rpc/test_gen.py": (
            "test_read__value__is_bare_hexadecimal",
            "test_read__contract_refuses__has_the_text_and_the_receipt",
        ),
    },
    "10.6 value": {
        "rpc/test_money.py": (
            "test_call__with_value__is_debited_and_credited",
            "test_call__fails_with_value__the_value_stays",
            "test_message__of_a_refused_call__is_dropped",
            "test_message__on_acceptance__is_a_transaction_of_its_own",
        ),
    },
    "10.7 isolation, rollback, dispatch": {
        "rpc/test_checklist.py": ("test_write__refused__is_rolled_back_and_accepted_as_an_error",),
        "localnet/test_views.py": ("test_view__of_itself__does_not_see_what_the_call_wrote",),
    },
    "10.8 faucet, consensus contract, snapshots, ping": {
        "rpc/test_sim.py": (
            "test_consensus_contract__main__has_address_and_abi",
            "test_snapshot__ids__are_counted_and_stay_usable",
            "test_snapshot__unknown__is_false",
        ),
    },
    "10.9 every decided transaction becomes final": {
        "rpc/test_checklist.py": ("test_decided__in_every_way__becomes_final",),
        "rpc/test_appeals.py": ("test_write__never_ended__becomes_final",),
    },
}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("point", POINTS)
def test_point__of_the_checklist__has_tests(point: str) -> None:
    wanted = {(file, name) for file, names in POINTS[point].items() for name in names}
    assert wanted
    assert {(file, name) for file, name in wanted if name not in names_in(file)} == set()


def test_points__of_both_lists__are_all_there() -> None:
    numbers = [point.split()[0] for point in POINTS]
    assert numbers == [f"8.{number}" for number in range(1, 21)] + [f"10.{number}" for number in range(1, 10)]


# --- what no other file has ---

MESSENGER = HEADER + (
    "class Messenger(gl.Contract):\n"
    "    def __init__(self): ...\n"
    "    @gl.public.write\n"
    "    def tell(self, to: Address, numbers: list, refuse: bool):\n"
    "        for number in numbers:\n"
    "            gl.get_contract_at(to).emit(on='accepted').put(number)\n"
    "        if refuse:\n"
    "            raise gl.vm.UserError('no')\n"
)


def address_of(text: str) -> Address:
    return Address(bytes.fromhex(text[2:]))


def test_write__refused__is_rolled_back_and_accepted_as_an_error(client: Client, till: str) -> None:
    sent = client.write(till, "refuse", "no")
    assert client.read(till, "get") == 0
    assert (sent["status"], leader(sent)["execution_result"]) == ("ACCEPTED", "ERROR")


def test_messages__several_of_one_call__all_run(client: Client, till: str) -> None:
    messenger = client.deploy(MESSENGER)
    sent = client.write(messenger, "tell", address_of(till), [3, 4, 5], False)
    children = [client.transaction(child) for child in sent["triggered_transactions"]]
    assert [leader(child)["execution_result"] for child in children] == ["SUCCESS"] * 3
    assert client.read(till, "get") == 5


def test_message__of_a_refused_call__is_not_sent_by_the_next(client: Client, till: str) -> None:
    messenger = client.deploy(MESSENGER)
    assert client.write(messenger, "tell", address_of(till), [3], True)["triggered_transactions"] == []
    assert client.write(messenger, "tell", address_of(till), [], False)["triggered_transactions"] == []
    assert client.read(till, "get") == 0


def test_id__of_every_kind__is_the_hash_of_the_raw_transaction(client: Client, till: str) -> None:
    call = tx_data(call_object("put", 1), b"")
    for fields in (
        {"data": add_transaction(client.address, ZERO, tx_data(TILL.encode(), call_object(None), b""))},
        {"data": add_transaction(client.address, till, call, V6)},
        {"data": "0x", "to": "0x" + "12" * 20, "value": 1},
    ):
        data = client.raw(**fields)
        expected = "0x" + keccak256(bytes.fromhex(data[2:])).hex()
        assert client.rpc.call("eth_sendRawTransaction", data) == expected
        assert client.transaction(expected)["hash"] == expected


def test_transaction__deploy_and_call__have_their_types_and_checksummed_addresses(client: Client) -> None:
    sent = client.transaction(client.send(ZERO, tx_data(TILL.encode(), call_object(None), b"")))
    address = sent["data"]["contract_address"]
    assert (sent["type"], client.write(address, "put", 1)["type"]) == (1, 2)
    assert is_checksum_address(address)


@pytest.mark.parametrize("chain_id", [61127, 61999])
@pytest.mark.parametrize("selector", [V5, V6])
def test_call__in_both_forms_and_for_both_chains__runs(client: Client, till: str, selector: str, chain_id: int) -> None:
    data = add_transaction(client.address, till, tx_data(call_object("put", 6), b"\x00"), selector)
    sent = client.rpc.call("eth_sendRawTransaction", client.raw(data, chainId=chain_id))
    assert leader(client.transaction(sent))["execution_result"] == "SUCCESS"
    assert client.read(till, "get") == 6


def test_decided__in_every_way__becomes_final(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(contract_timeout_seconds=0.5))
    loop = client.deploy(TILL.replace("raise KeyError", "while True: pass\n        raise KeyError"))
    validator = {"provider": "p", "model": "m", "config": {}, "plugin": "q", "stake": 1}
    answers = [{**validator, "plugin_config": {"mock_response": {"response": {"": text}}}} for text in "abcde"]
    sent = [
        client.write(loop, "put", 1),
        client.write(loop, "refuse", "no"),
        client.write(loop, "crash"),
        client.write(loop, "ask", "a question", sim_config={"validators": answers}),
    ]
    assert [one["status"] for one in sent] == ["ACCEPTED", "ACCEPTED", "LEADER_TIMEOUT", "UNDETERMINED"]
    client.rpc.call("sim_increaseTime", 61)
    assert {client.transaction(one["hash"])["status"] for one in sent} == {"FINALIZED"}
