"""Races on one consumer's last credit and calls: exactly as many are admitted as there is, in threads and processes."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Claim, ListRecords, ReadCounts, Reserve, Reserved, Settle, SumUsage
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.stores import open_store

THREADS = 16
PROCESSES = 4
EACH = 6


def in_threads(work, threads=THREADS):
    """What each thread returned, all begun at one moment."""
    barrier = Barrier(threads)

    def begin(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


@pytest.fixture
def in_processes(processes, shared_url):
    """What all reservations of some processes were answered, counted; they begin when all of them are ready."""

    def begin(fields, settle, **more):
        task = {"url": shared_url, "fields": fields, "settle": settle, "processes": PROCESSES, "each": EACH, **more}
        return Counter(processes("race", **task))

    return begin


def fields_of(desk, **changes):
    return {
        "now_ms": desk.now_ms, "expires_ms": desk.now_ms + 60_000, "account": desk.account, "api": desk.api,
        "consumer": desk.consumer, "estimate_wei": 10, "claim_expires_ms": desk.now_ms + DAY_MS, **changes,
    }  # fmt: skip


@pytest.mark.parametrize("credit_wei", [50, 59])
def test_threads__on_the_last_credit__exactly_as_many_are_admitted_as_it_pays_for(desk, credit_wei):
    desk.grant(credit_wei)
    replies = in_threads(lambda _: desk.reserve(10)[1])
    assert sum(isinstance(reply, Reserved) for reply in replies) == 5
    assert desk.balance().reserved_wei == 50


def test_threads__on_the_last_calls_of_a_window__exactly_the_limit_is_admitted(desk, calls):
    desk.grant(1000)
    replies = in_threads(lambda _: desk.reserve(10, calls(7))[1])
    assert sum(isinstance(reply, Reserved) for reply in replies) == 7
    assert desk.counts(calls(7)) == (7,)
    assert desk.balance().reserved_wei == 70


def test_threads__reserving_settling_and_releasing__lose_no_call_and_no_wei(desk, calls):
    desk.grant(10**6)
    window = calls(None)

    def serve(number):
        for turn in range(8):
            reservation_id, _ = desk.reserve(10, window)
            if (number + turn) % 3:
                desk.settle(reservation_id, number)
            else:
                desk.release(reservation_id)

    in_threads(serve)
    settled = [number for number in range(THREADS) for turn in range(8) if (number + turn) % 3]
    balance = desk.balance()
    assert (balance.reserved_wei, balance.charged_wei, balance.granted_wei) == (0, sum(settled), 10**6)
    assert desk.counts(window) == (len(settled),)
    assert [(day.calls, day.charged_wei) for day in desk.call(SumUsage())] == [(len(settled), sum(settled))]


def test_threads__settling_the_same_request__charge_it_once(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(10)
    replies = in_threads(lambda _: desk.settle(reservation_id, 10))
    assert Counter(reply.repeated for reply in replies) == {False: 1, True: THREADS - 1}
    assert desk.balance().charged_wei == 10


def test_threads__granting_with_one_id__grant_once(desk):
    replies = in_threads(lambda _: desk.grant(10, grant_id="g1"))
    assert Counter(reply.repeated for reply in replies) == {False: 1, True: THREADS - 1}
    assert desk.balance().granted_wei == 10


def test_connections__of_several_stores_on_crossing_windows__do_not_block_each_other(
    shared_url, desk_of, calls, monkeypatch
):
    if shared_url.startswith("postgresql"):
        # A deadlock would be resolved and tried again: here it is to be seen.
        monkeypatch.setattr("api_billing.metering.stores.postgresql.store._CONFLICTS", {"40001", "23505"})
    # Each takes two accounts and two windows of both, in opposite orders: a deadlock without one order of locks.
    windows = (calls(None, "a"), calls(None, "b"))
    with ExitStack() as stack:
        stores = [stack.enter_context(open_store(shared_url)) for _ in range(4)]
        desk = desk_of(stores[0])
        for account in ("x", "y"):
            desk.grant(10**6, account)

        def work(number):
            for _ in range(5):
                made = [
                    Reserve(new_id(desk.now_ms), desk.now_ms, desk.now_ms + 10**6, account, "api", account, 10,
                            checks=windows[::order])
                    for account, order in (("x", 1), ("y", -1)) for _ in range(3)
                ][:: 1 if number % 2 else -1]  # fmt: skip
                assert all(isinstance(reply, Reserved) for reply in stores[number]._perform(made))
                stores[number]._perform([Settle(one.reservation_id, one.account, one.now_ms, 10) for one in made])

        in_threads(work, len(stores))
        assert desk.counts(*windows) == (120, 120)
        assert [desk.balance(account).charged_wei for account in ("x", "y")] == [600, 600]


@pytest.mark.parametrize("contested", ["idempotency key", "window"])
def test_connections__with_an_account_each__admit_one_to_what_they_share(shared_url, desk_of, calls, contested):
    # Nothing that they share has a row yet, and their accounts do not keep them apart.
    with ExitStack() as stack:
        desks = [desk_of(stack.enter_context(open_store(shared_url)), account=f"acme/{number}") for number in range(4)]
        for desk in desks:
            desk.grant(1000, grant_id=desk.account)

        def ask(round_, number):
            desk = desks[number]
            shared = {"claim": Claim(f"key {round_}", "")} if contested == "idempotency key" else {}
            checks = (calls(1, f"round {round_}"),) if contested == "window" else ()
            made = desk.reserve_op(10, *checks, reservation_id=new_id(desk.now_ms), **shared)
            return type(desk.call(made))

        for round_ in range(8):
            answers = in_threads(lambda number, round_=round_: ask(round_, number), len(desks))
            assert answers.count(Reserved) == 1


def test_processes__on_the_last_credit__exactly_as_many_are_admitted_as_it_pays_for(in_processes, shared_url, desk_of):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(89)
        answers = in_processes(fields_of(desk), settle=True)
        assert answers == {"Reserved": 8, "insufficient_credit": PROCESSES * EACH - 8}
        balance = desk.balance()
        assert (balance.charged_wei, balance.reserved_wei, balance.free_wei) == (80, 0, 9)
        assert len(desk.call(ListRecords(states=("settled",)))) == 8


def test_processes__on_the_last_calls_of_a_window__exactly_the_limit_is_admitted(
    in_processes, shared_url, desk_of, calls
):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(1000)
        answers = in_processes(fields_of(desk, checks=[calls(7)]), settle=False)
        assert answers == {"Reserved": 7, "quota_exceeded": PROCESSES * EACH - 7}
        assert desk.counts(calls(7)) == (7,)


@pytest.mark.parametrize("each", [6, 40])
def test_coroutines_of_processes__on_the_last_credit__exactly_as_many_are_admitted_as_it_pays_for(
    in_processes, shared_url, desk_of, calls, each
):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(each * 50 + 9)
        fields = fields_of(desk, checks=[calls(None)])
        answers = in_processes(fields, settle=True, coroutines=True, each=each)
        asked = PROCESSES * each * 4
        assert answers == {"Reserved": each * 5, "insufficient_credit": asked - each * 5}
        balance = desk.balance()
        assert (balance.charged_wei, balance.reserved_wei, balance.free_wei) == (each * 50, 0, 9)
        assert desk.counts(calls(None)) == (each * 5,)
        assert [(day.calls, day.charged_wei) for day in desk.call(SumUsage())] == [(each * 5, each * 50)]


def test_processes__with_one_idempotency_key__one_request_is_charged(in_processes, shared_url, desk_of):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(1000)
        answers = in_processes(fields_of(desk, claim=["key", "GET /"]), settle=True)
        assert answers["Reserved"] == 1
        assert answers["Replay"] + answers["ClaimInProgress"] == PROCESSES * EACH - 1
        assert desk.balance().charged_wei == 10


MINUTE_MS = 60_000


def moving_window(counting, limit=20, rate=20):
    return WindowCheck(f"acme/{counting}", 0, MINUTE_MS, "calls", limit, counting=counting, rate=rate)


def test_processes__in_a_window_that_slides__are_admitted_exactly_so_many_more_as_leave(
    in_processes, shared_url, desk_of
):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(10_000)
        admitted = []
        for at_ms, processes in [(0, 2), (1000, 8), (MINUTE_MS - 1, 8), (MINUTE_MS, 8), (MINUTE_MS + 1000, 8)]:
            fields = fields_of(desk, now_ms=desk.now_ms + at_ms, checks=[moving_window("sliding")])
            answers = in_processes(fields, settle=True, processes=processes)
            admitted.append(answers["Reserved"])
        assert admitted == [12, 8, 0, 12, 8]


def test_processes__in_a_bucket__are_admitted_exactly_so_many_more_as_flow_out(in_processes, shared_url, desk_of):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(10_000)
        admitted = []
        for at_ms in (0, 2999, 3000, 3000 + 15_000, 10 * MINUTE_MS):  # one flows out in 3 seconds
            fields = fields_of(desk, now_ms=desk.now_ms + at_ms, checks=[moving_window("bucket")])
            admitted.append(in_processes(fields, settle=True, processes=8)["Reserved"])
        assert admitted == [20, 0, 1, 5, 20]


@pytest.mark.parametrize("counting", ["sliding", "bucket"])
def test_processes__whose_requests_come_out_of_order__are_admitted_as_many_as_the_limit(
    in_processes, shared_url, desk_of, counting
):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(10_000)
        for at_ms in (0, MINUTE_MS + EACH):
            fields = fields_of(desk, now_ms=desk.now_ms + at_ms, checks=[moving_window(counting)])
            assert in_processes(fields, settle=False, processes=8, apart_ms=1)["Reserved"] == 20


@pytest.mark.parametrize("counting", ["sliding", "bucket"])
def test_threads__reserving_and_releasing_what_forgets__lose_no_call(desk, counting):
    desk.grant(10**6)
    window = moving_window(counting, THREADS * 8)

    def serve(number):
        for turn in range(8):
            reservation_id, reply = desk.reserve(10, window)
            assert isinstance(reply, Reserved)
            if (number + turn) % 3:
                desk.settle(reservation_id, number)
            else:
                desk.release(reservation_id)

    in_threads(serve)
    settled = sum(1 for number in range(THREADS) for turn in range(8) if (number + turn) % 3)
    assert desk.call(ReadCounts((window,), desk.now_ms)) == (settled,)


def test_processes__on_both_sides_of_midnight__count_in_their_own_windows(shared_url, desk_of, calls):
    # Two machines whose clocks differ by a moment: each counts in the window of its own instant, none is lost.
    today = calls(3)
    tomorrow = today._replace(starts_ms=today.ends_ms, ends_ms=today.ends_ms + DAY_MS)
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        late = desk_of(store, now_ms=today.ends_ms - 1)
        early = desk_of(other, now_ms=today.ends_ms)
        sides = [(late, today), (early, tomorrow)]

        def ask(number):
            side, window = sides[number % 2]
            operation = Reserve(new_id(side.now_ms), side.now_ms, side.now_ms + 60_000, side.account, side.api,
                                side.consumer, 10, checks=(window,))  # fmt: skip
            return side.call(operation)

        replies = in_threads(ask, 12)
        assert [sum(isinstance(reply, Reserved) for reply in replies[side::2]) for side in (0, 1)] == [3, 3]
        assert desk.counts(today, tomorrow) == (3, 3)
