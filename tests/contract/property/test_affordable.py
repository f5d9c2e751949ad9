"""How many calls of a settlement can be paid, and what they cost."""

from hypothesis import given
from hypothesis import strategies as st

from ..invariant.profiles import property_settings
from .pure_functions import contract

SMALL = {"calls": st.integers(1, 50), "spend": st.integers(0, 250), "limit": st.integers(-10, 300)}
LARGE = {
    "calls": st.integers(1, contract.MAX_CALLS),
    "spend": st.integers(0, contract.MAX_WEI),
    "limit": st.integers(-contract.MAX_WEI, 2 * contract.MAX_WEI),
}


@property_settings()
@given(**SMALL)
def test_affordable__small_numbers__is_what_counting_gives(calls: int, spend: int, limit: int) -> None:
    fitting = [count for count in range(calls + 1) if spend * count // calls <= limit]
    assert min(contract._affordable(calls, spend, limit), calls) == max(fitting, default=0)


@property_settings()
@given(**LARGE)
def test_affordable__numbers_of_any_size__fit_and_one_more_does_not(calls: int, spend: int, limit: int) -> None:
    count = contract._affordable(calls, spend, limit)
    assert 0 <= count <= calls
    assert count == 0 or spend * count // calls <= limit
    assert count == calls or spend * (count + 1) // calls > limit


@property_settings()
@given(**LARGE, price=st.integers(0, contract.MAX_WEI))
def test_affordable__partial_settlement__charges_neither_more_nor_a_wei_less_than_its_share(
    calls: int, spend: int, limit: int, price: int
) -> None:
    spend = min(spend, price * calls)
    count = contract._affordable(calls, spend, limit)
    charged = spend * count // calls
    assert charged <= min(spend, price * count)
    assert 0 <= spend * count - charged * calls < calls


@property_settings()
@given(calls=st.integers(1, 40), spend=st.integers(0, 400), limits=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_affordable__rest_settled_again_and_again__never_adds_up_to_more_than_was_spent(
    calls: int, spend: int, limits: list[int]
) -> None:
    total, left_calls, left_spend = 0, calls, spend
    for limit in limits:
        if left_calls == 0:
            break
        count = contract._affordable(left_calls, left_spend, limit)
        charged = left_spend * count // left_calls
        total, left_calls, left_spend = total + charged, left_calls - count, left_spend - charged
    assert total + left_spend == spend
    assert total <= sum(limits)
    assert left_calls or left_spend == 0
