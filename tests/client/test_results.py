"""Answers of the contract as dataclasses."""

import json

import pytest

from api_billing.errors import UnexpectedAnswer
from api_billing.results import Api, DayUsage, Quote, RequestAnswer, SettlementEntry, SettlementState, UsageReport
from api_billing.vouchers import NO_SALT, Voucher

QUOTE = {"allowed": True, "code": "", "cost_wei": 5, "credit_wei": 10}


def test_of__complete_answer__is_read() -> None:
    assert Quote.of(QUOTE) == Quote(allowed=True, code="", cost_wei=5, credit_wei=10)


def test_of__further_fields_of_a_later_contract__are_left_out() -> None:
    assert Quote.of({**QUOTE, "mood": "good"}) == Quote.of(QUOTE)


def test_of__missing_field__names_it() -> None:
    with pytest.raises(UnexpectedAnswer, match="Quote has no cost_wei"):
        Quote.of({key: value for key, value in QUOTE.items() if key != "cost_wei"})


@pytest.mark.parametrize(("field", "value"), [("cost_wei", "5"), ("cost_wei", True), ("allowed", 1), ("code", None)])
def test_of__field_of_another_type__is_refused(field: str, value: object) -> None:
    with pytest.raises(UnexpectedAnswer, match=f"Quote.{field} cannot be"):
        Quote.of({**QUOTE, field: value})


def test_of__nested_records__are_read() -> None:
    plan = {"plan_name": "standard", "cost_per_call_wei": 1, "daily_limit_calls": 2, "monthly_limit_calls": 0}
    answer = {
        "api_name": "a",
        "operator": "0x",
        "proposed_operator": "",
        "active": True,
        "plans": [plan],
        "meters": [],
        "next_sequence": 1,
    }
    assert Api.of(answer).plans[0].daily_limit_calls == 2


def test_of__error_in_a_list__says_where() -> None:
    with pytest.raises(UnexpectedAnswer, match=r"Api.plans\[0\] has no plan_name"):
        Api.of(
            {
                "api_name": "a",
                "operator": "0x",
                "proposed_operator": "",
                "active": True,
                "plans": [{}],
                "meters": [],
                "next_sequence": 1,
            }
        )


def test_of__none_where_it_may_be__is_none() -> None:
    assert RequestAnswer.of({"code": "api_paused", "receipt": None}).receipt is None
    assert SettlementState.of({"api_name": "a", "next_sequence": 1, "settlement": None}).settlement is None


@pytest.mark.parametrize("answer", [None, 5, "text", []])
def test_of__no_mapping__is_refused(answer: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="DayUsage cannot be"):
        DayUsage.of(answer)


@pytest.mark.parametrize("text", ["", "{", "[]", None])
def test_of_json__no_report__is_refused(text: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        UsageReport.of_json(text)


def test_as_dict__can_be_written_as_json() -> None:
    assert json.loads(json.dumps(Quote.of(QUOTE).as_dict())) == QUOTE


ENTRY = {"consumer": "0x" + 40 * "a", "day_id": 20_000, "calls": 3, "spend_wei": 30}


def test_settlement_entry__without_a_session__has_the_four_fields_of_the_first_edition() -> None:
    assert SettlementEntry("0x" + 40 * "a", 20_000, 3, 30).as_dict() == ENTRY


def test_settlement_entry__of_a_session_that_ends__has_voucher_and_close() -> None:
    voucher = Voucher(NO_SALT, 30, "0x" + 130 * "1")
    entry = SettlementEntry("0x" + 40 * "a", 20_000, 3, 30, voucher, close=True)
    sent = {"salt": NO_SALT, "cumulative_wei": 30, "signature": "0x" + 130 * "1"}
    assert entry.as_dict() == {**ENTRY, "voucher": sent, "close": True}
