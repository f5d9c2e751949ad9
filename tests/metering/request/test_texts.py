"""Texts that come from outside, and names that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering import Meter, api_key, from_header, from_json_field, from_query
from api_billing.metering.errors import IdConflict, InvalidSetting, UnknownConsumer
from api_billing.metering.request.tags import tags_text
from api_billing.metering.texts import storable

TEXTS = st.text(st.characters() | st.characters(categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.tuples(inner),
)


@given(TEXTS, st.integers(0, 20))
def test_storable__any_text__can_be_encoded_and_is_bounded(text: str, most: int) -> None:
    assert len(storable(text, most).encode().decode()) <= most


@given(st.text(), st.integers(0, 20))
def test_storable__text_that_can_be_encoded__stays_as_it_is(text: str, most: int) -> None:
    assert storable(text, most) == text[:most]


def test_storable__halves_that_belong_together__are_one_character() -> None:
    assert storable("\ud83d\ude00", 9) == "😀"


@given(st.dictionaries(TEXTS, VALUES))
def test_tags__any__are_a_json_object_that_can_be_encoded(tags: dict[str, Any]) -> None:
    text = tags_text(tags)
    assert isinstance(json.loads(text.encode() or b"{}"), dict)
    assert len(text) <= 2_000


@pytest.fixture
def meter(tmp_path: Path) -> Any:
    with Meter.open(f"sqlite:///{tmp_path}/meter.db") as meter:
        meter.add_consumer("acme")
        yield meter


@pytest.mark.parametrize("name", ["\ud800", "", " a", "a" * 201, "a\nb", "\u202e", b"acme", None])
def test_consumer__name_that_is_none__is_refused_wherever_it_is_given(meter: Meter, name: Any) -> None:
    for use in (
        meter.add_consumer,
        meter.create_key,
        meter.change_consumer,
        meter.balance,
        lambda name: meter.grant(name, 1, grant_id="g"),
    ):
        with pytest.raises(InvalidSetting):
            use(name)


@pytest.mark.parametrize("grant_id", ["\ud800", "", "a\nb", "a" * 256, 7])
def test_grant__id_that_is_none__is_refused(meter: Meter, grant_id: Any) -> None:
    with pytest.raises(InvalidSetting):
        meter.grant("acme", 1, grant_id=grant_id)


def test_grant__note_of_any_characters__is_kept(meter: Meter) -> None:
    assert meter.grant("acme", 1, grant_id="g", note="\ud800" * 600).granted_wei == 1


def test_grant__consumer_that_does_not_exist__is_refused(meter: Meter) -> None:
    with pytest.raises(UnknownConsumer):
        meter.grant("typo", 1, grant_id="g")
    assert meter.balance("typo").granted_wei == 0


def test_grant__address_in_capitals__is_the_same_consumer(meter: Meter) -> None:
    address = "0x" + "AB" * 20
    meter.add_consumer(address)
    meter.grant(address, 5, grant_id="g")
    assert meter.balance(address.lower()).granted_wei == 5


def test_grant__id_of_another_grant__is_a_conflict(meter: Meter) -> None:
    meter.grant("acme", 1, grant_id="g")
    with pytest.raises(IdConflict):
        meter.grant("acme", 2, grant_id="g")


@pytest.mark.parametrize("label", ["\ud800", 5, None, b"label"])
def test_key__label_that_is_none__is_refused(meter: Meter, label: Any) -> None:
    with pytest.raises(InvalidSetting):
        meter.create_key("acme", label=label)


@pytest.mark.parametrize("note", [5, None, b"note"])
def test_grant__note_that_is_no_text__is_refused(meter: Meter, note: Any) -> None:
    with pytest.raises(InvalidSetting):
        meter.grant("acme", 1, grant_id="g", note=note)


@pytest.mark.parametrize("factory", [from_header, from_query, from_json_field, api_key])
def test_identify__extractor_without_its_argument__is_refused(meter: Meter, factory: Any) -> None:
    with pytest.raises(InvalidSetting):
        meter.metering("weather", identify=factory)


@pytest.mark.parametrize("api", ["\ud800", "", "a" * 65, "a\nb"])
def test_api__name_that_is_none__is_refused(meter: Meter, api: str) -> None:
    with pytest.raises(InvalidSetting):
        meter.metering(api)
