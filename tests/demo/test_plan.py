"""From the shape of a log to the terms it is billed under."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.demand import demand_of
from demo.log_line import Request
from demo.plan import plan
from demo.terms import ApiTerms, OperatorTerms, Terms, account_of

NOON = 1_769_860_800


def calls(client: str, api: str, number: int, size: int = 100, at: int = NOON) -> list[Request]:
    return [Request(1, at, client, api, size) for _ in range(number)]


def terms_of(*entries: list[Request]) -> Terms:
    return plan(demand_of([entry for some in entries for entry in some]))


def test_plan__apis__have_prices_that_differ_and_operators_in_turn() -> None:
    terms = terms_of(*(calls("::1", f"api{number}", 9 - number) for number in range(5)))
    assert len({api.price_wei for api in terms.apis.values()}) == 5
    assert [api.operator.name for api in terms.apis.values()] == [f"operator {n}" for n in (1, 2, 3, 1, 2)]


def test_plan__busiest_apis__are_metered_until_a_third_of_the_calls() -> None:
    terms = terms_of(calls("::1", "a", 4), calls("::1", "b", 3), calls("::1", "c", 3), calls("::1", "d", 3))
    assert {name for name, api in terms.apis.items() if api.is_metered} == {"a", "b"}


def test_plan__only_api__is_not_metered() -> None:
    assert not terms_of(calls("::1", "a", 9)).apis["a"].is_metered


def test_plan__holds__are_for_metered_apis_only() -> None:
    (consumer,) = terms_of(calls("::1", "a", 9), calls("::1", "b", 2)).consumers.values()
    assert [subscription.hold_wei > 0 for subscription in consumer.subscriptions] == [True, False]


def test_plan__few_calls__run_into_nothing() -> None:
    (consumer,) = terms_of(calls("::1", "a", 3)).consumers.values()
    assert consumer.deposit_wei >= 3 * 2 * 10**15
    assert consumer.subscriptions[0].max_daily_spend_wei >= 3 * 2 * 10**15


def test_plan__limits__are_ample_for_all_but_the_busiest() -> None:
    terms = terms_of(calls("::1", "a", 40), calls("::2", "a", 30), calls("::3", "b", 20))
    assert {name: api.daily_limit_calls for name, api in terms.apis.items()} == {"a": 30, "b": 50}


def test_plan__crowd_that_is_all_alike__is_not_stopped_by_a_limit() -> None:
    terms = terms_of(*(calls(f"10.0.0.{number}", "a", 8) for number in range(50)))
    assert terms.apis["a"].daily_limit_calls == 50


def test_plan__larger_logs__have_more_clients_in_trouble() -> None:
    crowd = [calls(f"10.0.{number}.1", "a", 8) + calls(f"10.0.{number}.1", "b", 9) for number in range(250)]
    consumers = terms_of(*crowd).consumers.values()
    assert sum(consumer.top_up_wei > 0 for consumer in consumers) == 3


entries_strategy = st.lists(
    st.builds(
        lambda at, client, api, size: Request(1, at, client, api, size),
        st.integers(NOON, NOON + 300_000),
        st.sampled_from(["::1", "192.0.2.1", "192.0.2.2", "host"]),
        st.sampled_from(["root", "a", "b", "c"]),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=80,
)


@given(entries_strategy)
def test_plan__any_log__gives_terms_the_contract_accepts(entries: list[Request]) -> None:
    terms = plan(demand_of(entries))
    assert set(terms.apis) == {entry.api for entry in entries}
    assert set(terms.consumers) == {entry.client for entry in entries}
    assert all(api.price_wei > 0 and api.daily_limit_calls > 0 for api in terms.apis.values())
    for consumer in terms.consumers.values():
        assert all(subscription.max_daily_spend_wei > 0 for subscription in consumer.subscriptions)
        assert consumer.deposit_wei >= max(sum(each.hold_wei for each in consumer.subscriptions), 1)


@given(entries_strategy)
def test_plan__order_of_the_entries__does_not_matter(entries: list[Request]) -> None:
    assert plan(demand_of(entries)) == plan(demand_of(entries[::-1]))


@pytest.mark.parametrize(
    ("size", "part"),
    [(0, Fraction(1, 4)), (1, Fraction(1, 2)), (1_024, Fraction(1, 2)), (1_025, Fraction(3, 4)), (10**9, 1)],
)
def test_cost__metered_api__is_what_was_served(size: int, part: Fraction) -> None:
    api = ApiTerms("a", OperatorTerms("o", "0x", "0x"), 4 * 10**15, 50, is_metered=True)
    assert api.cost_wei(size) == part * api.price_wei


def test_cost__api_billed_call_by_call__is_the_price() -> None:
    assert ApiTerms("a", OperatorTerms("o", "0x", "0x"), 7, 50, is_metered=False).cost_wei(9) == 7


def test_account__roles_and_names__have_addresses_of_their_own() -> None:
    accounts = {account_of(role, name) for role in ("consumer", "meter") for name in ("1", "2", "\udce9")}
    assert len(accounts) == 6
