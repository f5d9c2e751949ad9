"""`api-billing pay` at a real door on a localnet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from tests.metering.settlement.places import PRICE

from .served import PayersPlace

Pay = Callable[..., Any]
OPEN = ("--open", "50000wei", "--max", "1000wei")


@pytest.fixture
def pay(place: PayersPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pay:
    """Runs the command as the consumer, whose key is in the environment."""
    monkeypatch.chdir(tmp_path)
    given = {
        "API_BILLING_URL": str(place.network.url), "API_BILLING_CONTRACT": place.contract, "COLUMNS": "120",
        "API_BILLING_ACCOUNT": "env:PAYER_KEY", "PAYER_KEY": "0x" + place.key("consumer").hex(),
        "API_BILLING_PAYER_FILE": str(tmp_path / "payer.db"),
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: str = "") -> Any:
        return CliRunner().invoke(make_app(), ["pay", *arguments], input=stdin)

    return run


def test_pay__with_open_and_max__prints_the_answer_and_tells_the_receipt(pay: Pay, url: str) -> None:
    done = pay(url, *OPEN)
    assert (done.exit_code, done.stdout) == (0, '"sunny"'), done.stderr
    price, receipt = done.stderr.splitlines()
    assert "asks for 0.000001 Gwei; a session of" in price
    assert receipt.endswith("over mpp; 0.000001 Gwei signed for today")
    again = pay(url, "--max", "1000wei")
    assert (again.exit_code, again.stdout, "a session" in again.stderr) == (0, '"sunny"', False)


def test_pay__with_json__prints_one_document(pay: Pay, url: str, place: PayersPlace) -> None:
    told = json.loads(pay(url, *OPEN, "--json", "--protocol", "x402").stdout)
    assert (told["status"], told["body"], told["payment"]["protocol"]) == (200, '"sunny"', "x402")
    assert (told["payment"]["api"], told["payment"]["cost_wei"]) == (place.api, PRICE // 2)


def test_pay__above_max__pays_and_opens_nothing(pay: Pay, url: str, place: PayersPlace) -> None:
    done = pay(url, "--open", "50000wei", "--max", "999wei")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the bound of a call" in done.stderr
    assert place.consumer.get_usage_report(place.who).held_wei == 0


def test_pay__above_the_bound_of_a_day__is_refused(pay: Pay, url: str) -> None:
    assert pay(url, *OPEN, "--max-a-day", "1200wei").exit_code == 0
    done = pay(url, "--max", "1000wei", "--max-a-day", "1200wei")
    assert (done.exit_code, "the bound of a day" in done.stderr) == (2, True)


def test_pay__without_a_session__says_how_to_open_one(pay: Pay, url: str) -> None:
    done = pay(url, "--max", "1000wei")
    assert (done.exit_code, "api-billing pay --open" in done.stderr) == (2, True)


def test_pay__that_nobody_can_agree_to__is_refused(pay: Pay, url: str) -> None:
    done = pay(url, "--open", "50000wei")
    assert (done.exit_code, "--max AMOUNT, or --yes" in done.stderr) == (2, True)


@pytest.mark.parametrize(("answer", "code", "body"), [("y\n", 0, '"sunny"'), ("n\n", 5, ""), ("\n", 5, "")])
def test_pay__on_a_terminal__asks(
    pay: Pay, url: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, body: str
) -> None:  # fmt: skip
    monkeypatch.setattr("api_billing.cli.pay.is_terminal", lambda: True)
    done = pay(url, "--open", "50000wei", stdin=answer)
    assert (done.exit_code, done.stdout, "pay? [y/N]" in done.stderr) == (code, body, True)


def test_pay__with_yes__pays_what_is_shown(pay: Pay, url: str) -> None:
    assert pay(url, "--open", "50000wei", "--yes").stdout == '"sunny"'


def test_pay__into_a_file__writes_the_answer_there(pay: Pay, url: str, tmp_path: Path) -> None:
    done = pay(url, *OPEN, "-o", "answer.json")
    assert (done.exit_code, done.stdout, (tmp_path / "answer.json").read_text()) == (0, "", '"sunny"')


def test_pay__what_is_an_error__has_exit_code_1_and_costs_nothing(pay: Pay, url: str) -> None:
    done = pay(url.replace("forecast", "nowhere"), *OPEN)
    assert (done.exit_code, "the answer is 404" in done.stderr) == (1, True)


def test_pay__data__is_posted(pay: Pay, url: str, tmp_path: Path) -> None:
    (tmp_path / "question").write_text("where=paris")
    echo = url.replace("forecast", "echo")
    for data in ("where=paris", "@question"):
        told = json.loads(pay(echo, "-d", data, "-H", "X-Mark: 7").stdout)
        assert told == ["POST", "where=paris", "application/x-www-form-urlencoded", "7"]
    told = json.loads(pay(echo, "-X", "PUT", "-d", "{}", "-H", "Content-Type: application/json").stdout)
    assert told == ["PUT", "{}", "application/json", None]


def test_pay__nobody_there__is_the_networks_fault(pay: Pay) -> None:
    done = pay("http://127.0.0.1:9/nothing")
    assert (done.exit_code, "no answer from http://127.0.0.1" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    "wrong",
    [(), ("ftp://x/y",), ("nothing",), ("http://127.0.0.1:9/", "-H", "no colon"), ("http://127.0.0.1:9/", "-d", "@no"),
     ("http://127.0.0.1:9/", "--protocol", "tempo")],
    ids=str,
)  # fmt: skip
def test_pay__that_is_itself_wrong__is_exit_code_2(pay: Pay, wrong: tuple[str, ...]) -> None:
    assert pay(*wrong).exit_code == 2


def test_sessions__in_the_book__are_listed_and_closed(pay: Pay, url: str, place: PayersPlace) -> None:
    assert "no sessions" in pay("--sessions").stdout
    pay(url, *OPEN)
    [listed] = json.loads(pay("--sessions", "--json").stdout)
    assert (listed["api"], listed["state"], listed["charged_wei"]) == (place.api, "open", PRICE // 2)
    assert "key" not in listed
    assert place.api in pay("--sessions").stdout
    done = pay("--close", url)
    assert (done.exit_code, "is being closed" in done.stdout) == (0, True)
    assert json.loads(pay("--sessions", "--json").stdout)[0]["state"] == "closing"
    assert pay("--close", url).exit_code == 0
