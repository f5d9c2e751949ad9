"""Names, addresses and numbers as they may arrive, against a second reading of the rules."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from genlayer_localnet import Address

from ..invariant import arguments
from ..invariant.profiles import property_settings
from .pure_functions import UserError, contract

ALPHABET = "abzAZ019._- \n\t:é\u3000K"
NAMES = st.one_of(
    st.text(), st.text(ALPHABET, max_size=70), st.from_regex(r"[a-z0-9][a-z0-9._-]{0,70}", fullmatch=True)
)
HEX_TEXTS = st.from_regex(r"(0x|0X)?[0-9a-fA-F]{38,42}", fullmatch=True)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.none()),
)
NUMBERS = st.one_of(st.integers(-5, 5), st.integers(2**128 - 2, 2**128 + 2), st.integers(), ANYTHING)


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What comes of a call: its value, or the code of its refusal."""
    try:
        return function(*args, **kwargs)
    except (UserError, arguments.Refused) as refusal:
        return f"refused: {refusal.code}"


@property_settings()
@given(st.one_of(NAMES, ANYTHING))
@example("K")  # the Kelvin sign is a k in lower case
@example("İ")
@example("a\n")
@example("0" * 65)
@example(10**64)
def test_name__anything__is_read_as_the_rules_say(value: Any) -> None:
    assert outcome(contract._name, value) == outcome(arguments.api_name, value)


@property_settings()
@given(st.one_of(NAMES, ANYTHING))
def test_plan_name__anything__is_read_as_the_rules_say(value: Any) -> None:
    assert outcome(contract._name, value, "plan_name") == outcome(arguments.name, value)


@property_settings()
@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True), st.sampled_from(("", " ", "\n", "\t ")))
def test_name__capitals_and_space_around_it__is_the_same_name(name: str, space: str) -> None:
    assert contract._name(f"{space}{name.upper()}{space}") == name


@property_settings()
@given(NAMES)
def test_name__what_was_accepted__is_accepted_unchanged(value: str) -> None:
    name = outcome(contract._name, value)
    if not name.startswith("refused: "):
        assert contract._name(name) == name


@property_settings()
@given(st.one_of(HEX_TEXTS, st.binary(min_size=19, max_size=21), ANYTHING))
@example("0x" + "0" * 40)
@example(bytes(20))
@example("0x" + "1" * 40 + "\n")
@example("0x" + "\u0661" * 40)
@example("EREREREREREREREREREREREREREREREREREREREREREQ")
def test_address__anything__is_read_as_the_rules_say(value: Any) -> None:
    found = outcome(contract._address, value)
    assert (contract._hex(found) if isinstance(found, Address) else found) == outcome(arguments.address, value)


@property_settings()
@given(st.binary(min_size=20, max_size=20).filter(any))
def test_address__each_of_its_forms__is_the_same_address(raw: bytes) -> None:
    address = Address(raw)
    forms = (raw, address, address.as_hex, address.as_hex.lower(), "0x" + raw.hex().upper())
    assert {contract._address(form) for form in forms} == {address}


@property_settings()
@given(NUMBERS)
def test_int__anything__is_read_as_the_rules_say(value: Any) -> None:
    assert outcome(contract._int, value, "amount", "amount_not_positive", 1) == outcome(
        arguments.number, value, low=1, too_low="amount_not_positive"
    )


@property_settings()
@given(st.one_of(st.text(max_size=70), ANYTHING))
def test_request_id__anything__is_read_as_the_rules_say(value: Any) -> None:
    assert outcome(contract._request_id, value) == outcome(arguments.request_id, value)
