"""A meter whose consumers pay from the chain: one request at a time, on a store in memory and a fake chain."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api_billing.metering import Meter, Quota, from_header
from api_billing.metering.errors import InvalidSetting, MeterError
from api_billing.metering.ledger.operations import ListRecords, ReadBalance, SumUsage
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.on_chain import OnChain

from .world import API, DAY_MS, World, address

WHO = address(1)
HOUR_MS = 3_600_000
BY_NAME = from_header("x-consumer")


class Desk:
    """A meter on the world's store and chain. Its threads are not started: ``tick`` is a round of the refresh."""

    def __init__(self, world: World, **given: Any) -> None:
        settings = MeterSettings.load(
            store_url="memory://", contract=world.chain.contract, **{"new_consumers": "enterprise", **given}
        )
        self.world = world
        self.meter = Meter(world.store, settings, clock_ms=lambda: world.now_ms, randrange=lambda _: 0)
        on_chain = OnChain(world.chain, world.store, settings, lambda: world.now_ms, world.alerts.append)  # type: ignore[arg-type]
        on_chain.start = lambda: None  # type: ignore[method-assign]
        self.meter.on_chain = on_chain
        self.meter.keeper.start = lambda: None  # type: ignore[method-assign]

    def tick(self, seconds: int = 60) -> None:
        assert self.meter.on_chain is not None
        self.world.at(self.world.now_ms + seconds * 1000)
        self.meter.on_chain.credit.tick()

    def serve(self, *fields: tuple[str, str], who: str = WHO, api: str = API, cost_wei: int = 10) -> Any:
        """The header fields of a response that was served, or the answer instead of one."""
        headers = TextHeaders([("x-consumer", who), *fields])
        request = MeteredRequest("GET", "/forecast", headers, at_ms=self.world.now_ms, body=b"")
        exchange = Exchange(self.meter.metering(api, estimate_wei=cost_wei, identify=BY_NAME), request)
        answer = exchange.begin()
        if answer is not None:
            return answer
        response = MeteredResponse(200, TextHeaders([]), body_bytes=5, body=b"sunny" if exchange.keeps_body else None)
        return dict(exchange.finish(response))

    def refused(self, *fields: tuple[str, str], **given: Any) -> tuple[int, str, str | None]:
        """Status, code and reason of a refusal."""
        answer = self.serve(*fields, **given)
        assert isinstance(answer, Answer), answer
        problem = json.loads(answer.body)
        return answer.status, problem["code"], problem.get("reason")

    def free_wei(self) -> int:
        return self.world.store.call(ReadBalance(chain_account(API, WHO))).free_wei


@pytest.fixture
def desk(world: World) -> Desk:
    world.chain.subscribe(API, WHO, hold_wei=100, expires_at=world.now_ms // 1000 + 2 * 86_400, daily_calls=50)
    return Desk(world)


def test_request__of_a_consumer_with_a_hold__is_paid_from_it_and_settled(desk: Desk) -> None:
    fields = desk.serve()
    assert (fields["x-cost-wei"], desk.free_wei()) == ("10", 90)
    assert desk.world.settle().status == "done"
    assert desk.world.chain.subscriptions[API, WHO].hold_wei == 90
    assert desk.world.reconcile().is_zero


def test_request__in_another_spelling_of_the_address__is_the_same_consumer(desk: Desk) -> None:
    who = "0x" + "aB" * 20
    desk.world.chain.subscribe(API, who.lower(), hold_wei=15)
    desk.serve(who=who)
    assert desk.refused(who=who.lower())[:2] == (402, "insufficient_credit")
    (usage,) = desk.world.store.call(SumUsage(api=API))
    assert usage.consumer == who.lower()


def test_request__beyond_the_hold__is_refused_until_it_is_raised(desk: Desk) -> None:
    for _ in range(10):
        assert not isinstance(desk.serve(), Answer)
    assert desk.refused() == (402, "insufficient_credit", None)
    desk.world.settle()
    desk.world.chain.subscriptions[API, WHO].hold_wei += 10
    desk.tick()
    assert not isinstance(desk.serve(), Answer)
    assert desk.refused() == (402, "insufficient_credit", None)


def test_request__of_a_name_that_is_no_address__is_not_subscribed(desk: Desk) -> None:
    assert desk.refused(who="acme") == (403, "not_subscribed", "not_an_address")


def test_request__of_an_address_without_subscription__is_not_subscribed(desk: Desk) -> None:
    assert desk.refused(who=address(2)) == (403, "not_subscribed", None)


def test_request__refused_by_the_chain__is_in_the_audit_log(desk: Desk) -> None:
    desk.world.chain.paused = True
    assert desk.refused() == (403, "not_subscribed", "api_paused")
    (record,) = desk.world.store.call(ListRecords())
    assert (record.state, record.why, record.account) == (
        "refused",
        "not_subscribed/api_paused",
        chain_account(API, WHO),
    )


def test_request__more_than_the_plan_allows_today__waits_for_midnight(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=100, daily_calls=2, receipts={world.now_ms // DAY_MS: 1})
    desk = Desk(world)
    assert desk.serve()["ratelimit"] == '"plan-day";r=0;t=43200'
    answer = desk.serve()
    assert (answer.status, dict(answer.headers)["retry-after"]) == (429, str(12 * 3600))
    assert json.loads(answer.body)["violated-policies"] == ["plan-day"]
    world.settle()
    desk.tick()
    assert desk.refused()[:2] == (429, "quota_exceeded")
    desk.tick(12 * 3600)
    assert not isinstance(desk.serve(), Answer)
    world.settle()
    assert world.reconcile().is_zero


def test_request__plan_of_the_chain_that_is_a_tier__has_its_quotas(desk: Desk) -> None:
    from api_billing.metering.ledger.consumer_operations import PutTier
    from api_billing.metering.limits.tiers import Tier

    desk.world.store.call(PutTier(Tier("standard", None, 7, (Quota("burst", "minute", 1),))))
    desk.serve()
    assert desk.refused()[:2] == (429, "quota_exceeded")
    (served, refused) = desk.world.store.call(ListRecords())
    assert (served.tier, refused.tier) == ("standard", "standard")


def test_request__plan_that_is_no_tier__looks_it_up_once(desk: Desk) -> None:
    for _ in range(3):
        assert not isinstance(desk.serve(), Answer)
    (record, *_) = desk.world.store.call(ListRecords())
    assert record.tier == "enterprise"


def test_request__chain_down__goes_on_for_the_grace_time_and_is_503_then(desk: Desk) -> None:
    desk.serve()
    desk.world.chain.readable = False
    desk.tick(900)
    assert not isinstance(desk.serve(), Answer)
    desk.tick(1)
    assert desk.refused() == (503, "meter_unavailable", "credit_unknown")
    desk.world.chain.readable = True
    desk.tick()
    assert not isinstance(desk.serve(), Answer)


@pytest.mark.parametrize("fail_open", [False, True])
def test_request__chain_down_for_a_new_consumer__is_503_with_the_reason_also_with_fail_open(
    world: World, fail_open: bool
) -> None:
    world.chain.readable = False
    answer = Desk(world, fail_open=fail_open).serve()
    assert isinstance(answer, Answer)
    assert answer.status == 503
    problem = json.loads(answer.body)
    assert (problem["code"], problem["reason"]) == ("meter_unavailable", "credit_unknown")
    assert "cannot be read from the chain" in problem["detail"]


def test_request__no_reads_left_for_a_new_consumer_and_fail_open__is_not_served(world: World) -> None:
    desk = Desk(world, fail_open=True, reads_per_10_seconds=1)
    assert world.store.call(TakeRead(world.chain.contract.lower(), world.now_ms, 1, 0))  # as anybody can use them up
    answer = desk.serve()
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["reason"] == "credit_unknown"


def test_request__chain_down_for_long_and_fail_open__is_served_on_the_known_hold(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=100, expires_at=world.now_ms // 1000 + 2 * 86_400)
    desk = Desk(world, fail_open=True)
    desk.serve()
    world.chain.readable = False
    desk.tick(10_000)
    assert desk.serve()["x-cost-wei"] == "10"
    assert len(world.store.call(ListRecords())) == 2


def test_request__hold_that_ends_soon__is_refused_but_what_was_served_before_is_replayed(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=100, expires_at=world.now_ms // 1000 + 1000)
    desk = Desk(world)
    key = ("idempotency-key", "mine")
    assert desk.serve(key)["x-cost-wei"] == "10"
    world.at(world.now_ms + 200_000)
    assert desk.refused() == (402, "insufficient_credit", "hold_ends")
    answer = desk.serve(key)
    assert (answer.status, answer.body) == (200, b"sunny")
    assert ("idempotency-replayed", "true") in [(name.lower(), value) for name, value in answer.headers]
    assert desk.refused(("idempotency-key", "other")) == (402, "insufficient_credit", "hold_ends")


def test_grant__with_credit_on_the_chain__says_who_can(desk: Desk) -> None:
    with pytest.raises(MeterError, match="only the consumer"):
        desk.meter.grant(WHO, 5, grant_id="g")


def test_balance__with_credit_on_the_chain__needs_the_api(desk: Desk) -> None:
    desk.serve()
    assert desk.meter.balance(WHO.upper().replace("X", "x"), API).charged_wei == 10
    with pytest.raises(MeterError, match="which one"):
        desk.meter.balance(WHO)


def test_metering__api_that_no_contract_can_have__is_an_invalid_setting(desk: Desk) -> None:
    with pytest.raises(InvalidSetting, match="Weather"):
        desk.meter.metering("Weather Report")


def test_use_free_credit__serves_without_a_hold(world: World) -> None:
    world.chain.subscribe(API, WHO, credit_wei=25)
    assert Desk(world).refused() == (402, "insufficient_credit", None)
    desk = Desk(world, use_free_credit=True)
    desk.tick()
    assert not isinstance(desk.serve(), Answer)
    world.settle()
    assert world.chain.subscriptions[API, WHO].credit_wei == 15
