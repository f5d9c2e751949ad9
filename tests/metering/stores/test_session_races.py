"""Races and crashes on vouchers: never two requests on one wei, and no voucher that was relied on is lost."""

import signal

import pytest

from api_billing.metering.ledger.operations import Replay, Reserved, StoredResponse, Sweep
from api_billing.metering.stores import open_store

from .sessions import SessionDesk, channel_id, voucher
from .test_crashes import CLAIM, POINTS, RESERVATION
from .test_races import EACH, PROCESSES, fields_of, in_threads

THREADS = 12


def codes(replies):
    """How many were admitted, and the codes of the rest."""
    admitted = sum(isinstance(reply, Reserved) for reply in replies)
    return admitted, {reply.code for reply in replies if not isinstance(reply, Reserved)}


def test_threads__with_copies_of_one_voucher__as_many_are_admitted_as_it_covers(desk):
    session = SessionDesk(desk)
    replies = in_threads(lambda _: session.reserve(10, voucher(35)), THREADS)
    assert codes(replies) == (3, {"voucher_required"})
    assert session.sums() == (35, 0, 30, 0)


def test_threads__each_with_a_voucher_of_its_own__never_more_than_was_signed(desk):
    session = SessionDesk(desk)
    replies = in_threads(lambda number: session.reserve(10, voucher(10 * (number + 1))), THREADS)
    admitted, _ = codes(replies)
    # Each was signed for all before it: whoever comes late may find that earlier ones took what it covers.
    assert 1 <= admitted <= THREADS
    signed_wei, _, reserved_wei, _ = session.sums()
    assert (reserved_wei, signed_wei % 10) == (10 * admitted, 0)
    assert reserved_wei <= signed_wei <= 10 * THREADS


def test_threads__while_batches_are_written__nothing_is_served_by_a_voucher_that_is_public(desk):
    session = SessionDesk(desk, 10**6)

    def work(number):
        if number == 0:
            return [desk.cut() for _ in range(6)]
        served = []
        for step in range(6):
            made = session.reserve_op(1, voucher(1000 * step + number))
            before = session.put(voucher(0)).posted_wei
            reply = desk.call(made)
            if isinstance(reply, Reserved):
                served.append((1000 * step + number, before))
                desk.settle(made.reservation_id, 1)
        return served

    batches, *served = in_threads(work, 6)
    assert all(cumulative > posted for each in served for cumulative, posted in each)
    assert sum(map(len, served)) > 0
    last = desk.cut()
    lines = [line for batch in (*batches, last) if batch is not None for line in batch.lines]
    assert sum(line.amount_wei for line in lines) == session.channel().charged_wei == sum(map(len, served))
    billed = 0
    for line in lines:
        billed += line.amount_wei
        assert line.voucher.cumulative_wei >= billed


@pytest.fixture
def race(processes, shared_url):
    """What requests of several processes with these vouchers were answered."""

    def begin(session, by, settle, sums=None, **changes):
        fields = fields_of(session.desk, session=list(by), **changes)
        task = {"settle": settle} if sums is None else {"settle": settle, "sums": sums}
        return processes("race", url=shared_url, fields=fields, processes=PROCESSES, each=EACH, **task)

    return begin


@pytest.mark.parametrize("settle", [True, False])
def test_processes__with_copies_of_one_voucher__as_many_are_admitted_as_it_covers(race, shared_url, desk_of, settle):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        answers = race(session, by=voucher(55), settle=settle)
        assert sorted(answers) == ["Reserved"] * 5 + ["voucher_required"] * (PROCESSES * EACH - 5)
        assert session.sums() == ((55, 50, 0, 0) if settle else (55, 0, 50, 0))


def test_processes__with_vouchers_in_whatever_order__serve_what_the_highest_covers(race, shared_url, desk_of):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        sums = [10 * number for number in range(1, EACH + 1)]
        answers = race(session, by=voucher(10), settle=True, sums=sums)
        assert answers.count("Reserved") == EACH
        assert set(answers) == {"Reserved", "voucher_required"}
        assert session.sums() == (10 * EACH, 10 * EACH, 0, 0)
        assert session.desk.cut().lines[0].voucher.cumulative_wei == 10 * EACH


@pytest.mark.parametrize("point", POINTS)
def test_killed__with_a_voucher__it_covers_what_was_charged_and_nothing_stays_set_aside(
    processes, shared_url, desk_of, calls, point
):
    _, charged_wei = POINTS[point]
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store), 100)
        desk, task = session.desk, {"now_ms": session.desk.now_ms, "id": RESERVATION, "session": list(voucher(60))}
        ended = processes("die", url=shared_url, account=desk.account, point=point, **task)
        assert ended == signal.SIGKILL
        desk.now_ms += 1000
        desk.call(Sweep(desk.now_ms))
        reservation_id, again = desk.reserve(60, calls(5), claim=CLAIM, session=voucher(60))
        if charged_wei:
            assert again == Replay(StoredResponse(200, (), b"served"), RESERVATION)
        else:
            assert isinstance(again, Reserved)
            desk.settle(reservation_id, 40)
        assert session.sums() == (60, 40, 0, 0)
        (line,) = desk.cut().lines
        assert (line.channel, line.amount_wei, line.voucher.cumulative_wei) == (channel_id(), 40, 60)


def test_processes__with_one_idempotency_key_and_voucher__are_charged_once(race, shared_url, desk_of):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        answers = race(session, by=voucher(10), settle=True, claim=["key", "GET /"])
        assert answers.count("Reserved") == 1
        assert set(answers) <= {"Reserved", "Replay", "ClaimInProgress"}
        assert session.sums() == (10, 10, 0, 0)
