"""For each parameter of a public method: values it must refuse, and the code of the refusal."""

from typing import Any

from genlayer_localnet.address import Address

from ..market import ALICE, API, BOB, METER, NOW, OPERATOR, RIVAL, STRANGER, TODAY, entry

Hostile = list[tuple[Any, str]]

HUGE, DEEP = 10**64, [[[[[{}]]]]]
ZERO = "0x" + "00" * 20
COURT, PROMISED = RIVAL, "promised"  # an API with a promise, of which ALICE has paid and the court frozen a day


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
PLAN_OF_AN_API: Hostile = [*PLAN_NAME, *each("plan_not_found", "gold", 7, Address(ALICE))]
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
CHANNEL_ID: Hostile = each(
    "bad_voucher",
    *(None, True, 7, -1, HUGE, "x", "0x", "ab" * 32, "0x" + "AB" * 32, "0X" + "ab" * 32, "0x" + "ab" * 31),
    *("0x" + "ab" * 33, "0x" + "ab" * 32 + "\n", bytes(31), bytes(33), [], {}, DEEP, Address(ALICE)),
)
USAGE_ROOT: Hostile = each(
    "bad_usage_root", None, True, 7, -1, HUGE, "x", "0x", b"x", [], {}, DEEP, Address(ALICE), "ä" * 64
)
ENTRIES: Hostile = [
    *each("bad_type", None, True, 7, "x", b"x", {}, {"0": entry()}, Address(ALICE)),
    *each("bad_entry", [None], [7], ["x"], [[]], [{}], DEEP, [entry() | {"x": 1}], [entry(calls=0)]),
    *each("too_many_entries", [], [None] * 257),
]
URLS = "http://x", "https://", "x", "https://a b", "https://\u00e9", "https://x\n", "HTTPS://x", "https://" + "x" * 193


def integer(low: int, too_low: str, high: int = 2**128) -> Hostile:
    """An int of at least `low` and below `high`."""
    return [*NOT_INT, *each(too_low, low - 1, -1, -(2**300)), *each("number_too_large", high, 2**256, 2**300)]


COUNT = integer(0, "negative_number")
COUNT_OF_CALLS = integer(0, "negative_number", 2**48)
POSITIVE_AMOUNT = integer(1, "amount_not_positive")
BY_NAME: dict[str, Hostile] = {
    "api_name": [*API_NAME, *UNKNOWN_API],
    "plan_name": PLAN_NAME,
    **dict.fromkeys(("meter", "operator", "consumer_address", "operator_address", "to", "signer", "court"), ADDRESS),
    **dict.fromkeys(("active", "allowed"), NOT_BOOL),
    "cost_per_call_wei": COUNT,
    **dict.fromkeys(("daily_limit_calls", "monthly_limit_calls"), COUNT_OF_CALLS),
    "max_price_wei": COUNT,
    "payout_days": [*NOT_INT, *each("bad_promise", 2, 15, 0, -1, 2**128, 2**300)],
    "max_refund_percent": [*NOT_INT, *each("bad_promise", 0, 101, -1, 2**128, 2**300)],
    "terms": [*NOT_TEXT, *each("bad_promise", "x" * 2_001, "ä" * 2_001)],
    "status_url": [*NOT_TEXT, *each("bad_promise", *URLS)],
    "reason": [*NOT_TEXT, *each("bad_reason", "x" * 201, "a\nb", "a\0", "\x1b[2J", "\u202eabc")],
    "max_daily_spend_wei": integer(1, "max_spend_not_positive"),
    "initial_deposit_wei": integer(0, "negative_deposit"),
    "amount": POSITIVE_AMOUNT,
    "percent": [*NOT_INT, *each("bad_percent", 101, 2**128 - 1, 2**128, 2**300, -1, -(2**300))],
    "expires_at": [*integer(0, "bad_expiry"), *each("bad_expiry", 0, NOW, 2**64, 2**128 - 1)],
    "calls": integer(1, "calls_not_positive", 2**48),
    "request_id": REQUEST_ID,
    "receipt_id": RECEIPT_ID,
    "channel_id": CHANNEL_ID,
    "usage_root": USAGE_ROOT,
    "entries": ENTRIES,
    **dict.fromkeys(("from_day", "to_day", "day_id", "offset", "limit", "after", "sequence"), COUNT),
}
BY_METHOD: dict[tuple[str, str], Hostile] = {
    ("register_api", "api_name"): API_NAME,
    ("register_api", "cost_per_call_wei"): integer(1, "cost_not_positive"),
    ("register_api", "daily_limit_calls"): integer(1, "daily_limit_not_positive", 2**48),
    ("place_hold", "amount"): COUNT,
    ("open_session", "amount"): [*COUNT, (0, "amount_not_positive")],
    ("refund_by_court", "amount"): COUNT,
    ("refund_by_court", "day_id"): [*COUNT, *each("not_frozen", 0, TODAY, 2**32, 2**128 - 1)],
    ("freeze_by_court", "day_id"): [*COUNT, *each("not_court", 0, TODAY - 4), *each("day_open", TODAY - 1, 2**128 - 1)],
    ("refund", "day_id"): [*COUNT, *each("day_not_pending", 1, TODAY, 2**32, 2**128 - 1)],
    ("get_usage_history", "api_name"): [case for case in [*API_NAME, *UNKNOWN_API] if case[0] != ""],
    ("settle_usage", "sequence"): integer(0, "negative_number", 2**64),
    ("request_call", "request_id"): [*REQUEST_ID, ("", "bad_request_id")],
    ("subscribe", "plan_name"): PLAN_OF_AN_API,
    ("open_session", "plan_name"): PLAN_OF_AN_API,
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
    "withdraw_earnings": (OPERATOR, {"amount": 1, "to": RIVAL}),
    "collect_earnings": (STRANGER, {"api_name": API}),
    "set_promise": (
        OPERATOR,
        {
            "api_name": API,
            "court": COURT,
            "payout_days": 3,
            "max_refund_percent": 100,
            "terms": "It answers.",
            "status_url": "https://status.example/",
        },
    ),
    "refund": (OPERATOR, {"api_name": API, "consumer_address": ALICE, "amount": 1, "reason": "sorry", "day_id": 0}),
    "freeze_by_court": (COURT, {"api_name": PROMISED, "consumer_address": ALICE, "day_id": TODAY - 2}),
    "refund_by_court": (COURT, {"api_name": PROMISED, "consumer_address": ALICE, "day_id": TODAY - 3, "amount": 1}),
    "subscribe": (
        ALICE,
        {
            "api_name": API,
            "max_daily_spend_wei": 1_000,
            "initial_deposit_wei": 0,
            "plan_name": "standard",
            "max_price_wei": 10,
        },
    ),
    "unsubscribe": (ALICE, {"api_name": API}),
    "top_up_credit": (ALICE, {"amount": 7}),
    "top_up_for": (ALICE, {"consumer_address": ALICE, "amount": 7}),
    "withdraw_credit": (ALICE, {"amount": 1, "to": BOB}),
    "set_low_credit_alert": (ALICE, {"percent": 20}),
    "place_hold": (ALICE, {"api_name": API, "amount": 1, "expires_at": NOW + 60, "signer": "plain"}),
    "open_session": (
        BOB,
        {
            "api_name": API,
            "max_daily_spend_wei": 1_000,
            "amount": 20,
            "expires_at": NOW + 60,
            "signer": RIVAL,
            "plan_name": "standard",
            "max_price_wei": 10,
        },
    ),
    "release_hold": (OPERATOR, {"api_name": API, "consumer_address": ALICE}),
    "consume_credit": (ALICE, {"api_name": API, "consumer_address": ALICE, "calls": 1, "request_id": "r"}),
    "request_call": ("", {"api_name": API, "request_id": "r"}),  # sent by a contract
    "settle_usage": (METER, {"api_name": API, "sequence": 1, "entries": [entry()], "usage_root": ""}),
    "get_usage_report": (ALICE, {"consumer_address": ALICE, "offset": 0, "limit": 1}),
    "get_api": (ALICE, {"api_name": API}),
    "get_promise": (ALICE, {"api_name": API, "day_id": 0}),
    "get_session": (ALICE, {"consumer_address": ALICE, "api_name": API, "channel_id": ""}),
    "get_paid_day": (ALICE, {"api_name": API, "consumer_address": ALICE, "day_id": TODAY}),
    "get_api_days": (ALICE, {"api_name": API}),
    "list_subscribers": (ALICE, {"api_name": API, "offset": 0, "limit": 1}),
    "list_settlements": (ALICE, {"api_name": API, "after": 0, "limit": 1}),
    "list_apis": (ALICE, {"offset": 0, "limit": 1}),
    "get_account": (ALICE, {"consumer_address": ALICE}),
    "get_usage_history": (
        ALICE,
        {"consumer_address": ALICE, "api_name": "", "from_day": TODAY, "to_day": TODAY, "offset": 0},
    ),
    "quote_call": (ALICE, {"api_name": API, "consumer_address": ALICE, "calls": 1}),
    "get_receipt": (ALICE, {"receipt_id": f"{API}:{ALICE}:{TODAY}:1"}),
    "get_earnings": (ALICE, {"operator_address": OPERATOR, "offset": 0}),
    "get_settlement": (ALICE, {"api_name": API, "sequence": 0}),
    "list_notices": (ALICE, {"consumer_address": ALICE, "after": 0, "limit": 1}),
    "get_solvency": (ALICE, {}),
    "consumer_integration_example": (ALICE, {}),
}


def hostile_to(method: str, parameter: str) -> Hostile:
    return BY_METHOD.get((method, parameter), BY_NAME[parameter])
