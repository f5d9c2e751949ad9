"""Credit from the chain, the outbox and leases: what every store does alike."""

import threading

import pytest

from api_billing.metering.ledger.batch_operations import ListBatches, ReadCut, ReadLeaves
from api_billing.metering.ledger.operations import Balance, Grant
from api_billing.metering.ledger.settlement_operations import (
    NEVER_READ,
    BeginPosting,
    Book,
    ChainTerms,
    EndPosting,
    Lease,
    ListOutgoing,
    ListToSettle,
    NextOutgoing,
    NotePosting,
    OpenBook,
    Part,
    ReadBook,
    ReadCredit,
    ReleaseLease,
    Renumber,
    Reopened,
    ReopenEnded,
    RetryRefused,
    SetGranted,
    TakeLease,
    TakeRead,
    WriteOff,
    month_of,
)
from api_billing.metering.settlement.cutting import Cutter

API = "weather"
LARGE = 2**130
TERMS = ChainTerms(5, LARGE, 9, 7, True, True, "standard", 3, 4, 10**30, 20_000, 5, 0, LARGE, 7)


def read(desk, account=None):
    return desk.call(ReadCredit(account or desk.account))


def set_granted(desk, usable_wei, credit=None, *, cover_wei=None, account=None):
    credit = credit or read(desk, account)
    cover = usable_wei if cover_wei is None else cover_wei
    operation = SetGranted(account or desk.account, credit.revision, credit.accounted_wei, usable_wei, cover, TERMS)
    return desk.call(operation)


def cut(desk):
    return desk.cut()


def begin(desk, sequence=1):
    return desk.call(BeginPosting(API, sequence, desk.now_ms))


def end(desk, *parts, sequence=1, **changes):
    return desk.call(EndPosting(API, sequence, desk.now_ms, parts, **changes))


@pytest.fixture
def in_flight(desk):
    """A batch of 30 wei, granted 100, that is posted."""
    desk.call(OpenBook(API, "0xc", 1))
    set_granted(desk, 100)
    desk.served(10)
    desk.served(20)
    cut(desk)
    begin(desk)
    return desk


# --- leases


def test_lease__that_nobody_has__is_taken(desk):
    assert desk.call(TakeLease("settle", "a", 10, 20)) == Lease("a", 20)


def test_lease__of_somebody_else__stays_until_it_ends(desk):
    desk.call(TakeLease("settle", "a", 10, 20))
    assert desk.call(TakeLease("settle", "b", 19, 30)) == Lease("a", 20)
    assert desk.call(TakeLease("settle", "b", 20, 30)) == Lease("b", 30)


def test_lease__of_ones_own__is_prolonged(desk):
    desk.call(TakeLease("settle", "a", 10, 20))
    assert desk.call(TakeLease("settle", "a", 11, 40)) == Lease("a", 40)


def test_lease__given_back__is_free_for_others(desk):
    desk.call(TakeLease("settle", "a", 10, 20))
    desk.call(ReleaseLease("settle", "b"))
    assert desk.call(TakeLease("settle", "b", 11, 30)) == Lease("a", 20)
    desk.call(ReleaseLease("settle", "a"))
    assert desk.call(TakeLease("settle", "b", 11, 30)) == Lease("b", 30)


def test_lease__of_another_name__is_another(desk):
    desk.call(TakeLease("settle", "a", 10, 20))
    assert desk.call(TakeLease("refresh", "b", 10, 20)) == Lease("b", 20)


def test_lease__wanted_by_many_at_once__is_had_by_one(desk):
    had = []
    threads = [
        threading.Thread(target=lambda name=f"p{number}": had.append(desk.call(TakeLease("settle", name, 10, 20))))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(had)) == 1


# --- credit


def test_credit__never_read__is_nothing(desk):
    assert read(desk) == (0, 0, 0, 0, NEVER_READ, Balance(), (), (), 0, 0)


def test_granted__of_a_new_account__is_what_the_chain_allows(desk):
    set_ = set_granted(desk, LARGE)
    assert (set_.applied, set_.short_wei, set_.balance) == (True, 0, Balance(LARGE, 0, 0, LARGE, 1))
    assert read(desk).terms == TERMS


def test_granted__the_same_again__starts_no_new_epoch(desk):
    assert set_granted(desk, 50).balance.epoch == set_granted(desk, 50).balance.epoch == 1


def test_granted__more__is_a_new_epoch_for_alerts(desk):
    set_granted(desk, 50)
    desk.served(10)
    assert set_granted(desk, 80).balance == Balance(80, 0, 10, 70, 2)


def test_granted__less_than_before__is_taken_back(desk):
    set_granted(desk, 50)
    assert set_granted(desk, 20).balance.free_wei == 20


def test_granted__less_than_committed__is_what_is_committed_and_short(desk):
    set_granted(desk, 50)
    desk.served(20)
    desk.reserve(15)
    set_ = set_granted(desk, 12)
    assert (set_.balance, set_.short_wei) == (Balance(35, 15, 20, 0, 2), 23)
    assert desk.reserve(1)[1].code == "insufficient_credit"


def test_granted__nothing_more_while_covered__is_not_short(desk):
    set_granted(desk, 50)
    desk.served(20)
    set_ = set_granted(desk, 0, cover_wei=50)
    assert (set_.balance.free_wei, set_.short_wei) == (0, 0)


def test_granted__with_an_old_revision__changes_nothing(desk):
    before = read(desk)
    set_granted(desk, 50, before)
    assert set_granted(desk, 70, before).applied is False
    assert read(desk).balance.granted_wei == 50


def test_granted__by_many_at_once__is_applied_once(desk):
    before = read(desk)
    applied = []
    threads = [
        threading.Thread(target=lambda wei=number: applied.append(set_granted(desk, wei, before).applied))
        for number in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [False] * 7 + [True]


# --- the outbox


def test_book__of_an_api_that_was_never_settled__is_not_open(desk):
    assert desk.call(ReadBook(API)) == Book()
    assert desk.call(NextOutgoing(API)) is None


def test_book__opened__stays_as_it_was_opened_first(desk):
    desk.call(OpenBook(API, "0xc", 7))
    assert desk.call(OpenBook(API, "0xd", 1)) == desk.call(ReadBook(API)) == Book("0xc", 7, 0, 0)


def test_batch__cut__is_built_and_the_next_to_go_out(desk):
    desk.served(0)
    batch = cut(desk)
    outgoing = desk.call(NextOutgoing(API))
    assert (outgoing.batch, outgoing.posting.state, outgoing.posting.chain_sequence) == (batch, "built", 0)
    assert desk.call(ReadBook(API)).last == 1


def test_posting__without_an_open_book__is_not_begun(desk):
    desk.served(0)
    cut(desk)
    assert begin(desk) is None


def test_posting__begun__is_in_flight_under_the_chains_sequence(desk):
    desk.call(OpenBook(API, "0xc", 7))
    set_granted(desk, 100)
    desk.served(30)
    cut(desk)
    posting = begin(desk)
    assert (posting.state, posting.chain_sequence, posting.attempts) == ("posted", 7, 1)
    assert read(desk).in_flight_wei == 30


def test_posting__begun_again__keeps_its_sequence_and_is_in_flight_once(in_flight):
    posting = begin(in_flight)
    assert (posting.chain_sequence, posting.attempts, read(in_flight).in_flight_wei) == (1, 2, 30)


def test_posting__of_a_later_batch__waits_for_its_turn(in_flight):
    in_flight.served(1)
    cut(in_flight)
    assert begin(in_flight, 2) is None
    assert end(in_flight, Part(1, 1), sequence=2) is None


def test_posting__noted__has_transaction_and_state(in_flight):
    noted = in_flight.call(NotePosting(API, 1, "unknown", "0xt", "lost \ud800"))
    assert (noted.state, noted.txs, noted.note) == ("unknown", ("0xt",), "lost \ud800")
    assert in_flight.call(NotePosting(API, 1, "unknown", "0xt")).txs == ("0xt",)


def test_posting__that_was_not_begun__has_nothing_to_note(desk):
    desk.served(0)
    cut(desk)
    assert desk.call(NotePosting(API, 1, "unknown")) is None


def test_posting__ended__is_accounted_for_and_makes_room_for_the_next(in_flight):
    ended = end(in_flight, Part(2, 30), settled_at=5, tx="0xt")
    assert (ended.posting.state, ended.posting.settled_at, ended.posting.txs) == ("settled", 5, ("0xt",))
    credit = read(in_flight)
    assert (credit.accounted_wei, credit.in_flight_wei, credit.refused_parts) == (30, 0, 0)
    assert in_flight.call(ReadBook(API)) == Book("0xc", 2, 1, 1)
    assert in_flight.call(NextOutgoing(API)) is None


def test_posting__ended_twice__is_accounted_for_once(in_flight):
    first, second = (end(in_flight, Part(2, 30)) for _ in range(2))
    assert (first.repeated, second.repeated, second.posting) == (False, True, first.posting)
    assert read(in_flight).accounted_wei == 30


def test_posting__that_ended__is_neither_begun_nor_noted_again(in_flight):
    end(in_flight, Part(2, 30))
    assert begin(in_flight) is None
    assert in_flight.call(NotePosting(API, 1, "unknown")) is None


def test_posting__never_begun__cannot_end(desk):
    desk.call(OpenBook(API, "0xc", 1))
    desk.served(0)
    cut(desk)
    assert end(desk, Part(1, 0)) is None


def test_posting__with_another_number_of_parts__cannot_end(in_flight):
    assert end(in_flight, Part(2, 30), Part(0, 0)) is None


def test_posting__skipped__takes_no_sequence_on_the_chain(desk):
    desk.call(OpenBook(API, "0xc", 4))
    desk.served(0)
    cut(desk)
    assert end(desk, Part(0, 0, "bad_address"), skipped=True).posting.state == "refused"
    assert desk.call(ReadBook(API))[:3] == ("0xc", 4, 1)


def test_postings__listed__in_the_order_of_sequences(in_flight):
    end(in_flight, Part(2, 30))
    in_flight.served(1)
    cut(in_flight)
    listed = in_flight.call(ListOutgoing(API))
    assert [(each.batch.sequence, each.posting.state) for each in listed] == [(1, "settled"), (2, "built")]
    assert in_flight.call(ListOutgoing(API, after=1, limit=5)) == listed[1:]


# --- credit while a batch is in flight


def test_granted__while_in_flight__is_not_lowered_by_what_may_have_landed(in_flight):
    # Of 100 wei on hold 30 have landed, which nobody knows yet.
    assert set_granted(in_flight, 70).balance.granted_wei == 100


def test_granted__while_in_flight__is_lowered_when_more_than_that_is_missing(in_flight):
    assert set_granted(in_flight, 69).balance.granted_wei == 69


def test_granted__while_in_flight__is_raised_by_a_top_up(in_flight):
    assert set_granted(in_flight, 150).balance.granted_wei == 150


def test_granted__read_before_an_outcome_was_recorded__is_refused(in_flight):
    before = read(in_flight)
    end(in_flight, Part(2, 30))
    assert set_granted(in_flight, 100, before).applied is False
    assert set_granted(in_flight, 70).balance.granted_wei == 100


# --- refused parts


def test_refused_part__stops_its_account_at_what_is_committed(in_flight):
    ended = end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    credit = read(in_flight)
    assert (ended.posting.state, credit.refused_parts) == ("refused", 1)
    assert (credit.balance.granted_wei, credit.balance.free_wei) == (30, 0)
    assert in_flight.call(ReadBook(API)).open_parts == ((1, 0),)


def test_refused_part__while_open__keeps_the_account_stopped(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    assert set_granted(in_flight, 85).balance.free_wei == 0


def test_refused_part__of_one_account__leaves_the_others(in_flight):
    set_granted(in_flight, 50, account="weather/other")
    in_flight.served(5, account="weather/other", consumer="other")
    end(in_flight, Part(2, 30))
    cut(in_flight)
    begin(in_flight, 2)
    in_flight.served(5, account="weather/other", consumer="other")
    end(in_flight, Part(0, 0, "not_subscribed"), sequence=2)
    assert (read(in_flight).refused_parts, in_flight.free()) == (0, 70)
    assert in_flight.free("weather/other") == 0


def test_write_off__of_an_open_part__frees_its_account(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    assert in_flight.call(WriteOff(API, 1, 9, note="agreed")) == 15
    credit = read(in_flight)
    assert (credit.accounted_wei, credit.refused_parts) == (30, 0)
    assert in_flight.call(ReadBook(API)).open_parts == ()
    part = in_flight.call(ListOutgoing(API))[0].posting.parts[0]
    assert (part.resolution, part.written_off_wei, part.note) == ("written_off", 15, "agreed")
    assert set_granted(in_flight, 85).balance.free_wei == 85


def test_write_off__twice__counts_once(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    assert [in_flight.call(WriteOff(API, 1, 9)) for _ in range(2)] == [15, 0]
    assert read(in_flight).accounted_wei == 30


def test_write_off__of_a_batch_without_refused_parts__is_nothing(in_flight):
    assert in_flight.call(WriteOff(API, 1, 9)) == in_flight.call(WriteOff(API, 8, 9)) == 0


def test_retry__of_a_refused_part__is_a_batch_with_the_rest(in_flight):
    batch = in_flight.cut()
    assert batch is None
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    again = in_flight.call(RetryRefused(API, 1, 9))
    first = in_flight.call(ListBatches(API))[0]
    assert (again.sequence, again.records, again.root) == (2, 0, first.root)
    assert again.lines == (first.lines[0].__class__("acme/weather", "acme", first.lines[0].day, 1, 15),)
    assert in_flight.call(ReadLeaves(API, 2)) == b""
    assert in_flight.call(ListBatches(API)) == (first, again)
    outgoing = in_flight.call(NextOutgoing(API))
    assert (outgoing.batch, outgoing.posting.retry_of) == (again, 1)


def test_retry__that_is_billed__frees_its_account(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    in_flight.call(RetryRefused(API, 1, 9))
    assert read(in_flight).refused_parts == 1
    begin(in_flight, 2)
    end(in_flight, Part(1, 15), sequence=2)
    credit = read(in_flight)
    assert (credit.refused_parts, credit.accounted_wei, credit.in_flight_wei) == (0, 30, 0)


def test_billed__calls_of_a_settlement__are_known_by_day_and_month(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    day = in_flight.call(ListBatches(API))[0].lines[0].day
    credit = read(in_flight)
    assert (credit.billed_days, credit.billed_months) == (((day, 1),), ((month_of(day), 1),))


@pytest.mark.parametrize(("later", "days", "months"), [(0, 2, 2), (1, 1, 2), (20, 1, 1)])
def test_billed__by_a_retry__count_in_the_windows_that_they_were_counted_in(in_flight, later, days, months):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    day = in_flight.call(ListBatches(API))[0].lines[0].day
    in_flight.call(RetryRefused(API, 1, 9, day=day + later))
    begin(in_flight, 2)
    # Retried again, it is still of the day that it was counted on.
    end(in_flight, Part(0, 0, "day_closed"), sequence=2)
    in_flight.call(RetryRefused(API, 2, 9))
    begin(in_flight, 3)
    end(in_flight, Part(1, 15), sequence=3)
    credit = read(in_flight)
    assert dict(credit.billed_days) == {day: days}
    assert dict(credit.billed_months) == {month_of(day): months}


@pytest.mark.parametrize(
    ("day", "month"), [(0, 1970 * 12), (30, 1970 * 12), (31, 1970 * 12 + 1), (20_512, 2026 * 12 + 1)]
)
def test_month__of_a_day__is_the_contracts(day, month):
    assert month_of(day) == month


def test_retry__refused_again__is_open_in_its_own_batch(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    in_flight.call(RetryRefused(API, 1, 9))
    begin(in_flight, 2)
    end(in_flight, Part(0, 0, "day_closed"), sequence=2)
    assert in_flight.call(ReadBook(API)).open_parts == ((2, 0),)
    assert read(in_flight).refused_parts == 1


def test_retry__twice__makes_one_batch(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    assert in_flight.call(RetryRefused(API, 1, 9)) is not None
    assert in_flight.call(RetryRefused(API, 1, 9)) is None


def test_retry__of_less__writes_the_rest_off_and_may_have_another_day(in_flight):
    end(in_flight, Part(0, 0, "spend_above_price"))
    again = in_flight.call(RetryRefused(API, 1, 9, day=77, at_most_wei=20))
    assert [(line.day, line.calls, line.amount_wei) for line in again.lines] == [(77, 2, 20)]
    assert read(in_flight).accounted_wei == 10
    part = in_flight.call(ListOutgoing(API))[0].posting.parts[0]
    assert (part.resolution, part.retried_in, part.written_off_wei) == ("retried", 2, 10)


def test_retry__while_a_batch_is_being_cut__ends_that_and_comes_after_it(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    in_flight.call(Grant("more", "other", 5, 1))
    for _ in range(2):
        in_flight.served(1, account="other", consumer="other")
    assert in_flight.cut_step(Cutter(API, max_step=1)).place[:2] == (2, 1)
    assert in_flight.call(RetryRefused(API, 1, 9)).sequence == 3
    assert [batch.records for batch in in_flight.call(ListBatches(API))] == [2, 1, 0]
    assert (cut(in_flight).sequence, in_flight.call(ReadCut(API))) == (4, None)


def test_retry__after_other_usage_was_cut__takes_the_next_sequence(in_flight):
    in_flight.call(Grant("more", "other", 5, 1))
    end(in_flight, Part(0, 0, "not_subscribed"))
    in_flight.served(3, account="other", consumer="other")
    cut(in_flight)
    assert in_flight.call(RetryRefused(API, 1, 9)).sequence == 3
    in_flight.served(2, account="other", consumer="other")
    assert cut(in_flight).sequence == 4


# --- what is not in a batch yet


def test_to_settle__listed_by_page__is_settled_usage_in_no_batch(desk):
    set_granted(desk, 100)
    desk.served(1)
    cut(desk)
    made = [desk.served(number) for number in (2, 3, 4)]
    desk.reserve(5)
    desk.served(6, api="maps")
    first = desk.call(ListToSettle(API, limit=2))
    rest = desk.call(ListToSettle(API, first[-1].record_id))
    assert [(line.record_id, line.charged_wei) for line in first + rest] == list(zip(made, (2, 3, 4), strict=True))
    assert {(line.api, line.account, line.consumer) for line in first} == {(API, desk.account, desk.consumer)}
    cut(desk)
    assert desk.call(ListToSettle(API)) == ()


# --- undone on the chain


def reopen(desk, chain_sequence=1):
    return desk.call(ReopenEnded(API, chain_sequence))


def test_reopened__settlement__is_in_flight_again_under_its_sequence(in_flight):
    end(in_flight, Part(2, 30), tx="0xt")
    assert reopen(in_flight) == Reopened((1,))
    posting = in_flight.call(NextOutgoing(API)).posting
    assert (posting.state, posting.chain_sequence, posting.txs, posting.parts) == ("unknown", 1, ("0xt",), ())
    assert in_flight.call(ReadBook(API)) == Book("0xc", 1, 0, 1)
    credit = read(in_flight)
    assert (credit.accounted_wei, credit.in_flight_wei, credit.balance.granted_wei) == (0, 30, 100)
    assert [calls for _, calls in credit.billed_days] == [0]


def test_reopened__twice__changes_nothing_more(in_flight):
    end(in_flight, Part(2, 30))
    assert [reopen(in_flight) for _ in range(2)] == [Reopened((1,)), Reopened()]
    assert read(in_flight).in_flight_wei == 30


def test_reopened__from_a_later_sequence__leaves_the_earlier_ones(in_flight):
    end(in_flight, Part(2, 30))
    for sequence in (2, 3):
        in_flight.served(5)
        cut(in_flight)
        begin(in_flight, sequence)
        end(in_flight, Part(1, 5), sequence=sequence)
    assert reopen(in_flight, 4) == Reopened()
    assert reopen(in_flight, 2) == Reopened((2, 3))
    assert in_flight.call(ReadBook(API)) == Book("0xc", 2, 1, 3)
    credit = read(in_flight)
    assert (credit.accounted_wei, credit.in_flight_wei) == (30, 10)


def test_reopened__then_ended_again__is_accounted_for_once(in_flight):
    end(in_flight, Part(2, 30))
    reopen(in_flight)
    assert begin(in_flight).chain_sequence == 1
    assert end(in_flight, Part(2, 30)).repeated is False
    credit = read(in_flight)
    assert (credit.accounted_wei, credit.in_flight_wei) == (30, 0)
    assert in_flight.call(ReadBook(API)) == Book("0xc", 2, 1, 1)


def test_reopened__refused_part__is_not_open_any_more_whether_it_was_written_off_or_not(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    reopen(in_flight)
    assert (read(in_flight).refused_parts, in_flight.call(ReadBook(API)).open_parts) == (0, ())
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    in_flight.call(WriteOff(API, 1, 9))
    reopen(in_flight)
    credit = read(in_flight)
    assert (credit.refused_parts, credit.accounted_wei, credit.in_flight_wei) == (0, 0, 30)


def test_reopened__retry__leaves_the_part_that_it_retries(in_flight):
    end(in_flight, Part(1, 15, "daily_spend_exceeded"))
    in_flight.call(RetryRefused(API, 1, 9))
    begin(in_flight, 2)
    end(in_flight, Part(1, 15), sequence=2)
    assert "was retried" in reopen(in_flight).why_not
    assert reopen(in_flight, 2) == Reopened((2,))
    credit = read(in_flight)
    assert (credit.refused_parts, credit.accounted_wei, credit.in_flight_wei) == (1, 15, 15)


def test_granted__of_a_chain_that_lacks_a_settlement__is_not_raised(in_flight):
    end(in_flight, Part(2, 30))
    lacking, whole = TERMS._replace(settlements=0), TERMS._replace(settlements=1)
    credit = read(in_flight)
    values = credit.revision, credit.accounted_wei
    assert in_flight.call(SetGranted(in_flight.account, *values, 100, 100, whole)).balance.granted_wei == 130
    in_flight.account = f"{API}/0x1"
    assert set_granted(in_flight, 10).balance.granted_wei == 10
    for terms, granted_wei in ((lacking, 10), (whole, 50)):
        values = read(in_flight).revision, 0
        operation = SetGranted(in_flight.account, *values, 50, 50, terms)
        assert in_flight.call(operation).balance.granted_wei == granted_wei


def test_renumbered__batch_on_its_way__is_built_again_for_the_next_sequence(in_flight):
    assert in_flight.call(Renumber(API, 1, 2, 5)) is None
    assert in_flight.call(Renumber(API, 1, 1, 1)) is None
    assert in_flight.call(Renumber(API, 1, 1, 5)).state == "built"
    assert in_flight.call(Renumber(API, 1, 1, 6)) is None
    assert read(in_flight).in_flight_wei == 0
    assert (begin(in_flight).chain_sequence, read(in_flight).in_flight_wei) == (5, 30)


def test_renumbered__batch__has_no_sequence_on_the_chain(in_flight):
    posting = in_flight.call(Renumber(API, 1, 1, 5))
    assert (posting.chain_sequence, posting.txs) == (0, ())
    assert in_flight.call(ListOutgoing(API))[0].posting == posting


def test_renumbered__batch_that_was_skipped_then__leaves_an_earlier_one_to_be_reopened(in_flight):
    in_flight.call(Renumber(API, 1, 1, 5))
    begin(in_flight)
    end(in_flight, Part(2, 30))
    in_flight.served(5)
    cut(in_flight)
    begin(in_flight, 2)
    in_flight.call(Renumber(API, 2, 6, 9))
    end(in_flight, Part(0, 0, "bad_address"), sequence=2, skipped=True)
    assert reopen(in_flight, 6) == Reopened()
    assert reopen(in_flight, 5) == Reopened((1, 2))


def test_reopened__as_many_as_the_contract_keeps_and_two_that_were_skipped__are_in_flight_again(desk):
    settle_many(desk, 66, skipped=(30, 31))
    assert reopen(desk) == Reopened(tuple(range(1, 67)))


def test_reopened__more_than_the_contract_keeps__are_refused(desk):
    settle_many(desk, 65)
    assert "more than 64" in reopen(desk).why_not
    assert desk.call(ReadBook(API)).ended == 65
    assert reopen(desk, 2) == Reopened(tuple(range(2, 66)))


def settle_many(desk, batches, *, skipped=()):
    """So many batches have ended, all on the chain but those that were skipped."""
    desk.call(OpenBook(API, "0xc", 1))
    set_granted(desk, 1_000)
    for sequence in range(1, batches + 1):
        if sequence in skipped:  # of another account: it is served no more until somebody decides
            desk.served(0, account=f"weather/no-address-{sequence}")
            cut(desk)
            assert end(desk, Part(0, 0, "bad_address"), sequence=sequence, skipped=True)
        else:
            desk.served(1)
            cut(desk)
            begin(desk, sequence)
            assert end(desk, Part(1, 1), sequence=sequence)


# --- reads of the chain


def test_reads__in_any_ten_seconds__are_so_many(desk):
    taken = [desk.call(TakeRead("0xc", at, 2)) for at in (0, 5_000, 9_999, 10_000, 14_999, 15_000)]
    assert taken == [True, True, False, True, False, True]


def test_reads__with_some_to_spare__are_fewer(desk):
    assert [desk.call(TakeRead("0xc", 0, 3, spare)) for spare in (2, 2, 0)] == [True, False, True]


def test_reads__of_another_contract__are_its_own(desk):
    assert [desk.call(TakeRead(contract, 0, 1)) for contract in ("0xc", "0xd", "0xc")] == [True, True, False]


def test_reads__by_many_at_once__are_so_many(desk):
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(desk.call(TakeRead("0xc", 0, 5)))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True] * 5
