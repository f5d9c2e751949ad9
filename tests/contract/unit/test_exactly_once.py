"""A request id is billed once, however often and through whichever method it comes."""

import hashlib

import pytest

from ..market import ALICE, API, BOB, DEPOSIT, METER, OPERATOR, PRICE, TODAY, Market, message_phases


def test_consume_credit__same_request_id__bills_once_and_answers_alike(market: Market) -> None:
    first = market.bill(2, request_id="r-1")
    again = market.ok("consume_credit", API, ALICE, 2, "r-1", sender=ALICE)
    assert (again.value, again.events, market.credit()) == (first, (), DEPOSIT - 2 * PRICE)


def test_consume_credit__other_request_id__bills_again(market: Market) -> None:
    market.bill(request_id="r-1")
    assert market.bill(request_id="r-2")["call_no"] == 2


@pytest.mark.parametrize("request_id", ["R-1", "r-1 ", "r-11", "r-"])
def test_request_id__nearly_the_same__is_another(market: Market, request_id: str) -> None:
    market.bill(request_id="r-1")
    assert market.bill(request_id=request_id)["call_no"] == 2


def test_consume_credit__empty_request_id__is_never_remembered(market: Market) -> None:
    market.bill(request_id="")
    assert market.bill(request_id="")["call_no"] == 2


def test_consume_credit__same_id_by_meter_and_operator__bills_once(market: Market) -> None:
    for caller in (METER, OPERATOR):
        receipt = market.ok("consume_credit", API, ALICE, 1, "r-1", sender=caller).value
        assert receipt["call_no"] == 1
    assert market.credit() == DEPOSIT - PRICE


def test_consume_credit__same_id_by_the_consumer_and_by_a_meter__are_two_requests(market: Market) -> None:
    receipts = [market.ok("consume_credit", API, ALICE, 1, "r-1", sender=caller).value for caller in (ALICE, METER)]
    assert [receipt["call_no"] for receipt in receipts] == [1, 2]
    assert market.bill(request_id="r-1") == receipts[0]


def test_consume_credit__same_id_by_a_stranger__learns_nothing(market: Market) -> None:
    market.bill(request_id="r-1")
    market.refused("not_authorized", "consume_credit", API, ALICE, 1, "r-1", sender=BOB)


def test_consume_credit__refused_with_an_id__can_be_tried_again(market: Market) -> None:
    market.refused("daily_limit_exceeded", "consume_credit", API, ALICE, 6, "r-1", sender=ALICE)
    assert market.bill(5, request_id="r-1")["call_no"] == 5


@pytest.mark.parametrize("request_id", ["x", "x" * 64, "ü" * 64, "\n", 7, "\U0001f600" * 64])
def test_request_id__of_1_to_64_characters__is_remembered(market: Market, request_id: object) -> None:
    receipts = [market.bill(request_id=request_id) for _ in range(2)]
    assert receipts[0] == receipts[1]


@pytest.mark.parametrize("request_id", ["x" * 65, "ü" * 65])
def test_request_id__too_long__is_refused(market: Market, request_id: str) -> None:
    market.refused("bad_request_id", "consume_credit", API, ALICE, 1, request_id, sender=ALICE)


def test_request_id__of_the_last_64__is_remembered_and_the_one_before_is_not(wide: Market) -> None:
    for number in range(65):
        wide.bill(request_id=f"r-{number}")
    assert wide.bill(request_id="r-1")["call_no"] == 2
    assert wide.bill(request_id="r-64")["call_no"] == 65
    assert wide.bill(request_id="r-0")["call_no"] == 66


def test_request_id__after_unsubscribing__still_answers(market: Market) -> None:
    first = market.bill(request_id="r-1")
    market.ok("unsubscribe", API, sender=ALICE)
    assert market.bill(request_id="r-1") == first


def test_request_id__on_a_later_day__still_answers(market: Market) -> None:
    first = market.bill(request_id="r-1")
    market.at("2026-03-01T00:00:00Z")
    assert market.bill(request_id="r-1") == first
    assert market.line()["calls_today"] == 0


def tag(request_id: str) -> str:
    return hashlib.sha256(request_id.encode()).hexdigest()[:8]


def subscribed_relay(market: Market, deposit: int = 100) -> str:
    relay = market.relay()
    assert market.via(relay, "subscribe", API, 1_000, deposit, value=deposit).kind == "return"
    return relay


def test_request_call__subscribed_contract__is_billed_and_called_back(market: Market) -> None:
    relay = subscribed_relay(market)
    call = market.via(relay, "request_call", API, "r-1")
    receipt = {
        "receipt_id": f"{API}:{relay}:{TODAY}:1:{tag('r-1')}",
        "api_name": API,
        "consumer": relay,
        "day_id": TODAY,
        "call_no": 1,
        "cost_wei": PRICE,
        "credit_wei": 90,
    }
    assert (call.kind, call.value) == ("return", {"code": "", "receipt": receipt})
    assert message_phases(call) == ["accepted"]
    assert market.net.view(relay, "get_answers") == [["billed", "r-1", receipt]]


def test_request_call__same_message_again__bills_once_and_sends_the_same_answer(market: Market) -> None:
    relay = subscribed_relay(market)
    first = market.via(relay, "request_call", API, "r-1")
    again = market.via(relay, "request_call", API, "r-1")
    assert (again.value, again.events) == (first.value, ())
    answers = market.net.view(relay, "get_answers")
    assert (len(answers), answers[0]) == (2, answers[1])
    assert market.credit(relay) == 90


def test_request_call__refused__does_not_raise_but_tells_and_records(market: Market) -> None:
    relay = subscribed_relay(market, deposit=PRICE - 1)
    call = market.via(relay, "request_call", API, "r-1")
    assert (call.kind, call.value) == ("return", {"code": "insufficient_credit", "receipt": None})
    assert market.net.view(relay, "get_answers") == [["denied", "r-1", "insufficient_credit"]]
    assert (market.notices(relay), market.credit(relay)) == ([("limit", "insufficient_credit")], PRICE - 1)


def test_request_call__refused_and_sent_again__is_billed_once_the_reason_is_gone(market: Market) -> None:
    relay = subscribed_relay(market, deposit=PRICE - 1)
    market.via(relay, "request_call", API, "r-1")
    assert market.via(relay, "request_call", API, "r-1").value["code"] == "insufficient_credit"
    market.ok("top_up_for", relay, 100, sender=BOB, value=100)
    for _ in range(2):
        assert market.via(relay, "request_call", API, "r-1").value["code"] == ""
    answers = [(kind, request_id) for kind, request_id, _ in market.net.view(relay, "get_answers")]
    assert answers == [("denied", "r-1")] * 2 + [("billed", "r-1")] * 2
    assert market.credit(relay) == 100 - 1


@pytest.mark.parametrize(
    ("api_name", "code"),
    [
        ("maps", "api_not_registered"),
        ("a b", "bad_name"),
        ("", "api_name_required"),
        (None, "bad_type"),
        ([], "bad_type"),
    ],
)
def test_request_call__bad_api__is_denied_by_callback(market: Market, api_name: object, code: str) -> None:
    relay = market.relay()
    assert market.via(relay, "request_call", api_name, "r-1").kind == "return"
    assert market.net.view(relay, "get_answers") == [["denied", "r-1", code]]


def test_request_call__price_rose__is_denied_with_a_price_notice(market: Market) -> None:
    relay = subscribed_relay(market)
    market.ok("register_api", API, PRICE + 1, 5, 12, sender=OPERATOR)
    market.via(relay, "request_call", API, "r-1")
    assert market.notices(relay) == [("price", "price_changed")]


@pytest.mark.parametrize(
    ("request_id", "code"),
    [("", "bad_request_id"), ("x" * 65, "bad_request_id"), (None, "bad_type"), (True, "bad_type")],
)
def test_request_call__bad_request_id__raises(market: Market, request_id: object, code: str) -> None:
    call = market.via(subscribed_relay(market), "request_call", API, request_id)
    assert (call.kind, call.error_code) == ("user_error", code)


def test_request_call__plain_account__is_refused(market: Market) -> None:
    market.refused("caller_not_contract", "request_call", API, "r-1", sender=ALICE)


def test_request_id__billed_by_request_call__is_not_billed_again_by_the_contracts_consume_credit(
    market: Market,
) -> None:
    relay = subscribed_relay(market)
    billed = market.via(relay, "request_call", API, "r-1").value["receipt"]
    assert market.via(relay, "consume_credit", API, relay, 1, "r-1").value == billed
    assert market.credit(relay) == 90
