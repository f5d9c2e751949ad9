"""For each parameter of a public method: values it must refuse, and the code of the refusal."""

from typing import Any

from genlayer_localnet.address import Address

from ..market import ALICE, API, METER, NOW, OPERATOR, RIVAL, TODAY, entry

Hostile = list[tuple[Any, str]]

HUGE, DEEP = 10**64, [[[[[{}]]]]]
ZERO = "0x" + "00" * 20


def each(code: str, *values: Any) -> Hostile:
    return [(value, code) for value in values]


BAD_NAMES = each(
    "bad_name", "a b", "-a", "a" * 65, "a\nb", "a\0", "../a", "a:1", "ünï", "'; --", "a" * 10**5, "\U0001f600", "٣"
)
NOT_TEXT = each("bad_type", None, True, False, b"", b"weather", [], ["a"], {}, {"a": 1}, DEEP, -1, HUGE, -HUGE)
NOT_INT = each("bad_type", None, True, False, "", "5", "0x5", b"5", [], [5], {}, DEEP, Address(ALICE))
NOT_BOOL = each("bad_type", None, 0, 1, -1, HUGE, "", "true", b"\1", [], [True], {}, DEEP, Address(ALICE))

API_NAME: Hostile = [
    *NOT_TEXT,
    *BAD_NAMES,
    *each("api_name_required", "", " ", "\t\n\u2003"),
]
UNKNOWN_API = each("api_not_registered", "maps", "weathe", "weather2", 7, Address(ALICE), ALICE)
PLAN_NAME: Hostile = [*NOT_TEXT, *BAD_NAMES, *each("bad_name", "", " ")]
ADDRESS: Hostile = each(
    "bad_address",
    *(None, True, False, 0, 1, -1, HUGE, [], [ALICE], {}, DEEP),
    *("0x", ALICE[:-1], ALICE + "0", ALICE[2:], "0X" + ALICE[2:], "0x" + "g" * 40, f" {ALICE}", f"{ALICE}\n"),
    *("oaGhoaGhoaGhoaGhoaGhoaGhoaE=", "alice", "ä" * 42, ZERO, Address(ZERO), bytes(20), b"\1" * 19, b"\1" * 21),
)
REQUEST_ID: Hostile = [*NOT_TEXT, *each("bad_request_id", "x" * 65, "x" * 10**5)]
RECEIPT_ID: Hostile = [
    *NOT_TEXT,
    *each("bad_receipt_id", "", "x", 7, ":::", "a:b:c:d", "x" * 10**5, Address(ALICE), f"{API}:{ALICE}:{TODAY}:1\n"),
]
USAGE_ROOT: Hostile = each(
    "bad_usage_root", None, True, 7, -1, HUGE, "x", "0x", b"x", [], {}, DEEP, Address(ALICE), "ä" * 64
)
ENTRIES: Hostile = [
    *each("bad_type", None, True, 7, "x", b"x", {}, {"0": entry()}, Address(ALICE)),
    *each("bad_entry", [None], [7], ["x"], [[]], [{}], DEEP, [entry() | {"x": 1}], [entry(calls=0)]),
    *each("too_many_entries", [], [None] * 257),
]


def integer(low: int, too_low: str, high: int = 2**128) -> Hostile:
    """An int of at least `low` and below `high`."""
    return [*NOT_INT, *each(too_low, low - 1, -1, -(2**300)), *each("number_too_large", high, 2**256, 2**300)]


COUNT = integer(0, "negative_number")
COUNT_OF_CALLS = integer(0, "negative_number", 2**48)
POSITIVE_AMOUNT = integer(1, "amount_not_positive")
BY_NAME: dict[str, Hostile] = {
    "api_name": [*API_NAME, *UNKNOWN_API],
    "plan_name": PLAN_NAME,
    **dict.fromkeys(("meter", "operator", "consumer_address", "operator_address"), ADDRESS),
    **dict.fromkeys(("active", "allowed"), NOT_BOOL),
    "cost_per_call_wei": COUNT,
    **dict.fromkeys(("daily_limit_calls", "monthly_limit_calls"), COUNT_OF_CALLS),
    "max_daily_spend_wei": integer(1, "max_spend_not_positive"),
    "initial_deposit_wei": integer(0, "negative_deposit"),
    "amount": POSITIVE_AMOUNT,
    "percent": [*integer(0, "bad_percent"), (101, "bad_percent"), (2**128 - 1, "bad_percent")],
    "expires_at": [*integer(0, "bad_expiry"), *each("bad_expiry", 0, NOW, 2**64, 2**128 - 1)],
    "calls": integer(1, "calls_not_positive", 2**48),
    "request_id": REQUEST_ID,
    "receipt_id": RECEIPT_ID,
    "usage_root": USAGE_ROOT,
    "entries": ENTRIES,
    **dict.fromkeys(("from_day", "to_day", "offset", "limit", "after", "sequence"), COUNT),
}
BY_METHOD: dict[tuple[str, str], Hostile] = {
    ("register_api", "api_name"): API_NAME,
    ("register_api", "cost_per_call_wei"): integer(1, "cost_not_positive"),
    ("register_api", "daily_limit_calls"): integer(1, "daily_limit_not_positive", 2**48),
    ("place_hold", "amount"): COUNT,
    ("settle_usage", "sequence"): integer(0, "negative_number", 2**64),
    ("request_call", "request_id"): [*REQUEST_ID, ("", "bad_request_id")],
    ("subscribe", "plan_name"): [*PLAN_NAME, *each("plan_not_found", "gold", 7, Address(ALICE))],
}

# A call of every method that is in order: who sends it and what.
GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "register_api": (
        OPERATOR,
        {"api_name": API, "cost_per_call_wei": 10, "daily_limit_calls": 5, "monthly_limit_calls": 12},
    ),
    "set_plan": (
        OPERATOR,
        {"api_name": API, "plan_name": "p", "cost_per_call_wei": 1, "daily_limit_calls": 5, "monthly_limit_calls": 0},
    ),
    "set_api_active": (OPERATOR, {"api_name": API, "active": True}),
    "set_meter": (OPERATOR, {"api_name": API, "meter": METER, "allowed": True}),
    "propose_operator": (OPERATOR, {"api_name": API, "operator": RIVAL}),
    "accept_operator": (RIVAL, {"api_name": API}),
    "withdraw_earnings": (OPERATOR, {"amount": 1}),
    "subscribe": (
        ALICE,
        {"api_name": API, "max_daily_spend_wei": 1_000, "initial_deposit_wei": 0, "plan_name": "standard"},
    ),
    "unsubscribe": (ALICE, {"api_name": API}),
    "top_up_credit": (ALICE, {"amount": 7}),
    "top_up_for": (ALICE, {"consumer_address": ALICE, "amount": 7}),
    "withdraw_credit": (ALICE, {"amount": 1}),
    "set_low_credit_alert": (ALICE, {"percent": 20}),
    "place_hold": (ALICE, {"api_name": API, "amount": 1, "expires_at": NOW + 60}),
    "release_hold": (OPERATOR, {"api_name": API, "consumer_address": ALICE}),
    "consume_credit": (ALICE, {"api_name": API, "consumer_address": ALICE, "calls": 1, "request_id": "r"}),
    "request_call": ("", {"api_name": API, "request_id": "r"}),  # sent by a contract
    "settle_usage": (METER, {"api_name": API, "sequence": 1, "entries": [entry()], "usage_root": ""}),
    "get_usage_report": (ALICE, {"consumer_address": ALICE}),
    "get_api": (ALICE, {"api_name": API}),
    "list_apis": (ALICE, {"offset": 0, "limit": 1}),
    "get_account": (ALICE, {"consumer_address": ALICE}),
    "get_usage_history": (ALICE, {"consumer_address": ALICE, "api_name": API, "from_day": TODAY, "to_day": TODAY}),
    "quote_call": (ALICE, {"api_name": API, "consumer_address": ALICE, "calls": 1}),
    "get_receipt": (ALICE, {"receipt_id": f"{API}:{ALICE}:{TODAY}:1"}),
    "get_earnings": (ALICE, {"operator_address": OPERATOR}),
    "get_settlement": (ALICE, {"api_name": API, "sequence": 0}),
    "list_notices": (ALICE, {"consumer_address": ALICE, "after": 0, "limit": 1}),
    "get_solvency": (ALICE, {}),
    "consumer_integration_example": (ALICE, {}),
}


def hostile_to(method: str, parameter: str) -> Hostile:
    return BY_METHOD.get((method, parameter), BY_NAME[parameter])
