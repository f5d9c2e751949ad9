"""Alerts: at 0 and at 100 %, on a jump, after a deposit; once each, whatever processes there are."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.amounts import Currency
from api_billing.metering.alerts.alert import Alert, Candidate, Crossing, Threshold, confirmed
from api_billing.metering.alerts.budget_watch import BudgetWatch
from api_billing.metering.alerts.credit_watch import CreditWatch
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import Balance, FireOnce, Operation, Refused
from api_billing.metering.limits.plan import WindowPlan, make_plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Step
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.stores.steps import run

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
NOON = 1_700_049_600_000


class FakeStore:
    """Remembers which keys were fired, as a store does."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.asked = 0

    def __call__(self, operation: Operation[Any]) -> bool:
        assert isinstance(operation, FireOnce)
        self.asked += 1
        new = operation.key not in self.keys
        self.keys.add(operation.key)
        return new


class Meter:
    """One account and as many processes watching it as asked for, on one store."""

    def __init__(self, *thresholds: str, processes: int = 1) -> None:
        self.store = FakeStore()
        self.thresholds = tuple(Threshold.parse(text) for text in thresholds)
        self.watches = [CreditWatch(self.thresholds) for _ in range(processes)]
        self.balance = Balance()
        self.now_ms = NOON

    def grant(self, amount_wei: int, *, seen: bool = True) -> list[str]:
        granted, reserved, charged, _, epoch = self.balance
        free = granted + amount_wei - reserved - charged
        self.balance = Balance(granted + amount_wei, reserved, charged, free, epoch + 1)
        return self.told(self.watches[0].after_grant("ann", self.balance, self.now_ms)) if seen else []

    def charge(self, amount_wei: int, process: int = 0) -> list[str]:
        granted, reserved, charged, basis, epoch = self.balance
        self.balance = Balance(granted, reserved, charged + amount_wei, basis, epoch)
        return self.told(self.watches[process].after_charge("ann", self.balance, self.now_ms))

    def refuse(self, estimate_wei: int) -> list[str]:
        return self.told(self.watches[0].after_refusal("ann", self.balance, estimate_wei, self.now_ms))

    def restart(self) -> None:
        self.watches = [CreditWatch(self.thresholds) for _ in self.watches]

    def told(self, candidates: Sequence[Candidate]) -> list[str]:
        return [named(alert) for alert in run(confirmed(candidates, self.now_ms), self.store)]


def named(alert: Alert) -> str:
    return f"{alert.kind} {alert.threshold}".strip()


def test_threshold__reached_exactly__fires() -> None:
    meter = Meter("20%")
    meter.grant(100)
    assert (meter.charge(79), meter.charge(1)) == ([], ["dropped 20%"])


def test_threshold__passed_already__does_not_fire_again() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    assert meter.charge(1) == []


def test_threshold__jump_over_two__fires_each_once() -> None:
    meter = Meter("50%", "20%")
    meter.grant(100)
    assert sorted(meter.charge(95)) == ["dropped 20%", "dropped 50%"]


def test_threshold__of_100_percent__fires_with_the_first_charge_and_not_with_the_grant() -> None:
    meter = Meter("100%")
    assert (meter.grant(100), meter.charge(0), meter.charge(1)) == ([], [], ["dropped 100%"])


@pytest.mark.parametrize("zero", ["0%", "0", "0h"])
def test_threshold__of_zero__fires_as_depleted_once(zero: str) -> None:
    meter = Meter(zero)
    meter.grant(100)
    assert (meter.charge(99), meter.charge(1), meter.charge(0)) == ([], ["depleted"], [])


def test_depleted__without_any_threshold__fires() -> None:
    meter = Meter()
    meter.grant(100)
    assert meter.charge(100) == ["depleted"]


def test_threshold__in_wei__fires() -> None:
    meter = Meter("30wei")
    meter.grant(100)
    assert (meter.charge(69), meter.charge(1)) == ([], ["dropped 30 wei"])


def test_threshold__after_a_restart__does_not_fire_again() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    meter.restart()
    assert meter.charge(1) == []


def test_threshold__of_two_processes__fires_in_one() -> None:
    meter = Meter("20%", processes=2)
    meter.grant(100)
    assert (meter.charge(85), meter.charge(1, process=1)) == (["dropped 20%"], [])


def test_grant__after_a_drop__recovers_and_arms_again() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    assert (meter.grant(100), meter.charge(100)) == (["recovered 20%"], ["dropped 20%"])


def test_grant__without_a_drop__is_no_recovery() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(50)
    assert meter.grant(100) == []


def test_grant__after_a_recovery__does_not_recover_again() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    meter.grant(100)
    assert (meter.grant(100), meter.grant(100)) == ([], [])


def test_grant__that_leaves_less_than_a_threshold__is_no_recovery_and_arms_again() -> None:
    meter = Meter("50wei")
    meter.grant(100)
    meter.charge(80)
    assert (meter.grant(10), meter.charge(1)) == ([], ["dropped 50 wei"])


def test_grant__beyond_a_threshold_after_one_that_was_not__recovers() -> None:
    meter = Meter("50wei")
    meter.grant(100)
    meter.charge(80)
    meter.grant(10)
    assert meter.grant(100) == ["recovered 50 wei"]


def test_grant__by_another_way__recovers_when_the_next_request_is_charged() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    meter.grant(100, seen=False)
    assert meter.charge(1) == ["recovered 20%"]


def test_grant__by_another_way__is_one_recovery_for_all_processes() -> None:
    meter = Meter("20%", processes=3)
    meter.grant(100)
    meter.charge(85)
    meter.grant(100, seen=False)
    assert [meter.charge(1, process) for process in range(3)] == [["recovered 20%"], [], []]


def test_grant__process_that_starts_later__is_no_second_recovery() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    meter.grant(100)
    meter.restart()
    assert meter.charge(1) == []


def test_grant__negative__is_no_recovery() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.charge(85)
    assert meter.grant(-5) == []


def test_recovered__from_several__is_one_alert_that_names_them() -> None:
    meter = Meter("50%", "20%")
    meter.grant(100)
    meter.charge(100)
    assert meter.grant(100) == ["recovered 0 GEN, 20%, 50%"]


def test_reserved_credit__is_not_gone() -> None:
    meter = Meter("20%")
    meter.grant(100)
    meter.balance = meter.balance._replace(reserved_wei=100)
    assert meter.charge(0) == []


def test_answer_overtaken_by_a_grant__is_ignored() -> None:
    meter = Meter("20%")
    meter.grant(100)
    before = meter.balance._replace(charged_wei=90)
    meter.grant(1_000)
    assert meter.told(meter.watches[0].after_charge("ann", before, NOON)) == []


def test_refusal__rest_does_not_pay_for_a_request__is_depleted_once() -> None:
    meter = Meter()
    meter.grant(100)
    meter.charge(97)
    assert (meter.refuse(5), meter.refuse(5)) == (["depleted"], [])


@pytest.mark.parametrize(
    ("spent_wei", "told"), [(100, "is used up"), (97, "is too little for what it asks for: 3 wei left")]
)
def test_depleted__something_or_nothing_left__says_which(spent_wei: int, told: str) -> None:
    watch = CreditWatch()
    watch.after_charge("ann", Balance(100, 0, 0, 100, 1), NOON)
    left = Balance(100, 0, spent_wei, 100, 1)
    found = [*watch.after_charge("ann", left, NOON), *watch.after_refusal("ann", left, 5, NOON)]
    assert [each.alert.message for each in found if isinstance(each, Crossing)] == [f"credit of ann {told}"]


def test_refusal__credit_only_reserved__is_not_depleted() -> None:
    meter = Meter()
    meter.grant(100)
    meter.balance = meter.balance._replace(reserved_wei=100)
    assert meter.refuse(5) == []


@pytest.mark.parametrize("granted", [False, True])
def test_account_that_never_had_credit__refused_or_served_for_nothing__is_not_depleted(granted: bool) -> None:
    meter = Meter("20%", "5wei")
    if granted:
        meter.grant(0)
    assert (meter.refuse(5), meter.charge(0)) == ([], [])


def test_account_whose_credit_was_taken_back__refused__is_depleted() -> None:
    meter = Meter()
    meter.grant(5)
    meter.grant(-5)
    assert meter.refuse(5) == ["depleted"]


def test_account_that_had_none__granted_and_spent__is_depleted() -> None:
    meter = Meter()
    meter.refuse(5)
    meter.grant(5)
    assert meter.charge(5) == ["depleted"]


def test_watch__nothing_crossed__does_not_ask_the_store() -> None:
    meter = Meter("20%")
    meter.grant(1_000)
    for _ in range(50):
        meter.charge(1)
    assert meter.store.asked == 0


def spend_for_hours(meter: Meter, hours: int, per_minute_wei: int) -> list[str]:
    told: list[str] = []
    for _ in range(hours * 60):
        meter.now_ms += MINUTE_MS
        told += meter.charge(per_minute_wei)
    return told


def test_runway__left_for_fewer_hours_at_the_recent_rate__fires_once() -> None:
    meter = Meter("24h")
    meter.grant(30 * 60)
    assert spend_for_hours(meter, hours=7, per_minute_wei=1) == ["dropped 24 h"]


def test_runway__left_for_more_hours__does_not_fire() -> None:
    meter = Meter("24h")
    meter.grant(50 * 60)
    assert spend_for_hours(meter, hours=7, per_minute_wei=1) == []


def test_runway__one_burst_seen_for_seconds__is_no_rate() -> None:
    meter = Meter("24h")
    meter.grant(1_000)
    meter.charge(1)
    meter.now_ms += MINUTE_MS
    assert meter.charge(300) == []


def test_runway__rate_has_fallen__counts_the_last_hour_only() -> None:
    meter = Meter("24h")
    meter.grant(100_000)
    spend_for_hours(meter, hours=1, per_minute_wei=10)
    meter.now_ms += 10 * HOUR_MS
    assert spend_for_hours(meter, hours=2, per_minute_wei=1) == []


def test_runway__clock_set_back__does_not_fire() -> None:
    meter = Meter("24h")
    meter.grant(100_000)
    spend_for_hours(meter, hours=1, per_minute_wei=1)
    meter.now_ms -= 10 * HOUR_MS
    assert meter.charge(1_000) == []


@pytest.mark.parametrize("text", ["101%", "-1%", "x", "", "1.5h", "5 days", "20%%", "1"])
def test_threshold_parse__no_threshold__invalid_setting(text: str) -> None:
    with pytest.raises(InvalidSetting):
        Threshold.parse(text)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("20%", Threshold(20, "percent")),
        (" 100 % ", Threshold(100, "percent")),
        ("24h", Threshold(24, "hours")),
        ("0.5gen", Threshold(5 * 10**17, "wei")),
        ("7wei", Threshold(7, "wei")),
        ("0", Threshold(0, "wei")),
    ],
)
def test_threshold_parse__each_form__is_read(text: str, threshold: Threshold) -> None:
    assert Threshold.parse(text) == threshold


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["charge", "charge", "grant", "restart"]), st.integers(1, 60), st.integers(0, 1)),
    max_size=30,
)


@given(ACTIONS)
def test_watch__any_order_of_charges_grants_and_restarts__fires_as_a_simple_model(
    actions: list[tuple[str, int, int]],
) -> None:
    meter = Meter("50%", "20wei", processes=2)
    fired: set[str] = set()  # in this epoch
    down: set[str] = set()  # since the last recovery
    meter.grant(100)
    for action, amount, process in actions:
        if action == "restart":
            meter.restart()
        elif action == "grant":
            told = meter.grant(amount)
            left = meter.balance.free_wei
            up = {name for name in down if name != "dropped 20 wei" or left > 20}
            assert bool(told) == bool(up), (told, up)
            down -= up
            fired = set()
        else:
            told = meter.charge(min(amount, meter.balance.free_wei), process)
            left, basis = meter.balance.free_wei, meter.balance.basis_wei
            due = {"dropped 50%"} if left < basis and left <= basis * 50 // 100 else set()
            due |= {"dropped 20 wei"} if left <= 20 and (left < basis or not left) else set()
            due |= {"depleted"} if not left else set()
            assert {name for name in told if not name.startswith("recovered")} == due - fired
            fired |= due
            down |= due


def plan_with(*steps: Step, limit_wei: int = 1_000, now_ms: int = NOON, scope: Any = "consumer") -> WindowPlan:
    budget = Budget("b", "day", limit_wei, steps, scope)
    return make_plan(Profile("ann", Tier("t", None, 1), 1, budgets=(budget,)), now_ms, model="m")


class BudgetMeter:
    """Watches one budget in as many processes as asked for."""

    def __init__(self, plan: WindowPlan, processes: int = 1) -> None:
        self.plan = plan
        self.store = FakeStore()
        self.watches = [BudgetWatch() for _ in range(processes)]

    def count(self, used_wei: int, process: int = 0) -> list[str]:
        counts = ((self.plan.checks[0].counter, used_wei),)
        candidates = self.watches[process].after_charge(self.plan, counts, NOON)
        return [named(alert) for alert in run(confirmed(candidates, NOON), self.store)]


STAGED = (Step(50, "warn"), Step(80, "throttle"), Step(100, "reject"))


def test_budget__each_step__fires_once_from_its_share_on() -> None:
    meter = BudgetMeter(plan_with(*STAGED))
    assert [meter.count(used) for used in (499, 500, 501, 800, 999, 1_000, 1_001)] == [
        [],
        ["budget 50%"],
        [],
        ["budget 80%"],
        [],
        ["budget 100%"],
        [],
    ]


def test_budget__jump_over_all__fires_each_once() -> None:
    assert BudgetMeter(plan_with(*STAGED)).count(5_000) == ["budget 50%", "budget 80%", "budget 100%"]


def test_budget__count_goes_back_and_forth__does_not_fire_again() -> None:
    meter = BudgetMeter(plan_with(*STAGED))
    assert [meter.count(used) for used in (600, 400, 600)] == [["budget 50%"], [], []]


def test_budget__two_processes__fire_once() -> None:
    meter = BudgetMeter(plan_with(*STAGED), processes=2)
    assert (meter.count(600), meter.count(610, process=1)) == (["budget 50%"], [])


def test_budget__next_window__fires_again() -> None:
    meter = BudgetMeter(plan_with(*STAGED))
    meter.count(600)
    meter.plan = plan_with(*STAGED, now_ms=NOON + 24 * HOUR_MS)
    assert (meter.count(100), meter.count(600)) == ([], ["budget 50%"])


def test_budget__between_steps__does_not_ask_the_store() -> None:
    meter = BudgetMeter(plan_with(*STAGED))
    meter.count(0)
    for used in range(1, 400):
        meter.count(used)
    assert meter.store.asked == 0


def test_budget__step_at_zero__fires_with_the_first_count() -> None:
    assert BudgetMeter(plan_with(Step(0, "warn"))).count(0) == ["budget 0%"]


@pytest.mark.parametrize(("scope", "used", "found"), [("model", 0, 0), ("model", 1, 1), ("consumer", 0, 1)])
def test_budget__of_each_model__fires_for_none_that_was_only_asked_for(scope: str, used: int, found: int) -> None:
    meter = BudgetMeter(plan_with(Step(100, "reject"), scope=scope))
    refused = Refused("budget_exceeded", (0,), (used,), Balance())
    assert len(meter.watches[0].after_refusal(meter.plan, refused, 1_001, NOON)) == found


def test_budget__refuses_before_its_share_is_used_up__fires_once() -> None:
    meter = BudgetMeter(plan_with(Step(100, "reject")))
    refused = Refused("budget_exceeded", (0,), (995,), Balance())
    candidates = [meter.watches[0].after_refusal(meter.plan, refused, 10, NOON) for _ in range(2)]
    assert [len(found) for found in candidates] == [1, 0]


def test_budget__refused_and_reached_later__is_one_alert() -> None:
    meter = BudgetMeter(plan_with(Step(100, "reject")))
    refused = Refused("budget_exceeded", (0,), (995,), Balance())
    run(confirmed(meter.watches[0].after_refusal(meter.plan, refused, 10, NOON), NOON), meter.store)
    assert meter.count(1_000) == []


def test_budget__none_in_the_plan__has_no_candidates() -> None:
    plan = make_plan(Profile("ann", Tier("t", 5, 1), 1), NOON)
    assert BudgetWatch().after_charge(plan, ((plan.checks[0].counter, 5),), NOON) == ()


def test_alert__of_a_meter_in_another_currency__says_amounts_in_it() -> None:
    usd, store = Currency("USD"), FakeStore()
    watch = CreditWatch([Threshold.parse("5 usd", usd)], currency=usd)
    told: list[Alert] = []
    for balance in (Balance(10 * 10**9, 0, 6 * 10**9, 10 * 10**9, 1), Balance(20 * 10**9, 0, 6 * 10**9, 14 * 10**9, 2)):
        told += run(confirmed(watch.after_charge("ann", balance, NOON), NOON), store)
    plan = plan_with(Step(50, "warn"), limit_wei=2 * 10**9)
    budgets = BudgetWatch(currency=usd).after_charge(plan, ((plan.checks[0].counter, 1_500_000_000),), NOON)
    told += run(confirmed(budgets, NOON), store)
    assert [alert.message for alert in told] == [
        "credit of ann has dropped to 4 USD, not more than 5 USD",
        "credit of ann has recovered from 5 USD to 14 USD",
        "budget b of ann has 0.5 USD of 2 USD left, past 50%: it goes on",
    ]


def test_alert__budget_that_an_estimate_would_exceed__says_that_it_is_the_estimate() -> None:
    plan = plan_with(Step(100, "reject"), limit_wei=70)
    refused = Refused("budget_exceeded", (0,), (45,), Balance())
    found = BudgetWatch().after_refusal(plan, refused, 41, NOON)
    assert [alert.message for alert in run(confirmed(found, NOON), FakeStore())] == [
        "budget b of ann has 25 wei of 70 wei left, and the estimate of a request goes past 100%: it rejects requests"
    ]
