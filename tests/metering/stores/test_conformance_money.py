"""What every store does with money: grants, reservations, settlements, releases, expiry. See ``ledger``."""

from dataclasses import replace

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import CannotBeStored, IdConflict
from api_billing.metering.ledger.consumer_operations import ApiKey, PutKey, PutProfile
from api_billing.metering.ledger.operations import (
    MAX_AMOUNT_WEI,
    Balance,
    Claim,
    Extend,
    GetRecord,
    Grant,
    Granted,
    GrantMade,
    GrantRefused,
    ListGrants,
    NotReserved,
    Outcome,
    Refused,
    Released,
    Reserved,
    Settle,
    Settled,
    Summarize,
    Sweep,
)
from api_billing.metering.stores import open_store

HOSTILE = [
    "quotes ' \" `; drop table accounts; --",
    "nul \x00 and escape \x1b0 \x1bE \x1bH",
    "ünïcödé 漢字 🤖 \u202e",
    "x" * 10_000 + "'",
    "lines\r\n\ttabs {braces} %s $1 :1 ? \\ */",
    " ",
]


# --- grants


def test_grants__listed__are_those_of_the_account_oldest_first(desk):
    for number, (account, amount) in enumerate([("a'\x00", 5), ("b", 7), ("a'\x00", -2)]):
        desk.call(Grant(f"g{9 - number}", account, amount, desk.now_ms + number, "why"))
    desk.call(Grant("g9", "a'\x00", 5, desk.now_ms, "again"))
    made = desk.call(ListGrants("a'\x00"))
    assert made == (GrantMade("g9", desk.now_ms, 5, "why"), GrantMade("g7", desk.now_ms + 2, -2, "why"))
    assert desk.call(ListGrants("nobody")) == ()


def test_summary__of_a_store__counts_what_there_is_and_what_is_reserved(desk):
    assert desk.call(Summarize()) == (0, 0, 0, 0)
    for consumer in ("acme", "other"):
        desk.call(PutProfile(consumer, "free"))
    desk.call(PutKey(ApiKey("k1", "d", "acme", "", "", 5)))
    desk.grant(100)
    desk.served(5)
    made = desk.reserve_op(10)
    desk.call(made)
    desk.reserve(20)
    desk.reserve_more(made, 15)
    assert desk.call(Summarize()) == (2, 1, 2, 35)
    assert desk.call(Summarize(limit=1)).open == 1


def test_grant__positive__adds_free_credit(desk):
    assert desk.grant(100) == Granted(Balance(100, 0, 0, 100, 1))


def test_grant__repeated_id__gives_the_first_answer_and_adds_nothing(desk):
    desk.grant(100, grant_id="g1")
    assert desk.grant(100, grant_id="g1") == Granted(Balance(100, 0, 0, 100, 1), repeated=True)


@pytest.mark.parametrize(
    ("amount_wei", "account"), [(100, "other/weather"), (101, "acme/weather"), (-100, "acme/weather")]
)
def test_grant__id_of_another_grant__is_a_conflict(desk, amount_wei, account):
    desk.grant(100, grant_id="g1")
    with pytest.raises(IdConflict):
        desk.grant(amount_wei, account, grant_id="g1")
    assert (desk.free(), desk.free("other/weather")) == (100, 0)


def test_grant__conflict_in_a_batch__leaves_the_others_alone(desk):
    grants = [Grant("g1", desk.account, 1, 1), Grant("g1", "other/weather", 1, 1), Grant("g2", desk.account, 2, 1)]
    replies = desk.store._perform(grants)
    assert [type(reply) for reply in replies] == [Granted, IdConflict, Granted]
    assert desk.free() == 3


def test_grant__negative_within_free__takes_back(desk):
    desk.grant(100)
    assert desk.grant(-40).balance == Balance(60, 0, 0, 60, 2)


def test_grant__negative_beyond_free__is_refused(desk):
    desk.grant(100)
    desk.reserve(30)
    assert desk.grant(-71) == GrantRefused(Balance(100, 30, 0, 100, 1))
    assert desk.grant(-70).balance.free_wei == 0


def test_grant__refused_id__may_be_granted_later(desk):
    desk.grant(-1, grant_id="g1")
    desk.grant(5)
    assert desk.grant(-1, grant_id="g1") == Granted(Balance(4, 0, 0, 4, 2))


def test_grant__up_to_the_largest_amount__is_exact(desk):
    desk.grant(MAX_AMOUNT_WEI - 1)
    assert desk.grant(1).balance.granted_wei == MAX_AMOUNT_WEI


def test_grant__beyond_the_largest_amount__is_refused(desk):
    desk.grant(MAX_AMOUNT_WEI)
    assert desk.grant(1) == GrantRefused(Balance(MAX_AMOUNT_WEI, 0, 0, MAX_AMOUNT_WEI, 1))


def test_grant__after_spending__sets_the_basis_to_what_is_free(desk):
    desk.grant(100)
    desk.served(30)
    assert desk.grant(50).balance == Balance(150, 0, 30, 120, 2)


def test_balance__of_an_unknown_account__is_zero(desk):
    assert desk.balance("nobody") == Balance()


# --- reserve


def test_reserve__within_credit__holds_the_estimate(desk):
    desk.grant(100)
    assert desk.reserve(60)[1] == Reserved(Balance(100, 60, 0, 100, 1), ())


def test_reserve__exactly_the_free_credit__is_admitted(desk):
    desk.grant(100)
    assert isinstance(desk.reserve(100)[1], Reserved)


def test_reserve__one_wei_more_than_free__is_refused_and_changes_nothing(desk, calls):
    window = calls(None)
    desk.grant(100)
    reservation_id, reply = desk.reserve(101, window)
    assert reply == Refused("insufficient_credit", (), (0,), Balance(100, 0, 0, 100, 1))
    assert desk.counts(window) == (0,)
    assert desk.call(GetRecord(reservation_id)) is None


def test_reserve__nothing_of_an_unknown_account__is_admitted(desk):
    assert desk.reserve(0)[1] == Reserved(Balance(), ())


def test_reserve__repeated_id__holds_once(desk, calls):
    desk.grant(100)
    operation = desk.reserve_op(60, calls(5))
    first = desk.call(operation)
    assert desk.call(operation) == first
    assert desk.balance().reserved_wei == 60


@pytest.mark.parametrize(
    "other",
    [
        {"account": "other/weather", "consumer": "other"},
        {"estimate_wei": 59},
        {"estimate_wei": 0},
        {"api": "maps"},
        {"units": 2},
        {"claim": Claim("weather/k", "f")},
        {"method": "GET"},
        {"route": "/a"},
    ],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("ended", [False, True])
def test_reserve__id_of_another_request__is_a_conflict(desk, other, ended):
    desk.grant(100)
    desk.grant(100, "other/weather")
    operation = desk.reserve_op(60)
    desk.call(operation)
    if ended and "units" not in other:
        desk.settle(operation.reservation_id, 60)
    with pytest.raises(IdConflict):
        desk.call(replace(operation, **other))
    assert (desk.free(), desk.free("other/weather")) == (40, 100)


def test_reserve__repeated_under_changed_limits__is_the_same_request(desk, calls):
    desk.grant(100)
    operation = desk.reserve_op(60, calls(5))
    desk.call(operation)
    again = replace(operation, checks=(calls(9, "other"),), tier="pro", now_ms=desk.now_ms + 1, request_id="r")
    assert isinstance(desk.call(again), Reserved)
    assert desk.free() == 40


@pytest.mark.parametrize("end", ["settle", "release", "expire"])
def test_reserve__id_of_an_ended_reservation__is_refused(desk, end):
    desk.grant(100)
    operation = desk.reserve_op(60)
    desk.call(operation)
    if end == "settle":
        desk.settle(operation.reservation_id, 1)
    elif end == "release":
        desk.release(operation.reservation_id)
    else:
        desk.call(Sweep(operation.expires_ms))
    assert desk.call(operation).code == "reservation_ended"
    assert desk.balance().reserved_wei == 0


@pytest.mark.parametrize("unit", ["calls", "wei"])
def test_reserve__up_to_the_limit_of_a_window__is_admitted(desk, calls, wei, unit):
    desk.grant(100)
    window = calls(2) if unit == "calls" else wei(20)
    assert [desk.reserve(10, window)[1].counts for _ in range(2)] == [(1,), (2,)] if unit == "calls" else [(10,), (20,)]


@pytest.mark.parametrize("unit", ["calls", "wei"])
def test_reserve__beyond_the_limit_of_a_window__is_refused_without_counting(desk, calls, wei, unit):
    desk.grant(100)
    window = calls(1) if unit == "calls" else wei(19)
    desk.reserve(10, window)
    reply = desk.reserve(10, window)[1]
    assert (reply.code, reply.violated) == (window.code, (0,))
    assert desk.counts(window) == ((1,) if unit == "calls" else (10,))
    assert desk.balance().reserved_wei == 10


def test_reserve__window_of_zero__refuses_everything(desk, calls):
    desk.grant(100)
    assert desk.reserve(1, calls(0))[1].violated == (0,)


def test_reserve__one_of_several_windows_full__counts_in_none(desk, calls, wei):
    desk.grant(1000)
    windows = (calls(None, "all"), calls(1, "day"), wei(15, "spend"), calls(9, "wide"))
    desk.reserve(10, *windows)
    reply = desk.reserve(10, *windows)[1]
    assert (reply.code, reply.violated, reply.counts) == ("quota_exceeded", (1, 2), (1, 1, 10, 1))
    assert desk.counts(*windows) == (1, 1, 10, 1)


def test_reserve__limit_raised_in_the_middle_of_a_window__helps_at_once(desk, calls):
    desk.grant(100)
    desk.reserve(1, calls(1))
    assert isinstance(desk.reserve(1, calls(1))[1], Refused)
    assert desk.reserve(1, calls(2))[1].counts == (2,)


def test_reserve__next_window_of_the_same_counter__begins_at_zero(desk, calls):
    desk.grant(100)
    today = calls(1)
    tomorrow = today._replace(starts_ms=today.ends_ms, ends_ms=today.ends_ms + DAY_MS)
    desk.reserve(1, today)
    assert desk.reserve(1, tomorrow)[1].counts == (1,)


# --- settle


def test_settle__less_than_the_estimate__gives_the_rest_back(desk, calls, wei):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60, calls(9), wei(90))
    assert desk.settle(reservation_id, 25) == Settled(
        25, 0, Balance(100, 0, 25, 100, 1), (("acme/day", 1), ("acme/spend", 25))
    )


def test_settle__more_than_the_estimate__takes_from_the_free_credit(desk, wei):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60, wei(60))
    reply = desk.settle(reservation_id, 75)
    assert (reply.charged_wei, reply.uncollected_wei, reply.counts) == (75, 0, (("acme/spend", 75),))


def test_settle__more_than_there_is__charges_all_and_reports_the_rest(desk):
    desk.grant(100)
    other, _ = desk.reserve(30)
    reservation_id, _ = desk.reserve(60)
    assert desk.settle(reservation_id, 500) == Settled(70, 430, Balance(100, 30, 70, 100, 1))
    assert desk.settle(other, 30).balance.free_wei == 0


def test_settle__for_nothing__charges_nothing_and_keeps_the_call(desk, calls):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60, calls(9))
    assert desk.settle(reservation_id, 0).counts == (("acme/day", 1),)
    assert desk.free() == 100


def test_settle__repeated__gives_the_first_charge_and_changes_nothing(desk, calls):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60, calls(9))
    first = desk.settle(reservation_id, 75)
    assert desk.settle(reservation_id, 10) == Settled(75, 0, first.balance, (), False, True)


def test_settle__unknown_reservation__does_nothing(desk):
    assert desk.settle("01ZZZZZZZZ0000000000000000", 1) == NotReserved("unknown")


def test_settle__reservation_of_another_account__is_unknown(desk):
    desk.grant(100)
    desk.grant(100, "other")
    reservation_id, _ = desk.reserve(60)
    assert desk.settle(reservation_id, 60, account="other") == NotReserved("unknown")
    assert desk.balance().reserved_wei == 60


def test_settle__released_reservation__does_nothing(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60)
    desk.release(reservation_id)
    assert desk.settle(reservation_id, 60) == NotReserved("released")
    assert desk.free() == 100


def test_settle__with_units__replaces_those_reserved(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60, units=3)
    desk.settle(reservation_id, 60, units=7)
    assert desk.call(GetRecord(reservation_id)).units == 7


# --- release and extend


def test_release__of_a_reservation__leaves_no_trace_in_money_and_windows(desk, calls, wei):
    desk.grant(100)
    windows = (calls(1), wei(60))
    reservation_id, _ = desk.reserve(60, *windows)
    assert desk.release(reservation_id) == Released(Balance(100, 0, 0, 100, 1))
    assert desk.counts(*windows) == (0, 0)
    assert isinstance(desk.reserve(60, *windows)[1], Reserved)


def test_release__repeated__changes_nothing(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60)
    desk.release(reservation_id)
    assert desk.release(reservation_id) == Released(Balance(100, 0, 0, 100, 1), repeated=True)


def test_release__of_a_settled_reservation__does_nothing(desk):
    desk.grant(100)
    assert desk.release(desk.served(60)) == NotReserved("settled")
    assert desk.free() == 40


def test_release__unknown_or_of_another_account__does_nothing(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60)
    assert desk.release("01ZZZZZZZZ0000000000000000") == NotReserved("unknown")
    assert desk.release(reservation_id, account="other") == NotReserved("unknown")


def test_extend__of_open_reservations__puts_off_their_expiry(desk):
    desk.grant(100)
    ids = [desk.reserve(10, expires_ms=desk.now_ms + 10)[0] for _ in range(2)]
    assert desk.call(Extend((*ids, "unknown"), desk.now_ms + 20)) == 2
    assert desk.call(Sweep(desk.now_ms + 19)) == 0
    assert desk.call(Sweep(desk.now_ms + 20)) == 2


def test_extend__to_an_earlier_instant__is_ignored(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(10, expires_ms=desk.now_ms + 10)
    assert desk.call(Extend((reservation_id,), desk.now_ms + 10)) == 0


def test_extend__of_an_ended_reservation__is_ignored(desk):
    desk.grant(100)
    assert desk.call(Extend((desk.served(10),), desk.now_ms + DAY_MS)) == 0


def test_extend__past_its_expiry_but_not_swept__is_still_possible(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(10, expires_ms=desk.now_ms + 10)
    assert desk.call(Extend((reservation_id,), desk.now_ms + 100)) == 1
    assert desk.call(Sweep(desk.now_ms + 50)) == 0


# --- expiry


def test_sweep__overdue_reservations__gives_back_credit_and_counts(desk, calls):
    desk.grant(100)
    window = calls(9)
    overdue, _ = desk.reserve(10, window, expires_ms=desk.now_ms + 10)
    desk.reserve(20, window, expires_ms=desk.now_ms + 11)
    assert desk.call(Sweep(desk.now_ms + 10)) == 1
    assert (desk.balance().reserved_wei, desk.counts(window)) == (20, (1,))
    assert desk.call(GetRecord(overdue)).state == "expired"


def test_sweep__again__finds_nothing(desk):
    desk.grant(100)
    desk.reserve(10, expires_ms=desk.now_ms)
    assert [desk.call(Sweep(desk.now_ms)) for _ in range(2)] == [1, 0]


def test_sweep__more_than_the_limit__takes_the_oldest_first(desk):
    desk.grant(100)
    young, middle, old = (desk.reserve(10, expires_ms=desk.now_ms + at)[0] for at in (30, 20, 10))
    assert desk.call(Sweep(desk.now_ms + 99, limit=2)) == 2
    states = [desk.call(GetRecord(reservation_id)).state for reservation_id in (old, middle, young)]
    assert states == ["expired", "expired", "reserved"]


def test_late_settle__with_free_credit__is_charged_and_counted_again(desk, calls, wei):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60, calls(9), wei(99))
    desk.call(Sweep(desk.now_ms + DAY_MS))
    reply = desk.settle(reservation_id, 50)
    assert reply == Settled(50, 0, Balance(100, 0, 50, 100, 1), (("acme/day", 1), ("acme/spend", 50)), late=True)
    assert desk.call(GetRecord(reservation_id)).late


def test_late_settle__without_free_credit__is_uncollected(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60)
    desk.call(Sweep(desk.now_ms + DAY_MS))
    desk.served(90)
    assert desk.settle(reservation_id, 60) == Settled(10, 50, Balance(100, 0, 100, 100, 1), (), late=True)


def test_late_settle__repeated__says_that_it_was_late(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60)
    desk.call(Sweep(desk.now_ms + DAY_MS))
    desk.settle(reservation_id, 60)
    reply = desk.settle(reservation_id, 60)
    assert (reply.charged_wei, reply.late, reply.repeated) == (60, True, True)


def test_late_release__of_an_expired_reservation__changes_nothing(desk):
    desk.grant(100)
    reservation_id, _ = desk.reserve(60)
    desk.call(Sweep(desk.now_ms + DAY_MS))
    assert desk.release(reservation_id) == Released(Balance(100, 0, 0, 100, 1), repeated=True)


# --- sizes and names


@pytest.mark.parametrize("estimate_wei", [MAX_AMOUNT_WEI, 10**15 - 1, 10**15, 10**30 + 10**15, 2**53 + 1])
def test_amounts__of_any_size__are_exact(desk, wei, estimate_wei):
    window = wei(MAX_AMOUNT_WEI)
    desk.grant(MAX_AMOUNT_WEI)
    reservation_id, reply = desk.reserve(estimate_wei, window)
    assert (reply.balance.reserved_wei, reply.counts) == (estimate_wei, (estimate_wei,))
    settled = desk.settle(reservation_id, estimate_wei - 1)
    assert settled.balance == Balance(MAX_AMOUNT_WEI, 0, estimate_wei - 1, MAX_AMOUNT_WEI, 1)
    assert settled.counts == (("acme/spend", estimate_wei - 1),)


def test_amounts__limit_missed_by_one_wei__is_refused(desk, wei):
    desk.grant(MAX_AMOUNT_WEI)
    limit = 10**40
    desk.reserve(limit - 10**15, wei(limit))
    assert desk.reserve(10**15 + 1, wei(limit))[1].violated == (0,)
    assert desk.reserve(10**15, wei(limit))[1].counts == (limit,)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names__of_any_characters__are_kept_apart_and_come_back(desk, calls, name):
    window = calls(1, counter=name)
    desk.grant(100, name, grant_id=name)
    desk.grant(7, name + "'")
    texts = {"api": name, "consumer": name, "route": name, "request_id": name, "method": name}
    reservation_id, reply = desk.reserve(60, window, account=name, **texts)
    settled = desk.settle(reservation_id, 60, account=name)
    assert (reply.counts, settled.counts) == ((1,), ((name, 1),))
    record = desk.call(GetRecord(reservation_id))
    assert {record.account, record.api, record.consumer, record.route, record.request_id, record.method} == {name}
    assert (desk.free(name), desk.free(name + "'")) == (40, 7)


def test_batch__with_an_operation_that_cannot_be_stored__performs_the_others(store, desk):
    good = [Grant(f"g{number}", desk.account, 1, desk.now_ms) for number in range(2)]
    bad = replace(good[0], grant_id="g9", account="lone surrogate \udc80")
    replies = store._perform([good[0], bad, good[1]])
    assert [type(reply) for reply in (replies[0], replies[2])] == [Granted, Granted]
    assert desk.balance().granted_wei == 2


def test_settle__of_what_cannot_be_stored__says_so_and_not_that_the_store_is_away(shared_url, desk_of):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(100)
        reservation_id, _ = desk.reserve(60)
        with pytest.raises(CannotBeStored):
            desk.settle(reservation_id, 60, outcome=Outcome(200, tags='{"model":"\ud800"}'))
        assert desk.settle(reservation_id, 60).charged_wei == 60


def test_batch__reserve_and_settle_together__are_performed_in_their_order(store, desk):
    made = desk.reserve_op(60)
    grant = Grant("g1", desk.account, 100, desk.now_ms)
    settle = Settle(made.reservation_id, desk.account, desk.now_ms, 50)
    replies = store._perform([grant, made, settle, made])
    assert [type(reply) for reply in replies] == [Granted, Reserved, Settled, Refused]


# --- opened again


@pytest.mark.parametrize("end", ["none", "settle", "release", "sweep"])
def test_store__closed_and_opened_again__has_the_same_balance_and_counts(shared_url, desk_of, calls, wei, end):
    checks = calls(9), wei(900)

    def state(desk):
        return desk.balance(), desk.balance("other/weather"), desk.counts(*checks)

    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(100)
        desk.grant(2**70, "other/weather")
        desk.served(30)
        reservation_id, _ = desk.reserve(20, *checks)
        if end == "settle":
            desk.settle(reservation_id, 25)
        elif end == "release":
            desk.release(reservation_id)
        elif end == "sweep":
            assert desk.call(Sweep(desk.now_ms + DAY_MS)) == 1
        before = state(desk)
    with open_store(shared_url) as store:
        assert state(desk_of(store)) == before
    taken_wei, charged_wei, calls_ = {"none": (20, 30, 1), "settle": (0, 55, 1)}.get(end, (0, 30, 0))
    balance, other, counted = before
    free_wei = 100 - taken_wei - charged_wei
    assert (balance.free_wei, balance.reserved_wei, balance.charged_wei) == (free_wei, taken_wei, charged_wei)
    assert (other.free_wei, counted) == (2**70, (calls_, taken_wei + charged_wei - 30))
