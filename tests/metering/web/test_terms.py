"""Terms of metering: stated once, and refused where they are written."""

import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering import Metering
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Terms
from api_billing.metering.web import django, fastapi, flask, starlette

DECORATORS = [django.metered, fastapi.metered, flask.metered, starlette.metered]


def test_terms__of_a_decorator__are_those_of_metering() -> None:
    assert set(Terms.__annotations__) == {field.name for field in fields(Metering) if field.init} - {"meter"}


def test_terms__in_the_documents__are_all_with_their_defaults() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metering-settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)` )?\|", page.partition("\n## Terms\n")[2], re.MULTILINE)
    defaults = {
        field.name: "" if field.default is MISSING else field.default for field in fields(Metering) if field.init
    }
    del defaults["meter"]
    shown = {name: str(default) for name, default in defaults.items() if default not in (None, "", ())}
    assert {name: default for name, default in rows if default} == shown
    assert [name for name, _ in rows] == list(defaults)


@pytest.mark.parametrize("metered", [*DECORATORS, Meter.metering])
@pytest.mark.parametrize(
    ("term", "says"),
    [
        ("estimate", "which are: .*estimate_wei"),
        ("free_statuses", r"a setting of the meter: Meter\.open\(…, free_statuses"),
    ],
)
def test_metered__with_what_is_no_term__says_what_it_is(
    meter: Meter, metered: Callable[..., Any], term: str, says: str
) -> None:
    with pytest.raises(InvalidSetting, match=f"{term} is no term of metering, .*{says}"):
        metered(meter, api="demo", **{term: 1})


@pytest.mark.parametrize("metered", DECORATORS)
def test_metered__without_an_api__is_a_type_error(meter: Meter, metered: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="api"):
        metered(meter, estimate_wei=1)


def test_metered__in_django_without_a_meter_and_with_an_unknown_term__says_so_where_it_is_written() -> None:
    with pytest.raises(InvalidSetting, match="estimate is no term"):
        django.metered(api="demo", estimate=1)  # type: ignore[call-arg]
