"""Who is served on credit from the chain, how the chain is read, and what happens when it cannot be."""

import threading

import pytest

from api_billing.errors import ContractNotFound, Unreachable
from api_billing.metering.ledger.settlement_operations import ChainTerms
from api_billing.metering.request.request_meter import Admitted
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings, usable_wei
from api_billing.metering.stores.steps import run

from .world import API, DAY_MS, NOON_MS, address

HOUR_MS = 3_600_000
WHO = address(1)


@pytest.fixture
def credit(world):
    """Of one process; the chain's consumer has 1000 wei on hold for a day."""
    world.chain.subscribe(API, WHO, hold_wei=1000, expires_at=world.now_ms // 1000 + 86_400)
    return make(world)


def make(world, **settings):
    return ChainCredit(
        world.chain,
        world.call,
        now_ms=lambda: world.now_ms,
        settings=CreditSettings(**{"holds_from": "accepted", **settings}),
        alert=world.alerts.append,
    )


def admit(world, credit, who=WHO, estimate_wei=10, api=API):
    """The refusal, None when the consumer is served."""
    found = admitted(world, credit, who, estimate_wei, api)
    return None if isinstance(found, Admitted) else found


def admitted(world, credit, who=WHO, estimate_wei=10, api=API):
    return run(credit.admit(api, who, estimate_wei), world.call)


def limits(found):
    """Name and limit of each window."""
    return {check.name: check.limit for check in found.checks}


def change(world, **values):
    for name, value in values.items():
        setattr(world.chain.subscriptions[API, WHO], name, value)


def reason_of(refusal):
    return (refusal.code, refusal.reason or None)


# --- who is served


def test_admit__consumer_with_a_hold__is_granted_it(world, credit):
    assert admit(world, credit) is None
    assert world.free_wei(WHO) == 1000


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"active": False}, ("not_subscribed", None)),
        ({"price_wei": 101}, ("not_subscribed", "price_changed")),
        ({"accepted_price_wei": 9, "price_wei": 9}, ("not_subscribed", "above_price")),
        ({"expires_at": NOON_MS // 1000 + 900}, ("insufficient_credit", "hold_ends")),
        ({"expires_at": NOON_MS // 1000 - 1}, ("insufficient_credit", "hold_ends")),
    ],
)
def test_admit__terms_that_forbid_it__are_the_reason(world, credit, terms, expected):
    change(world, **terms)
    assert reason_of(admit(world, credit)) == expected


def test_admit__api_beyond_the_first_page_of_subscriptions__is_found(world):
    for number in range(8):
        world.chain.subscribe(f"api-{number}", WHO)
    world.chain.subscribe(API, WHO, hold_wei=1000)
    world.chain.page = 2
    assert admit(world, make(world, holds_from="finalized")) is None
    assert world.free_wei(WHO) == 1000


def test_admit__who_has_a_great_many_subscriptions__is_not_read_without_an_end(world):
    for number in range(50):
        world.chain.subscribe(f"api-{number:02}", WHO, hold_wei=10)
    world.chain.page = 1
    assert admit(world, make(world), api="api-09") is None
    reads = world.chain.reads
    assert admit(world, make(world), api="api-49").code == "not_subscribed"
    assert world.chain.reads - reads == 10


def test_admit__nobody__is_not_subscribed(world, credit):
    assert admit(world, credit, address(7)).code == "not_subscribed"


def test_admit__paused_api__says_so(world, credit):
    world.chain.paused = True
    assert reason_of(admit(world, credit)) == ("not_subscribed", "api_paused")


def test_admit__plan_with_limits__counts_in_windows_of_the_day_and_the_month(world, credit):
    change(world, daily_calls=5, monthly_calls=50, receipts={NOON_MS // DAY_MS: 2}, credit_wei=500)
    found = admitted(world, credit)
    assert (found.plan, limits(found)) == ("standard", {"plan-day": 3, "plan-month": 48})
    midnight_ms = NOON_MS + 12 * HOUR_MS
    assert [check.ends_ms for check in found.checks] == [midnight_ms, midnight_ms + 16 * DAY_MS]


def test_admit__plan_without_limits__has_no_windows(world, credit):
    assert admitted(world, credit).checks == ()


def test_admit__after_a_settlement__leaves_the_same_calls_of_the_plan(world, credit):
    change(world, daily_calls=5, monthly_calls=50)
    assert limits(admitted(world, credit)) == {"plan-day": 5, "plan-month": 50}
    for _ in range(3):
        world.serve(WHO)
    world.settle()
    world.at(NOON_MS + 60_000)
    credit.tick()
    # Of the five three are billed; the window counts those too.
    assert limits(admitted(world, credit)) == {"plan-day": 5, "plan-month": 50}


def test_admit__settlement_landed_but_not_recorded__leaves_fewer_calls_for_the_time_being(world, credit):
    change(world, daily_calls=5)
    admit(world, credit)
    world.serve(WHO)
    world.chain.faults = ["lost"]
    assert world.round().status == "unknown"
    world.at(NOON_MS + 60_000)
    credit.tick()
    assert limits(admitted(world, credit)) == {"plan-day": 4}
    world.settle()
    world.at(NOON_MS + 120_000)
    credit.tick()
    assert limits(admitted(world, credit)) == {"plan-day": 5}


def test_admit__next_day_before_the_chain_is_read__has_all_calls_of_the_plan(world, credit):
    change(world, daily_calls=5, monthly_calls=50, receipts={NOON_MS // DAY_MS: 2}, credit_wei=500)
    admit(world, credit)
    world.chain.readable = False
    world.at(NOON_MS + 12 * HOUR_MS)
    fail_open = make(world, fail_open=True)
    assert limits(admitted(world, fail_open)) == {"plan-day": 5, "plan-month": 48}


def test_admit__chain_down_for_long_and_fail_open__goes_on_within_the_known_hold(world, credit):
    admit(world, credit)
    world.chain.readable = False
    world.at(NOON_MS + 2 * HOUR_MS)
    assert admit(world, credit).code == "meter_unavailable"
    assert admit(world, make(world, fail_open=True)) is None
    assert world.free_wei(WHO) == 1000


def test_admit__hold_that_ends__stops_before_it_does_without_another_read(world, credit):
    change(world, expires_at=NOON_MS // 1000 + 901)
    assert admit(world, credit) is None
    world.at(NOON_MS + 1000)
    reads = world.chain.reads
    assert reason_of(admit(world, credit)) == ("insufficient_credit", "hold_ends")
    assert world.chain.reads == reads


def test_admit__refused_settlement__stops_until_it_is_resolved(world, credit):
    admit(world, credit)
    world.serve(WHO)
    change(world, cap_wei=5)
    world.settle()
    world.at(NOON_MS + HOUR_MS // 4)
    credit.tick()
    assert reason_of(admit(world, credit)) == ("insufficient_credit", "settlement_refused")


def test_admit__hold_released_under_used_credit__is_short_and_told_once_a_day(world, credit):
    admit(world, credit)
    world.serve(WHO, 100)
    change(world, hold_wei=60)
    for _ in range(3):
        world.at(world.now_ms + 60_000)
        credit.tick()
    assert reason_of(admit(world, credit)) == ("insufficient_credit", "hold_short")
    assert [alert.kind for alert in world.alerts] == ["settlement"]
    assert world.free_wei(WHO) == 0


def test_admit__top_up_after_being_short__serves_again(world, credit):
    admit(world, credit)
    world.serve(WHO, 100)
    change(world, hold_wei=60)
    world.at(world.now_ms + 60_000)
    credit.tick()
    change(world, hold_wei=160)
    world.at(world.now_ms + 60_000)
    credit.tick()
    assert admit(world, credit) is None
    assert world.free_wei(WHO) == 60


# --- how much


TERMS = ChainTerms(NOON_MS, 100, NOON_MS + HOUR_MS, 40, True, True, "standard", 3, 3, 10**9)


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({}, {}, 100),
        ({}, {"use_free_credit": True}, 140),
        ({"spend_left_today_wei": 30}, {}, 30),
        ({"subscribed": False}, {"use_free_credit": True}, 0),
        ({"hold_expires_ms": NOON_MS}, {}, 0),
        ({"hold_expires_ms": NOON_MS}, {"use_free_credit": True}, 40),
        ({"hold_expires_ms": NOON_MS + 900_000}, {}, 0),
        ({"hold_expires_ms": NOON_MS + 900_001}, {}, 100),
    ],
)
def test_usable__of_terms__is_what_a_settlement_will_find(changes, settings, expected):
    assert usable_wei(TERMS._replace(**changes), CreditSettings(**settings), NOON_MS) == expected


def test_granted__after_a_settlement__is_the_hold_and_what_was_billed(world, credit):
    admit(world, credit)
    world.serve(WHO, 100)
    world.settle()
    world.at(world.now_ms + 60_000)
    credit.tick()
    balance = world.credit(WHO).balance
    assert (balance.granted_wei, balance.free_wei, balance.epoch) == (1000, 900, 1)


def test_granted__over_midnight__is_the_cap_of_the_new_day(world, credit):
    change(world, cap_wei=50)
    admit(world, credit)
    world.serve(WHO, 50)
    world.settle()
    world.at(NOON_MS + 12 * HOUR_MS)
    assert admit(world, credit) is None
    assert world.free_wei(WHO) == 50


# --- how the chain is read


def test_admit__again__reads_nothing(world, credit):
    for _ in range(5):
        admit(world, credit)
    assert world.chain.reads == 1


def test_admit__in_another_process__takes_what_the_first_has_read(world, credit):
    admit(world, credit)
    assert admit(world, make(world)) is None
    assert world.chain.reads == 1


def test_admit__many_first_requests_at_once__read_once(world, credit):
    refusals = []
    threads = [threading.Thread(target=lambda: refusals.append(admit(world, credit))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == [None] * 8
    assert world.chain.reads == 1


def test_refresh__of_a_consumer_of_two_apis__is_one_read(world, credit):
    world.chain.subscribe("maps", WHO, hold_wei=7)
    admit(world, credit)
    world.at(world.now_ms + 60_000)
    admit(world, credit, api="maps")
    assert world.chain.reads == 2
    world.at(world.now_ms + 60_000)
    assert credit.tick() == 1
    assert world.chain.reads == 3
    assert world.credit(WHO).terms.read_ms == world.now_ms


def test_tick__before_it_is_due__reads_nothing(world, credit):
    admit(world, credit)
    world.at(world.now_ms + 29_999)
    assert credit.tick() == 0
    world.at(world.now_ms + 1)
    assert credit.tick() == 1


def test_tick__of_a_consumer_without_requests__forgets_it(world, credit):
    admit(world, credit)
    world.at(world.now_ms + 600_001)
    assert credit.tick() == 0


def test_tick__of_more_consumers_than_reads__takes_the_longest_waiting_and_leaves_some_for_new_ones(world):
    credit = make(world, reads_per_10_seconds=8)
    for number in range(1, 13):
        world.chain.subscribe(API, address(number), hold_wei=10)
        world.at(world.now_ms + 2_000)
        admit(world, credit, address(number))
    world.at(world.now_ms + 60_000)
    world.chain.reads = 0
    assert credit.tick() == 6
    world.at(world.now_ms + 10_000)
    assert credit.tick() == 6
    assert {world.credit(address(number)).terms.read_ms for number in (1, 6)} == {world.now_ms - 10_000}
    assert world.chain.reads == 12


def test_refresh__in_two_processes__share_the_reads(world, credit):
    for number in (2, 3):
        world.chain.subscribe(API, address(number), hold_wei=10)
    processes = [make(world, reads_per_10_seconds=2) for _ in range(3)]
    found = [admit(world, each, address(number)) for number, each in enumerate(processes, 1)]
    assert [refusal and refusal.code for refusal in found] == [None, None, "meter_unavailable"]
    assert world.chain.reads == 2


def test_admit__without_reads_left__is_unavailable_for_now(world, credit):
    world.chain.subscribe(API, address(2), hold_wei=10)
    narrow = make(world, reads_per_10_seconds=1)
    assert admit(world, narrow) is None
    assert admit(world, narrow, address(2)).code == "meter_unavailable"
    world.at(world.now_ms + 10_000)
    assert admit(world, narrow, address(2)) is None


# --- the chain is unreachable


def test_chain_down__goes_on_up_to_the_known_hold_for_a_time_then_503(world, credit):
    admit(world, credit)
    world.chain.readable = False
    world.at(NOON_MS + 900_000)
    credit.tick()
    assert admit(world, credit) is None
    world.serve(WHO, 1000)
    assert world.free_wei(WHO) == 0
    world.at(world.now_ms + 1)
    assert (admit(world, credit).code, admit(world, credit).status) == ("meter_unavailable", 503)


def test_chain_down__for_a_consumer_that_another_process_knows__goes_on(world, credit):
    admit(world, credit)
    world.chain.readable = False
    world.at(NOON_MS + 600_000)
    assert admit(world, make(world)) is None


def test_chain_down__for_a_new_consumer__is_unavailable(world, credit):
    world.chain.readable = False
    assert admit(world, credit).code == "meter_unavailable"


def test_chain_down__is_asked_no_more_often_than_it_is_refreshed(world, credit):
    world.chain.readable = False
    for _ in range(20):
        admit(world, credit)
    assert world.chain.reads == 1


def test_chain_up_again__serves(world, credit):
    admit(world, credit)
    world.chain.readable = False
    world.at(NOON_MS + 900_001)
    assert admit(world, credit).code == "meter_unavailable"
    world.chain.readable = True
    world.at(world.now_ms + 30_000)
    assert admit(world, credit) is None


def test_refresh__that_fails__raises_and_grants_nothing(world, credit):
    world.chain.readable = False
    with pytest.raises(Unreachable):
        run(credit.refresh(WHO, (API,)), world.call)
    assert world.free_wei(WHO) == 0


def test_thread__started_and_closed__ends(credit):
    credit.start()
    credit.start()
    credit.close()
    credit.close()
    assert chain_account("a", "0xAB") == "a/0xab"


# --- what is final


def finally_(world):
    """Of a meter that serves on final holds only, as it does by default."""
    return make(world, holds_from="finalized", refresh_ms=1_000)


def later(world, credit):
    """The chain is read again."""
    world.at(world.now_ms + 60_000)
    credit.tick()


def test_admit__subscription_that_is_not_final__is_not_served_until_it_is(world):
    world.chain.freeze()
    world.chain.subscribe(API, WHO, hold_wei=1000)
    credit = finally_(world)
    assert reason_of(admit(world, credit)) == ("insufficient_credit", "not_final")
    assert world.free_wei(WHO) == 0
    world.chain.freeze()
    later(world, credit)
    assert admit(world, credit) is None
    assert world.free_wei(WHO) == 1000


def test_admit__accepted_holds_are_enough__is_served_at_once(world):
    world.chain.freeze()
    world.chain.subscribe(API, WHO, hold_wei=1000)
    assert admit(world, make(world, holds_from="accepted")) is None


def test_admit__hold_prolonged_and_not_final__ends_as_before(world):
    world.chain.subscribe(API, WHO, hold_wei=1000, expires_at=NOON_MS // 1000 + 960)
    world.chain.freeze()
    credit = finally_(world)
    assert admit(world, credit) is None
    change(world, expires_at=NOON_MS // 1000 + 86_400)
    later(world, credit)
    assert reason_of(admit(world, credit)) == ("insufficient_credit", "not_final")


def test_admit__change_for_the_worse_that_is_not_final__counts_at_once(world):
    world.chain.subscribe(API, WHO, hold_wei=1000)
    world.chain.freeze()
    credit = finally_(world)
    assert admit(world, credit) is None
    change(world, active=False)
    later(world, credit)
    assert reason_of(admit(world, credit)) == ("not_subscribed", None)


def test_admit__unsubscribed_before_anything_is_final__is_not_subscribed(world):
    world.chain.freeze()
    world.chain.subscribe(API, WHO, hold_wei=1000)
    change(world, active=False)
    assert reason_of(admit(world, finally_(world))) == ("not_subscribed", None)


def test_refresh__hold_raised_after_settlements_that_are_not_final__grants_what_is_final(world):
    world.chain.subscribe(API, WHO, hold_wei=1000)
    world.chain.freeze()
    credit = finally_(world)
    admit(world, credit)
    for _ in range(3):
        world.serve(WHO)
    world.settle()
    change(world, hold_wei=970 + 500)
    later(world, credit)
    assert world.free_wei(WHO) == 970
    world.chain.freeze()
    later(world, credit)
    assert world.free_wei(WHO) == 1470


def test_refresh__nothing_new_on_the_chain__asks_it_once(world):
    world.chain.subscribe(API, WHO, hold_wei=1000)
    credit = finally_(world)
    admit(world, credit)
    world.serve(WHO)
    world.settle()
    before = world.chain.reads
    later(world, credit)
    assert world.chain.reads == before + 1


def test_refresh__contract_that_is_not_final__is_read_as_nothing(world, monkeypatch):
    world.chain.subscribe(API, WHO, hold_wei=1000)
    world.chain.freeze()

    def unknown(*_):
        raise ContractNotFound(world.chain.contract, "localnet")

    monkeypatch.setattr(world.chain.final, "get_usage_report", unknown)
    monkeypatch.setattr(world.chain.final, "get_usage_history", unknown)
    assert reason_of(admit(world, finally_(world))) == ("insufficient_credit", "not_final")
