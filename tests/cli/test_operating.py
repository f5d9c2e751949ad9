"""Refunds, payouts, and what operators look up, from the command line."""

import json
from pathlib import Path

import pytest

from api_billing.errors import RpcFailed
from api_billing.transport import RpcProvider

from .conftest import ONE_GEN, Run

SECOND = "localnet:1"


@pytest.fixture
def earned(market: Run) -> Run:
    """The market, where localnet:1 was billed for 3 calls of 0.01 GEN."""
    assert market("consume", "weather", "--account", SECOND, "--calls", "3").code == 0
    return market


def test_withdraw__to_another__names_who_is_paid(market: Run) -> None:
    payee = market("localnet", "accounts", "--json").json[5]["address"]
    ran = market("withdraw", "1gen", "--to", "localnet:5", "--account", SECOND)
    assert ran.out.replace("\n", " ").startswith(
        f"1 GEN withdrawn to {payee}; it arrives when the transaction is final"
    )


def test_earnings__withdrawn_to_another__names_who_is_paid(earned: Run) -> None:
    payee = "0x" + 40 * "5"
    ran = earned("earnings", "--withdraw", "all", "--to", payee)
    assert ran.out.startswith(f"0.03 GEN of earnings withdrawn to {payee}; it")


@pytest.mark.parametrize("whose", [("0x" + 40 * "5",), ("--operator", "localnet:2")])
def test_earnings__withdrawn_of_somebody_named__are_not(earned: Run, whose: tuple[str, ...]) -> None:
    ran = earned("earnings", *whose, "--withdraw", "all")
    assert (ran.code, "--to" in ran.err) == (2, True)
    assert earned("earnings", "--json").json["earnings_wei"] > 0


@pytest.mark.parametrize("words", [("withdraw", "1gwei", "--account", SECOND), ("earnings", "--withdraw", "all")])
def test_payout__to_a_contract__is_refused_before_it_is_lost(earned: Run, words: tuple[str, ...]) -> None:
    before = earned("solvency", "--json").json
    contract = json.loads(Path("deployments/localnet.json").read_text(encoding="utf-8"))["address"]
    ran = earned(*words, "--to", contract)
    assert (ran.code, "would be lost" in ran.err, f"--for {contract}" in ran.err) == (2, True, True)
    assert earned("solvency", "--json").json == before


def test_payout__to_a_contract_at_a_node_that_does_not_tell__is_left_to_the_contract(
    earned: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = RpcProvider.result

    def result(self: RpcProvider, method: str, *params: object) -> object:
        if method == "gen_getContractCode":
            raise RpcFailed(method, -32601, "Method not found")
        return answer(self, method, *params)

    monkeypatch.setattr(RpcProvider, "result", result)
    contract = json.loads(Path("deployments/localnet.json").read_text(encoding="utf-8"))["address"]
    ran = earned("withdraw", "1gwei", "--account", SECOND, "--to", contract)
    assert (ran.code, "bad_address" in ran.err) == (1, True)  # the contract knows itself


def test_earnings__payee_without_an_amount__is_a_wrong_command(earned: Run) -> None:
    assert earned("earnings", "--to", SECOND).code == 2


def test_refund__earned__is_told_to_the_consumer(earned: Run, consumer: str) -> None:
    ran = earned("refund", "weather", SECOND, "0.02gen", "--reason", "sorry")
    assert ran.out.startswith(f"0.02 GEN refunded to {consumer}\n")
    assert "0.02 GEN refunded" in earned("notices", "--consumer", SECOND).out
    assert earned("earnings", "--json").json["refunded_wei"] == 2 * ONE_GEN // 100
    assert "0.02 GEN" in earned("solvency").out


def test_refund__more_than_was_earned__is_refused(earned: Run) -> None:
    ran = earned("refund", "weather", SECOND, "1gen")
    assert (ran.code, "insufficient_earnings" in ran.err) == (1, True)


def test_refund__of_a_day_that_does_not_wait__is_refused(earned: Run) -> None:
    ran = earned("refund", "weather", SECOND, "1gwei", "--day", "2026-01-15")
    assert (ran.code, "an operator can refund without naming a day" in ran.err) == (1, True)


def test_api_days__with_calls__are_a_table(earned: Run) -> None:
    assert "waits until" in earned("api", "days", "weather").out
    (day,) = earned("api", "days", "weather", "--json").json
    assert (day["calls"], day["earned_wei"], day["payout_days"]) == (3, 3 * ONE_GEN // 100, 0)


def test_api_days__none__says_so(market: Run) -> None:
    assert market("api", "days", "weather").out == "no calls on the last 64 days\n"


def test_subscribers__with_usage_and_hold__are_a_table_within_80_columns(earned: Run, consumer: str) -> None:
    earned("hold", "place", "weather", "0.5gen", "--for", "7d", "--account", SECOND)
    out = earned("subscribers", "weather").out
    assert f"{consumer.lower()[:8]}.." in out
    assert "0.5 GEN" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert earned("subscribers", "weather", "--json").json["subscribers"][0]["calls_today"] == 3


def test_subscribers__beyond_the_last__says_how_many_there_are(market: Run) -> None:
    assert market("subscribers", "weather", "--offset", "5").out == "1 subscriber in all\n"


def test_settlements__with_a_refused_entry__count_it(market: Run, consumer: str, tmp_path: Path) -> None:
    assert market("settlements", "weather").out == "no settlements\n"
    file = tmp_path / "usage.json"
    file.write_text(json.dumps([{"consumer": consumer, "day_id": 1, "calls": 2, "spend_wei": 10}]), encoding="utf-8")
    assert market("settle", "file", "weather", file).code == 0
    (head,) = market("settlements", "weather", "--json").json
    assert (head["sequence"], head["billed_wei"], head["refused_entries"]) == (1, 0, 1)
    assert "refused entries" in market("settlements", "weather").out
    assert market("settlements", "weather", "--after", "1", "--json").json == []


def test_consume__same_request_again__claims_no_second_billing(market: Run) -> None:
    bill = ("consume", "weather", "--account", SECOND, "--calls", "3", "--request-id", "r-1")
    first, again = (market(*bill).out.splitlines()[0] for _ in range(2))
    assert first == again == "billed once, as request r-1, 3 calls to weather for 0.03 GEN; credit after that"
    assert market("report", SECOND, "--json").json["credit_balance_wei"] == 5 * ONE_GEN - 3 * ONE_GEN // 100


def test_receipt__of_a_request__is_remembered(market: Run) -> None:
    bill = ("consume", "weather", "--account", SECOND, "--request-id", "r-1", "--json")
    receipt = market(*bill).json["result"]["receipt_id"]
    assert market("receipt", receipt, "--json").json["remembered"] is True
    assert market("receipt", receipt[:-1] + ("0" if receipt[-1] != "0" else "1")).out.startswith("not genuine")
