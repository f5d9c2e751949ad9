"""Holds: credit set aside for the settlements of one API."""

import pytest

from ..market import ALICE, API, BOB, CAP, DAY, DEPOSIT, HOUR, NOW, OPERATOR, PRICE, RIVAL, STRANGER, Market, entry

LATER = NOW + 10 * HOUR
EXPIRED = "2026-01-15T22:00:00Z"  # the second LATER
JUST_BEFORE = "2026-01-15T21:59:59Z"


@pytest.fixture
def held(market: Market) -> Market:
    """ALICE holds 100 wei for `weather` until LATER."""
    market.ok("place_hold", API, 100, LATER, sender=ALICE)
    return market


def hold_of(market: Market) -> tuple[int, int, int]:
    line = market.line()
    return line["hold_wei"], line["hold_expires_at"], market.credit()


def test_place_hold__free_credit__is_set_aside(held: Market) -> None:
    assert hold_of(held) == (100, LATER, DEPOSIT - 100)
    assert held.account()["held_wei"] == 100 == held.view("get_solvency")["held_wei"]


def test_place_hold__again__raises_the_amount(held: Market) -> None:
    held.ok("place_hold", API, 50, LATER, sender=ALICE)
    assert hold_of(held) == (150, LATER, DEPOSIT - 150)


def test_place_hold__amount_0__prolongs(held: Market) -> None:
    held.ok("place_hold", API, 0, LATER + DAY, sender=ALICE)
    assert hold_of(held) == (100, LATER + DAY, DEPOSIT - 100)


def test_place_hold__earlier_expiry__is_refused(held: Market) -> None:
    held.refused("hold_not_shortened", "place_hold", API, 50, LATER - 1, sender=ALICE)


def test_place_hold__expired__can_be_renewed(held: Market) -> None:
    held.at("2026-01-16T12:00:00Z")
    held.refused("bad_expiry", "place_hold", API, 0, LATER, sender=ALICE)
    held.refused("amount_not_positive", "place_hold", API, 0, NOW + 2 * DAY, sender=ALICE)
    held.ok("place_hold", API, DEPOSIT, NOW + 2 * DAY, sender=ALICE)
    assert hold_of(held) == (DEPOSIT, NOW + 2 * DAY, 0)
    held.refused("hold_in_force", "release_hold", API, sender=ALICE)


def test_place_hold__used_up__can_be_followed_by_a_shorter_one(held: Market) -> None:
    held.ok("register_api", API, PRICE, 100, 0, sender=OPERATOR)
    held.settle(entry(calls=10))
    held.ok("place_hold", API, 1, NOW + 1, sender=ALICE)
    assert hold_of(held) == (1, NOW + 1, DEPOSIT - 101)


@pytest.mark.parametrize("seconds", [1, 366 * DAY])
def test_place_hold__expiry_within_366_days__is_accepted(market: Market, seconds: int) -> None:
    market.ok("place_hold", API, 1, NOW + seconds, sender=ALICE)


@pytest.mark.parametrize(
    ("amount", "expires_at", "code"),
    [
        (1, NOW, "bad_expiry"),
        (1, NOW - 1, "bad_expiry"),
        (1, NOW + 366 * DAY + 1, "bad_expiry"),
        (1, -1, "bad_expiry"),
        (1, 2**127, "bad_expiry"),
        (0, LATER, "amount_not_positive"),
        (-1, LATER, "negative_number"),
        (DEPOSIT + 1, LATER, "insufficient_credit"),
    ],
)
def test_place_hold__bad_argument__is_refused(market: Market, amount: int, expires_at: int, code: str) -> None:
    market.refused(code, "place_hold", API, amount, expires_at, sender=ALICE)


def test_place_hold__not_subscribed__is_refused(market: Market) -> None:
    market.refused("not_subscribed", "place_hold", API, 1, LATER, sender=BOB)
    market.ok("unsubscribe", API, sender=ALICE)
    market.refused("not_subscribed", "place_hold", API, 1, LATER, sender=ALICE)


def test_release_hold__consumer_before_expiry__is_refused(held: Market) -> None:
    held.at(JUST_BEFORE)
    held.refused("hold_in_force", "release_hold", API, sender=ALICE)


def test_release_hold__consumer_at_expiry__gets_it_back(held: Market) -> None:
    held.at(EXPIRED)
    held.ok("release_hold", API, sender=ALICE)
    assert (held.line()["hold_wei"], held.credit()) == (0, DEPOSIT)


def test_release_hold__operator__at_any_time(held: Market) -> None:
    held.ok("release_hold", API, ALICE, sender=OPERATOR)
    assert (held.line()["hold_wei"], held.credit()) == (0, DEPOSIT)


@pytest.mark.parametrize("caller", [RIVAL, BOB, STRANGER])
def test_release_hold__anyone_else__is_refused_even_after_expiry(held: Market, caller: str) -> None:
    held.at(EXPIRED)
    held.refused("not_operator", "release_hold", API, ALICE, sender=caller)


def test_release_hold__former_operator__is_refused(held: Market) -> None:
    held.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    held.ok("accept_operator", API, sender=RIVAL)
    held.refused("not_operator", "release_hold", API, ALICE, sender=OPERATOR)
    held.ok("release_hold", API, ALICE, sender=RIVAL)


@pytest.mark.parametrize(("caller", "named"), [(ALICE, ""), (OPERATOR, ALICE), (OPERATOR, BOB), (OPERATOR, "")])
def test_release_hold__none_there__is_refused(market: Market, caller: str, named: str) -> None:
    market.refused("no_hold", "release_hold", API, named, sender=caller)


def test_release_hold__twice__second_is_refused(held: Market) -> None:
    held.ok("release_hold", API, ALICE, sender=OPERATOR)
    held.refused("no_hold", "release_hold", API, ALICE, sender=OPERATOR)


def test_unsubscribe__hold_in_force__keeps_it_for_settlements(held: Market) -> None:
    held.ok("unsubscribe", API, sender=ALICE)
    assert hold_of(held) == (100, LATER, DEPOSIT - 100)
    assert held.settle(entry(calls=3))["billed_wei"] == 3 * PRICE
    assert hold_of(held) == (70, LATER, DEPOSIT - 100)


def test_unsubscribe__hold_in_force__settlements_draw_on_nothing_else(market: Market) -> None:
    market.ok("place_hold", API, 25, LATER, sender=ALICE)
    market.ok("unsubscribe", API, sender=ALICE)
    line = market.settle(entry(calls=3))["entries"][0]
    assert (line["billed_calls"], line["code"]) == (2, "insufficient_credit")
    assert (market.line()["hold_wei"], market.credit()) == (5, DEPOSIT - 25)


def test_unsubscribe__hold_expired__frees_it(held: Market) -> None:
    held.at(EXPIRED)
    held.ok("unsubscribe", API, sender=ALICE)
    assert (held.line()["hold_wei"], held.credit()) == (0, DEPOSIT)


def test_unsubscribe__hold_in_force__the_consumer_can_release_it_after_expiry(held: Market) -> None:
    held.ok("unsubscribe", API, sender=ALICE)
    held.refused("hold_in_force", "release_hold", API, sender=ALICE)
    held.at(EXPIRED)
    held.ok("release_hold", API, sender=ALICE)
    assert held.credit() == DEPOSIT


def test_subscribe__lower_cap_while_held__is_refused_and_a_higher_is_not(held: Market) -> None:
    held.refused("hold_in_force", "subscribe", API, CAP - 1, 0, sender=ALICE)
    held.ok("subscribe", API, CAP, 0, sender=ALICE)
    held.ok("subscribe", API, CAP + 1, 0, sender=ALICE)


def test_subscribe__other_plan_while_held__is_refused(held: Market) -> None:
    held.ok("set_plan", API, "gold", 3, 0, 0, sender=OPERATOR)
    held.refused("hold_in_force", "subscribe", API, CAP, 0, "gold", sender=ALICE)
    held.at(EXPIRED)
    held.ok("subscribe", API, 1, 0, "gold", sender=ALICE)


def test_subscribe__lower_cap_after_leaving_with_a_hold__is_refused_too(held: Market) -> None:
    held.ok("unsubscribe", API, sender=ALICE)
    held.refused("hold_in_force", "subscribe", API, CAP - 1, 0, sender=ALICE)


def test_subscribe__refused_for_a_hold_with_value__credits_the_value(held: Market) -> None:
    answer = held.ok("subscribe", API, 1, 7, sender=ALICE, value=7).value
    assert (answer["code"], held.credit(), held.line()["consumer_max_daily_spend_wei"]) == (
        "hold_in_force",
        DEPOSIT - 100 + 7,
        CAP,
    )


def test_subscribe__lower_price_while_held__leaves_what_was_served_before_to_be_settled(held: Market) -> None:
    held.ok("register_api", API, 1, 5, 12, sender=OPERATOR)
    held.ok("subscribe", API, CAP, 0, sender=ALICE)
    assert held.settle(entry())["entries"][0]["code"] == ""
    assert held.bill()["cost_wei"] == 1


def test_subscribe__bound_below_what_was_accepted_while_held__what_was_accepted_stays(held: Market) -> None:
    """The bound is for the price of now; usage of today may still be settled at what was accepted before."""
    held.ok("register_api", API, 5, 5, 12, sender=OPERATOR)
    answer = held.ok("subscribe", API, CAP, 0, "standard", 5, sender=ALICE).value
    assert answer["accepted_price_wei"] == PRICE
    assert held.bill()["cost_wei"] == 5
    held.ok("register_api", API, PRICE + 1, 5, 12, sender=OPERATOR)
    held.refused("price_changed", "consume_credit", API, ALICE, sender=ALICE)
    held.refused("price_above_max", "subscribe", API, CAP, 0, "standard", PRICE, sender=ALICE)


def test_subscribe__lower_price_once_the_hold_has_expired__is_the_ceiling_of_settlements(held: Market) -> None:
    held.ok("register_api", API, 1, 5, 12, sender=OPERATOR)
    held.net.now = EXPIRED
    held.ok("subscribe", API, CAP, 0, sender=ALICE)
    assert held.settle(entry())["entries"][0]["code"] == "spend_above_price"


def test_hold__of_one_api__leaves_credit_for_another(held: Market) -> None:
    held.register("maps", RIVAL)
    held.subscribe(api_name="maps", deposit=0)
    held.ok("place_hold", "maps", 30, LATER, sender=ALICE)
    held.ok("release_hold", "maps", ALICE, sender=RIVAL)
    assert hold_of(held) == (100, LATER, DEPOSIT - 100)
