"""Withdrawals: out of the books at once, on their way when final; to accounts and to contracts."""

import pytest

from ..market import ALICE, API, BOB, DEPOSIT, HOUR, NOW, OPERATOR, PRICE, RIVAL, STRANGER, Market


def test_withdraw_credit__part__leaves_the_books_at_once_and_arrives_when_final(market: Market) -> None:
    before = market.net.balance(ALICE)
    market.ok("withdraw_credit", 400, sender=ALICE)
    assert (market.credit(), market.view("get_solvency")["withdrawn_wei"]) == (DEPOSIT - 400, 400)
    assert market.net.balance(ALICE) == before
    market.net.process("finalized")
    assert market.net.balance(ALICE) == before + 400


def test_withdraw_credit__all__is_paid_once(market: Market) -> None:
    before = market.net.balance(ALICE)
    market.ok("withdraw_credit", DEPOSIT, sender=ALICE)
    market.refused("insufficient_credit", "withdraw_credit", 1, sender=ALICE)
    market.net.process("finalized")
    assert (market.net.balance(ALICE), market.view("get_solvency")["balance_wei"]) == (before + DEPOSIT, 0)


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (DEPOSIT + 1, "insufficient_credit"),
        (0, "amount_not_positive"),
        (-1, "amount_not_positive"),
        (2**128, "number_too_large"),
    ],
)
def test_withdraw_credit__bad_amount__is_refused(market: Market, amount: int, code: str) -> None:
    market.refused(code, "withdraw_credit", amount, sender=ALICE)


def test_withdraw_credit__nobody_known__is_refused(market: Market) -> None:
    market.refused("insufficient_credit", "withdraw_credit", 1, sender=STRANGER)


def test_withdraw_credit__held__is_not_free_credit(market: Market) -> None:
    market.ok("place_hold", API, 900, NOW + HOUR, sender=ALICE)
    market.refused("insufficient_credit", "withdraw_credit", 101, sender=ALICE)
    market.ok("withdraw_credit", 100, sender=ALICE)


def test_withdraw_earnings__part__is_paid_when_final(market: Market) -> None:
    market.bill(3)
    before = market.net.balance(OPERATOR)
    market.ok("withdraw_earnings", 20, sender=OPERATOR)
    market.net.process("finalized")
    assert market.net.balance(OPERATOR) == before + 20
    paid = {"operator": OPERATOR, "earnings_wei": 10, "withdrawn_wei": 20, "refunded_wei": 0, "apis": []}
    assert market.view("get_earnings", OPERATOR) == paid


@pytest.mark.parametrize(
    ("caller", "amount", "code"),
    [
        (OPERATOR, PRICE + 1, "insufficient_earnings"),
        (OPERATOR, 0, "amount_not_positive"),
        (RIVAL, 1, "insufficient_earnings"),
        (ALICE, 1, "insufficient_earnings"),
    ],
)
def test_withdraw_earnings__not_earned__is_refused(market: Market, caller: str, amount: int, code: str) -> None:
    market.bill()
    market.refused(code, "withdraw_earnings", amount, sender=caller)


def test_withdraw_earnings__of_several_apis__are_one_sum(market: Market) -> None:
    market.register("maps")
    market.subscribe(api_name="maps")
    market.bill()
    market.bill(api_name="maps")
    market.ok("withdraw_earnings", 2 * PRICE, sender=OPERATOR)
    assert market.earnings() == 0


def test_withdraw_credit__by_a_contract__arrives_at_receive_credit_when_final(market: Market) -> None:
    relay = market.relay()
    market.ok("top_up_for", relay, 50, sender=STRANGER, value=50)
    assert market.via(relay, "withdraw_credit", 40).kind == "return"
    assert market.net.view(relay, "get_received") == 0
    market.net.process("finalized")
    assert market.net.view(relay, "get_received") == 40
    assert market.credit(relay) == 10


def test_withdraw_earnings__by_a_contract__arrives_at_receive_credit_when_final(market: Market) -> None:
    relay = market.relay()
    market.ok("propose_operator", API, relay, sender=OPERATOR)
    assert market.via(relay, "accept_operator", API).kind == "return"
    market.bill(2)
    assert market.via(relay, "withdraw_earnings", 20).kind == "return"
    market.net.process("finalized")
    assert market.net.view(relay, "get_received") == 20


def test_withdraw__of_a_contract_beyond_its_credit__sends_nothing(market: Market) -> None:
    relay = market.relay()
    refused = market.via(relay, "withdraw_credit", 1)
    assert (refused.kind, refused.error_code, refused.messages) == ("user_error", "insufficient_credit", ())


def test_deposit__by_a_contract_refused__is_credit_of_the_contract(market: Market) -> None:
    relay = market.relay()
    answer = market.via(relay, "subscribe", "maps", 100, 7, value=7)
    assert (answer.kind, answer.value["code"]) == ("return", "api_not_registered")
    assert (market.credit(relay), market.credit(STRANGER)) == (7, 0)


def test_withdrawals__of_two_consumers__do_not_mix(market: Market) -> None:
    market.ok("top_up_credit", 7, sender=BOB, value=7)
    market.ok("withdraw_credit", 7, sender=BOB)
    assert (market.credit(BOB), market.credit(ALICE)) == (0, DEPOSIT)
