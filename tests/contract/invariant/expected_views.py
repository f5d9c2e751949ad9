"""What the views of the contract must show, told by the model."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from api_billing.vouchers import VERIFYING_CONTRACT

from .model import API_DAYS, DAY_SECONDS, HISTORY_DAYS, KEPT, Account, BillingModel, Promise, Refund


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
        "total": len(account.subscriptions),
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
        "signer": subscription.signer,
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
    promise = model.apis[name].promise_on(model.today)
    domain = {"name": "x402 Batch Settlement", "version": "1", "chainId": model.chain_id}
    return {
        **listed_api(model, name),
        "chain_id": model.chain_id,
        "asset": model.asset(name),
        "voucher_domain": {**domain, "verifyingContract": VERIFYING_CONTRACT},
        "promise": _promise(promise) if promise.court else None,
    }


def listed_api(model: BillingModel, name: str) -> dict[str, Any]:
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


def _promise(promise: Promise) -> dict[str, Any]:
    return {
        "court": promise.court,
        "payout_days": promise.payout_days,
        "max_refund_percent": promise.percent,
        "terms_sha256": sha256(promise.terms.encode()).hexdigest(),
        "from_day": promise.from_day,
    }


def promise(model: BillingModel, name: str, day_id: int) -> dict[str, Any]:
    found = model.apis[name].promise_on(day_id)
    return {
        "api_name": name,
        "day_id": day_id,
        **_promise(found),
        "terms": found.terms,
        "status_url": found.status_url,
        "next_from_day": min(
            (each.from_day for each in model.apis[name].promises if each.from_day > day_id), default=0
        ),
    }


def api_days(model: BillingModel, name: str) -> list[dict[str, int]]:
    return [
        {"day_id": day_id, "calls": day.calls, "earned_wei": day.earned, "payout_days": day.waits}
        for day_id, day in sorted(model.apis[name].days.items())
        if day_id > model.today - API_DAYS
    ]


def subscribers(model: BillingModel, name: str) -> list[dict[str, Any]]:
    kept = ("plan_name", "calls_today", "spend_today_wei", "calls_month", "spend_month_wei")
    kept = (*kept, "hold_wei", "hold_expires_at", "signer")
    lines = {consumer: _report_line(model, consumer, name) for consumer in model.apis[name].subscribers}
    return [
        {"consumer": consumer, "active": line["subscribed"], **{key: line[key] for key in kept}}
        for consumer, line in lines.items()
    ]


def earnings(model: BillingModel, operator: str) -> dict[str, Any]:
    return {
        "operator": operator,
        "earnings_wei": model.earnings.get(operator, 0),
        "withdrawn_wei": model.paid_to_operator.get(operator, 0),
        "refunded_wei": model.given_back.get(operator, 0),
        "apis": [
            {"api_name": name, "pending_wei": api.pending, "frozen_wei": model.frozen(name)}
            for name, api in model.apis.items()
            if api.operator == operator and api.promises
        ],
    }


def history(model: BillingModel, consumer: str, name: str, first: int = 0) -> list[dict[str, Any]]:
    """The days with usage of the last 400, from a day on."""
    days = sorted(
        (day_id, day)
        for (api_name, account, day_id), day in model.usage.items()
        if (api_name, account) == (name, consumer) and day_id >= max(first, model.today - HISTORY_DAYS + 1)
    )
    return [{"api_name": name, "day_id": day_id, "calls": day.calls, "spend_wei": day.spend} for day_id, day in days]


def session(model: BillingModel, consumer: str, name: str) -> dict[str, Any]:
    found = model.subscription(consumer, name)
    return {
        "consumer": consumer,
        "api_name": name,
        "signer": found.signer,
        "hold_wei": found.hold,
        "hold_expires_at": found.hold_until,
        "hold_from_day": found.hold_from,
        "in_force": model.in_force(found),
        "channels": [channel(model, channel_id) for channel_id in found.session],
    }


def channel(model: BillingModel, channel_id: str) -> dict[str, Any]:
    signed, billed = model.channels.get(channel_id, (0, 0))
    return {"channel_id": channel_id, "signed_wei": signed, "billed_wei": billed}


def paid_day(model: BillingModel, name: str, consumer: str, day_id: int) -> dict[str, Any]:
    day, refund = model.day(name, consumer, day_id), model.refunds.get((name, consumer, day_id), Refund())
    return {
        "api_name": name,
        "consumer": consumer,
        "day_id": day_id,
        "calls": day.calls,
        "paid_wei": day.spend,
        "refunded_wei": refund.refunded,
        "frozen_wei": refund.frozen,
        "frozen_at": refund.frozen_at,
        "pending": model.is_pending(name, consumer, day_id),
    }


def notices(model: BillingModel, consumer: str) -> list[tuple[int, str, str, str, int, int]]:
    """Number, kind, API, code, calls and wei of the notices that are kept."""
    numbered = [(number, *notice) for number, notice in enumerate(_account(model, consumer).notices, 1)]
    return numbered[-KEPT:]


def _account(model: BillingModel, consumer: str) -> Account:
    return model.accounts.get(consumer, Account())
