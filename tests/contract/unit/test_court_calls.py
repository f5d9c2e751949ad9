"""What a court can do: freeze what a consumer paid on a day, and close that. The court is a contract."""

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Receipt

from ..market import ALICE, API, BOB, CAP, DEPOSIT, METER, NOW, OPERATOR, RIVAL, STRANGER, TODAY, Market, entry
from ..promised import PROMISE_TERMS, check_books, earnings, end_promise, on_day, promise

PAID_DAY = TODAY + 1
DISPUTE_SECONDS = 30 * 86_400


class Court:
    """A contract that passes calls on to the billing contract."""

    def __init__(self, market: Market) -> None:
        self.market, self.address = market, market.relay()

    def freeze(self, consumer: str = ALICE, day_id: int = PAID_DAY) -> Receipt:
        return self.market.via(self.address, "freeze_by_court", API, consumer, day_id)

    def close(self, amount: int, consumer: str = ALICE, day_id: int = PAID_DAY) -> Receipt:
        return self.market.via(self.address, "refund_by_court", API, consumer, day_id, amount)


@pytest.fixture
def court(wide: Market) -> Court:
    """ALICE paid 40 wei and BOB 20 on PAID_DAY, whose earnings wait for 3 days; it is two days later."""
    court = Court(wide)
    wide.subscribe(BOB)
    promise(wide, court.address, 3, 100)
    on_day(wide, 1)
    wide.bill(3)
    wide.bill(2, consumer=BOB)
    wide.settle(entry(day_id=PAID_DAY))
    on_day(wide, 3)
    return court


def paid_day(market: Market, consumer: str = ALICE, day_id: int = PAID_DAY) -> dict[str, Any]:
    shown: dict[str, Any] = market.view("get_paid_day", API, consumer, day_id)
    return shown


def code(receipt: Receipt) -> str:
    """That of the refusal, "" where it was carried out."""
    assert receipt.kind in ("return", "user_error"), receipt.stderr
    return receipt.error_code or ""


# ---- freezing ----


def test_freeze__what_a_consumer_paid_on_a_day__waits_no_longer(wide: Market, court: Court) -> None:
    now = int(wide.net.now.timestamp())
    before = wide.credit()
    assert code(court.freeze()) == ""
    assert paid_day(wide) == {
        "api_name": API,
        "consumer": ALICE,
        "day_id": PAID_DAY,
        "calls": 4,
        "paid_wei": 40,
        "refunded_wei": 0,
        "frozen_wei": 40,
        "frozen_at": now,
        "pending": False,
    }
    assert earnings(wide) == {"withdrawable": 0, "pending": 20, "frozen": 40, "refunded": 0}
    assert wide.credit() == before
    check_books(wide)


def test_freeze__of_one_consumer__leaves_anothers(wide: Market, court: Court) -> None:
    court.freeze()
    untouched = paid_day(wide, BOB)
    assert (untouched["frozen_wei"], untouched["frozen_at"], untouched["pending"]) == (0, 0, True)
    assert code(court.freeze(BOB)) == ""
    assert earnings(wide) == {"withdrawable": 0, "pending": 0, "frozen": 60, "refunded": 0}


def test_freeze__what_is_frozen__is_not_collected(wide: Market, court: Court) -> None:
    court.freeze()
    on_day(wide, 5)
    wide.ok("collect_earnings", API, sender=STRANGER)
    assert earnings(wide) == {"withdrawable": 20, "pending": 0, "frozen": 40, "refunded": 0}
    wide.refused("insufficient_earnings", "withdraw_earnings", 21, sender=OPERATOR)


def test_freeze__after_refunds_of_the_day__takes_the_rest(wide: Market, court: Court) -> None:
    wide.ok("refund", API, ALICE, 15, "", PAID_DAY, sender=OPERATOR)
    court.freeze()
    assert (paid_day(wide)["frozen_wei"], paid_day(wide)["refunded_wei"]) == (25, 15)
    check_books(wide)


def test_freeze__after_a_refund_of_no_day__takes_all(wide: Market, court: Court) -> None:
    wide.register("maps")
    wide.subscribe(api_name="maps")
    wide.bill(5, api_name="maps")
    wide.ok("refund", API, ALICE, 15, sender=OPERATOR)
    court.freeze()
    assert paid_day(wide)["frozen_wei"] == 40


@pytest.mark.parametrize("after", ["frozen", "closed"])
def test_freeze__twice__is_refused(wide: Market, court: Court, after: str) -> None:
    court.freeze()
    if after == "closed":
        court.close(10)
    assert code(court.freeze()) == "already_frozen"


def test_freeze__all_was_refunded__is_refused(wide: Market, court: Court) -> None:
    wide.ok("refund", API, ALICE, 40, "", PAID_DAY, sender=OPERATOR)
    assert code(court.freeze()) == "nothing_paid"


@pytest.mark.parametrize("consumer", [STRANGER, RIVAL])
def test_freeze__consumer_who_paid_nothing__is_refused(wide: Market, court: Court, consumer: str) -> None:
    assert code(court.freeze(consumer)) == "nothing_paid"


def test_freeze__unsubscribed_since__takes_what_was_paid(wide: Market, court: Court) -> None:
    wide.ok("unsubscribe", API, sender=ALICE)
    assert code(court.freeze()) == ""


@pytest.mark.parametrize("caller", [OPERATOR, METER, ALICE, BOB, STRANGER, RIVAL])
def test_freeze__by_anyone_else__is_refused(wide: Market, court: Court, caller: str) -> None:
    wide.refused("not_court", "freeze_by_court", API, ALICE, PAID_DAY, sender=caller)


def test_freeze__by_whoever_drives_the_court__is_refused(wide: Market, court: Court) -> None:
    """The caller is the contract, not the account behind its transaction."""
    wide.refused("not_court", "freeze_by_court", API, ALICE, PAID_DAY, sender=STRANGER)


def test_freeze__by_the_court_of_another_api__is_refused(wide: Market, court: Court) -> None:
    other = Court(wide)
    wide.register("maps", RIVAL)
    wide.ok("set_promise", "maps", other.address, 3, 50, PROMISE_TERMS, sender=RIVAL)
    on_day(wide, 4)
    assert code(other.freeze()) == "not_court"


@pytest.mark.parametrize("day", [TODAY, TODAY - 1, 0])
def test_freeze__day_before_the_promise__is_refused(wide: Market, court: Court, day: int) -> None:
    assert code(court.freeze(day_id=day)) == "not_court"


@pytest.mark.parametrize(
    ("today", "answer"),
    [(1, "day_open"), (2, "day_open"), (3, ""), (4, ""), (5, "day_not_pending"), (40, "day_not_pending")],
)
def test_freeze__day_settled_and_not_matured__only_then(wide: Market, court: Court, today: int, answer: str) -> None:
    on_day(wide, today)
    assert code(court.freeze()) == answer


@pytest.mark.parametrize("day", [TODAY + 2, TODAY + 3, TODAY + 100, 2**32, 2**128 - 1])
def test_freeze__of_a_day_that_goes_on_or_is_ahead__is_refused(wide: Market, court: Court, day: int) -> None:
    assert code(court.freeze(day_id=day)) == "day_open"


def test_freeze__matured_but_collected_by_nobody__is_refused(wide: Market, court: Court) -> None:
    on_day(wide, 5)
    assert paid_day(wide)["pending"] is False
    assert code(court.freeze()) == "day_not_pending"


def test_freeze__place_of_the_day_used_again__is_refused(wide: Market, court: Court) -> None:
    on_day(wide, 65)
    wide.bill()
    on_day(wide, 67)
    assert code(court.freeze()) == "day_not_pending"
    assert code(court.freeze(day_id=TODAY + 65)) == ""


@pytest.mark.parametrize("change", ["another court", "none"])
def test_freeze__promise_changed_since__is_still_for_the_court_of_that_day(
    wide: Market, court: Court, change: str
) -> None:
    new = Court(wide)
    if change == "none":
        end_promise(wide)
    else:
        promise(wide, new.address)
    on_day(wide, 4)
    assert code(new.freeze()) == "not_court"
    assert code(court.freeze()) == ""


def test_freeze__days_of_a_change__belong_to_the_court_of_each(wide: Market) -> None:
    former, new = Court(wide), Court(wide)
    promise(wide, former.address)
    on_day(wide, 1)
    promise(wide, new.address, 14)  # from day 5
    for day in (4, 5):
        on_day(wide, day)
        wide.bill()
    on_day(wide, 7)
    answers = {
        (each, day): code(court.freeze(day_id=TODAY + day))
        for each, court in (("new", new), ("former", former))
        for day in (4, 5)
    }
    assert answers == {("former", 4): "", ("former", 5): "not_court", ("new", 4): "not_court", ("new", 5): ""}
    check_books(wide)


def test_freeze__api_that_promises_nothing__is_refused(wide: Market) -> None:
    court = Court(wide)
    wide.bill()
    on_day(wide, 2)
    assert code(court.freeze(day_id=TODAY)) == "not_court"


# ---- closing ----


@pytest.mark.parametrize("amount", [0, 1, 25, 40])
def test_close__some_amount__goes_to_the_consumer_and_the_rest_to_the_operator(
    wide: Market, court: Court, amount: int
) -> None:
    court.freeze()
    before = wide.credit()
    assert code(court.close(amount)) == ""
    assert wide.credit() == before + amount
    assert earnings(wide) == {"withdrawable": 40 - amount, "pending": 20, "frozen": 0, "refunded": amount}
    shown = paid_day(wide)
    assert (shown["frozen_wei"], shown["refunded_wei"], shown["frozen_at"] > 0) == (0, amount, True)
    assert wide.notices() == ([("refund", "refunded")] if amount else [])
    check_books(wide)


def test_close__more_than_was_frozen__is_refused(wide: Market, court: Court) -> None:
    wide.ok("refund", API, ALICE, 15, "", PAID_DAY, sender=OPERATOR)
    court.freeze()
    assert code(court.close(26)) == "refund_above_paid"
    assert code(court.close(25)) == ""


@pytest.mark.parametrize(
    ("percent", "refunded", "most"), [(100, 0, 40), (50, 0, 20), (49, 0, 19), (50, 15, 5), (1, 0, 0), (50, 21, 0)]
)
def test_close__above_the_promised_percentage_of_what_was_paid__is_refused(
    wide: Market, percent: int, refunded: int, most: int
) -> None:
    court = Court(wide)
    promise(wide, court.address, 3, percent)
    on_day(wide, 1)
    wide.bill(4)
    if refunded:
        wide.ok("refund", API, ALICE, refunded, "", PAID_DAY, sender=OPERATOR)
    on_day(wide, 3)
    court.freeze()
    assert code(court.close(most + 1)) == "refund_above_paid"
    assert code(court.close(most)) == ""
    check_books(wide)


def test_close__twice__is_refused(wide: Market, court: Court) -> None:
    court.freeze()
    court.close(10)
    for amount in (0, 1, 10):
        assert code(court.close(amount)) == "not_frozen"


def test_close__what_was_not_frozen__is_refused(wide: Market, court: Court) -> None:
    assert code(court.close(1)) == "not_frozen"
    court.freeze()
    assert code(court.close(1, BOB)) == "not_frozen"
    assert code(court.close(1, day_id=PAID_DAY + 1)) == "not_frozen"
    assert code(court.close(1, STRANGER)) == "not_frozen"


@pytest.mark.parametrize("caller", [OPERATOR, METER, ALICE, STRANGER])
@pytest.mark.parametrize("amount", [0, 1])
def test_close__by_anyone_else_in_time__is_refused(wide: Market, court: Court, caller: str, amount: int) -> None:
    court.freeze()
    wide.net.advance(DISPUTE_SECONDS - 1)
    wide.refused("not_court", "refund_by_court", API, ALICE, PAID_DAY, amount, sender=caller)


@pytest.mark.parametrize("caller", [OPERATOR, STRANGER])
def test_close__by_anyone_after_30_days__with_0_and_nothing_else(wide: Market, court: Court, caller: str) -> None:
    court.freeze()
    wide.net.advance(DISPUTE_SECONDS)
    wide.refused("not_court", "refund_by_court", API, ALICE, PAID_DAY, 1, sender=caller)
    wide.ok("refund_by_court", API, ALICE, PAID_DAY, 0, sender=caller)
    assert earnings(wide) == {"withdrawable": 40, "pending": 20, "frozen": 0, "refunded": 0}
    assert code(court.close(1)) == "not_frozen"


def test_close__by_the_court_after_30_days__is_as_before(wide: Market, court: Court) -> None:
    court.freeze()
    wide.net.advance(DISPUTE_SECONDS + 1)
    assert code(court.close(40)) == ""


@pytest.mark.parametrize("change", ["another court", "none"])
def test_close__promise_changed_since__is_still_for_the_court_that_froze(
    wide: Market, court: Court, change: str
) -> None:
    court.freeze()
    new = Court(wide)
    if change == "none":
        end_promise(wide)
    else:
        promise(wide, new.address, 14, 1)
    on_day(wide, 20)
    assert code(new.close(1)) == "not_court"
    assert code(court.close(40)) == ""


def test_close__long_after_the_day_left_every_ring__pays_what_was_frozen(wide: Market, court: Court) -> None:
    court.freeze()
    for day in (65, 129, 401):
        on_day(wide, day)
        wide.bill()
    wide.ok("refund_by_court", API, ALICE, PAID_DAY, 0, sender=STRANGER)
    assert earnings(wide)["frozen"] == 0
    assert wide.view("get_solvency")["surplus_wei"] == 0


def test_close__refund__can_be_withdrawn(wide: Market, court: Court) -> None:
    court.freeze()
    court.close(40)
    wide.ok("withdraw_credit", wide.credit(), sender=ALICE)
    wide.net.process("finalized")
    assert wide.view("get_solvency")["surplus_wei"] == 0


def test_close__in_a_session__refunds_to_free_credit(wide: Market, court: Court) -> None:
    wide.ok("place_hold", API, 100, NOW + 10 * 86_400, RIVAL, sender=ALICE)
    court.freeze()
    before = wide.credit()
    court.close(40)
    assert (wide.credit(), wide.line()["hold_wei"]) == (before + 40, 100)


# ---- a court has no other power ----

OTHER_WRITES: list[tuple[str, Callable[[str], tuple[Any, ...]], str]] = [
    ("refund", lambda court: (API, ALICE, 1), "not_operator"),
    ("set_promise", lambda court: (API, court, 3, 50, ""), "not_operator"),
    ("set_api_active", lambda court: (API, False), "not_operator"),
    ("set_meter", lambda court: (API, court, True), "not_operator"),
    ("release_hold", lambda court: (API, ALICE), "not_operator"),
    ("consume_credit", lambda court: (API, ALICE), "not_authorized"),
    ("settle_usage", lambda court: (API, 2, [entry(day_id=TODAY + 3)]), "not_authorized"),
    ("accept_operator", lambda court: (API,), "not_proposed"),
    ("withdraw_credit", lambda court: (1,), "insufficient_credit"),
    ("withdraw_earnings", lambda court: (1,), "insufficient_earnings"),
]


@pytest.mark.parametrize(("method", "arguments", "expected"), OTHER_WRITES, ids=[row[0] for row in OTHER_WRITES])
def test_court__any_other_write__is_refused(
    wide: Market, court: Court, method: str, arguments: Callable[[str], tuple[Any, ...]], expected: str
) -> None:
    court.freeze()
    assert code(wide.via(court.address, method, *arguments(court.address))) == expected


def test_court__that_is_an_account__works_too(wide: Market) -> None:
    promise(wide, RIVAL)
    on_day(wide, 1)
    wide.bill(2)
    on_day(wide, 3)
    wide.ok("freeze_by_court", API, ALICE, PAID_DAY, sender=RIVAL)
    wide.ok("refund_by_court", API, ALICE, PAID_DAY, 10, sender=RIVAL)
    assert wide.credit() == DEPOSIT - 10


def test_freeze__free_calls_only__is_refused(wide: Market) -> None:
    wide.ok("set_plan", API, "free", 0, 5, 0, sender=OPERATOR)
    wide.ok("subscribe", API, CAP, 0, "free", sender=ALICE)
    promise(wide, RIVAL)
    on_day(wide, 1)
    wide.bill(2)
    on_day(wide, 3)
    wide.refused("nothing_paid", "freeze_by_court", API, ALICE, PAID_DAY, sender=RIVAL)
