"""What a response costs while it goes out: in a session nothing goes out that is not set aside before."""

from collections.abc import Iterator
from typing import Any

import pytest

from api_billing.metering import Meter, by_processing_time, by_response_size, first_of, fixed, from_header, from_voucher
from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.ledger.operations import ReserveMore, Settle
from api_billing.metering.ledger.rows import REQUESTS
from api_billing.metering.ledger.session_rows import CHANNELS
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.running import IN_COROUTINE, IN_THREAD, Patience
from api_billing.metering.stores.steps import Pause, Steps

from ..settlement.signing import WHO
from ..web.paying import API, Shop, open_shop

ONE_A_BYTE = by_response_size(0, 1024)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop(first_of(from_voucher(), from_header("x-consumer"))) as shop:
        yield shop


def exchange_of(shop: Shop, signed_wei: int, **terms: Any) -> Exchange:
    """A request that is being served, with a voucher."""
    headers = TextHeaders(list(shop.by_voucher(signed_wei).items()))
    request = MeteredRequest("GET", "/it", headers, at_ms=shop.world.now_ms, body=b"")
    given = {"estimate_wei": 10, "price": ONE_A_BYTE, **terms}
    exchange = Exchange(shop.meter.metering(API, **given), request)
    assert exchange.begin() is None
    return exchange


def end(exchange: Exchange, body_bytes: int) -> None:
    response = MeteredResponse(
        200, TextHeaders([]), body_bytes=body_bytes, duration_ms=exchange.duration_ms(), body=None
    )
    exchange.finish(response)


def test_stream__within_its_estimate__asks_for_nothing(shop: Shop) -> None:
    exchange = exchange_of(shop, 100)
    assert (exchange.is_bounded, exchange.outgrows(10), exchange.outgrows(11)) == (True, False, True)
    assert shop.channel.reserved_wei == 10


def test_stream__that_outgrows_its_estimate__has_as_much_again_set_aside(shop: Shop) -> None:
    exchange = exchange_of(shop, 100)
    assert exchange.cover(11)
    assert (shop.channel.reserved_wei, exchange.outgrows(20), exchange.outgrows(21)) == (20, False, True)
    assert exchange.cover(55)
    end(exchange, 55)
    assert (shop.channel.charged_wei, shop.channel.reserved_wei) == (55, 0)


def test_stream__with_less_signed_than_as_much_again__has_what_it_needs_set_aside(shop: Shop) -> None:
    exchange = exchange_of(shop, 15)
    assert (exchange.cover(16), exchange.cover(15)) == (False, True)
    assert shop.channel.reserved_wei == 15


def test_stream__up_to_the_price_accepted_for_a_call__ends_there(shop: Shop) -> None:
    terms = shop.world.chain.subscriptions[API, WHO]
    terms.price_wei = terms.accepted_price_wei = 25
    exchange = exchange_of(shop, 100)
    assert (exchange.cover(11), exchange.cover(25), exchange.cover(26)) == (True, True, False)
    end(exchange, 25)
    assert shop.channel.charged_wei == 25  # which the contract bills


def test_stream__by_time__is_asked_for_by_the_clock(shop: Shop) -> None:
    exchange = exchange_of(shop, 20, price=by_processing_time(0, 1))
    shop.world.at(shop.world.now_ms + 11_000)
    assert exchange.outgrows(0)
    assert exchange.cover(0)
    shop.world.at(shop.world.now_ms + 10_000)
    assert not exchange.cover(0)
    exchange.cut()
    end(exchange, 5)
    assert shop.channel.charged_wei == 20  # never more than was signed


@pytest.mark.parametrize("price", [fixed(30), lambda request, response: 30])
def test_stream__whose_price_does_not_grow__never_outgrows_its_estimate(shop: Shop, price: Any) -> None:
    exchange = exchange_of(shop, 10, price=price)
    assert not exchange.outgrows(10**6)


def test_stream__whose_cost_the_application_sets__grows_with_it(shop: Shop) -> None:
    exchange = exchange_of(shop, 20, price=fixed(1))
    exchange.set_cost_wei(20)
    assert exchange.outgrows(1)
    assert exchange.cover(1)
    exchange.set_cost_wei(21)
    assert not exchange.cover(2)
    exchange.cut()
    end(exchange, 1)
    assert shop.channel.charged_wei == 20


def test_stream__cut_off_before_a_piece__is_not_charged_for_it(shop: Shop) -> None:
    exchange = exchange_of(shop, 10, price=fixed(1))
    exchange.extend(4)
    assert not exchange.outgrows(1)
    exchange.extend(10)
    assert not exchange.cover(2)
    exchange.cut()
    end(exchange, 1)
    assert shop.channel.charged_wei == 5


def test_stream__of_a_channel_that_others_use__leaves_them_what_is_theirs(shop: Shop) -> None:
    first, second = exchange_of(shop, 30), exchange_of(shop, 30)
    assert first.cover(11)
    assert not second.cover(11)
    end(first, 11)
    assert second.cover(11)


# --- waiting for a voucher


def waited(
    exchange: Exchange, body_bytes: int, shop: Shop, brings: dict[int, int], patience: Patience = IN_COROUTINE
) -> tuple[bool, list[float]]:
    """Drive the flow of a wait; after so many pauses another request brings a voucher for this sum."""
    steps, pauses = exchange._running.cover(exchange._reserve, body_bytes, patience), []
    answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as ended:
            return ended.value, pauses
        answer = None
        if not isinstance(step, Pause):
            answer = shop.world.call(step)  # type: ignore[arg-type]
            continue
        pauses.append(step.seconds)
        shop.world.at(shop.world.now_ms + round(step.seconds * 1000))
        if len(pauses) in brings:
            shop.put(brings[len(pauses)])


def test_wait__voucher_brought_by_another_request__goes_on(shop: Shop) -> None:
    exchange = exchange_of(shop, 10)
    assert not exchange.cover(11)
    covered, pauses = waited(exchange, 11, shop, {3: 11})
    assert (covered, len(pauses)) == (True, 3)
    assert pauses == sorted(pauses)


@pytest.mark.parametrize(("patience", "seconds"), [(IN_COROUTINE, 60), (IN_THREAD, 10)])
def test_wait__voucher_for_too_little__waits_on_for_its_time_and_no_longer(
    shop: Shop, patience: Patience, seconds: int
) -> None:
    exchange = exchange_of(shop, 10)
    covered, pauses = waited(exchange, 20, shop, {3: 19}, patience)
    assert (covered, round(sum(pauses), 6)) == (False, seconds)


@pytest.mark.parametrize(("patience", "seconds"), [(IN_COROUTINE, 600), (IN_THREAD, 20)])
def test_wait__again_and_again__is_bounded_in_all(shop: Shop, patience: Patience, seconds: int) -> None:
    """Who brings the least voucher at the last moment keeps a stream waiting no longer, piece by piece."""
    exchange, times, covered = exchange_of(shop, 10), [0.0], True
    last = len(waited(exchange_of(shop, 20), 1_000, shop, {}, patience)[1])
    for signed_wei in range(21, 100):
        covered, pauses = waited(exchange, signed_wei - 10, shop, {last: signed_wei}, patience)
        times.append(sum(pauses))
        if not covered:
            break
    assert not covered
    assert seconds - 1 < sum(times) < seconds + 1


def test_wait__in_threads__is_for_one_or_a_quarter_of_what_is_served(shop: Shop) -> None:
    exchanges = [exchange_of(shop, 90) for _ in range(9)]

    def waiting(exchange: Exchange) -> Steps[bool] | None:
        """A flow that pauses; None when it has ended at once."""
        steps = exchange._running.cover(exchange._reserve, 1_000, IN_THREAD)
        return steps if isinstance(next(steps, None), Pause) else None

    flows = [flow for exchange in exchanges if (flow := waiting(exchange)) is not None]
    assert len(flows) == 3
    flows[0].close()  # as it goes on, or its client is gone
    assert waiting(exchanges[8]) is not None
    for exchange in exchanges[1:]:
        end(exchange, 1)
    assert waiting(exchanges[0]) is None
    for flow in flows:
        flow.close()


def test_wait__of_a_stream_by_time__costs_nothing(shop: Shop) -> None:
    exchange = exchange_of(shop, 10, price=by_processing_time(0, 1))
    shop.world.at(shop.world.now_ms + 11_000)
    assert waited(exchange, 0, shop, {9: 11})[0]
    end(exchange, 1)
    assert shop.channel.charged_wei == 11


# --- what fails, and what is none of it


def test_stream__store_does_not_answer__ends_before_the_piece(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = exchange_of(shop, 100)
    perform = shop.world.store._perform

    def away(operations: Any) -> Any:
        if any(isinstance(operation, ReserveMore) for operation in operations):
            raise StoreUnavailable("it is away")
        return perform(operations)

    monkeypatch.setattr(shop.world.store, "_perform", away)
    assert not exchange.cover(11)
    exchange.cut()
    end(exchange, 10)
    assert shop.channel.charged_wei == 10


def test_stream__whose_reservation_the_store_has_lost__is_charged_all_the_same(shop: Shop) -> None:
    exchange = exchange_of(shop, 100)
    assert exchange.cover(15)
    tables = shop.world.store._tables  # type: ignore[attr-defined]
    lost = tables.rows[REQUESTS].pop((exchange.reservation_id,))
    tables.account(lost.reserve.account).reserved_wei -= lost.estimate_wei
    (channel,) = tables.rows[CHANNELS].values()
    channel.reserved_wei -= lost.estimate_wei
    end(exchange, 15)
    assert (shop.channel.charged_wei, shop.channel.reserved_wei) == (15, 0)


def test_response__as_a_whole__costs_at_most_its_estimate_and_what_the_application_adds(shop: Shop) -> None:
    exchange = exchange_of(shop, 100)
    end(exchange, 50)
    assert shop.channel.charged_wei == 10
    exchange = exchange_of(shop, 100)
    exchange.extend(5)
    end(exchange, 50)
    assert shop.channel.charged_wei == 10 + 15


def test_response__extended_beyond_what_is_signed__costs_its_estimate(shop: Shop) -> None:
    exchange = exchange_of(shop, 12)
    exchange.extend(5)
    end(exchange, 10)
    assert shop.channel.charged_wei == 10


def test_extend__with_credit_in_the_store__is_charged_from_it() -> None:
    with Meter.open("memory://", identify=from_header("x-consumer")) as meter:
        meter.add_consumer("ann")
        meter.grant("ann", 100, grant_id="first")
        request = MeteredRequest("GET", "/it", TextHeaders([("x-consumer", "ann")]), at_ms=meter.now_ms(), body=b"")
        exchange = Exchange(meter.metering("demo", estimate_wei=10), request)
        assert exchange.begin() is None
        assert not exchange.is_bounded
        exchange.extend(5)
        exchange.extend(6)
        end(exchange, 1)
        assert meter.balance("ann").charged_wei == 21


@pytest.mark.parametrize("amount", [-1, 1.5, True, "1"])
def test_extend__by_what_is_no_amount__is_refused(shop: Shop, amount: Any) -> None:
    with pytest.raises(InvalidSetting):
        exchange_of(shop, 10).extend(amount)


def test_stream__ended__asks_for_nothing_more(shop: Shop) -> None:
    exchange = exchange_of(shop, 100)
    end(exchange, 10)
    assert (exchange.is_bounded, exchange.cover(11)) == (False, False)
    assert not any(isinstance(each, Settle) for each in shop.meter.keeper._failed)
