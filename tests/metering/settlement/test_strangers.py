"""Who has proven nothing: what it can have read from the chain, and what that leaves to others."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.ledger.settlement_operations import NEVER_READ, ReadCredit, TakeRead
from api_billing.metering.request.problems import Answer
from api_billing.metering.settlement import credit as credit_module
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.stores.steps import run

from .paying import DoorDesk
from .signing import SIGNER, WHO, anybody, open_session, salt_of, sign
from .test_credit import make
from .test_sessions import SessionDesk
from .world import API, World, address

ACCOUNT = chain_account(API, WHO)


def flood(desk: DoorDesk, first: int = 100, number: int = 50) -> list[int]:
    """Strangers with a channel of their own, and vouchers that they have signed: the statuses."""
    found = []
    challenge = desk.ask().challenge
    for each in range(first, first + number):
        channel, by = anybody(desk.world, address(each))
        field = desk.by_mpp(by, challenge, who=address(each), channelId=channel.id)
        found.append(desk.ask(field).status)
    return found


def test_stranger__whose_voucher_nobody_can_have_signed__is_not_read(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world)
    challenge = desk.ask().challenge
    reads = world.chain.reads
    for each in range(100, 110):
        answer = desk.ask(desk.by_mpp(desk.sign(10), challenge, who=address(each)))
        assert (answer.status, answer.code, answer.problem["reason"]) == (402, "invalid_voucher", "bad_signature")
    assert world.chain.reads == reads


def test_strangers__without_an_end__leave_reads_to_who_is_proven(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world, reads_per_10_seconds=20)
    assert flood(desk) == [402] * 4 + [503] * 46
    assert world.chain.reads == 4 + 2  # and the API, and who is new
    world.chain.subscribe(API, address(2), hold_wei=100)
    assert desk.ask(("x-consumer", address(2))).ran


def test_strangers__read_or_not__are_not_read_in_the_background(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world, reads_per_10_seconds=20)
    flood(desk)
    reads = world.chain.reads
    desk.tick(31)
    assert world.chain.reads == reads
    assert world.store.call(ReadCredit(chain_account(API, address(100)))).terms == NEVER_READ


def test_strangers__while_they_come__keep_nobody_out_whom_the_store_knows(world: World) -> None:
    open_session(world)
    assert DoorDesk(world).pay_mpp(10).ran
    desk = DoorDesk(world, reads_per_10_seconds=20)  # of another process, an hour later
    world.at(world.now_ms + 3_600_000)
    assert 503 in flood(desk)
    assert desk.pay_mpp(20).ran


def test_stranger__that_names_a_consumer__grants_it_nothing(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world)
    channel, by = anybody(world, WHO)
    answer = desk.ask(desk.by_mpp(by, channelId=channel.id))
    assert (answer.status, answer.code) == (402, "invalid_voucher")
    assert world.store.call(ReadSession(ACCOUNT)) is None
    assert world.store.call(ReadCredit(ACCOUNT)).terms == NEVER_READ
    assert desk.pay_mpp(10).ran


@pytest.mark.parametrize("others", [0, 120])
def test_strangers__while_they_come__keep_nobody_out_who_is_new(world: World, others: int) -> None:
    for number in range(1_000, 1_000 + others):
        world.chain.subscribe(API, address(number))
    open_session(world)
    desk = DoorDesk(world, reads_per_10_seconds=20)
    fields = [desk.by_mpp(desk.sign(sum_wei)) for sum_wei in (10, 20)]
    assert 503 in flood(desk)
    statuses = []
    for first, field in zip((200, 300), fields, strict=True):
        statuses.append(desk.ask(field).status)
        world.at(world.now_ms + 2_000)
        assert flood(desk, first) == [503] * 50
    assert statuses == ([503, 200] if others else [200, 200])


def test_consumer__whose_session_has_ended_since__is_not_served_by_it(world: World) -> None:
    open_session(world)
    assert DoorDesk(world).pay_mpp(10).ran
    desk = DoorDesk(world)  # of another process
    field = desk.by_mpp(desk.sign(20))
    world.chain.subscriptions[API, WHO].signer = ""
    world.at(world.now_ms + 60_000)
    answer = desk.ask(field)
    assert (answer.status, answer.problem["reason"]) == (402, "no_session")


def test_consumer__proven_when_no_reads_were_left_for_the_rest__goes_on_with_the_next_request(world: World) -> None:
    open_session(world)
    desk = DoorDesk(world, reads_per_10_seconds=20)
    field = desk.by_mpp(desk.sign(10))
    for _ in range(16):
        world.store.call(TakeRead(world.chain.contract.lower(), world.now_ms, 20))
    assert desk.ask(field).status == 503
    world.at(world.now_ms + 10_000)
    flood(desk)
    assert desk.ask(field).ran


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_session__that_is_new_to_the_store__is_paid_in(world: World, method: str) -> None:
    open_session(world)
    answer = DoorDesk(world).pay_mpp(10, method=method)
    assert answer.receipt["acceptedCumulative"] == "10"


def test_top_up__of_anybody__leaves_reads_and_has_nobody_read_in_the_background(world: World) -> None:
    open_session(world)
    assert DoorDesk(world).pay_mpp(10).ran
    desk = DoorDesk(world, reads_per_10_seconds=20)
    challenge = desk.ask().challenge
    field = desk.by_mpp(None, challenge, action="topUp")
    world.at(world.now_ms + 60_000)
    assert [desk.ask(field).status for _ in range(6)] == [204] * 4 + [503] * 2
    reads = world.chain.reads
    desk.tick()
    assert world.chain.reads == reads


# --- channels


def test_session__with_ever_new_channels__has_no_more_read_than_a_session_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session(world)
    desk = SessionDesk(world)
    assert not isinstance(desk.serve(by=desk.sign(10)), Answer)
    reads, codes = [], []
    get_session = world.chain.get_session
    monkeypatch.setattr(world.chain, "get_session", lambda *asked: reads.append(asked) or get_session(*asked))  # type: ignore[func-returns-value]
    for number in range(1, 40):
        world.at(world.now_ms + 2_000)
        codes.append(desk.problem(by=desk.sign(1, number))["code"])
    assert codes == ["voucher_required"] * 15 + ["too_many_channels"] * 24
    assert len(reads) == 15
    assert not isinstance(desk.serve(by=desk.sign(20)), Answer)
    world.at(world.now_ms + 900_000)
    assert desk.problem(by=desk.sign(1, 39))["code"] == "voucher_required"


def test_session__with_all_its_channels__has_no_other_one_read(world: World) -> None:
    open_session(world)
    desk = SessionDesk(world)
    for number in range(16):
        world.at(world.now_ms + 2_000)
        desk.serve(by=desk.sign(10, number))
    again = SessionDesk(world)
    assert not isinstance(again.serve(by=again.sign(20)), Answer)
    reads = world.chain.reads
    assert again.problem(by=again.sign(10, 17))["code"] == "too_many_channels"
    assert world.chain.reads == reads


def test_channels__that_are_new__leave_reads_to_who_is_proven(world: World) -> None:
    desk = SessionDesk(world, reads_per_10_seconds=20, holds_from="accepted")
    people = [address(number) for number in range(2, 7)]
    for who in people:
        world.at(world.now_ms + 10_000)
        open_session(world, who=who)
        assert not isinstance(desk.serve(by=sign(world, 10, who=who), who=who), Answer)
    world.at(world.now_ms + 10_000)
    for number in range(1, 9):
        for who in people:
            desk.serve(by=sign(world, 1, number, who=who), who=who)
    open_session(world)
    assert not isinstance(desk.serve(by=desk.sign(10)), Answer)


def test_channel__new_to_many_requests_at_once__is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    open_session(world)
    desk = SessionDesk(world)
    desk.serve(by=desk.sign(10))
    reads, get_session, begun, may_end = [], world.chain.get_session, threading.Event(), threading.Event()

    def slow(*asked: Any) -> Any:
        reads.append(asked)
        begun.set()
        assert may_end.wait(10)
        return get_session(*asked)

    monkeypatch.setattr(world.chain, "get_session", slow)
    assert desk.meter.on_chain is not None
    check, by, found = desk.meter.on_chain.check_voucher, desk.sign(10, 1), []
    threads = [
        threading.Thread(target=lambda: found.append(run(check(API, WHO, by), world.call)))  # type: ignore[arg-type]
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    may_end.set()
    for thread in threads:
        thread.join()
    assert len(reads) == 1
    assert len(found) == 8
    assert {each.channel_id for each in found} == {world.chain.channel(API, WHO, salt_of(1)).id}


@pytest.mark.parametrize("kind", ["many strangers", "one of them"])
def test_strangers__while_the_node_is_slow__keep_few_threads_and_no_payer_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    open_session(world)
    desk = DoorDesk(world)
    assert desk.pay_mpp(10).ran
    fields = []
    for each in range(100, 103) if kind == "many strangers" else [100]:
        channel, by = anybody(world, address(each))
        fields.append(desk.by_mpp(by, who=address(each), channelId=channel.id))
    begun, may_end, read, found = threading.Semaphore(0), threading.Event(), world.chain.get_usage_report, []

    def slow(who: str, offset: int = 0) -> Any:
        begun.release()
        assert may_end.wait(60)
        return read(who, offset)

    monkeypatch.setattr(world.chain, "get_usage_report", slow)
    monkeypatch.setattr(credit_module, "_WAIT_SECONDS", 0)
    threads = [threading.Thread(target=lambda field=field: found.append(desk.ask(field).status)) for field in fields]
    for thread in threads:
        thread.start()
    try:
        assert all(begun.acquire(timeout=60) for _ in threads)
        assert flood(desk, 100 if kind == "one of them" else 200, 1) == [503]
        assert desk.ask(fields[0]).status == 503
        assert desk.pay_mpp(20).ran
    finally:
        may_end.set()
        for thread in threads:
            thread.join()
    assert set(found) == {402}


# --- what is recorded meanwhile


def test_refresh__a_settlement_recorded_meanwhile__reads_again_at_once(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=1000)
    credit = make(world)
    run(credit.refresh(WHO, (API,)), world.call)
    world.serve(WHO)
    world.at(world.now_ms + 60_000)
    get_usage_report = world.chain.get_usage_report

    def read(*asked: Any) -> Any:
        world.chain.get_usage_report = get_usage_report  # type: ignore[method-assign]
        world.settle()
        return get_usage_report(*asked)

    world.chain.get_usage_report = read  # type: ignore[method-assign]
    assert run(credit.refresh(WHO, (API,)), world.call)
    assert world.credit(WHO).terms.read_ms == world.now_ms


def test_admit__something_recorded_during_its_first_look__is_served(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=1000, signer=SIGNER)
    credit, other = make(world), make(world, refresh_ms=0)
    get_usage_report = world.chain.get_usage_report

    def read(*asked: Any) -> Any:
        world.chain.get_usage_report = get_usage_report  # type: ignore[method-assign]
        run(other.refresh(WHO, (API,)), world.call)  # another process is faster
        return get_usage_report(*asked)

    world.chain.get_usage_report = read  # type: ignore[method-assign]
    assert not hasattr(run(credit.admit(API, WHO, 10), world.call), "code")
