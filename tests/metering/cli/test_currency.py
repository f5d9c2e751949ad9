"""The commands of a meter that counts in another currency than GEN."""

import re
from typing import Any

import pytest

from api_billing.metering import Meter, fixed
from api_billing.metering.errors import InvalidSetting

USD = 10**9


@pytest.fixture
def usd(run: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on a store in dollars, with the consumer acme and 5 USD of credit."""
    monkeypatch.setenv("API_BILLING_CURRENCY", "USD")
    run("consumers", "add", "acme")
    run("credit", "add", "acme", "5usd", "--id", "first")
    return run


def test_credit__in_dollars__is_shown_in_them(usd: Any) -> None:
    shown = usd("credit", "show", "acme", "--json").json
    assert (shown["granted_wei"], shown["currency"], shown["currency_decimals"]) == (5 * USD, "USD", 9)
    assert "free      5 USD" in usd("credit", "show", "acme").out
    assert "free      3.5 USD" in usd("credit", "take", "acme", "1.5 usd").out


def test_credit__that_nobody_could_get__decides_of_no_currency(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("consumers", "add", "acme")
    refused = run("credit", "add", "acne", "5gen", code=2)
    assert "no consumer is called 'acne'" in refused.err
    assert "grant " not in refused.out + refused.err
    monkeypatch.setenv("API_BILLING_CURRENCY", "USD")
    assert "5 USD" in run("credit", "add", "acme", "5usd").out


@pytest.mark.parametrize("amount", ["5gen", "5", "five"])
def test_credit__amount_that_is_none_in_the_currency__is_refused(usd: Any, amount: str) -> None:
    assert "write it as 0.5usd" in usd("credit", "add", "acme", amount, code=2).err
    assert usd("credit", "show", "acme", "--json").json["granted_wei"] == 5 * USD


def test_refusals__in_dollars__speak_of_no_wei(usd: Any) -> None:
    again = usd("credit", "add", "acme", "6usd", "--id", "first", code=1).err
    assert "was made before: 5000000000 smallest units for 'acme'" in again
    with Meter.open("memory://", currency="USD") as meter:
        for terms in ({"estimate_wei": 1.5}, {"price": 1.5}, {"price": fixed("0.1 usd"), "estimate_wei": -1}):
            with pytest.raises(InvalidSetting) as error:
                meter.metering(api="weather", **terms)
            assert not re.search(r"\bwei\b", str(error.value))


@pytest.mark.parametrize(
    "words", [("audit",), ("statement", "acme", "--month", "2026-03"), ("credit", "add", "acme", "1usd")]
)
def test_reports__as_json__say_what_amounts_are_in(usd: Any, words: tuple[str, ...]) -> None:
    shown = usd(*words, "--json").json
    assert (shown["currency"], shown["currency_decimals"]) == ("USD", 9)


def test_limits__in_dollars__are_shown_in_them(usd: Any) -> None:
    budget = ("budget", "set", "acme", "month", "--per", "month", "--spending")
    assert usd(*budget, "2usd", "--json").json[0]["limit_wei"] == 2 * USD
    assert "2.5 USD a month" in usd(*budget, "2.5 usd").out
    assert "0.5 USD" in usd("quota", "set", "acme", "day", "--per", "day", "--spending", "0.5usd").out
    assert "write it as 0.5usd" in usd(*budget, "2gen", code=2).err
    usd("keys", "create", "acme", "--cap", "2.5 usd", "--per", "day")
    assert "cap 2.5 USD a day" in usd("keys", "list").out


def test_credit__in_counted_credits__needs_no_unit(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_CURRENCY", "credits")
    run("consumers", "add", "acme")
    assert "500 credits" in run("credit", "add", "acme", "500").out
    assert "1 credit\n" in run("credit", "take", "acme", "499 credits").out


def test_commands__without_the_setting__count_in_the_stores_currency(usd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_BILLING_CURRENCY")
    assert "7 USD" in usd("credit", "add", "acme", "2usd").out
    monkeypatch.setenv("API_BILLING_CURRENCY", "GEN")
    refused = usd("credit", "show", "acme", code=2).err
    assert "counts money in USD" in refused
    assert "set API_BILLING_CURRENCY=USD" in refused


def test_settle__store_in_dollars__is_refused(usd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("USD", None):
        monkeypatch.setenv("API_BILLING_CURRENCY", setting) if setting else monkeypatch.delenv("API_BILLING_CURRENCY")
        assert "only GEN is settled" in usd("settle", "status", "weather", code=2).err


@pytest.mark.parametrize("words", [("credit", "add"), ("usage",), ("serve",), ("migrate",)])
def test_help__of_a_command_of_the_meter__shows_no_options_of_the_chain(run: Any, words: tuple[str, ...]) -> None:
    shown = run(*words, "--help").out
    assert "--store" in shown
    assert "--json" in shown
    assert not any(f"--{option}" in shown for option in ("network", "contract", "account", "max-fee", "timeout"))


def test_options_of_the_chain__given_to_a_command_of_the_meter__are_taken(usd: Any) -> None:
    assert "5 USD" in usd("credit", "show", "acme", "--network", "localnet", "--timeout", "5").out
