"""Requests with receipts: one request is served for each call that the contract has billed, and nothing is charged."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api_billing.metering import Meter, Metering, from_header
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import (
    ClaimInProgress,
    ListRecords,
    Operation,
    ReadBalance,
    Reserve,
    Settle,
    SumUsage,
    Sweep,
)
from api_billing.metering.request.claims import query_without
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.request.receipt_payer import pauses
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement import receipts as receipts_module
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.stores.steps import Pause, run

from .world import API, DAY_MS, NOON_MS, World, address

WHO = address(7)
TODAY = NOON_MS // DAY_MS
RECEIPT = f"{API}:{WHO}:{TODAY}:1"
BODY = b"sunny"


class Desk:
    """A meter on the world's store and chain, whose consumer was billed two calls; without threads of its own."""

    def __init__(self, world: World, **given: Any) -> None:
        settings = MeterSettings.load(**{"store_url": "memory://", "contract": world.chain.contract, **given})
        self.world = world
        self.meter = Meter(world.store, settings, clock_ms=lambda: world.now_ms)
        on_chain = OnChain(world.chain, world.store, settings, lambda: world.now_ms, world.alerts.append)  # type: ignore[arg-type]
        on_chain.start = lambda: None  # type: ignore[method-assign]
        if settings.contract:
            self.meter.on_chain = on_chain
        self.meter.keeper.start = lambda: None  # type: ignore[method-assign]
        self.paused: list[float] = []
        self.clock_goes = False
        self.served = 0

    def metering(self, api: str = API) -> Metering:
        return self.meter.metering(api, estimate_wei=50, identify=from_header("x-consumer"))

    def exchange(
        self,
        receipt: str | None = RECEIPT,
        *fields: tuple[str, str],
        method: str = "GET",
        path: str = "/forecast",
        query: str = "city=oslo",
        body: bytes = b"",
        api: str = API,
        in_header: bool = False,
    ) -> Exchange:
        headers = [*fields]
        if receipt is not None and in_header:
            headers.append(("x-receipt-id", receipt))
        elif receipt is not None:
            query = f"{query}&receipt={receipt}"
        request = MeteredRequest(
            method, path, TextHeaders(headers), query=query.encode(), at_ms=self.world.now_ms, body=body
        )
        return Exchange(self.metering(api), request)

    def begin(self, exchange: Exchange) -> Answer | None:
        """A pause is noted, and not waited for."""
        steps = exchange.begin_steps()
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            answer = error = None
            try:
                if isinstance(step, Pause):
                    self.paused.append(step.seconds)
                    self.world.at(self.world.now_ms + round(1000 * step.seconds) * self.clock_goes)
                elif isinstance(step, Operation):
                    answer = self.world.call(step)
                else:
                    answer = step.call()
            except StoreUnavailable as failed:
                error = failed

    def finish(
        self, exchange: Exchange, status: int = 200, body: bytes = BODY, fields: tuple[tuple[str, str], ...] = ()
    ) -> dict[str, str]:
        self.served += 1
        kept = body[: exchange.keeps_body] if exchange.keeps_body else None
        headers = TextHeaders([("content-type", "text/plain"), *fields])
        response = MeteredResponse(status, headers, body_bytes=len(body), body=kept)
        return dict(run(exchange.finish_steps(response), self.world.call))

    def serve(self, receipt: str | None = RECEIPT, *fields: tuple[str, str], **given: Any) -> Any:
        """The header fields of a response that was served just now, or the answer instead of one."""
        exchange = self.exchange(receipt, *fields, **given)
        answer = self.begin(exchange)
        return self.finish(exchange) if answer is None else answer

    def refused(self, receipt: str | None = RECEIPT, *fields: tuple[str, str], **given: Any) -> tuple[int, str, Any]:
        """Status, code and reason of a refusal."""
        return problem_of(self.serve(receipt, *fields, **given))

    @property
    def records(self) -> Any:
        return self.world.call(ListRecords())


def problem_of(answer: Any) -> tuple[int, str, Any]:
    assert isinstance(answer, Answer), answer
    problem = json.loads(answer.body)
    return answer.status, problem["code"], problem.get("reason")


def replied(steps: Any, reply: Any) -> Any:
    """The rest of a flow whose last step was answered so."""
    try:
        step = steps.send(reply)
    except StopIteration as end:
        return end.value
    while True:
        step = steps.send((yield step))


@pytest.fixture
def billed(world: World) -> World:
    world.chain.subscribe(API, WHO, receipts={TODAY: 2})
    return world


@pytest.fixture
def desk(billed: World) -> Desk:
    return Desk(billed)


# --- served once, for nothing


def test_receipt__genuine__is_served_without_identity_credit_or_charge(desk: Desk) -> None:
    assert desk.serve() == {"x-cost-wei": "0"}
    (record,) = desk.records
    assert (record.state, record.consumer, record.charged_wei, record.estimate_wei) == ("redeemed", WHO, 0, 0)
    assert json.loads(record.outcome.tags) == {"receipt": RECEIPT}
    assert desk.world.call(ReadBalance(chain_account(API, WHO)))[:3] == (0, 0, 0)


def test_receipt__served__is_in_no_usage_no_batch_and_reconciles(desk: Desk) -> None:
    desk.serve()
    assert desk.world.call(SumUsage()) == ()
    assert run(Cutter(API).step(desk.world.now_ms), desk.world.call) is None
    assert desk.world.reconcile().is_zero


def test_receipt__of_a_consumer_with_metered_usage__reconciles_and_is_told_apart(billed: World) -> None:
    billed.grant(WHO, 100)
    billed.chain.subscriptions[API, WHO].hold_wei = 100
    desk = Desk(billed, new_consumers="enterprise")
    billed.serve(WHO)
    desk.serve()
    billed.settle()
    (line,) = billed.reconcile().lines
    assert (line.is_zero, line.metered_calls, line.receipt_calls) == (True, 1, 2)


def test_receipt__from_leader_and_validators__runs_the_handler_once_and_all_get_its_response(desk: Desk) -> None:
    desk.serve()
    answers = {desk.serve() for _ in range(5)}
    expected = (200, (("content-type", "text/plain"), ("x-cost-wei", "0")), BODY)
    assert (answers, desk.served) == ({Answer(*expected)}, 1)


def test_receipt__in_header_or_query_or_both__is_the_same_request(desk: Desk) -> None:
    desk.serve()
    assert desk.serve(in_header=True).status == 200
    assert desk.serve(RECEIPT, ("x-receipt-id", RECEIPT)).status == 200
    assert desk.served == 1


def test_receipt__whose_name_is_escaped_in_the_query__is_found(desk: Desk) -> None:
    assert desk.serve(None, query=f"city=oslo&rece%69pt={RECEIPT}") == {"x-cost-wei": "0"}


def test_receipt__under_names_of_the_settings__is_found_there_alone(billed: World) -> None:
    desk = Desk(billed, receipt_header="X-Paid", receipt_query="")
    assert desk.refused()[:2] == (401, "missing_identity")
    assert desk.serve(None, ("x-paid", RECEIPT)) == {"x-cost-wei": "0"}


def test_receipt__without_a_contract__is_a_parameter_like_any_other(world: World) -> None:
    desk = Desk(world, contract="")
    assert desk.refused("17")[:2] == (401, "missing_identity")


def test_receipt__second_call_of_the_consumer__is_served_too(desk: Desk) -> None:
    desk.serve()
    desk.serve(RECEIPT[:-1] + "2", path="/other")
    assert desk.served == 2


def test_receipt__with_any_tag_or_none__is_one_call(desk: Desk) -> None:
    # The contract compares a tag with the request while it remembers that; later the count of calls decides.
    assert desk.serve(f"{RECEIPT}:0a1b2c3d")["x-cost-wei"] == "0"
    for text in (f"{RECEIPT}:0a1b2c3d", RECEIPT, f"{RECEIPT}:ffffffff"):
        assert desk.serve(text).body == BODY
        assert desk.refused(text, path="/other") == (422, "receipt_mismatch", None)
    assert desk.served == 1


def test_receipt__with_an_idempotency_key__is_its_own_key(desk: Desk) -> None:
    desk.serve(RECEIPT, ("idempotency-key", "a"))
    assert desk.serve(RECEIPT, ("idempotency-key", "b")).body == BODY
    assert desk.served == 1


def test_receipt__price_of_the_handler__is_not_charged(desk: Desk) -> None:
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    exchange.set_cost_wei(99)
    assert desk.finish(exchange)["x-cost-wei"] == "0"


# --- another request


@pytest.mark.parametrize(
    "other",
    [{"method": "POST"}, {"path": "/tides"}, {"query": "city=rome"}, {"query": "city=oslo&a=1"}, {"body": b"x"}],
)
@pytest.mark.parametrize("served", [True, False], ids=["served", "being served"])
def test_receipt__on_another_request__is_422(desk: Desk, other: dict[str, Any], served: bool) -> None:
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    if served:
        desk.finish(exchange)
    assert desk.refused(**other) == (422, "receipt_mismatch", None)
    assert desk.paused == []


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"receipt=a", b""),
        (b"city=oslo&receipt=a", b"city=oslo"),
        (b"receipt=a&city=oslo&receipt=b", b"city=oslo"),
        (b"rece%69pt=a&x=1", b"x=1"),
        (b"receipts=a&x=receipt", b"receipts=a&x=receipt"),
        (b"", b""),
        (b"a=%C3%28&receipt", b"a=%C3%28"),
    ],
)
def test_query_without__receipt_anywhere__leaves_the_rest_as_it_is(query: bytes, left: bytes) -> None:
    assert query_without(query, "receipt") == left


# --- not valid


@pytest.mark.parametrize(
    "text", ["", "17", RECEIPT + " x", RECEIPT.upper(), RECEIPT[:-1], RECEIPT[:-1] + "0", RECEIPT + "/", "x" * 5000]
)
def test_receipt__malformed__is_402_without_asking_the_chain(desk: Desk, text: str) -> None:
    assert desk.refused(text) == (402, "invalid_receipt", "malformed")
    assert desk.world.chain.reads == 0


def test_receipt__of_another_api__is_402_without_asking_the_chain(desk: Desk) -> None:
    assert desk.refused(api="tides") == (402, "invalid_receipt", "other_api")
    assert desk.world.chain.reads == 0


@pytest.mark.parametrize("in_header", [True, False])
def test_receipt__two_of_them__is_402(desk: Desk, in_header: bool) -> None:
    other = RECEIPT[:-1] + "2"
    both = f"{RECEIPT}, {other}" if in_header else f"{RECEIPT}&receipt={other}"
    assert desk.refused(both, in_header=in_header) == (402, "invalid_receipt", "several")
    assert desk.refused(RECEIPT, ("x-receipt-id", other)) == (402, "invalid_receipt", "several")


def test_receipt__not_billed__is_402_and_in_the_audit_log(desk: Desk) -> None:
    assert desk.refused(RECEIPT[:-1] + "3") == (402, "invalid_receipt", "unknown")
    (record,) = desk.records
    assert (record.state, record.code) == ("refused", "invalid_receipt")


def test_receipt__of_a_day_that_is_to_come__is_402_without_asking_the_chain(desk: Desk) -> None:
    assert desk.refused(f"{API}:{WHO}:{TODAY + 2}:1") == (402, "invalid_receipt", "unknown")
    assert desk.world.chain.reads == 0


# --- time


@pytest.mark.parametrize("days", [0, 2])
def test_receipt__used_in_time__is_served_and_expired_then(billed: World, days: int) -> None:
    desk = Desk(billed, receipt_days=days)
    last_ms = (TODAY + 1 + days) * DAY_MS - 1
    billed.at(last_ms)
    assert desk.serve() == {"x-cost-wei": "0"}
    billed.at(last_ms + 1)
    assert desk.refused() == (402, "invalid_receipt", "expired")


def test_receipt__response_of_a_used_one__is_kept_longer_than_it_can_be_used(desk: Desk) -> None:
    desk.serve()
    # Another process takes the receipt for usable, as its settings or its clock are a day behind.
    other = Desk(desk.world, receipt_days=3)
    desk.world.at((TODAY + 4) * DAY_MS - 1)
    assert (other.serve().body, other.served) == (BODY, 0)


# --- the chain


def test_check__genuine__is_asked_once(desk: Desk) -> None:
    for _ in range(3):
        desk.serve()
    assert desk.world.chain.reads == 3  # the receipt, and twice what its consumer has spent


def test_check__not_genuine__is_believed_for_a_moment_only(desk: Desk) -> None:
    late = RECEIPT[:-1] + "3"
    desk.refused(late)
    desk.refused(late)
    assert desk.world.chain.reads == 1
    desk.world.chain.consume(API, WHO)
    desk.world.at(desk.world.now_ms + 2_000)
    assert desk.serve(late) == {"x-cost-wei": "0"}


def test_check__made_up_receipts__are_forgotten_beyond_a_bound(billed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts_module, "_MAX_REFUSED", 3)
    monkeypatch.setattr(receipts_module, "_MAX_GENUINE", 1)
    desk = Desk(billed, reads_per_10_seconds=1000)
    for number in range(1, 10):
        desk.serve(f"{API}:{WHO}:{TODAY}:{number}")
    assert desk.meter.on_chain is not None
    known = desk.meter.on_chain.receipts
    assert (len(known._refused), len(known._genuine), known._looking) == (3, 1, {})


def test_check__reads_used_up__is_503_with_reason_and_leaves_half_to_credit(billed: World) -> None:
    desk = Desk(billed, reads_per_10_seconds=6)
    for number in (3, 4):
        desk.refused(f"{API}:{WHO}:{TODAY}:{number}")
    answer = desk.serve()
    assert problem_of(answer) == (503, "meter_unavailable", "chain_reads_used_up")
    assert dict(answer.headers)["retry-after"] == "2"
    assert desk.world.chain.reads == 3
    desk.world.at(desk.world.now_ms + 10_000)
    assert desk.serve() == {"x-cost-wei": "0"}


@pytest.mark.parametrize("fail_open", [False, True])
def test_check__chain_does_not_answer__is_503_also_with_fail_open(billed: World, fail_open: bool) -> None:
    desk = Desk(billed, fail_open=fail_open)
    billed.chain.readable = False
    answer = desk.serve()
    assert problem_of(answer) == (503, "meter_unavailable", "chain_unavailable")
    assert "retry-after" in dict(answer.headers)
    billed.chain.readable = True
    assert desk.serve() == {"x-cost-wei": "0"}


def test_receipt__store_does_not_answer__is_503_also_with_fail_open(
    billed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(billed, fail_open=True)
    desk.serve()
    call = billed.store.call

    def failing(operation: Any) -> Any:
        if isinstance(operation, Reserve):
            raise StoreUnavailable("away")
        return call(operation)

    with monkeypatch.context() as patch:
        patch.setattr(billed.store, "call", failing)
        assert problem_of(desk.serve())[:2] == (503, "meter_unavailable")
    assert desk.serve().body == BODY


def test_check__chain_down_after_it_was_checked__is_replayed(desk: Desk) -> None:
    desk.serve()
    desk.world.chain.readable = False
    assert desk.serve().body == BODY


def test_check__eight_at_once__ask_the_chain_once(desk: Desk) -> None:
    asked, go_on = threading.Event(), threading.Event()
    answer = desk.world.chain.get_receipt

    def slow(receipt_id: str) -> Any:
        asked.set()
        assert go_on.wait(10)
        return answer(receipt_id)

    desk.world.chain.get_receipt = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(8) as threads:
        replies = [threads.submit(desk.refused, RECEIPT, path=f"/{number}") for number in range(7)]
        assert asked.wait(10)
        go_on.set()
        first = [reply for reply in replies if isinstance(reply.exception(10), AssertionError)]
    assert len(first) == 1  # the one that was served, so that it was not refused
    assert desk.world.chain.reads == 3


# --- while it is served


def test_receipt__being_served__others_wait_and_get_the_response(desk: Desk) -> None:
    first, second = desk.exchange(), desk.exchange()
    assert desk.begin(first) is None
    steps = second.begin_steps()
    step = next(steps)
    while not isinstance(step, Pause):
        step = steps.send(desk.world.call(step))  # type: ignore[arg-type]
    desk.finish(first)
    reserve = steps.send(None)
    assert isinstance(reserve, Reserve)
    answer = run(replied(steps, desk.world.call(reserve)), desk.world.call)
    assert answer.body == BODY


def test_receipt__served_for_too_long__is_409_with_retry_after(billed: World) -> None:
    desk = Desk(billed, receipt_wait_seconds=3)
    assert desk.begin(desk.exchange()) is None
    answer = desk.serve()
    assert problem_of(answer) == (409, "receipt_in_progress", None)
    assert dict(answer.headers)["retry-after"] == "1"
    assert sum(desk.paused) == pytest.approx(3)


@pytest.mark.parametrize("seconds", [0, 1, 20, 300])
def test_pauses__of_any_length__add_up_and_are_bounded(seconds: int) -> None:
    found = list(pauses(seconds))
    assert sum(found) == pytest.approx(seconds)
    assert all(0 < pause <= 0.5 for pause in found)


def test_receipt__handler_raised__can_be_used_again(desk: Desk) -> None:
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    exchange.abort(ValueError())
    assert desk.serve() == {"x-cost-wei": "0"}
    assert {record.state for record in desk.records} == {"released", "redeemed"}


def test_receipt__status_that_is_free__can_be_used_again(desk: Desk) -> None:
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    assert desk.finish(exchange, 503) == {"x-cost-wei": "0"}
    assert desk.serve() == {"x-cost-wei": "0"}


def test_receipt__status_of_a_client_error__is_its_response(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.finish(exchange, 404)
    assert desk.serve().status == 404


def test_receipt__process_killed_while_serving__can_be_used_after_the_reservation_expired(desk: Desk) -> None:
    assert desk.begin(desk.exchange()) is None
    later_ms = desk.world.now_ms + desk.meter.reservation_ms
    desk.world.at(later_ms - 1)
    assert desk.refused()[0] == 409
    desk.world.at(later_ms)
    assert desk.serve() == {"x-cost-wei": "0"}


def test_receipt__process_killed_while_others_wait__one_of_them_is_served_for_its_whole_time(billed: World) -> None:
    desk = Desk(billed, receipt_wait_seconds=300, reservation_seconds=60)
    assert desk.begin(desk.exchange()) is None
    desk.clock_goes = True
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    assert 59 <= sum(desk.paused) <= 61
    billed.at(billed.now_ms + 59_000)
    assert billed.call(Sweep(billed.now_ms)) == 1  # that of the process which died
    desk.finish(exchange)
    assert desk.serve().body == BODY


def test_receipt__served_after_the_reservation_expired__is_used_up_all_the_same(desk: Desk) -> None:
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    desk.world.at(desk.world.now_ms + desk.meter.reservation_ms)
    desk.world.call(Sweep(desk.world.now_ms))
    desk.finish(exchange)
    assert desk.serve().body == BODY


def test_receipt__settlement_lost__is_repeated_and_the_response_kept(billed: World) -> None:
    desk = Desk(billed)
    exchange = desk.exchange()
    assert desk.begin(exchange) is None
    perform, failures = billed.store._perform, [StoreUnavailable("away")]

    def failing(operations: Any) -> Any:
        if failures and any(isinstance(operation, Settle) for operation in operations):
            raise failures.pop()
        return perform(operations)

    billed.store._perform = failing  # type: ignore[method-assign]
    desk.finish(exchange)
    desk.meter.keeper.tick(billed.now_ms)
    assert desk.serve().body == BODY


def test_receipt__store_away__is_503(desk: Desk) -> None:
    def failing(operations: Any) -> Any:
        raise StoreUnavailable("away")

    desk.serve(RECEIPT[:-1] + "2")
    desk.world.store._perform = failing  # type: ignore[method-assign]
    assert desk.refused(RECEIPT[:-1] + "2")[:2] == (503, "meter_unavailable")


# --- responses that cannot be kept


def test_receipt__response_too_large_to_keep__uses_it_up(billed: World) -> None:
    desk = Desk(billed, max_stored_bytes=4)
    assert desk.serve() == {"x-cost-wei": "0"}
    assert [desk.refused() for _ in range(2)] == [(410, "receipt_used", None)] * 2
    assert (desk.served, desk.refused(path="/other")[0]) == (1, 422)


def test_receipt__response_that_did_not_come_to_its_end__uses_it_up(desk: Desk) -> None:
    exchange = desk.exchange()
    desk.begin(exchange)
    desk.finish(exchange, fields=(("content-length", "1000"),))
    assert desk.refused() == (410, "receipt_used", None)


def test_receipt__head_with_the_length_of_get__is_whole(desk: Desk) -> None:
    exchange = desk.exchange(method="HEAD")
    desk.begin(exchange)
    desk.finish(exchange, body=b"", fields=(("content-length", "1000"),))
    assert desk.serve(method="HEAD").status == 200


def test_receipt__body_too_large_to_compare__is_413(billed: World) -> None:
    desk = Desk(billed, max_fingerprint_bytes=3)
    assert desk.refused(body=b"four")[:2] == (413, "body_too_large")


# --- many at once


def test_receipt__sixteen_threads_at_once__one_is_served_and_all_get_its_response(desk: Desk) -> None:
    """The handler goes on only when all others were told that it is in progress: nobody was refused for that."""
    told, everybody = 0, threading.Event()
    lock = threading.Lock()
    perform = desk.world.store._perform

    def counting(operations: Any) -> Any:
        nonlocal told
        replies = perform(operations)
        with lock:
            waiting = {
                operation.request_id
                for operation, reply in zip(operations, replies, strict=True)
                if isinstance(operation, Reserve) and isinstance(reply, ClaimInProgress)
            }
            seen.update(waiting)
            if len(seen) == 15:
                everybody.set()
        return replies

    seen: set[str] = set()
    desk.world.store._perform = counting  # type: ignore[method-assign]

    def request(number: int) -> Any:
        exchange = desk.exchange(RECEIPT, ("x-request-id", f"r{number}"))
        answer = run(exchange.begin_steps(), desk.world.call)
        if answer is not None:
            return answer.body
        assert everybody.wait(30)
        desk.finish(exchange)
        return BODY

    with ThreadPoolExecutor(16) as threads:
        bodies = list(threads.map(request, range(16)))
    assert (bodies, desk.served) == ([BODY] * 16, 1)
    assert [record.state for record in desk.records] == ["redeemed"]


# --- before it is final


def test_check__accepted_only__is_served_up_to_the_amount(billed: World) -> None:
    billed.chain.freeze()
    billed.chain.consume(API, WHO)
    third = RECEIPT[:-1] + "3"
    price_wei = billed.chain.subscriptions[API, WHO].price_wei
    assert problem_of(Desk(billed, accepted_up_to_wei=price_wei - 1).serve(third)) == (
        402,
        "invalid_receipt",
        "not_final",
    )
    assert Desk(billed, accepted_up_to_wei=price_wei).serve(third) == {"x-cost-wei": "0"}


def test_check__accepted_only_of_a_consumer_with_others__counts_them_all(billed: World) -> None:
    billed.chain.freeze()
    for _ in range(2):
        billed.chain.consume(API, WHO)
    desk = Desk(billed, accepted_up_to_wei=billed.chain.subscriptions[API, WHO].price_wei)
    assert problem_of(desk.serve(RECEIPT[:-1] + "3")) == (402, "invalid_receipt", "not_final")
    assert desk.serve(RECEIPT) == {"x-cost-wei": "0"}  # that is final


def test_check__nothing_accepted_is_taken__serves_what_is_final(billed: World) -> None:
    billed.chain.freeze()
    billed.chain.consume(API, WHO)
    desk = Desk(billed, accepted_up_to_wei=0)
    assert desk.serve(RECEIPT) == {"x-cost-wei": "0"}
    assert problem_of(desk.serve(RECEIPT[:-1] + "3")) == (402, "invalid_receipt", "not_final")
    billed.chain.freeze()
    desk.world.at(desk.world.now_ms + 2_000)
    assert desk.serve(RECEIPT[:-1] + "3") == {"x-cost-wei": "0"}
