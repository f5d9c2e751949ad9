"""What the views of the contract must show, told by the model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .model import DAY_SECONDS, KEPT, Account, BillingModel


def report(model: BillingModel, consumer: str) -> dict[str, Any]:
    account, today = _account(model, consumer), model.today
    moment = datetime.fromtimestamp(today * DAY_SECONDS, UTC)
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return {
        "consumer": consumer,
        "day_id": today,
        "credit_balance_wei": account.credit,
        "held_wei": account.held,
        "low_credit": account.alerted,
        "notices": len(account.notices),
        "resets_at": (today + 1) * DAY_SECONDS,
        "month_resets_at": int(datetime(year, month, 1, tzinfo=UTC).timestamp()),
        "apis": [_report_line(model, consumer, name) for name in model.apis if name in account.subscriptions],
    }


def _report_line(model: BillingModel, consumer: str, name: str) -> dict[str, Any]:
    subscription = model.accounts[consumer].subscriptions[name]
    api, day = model.apis[name], model.day(name, consumer, model.today)
    plan, month = api.plans[subscription.plan], model.month(name, consumer, model.today)
    left = [plan.daily - day.calls] * bool(plan.daily) + [plan.monthly - month.calls] * bool(plan.monthly)
    return {
        "api_name": name,
        "calls_today": day.calls,
        "spend_today_wei": day.spend,
        "cost_per_call_wei": plan.price,
        "api_daily_limit_calls": plan.daily,
        "consumer_max_daily_spend_wei": subscription.cap,
        "plan_name": subscription.plan,
        "accepted_price_wei": subscription.accepted_price,
        "calls_month": month.calls,
        "spend_month_wei": month.spend,
        "api_monthly_limit_calls": plan.monthly,
        "calls_left_today": max(min(left), 0) if left else None,
        "spend_left_today_wei": max(subscription.cap - day.spend, 0),
        "hold_wei": subscription.hold,
        "hold_expires_at": subscription.hold_until,
        "active": api.active,
        "subscribed": subscription.active,
        "settlements": len(api.settlements),
    }


def account(model: BillingModel, consumer: str) -> dict[str, Any]:
    found = _account(model, consumer)
    active = [name for name in model.apis if name in found.subscriptions and found.subscriptions[name].active]
    return {
        "consumer": consumer,
        "credit_wei": found.credit,
        "held_wei": found.held,
        "topped_up_wei": found.full,
        "alert_percent": found.percent,
        "low_credit": found.alerted,
        "subscriptions": active,
    }


def api(model: BillingModel, name: str) -> dict[str, Any]:
    found = model.apis[name]
    plans = [
        {
            "plan_name": plan_name,
            "cost_per_call_wei": plan.price,
            "daily_limit_calls": plan.daily,
            "monthly_limit_calls": plan.monthly,
        }
        for plan_name, plan in found.plans.items()
    ]
    return {
        "api_name": name,
        "operator": found.operator,
        "proposed_operator": found.proposed,
        "active": found.active,
        "plans": plans,
        "meters": sorted(found.meters),
        "next_sequence": len(found.settlements) + 1,
    }


def earnings(model: BillingModel, operator: str) -> dict[str, Any]:
    paid = {"earnings_wei": model.earnings.get(operator, 0), "withdrawn_wei": model.paid_to_operator.get(operator, 0)}
    return {"operator": operator, **paid}


def history(model: BillingModel, consumer: str, name: str) -> list[dict[str, int]]:
    """All days with usage. The model never forgets; the contract keeps 400 days."""
    days = sorted(
        (day_id, day)
        for (api_name, account, day_id), day in model.usage.items()
        if (api_name, account) == (name, consumer)
    )
    return [{"day_id": day_id, "calls": day.calls, "spend_wei": day.spend} for day_id, day in days]


def notices(model: BillingModel, consumer: str) -> list[tuple[int, str, str, str]]:
    """Number, kind, API and code of the notices that are kept."""
    numbered = [(number, *notice) for number, notice in enumerate(_account(model, consumer).notices, 1)]
    return numbered[-KEPT:]


def _account(model: BillingModel, consumer: str) -> Account:
    return model.accounts.get(consumer, Account())
