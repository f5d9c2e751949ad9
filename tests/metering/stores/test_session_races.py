"""Races and crashes on vouchers: never two requests on one wei, and no voucher that was relied on is lost."""

import signal

import pytest

from api_billing.metering.ledger.batch_operations import ListBatches
from api_billing.metering.ledger.operations import Replay, Reserved, StoredResponse, Sweep
from api_billing.metering.stores import open_store

from .sessions import BY_KEY, SessionDesk, channel_id, voucher
from .test_crashes import CLAIM, RESERVATION
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


def test_threads__with_exact_copies_of_one_voucher__one_is_admitted(desk):
    session = SessionDesk(desk)
    replies = in_threads(lambda _: session.reserve(10, voucher(10, exact=True)), THREADS)
    assert codes(replies) == (1, {"channel_busy"})
    assert session.sums() == (10, 0, 10, 0)


def test_threads__raising_what_they_reserved__get_no_more_than_is_signed(desk):
    session = SessionDesk(desk)
    session.put(voucher(10 * THREADS + 55))
    made = [session.reserve_op(10, BY_KEY) for _ in range(THREADS)]
    for each in made:
        desk.call(each)
    replies = in_threads(lambda number: desk.reserve_more(made[number], 20), THREADS)
    assert codes(replies) == (5, {"voucher_required"})
    assert session.sums() == (10 * THREADS + 55, 0, 10 * THREADS + 50, 0)


def test_threads__exact_or_not_raising_and_cutting__charge_what_was_signed_and_post_what_covers(desk):
    session = SessionDesk(desk, 10**6)

    def work(number):
        if number == 0:
            return [desk.cut() for _ in range(4)]
        charged = 0
        for _ in range(5):
            required_wei = session.put(voucher(0)).required_wei(10)
            made = session.reserve_op(10, voucher(required_wei, exact=number % 2 == 0))
            if isinstance(desk.call(made), Reserved):
                most_wei = 30 if isinstance(desk.reserve_more(made, 30), Reserved) else 10
                cost_wei = desk.settle(made.reservation_id, 7 + 20 * (number % 3)).charged_wei
                assert cost_wei <= most_wei
                charged += cost_wei
        return charged

    batches, *charged = in_threads(work, 6)
    last = desk.cut()
    lines = [line for batch in (*batches, last) if batch is not None for line in batch.lines]
    assert sum(line.amount_wei for line in lines) == session.channel().charged_wei == sum(charged) > 0
    billed = 0
    for line in lines:
        billed += line.amount_wei
        assert line.voucher.cumulative_wei >= billed
    signed_wei, charged_wei, reserved_wei, _ = session.sums()
    assert (charged_wei <= signed_wei, reserved_wei) == (True, 0)


@pytest.fixture
def race(processes, shared_url):
    """What requests of several processes with these vouchers were answered."""

    def begin(session, by, settle, sums=None, more=None, **changes):
        fields = fields_of(session.desk, session=list(by), **changes)
        task = {"settle": settle} if sums is None else {"settle": settle, "sums": sums}
        task |= {} if more is None else {"more": more}
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


def test_processes__with_exact_copies_of_one_voucher__one_is_admitted(race, shared_url, desk_of):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        answers = race(session, by=voucher(10, exact=True), settle=False)
        assert sorted(answers) == ["Reserved"] + ["channel_busy"] * (PROCESSES * EACH - 1)
        assert session.sums() == (10, 0, 10, 0)


def test_processes__with_exact_vouchers_in_whatever_order__never_pay_twice_by_one(race, shared_url, desk_of):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        sums = [10 * number for number in range(1, EACH + 1)]
        answers = race(session, by=voucher(10, exact=True), settle=True, sums=sums)
        admitted = answers.count("Reserved")
        assert 1 <= admitted <= EACH
        assert set(answers) <= {"Reserved", "channel_busy", "cumulative_mismatch"}
        assert session.sums() == (10 * admitted, 10 * admitted, 0, 0)


def test_processes__raising_what_they_reserved__get_no_more_than_is_signed(race, shared_url, desk_of):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        answers = race(session, by=voucher(155), settle=False, more=30)
        admitted, raised = answers.count("Reserved"), answers.count("more: Reserved")
        assert len(answers) == PROCESSES * EACH + admitted
        assert set(answers) <= {"Reserved", "more: Reserved", "voucher_required", "more: voucher_required"}
        assert session.sums() == (155, 0, 10 * admitted + 20 * raised, 0)
        assert session.sums()[2] == 150  # requests came as long as there was room for one


# Where a process is killed between two steps of a request by voucher and its batch; whether it is charged, and posted.
STEPS = ("putvoucher", "reserve", "reservemore", "settle", "addtobatch")
POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]


@pytest.mark.parametrize("point", POINTS)
def test_killed__with_a_voucher__it_is_charged_once_and_what_is_charged_is_covered(
    processes, shared_url, desk_of, calls, point
):
    is_charged = POINTS.index(point) >= POINTS.index("after settle")
    is_posted = point == "after addtobatch"
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store), 100)
        desk, task = session.desk, {"now_ms": session.desk.now_ms, "id": RESERVATION, "session": list(voucher(60))}
        ended = processes("die", url=shared_url, account=desk.account, point=point, **task)
        assert ended == signal.SIGKILL
        desk.now_ms += 1000
        desk.call(Sweep(desk.now_ms))
        signed_wei = 0 if point == "before putvoucher" else 60
        assert not session.state().channels or session.sums() == (
            signed_wei,
            40 if is_charged else 0,
            0,
            60 if is_posted else 0,
        )
        reservation_id, again = desk.reserve(60, calls(5), claim=CLAIM, session=voucher(60))
        if is_charged:
            assert again == Replay(StoredResponse(200, (), b"served"), RESERVATION)
        else:
            assert isinstance(again, Reserved)
            desk.settle(reservation_id, 40)
        desk.cut()
        assert session.sums() == (60, 40, 0, 60)
        lines = [line for batch in desk.call(ListBatches(desk.api)) for line in batch.lines]
        (line,) = lines
        assert (line.channel, line.amount_wei, line.voucher.cumulative_wei) == (channel_id(), 40, 60)
        assert session.reserve(10, voucher(60)).code == "voucher_required"


def test_processes__with_one_idempotency_key_and_voucher__are_charged_once(race, shared_url, desk_of):
    with open_store(shared_url) as store:
        session = SessionDesk(desk_of(store))
        answers = race(session, by=voucher(10), settle=True, claim=["key", "GET /"])
        assert answers.count("Reserved") == 1
        assert set(answers) <= {"Reserved", "Replay", "ClaimInProgress"}
        assert session.sums() == (10, 10, 0, 0)
