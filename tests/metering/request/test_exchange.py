"""One metered request from its arrival to its settlement, on a store in memory and without a framework."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering import (
    Budget,
    Meter,
    Metering,
    NotEstimable,
    Quota,
    Step,
    by_response_size,
    first_of,
    from_header,
)
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.errors import InvalidSetting, MeterError, StoreUnavailable
from api_billing.metering.ledger.consumer_operations import GetProfile, ListTiers, PutProfile, RevokeKey
from api_billing.metering.ledger.operations import (
    Balance,
    Extend,
    GetRecord,
    ListRecords,
    Operation,
    Outcome,
    Record,
    Release,
    Reserve,
    Settle,
    StoredResponse,
)
from api_billing.metering.ledger.rows import REQUESTS
from api_billing.metering.request.exchange import Exchange, current_exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import KINDS, Answer
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores.memory.store import MemoryStore

START_MS = 1_769_860_800_000  # 2026-01-31 12:00 UTC
BY_NAME = from_header("x-consumer")


class FailingStore(MemoryStore):
    """Fails operations of a kind, before or after they were performed, as often as told."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[tuple[type[Operation[Any]], str]] = []
        self.performed: list[Operation[Any]] = []

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Any]:
        when = ""
        for operation in operations:
            for failure in self.failures:
                if isinstance(operation, failure[0]):
                    self.failures.remove(failure)
                    when = failure[1]
                    break
        if when == "before":
            raise StoreUnavailable("the store is away")
        replies = super()._perform(operations)
        self.performed += operations
        if when == "after":
            raise StoreUnavailable("the answer got lost")
        return replies

    def lose(self, reservation_id: str) -> None:
        """As SQLite does when the commit fails that would have written it."""
        made = self._tables.rows[REQUESTS].pop((reservation_id,)).reserve
        self._tables.account(made.account).reserved_wei -= made.estimate_wei


class FakeClock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Desk:
    """A meter on a failing store, with a consumer ``alice`` who has 1,000 wei."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.store = FailingStore()
        self.draws = iter([0] * 1_000)
        loaded = MeterSettings.load(store_url="memory://", **settings)
        self.meter = Meter(self.store, loaded, clock_ms=self.clock, randrange=self.drawn)
        self.meter.add_consumer("alice", tier="enterprise")
        self.meter.grant("alice", 1_000, grant_id="first")
        # What the keeper does in its thread is done here by ``tick``.
        self.meter.keeper.start = lambda: None  # type: ignore[method-assign]

    def drawn(self, below: int) -> int:
        return min(next(self.draws), below - 1)

    def metering(self, **terms: Any) -> Metering:
        return self.meter.metering("weather", **{"estimate_wei": 100, "identify": BY_NAME, **terms})

    def request(self, *fields: tuple[str, str], method: str = "GET", body: bytes = b"") -> MeteredRequest:
        headers = TextHeaders([("x-consumer", "alice"), *fields])
        return MeteredRequest(method, "/forecast", headers, at_ms=self.clock.now_ms, body=body)

    def exchange(self, *fields: tuple[str, str], **terms: Any) -> Exchange:
        return Exchange(self.metering(**terms), self.request(*fields))

    def begin(self, exchange: Exchange) -> Answer | None:
        return exchange.begin()

    def finish(self, exchange: Exchange, status: int = 200, body: bytes = b"sunny") -> dict[str, str]:
        kept = body if exchange.keeps_body else None
        response = MeteredResponse(
            status, TextHeaders([("Content-Type", "text/plain")]), body_bytes=len(body), body=kept
        )
        return dict(exchange.finish(response))

    def serve(self, *fields: tuple[str, str], **terms: Any) -> Answer | dict[str, str]:
        exchange = self.exchange(*fields, **terms)
        answer = self.begin(exchange)
        return self.finish(exchange) if answer is None else answer

    @property
    def balance(self) -> Balance:
        return self.meter.balance("alice")

    @property
    def records(self) -> tuple[Record, ...]:
        return self.store.call(ListRecords())


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def open_(**settings: Any) -> Desk:
        desks.append(Desk(**settings))
        return desks[-1]

    yield open_
    for desk in desks:
        desk.meter.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk()


def code_of(answer: object) -> tuple[int, str]:
    assert isinstance(answer, Answer)
    assert dict(answer.headers)["content-type"] == "application/problem+json"
    return answer.status, json.loads(answer.body)["code"]


# --- served


def test_exchange__served__charges_the_price_and_gives_back_the_rest(desk: Desk) -> None:
    fields = desk.serve(price=by_response_size(10, 1024))
    assert isinstance(fields, dict)
    assert fields["x-cost-wei"] == "15"
    assert desk.balance[:3] == (1_000, 0, 15)


def test_exchange__while_being_served__holds_the_estimate(desk: Desk) -> None:
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    assert desk.balance[:3] == (1_000, 100, 0)


def test_exchange__without_a_price__charges_the_estimate(desk: Desk) -> None:
    desk.serve()
    assert desk.balance.charged_wei == 100


def test_exchange__cost_set_by_the_handler__is_charged(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    found = current_exchange()
    assert found is exchange
    found.set_cost_wei(7)
    found.tag(model="small", tokens=3)
    desk.finish(exchange)
    assert desk.balance.charged_wei == 7
    assert desk.records[-1].outcome.tags == '{"model":"small","tokens":3}'
    assert current_exchange() is None


def test_exchange__told_of_a_cost_when_it_is_settled__logs_that_it_is_too_late(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    exchange.extend(1)
    exchange.tag(model="small")
    desk.finish(exchange)
    assert not caplog.records
    for _ in range(3):
        exchange.set_cost_wei(99)
        exchange.extend(5)
        exchange.tag(model="large")
    assert [record.getMessage() for record in caplog.records] == [
        f"{what} has no effect on 'GET' '/forecast', which is settled: charge what comes later with meter.charge"
        for what in ("set_cost_wei", "extend", "tag")
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert desk.balance.charged_wei == 101


@pytest.mark.parametrize("end", ["aborted", "cut"])
def test_exchange__told_of_a_cost_when_the_client_is_gone__is_quiet(
    desk: Desk, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    if end == "aborted":
        exchange.abort()
    else:
        exchange.cut()
        desk.finish(exchange)
    exchange.set_cost_wei(99)
    assert not caplog.records


def test_exchange__price_raises__charges_the_fallback_and_says_so(desk: Desk) -> None:
    def price(request: MeteredRequest, response: MeteredResponse) -> int:
        raise ZeroDivisionError

    desk.serve(price=price)
    assert desk.balance.charged_wei == 10
    assert desk.records[-1].outcome.error == "price: ZeroDivisionError"


def test_exchange__cost_above_estimate_and_credit__charges_what_there_is_and_reports_the_rest(desk: Desk) -> None:
    desk.serve(price=lambda request, response: 1_500)
    assert desk.balance[:3] == (1_000, 0, 1_000)
    assert desk.records[-1].uncollected_wei == 500


@pytest.mark.parametrize("status", [200, 302, 404])
def test_finish__status_that_is_charged__is_settled(desk: Desk, status: int) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.finish(exchange, status)
    assert desk.balance.charged_wei == 100


def test_finish__status_that_is_free__is_released_and_shown_so(desk: Desk) -> None:
    desk.meter.change_consumer("alice", quotas=[Quota("daily", "day", 10)])
    exchange = desk.exchange()
    desk.begin(exchange)
    fields = desk.finish(exchange, 500)
    assert desk.balance[:3] == (1_000, 0, 0)
    assert fields["x-cost-wei"] == "0"
    assert fields["x-ratelimit-remaining"] == "10"
    assert desk.records[-1].state == "released"


def test_abort__handler_raised__releases_with_the_class_of_the_error(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    exchange.abort(KeyError("secret"))
    exchange.abort(None)
    assert desk.balance[:3] == (1_000, 0, 0)
    assert desk.records[-1].outcome.error == "KeyError"


def test_finish__after_abort__does_nothing(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    exchange.abort(None)
    assert desk.finish(exchange) == {}
    assert desk.balance.charged_wei == 0


# --- refused: each row of the table


def test_begin__no_identity__is_401(desk: Desk) -> None:
    exchange = Exchange(desk.metering(), MeteredRequest("GET", "/", TextHeaders([]), at_ms=START_MS))
    assert code_of(desk.begin(exchange)) == (401, "missing_identity")


def test_begin__unknown_consumer__is_403(desk: Desk) -> None:
    request = MeteredRequest("GET", "/", TextHeaders([("x-consumer", "mallory")]), at_ms=START_MS)
    assert code_of(desk.begin(Exchange(desk.metering(), request))) == (403, "not_subscribed")


def test_begin__unknown_consumer_where_new_ones_are_welcome__is_made(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(new_consumers="free")
    request = MeteredRequest("GET", "/", TextHeaders([("x-consumer", "carol")]), at_ms=START_MS)
    assert desk.begin(Exchange(desk.metering(estimate_wei=0), request)) is None


def test_begin__disabled_consumer__is_403_at_once(desk: Desk) -> None:
    desk.serve()
    desk.meter.change_consumer("alice", disabled=True)
    assert code_of(desk.serve()) == (403, "disabled")


@pytest.mark.parametrize("limits", [{"quotas": [Quota("none", "day", 0)]}, {"budgets": [Budget("none", "month", 0)]}])
def test_begin__disabled_consumer_whose_limits_are_used_up__is_403_and_nothing_else(
    desk: Desk, limits: dict[str, Any]
) -> None:
    desk.meter.change_consumer("alice", disabled=True, **limits)
    answer = desk.serve()
    assert code_of(answer) == (403, "disabled")
    assert "retry-after" not in dict(answer.headers)
    assert b"violated-policies" not in answer.body


def test_begin__key_revoked_after_it_was_used__is_403_at_once(desk: Desk) -> None:
    key = desk.meter.create_key("alice")
    bearer = ("authorization", f"Bearer {key.text}")
    identify = desk.meter.identify
    assert isinstance(desk.serve(bearer, identify=identify), dict)
    assert desk.store.call(RevokeKey(key.stored.key_id, START_MS))
    assert code_of(desk.serve(bearer, identify=identify)) == (403, "revoked_key")


def test_begin__credit_exhausted__is_402_with_the_amounts(desk: Desk) -> None:
    answer = desk.serve(estimate_wei=1_001)
    assert code_of(answer) == (402, "insufficient_credit")
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["free_wei"] == "1000"
    assert desk.balance[:3] == (1_000, 0, 0)


def test_begin__quota_used_up__is_429_until_its_window_ends(desk: Desk) -> None:
    desk.meter.change_consumer("alice", quotas=[Quota("daily", "day", 1)])
    desk.serve()
    answer = desk.serve()
    assert code_of(answer) == (429, "quota_exceeded")
    assert isinstance(answer, Answer)
    fields = dict(answer.headers)
    assert fields["retry-after"] == str(12 * 3600)
    assert fields["ratelimit"] == f'"daily";r=0;t={12 * 3600}'
    assert json.loads(answer.body)["violated-policies"] == ["daily"]


@pytest.mark.parametrize(("period", "window_seconds", "most"), [("minute", 60, 6), ("day", 43_200, 60)])
def test_begin__many_refused_until_a_window_ends__come_back_one_after_another(
    desk: Desk, period: Any, window_seconds: int, most: int
) -> None:
    desk.meter.change_consumer("alice", quotas=[Quota("q", period, 1)])
    desk.serve()
    desk.draws = iter([3, 0, 999])
    fields = [dict(answer.headers) for _ in range(3) if isinstance(answer := desk.serve(), Answer)]
    assert [int(each["retry-after"]) - window_seconds for each in fields] == [3, 0, most]
    assert {each["ratelimit"] for each in fields} == {f'"q";r=0;t={window_seconds}'}
    assert {int(each["x-ratelimit-reset"]) for each in fields} == {START_MS // 1000 + window_seconds}


@pytest.mark.parametrize(
    ("steps", "code"), [((Step(100, "reject"),), "budget_exceeded"), ((Step(9, "throttle"),), "throttled")]
)
def test_begin__refused_by_a_budget__names_it(desk: Desk, steps: tuple[Step, ...], code: str) -> None:
    desk.meter.change_consumer("alice", budgets=[Budget("wide", "day", 900), Budget("tight", "day", 99, steps)])
    answer = desk.serve()
    assert isinstance(answer, Answer)
    body = json.loads(answer.body)
    assert (body["code"], body["budget"], "tight" in body["detail"]) == (code, "tight", True)


def test_begin__budget_throttles_then_rejects__is_429_then_402(desk: Desk) -> None:
    steps = (Step(50, "throttle"), Step(100, "reject"))
    budget = Budget("daily", "day", 400, steps, retry_after_seconds=9)
    desk.meter.change_consumer("alice", budgets=[budget])
    desk.serve()
    desk.serve()
    throttled = desk.serve()
    assert code_of(throttled) == (429, "throttled")
    assert isinstance(throttled, Answer)
    assert dict(throttled.headers)["retry-after"] == "9"
    assert code_of(desk.serve(estimate_wei=201)) == (402, "budget_exceeded")


def test_begin__refused_by_a_budget_that_is_believed__does_not_ask_the_store(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(budget_cache_seconds=5)
    desk.meter.change_consumer("alice", budgets=[Budget("daily", "day", 100)])
    desk.serve()
    desk.serve()
    asked = sum(isinstance(operation, Reserve) for operation in desk.store.performed)
    assert code_of(desk.serve()) == (402, "budget_exceeded")
    assert sum(isinstance(operation, Reserve) for operation in desk.store.performed) == asked


def test_begin__refused__leaves_a_record_and_reserves_nothing(desk: Desk) -> None:
    desk.serve(("x-request-id", "abc-1"), estimate_wei=5_000)
    record = desk.records[-1]
    assert (record.state, record.code, record.request_id, record.charged_wei) == (
        "refused",
        "insufficient_credit",
        "abc-1",
        0,
    )


def test_begin__flood_of_refused_requests__leaves_the_store_to_served_ones(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    posted: list[Operation[Any]] = []
    monkeypatch.setattr(desk.store, "post", posted.append)
    monkeypatch.setattr(type(desk.store), "waiting", property(lambda store: len(posted)))
    for _ in range(2_000):
        exchange = Exchange(desk.metering(), MeteredRequest("GET", "/", TextHeaders([]), at_ms=START_MS))
        assert code_of(desk.begin(exchange)) == (401, "missing_identity")
    assert len(posted) == 500
    assert [record.message for record in caplog.records] == [
        "requests are refused faster than they can be recorded: 1 are lost"
    ]


# --- idempotency


def test_begin__same_key_again__is_replayed_without_a_second_charge(desk: Desk) -> None:
    key = ("Idempotency-Key", '"k1"')
    desk.serve(key)
    answer = desk.serve(key)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, b"sunny")
    assert dict(answer.headers) == {"content-type": "text/plain", "idempotency-replayed": "true", "x-cost-wei": "0"}
    assert desk.balance.charged_wei == 100


def test_begin__key_and_api_that_join_to_the_same_text__are_another_request(desk: Desk) -> None:
    for api, key in (("a/b", "c"), ("a", "b/c")):
        metering = desk.meter.metering(api, estimate_wei=100, identify=BY_NAME)
        exchange = Exchange(metering, desk.request(("Idempotency-Key", key)))
        assert exchange.begin() is None
        desk.finish(exchange)
    assert desk.balance.charged_wei == 200


def test_begin__same_key_while_it_is_served__is_409(desk: Desk) -> None:
    key = ("Idempotency-Key", "k1")
    exchange = desk.exchange(key)
    desk.begin(exchange)
    assert code_of(desk.serve(key)) == (409, "idempotency_in_progress")


def test_begin__same_key_for_another_request__is_422(desk: Desk) -> None:
    key = ("Idempotency-Key", "k1")
    desk.serve(key)
    other = Exchange(desk.metering(), desk.request(key, method="POST", body=b"other"))
    assert code_of(desk.begin(other)) == (422, "idempotency_mismatch")


def test_begin__key_whose_request_failed__may_be_used_again(desk: Desk) -> None:
    key = ("Idempotency-Key", "k1")
    exchange = desk.exchange(key)
    desk.begin(exchange)
    exchange.abort(RuntimeError())
    assert isinstance(desk.serve(key), dict)


@pytest.mark.parametrize("key", ["", " ", "a" * 256, '"open', "snö"])
def test_begin__key_that_is_none__is_400(desk: Desk, key: str) -> None:
    assert code_of(desk.serve(("Idempotency-Key", key))) == (400, "invalid_idempotency_key")


def test_begin__body_too_large_to_compare__is_413(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(max_fingerprint_bytes=4)
    exchange = Exchange(desk.metering(), desk.request(("Idempotency-Key", "k"), method="POST", body=b"12345"))
    assert code_of(desk.begin(exchange)) == (413, "body_too_large")


# --- what users of other systems suffer from


def test_check_then_charge__burst_on_credit_for_ten__admits_exactly_ten(desk: Desk) -> None:
    metering = desk.metering()

    async def one() -> bool:
        exchange = Exchange(metering, desk.request())
        return await exchange.abegin() is None

    async def burst() -> list[bool]:
        return await asyncio.gather(*(one() for _ in range(40)))

    assert sum(asyncio.run(burst())) == 10
    assert desk.balance[:3] == (1_000, 1_000, 0)


def test_check_then_charge__limit_raised_in_the_window__helps_at_once(desk: Desk) -> None:
    desk.meter.change_consumer("alice", quotas=[Quota("daily", "day", 1)])
    desk.serve()
    assert code_of(desk.serve()) == (429, "quota_exceeded")
    desk.meter.change_consumer("alice", quotas=[Quota("daily", "day", 2)])
    assert isinstance(desk.serve(), dict)
    assert code_of(desk.serve()) == (429, "quota_exceeded")


def test_leaked_holds__cancelled_while_reserving__is_released(desk: Desk) -> None:
    desk.serve(estimate_wei=0)  # its profile is known now, so that reserving is the first thing to wait for

    async def main() -> None:
        task = asyncio.create_task(desk.exchange().abegin())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert desk.balance[:3] == (1_000, 0, 0)
    assert sum(isinstance(operation, Reserve) for operation in desk.store.performed) == 2


def test_leaked_holds__process_died__are_released_by_the_sweeper(desk: Desk) -> None:
    desk.begin(desk.exchange())
    desk.meter.keeper.forget()
    desk.clock.now_ms += 120_000
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance[:3] == (1_000, 0, 0)
    assert desk.records[-1].state == "expired"


def test_leaked_holds__long_request__is_kept_alive_and_charged_once(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    for _ in range(10):
        desk.clock.now_ms += 50_000
        desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance.reserved_wei == 100
    desk.finish(exchange)
    assert desk.balance[:3] == (1_000, 0, 100)
    assert not desk.records[-1].late


@pytest.mark.parametrize("when", ["before", "after"])
def test_double_charge__store_fails_while_settling__response_is_delivered_and_charged_once(
    desk: Desk, when: str
) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.store.failures = [(Settle, when)]
    assert "x-cost-wei" not in desk.finish(exchange)
    assert desk.meter.keeper.unsettled == 1
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.meter.keeper.unsettled == 0
    assert desk.balance[:3] == (1_000, 0, 100)


@pytest.mark.parametrize(("spent_wei", "charged_wei"), [(0, 100), (940, 60), (1_000, 0)])
def test_double_charge__reservation_lost_with_its_settlement__is_charged_once_by_the_keeper(
    desk: Desk, spent_wei: int, charged_wei: int
) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    reservation_id = exchange.reservation_id
    desk.store.failures = [(Settle, "before")]
    desk.finish(exchange)
    desk.store.lose(reservation_id)
    assert desk.balance[:3] == (1_000, 0, 0)
    other = desk.exchange(estimate_wei=spent_wei)
    assert desk.begin(other) is None
    for _ in range(2):
        desk.meter.keeper.tick(desk.clock.now_ms)
        record = desk.store.call(GetRecord(reservation_id))
        assert record is not None
        assert (record.state, record.charged_wei, record.uncollected_wei) == ("settled", charged_wei, 100 - charged_wei)
        assert desk.balance[:3] == (1_000, spent_wei, charged_wei)


def test_double_charge__cancelled_while_settling_and_lost__is_charged_once_by_the_keeper(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    reservation_id = exchange.reservation_id
    steps = exchange.finish_steps(MeteredResponse(200, TextHeaders([]), body_bytes=5))
    assert isinstance(next(steps), Settle)
    steps.close()
    desk.store.lose(reservation_id)
    for _ in range(2):
        desk.meter.keeper.tick(desk.clock.now_ms)
        assert desk.balance[:3] == (1_000, 0, 100)


def test_leaked_holds__cancelled_while_an_own_price_waits__is_charged_the_fallback_and_not_kept_alive(
    desk: Desk,
) -> None:
    async def price(request: MeteredRequest, response: MeteredResponse) -> int:
        await asyncio.Event().wait()
        return 0

    async def main() -> None:
        exchange = desk.exchange(price=price)
        assert await exchange.abegin() is None
        task = asyncio.create_task(exchange.afinish(MeteredResponse(200, TextHeaders([]))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    desk.clock.now_ms += 100_000
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance[:3] == (1_000, 0, 10)
    assert not any(isinstance(operation, Extend) for operation in desk.store.performed)


def test_count_when__cancelled_while_it_waits__is_charged_the_price_that_is_known(desk: Desk) -> None:
    async def count_when(request: MeteredRequest, response: MeteredResponse) -> bool:
        await asyncio.Event().wait()
        return False

    async def main() -> None:
        exchange = desk.exchange(price=40, count_when=count_when, limits="5/minute")
        assert await exchange.abegin() is None
        task = asyncio.create_task(exchange.afinish(MeteredResponse(200, TextHeaders([]))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert desk.balance[:3] == (1_000, 0, 40)


def test_double_charge__store_away_for_longer__is_settled_when_it_is_back(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.store.failures = [(Settle, "before")] * 3
    desk.finish(exchange)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            desk.meter.keeper.tick(desk.clock.now_ms)
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance[:3] == (1_000, 0, 100)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Meter]:
    """A meter on SQLite, which encodes what it is given, with a consumer ``alice`` who has 1,000 wei."""
    clock = FakeClock()
    with Meter.open(f"sqlite:///{tmp_path}/meter.db", identify=BY_NAME, clock_ms=clock) as meter:
        meter.keeper.start = lambda: None  # type: ignore[method-assign]
        meter.add_consumer("alice", tier="enterprise")
        meter.grant("alice", 1_000, grant_id="first")
        yield meter


def asked(meter: Meter, method: str = "GET", path: str = "/forecast", **terms: Any) -> Exchange:
    request = MeteredRequest(method, path, TextHeaders([("x-consumer", "alice")]), at_ms=meter.now_ms(), body=b"")
    return Exchange(meter.metering("weather", estimate_wei=100, **terms), request)


def served(exchange: Exchange) -> dict[str, str]:
    return dict(exchange.finish(MeteredResponse(200, TextHeaders([]))))


HALF = "\ud800"
CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


class Unspeakable:
    def __str__(self) -> str:
        raise LookupError("nothing to say")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (HALF, "\ufffd"),
        ("nul \x00", "nul \x00"),
        (10**5_000, "<int>"),
        (float("nan"), "<float>"),
        (CIRCLE, "<list>"),
        (DEEP, "<list>"),
        ({(1, 2): 3}, "<dict>"),
        (Unspeakable(), "<Unspeakable>"),
        ([1, {"a": HALF}], [1, {"a": "\ufffd"}]),
        (2**200, 2**200),
        (None, None),
    ],
    ids=range(11),
)
def test_tag__whatever_it_is__is_charged_and_kept_as_json(on_disk: Meter, value: Any, kept: Any) -> None:
    exchange = asked(on_disk)
    exchange.begin()
    exchange.tag(it=value)
    assert served(exchange)["x-cost-wei"] == "100"
    [record] = on_disk.store.call(ListRecords())
    assert json.loads(record.outcome.tags) == {"it": kept}


def test_tag__on_a_request_that_failed__is_kept_too(on_disk: Meter) -> None:
    exchange = asked(on_disk)
    exchange.begin()
    exchange.tag(**{HALF: CIRCLE})
    exchange.abort(ValueError())
    [record] = on_disk.store.call(ListRecords())
    assert (record.state, json.loads(record.outcome.tags)) == ("released", {"\ufffd": "<list>"})


@pytest.mark.parametrize(
    "given",
    [{"model": lambda _: HALF}, {"path": f"/{HALF}"}, {"method": f"G{HALF}"}],
    ids=lambda given: next(iter(given)),
)
@pytest.mark.parametrize("wei", [1_000, 50])
def test_text_of_a_client__that_cannot_be_encoded__is_charged_or_refused(
    on_disk: Meter, given: dict[str, Any], wei: int
) -> None:
    on_disk.grant("alice", wei - 1_000, grant_id="less")
    exchange = asked(on_disk, **given)
    answer = exchange.begin()
    fields = served(exchange)
    assert (answer is None, fields.get("x-cost-wei")) == ((True, "100") if wei == 1_000 else (False, None))
    [record] = on_disk.store.call(ListRecords())
    assert "\ufffd" in record.outcome.tags + record.route + record.method or wei == 50


def test_model__of_texts_that_cannot_be_encoded__are_told_apart(on_disk: Meter) -> None:
    on_disk.change_consumer("alice", budgets=[Budget("llm", "day", 150, scope="model")])
    answers = [asked(on_disk, model=lambda _, model=model: model).begin() for model in (HALF, "\ud801", HALF)]
    assert [None if answer is None else answer.status for answer in answers] == [None, None, 402]


def test_keeper__settlement_that_can_never_be_stored__is_set_aside_and_the_rest_goes_on(
    on_disk: Meter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts: list[Alert] = []
    counted: list[str] = []
    monkeypatch.setattr(on_disk.keeper, "_alert", alerts.append)
    monkeypatch.setattr(on_disk.metrics, "set_aside", counted.append)
    bad, good = asked(on_disk), asked(on_disk)
    for exchange, tags in ((bad, HALF), (good, "")):
        exchange.begin()
        outcome = Outcome(200, tags=tags, request_body=b"a body", response_body=b"a body")
        stored = StoredResponse(200, (), b"a body")
        settle = Settle(exchange.reservation_id, "alice", on_disk.now_ms(), 100, outcome, response=stored)
        on_disk.keeper.repeat(settle, exchange._reserve)
    on_disk.keeper.tick(on_disk.now_ms())
    assert (on_disk.keeper.unsettled, on_disk.balance("alice").charged_wei) == (0, 100)
    [alert] = alerts
    assert (alert.kind, alert.subject, dict(alert.details)["cost_wei"]) == ("settlement", "alice", "100")
    assert counted == ["Settle"]
    assert bad.reservation_id in caplog.text
    assert "a body" not in caplog.text


def test_keeper__operation_that_keeps_failing__holds_up_nothing_else(desk: Desk) -> None:
    overdue, first, second = (desk.exchange() for _ in range(3))
    for exchange in (overdue, first, second):
        desk.begin(exchange)
    desk.meter.keeper.forget()  # its process died
    desk.clock.now_ms += 121_000
    for exchange in (first, second):
        desk.meter.keeper.repeat(Settle(exchange.reservation_id, "alice", desk.clock.now_ms, 100))
    for _ in range(2):
        desk.store.failures = [(Settle, "before")]
        with pytest.raises(StoreUnavailable):
            desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance.reserved_wei == 0  # swept, all three
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance.charged_wei == 200


# --- the store fails


@pytest.mark.parametrize("when", ["before", "after"])
def test_begin__store_fails__is_503_and_nothing_stays_reserved(desk: Desk, when: str) -> None:
    desk.store.failures = [(Reserve, when)]
    assert code_of(desk.serve()) == (503, "meter_unavailable")
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance[:3] == (1_000, 0, 0)


def test_begin__store_fails_and_fail_open_is_set__is_served_and_logged(
    open_desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    desk = open_desk(fail_open=True)
    desk.store.failures = [(Reserve, "before")]
    assert desk.serve() == {}
    assert "served without being metered: GET /forecast of alice" in caplog.text


def test_abort__store_fails__is_released_later(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.store.failures = [(Release, "before")]
    exchange.abort(None)
    while desk.store.failures:
        with suppress(StoreUnavailable):
            desk.store.call(ListTiers())  # waits for its turn, after what is waiting
    desk.meter.keeper.forget()
    desk.clock.now_ms += 120_000
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert desk.balance[:3] == (1_000, 0, 0)


# --- audit


def test_record__bodies_not_asked_for__are_not_kept(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    assert exchange.keeps_body == 0
    desk.finish(exchange)
    record = desk.store.call(GetRecord(desk.records[-1].record_id))
    assert record is not None
    assert (record.outcome.request_body, record.outcome.response_body) == (None, None)


def test_record__bodies_asked_for__are_kept_up_to_their_size(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(audit_bodies=True, audit_body_bytes=3)
    exchange = Exchange(desk.metering(), desk.request(method="POST", body=b"where?"))
    desk.begin(exchange)
    desk.finish(exchange)
    outcome = desk.records[-1].outcome
    assert (outcome.request_body, outcome.response_body, outcome.response_bytes) == (b"whe", b"sun", 5)


# --- terms


async def asynchronous(*_: Any) -> int:
    return 60


@pytest.mark.parametrize(
    "terms",
    [
        {"api": ""},
        {"api": "a" * 65},
        {"api": b"a"},
        {"estimate_wei": -1},
        {"estimate_wei": True},
        {"estimate_wei": 1.0},
        {"estimate_wei": "1"},
        {"estimate_wei": lambda request: 1},
        {"estimate_wei": lambda: 1, "price": 1},
        {"estimate_wei": int, "price": 1},
        {"price": -1},
        {"price": True},
        {"price": 1.5},
        {"price": "1"},
        {"price": "1 usd"},
        {"price": by_response_size("1gwei", "1 usd")},
        {"price": 2**256},
        {"price": by_response_size},
        {"price": lambda response: 1},
        {"price": lambda request, response, more: 1},
        {"price": lambda request, response, *, more: 1},
        {"identify": "X-User-ID"},
        {"identify": lambda: "alice"},
        {"identify": 5},
        {"model": "gpt"},
        {"model": lambda: "gpt"},
        {"operation": lambda: "chat"},
        {"reads_body": 1},
        {"operation": "a" * 201},
        {"operation": "a\n"},
        {"operation": None},
        {"units": -1},
        {"units": 0},
        {"units": True},
        {"units": 1.0},
        {"units": 2**31},
        {"idempotent": "no"},
        {"idempotent": 1},
        {"idempotent": None},
    ],
    ids=lambda terms: next(iter(terms)),
)
def test_metering__terms_that_cannot_be__are_refused_when_they_are_set(desk: Desk, terms: dict[str, Any]) -> None:
    given = {"api": "weather", "estimate_wei": 1, **terms}
    with pytest.raises(InvalidSetting):
        desk.meter.metering(**given)


@pytest.mark.parametrize("price", [60, lambda request, response: 60, lambda *_: 60, asynchronous])
def test_price__amount_or_callable__is_charged(desk: Desk, price: Any) -> None:
    assert desk.serve(price=price) == {"x-cost-wei": "60"}


@pytest.mark.parametrize("estimate", [lambda request: 60, lambda request, factor=60: factor, asynchronous])
def test_estimate__callable__is_set_aside(desk: Desk, estimate: Any) -> None:
    desk.begin(desk.exchange(estimate_wei=estimate, price=7))
    assert desk.balance.reserved_wei == 60


async def small(request: MeteredRequest) -> str:
    return "small"


def test_model__async__is_kept_with_the_record(desk: Desk) -> None:
    desk.serve(model=small)
    assert json.loads(desk.records[-1].outcome.tags) == {"model": "small"}


@pytest.mark.parametrize(
    ("operation", "route"),
    [("fixed", "fixed"), (lambda request: request.method, "GET"), (lambda request: None, "/forecast")],
)
def test_operation__told__is_in_the_record(desk: Desk, operation: Any, route: str) -> None:
    desk.serve(operation=operation)
    assert desk.records[-1].route == route


def test_operation__told__finds_its_budget(desk: Desk) -> None:
    desk.meter.change_consumer("alice", budgets=[Budget("dear", "day", 150, scope="operation", only="dear")])
    answers = [desk.serve(operation=lambda request, name=name: name) for name in ("dear", "dear", "cheap")]
    assert [code_of(answer) if isinstance(answer, Answer) else "" for answer in answers] == [
        "",
        (402, "budget_exceeded"),
        "",
    ]


def test_operation__that_is_no_text__is_refused(desk: Desk) -> None:
    assert code_of(desk.serve(operation=lambda request: 7)) == (400, "not_estimable")


def asks_twice(asked: list[int]) -> Callable[[MeteredRequest], int]:
    def of_body(request: MeteredRequest) -> int:
        asked.append(1)
        return len(request.content())

    return of_body


def test_estimate__that_asks_for_the_body__is_asked_again_when_it_is_read(desk: Desk) -> None:
    asked: list[int] = []
    request = MeteredRequest("POST", "/forecast", TextHeaders([("x-consumer", "alice")]), body=lambda: b"sunny")
    assert desk.begin(Exchange(desk.metering(estimate_wei=asks_twice(asked), price=1), request)) is None
    assert (desk.balance.reserved_wei, asked) == (5, [1, 1])


def test_estimate__whose_body_cannot_be_read__is_refused(desk: Desk) -> None:
    request = MeteredRequest("POST", "/forecast", TextHeaders([("x-consumer", "alice")]), body=lambda: None)
    answer = desk.begin(Exchange(desk.metering(estimate_wei=asks_twice([]), price=1), request))
    assert code_of(answer) == (400, "unreadable_body")


def test_price__alone__is_set_aside_before_serving(desk: Desk) -> None:
    metering = desk.metering(estimate_wei=None, price="600wei")
    assert desk.begin(Exchange(metering, desk.request())) is None
    assert desk.balance.reserved_wei == 600
    assert code_of(desk.begin(Exchange(metering, desk.request()))) == (402, "insufficient_credit")


def test_price__told_by_a_callable_without_an_estimate__is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidSetting, match="a price that is computed needs an estimate"):
        desk.metering(estimate_wei=None, price=by_response_size(1, 1))
    assert desk.metering(estimate_wei=0, price=by_response_size(1, 1)).estimate_wei == 0


def test_terms__without_estimate_and_price__cost_nothing(desk: Desk) -> None:
    metering = desk.meter.metering("weather", identify=BY_NAME)
    exchange = Exchange(metering, desk.request())
    assert desk.begin(exchange) is None
    assert desk.finish(exchange)["x-cost-wei"] == "0"


def test_price__that_asks_for_a_body_nobody_read__is_the_fallback(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    request = MeteredRequest("POST", "/forecast", TextHeaders([("x-consumer", "alice")]), body=lambda: b"sunny")
    exchange = Exchange(desk.metering(price=lambda request, _: len(request.content())), request)
    desk.begin(exchange)
    assert desk.finish(exchange)["x-cost-wei"] == "10"
    assert "reads_body=True" in caplog.text


def test_extractors__one_of_which_asks_for_the_body__find_who_asks(desk: Desk) -> None:
    def by_body(request: MeteredRequest) -> str | None:
        return request.content().decode() or None

    request = MeteredRequest("POST", "/forecast", TextHeaders([]), body=lambda: b"alice")
    exchange = Exchange(desk.metering(identify=first_of(BY_NAME, by_body)), request)
    assert (desk.begin(exchange), exchange.consumer) == (None, "alice")


def test_model__none__has_no_tag(desk: Desk) -> None:
    desk.serve(model=lambda request: None)
    assert desk.records[-1].outcome.tags == ""


class Unspoken(Exception):
    def __str__(self) -> str:
        raise LookupError("nothing to say")


def failing(error: Exception) -> Callable[[MeteredRequest], Any]:
    def of_body(request: MeteredRequest) -> Any:
        raise error

    return of_body


@pytest.mark.parametrize(
    ("function", "status", "code"),
    [
        (lambda request: json.loads(b"{"), 400, "not_estimable"),
        (lambda request: {}["max_tokens"], 400, "not_estimable"),
        (lambda request: json.loads(b"null")["max_tokens"], 400, "not_estimable"),
        (lambda request: int(float("inf")), 400, "not_estimable"),
        (lambda request: b"\xff".decode(), 400, "not_estimable"),
        (failing(RecursionError()), 400, "not_estimable"),
        (lambda request: -5, 400, "not_estimable"),
        (lambda request: 2**256, 400, "not_estimable"),
        (lambda request: 1.5, 500, "estimate_failed"),
        (lambda request: None, 500, "estimate_failed"),
        (lambda request: True, 500, "estimate_failed"),
        (failing(OSError("no tokenizer")), 500, "estimate_failed"),
        (failing(StoreUnavailable("another one")), 500, "estimate_failed"),
    ],
    ids=range(13),
)
def test_estimate__that_fails__is_the_requests_fault_or_the_applications(
    desk: Desk, function: Any, status: int, code: str
) -> None:
    assert code_of(desk.serve(estimate_wei=function, price=7)) == (status, code)
    assert (desk.records[-1].code, desk.balance[:3]) == (code, (1_000, 0, 0))
    assert desk.records[-1].outcome.error.startswith("estimate: ")


@pytest.mark.parametrize(
    ("term", "function", "why"),
    [
        ("estimate_wei", failing(KeyError("pages")), "estimate: KeyError: 'pages'"),
        ("estimate_wei", failing(RecursionError()), "estimate: RecursionError"),
        ("estimate_wei", lambda request: None, "estimate: it returned NoneType"),
        ("units", lambda request: 0, "units: it returned 0"),
        ("operation", failing(OSError("no table")), "operation: OSError: no table"),
        ("operation", failing(Unspoken()), "operation: Unspoken"),
        ("identify", failing(OSError("no such key: k1")), "identify: OSError"),
    ],
)
def test_callable__that_fails__is_told_to_the_operator_and_not_to_the_client(
    desk: Desk, caplog: pytest.LogCaptureFixture, term: str, function: Any, why: str
) -> None:
    answer = desk.serve(**{"price": 7, term: function})
    record = desk.records[-1]
    assert (record.outcome.error, record.reason) == (why, "")
    assert why.split(": ")[1] in caplog.text
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["detail"] == KINDS[record.code].detail


def test_callable__that_fails_with_half_a_character__leaves_a_record_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("api_billing.metering"), "disabled", True)  # pytest cannot show it
    desk.serve(operation=failing(ValueError(HALF)))
    assert desk.records[-1].outcome.error == "operation: ValueError: \ufffd"


def test_callable__that_says_why_it_is_not_estimable__has_the_client_told(desk: Desk) -> None:
    answer = desk.serve(estimate_wei=failing(NotEstimable("at most 9 pages")), price=7)
    assert isinstance(answer, Answer)
    assert code_of(answer) == (400, "not_estimable")
    assert json.loads(answer.body)["detail"] == "at most 9 pages"


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (lambda request: 5, "not_estimable"),
        (lambda request: ["gpt"], "not_estimable"),
        (lambda request: {}["model"], "not_estimable"),
        (failing(OSError()), "estimate_failed"),
    ],
    ids=range(4),
)
def test_model__that_fails__is_the_requests_fault_or_the_applications(desk: Desk, function: Any, code: str) -> None:
    assert code_of(desk.serve(model=function))[1] == code


def test_estimate__that_fails_again_and_again__is_logged_with_its_name_and_not_each_time(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(9):
        desk.serve(estimate_wei=failing(KeyError("max_tokens")), price=7)
    desk.clock.now_ms += 10_000
    desk.serve(estimate_wei=failing(KeyError("max_tokens")), price=7)
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("not_estimable: failing.<locals>.of_body, which tells the estimate of 'GET' '/forecast'")
    assert second.endswith("(and 8 more of these)")


def test_callables__that_fail_at_several_places__are_logged_for_each(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    by_turns = iter([{}, {"missing": 0}, {}, {"missing": 0}])

    def price(request: MeteredRequest, response: MeteredResponse) -> int:
        found = next(by_turns)["missing"]
        return 1 // found

    for _ in range(4):
        desk.serve(price=price)
    for _ in range(2):
        desk.serve(price=lambda *_: {}["other"])
        desk.serve(price=lambda *_: None)
        desk.serve(estimate_wei=lambda _: -1, price=1)
    assert len(caplog.records) == 5


class Broken:
    def __call__(self, *_: Any) -> Any:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "terms",
    [{"price": Broken()}, {"price": lambda *_: "7"}, {"identify": Broken()}, {"model": Broken()}, {"price": 5_000}],
    ids=range(5),
)
def test_log__what_a_client_can_cause_with_each_request__is_told_once_in_a_while(
    desk: Desk, caplog: pytest.LogCaptureFixture, terms: dict[str, Any]
) -> None:
    for _ in range(5):
        desk.serve(**{"estimate_wei": 0, **terms})
    assert len(caplog.records) == 1


def test_log__store_that_is_away__is_told_once_in_a_while(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.store.failures = [(Reserve, "before")] * 5
    for _ in range(5):
        assert code_of(desk.serve()) == (503, "meter_unavailable")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("amount", [True, 1.5, "100", None])
def test_grant__amount_that_is_no_integer__is_refused(desk: Desk, amount: Any) -> None:
    with pytest.raises(InvalidSetting, match="the amount is an int of smallest units"):
        desk.meter.grant("alice", amount, grant_id="second")
    assert desk.balance.granted_wei == 1_000


def test_grant__more_taken_back_than_is_free__is_refused(desk: Desk) -> None:
    with pytest.raises(MeterError, match=r"has 0\.000001 Gwei free"):
        desk.meter.grant("alice", -1_001, grant_id="back")
    assert desk.balance.granted_wei == 1_000


def interfere(desk: Desk, monkeypatch: pytest.MonkeyPatch, change: PutProfile) -> None:
    """Somebody else changes a consumer right after its profile is read for the first time."""
    original, waiting = desk.store.call, [change]

    def call(operation: Operation[Any]) -> Any:
        answer = original(operation)
        if isinstance(operation, GetProfile) and waiting:
            original(waiting.pop())
        return answer

    monkeypatch.setattr(desk.store, "call", call)


def test_change_consumer__changed_by_somebody_else_in_between__keeps_both_changes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfere(desk, monkeypatch, PutProfile("alice", "pro"))
    desk.meter.change_consumer("alice", disabled=True)
    profile = desk.store.call(GetProfile("alice"))
    assert profile is not None
    assert (profile.tier.name, profile.disabled) == ("pro", True)


def test_revise_consumer__quota_added_by_somebody_else_in_between__keeps_both_quotas(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = Quota("mine", "day", 1), Quota("theirs", "day", 2)
    interfere(desk, monkeypatch, PutProfile("alice", "enterprise", quotas=(theirs,)))
    profile = desk.meter.revise_consumer("alice", lambda was: replace(was, quotas=(*was.quotas, mine)))
    assert profile.quotas == (theirs, mine)
