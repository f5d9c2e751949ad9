"""Promises of the contract tests: an API whose earnings wait, a court that is a contract, and books that balance."""

from typing import Any

from genlayer_localnet import Receipt

from .market import ALICE, API, BOB, OPERATOR, START, TODAY, Market, day_of

PROMISE_TERMS = "It answers within a second."


def on_day(market: Market, days: int) -> int:
    """Go to noon of so many days after START; the day_id."""
    market.net.now = START
    market.net.advance(days * 86_400)
    return TODAY + days


def promise(
    market: Market, court: str, days: int = 3, percent: int = 50, terms: str = PROMISE_TERMS, **other: Any
) -> Receipt:
    return market.ok(
        "set_promise", other.pop("api_name", API), court, days, percent, terms, *other.values(), sender=OPERATOR
    )


def end_promise(market: Market) -> Receipt:
    return market.ok("set_promise", API, "", 0, 0, "", sender=OPERATOR)


def earnings(market: Market, operator: str = OPERATOR) -> dict[str, int]:
    """What an operator has earned, by where it is now."""
    shown = market.view("get_earnings", operator)
    sums = {key: sum(api[f"{key}_wei"] for api in shown["apis"]) for key in ("pending", "frozen")}
    return {"withdrawable": shown["earnings_wei"], **sums, "refunded": shown["refunded_wei"]}


def check_books(market: Market, *operators: str, consumers: tuple[str, ...] = (ALICE, BOB)) -> None:
    """Earned = withdrawn + withdrawable + pending + frozen + refunded; and the whole adds up to what the contract owes.

    Earned is what the consumers' histories of the last 400 days say.
    """
    today = int(market.net.now.timestamp()) // 86_400
    days = range(day_of("2025-12-01"), today + 1, 31)
    spent = sum(
        line["spend_wei"]
        for consumer in consumers
        for first in days
        for line in market.view("get_usage_history", consumer, "", first, min(first + 30, today))
    )
    parts: dict[str, int] = {}
    for operator in operators or (OPERATOR,):
        withdrawn = market.view("get_earnings", operator)["withdrawn_wei"]
        for key, wei in {**earnings(market, operator), "withdrawn": withdrawn}.items():
            parts[key] = parts.get(key, 0) + wei
    assert spent == sum(parts.values()), parts
    solvency = market.view("get_solvency")
    assert solvency["earnings_wei"] == parts["withdrawable"] + parts["pending"] + parts["frozen"]
    assert solvency["refunded_wei"] == parts["refunded"]
    assert solvency["credit_wei"] == sum(market.credit(consumer) for consumer in consumers)
    assert solvency["surplus_wei"] == 0
