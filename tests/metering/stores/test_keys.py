"""Keys that are put together from parts which callers choose: two that differ in any part never share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.alerts.alert import Threshold, credit_key
from api_billing.metering.ledger.kinds import Kind
from api_billing.metering.ledger.operations import Claim
from api_billing.metering.ledger.rows import KINDS
from api_billing.metering.stores.postgresql.texts import received, sent, shortened

pytest.importorskip("redis")

from api_billing.metering.stores.redis.rows import key_of, name_of

PARTS = st.text(st.sampled_from("a1%2F:/ \n|é\x00\x1bH"), max_size=5)
LONG = st.builds(lambda text, count: text * count, PARTS, st.integers(0, 300))
APIS = st.text(st.sampled_from("a%2F:/ é"), min_size=1, max_size=5)
KEYS = st.text(st.sampled_from("a%2F:/ 1"), min_size=1, max_size=5)


@given(st.tuples(APIS, KEYS), st.tuples(APIS, KEYS))
def test_claim__of_another_api_or_key__is_another(one: tuple[str, str], two: tuple[str, str]) -> None:
    assert (Claim.of_key(*one, "f") == Claim.of_key(*two, "f")) == (one == two)


@given(APIS, KEYS, PARTS)
def test_claim__of_a_receipt__is_none_of_a_key(api: str, key: str, receipt: str) -> None:
    assert Claim.of_receipt(receipt, "f") != Claim.of_key(api, key, "f")


def test_claim__of_an_api_without_a_slash__is_found_by_its_old_name() -> None:
    assert Claim.of_key("weather", "k/1%", "f") == Claim("weather/k/1%", "f")


@given(st.tuples(PARTS, st.integers(0, 99)), st.tuples(PARTS, st.integers(0, 99)))
def test_credit_key__of_another_account_or_threshold__is_another(one: tuple[str, int], two: tuple[str, int]) -> None:
    keys = [credit_key(account, Threshold(amount, "hours"), 1, "below") for account, amount in (one, two)]
    assert (keys[0] == keys[1]) == (one == two)


def parts_of(kind: Kind, texts: tuple[str, str, str]) -> tuple[object, ...]:
    return tuple(len(text) if column.type == "int" else text for column, text in zip(kind.key, texts, strict=False))


@given(st.sampled_from(KINDS), st.tuples(PARTS, PARTS, PARTS))
def test_name_in_redis__any__is_of_one_row(kind: Kind, texts: tuple[str, str, str]) -> None:
    key = parts_of(kind, texts)
    assert key_of(kind, name_of(kind, key)) == key


@given(LONG)
def test_text_in_postgresql__any__comes_back(text: str) -> None:
    assert received(sent(text)) == text
    assert "\x00" not in sent(text)


@given(LONG, LONG)
def test_name_in_postgresql__another__is_another(one: str, two: str) -> None:
    assert (shortened(sent(one)) == shortened(sent(two))) == (one == two)


@given(LONG)
def test_name_in_postgresql__that_looks_like_a_short_one__is_another(text: str) -> None:
    name = shortened(sent(text))
    assert shortened(sent(name)) != name or name == sent(text) == text
