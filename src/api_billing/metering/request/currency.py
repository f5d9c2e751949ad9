"""What the money of a store is counted in: kept by the first meter that says so, and others are refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from api_billing.amounts import GEN, Currency
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.consumer_operations import KeepCurrency, ListProfiles, ListTiers
from api_billing.metering.ledger.operations import Balance, ListRecords, ReadBalance
from api_billing.metering.limits.quotas import Quota
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.stores.steps import Steps

_PAGE: Final = 100


def check_currency(currency: Currency, *, decides: bool) -> Steps[bool]:
    """Whether the store is known to count in this currency; False when it has none yet. With ``decides`` it has this
    one then.

    Raises: InvalidSetting when it counts in another.
    """
    kept: str = yield KeepCurrency()
    if not kept and not currency.is_gen and (yield from _has_money()):
        kept = f"{GEN.code} {GEN.decimals}"  # before there were others, all money was that
    if not kept and decides:
        kept = yield KeepCurrency(f"{currency.code} {currency.decimals}")
    if not kept:
        return False
    found = currency_of(kept)
    if (found.code.lower(), found.decimals) != (currency.code.lower(), currency.decimals):
        is_usual = all(each == Currency(each.code) for each in (found, currency))
        decimals = "" if is_usual else f" API_BILLING_CURRENCY_DECIMALS={found.decimals}"
        raise InvalidSetting(
            f"this store counts money in {found}, and not in {currency}",
            hint=f"set API_BILLING_CURRENCY={found.code}{decimals}, or take another store",
        )
    return True


def currency_of(kept: str) -> Currency:
    """The currency that a store keeps."""
    code, _, decimals = kept.partition(" ")
    return Currency(code, int(decimals))


def _has_money() -> Steps[bool]:
    """Whether anything is counted in money yet: requests, credit, or limits of consumers."""
    if (yield ListRecords(limit=1)):
        return True
    tiers: tuple[Tier, ...] = yield ListTiers()
    if any(_are_money(tier.quotas) for tier in tiers):
        return True
    after = ""
    while profiles := (yield ListProfiles(after, _PAGE)):
        for profile in profiles:
            balance: Balance = yield ReadBalance(profile.consumer)
            if balance.epoch or profile.budgets or _are_money(profile.quotas):
                return True
        after = profiles[-1].consumer
    return False


def _are_money(quotas: Iterable[Quota]) -> bool:
    return any(quota.unit == "wei" for quota in quotas)
