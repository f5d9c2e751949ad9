"""Prices: exact, rounded up, and never failing the request."""

import asyncio
import logging
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import MAX_AMOUNT_WEI
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.prices import (
    Price,
    Priced,
    by_processing_time,
    by_response_size,
    check_wei,
    fallback_wei,
    fixed,
    price_of,
)
from api_billing.metering.stores.steps import arun, run

REQUEST = MeteredRequest("GET", "/a", TextHeaders([]))
WEI = st.integers(0, 10**30)


def response(body_bytes: int = 0, duration_ms: int = 0) -> MeteredResponse:
    return MeteredResponse(200, TextHeaders([]), body_bytes=body_bytes, duration_ms=duration_ms)


def priced(price: Price, estimate_wei: int = 100, fallback_percent: int = 10) -> Priced:
    return run(price_of(price, REQUEST, response(), estimate_wei, fallback_percent), lambda operation: operation)


def test_fixed__any_response__is_the_same() -> None:
    assert [fixed(7)(REQUEST, response(size)) for size in (0, 10**9)] == [7, 7]


@pytest.mark.parametrize(("size", "cost"), [(0, 5), (1, 6), (1024, 5 + 10), (1025, 5 + 11), (10_240, 105)])
def test_by_response_size__bytes__are_charged_exactly_and_rounded_up(size: int, cost: int) -> None:
    assert by_response_size(base_wei=5, per_kib_wei=10)(REQUEST, response(size)) == cost


@given(WEI, WEI, st.integers(0, 10**12))
def test_by_response_size__any__is_the_exact_sum_rounded_up(base: int, per_kib: int, size: int) -> None:
    assert by_response_size(base, per_kib)(REQUEST, response(size)) == ceil(base + Fraction(per_kib * size, 1024))


@given(WEI, WEI, st.integers(0, 10**9))
def test_by_processing_time__any__is_the_exact_sum_rounded_up(base: int, per_second: int, took_ms: int) -> None:
    cost = by_processing_time(base, per_second)(REQUEST, response(duration_ms=took_ms))
    assert cost == ceil(base + Fraction(per_second * took_ms, 1000))


def test_by_processing_time__clock_set_back__is_the_base() -> None:
    assert by_processing_time(5, 1000)(REQUEST, response(duration_ms=-50)) == 5


@pytest.mark.parametrize("amount", [-1, True, 1.0, "1", None, MAX_AMOUNT_WEI + 1])
def test_check_wei__no_amount__invalid_setting(amount: object) -> None:
    with pytest.raises(InvalidSetting, match="price"):
        check_wei("a price", amount)


@pytest.mark.parametrize("amount", [0, 1, MAX_AMOUNT_WEI])
def test_check_wei__amount__is_returned(amount: int) -> None:
    assert check_wei("a price", amount) == amount


@pytest.mark.parametrize(
    "make",
    [
        fixed,
        lambda bad: by_response_size(bad, 1),
        lambda bad: by_response_size(1, bad),
        lambda bad: by_processing_time(bad, 1),
        lambda bad: by_processing_time(1, bad),
    ],
)
def test_price__made_of_a_float__invalid_setting(make: Any) -> None:
    with pytest.raises(InvalidSetting):
        make(0.5)


def test_price_of__amount__is_charged() -> None:
    assert priced(fixed(42)) == Priced(42)


async def later(request: MeteredRequest, response: MeteredResponse) -> int:
    await asyncio.sleep(0)
    return 42


async def failing(request: MeteredRequest, response: MeteredResponse) -> int:
    raise LookupError("no such model")


def test_price_of__own_coroutine_in_a_thread__is_awaited() -> None:
    assert priced(later) == Priced(42)


def test_price_of__own_coroutine_in_a_coroutine__is_awaited() -> None:
    async def nothing(_: object) -> None: ...

    assert asyncio.run(arun(price_of(later, REQUEST, response(), 100, 10), nothing)) == Priced(42)


@pytest.mark.parametrize("price", [lambda *_: 1 // 0, failing], ids=["callable", "coroutine"])
def test_price_of__price_raises__is_the_share_of_the_estimate(price: Price) -> None:
    assert priced(price, estimate_wei=101).wei == 11


def test_price_of__price_raises__names_the_exception_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert priced(failing).problem == "LookupError"
    assert "no such model" in caplog.text


@pytest.mark.parametrize("nonsense", [-1, 1.5, None, b"5", True, MAX_AMOUNT_WEI + 1])
def test_price_of__nonsense__is_the_share_of_the_estimate(nonsense: Any) -> None:
    assert priced(lambda *_: nonsense) == Priced(10, "no amount")


@pytest.mark.parametrize(("percent", "cost"), [(0, 0), (10, 1), (50, 3), (100, 5)])
def test_fallback_wei__share_of_five__is_rounded_up(percent: int, cost: int) -> None:
    assert fallback_wei(5, percent) == cost
