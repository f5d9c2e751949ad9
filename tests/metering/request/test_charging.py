"""Charging without a request: limits, keys and records as else, on a store in memory."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from api_billing.metering import (
    Budget,
    Limit,
    Meter,
    NotAllowed,
    Quota,
    Reservation,
    Step,
    current_exchange,
    from_header,
)
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.ledger.operations import ListRecords, Record, Reserve, Settle
from api_billing.metering.request import charging
from api_billing.metering.stores.steps import run

from .test_exchange import Desk


class Boom(Exception):
    """What a job raises."""


@pytest.fixture
def meter() -> Iterator[Meter]:
    with Meter.open("memory://", identify=from_header("X-Consumer")) as meter:
        meter.add_consumer("alice", tier="enterprise")
        meter.grant("alice", 1_000, grant_id="first")
        yield meter


def money(meter: Meter) -> tuple[int, int, int]:
    """Free, reserved and charged."""
    balance = meter.balance("alice")
    return balance.free_wei, balance.reserved_wei, balance.charged_wei


def last(meter: Meter) -> Record:
    record: Record = meter.store.call(ListRecords())[-1]
    return record


def refused(meter: Meter, amount_wei: int, **given: Any) -> NotAllowed:
    with pytest.raises(NotAllowed) as found:
        meter.charge("alice", amount_wei, api="jobs", **given)
    return found.value


def test_charge__covered_by_credit__is_charged_and_recorded(meter: Meter) -> None:
    done = meter.charge("alice", 300, api="jobs", operation="render", model="large", units=7, tags={"pages": 3})
    assert (done.charged_wei, done.free_wei, done.remaining, done.is_repeated) == (300, 700, None, False)
    assert money(meter) == (700, 0, 300)
    record = last(meter)
    assert (record.record_id, record.state, record.api, record.route) == (done.record_id, "settled", "jobs", "render")
    assert (record.units, json.loads(record.outcome.tags)) == (7, {"model": "large", "pages": 3})


def test_acharge__covered_by_credit__is_charged(meter: Meter) -> None:
    assert asyncio.run(meter.acharge("alice", 300, api="jobs")).free_wei == 700


def test_charge__beyond_the_credit__is_not_allowed_and_charges_nothing(meter: Meter) -> None:
    error = refused(meter, 1_001)
    assert (error.code, error.status, error.free_wei, error.retry_after_seconds) == (
        "insufficient_credit",
        402,
        1_000,
        None,
    )
    assert json.loads(error.answer[2])["code"] == "insufficient_credit"
    assert (money(meter), last(meter).state) == ((1_000, 0, 0), "refused")


def test_charge__beyond_a_quota__says_when_it_renews(meter: Meter) -> None:
    meter.change_consumer("alice", quotas=[Quota("jobs", "day", 2)])
    assert [meter.charge("alice", 1, api="jobs").remaining for _ in range(2)] == [1, 0]
    error = refused(meter, 1)
    assert (error.code, error.remaining) == ("quota_exceeded", 0)
    assert error.renews_ms is not None
    assert error.retry_after_seconds is not None
    assert error.renews_ms > meter.now_ms()


def test_charge__beyond_a_limit_of_its_terms__is_not_allowed(meter: Meter) -> None:
    terms: dict[str, Any] = {"operation": "render", "limits": ["2/minute", "250 wei/day; name=spent"]}
    assert meter.charge("alice", 100, api="jobs", **terms).remaining == 1
    with meter.reservation("alice", 100, api="jobs", **terms) as job, pytest.raises(NotAllowed) as found:
        job.extend(51)
    assert found.value.refusal.problem()["violated-policies"] == ["spent"]
    assert (refused(meter, 1, **terms).code, money(meter)) == ("quota_exceeded", (800, 0, 200))
    assert meter.charge("alice", 1, api="jobs", limits=terms["limits"], operation="other").remaining == 1


def test_charge__beyond_a_limit_that_was_set__is_not_allowed_until_it_is_removed(meter: Meter) -> None:
    meter.charge("alice", 1, api="jobs", limits="5/day")
    meter.set_limit("jobs", "2/day", name="5-per-day")
    assert meter.charge("alice", 1, api="jobs", limits="5/day").remaining == 0
    assert refused(meter, 1, limits="5/day").code == "quota_exceeded"
    assert meter.remove_limit("jobs", "5-per-day")
    assert meter.charge("alice", 1, api="jobs", limits="5/day").remaining == 2


def test_charge__where_a_limit_was_set__counts_in_it_by_units(meter: Meter) -> None:
    meter.set_limit("jobs", "10/day")
    meter.set_limit("other", "1/day")
    assert meter.charge("alice", 1, api="jobs", units=7).remaining == 0
    assert refused(meter, 1, units=4).remaining == 0
    assert meter.charge("alice", 1, api="jobs", units=3).remaining == 0


def test_charge__of_an_operation_or_a_model_beyond_its_budget__is_not_allowed(meter: Meter) -> None:
    budgets = [Budget("op", "day", 10, scope="operation", only="dear"), Budget("m", "day", 5, scope="model", only="x")]
    meter.change_consumer("alice", budgets=budgets)
    assert refused(meter, 11, operation="dear").code == "budget_exceeded"
    assert refused(meter, 6, model="x").code == "budget_exceeded"
    assert meter.charge("alice", 11, api="jobs", operation="cheap").charged_wei == 11


@pytest.mark.parametrize(("consumer", "code"), [("nobody", "not_subscribed"), ("off", "disabled")])
def test_charge__of_who_is_not_served__is_not_allowed(meter: Meter, consumer: str, code: str) -> None:
    meter.add_consumer("off")
    meter.change_consumer("off", disabled=True)
    with pytest.raises(NotAllowed) as found:
        meter.charge(consumer, 0, api="jobs")
    assert found.value.code == code


def test_charge__repeated_with_its_key__is_charged_once(meter: Meter) -> None:
    first, second = (meter.charge("alice", 300, api="jobs", idempotency_key="job 1") for _ in range(2))
    assert (second.record_id, second.charged_wei, second.free_wei) == (first.record_id, 300, 700)
    assert (first.is_repeated, second.is_repeated, money(meter)) == (False, True, (700, 0, 300))


@pytest.mark.parametrize("days", [2, 399])
def test_charge__repeated_with_its_key_long_after__is_charged_once(days: int) -> None:
    clock = [1_800_000_000_000]
    with Meter.open("memory://", clock_ms=lambda: clock[0], idempotency_hours=1) as meter:
        meter.add_consumer("alice", tier="enterprise")
        meter.grant("alice", 1_000, grant_id="first")
        meter.charge("alice", 300, api="jobs", idempotency_key="invoice 1")
        clock[0] += days * DAY_MS
        meter.keeper.tick(clock[0])
        assert meter.charge("alice", 300, api="jobs", idempotency_key="invoice 1").is_repeated
        assert money(meter) == (700, 0, 300)


def test_charge__whose_key_stays_in_progress__is_not_allowed(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charging, "_WAITS_SECONDS", 0.05)
    keyed = {"api": "jobs", "idempotency_key": "job 1"}
    run(meter._job("alice", 300, keyed, replays=True).reserve_steps(), meter.store.call)  # type: ignore[arg-type]
    assert refused(meter, 300, idempotency_key="job 1").code == "idempotency_in_progress"


def test_charge__of_another_amount_with_a_key__is_not_allowed(meter: Meter) -> None:
    meter.charge("alice", 300, api="jobs", idempotency_key="job 1")
    assert refused(meter, 301, idempotency_key="job 1").code == "idempotency_mismatch"


def test_charge__with_a_key_of_a_request__is_apart_from_it() -> None:
    desk = Desk()
    desk.serve(("idempotency-key", '"job 1"'))
    assert not desk.meter.charge("alice", 100, api="weather", idempotency_key="job 1").is_repeated
    assert desk.balance.charged_wei == 200


def test_charge__in_a_handler__leaves_the_request_current() -> None:
    desk = Desk()
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.meter.charge("alice", 50, api="jobs")
    with desk.meter.reservation("alice", 50, api="jobs"):
        assert current_exchange() is exchange
    assert current_exchange() is exchange
    desk.finish(exchange)
    assert desk.balance.charged_wei == 200


@pytest.mark.parametrize(
    "given",
    [
        {"amount_wei": -1},
        {"amount_wei": 1.0},
        {"consumer": " alice"},
        {"api": ""},
        {"idempotency_key": "a\n"},
        {"idempotency_key": "a" * 256},
        {"units": 0},
        {"operation": "a\n"},
        {"on_refusal": "pass"},
        {"price": 0},
        {"identify": None},
    ],
    ids=str,
)
def test_charge__of_what_cannot_be__is_an_invalid_setting(meter: Meter, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        meter.charge(**{"consumer": "alice", "amount_wei": 1, "api": "jobs", **given})
    assert money(meter) == (1_000, 0, 0)


@pytest.mark.parametrize("amount", [0.5, -1, "5 euro", True, None])
def test_charge__of_no_amount__names_it_as_the_caller_does(meter: Meter, amount: Any) -> None:
    with pytest.raises(InvalidSetting, match="the amount of a charge"):
        meter.charge("alice", amount, api="jobs")


def test_charge__while_the_store_is_away__is_not_allowed_and_nothing_stays_reserved() -> None:
    desk = Desk()
    desk.meter.profile("alice")
    desk.meter.charge("alice", 1, api="jobs")
    desk.store.failures.append((Reserve, "after"))
    with pytest.raises(NotAllowed) as found:
        desk.meter.charge("alice", 300, api="jobs")
    assert (found.value.code, found.value.retry_after_seconds) == ("meter_unavailable", 1)
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert (desk.balance.reserved_wei, desk.balance.charged_wei) == (0, 1)


def test_charge__whose_settlement_gets_lost__is_settled_later_once() -> None:
    desk = Desk()
    desk.store.failures.append((Settle, "before"))
    done = desk.meter.charge("alice", 300, api="jobs")
    assert (done.charged_wei, done.is_settled) == (300, False)
    desk.meter.keeper.tick(desk.clock.now_ms)
    assert (desk.balance.reserved_wei, desk.balance.charged_wei) == (0, 300)


def test_charge__with_fail_open__charges_nothing_while_the_store_is_away() -> None:
    desk = Desk(fail_open=True)
    desk.store.failures.append((Reserve, "before"))
    done = desk.meter.charge("alice", 300, api="jobs")
    assert (done.charged_wei, done.record_id, done.is_settled) == (0, "", False)


def test_reservation__left_normally__charges_what_is_set_aside(meter: Meter) -> None:
    with meter.reservation("alice", 400, api="jobs") as job:
        assert (money(meter), job.consumer) == ((600, 400, 0), "alice")
        job.tag(pages=3)
    assert job.charged is not None
    assert (job.charged.charged_wei, money(meter)) == (400, (600, 0, 400))
    assert last(meter).outcome.tags == '{"pages":3}'


def test_reservation__settled_otherwise__charges_that(meter: Meter) -> None:
    with meter.reservation("alice", 400, api="jobs") as job:
        job.settle(150)
    assert money(meter) == (850, 0, 150)


def test_reservation__left_by_an_exception__costs_nothing(meter: Meter) -> None:
    with pytest.raises(Boom), meter.reservation("alice", 400, api="jobs") as job:
        raise Boom
    assert (money(meter), job.charged) == ((1_000, 0, 0), None)
    record = last(meter)
    assert (record.state, record.outcome.error) == ("released", "Boom")


def test_reservation__extended__has_more_set_aside_and_charges_it(meter: Meter) -> None:
    with meter.reservation("alice", 400, api="jobs") as job:
        job.extend(500)
        assert money(meter) == (100, 900, 0)
        with pytest.raises(NotAllowed) as found:
            job.extend(101)
        assert (found.value.code, found.value.free_wei) == ("insufficient_credit", 100)
        assert json.loads(found.value.answer[2])["estimate_wei"] == "101"
        assert [record.estimate_wei for record in meter.store.call(ListRecords(states=("refused",)))] == [101]
    assert money(meter) == (100, 0, 900)


def test_reservation__extended_beyond_a_budget__is_not_allowed(meter: Meter) -> None:
    meter.change_consumer("alice", budgets=[Budget("all", "day", 450)])
    with meter.reservation("alice", 400, api="jobs") as job, pytest.raises(NotAllowed) as found:
        job.extend(51)
    assert (found.value.code, money(meter)) == ("budget_exceeded", (600, 0, 400))


def test_reservation__extended_to_where_a_budget_throttles__is_throttled(meter: Meter) -> None:
    steps = (Step(80, "throttle"), Step(100, "reject"))
    meter.change_consumer("alice", budgets=[Budget("all", "day", 1_000, steps)])
    with meter.reservation("alice", 600, api="jobs") as job:
        with pytest.raises(NotAllowed) as found:
            job.extend(201)
        assert (found.value.code, found.value.remaining) == ("throttled", 0)
        job.extend(200)


def test_reservation__extended_beyond_a_limit_that_was_set__is_not_allowed(meter: Meter) -> None:
    meter.set_limit("jobs", Limit("fixed", 500, unit="wei", days=1))
    with meter.reservation("alice", 300, api="jobs") as job:
        with pytest.raises(NotAllowed):
            job.extend(201)
        job.extend(200)
    assert money(meter) == (500, 0, 500)
    with pytest.raises(NotAllowed), meter.reservation("alice", 1, api="jobs"):
        pass


def test_reservation__not_allowed__does_not_run_what_is_in_it(meter: Meter) -> None:
    ran = False
    with pytest.raises(NotAllowed), meter.reservation("alice", 1_001, api="jobs"):
        ran = True
    assert not ran


def test_reservation__whose_key_was_charged__is_not_entered_again(meter: Meter) -> None:
    with meter.reservation("alice", 400, api="jobs", idempotency_key="job 1"):
        pass
    with pytest.raises(NotAllowed) as found, meter.reservation("alice", 400, api="jobs", idempotency_key="job 1"):
        pass
    assert (found.value.code, money(meter)) == ("idempotency_used", (600, 0, 400))
    assert str(found.value) == "A reservation with this idempotency key was charged before."


def test_reservation__whose_key_failed__is_entered_again(meter: Meter) -> None:
    for error in (Boom, None):
        try:
            with meter.reservation("alice", 400, api="jobs", idempotency_key="job 1"):
                if error is not None:
                    raise error
        except Boom:
            assert money(meter) == (1_000, 0, 0)
    assert money(meter) == (600, 0, 400)


def test_reservation__longer_than_reservations_last__stays_reserved() -> None:
    desk = Desk()
    with desk.meter.reservation("alice", 100, api="jobs"):
        for _ in range(5):
            desk.clock.now_ms += 60_000
            desk.meter.keeper.tick(desk.clock.now_ms)
        assert desk.balance.reserved_wei == 100
    assert (desk.balance.reserved_wei, desk.balance.charged_wei) == (0, 100)


def test_reservation__entered_again_or_extended_afterwards__is_an_error(meter: Meter) -> None:
    with meter.reservation("alice", 100, api="jobs") as job:
        pass
    with pytest.raises(RuntimeError, match="once"):
        job.__enter__()
    with pytest.raises(RuntimeError, match="left"):
        job.extend(1)
    with pytest.raises(RuntimeError, match="left"):
        job.settle(1)
    assert money(meter) == (900, 0, 100)


def test_reservation__extended_or_settled_before_it_is_entered__is_an_error(meter: Meter) -> None:
    job = meter.reservation("alice", 100, api="jobs")
    for call in (job.extend, job.settle):
        with pytest.raises(RuntimeError, match="not been entered"):
            call(1)
    with job:
        pass
    assert money(meter) == (900, 0, 100)


def test_reservation__with_a_term_of_requests__is_an_invalid_setting(meter: Meter) -> None:
    with pytest.raises(InvalidSetting, match="on_refusal"):
        meter.reservation("alice", 10**9, api="jobs", on_refusal="pass")  # type: ignore[call-arg]


def test_charge__where_requests_are_logged__is_logged_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    with Meter.open("memory://", identify=from_header("x"), log_requests=True) as meter:
        meter.add_consumer("alice")
        meter.grant("alice", 10, grant_id="1")
        with caplog.at_level("INFO", "api_billing"):
            assert meter.charge("alice", 10, api="jobs", operation="render").charged_wei == 10
            with pytest.raises(NotAllowed):
                meter.charge("alice", 1, api="jobs")
    assert len([record for record in caplog.records if record.levelname == "INFO"]) >= 2


def test_reservation__in_a_coroutine__charges_and_releases(meter: Meter) -> None:
    async def jobs() -> None:
        async with meter.reservation("alice", 100, api="jobs") as job:
            await job.aextend(50)
        assert job.charged is not None
        assert job.charged.charged_wei == 150
        with pytest.raises(Boom):
            async with meter.reservation("alice", 100, api="jobs"):
                raise Boom

    asyncio.run(jobs())
    assert money(meter) == (850, 0, 150)


def test_reservation__in_a_coroutine_that_is_cancelled__is_released(meter: Meter) -> None:
    async def cancelled() -> None:
        entered = asyncio.Event()

        async def job() -> None:
            async with meter.reservation("alice", 100, api="jobs"):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(job())
        await entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    assert money(meter) == (1_000, 0, 0)


def test_reservation__whose_extension_gets_lost__is_settled_by_what_was_known() -> None:
    desk = Desk()
    with desk.meter.reservation("alice", 100, api="jobs") as job:
        from api_billing.metering.ledger.operations import ReserveMore

        desk.store.failures.append((ReserveMore, "after"))
        with pytest.raises(StoreUnavailable):
            job.extend(50)
    assert (desk.balance.reserved_wei, desk.balance.charged_wei) == (0, 100)


class Jobs(RuleBasedStateMachine):
    """Charges, and reservations that are extended, settled, left and broken off in any order, against a model."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.meter = self.desk.meter
        self.open: list[tuple[Reservation, int, int | None]] = []
        self.granted_wei, self.charged_wei = 1_000, 0
        self.done: dict[str, int] = {}

    @property
    def free_wei(self) -> int:
        return self.granted_wei - self.charged_wei - sum(held for _, held, _ in self.open)

    @rule(amount_wei=st.integers(0, 400), key=st.sampled_from(["", "a", "b"]))
    def charge(self, amount_wei: int, key: str) -> None:
        before = self.done.get(key)
        try:
            done = self.meter.charge("alice", amount_wei, api="jobs", idempotency_key=key)
        except NotAllowed as error:
            code = error.code
        else:
            assert (done.is_repeated, done.charged_wei) == (before is not None, amount_wei)
            code = ""
            if before is None:
                self.charged_wei += amount_wei
                if key:
                    self.done[key] = amount_wei
            assert done.free_wei == self.free_wei
        if before is not None:
            assert code == ("" if before == amount_wei else "idempotency_mismatch")
        elif code:
            assert (code, amount_wei > self.free_wei) == ("insufficient_credit", True)

    @rule(estimate_wei=st.integers(0, 400))
    def enter(self, estimate_wei: int) -> None:
        job = self.meter.reservation("alice", estimate_wei, api="jobs")
        try:
            job.__enter__()
        except NotAllowed:
            assert estimate_wei > self.free_wei
        else:
            assert estimate_wei <= self.free_wei
            self.open.append((job, estimate_wei, None))

    @rule(data=st.data(), more_wei=st.integers(0, 400))
    def extend(self, data: st.DataObject, more_wei: int) -> None:
        if not self.open:
            return
        index = data.draw(st.integers(0, len(self.open) - 1))
        job, held_wei, cost_wei = self.open[index]
        try:
            job.extend(more_wei)
        except NotAllowed:
            assert more_wei > self.free_wei
        else:
            assert more_wei <= self.free_wei
            self.open[index] = (job, held_wei + more_wei, cost_wei)

    @rule(data=st.data(), cost_wei=st.integers(0, 600))
    def settle(self, data: st.DataObject, cost_wei: int) -> None:
        if self.open:
            index = data.draw(st.integers(0, len(self.open) - 1))
            job, held_wei, _ = self.open[index]
            job.settle(cost_wei)
            self.open[index] = (job, held_wei, cost_wei)

    @rule(data=st.data(), raises=st.booleans())
    def leave(self, data: st.DataObject, raises: bool) -> None:
        if not self.open:
            return
        job, held_wei, cost_wei = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if raises:
            job.__exit__(Boom, Boom(), None)
            return
        job.__exit__(None, None, None)
        due_wei = held_wei if cost_wei is None else cost_wei
        charged_wei = min(due_wei, self.free_wei)  # what it had set aside is free again in the model
        assert job.charged is not None
        assert (job.charged.charged_wei, job.charged.uncollected_wei) == (charged_wei, due_wei - charged_wei)
        self.charged_wei += charged_wei

    @invariant()
    def books_add_up(self) -> None:
        balance = self.desk.balance
        assert (balance.granted_wei, balance.charged_wei) == (self.granted_wei, self.charged_wei)
        assert balance.reserved_wei == sum(held for _, held, _ in self.open)
        assert balance.free_wei + balance.reserved_wei + balance.charged_wei == balance.granted_wei

    def teardown(self) -> None:
        for job, *_ in self.open:
            job.__exit__(Boom, Boom(), None)
        assert self.desk.balance.reserved_wei == 0
        self.meter.close()


TestJobs = Jobs.TestCase
TestJobs.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
