"""What operators do: APIs, plans, meters, handing over, earnings."""

import pytest

from ..market import ALICE, API, BOB, DAILY, METER, MONTHLY, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, Market, entry
from ..sessions import asset_of

STANDARD = {"plan_name": "standard", "cost_per_call_wei": 10, "daily_limit_calls": 5, "monthly_limit_calls": 12}


def test_register_api__free_name__creates_active_api_with_plan_standard(billing: Market) -> None:
    billing.ok("register_api", "weather", 10, 5, 12, sender=OPERATOR)
    assert billing.view("get_api", "weather") == {
        "api_name": "weather",
        "operator": OPERATOR,
        "proposed_operator": "",
        "active": True,
        "plans": [STANDARD],
        "meters": [],
        "next_sequence": 1,
        "chain_id": 61_999,
        "asset": asset_of(billing, "weather"),
        "voucher_domain": {
            "name": "x402 Batch Settlement",
            "version": "1",
            "chainId": 61_999,
            "verifyingContract": "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003",
        },
        "promise": None,
    }


def test_register_api__monthly_limit_left_out__there_is_none(billing: Market) -> None:
    billing.ok("register_api", "weather", 10, 5, sender=OPERATOR)
    assert billing.view("get_api", "weather")["plans"][0]["monthly_limit_calls"] == 0


def test_register_api__own_name_again__changes_the_standard_plan(market: Market) -> None:
    market.ok("register_api", API, 7, 3, 0, sender=OPERATOR)
    changed = {"cost_per_call_wei": 7, "daily_limit_calls": 3, "monthly_limit_calls": 0}
    assert market.view("get_api", API)["plans"] == [STANDARD | changed]
    assert market.view("list_apis")["total"] == 1


@pytest.mark.parametrize("caller", [RIVAL, METER, ALICE])
def test_register_api__name_of_another__is_refused(market: Market, caller: str) -> None:
    market.refused("not_operator", "register_api", API, 7, 3, 0, sender=caller)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("", 10, 5), "api_name_required", "api_name is required"),
        (("  ", 10, 5), "api_name_required", "api_name is required"),
        (("weather", 0, 5), "cost_not_positive", "cost_per_call_wei must be positive"),
        (("weather", -1, 5), "cost_not_positive", "cost_per_call_wei must be positive"),
        (("weather", 10, 0), "daily_limit_not_positive", "daily_limit_calls must be positive"),
        (("weather", 10, 5, -1), "negative_number", "negative number"),
        (("weather", 10, 2**48), "number_too_large", "number too large"),
        (("weather", 2**128, 5), "number_too_large", "number too large"),
    ],
)
def test_register_api__bad_argument__is_refused_with_the_known_text(
    billing: Market, arguments: tuple[object, ...], code: str, text: str
) -> None:
    receipt = billing.refused(code, "register_api", *arguments, sender=OPERATOR)
    assert str(receipt.message).startswith(f"[EXPECTED] {code}: {text}")


def test_register_api__largest_numbers__are_kept(billing: Market) -> None:
    billing.ok("register_api", API, 2**128 - 1, 2**48 - 1, 2**48 - 1, sender=OPERATOR)
    plan = billing.view("get_api", API)["plans"][0]
    assert (plan["cost_per_call_wei"], plan["daily_limit_calls"]) == (2**128 - 1, 2**48 - 1)


def test_set_plan__new_name__adds_a_plan(market: Market) -> None:
    market.ok("set_plan", API, " Gold ", 3, 0, 0, sender=OPERATOR)
    gold = {"plan_name": "gold", "cost_per_call_wei": 3, "daily_limit_calls": 0, "monthly_limit_calls": 0}
    assert market.view("get_api", API)["plans"] == [STANDARD, gold]


def test_set_plan__known_name__changes_that_plan_only(market: Market) -> None:
    market.ok("set_plan", API, "gold", 3, 0, 0, sender=OPERATOR)
    market.ok("set_plan", API, "gold", 4, 1, 2, sender=OPERATOR)
    gold = {"plan_name": "gold", "cost_per_call_wei": 4, "daily_limit_calls": 1, "monthly_limit_calls": 2}
    assert market.view("get_api", API)["plans"] == [STANDARD, gold]


@pytest.mark.parametrize("limits", [(1, 0), (0, 1)])
def test_set_plan__free_with_a_limit__is_accepted(market: Market, limits: tuple[int, int]) -> None:
    market.ok("set_plan", API, "free", 0, *limits, sender=OPERATOR)
    assert len(market.view("get_api", API)["plans"]) == 2


def test_set_plan__free_without_limit__is_refused(market: Market) -> None:
    market.refused("free_plan_without_limit", "set_plan", API, "free", 0, 0, 0, sender=OPERATOR)


@pytest.mark.parametrize("caller", [RIVAL, METER, ALICE])
def test_set_plan__not_the_operator__is_refused(market: Market, caller: str) -> None:
    market.refused("not_operator", "set_plan", API, "gold", 3, 0, 0, sender=caller)


def test_set_plan__sixty_fifth__is_refused_but_the_64_can_change(market: Market) -> None:
    for number in range(63):
        market.ok("set_plan", API, f"plan-{number}", 1, 0, 0, sender=OPERATOR)
    market.refused("too_many_plans", "set_plan", API, "one-more", 1, 0, 0, sender=OPERATOR)
    market.ok("set_plan", API, "plan-62", 2, 0, 0, sender=OPERATOR)


def test_set_api_active__paused__stops_billing_until_resumed(market: Market) -> None:
    market.ok("set_api_active", API, False, sender=OPERATOR)
    assert market.view("get_api", API)["active"] is False
    assert market.line()["active"] is False
    market.refused("api_paused", "consume_credit", API, ALICE, sender=ALICE)
    market.ok("set_api_active", API, True, sender=OPERATOR)
    market.bill()


def test_set_api_active__paused__settles_all_the_same(market: Market) -> None:
    market.ok("set_api_active", API, False, sender=OPERATOR)
    assert market.settle(entry())["billed_calls"] == 1


@pytest.mark.parametrize("caller", [RIVAL, METER, ALICE])
def test_set_api_active__not_the_operator__is_refused(market: Market, caller: str) -> None:
    market.refused("not_operator", "set_api_active", API, False, sender=caller)


def test_set_meter__allowed__may_bill_until_forbidden(market: Market) -> None:
    assert market.view("get_api", API)["meters"] == [METER]
    market.ok("consume_credit", API, ALICE, sender=METER)
    market.ok("set_meter", API, METER, False, sender=OPERATOR)
    assert market.view("get_api", API)["meters"] == []
    market.refused("not_authorized", "consume_credit", API, ALICE, sender=METER)


def test_set_meter__sixty_fifth__is_refused_until_one_is_forbidden(market: Market) -> None:
    for number in range(1, 64):
        market.ok("set_meter", API, f"0x{number:040x}", True, sender=OPERATOR)
    market.refused("too_many_meters", "set_meter", API, STRANGER, True, sender=OPERATOR)
    market.ok("set_meter", API, METER, True, sender=OPERATOR)  # is one already
    market.ok("set_meter", API, METER, False, sender=OPERATOR)
    market.ok("set_meter", API, STRANGER, True, sender=OPERATOR)
    assert len(market.view("get_api", API)["meters"]) == 64


@pytest.mark.parametrize("caller", [RIVAL, METER, ALICE])
def test_set_meter__not_the_operator__is_refused(market: Market, caller: str) -> None:
    market.refused("not_operator", "set_meter", API, caller, True, sender=caller)


def test_meter__of_one_api__has_no_say_over_another(market: Market) -> None:
    market.register("maps", RIVAL)
    market.subscribe(api_name="maps")
    market.refused("not_authorized", "consume_credit", "maps", ALICE, sender=METER)
    market.refused("not_authorized", "settle_usage", "maps", 1, [entry()], sender=METER)


def test_meter__cannot_move_money(market: Market) -> None:
    market.bill()
    market.refused("insufficient_earnings", "withdraw_earnings", PRICE, sender=METER)
    market.ok("place_hold", API, 100, 1_800_000_000, sender=ALICE)
    market.refused("not_operator", "release_hold", API, ALICE, sender=METER)
    market.refused("not_operator", "propose_operator", API, METER, sender=METER)


def hand_over(market: Market, former: str = OPERATOR, new: str = RIVAL) -> None:
    market.ok("propose_operator", API, new, sender=former)
    market.ok("accept_operator", API, sender=new)


def test_handover__proposed__changes_nothing_yet(market: Market) -> None:
    market.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    api = market.view("get_api", API)
    assert (api["operator"], api["proposed_operator"]) == (OPERATOR, RIVAL)
    market.refused("not_operator", "set_api_active", API, False, sender=RIVAL)


def test_handover__accepted__rights_move(market: Market) -> None:
    hand_over(market)
    api = market.view("get_api", API)
    assert (api["operator"], api["proposed_operator"]) == (RIVAL, "")
    market.ok("set_api_active", API, True, sender=RIVAL)
    market.refused("not_operator", "set_api_active", API, True, sender=OPERATOR)


def test_handover__accepted__earnings_made_stay_and_later_ones_move(market: Market) -> None:
    market.bill()
    hand_over(market)
    market.bill(2)
    market.settle(entry(), sender=RIVAL)
    assert (market.earnings(OPERATOR), market.earnings(RIVAL)) == (PRICE, 3 * PRICE)
    market.ok("withdraw_earnings", PRICE, sender=OPERATOR)


def test_handover__accepted__meters_end(market: Market) -> None:
    hand_over(market)
    assert market.view("get_api", API)["meters"] == []
    market.refused("not_authorized", "consume_credit", API, ALICE, sender=METER)


def test_handover__and_back__former_meters_do_not_revive(market: Market) -> None:
    hand_over(market)
    hand_over(market, RIVAL, OPERATOR)
    assert market.view("get_api", API)["meters"] == []
    market.refused("not_authorized", "consume_credit", API, ALICE, sender=METER)


def test_accept_operator__not_proposed__is_refused(market: Market) -> None:
    market.refused("not_proposed", "accept_operator", API, sender=RIVAL)
    market.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    market.refused("not_proposed", "accept_operator", API, sender=STRANGER)


def test_accept_operator__later_proposal__replaces_the_earlier(market: Market) -> None:
    market.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    market.ok("propose_operator", API, BOB, sender=OPERATOR)
    market.refused("not_proposed", "accept_operator", API, sender=RIVAL)
    market.ok("accept_operator", API, sender=BOB)


def test_accept_operator__twice__second_is_refused(market: Market) -> None:
    hand_over(market)
    market.refused("not_proposed", "accept_operator", API, sender=RIVAL)


@pytest.mark.parametrize("caller", [RIVAL, METER, ALICE])
def test_propose_operator__not_the_operator__is_refused(market: Market, caller: str) -> None:
    market.refused("not_operator", "propose_operator", API, caller, sender=caller)


def test_handover__settlement_sequence__goes_on(market: Market) -> None:
    market.settle(entry())
    hand_over(market)
    market.refused("sequence_gap", "settle_usage", API, 3, [entry()], sender=RIVAL)
    assert market.ok("settle_usage", API, 2, [entry()], sender=RIVAL).value["sequence"] == 2


def test_limits__of_a_plan__apply_at_once(market: Market) -> None:
    market.bill(3)
    market.ok("register_api", API, PRICE, 3, MONTHLY, sender=OPERATOR)
    market.refused("daily_limit_exceeded", "consume_credit", API, ALICE, sender=ALICE)
    market.ok("register_api", API, PRICE, DAILY, MONTHLY, sender=OPERATOR)
    assert market.bill()["day_id"] == TODAY
