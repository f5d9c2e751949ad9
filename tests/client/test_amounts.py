"""Amounts as a person reads them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.amounts import GEN, GWEI, WEI, Scale, format_wei, parse_wei

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
    assert scale.unit == GEN
    assert [scale.number(amount) for amount in (5 * ONE_GEN, ONE_GEN // 8, 0)] == ["5.000", "0.125", "0.000"]


def test_scale__what_the_decimals_cannot_show__is_rounded_half_up() -> None:
    scale = Scale(GWEI, 0)
    assert [scale.number(amount) for amount in (499_999_999, 500_000_000, -500_000_000)] == ["0", "1", "-1"]


def test_scale__no_amounts__is_zero_gen() -> None:
    assert Scale.of([]).text(0) == "0 GEN"


@given(st.integers(-(10**30), 10**30))
def test_format_wei__exact__can_be_read_back(amount_wei: int) -> None:
    number, unit = format_wei(amount_wei, exact=True).split()
    decimals = {unit.name: unit.decimals for unit in (GEN, GWEI, WEI)}[unit]
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
