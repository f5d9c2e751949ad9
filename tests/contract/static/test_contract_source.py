"""The contract as a text: header, events, documentation. Its deployed form: `test_deployed_form.py`."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api_billing.contract_source import contract_path
from api_billing.refusal_codes import EXPLANATIONS, Code

from ..market import RELAY
from ..source import errors, event_fields, public_methods, texts_in

ROOT = Path(__file__).resolve().parents[3]
SOURCE = contract_path().read_text(encoding="utf-8")
CONTRACT_FILES = sorted([*(ROOT / "contracts").rglob("*.py"), RELAY])
RUNNER = "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6"
EVENTS = {
    "ApiRegistered",
    "Subscribed",
    "CreditToppedUp",
    "CallBilled",
    "LimitExceeded",
    "CreditDepleted",
    "ApiPlanChanged",
    "ApiStatusChanged",
    "OperatorChanged",
    "Unsubscribed",
    "CreditWithdrawn",
    "EarningsWithdrawn",
    "HoldPlaced",
    "HoldReleased",
    "UsageSettled",
    "DepositKept",
    "PromiseSet",
    "EarningsCollected",
    "EarningsFrozen",
    "Refunded",
}
METHODS = {
    "register_api",
    "set_plan",
    "set_api_active",
    "set_meter",
    "propose_operator",
    "accept_operator",
    "subscribe",
    "unsubscribe",
    "top_up_credit",
    "top_up_for",
    "withdraw_credit",
    "set_low_credit_alert",
    "consume_credit",
    "request_call",
    "place_hold",
    "release_hold",
    "settle_usage",
    "withdraw_earnings",
    "collect_earnings",
    "set_promise",
    "refund",
    "freeze_by_court",
    "refund_by_court",
    "open_session",
    "get_promise",
    "get_session",
    "get_paid_day",
    "get_api_days",
    "list_subscribers",
    "list_settlements",
    "get_usage_report",
    "get_api",
    "list_apis",
    "get_account",
    "get_usage_history",
    "quote_call",
    "get_receipt",
    "get_earnings",
    "get_settlement",
    "list_notices",
    "get_solvency",
    "consumer_integration_example",
}
# Any argument may be refused with these; docs/contract-reference.md says so once, the docstrings do not repeat it.
OF_EVERY_METHOD = {
    "bad_type",
    "number_too_large",
    "negative_number",
    "bad_name",
    "api_name_required",
    "bad_address",
    "api_not_registered",
}
each_contract = pytest.mark.parametrize("path", CONTRACT_FILES, ids=lambda path: path.name)
each_method = pytest.mark.parametrize("method", public_methods())


def test_contracts__of_the_project__are_found() -> None:
    names = {path.name for path in CONTRACT_FILES}
    assert names >= {"api_usage_billing.py", "metered_fetch.py", "direct_consumer.py", "relay.py"}


@each_contract
def test_header__version_pinned_runner_and_a_blank_line(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines[:3] == ["# v0.2.16", f'# {{ "Depends": "{RUNNER}" }}', ""]


def test_methods__of_the_specification__are_those_of_the_contract() -> None:
    assert set(public_methods()) == METHODS


def test_events__of_the_specification__are_those_of_the_contract() -> None:
    assert set(event_fields()) == EVENTS


@pytest.mark.parametrize("event", event_fields())
def test_event__indexed_fields__are_alphabetical_and_three_at_most(event: str) -> None:
    names = [field.arg for field in event_fields()[event]]
    assert names == sorted(names)
    assert 1 <= len(names) <= 3


def test_codes__of_the_source__are_those_of_the_library() -> None:
    assert set(errors()) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_code__is_snake_case_and_its_meaning_in_the_reference(code: Code) -> None:
    assert re.fullmatch("[a-z]+(_[a-z]+)*", code)
    reference = (ROOT / "docs" / "contract-reference.md").read_text(encoding="utf-8")
    assert f"| `{code}` | {EXPLANATIONS[code].meaning} |" in reference


def test_texts__of_the_draft__stay() -> None:
    draft = {
        "api_name is required",
        "cost_per_call_wei must be positive",
        "daily_limit_calls must be positive",
        "api not registered",
        "max_daily_spend_wei must be positive",
        "initial_deposit_wei cannot be negative",
        "amount must be positive",
        "consumer not subscribed to api",
        "daily call limit exceeded",
        "max daily spend exceeded",
        "insufficient prepaid credit",
    }
    assert draft - set(errors().values()) == set()


def test_reference__of_the_contract__is_current() -> None:
    tool = [sys.executable, ROOT / "tools" / "contract_reference.py", "--check"]
    assert subprocess.run(tool, check=False).returncode == 0, "run tools/contract_reference.py"


@each_method
def test_docstring__is_a_sentence_in_at_most_six_lines(method: str) -> None:
    docstring = ast.get_docstring(public_methods()[method]) or ""
    assert 1 <= len(docstring.splitlines()) <= 6
    assert re.match(r"[A-Z].*[.:]", docstring, re.DOTALL)


@each_method
def test_docstring__codes_the_method_checks_itself__are_named(method: str) -> None:
    node = public_methods()[method]
    docstring = ast.get_docstring(node) or ""
    own = (texts_in(node) & set(errors())) - OF_EVERY_METHOD
    assert {code for code in own if code not in docstring} == set()


@each_method
def test_docstring__codes_and_events_it_names__exist(method: str) -> None:
    docstring = ast.get_docstring(public_methods()[method]) or ""
    named = " ".join(re.findall(r"(?:Fails|Codes): ([a-z_, \n]+)", docstring))
    codes = {word for word in re.findall("[a-z_]+", named) if "_" in word and word not in METHODS}
    events = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", docstring))
    assert (codes - set(errors()), events - EVENTS) == (set(), set())


@each_method
def test_docstring__of_a_write_that_not_everyone_may_call__names_the_caller(method: str) -> None:
    node = public_methods()[method]
    restricted = {"not_operator", "not_authorized", "not_proposed", "caller_not_contract", "not_subscribed"}
    if "sender_address" in ast.unparse(node) and texts_in(node) & restricted:
        assert "Caller:" in (ast.get_docstring(node) or "")


def test_source__under_optimisation__has_no_assert_it_relies_on() -> None:
    assert [node.lineno for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Assert)] == []


def test_source__money__never_meets_a_float() -> None:
    tree = ast.parse(SOURCE)
    floats = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, float)
    ]
    divisions = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    assert (floats, divisions) == ([], [])
