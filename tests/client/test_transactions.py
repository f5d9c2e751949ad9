"""What became of a transaction: Studio's form and the testnets', and waiting for it with what it triggered."""

import base64
from typing import Any

import pytest

from api_billing.errors import (
    Cancelled,
    ChildFailed,
    ContractRejected,
    OutcomeUnknown,
    TransactionFailed,
    Unreachable,
    WaitTimedOut,
)
from api_billing.genlayer_sdk import calldata
from api_billing.transactions import NO_FEE, Execution, Follower, TransactionOutcome, decode_result, outcome_of

TX, CHILD = "0x" + "01" * 32, "0x" + "02" * 32
RETURN = b"\x00" + calldata.encode({"ok": True})
REFUSAL = b"\x01[EXPECTED] api_paused: api is paused"
REFUSAL_V03 = b"\x01" + calldata.encode("[EXPECTED] api_paused: api is paused")
CRASH = b"\x02exit_code 1"


def no_trace(_: str) -> dict[str, Any]:
    raise AssertionError("no trace is needed")


def studio(status: str = "ACCEPTED", result: bytes = RETURN, children: tuple[str, ...] = (), **more: Any) -> Any:
    receipt = {
        "execution_result": "SUCCESS" if result[:1] == b"\x00" else "ERROR",
        "result": base64.b64encode(result).decode(),
        "genvm_result": {"stdout": "[CallBilled] api_name=a\n", "stderr": ""},
    }
    return {
        "status_name": status,
        "type": 2,
        "data": {"calldata": "x"},
        "consensus_data": {"leader_receipt": [receipt]},
        "triggered_transactions": list(children),
        **more,
    }


def of_testnet(result: str, status: str = "FINALIZED") -> Any:
    return {"status_name": status, "tx_execution_result_name": result, "tx_data_decoded": {"contract_address": "0xC0"}}


def read(found: Any, trace: Any = no_trace) -> TransactionOutcome:
    return outcome_of(TX, found, trace)


def test_outcome__executed__has_value_and_output() -> None:
    outcome = read(studio(children=(CHILD,)))
    assert (outcome.execution, outcome.value, outcome.children) == (Execution.RETURN, {"ok": True}, (CHILD,))
    assert outcome.stdout.startswith("[CallBilled]")
    outcome.require_return()


@pytest.mark.parametrize("result", [REFUSAL, REFUSAL_V03])
def test_outcome__accepted_but_refused__is_rejected_with_code_and_transaction(result: bytes) -> None:
    with pytest.raises(ContractRejected) as refused:
        read(studio(result=result)).require_return()
    assert (refused.value.code, refused.value.tx) == ("api_paused", TX)


@pytest.mark.parametrize("result", [CRASH, b"\x01boom"])
def test_outcome__accepted_but_crashed__has_failed(result: bytes) -> None:
    with pytest.raises(TransactionFailed, match=result[1:].decode()):
        read(studio(result=result)).require_return()


@pytest.mark.parametrize("status", ["UNDETERMINED", "LEADER_TIMEOUT", "VALIDATORS_TIMEOUT", "CANCELED"])
def test_outcome__decided_without_agreement__has_failed_whatever_the_leader_says(status: str) -> None:
    outcome = read(studio(status))
    assert outcome.has_reached("accepted")
    assert outcome.has_reached("finalized")
    with pytest.raises(
        TransactionFailed, match=status.lower().replace("_", " ").replace("canceled", "cancelled before it ran")
    ):
        outcome.require_return()


@pytest.mark.parametrize("status", ["PENDING", "PROPOSING", "COMMITTING", "REVEALING"])
def test_outcome__on_its_way__has_reached_nothing(status: str) -> None:
    outcome = read({"status_name": status, "consensus_data": None, "data": {"calldata": "x"}})
    assert not outcome.has_reached("accepted")


def test_outcome__accepted__is_not_final() -> None:
    assert not read(studio()).has_reached("finalized")
    assert read(studio("FINALIZED")).has_reached("finalized")


def test_outcome__plain_transfer__has_executed_without_code() -> None:
    found = {"status_name": "FINALIZED", "type": 0, "data": {}, "consensus_data": None}
    assert read(found).execution is Execution.RETURN


def test_outcome__testnet__takes_the_value_from_the_trace() -> None:
    outcome = read(of_testnet("FINISHED_WITH_RETURN"), lambda _: {"return_data": "0x" + RETURN[1:].hex()})
    assert (outcome.status, outcome.execution, outcome.value) == ("FINALIZED", Execution.RETURN, {"ok": True})
    assert outcome.contract == "0xC0"


@pytest.mark.parametrize("result", [REFUSAL, REFUSAL_V03])
def test_outcome__testnet_error__takes_the_text_from_the_trace(result: bytes) -> None:
    outcome = read(of_testnet("FINISHED_WITH_ERROR"), lambda _: {"return_data": result[1:].hex()})
    with pytest.raises(ContractRejected, match="api_paused"):
        outcome.require_return()


def test_outcome__testnet_without_trace__still_tells_success_from_failure() -> None:
    assert read(of_testnet("FINISHED_WITH_RETURN"), lambda _: {}).execution is Execution.RETURN
    with pytest.raises(TransactionFailed):
        read(of_testnet("FINISHED_WITH_ERROR"), lambda _: {}).require_return()


def test_decode_result__codes__are_told_apart() -> None:
    assert [decode_result(each)[0] for each in (RETURN, REFUSAL, CRASH)] == [
        Execution.RETURN,
        Execution.USER_ERROR,
        Execution.VM_ERROR,
    ]


# ---- fees ----


def with_fees(deposit: str, returned: str | None = None, error: str | None = None, **more: Any) -> Any:
    return studio(fee_accounting={"paid_fee_value": deposit, "refunded_fee_value": returned, "error": error}, **more)


def test_fee__network_without__is_nothing() -> None:
    assert read(studio(fee_accounting=None)).fee == read(studio()).fee == NO_FEE


def test_fee__not_final__has_a_deposit_and_is_not_known_yet() -> None:
    fee = read(with_fees("1000")).fee
    assert (fee.deposit_wei, fee.paid_wei) == (1000, None)


def test_fee__final__is_what_did_not_come_back() -> None:
    assert read(with_fees("1000", "400")).fee.paid_wei == 600


@pytest.mark.parametrize(("status", "paid"), [("FINALIZED", 600), ("ACCEPTED", None)])
def test_fee__by_the_words_of_other_nodes__is_known_when_final(status: str, paid: int | None) -> None:
    accounting = {"paid_fee_value": 1000, "total_refunded": 400}
    assert read(studio(status, fee_accounting=accounting)).fee.paid_wei == paid


@pytest.mark.parametrize("accounting", [[], "x", {"paid_fee_value": "much"}, {"paid_fee_value": -1}])
def test_fee__told_in_another_form__is_not_known(accounting: Any) -> None:
    assert read(studio(fee_accounting=accounting)).fee == NO_FEE


def test_outcome__cancelled_for_a_price__says_that_all_came_back_and_to_send_it_again() -> None:
    found = with_fees("1000", "1000", "MaxPriceExceeded", status="CANCELED")
    with pytest.raises(Cancelled, match=r"cancelled \(MaxPriceExceeded\); .* the fee came back") as failed:
        read(found).require_return()
    assert "present prices" in failed.value.hint


def test_outcome__message_without_fee__says_to_send_it_again() -> None:
    with pytest.raises(TransactionFailed, match="fee no_matching") as failed:
        read(studio(result=b"\x02fee no_matching_allocation # internal")).require_return()
    assert "estimated anew" in failed.value.hint


class FakeTransactions:
    """Gives its answers for each transaction in turn, the last one for ever; an exception is raised."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = {TX: answers["parent"], CHILD: answers.get("child", [])}

    def find(self, tx: str) -> Any:
        left = self.answers[tx]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def trace(self, _: str) -> dict[str, Any]:
        return {}


def follow(known: FakeTransactions, phase: Any = "accepted", timeout: float = 10) -> TransactionOutcome:
    """Follow the parent with a clock that only sleeping moves."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    follower = Follower(known, poll_seconds=1, sleep=sleep, clock=lambda: now[0])
    return follower.wait(TX, phase, timeout)


def test_wait__pending_first__is_waited_for() -> None:
    assert follow(FakeTransactions(parent=[{"status_name": "PENDING"}, studio()])).value == {"ok": True}


def test_wait__node_does_not_know_it_yet__is_waited_for() -> None:
    assert follow(FakeTransactions(parent=[None, studio()])).status == "ACCEPTED"


def test_wait__never_decided__times_out_with_the_transaction() -> None:
    with pytest.raises(WaitTimedOut) as late:
        follow(FakeTransactions(parent=[{"status_name": "PROPOSING"}]), timeout=7)
    assert (late.value.tx, late.value.status, late.value.waited_seconds) == (TX, "PROPOSING", 7)


def test_wait__until_final__does_not_stop_at_accepted() -> None:
    assert follow(FakeTransactions(parent=[studio(), studio("FINALIZED")]), "finalized").status == "FINALIZED"


def test_wait__child_on_its_way__is_waited_for() -> None:
    known = FakeTransactions(parent=[studio(children=(CHILD,))], child=[{"status_name": "PENDING"}, studio()])
    follow(known)
    assert known.answers[CHILD] == [studio()]


@pytest.mark.parametrize(("child_returned", "paid"), [("30", 570), ("0", 600), (None, None)])
def test_wait__with_fees__counts_what_comes_back_of_its_messages(child_returned: str | None, paid: int | None) -> None:
    child = with_fees("100", child_returned)
    known = FakeTransactions(parent=[with_fees("1000", "400", children=(CHILD,))], child=[child])
    assert follow(known).fee.paid_wei == paid


@pytest.mark.parametrize("child", [studio(result=CRASH), studio(result=REFUSAL), studio("UNDETERMINED")])
def test_wait__child_that_did_not_execute__has_failed_with_both_transactions(child: Any) -> None:
    with pytest.raises(ChildFailed) as failed:
        follow(FakeTransactions(parent=[studio(children=(CHILD,))], child=[child]))
    assert (failed.value.tx, failed.value.child_tx) == (TX, CHILD)


def test_wait__parent_refused__is_told_without_waiting_for_children() -> None:
    with pytest.raises(ContractRejected):
        follow(FakeTransactions(parent=[studio(result=REFUSAL, children=(CHILD,))]))


def test_wait__node_lost_on_the_way__leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown) as lost:
        follow(FakeTransactions(parent=[{"status_name": "PENDING"}, Unreachable("gone")]))
    assert lost.value.tx == TX
