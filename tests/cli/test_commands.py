"""What the commands do on a network, what they print, and with which exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genlayer_localnet.rpc.server import RpcServer

from .conftest import Run

ONE_GEN = 10**18
SECOND = "localnet:1"


def test_api_list__registered__is_a_table(market: Run) -> None:
    ran = market("api", "list")
    assert ran.code == 0
    assert "weather" in ran.out
    assert "0.01 GEN" in ran.out


def test_api_show__registered__has_plans_and_operator(market: Run) -> None:
    shown = market("api", "show", "weather", "--json").json
    assert shown["plans"][0]["cost_per_call_wei"] == ONE_GEN // 100
    assert "no limit" in market("api", "show", "weather").out


def test_api_list__nothing_registered__says_so(run: Run) -> None:
    assert run("deploy").code == 0
    assert run("api", "list").out == "no API is registered\n"


def test_api_plan__added__is_shown(market: Run) -> None:
    assert market("api", "plan", "weather", "free", "--price", "0", "--daily", "3").code == 0
    assert market("api", "show", "weather", "--json").json["plans"][1]["plan_name"] == "free"


def test_api_pause__then_resume__stops_billing_between(market: Run) -> None:
    market("api", "pause", "weather")
    assert "refused: the operator has paused the API" in market("quote", "weather", "--consumer", SECOND).out
    market("api", "resume", "weather")
    assert "allowed: 1 call for 0.01 GEN" in market("quote", "weather", "--consumer", SECOND).out


def test_api_meter__allowed_then_forbidden__is_told_by_its_account_name(market: Run) -> None:
    market("api", "meter", "weather", "localnet:2")
    assert len(market("api", "show", "weather", "--json").json["meters"]) == 1
    market("api", "meter", "weather", "localnet:2", "--forbid")
    assert market("api", "show", "weather", "--json").json["meters"] == []


def test_api_accept__proposed__takes_over(market: Run, consumer: str) -> None:
    market("api", "propose", "weather", consumer)
    assert market("api", "accept", "weather", "--account", SECOND).code == 0
    assert market("api", "show", "weather", "--json").json["operator"] == consumer.lower()


def test_consume__subscribed__prints_receipt_and_transaction(market: Run) -> None:
    ran = market("consume", "weather", "--account", SECOND, "--calls", "3")
    assert ran.out.startswith("billed 3 calls to weather for 0.03 GEN; credit 4.97 GEN\nreceipt weather:0x")
    assert "accepted: 0x" in ran.out


def test_consume__as_json__has_the_shape_of_every_write(market: Run) -> None:
    data = market("consume", "weather", "--account", SECOND, "--json").json
    assert set(data) == {"tx", "status", "triggered", "result", "fee"}
    assert data["result"]["cost_wei"] == ONE_GEN // 100


def test_consume__beyond_the_limit__is_refused_with_code_1_and_what_to_do(market: Run) -> None:
    ran = market("consume", "weather", "--account", SECOND, "--calls", "101")
    assert (ran.code, ran.out) == (1, "")
    assert "refused: all calls of the day were used up (daily_limit_exceeded)" in ran.err
    assert "next: wait until midnight UTC" in ran.err


def test_consume__refused_as_json__has_the_code_on_standard_output(market: Run) -> None:
    ran = market("--json", "consume", "weather", "--account", SECOND, "--calls", "101")
    error = ran.json["error"]
    assert (ran.code, error["kind"], error["code"]) == (1, "ContractRejected", "daily_limit_exceeded")
    assert error["tx"].startswith("0x")


def test_subscribe__refused_deposit__says_that_it_is_credit(market: Run) -> None:
    ran = market("subscribe", "weather", "--max-daily-spend", "0", "--deposit", "2gen", "--account", "localnet:4")
    assert ran.code == 1
    assert "the 2 GEN sent kept as credit" in ran.err


def test_unsubscribe__subscribed__ends_it(market: Run) -> None:
    assert market("unsubscribe", "weather", "--account", SECOND).out.startswith("no longer subscribed to weather\n")


def test_top_up__for_somebody_else__is_that_ones_credit(market: Run) -> None:
    assert market("top-up", "3gwei", "--for", "localnet:5").code == 0
    assert market("report", "localnet:5", "--json").json["credit_balance_wei"] >= 3 * 10**9


def test_withdraw__free_credit__says_when_it_arrives(market: Run) -> None:
    out = market("withdraw", "1gen", "--account", SECOND).out
    assert out.startswith("1 GEN withdrawn; it arrives when the transaction is final\n")


def test_api_register__without_a_daily_limit__is_a_wrong_command(market: Run) -> None:
    assert market("api", "register", "forecast", "--price", "1gwei", "--daily", "0").code == 2


def test_alert__off__says_so(market: Run) -> None:
    assert market("alert", "0", "--account", SECOND).out.startswith("low-credit alert is off\n")


def test_hold__placed_for_a_week__is_in_the_report(market: Run) -> None:
    assert market("hold", "place", "weather", "0.5gen", "--for", "7d", "--account", SECOND).code == 0
    assert "0.5 GEN until 20" in market("report", SECOND).out


def test_hold__released_by_the_operator__is_free_again(market: Run) -> None:
    market("hold", "place", "weather", "0.5gen", "--for", "7d", "--account", SECOND)
    assert market("hold", "release", "weather", "--consumer", SECOND).code == 0
    assert market("report", SECOND, "--json").json["held_wei"] == 0


@pytest.mark.parametrize("end", [(), ("--for", "7d", "--until", "2099-01-01")])
def test_hold__without_exactly_one_end__is_a_wrong_command(market: Run, end: tuple[str, ...]) -> None:
    assert market("hold", "place", "weather", "1gen", *end).code == 2


def test_settle__csv__bills_and_tells_what_was_refused(market: Run, consumer: str, tmp_path: Path) -> None:
    day = market("report", SECOND, "--json").json["day_id"]
    file = tmp_path / "usage.csv"
    file.write_text(f"consumer,day_id,calls,spend_wei\n{consumer},{day},20,0.1gen\n{consumer},2020-01-01,5,0\n")
    ran = market("settle", "file", "weather", file)
    assert ran.code == 0
    assert ran.out.startswith("settlement 1 of weather: billed 20 calls for 0.1 GEN\n")
    assert "refused 5 calls" in ran.out


def test_settle__same_sequence_again__bills_nothing_more(market: Run, consumer: str, tmp_path: Path) -> None:
    day = market("report", SECOND, "--json").json["day_id"]
    file = tmp_path / "usage.json"
    file.write_text(f'[{{"consumer": "{consumer}", "day_id": {day}, "calls": 2, "spend_wei": 10}}]')
    for _ in range(2):
        assert market("settle", "file", "weather", file, "--sequence", "1").code == 0
    assert market("earnings", "--json").json["earnings_wei"] == 10


def test_earnings__withdrawn__are_none_left(market: Run) -> None:
    market("consume", "weather", "--account", SECOND)
    assert "0.01 GEN" in market("earnings").out
    assert market("earnings", "--withdraw", "all").out.startswith("0.01 GEN of earnings withdrawn; it arrives")
    assert market("earnings", "--json").json["earnings_wei"] == 0


@pytest.mark.parametrize(("command", "option"), [("earnings", "--operator"), ("notices", "--consumer")])
def test_whose__named_alone_or_by_the_option__is_the_same(market: Run, command: str, option: str) -> None:
    named = market(command, SECOND, "--json")
    assert (named.code, named.json) == (0, market(command, option, SECOND, "--json").json)
    ran = market(command, SECOND, option, SECOND)
    assert (ran.code, "name one" in ran.err) == (2, True)


def test_earnings__more_than_there_are__are_refused(market: Run) -> None:
    assert market("earnings", "--withdraw", "1gen").code == 1


def test_receipt__of_a_billed_call__is_genuine(market: Run) -> None:
    receipt = market("consume", "weather", "--account", SECOND, "--json").json["result"]["receipt_id"]
    assert market("receipt", receipt).out.startswith("genuine: call 1 of 0x")
    assert market("receipt", receipt.removesuffix("1") + "2").out.startswith("not genuine")


def test_report__after_calls__draws_bars_and_a_sparkline_within_80_columns(market: Run) -> None:
    market("consume", "weather", "--account", SECOND, "--calls", "30")
    out = market("report", SECOND).out
    assert "██████░░░░░░░░░░░░░░  30 of 100" in out
    assert "last 30 days" in out
    assert "█▏  30 calls, 0.3 GEN" in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_report__as_json__has_the_history_too(market: Run) -> None:
    market("consume", "weather", "--account", SECOND, "--calls", "2")
    data = market("report", "--account", SECOND, "--json").json
    assert data["history"]["weather"][0]["calls"] == data["apis"][0]["calls_today"] == 2


def test_report__price_rose__says_what_to_do(market: Run) -> None:
    market("api", "register", "weather", "--price", "0.02gen", "--daily", "100")
    assert "PRICE ROSE to 0.02 GEN: subscribe again" in market("report", SECOND).out.replace("\n", " ")


def test_report__nobody_known__has_no_subscriptions(market: Run) -> None:
    assert "no subscriptions yet" in market("report", "0x" + "77" * 20).out


def test_history__after_calls__has_the_day(market: Run) -> None:
    market("consume", "weather", "--account", SECOND, "--calls", "2")
    assert "2 calls, 0.02 GEN on 1 day" in market("history", "weather", "--consumer", SECOND).out


def test_notices__none__says_so(market: Run) -> None:
    assert market("notices", "--account", "localnet:6").out == "no notices\n"


def test_solvency__after_a_deposit__adds_up(market: Run) -> None:
    data = market("solvency", "--json").json
    assert data["balance_wei"] == data["credit_wei"] + data["held_wei"] + data["earnings_wei"] + data["surplus_wei"]
    assert market("solvency").out.startswith("solvent\n")


def test_watch__as_json__prints_a_line_for_every_look(market: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    lines = market("watch", SECOND, "--count", "3", "--json").out.splitlines()
    assert len(lines) == 3


def test_watch__nothing_changes__prints_the_report_once(market: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert market("watch", SECOND, "--count", "3").out.count("Usage report") == 1


def test_watch__faster_than_hosted_nodes_allow__is_a_wrong_command(market: Run) -> None:
    assert market("watch", SECOND, "--interval", "0.5").code == 2


def test_tx__of_a_refused_call__tells_the_code(market: Run) -> None:
    tx = market("consume", "weather", "--account", SECOND, "--calls", "101", "--json").json["error"]["tx"]
    found = market("tx", tx, "--json").json
    assert (found["status"], found["execution"]) == ("ACCEPTED", "user_error")
    assert "daily_limit_exceeded" in found["message"]


@pytest.mark.parametrize("tx", ["0x12", "nothing", "0x" + "77" * 32])
def test_tx__unknown__is_a_wrong_command(market: Run, tx: str) -> None:
    assert market("tx", tx).code == 2


def test_localnet_fund__account__has_more(run: Run) -> None:
    before = run("localnet", "accounts", "--json").json[7]["balance_wei"]
    assert run("localnet", "fund", "2gen", "localnet:7").code == 0
    assert run("localnet", "accounts", "--json").json[7]["balance_wei"] == before + 2 * ONE_GEN


def test_deploy__again__changes_nothing(run: Run) -> None:
    first = run("deploy", "--json").json
    again = run("deploy", "--json").json
    assert (first["action"], again["action"]) == ("deploy", "keep")
    assert first["deployment"] == again["deployment"]


@pytest.mark.parametrize("other", [("--no-minify",), ("--pin", "py-genlayer:" + 52 * "z")])
def test_deploy__again_in_another_form__shows_the_one_that_is_there(run: Run, other: tuple[str, ...]) -> None:
    shown = ("code_bytes", "minified", "line", "pin", "code_sha256")
    first = run("deploy", "--json").json
    again = run("deploy", *other, "--json").json
    assert {name: again[name] for name in shown} == {name: first[name] for name in shown}
    assert again["reason"].endswith(" already, in another form; --force deploys the one asked for")


def test_write__open_account_that_is_not_there__is_a_wrong_command(market: Run) -> None:
    ran = market("top-up", "1gen", "--account", "localnet:99")
    assert ran.code == 2
    assert "has 10 open accounts" in ran.err


def test_write__encrypted_key__signs_with_the_password_of_the_environment(
    market: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BILLING_PASSWORD", "correct horse")
    address = market("keys", "create", "alice", "--json").json["address"]
    market("localnet", "fund", "3gen", address)
    assert market("top-up", "1gen", "--account", "alice").code == 0
    assert market("report", "--account", "alice", "--json").json["credit_balance_wei"] == ONE_GEN


def test_command__not_final_in_time__is_an_unknown_outcome_with_the_transaction(market: Run) -> None:
    ran = market("withdraw", "1gen", "--account", SECOND, "--on", "finalized", "--timeout", "0")
    assert ran.code == 4
    assert "is ACCEPTED after 0 s, not FINALIZED yet" in ran.err
    assert "api-billing tx 0x" in ran.err


@pytest.mark.parametrize("line", ["api list", "api show weather", "report localnet:1", "solvency", "notices"])
def test_output__where_only_ascii_can_be_shown__is_ascii(market: Run, line: str) -> None:
    ran = market(*line.split(), charset="ascii")
    assert ran.code == 0
    assert ran.out.isascii()


def test_output__of_a_process_that_can_only_show_ascii__is_ascii(market: Run, server: RpcServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api_billing.cli", "report", SECOND, "--url", server.url],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
