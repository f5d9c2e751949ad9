"""Amounts as a person reads them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.amounts import GEN, MAX_AMOUNT, Currency, Scale, Unit, format_wei, parse_wei

ONE_GEN = 10**18


@pytest.mark.parametrize(
    ("amount_wei", "text"),
    [
        (0, "0 GEN"),
        (ONE_GEN, "1 GEN"),
        (1_234_567 * ONE_GEN + ONE_GEN // 2, "1,234,567.5 GEN"),
        (10**14, "0.0001 GEN"),
        (25 * 10**12, "25,000 Gwei"),
        (1_500_000, "0.0015 Gwei"),
        (999, "999 wei"),
        (-ONE_GEN // 4, "-0.25 GEN"),
        (ONE_GEN + 1, "1.000000 GEN"),
    ],
)
def test_format_wei__any_size__has_a_unit_that_suits_it(amount_wei: int, text: str) -> None:
    assert format_wei(amount_wei) == text


def test_format_wei__exact__shows_every_wei() -> None:
    assert format_wei(ONE_GEN + 1, exact=True) == "1.000000000000000001 GEN"


def test_scale__amounts_of_a_column__have_one_unit_and_as_many_decimals() -> None:
    scale = Scale.of([5 * ONE_GEN, ONE_GEN // 8, 0])
    assert scale.unit == Unit("GEN", 18)
    assert [scale.number(amount) for amount in (5 * ONE_GEN, ONE_GEN // 8, 0)] == ["5.000", "0.125", "0.000"]


def test_scale__what_the_decimals_cannot_show__is_rounded_half_up() -> None:
    scale = Scale(Unit("Gwei", 9), 0)
    assert [scale.number(amount) for amount in (499_999_999, 500_000_000, -500_000_000)] == ["0", "1", "-1"]


def test_scale__no_amounts__is_zero_gen() -> None:
    assert Scale.of([]).text(0) == "0 GEN"


@given(st.integers(-(10**30), 10**30))
def test_format_wei__exact__can_be_read_back(amount_wei: int) -> None:
    number, unit = format_wei(amount_wei, exact=True).split()
    decimals = {unit.name: unit.decimals for unit in GEN.units}[unit]
    assert Fraction(number.replace(",", "")) * 10**decimals == amount_wei


@pytest.mark.parametrize(
    ("text", "amount_wei"),
    [
        ("0.5gen", ONE_GEN // 2),
        ("3gwei", 3 * 10**9),
        ("7wei", 7),
        ("1000000", 10**6),
        ("1,234.5 GEN", 12345 * ONE_GEN // 10),
        (" 2 Gen ", 2 * ONE_GEN),
        ("0.000000000000000001gen", 1),
        ("1.0wei", 1),
        ("0", 0),
        ("340282366920938463463374607431768211455", 2**128 - 1),
    ],
)
def test_parse_wei__written_amount__is_exact(text: str, amount_wei: int) -> None:
    assert parse_wei(text) == amount_wei


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "is not an amount"),
        ("gen", "is not an amount"),
        ("-1", "is not an amount"),
        ("+1gen", "is not an amount"),
        ("1e18", "is not an amount"),
        ("1.gen", "is not an amount"),
        (".5gen", "is not an amount"),
        ("1,23gen", "is not an amount"),
        ("0x10", "is not an amount"),
        ("٣gen", "is not an amount"),
        ("1 gen gen", "is not an amount"),
        ("1eth", "unknown unit 'eth'"),
        ("0.5", "name the unit, as in 0.5gen"),
        ("0.5wei", "not a whole number of wei"),
        ("0.0000000000000000001gen", "not a whole number of wei"),
        ("340282366920938463463374607431768211456", "more than the contract can count"),
        ("9" * 5000, "more digits"),
    ],
)
def test_parse_wei__no_amount__says_why(text: str, because: str) -> None:
    with pytest.raises(ValueError, match=because):
        parse_wei(text)


@given(st.integers(0, 2**128 - 1))
def test_parse_wei__what_format_writes_exactly__is_read_back(amount_wei: int) -> None:
    assert parse_wei(format_wei(amount_wei, exact=True)) == amount_wei


CURRENCIES = st.one_of(
    st.just(GEN),
    st.builds(
        Currency,
        st.sampled_from(["USD", "eur", "USDC", "credits", "Tokens", "points"]),
        st.integers(0, 18),
    ),
)


@given(CURRENCIES, st.integers(0, MAX_AMOUNT))
def test_currency_amount__what_text_writes_exactly__is_read_back(currency: Currency, amount: int) -> None:
    assert currency.amount(currency.text(amount, exact=True)) == amount
    assert currency.is_gen or currency.amount(currency.text(amount)) == amount


@given(CURRENCIES, st.integers(0, 10**30), st.integers(0, 18))
def test_currency_amount__written_decimals__are_that_part_of_one(currency: Currency, tail: int, decimals: int) -> None:
    number = f"{tail // 10**decimals}.{tail % 10**decimals:0{decimals}d}" if decimals else str(tail)
    exact = Fraction(tail, 10**decimals) * 10**currency.decimals
    if exact.denominator == 1:
        assert currency.amount(f"{number} {currency.code}") == exact
    else:
        with pytest.raises(ValueError, match=r"more decimals than|not a whole number"):
            currency.amount(f"{number}{currency.code}")


@given(CURRENCIES, st.lists(st.integers(-MAX_AMOUNT, MAX_AMOUNT), min_size=1, max_size=5))
def test_currency_scale__amounts_of_a_column__have_one_unit_and_one_number_of_decimals(
    currency: Currency, amounts: list[int]
) -> None:
    scale = currency.scale(amounts, exact=True)
    written = [scale.number(amount) for amount in amounts]
    assert len({len(number.partition(".")[2]) for number in written}) == 1
    assert [Fraction(number.replace(",", "")) * 10**scale.unit.decimals for number in written] == amounts


@pytest.mark.parametrize(
    ("code", "named", "decimals"),
    [("GEN", "GEN", 18), ("gen", "GEN", 18), ("usd", "USD", 9), ("USDC", "USDC", 9), ("credits", "credits", 0)],
)
def test_currency__decimals_not_given__are_those_that_suit_it(code: str, named: str, decimals: int) -> None:
    assert Currency(code) == Currency(named, decimals)


@pytest.mark.parametrize(
    "code", ["", "US", "h", "wei", "Gwei", "calls", "Requests", "a b", "usd1", "x" * 17, "ÄÖÜ", None]
)
def test_currency__code_that_is_none__says_what_one_is(code: str) -> None:
    with pytest.raises(ValueError, match="3 to 16 letters"):
        Currency(code)


@pytest.mark.parametrize(
    ("code", "decimals", "because"),
    [("USD", 19, "0 to 18"), ("USD", -2, "0 to 18"), ("USD", True, "0 to 18"), ("GEN", 9, "18 decimals")],
)
def test_currency__decimals_that_cannot_be__says_so(code: str, decimals: int, because: str) -> None:
    with pytest.raises(ValueError, match=because):
        Currency(code, decimals)


@pytest.mark.parametrize(
    ("currency", "text", "amount"),
    [
        (Currency("USD"), "0.002 usd", 2_000_000),
        (Currency("USD"), "1,234.5USD", 1_234_500_000_000),
        (Currency("USD"), "0", 0),
        (Currency("USD", 2), "5usd", 500),
        (Currency("credits"), "3 credits", 3),
        (Currency("credits"), "1 credit", 1),
        (Currency("credits"), "500", 500),
        (Currency("Tokens", 3), "0.5 tokens", 500),
    ],
)
def test_currency_amount__written__is_exact(currency: Currency, text: str, amount: int) -> None:
    assert currency.amount(text) == amount


@pytest.mark.parametrize(
    ("currency", "text", "because"),
    [
        (Currency("USD"), "0.5 gen", "unknown unit 'gen', and money is counted in USD here: write it as 0.5usd"),
        (Currency("USD"), "5 wei", "unknown unit 'wei', and money is counted in USD here"),
        (GEN, "5 usd", "unknown unit 'usd': write it as 0.5gen, 3gwei, 7wei or whole wei"),
        (Currency("USD"), "5", "has no unit: write it as 0.5usd"),
        (Currency("USD"), "0.5", "has no unit"),
        (Currency("USD"), "0.0000000001usd", "more decimals than USD has: 9"),
        (Currency("credits"), "0.5 credits", "more decimals than credits has: 0"),
        (Currency("credits"), str(MAX_AMOUNT + 1), "more than a meter can count"),
        (Currency("USD"), "-5usd", "not an amount: write it as 0.5usd"),
    ],
)
def test_currency_amount__not_of_the_currency__says_why(currency: Currency, text: str, because: str) -> None:
    with pytest.raises(ValueError, match=because):
        currency.amount(text)


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [
        (Currency("USD"), 2_000_000, "0.002 USD"),
        (Currency("USD"), 5, "0.000000005 USD"),
        (Currency("USD"), -1_500_000_000, "-1.5 USD"),
        (Currency("credits"), 1, "1 credit"),
        (Currency("credits"), 1_000, "1,000 credits"),
        (Currency("credits"), 0, "0 credits"),
        (Currency("bonus"), 1, "1 bonus"),
    ],
)
def test_currency_text__of_another_than_gen__shows_all_of_it(currency: Currency, amount: int, text: str) -> None:
    assert currency.text(amount) == text
