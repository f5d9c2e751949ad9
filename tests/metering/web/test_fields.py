"""Header fields of ours beside the application's own."""

import pytest

from api_billing.metering.web.fields import joined, merged, one_each

OURS = [("cache-control", "private"), ("access-control-expose-headers", "PAYMENT-RESPONSE"), ("x-cost-wei", "1")]
EXPOSED = "access-control-expose-headers"


def test_fields__of_which_none_is_shared__are_added() -> None:
    assert merged([("X-Own", "a")], OURS[2:]) == [("X-Own", "a"), ("x-cost-wei", "1")]


def test_fields__that_the_application_has_too__become_one_in_any_case_of_their_name() -> None:
    own = [("Cache-Control", "max-age=60"), ("X-Own", "a"), ("cache-control", "public")]
    assert merged(own, OURS[:1]) == [("X-Own", "a"), ("cache-control", "private, max-age=60")]


def test_fields__that_the_application_has_not__stay_as_they_are() -> None:
    assert merged([("X-Own", "a")], OURS) == [("X-Own", "a"), *OURS]


@pytest.mark.parametrize(
    ("own", "both"),
    [
        ("", "private"),
        ("public, max-age=60, s-maxage=600", "private, max-age=60"),
        ("no-store", "no-store"),
        ("Private, max-age=5", "Private, max-age=5"),
    ],
)
def test_cache_control__of_the_application__is_never_for_others(own: str, both: str) -> None:
    assert joined("cache-control", own, "private") == both


@pytest.mark.parametrize(
    ("own", "both"), [("X-Own", "X-Own, A, B"), ("a , X-Own", "a, X-Own, B"), ("", "A, B"), ("B, A", "B, A")]
)
def test_exposed_fields__of_the_application__stay_exposed_beside_ours(own: str, both: str) -> None:
    assert joined(EXPOSED, own, "A, B") == both


def test_fields__where_a_name_holds_one__are_joined_in_their_order() -> None:
    assert one_each([("www-authenticate", "Bearer"), ("a", "1"), ("www-authenticate", "Payment id=1")]) == {
        "www-authenticate": "Bearer, Payment id=1",
        "a": "1",
    }
