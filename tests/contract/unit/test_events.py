"""Every event: its fields, its topics (in the order of the sorted names) and its printed line."""

from typing import Any

import pytest
from eth_utils import keccak

from genlayer_localnet import Event, Receipt, calldata
from genlayer_localnet.address import Address

from ..market import (
    ALICE,
    API,
    BOB,
    DEPOSIT,
    METER,
    NOW,
    OPERATOR,
    PRICE,
    RIVAL,
    STRANGER,
    TODAY,
    Market,
    entry,
    event_names,
)
from ..source import event_fields

SOON = NOW + 60
PLAN = {"plan_name": "standard", "cost_per_call_wei": 7, "daily_limit_calls": 3, "monthly_limit_calls": 0}
Write = tuple[str, tuple[Any, ...], str, int]
HOLD: Write = ("place_hold", (API, 100, SOON), ALICE, 0)
COURT, REASON = RIVAL, "late"


def days_on(days: int) -> Write:
    """No call: so many days after START."""
    return ("", (f"2026-01-{15 + days}T12:00:00Z",), "", 0)


# ALICE pays 20 wei on a day whose earnings wait for 3 days.
PAID: list[Write] = [
    ("set_promise", (API, COURT, 3, 50, "It answers."), OPERATOR, 0),
    days_on(1),
    ("consume_credit", (API, ALICE, 2), ALICE, 0),
]
FREEZE: Write = ("freeze_by_court", (API, ALICE, TODAY + 1), COURT, 0)

# Calls before it; the call; the event; its indexed fields; the others.
EVENTS: list[tuple[list[Write], Write, str, dict[str, Any], dict[str, Any]]] = [
    (
        [],
        ("register_api", ("maps", 7, 3), RIVAL, 0),
        "ApiRegistered",
        {"api_name": "maps", "operator": RIVAL},
        PLAN,
    ),
    (
        [],
        ("register_api", (API, 7, 3), OPERATOR, 0),
        "ApiPlanChanged",
        {"api_name": API, "operator": OPERATOR},
        PLAN,
    ),
    (
        [],
        ("set_plan", (API, "gold", 7, 3, 0), OPERATOR, 0),
        "ApiPlanChanged",
        {"api_name": API, "operator": OPERATOR},
        PLAN | {"plan_name": "gold"},
    ),
    (
        [],
        ("set_api_active", (API, False), OPERATOR, 0),
        "ApiStatusChanged",
        {"api_name": API, "operator": OPERATOR},
        {"active": False},
    ),
    (
        [("propose_operator", (API, RIVAL), OPERATOR, 0)],
        ("accept_operator", (API,), RIVAL, 0),
        "OperatorChanged",
        {"api_name": API, "operator": RIVAL},
        {"former_operator": OPERATOR},
    ),
    (
        [("consume_credit", (API, ALICE, 2), ALICE, 0)],
        ("withdraw_earnings", (5,), OPERATOR, 0),
        "EarningsWithdrawn",
        {"operator": OPERATOR},
        {"amount_wei": 5, "earnings_wei": 15, "to": OPERATOR},
    ),
    (
        [],
        ("subscribe", (API, 50, 0), BOB, 0),
        "Subscribed",
        {"api_name": API, "consumer": BOB},
        {"plan_name": "standard", "accepted_price_wei": PRICE, "max_daily_spend_wei": 50},
    ),
    (
        [HOLD],
        ("unsubscribe", (API,), ALICE, 0),
        "Unsubscribed",
        {"api_name": API, "consumer": ALICE},
        {"hold_wei": 100},
    ),
    (
        [],
        ("top_up_for", (ALICE, 7), STRANGER, 7),
        "CreditToppedUp",
        {"consumer": ALICE},
        {"payer": STRANGER, "amount_wei": 7, "credit_wei": DEPOSIT + 7},
    ),
    (
        [],
        ("top_up_for", (ALICE, 6), STRANGER, 7),
        "DepositKept",
        {"consumer": STRANGER},
        {"code": "value_mismatch", "credited_wei": 7},
    ),
    (
        [],
        ("withdraw_credit", (7,), ALICE, 0),
        "CreditWithdrawn",
        {"consumer": ALICE},
        {"amount_wei": 7, "credit_wei": DEPOSIT - 7, "to": ALICE},
    ),
    (
        [HOLD],
        ("withdraw_credit", (DEPOSIT - 200,), ALICE, 0),
        "CreditDepleted",
        {"consumer": ALICE},
        {"credit_wei": 100, "held_wei": 100},
    ),
    (
        [("place_hold", (API, 40, SOON), ALICE, 0)],
        ("place_hold", (API, 60, SOON + 1), ALICE, 0),
        "HoldPlaced",
        {"api_name": API, "consumer": ALICE},
        {"amount_wei": 60, "hold_wei": 100, "expires_at": SOON + 1, "signer": "", "credit_wei": DEPOSIT - 100},
    ),
    (
        [HOLD],
        ("release_hold", (API, ALICE), OPERATOR, 0),
        "HoldReleased",
        {"api_name": API, "consumer": ALICE},
        {"released_wei": 100},
    ),
    (
        [],
        ("consume_credit", (API, ALICE, 2), METER, 0),
        "CallBilled",
        {"api_name": API, "consumer": ALICE},
        {
            "receipt_id": f"{API}:{ALICE}:{TODAY}:2",
            "day_id": TODAY,
            "call_no": 2,
            "cost_wei": 2 * PRICE,
            "credit_wei": DEPOSIT - 2 * PRICE,
            "calls": 2,
        },
    ),
    (
        [],
        ("settle_usage", (API, 1, [entry(calls=7)]), METER, 0),
        "LimitExceeded",
        {"api_name": API, "consumer": ALICE},
        {"code": "daily_limit_exceeded", "calls": 2, "amount_wei": 20},
    ),
    (
        [],
        ("settle_usage", (API, 1, [entry(calls=7), entry()], "ab" * 32), METER, 0),
        "UsageSettled",
        {"api_name": API, "operator": OPERATOR},
        {"refused_entries": 2, "sequence": 1, "usage_root": "ab" * 32, "billed_calls": 5, "billed_wei": 50},
    ),
    (
        [],
        ("set_promise", (API, COURT, 3, 50, "It answers."), OPERATOR, 0),
        "PromiseSet",
        {"api_name": API, "operator": OPERATOR},
        {"court": COURT, "payout_days": 3, "max_refund_percent": 50, "from_day": TODAY + 1},
    ),
    (
        [*PAID, days_on(5)],
        ("collect_earnings", (API,), STRANGER, 0),
        "EarningsCollected",
        {"api_name": API, "operator": OPERATOR},
        {"collected_wei": 20, "collected_through": TODAY + 1},
    ),
    (
        [*PAID, days_on(3)],
        FREEZE,
        "EarningsFrozen",
        {"api_name": API, "consumer": ALICE},
        {"day_id": TODAY + 1, "amount_wei": 20},
    ),
    (
        [*PAID, days_on(3), FREEZE],
        ("refund_by_court", (API, ALICE, TODAY + 1, 10), COURT, 0),
        "Refunded",
        {"api_name": API, "consumer": ALICE},
        {"day_id": TODAY + 1, "amount_wei": 10, "credit_wei": DEPOSIT - 10, "reason": "court"},
    ),
    (
        PAID,
        ("refund", (API, ALICE, 15, REASON, TODAY + 1), OPERATOR, 0),
        "Refunded",
        {"api_name": API, "consumer": ALICE},
        {"day_id": TODAY + 1, "amount_wei": 15, "credit_wei": DEPOSIT - 5, "reason": REASON},
    ),
]


def as_sent(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with people as the addresses that an event carries."""
    people = ("operator", "consumer", "payer", "former_operator", "court", "to")
    return {key: Address(value) if key in people else value for key, value in fields.items()}


def topics_of(name: str, indexed: dict[str, Any]) -> tuple[bytes, ...]:
    values = [calldata.encode(value) for _, value in sorted(as_sent(indexed).items())]
    signature = keccak(f"{name}({','.join(sorted(indexed))})".encode())
    return (signature, *(keccak(value) if len(value) > 32 else value.ljust(32, b"\0") for value in values))


def test_table__of_events__has_all_of_the_contract() -> None:
    assert {row[2] for row in EVENTS} == set(event_fields())


@pytest.fixture
def happened(market: Market, request: pytest.FixtureRequest) -> Receipt:
    before, call, *_ = request.param
    for method, arguments, sender, value in before:
        if not method:
            market.at(*arguments)
            continue
        market.ok(method, *arguments, sender=sender, value=value)
    method, arguments, sender, value = call
    return market.ok(method, *arguments, sender=sender, value=value)


CASES = pytest.mark.parametrize(
    ("happened", "name", "indexed", "others"),
    [(row, *row[2:]) for row in EVENTS],
    ids=[f"{row[2]}-{row[1][0]}" for row in EVENTS],
    indirect=["happened"],
)


def the_event(receipt: Receipt, name: str) -> Event:
    return next(event for event in receipt.events if event.name == name)


@CASES
def test_event__announced__has_these_fields(
    happened: Receipt, name: str, indexed: dict[str, Any], others: dict[str, Any]
) -> None:
    assert dict(the_event(happened, name).fields) == as_sent(indexed | others)


@CASES
def test_event__announced__has_its_indexed_fields_as_topics_by_name(
    happened: Receipt, name: str, indexed: dict[str, Any], others: dict[str, Any]
) -> None:
    assert the_event(happened, name).topics == topics_of(name, indexed)


@CASES
def test_event__announced__is_one_printed_line_too(
    happened: Receipt, name: str, indexed: dict[str, Any], others: dict[str, Any]
) -> None:
    lines = [line.split(" ") for line in happened.stdout.splitlines()]
    assert [line[0] for line in lines] == [f"[{event}]" for event in event_names(happened)]
    printed = next(line[1:] for line in lines if line[0] == f"[{name}]")
    assert sorted(printed) == sorted(f"{key}={value}" for key, value in (indexed | others).items())


def test_subscribe__with_deposit__announces_both(market: Market) -> None:
    assert event_names(market.subscribe(BOB)) == ["CreditToppedUp", "Subscribed"]


def test_unsubscribe__with_expired_hold__announces_its_release(market: Market) -> None:
    market.ok("place_hold", API, 100, SOON, sender=ALICE)
    market.at("2026-01-16T00:00:00Z")
    assert event_names(market.ok("unsubscribe", API, sender=ALICE)) == ["Unsubscribed", "HoldReleased"]


def test_request_call__refused__announces_the_limit(market: Market) -> None:
    relay = market.relay()
    receipt = market.via(relay, "request_call", API, "r-1")
    (event,) = receipt.events
    assert (event.name, dict(event.fields)["code"]) == ("LimitExceeded", "not_subscribed")
