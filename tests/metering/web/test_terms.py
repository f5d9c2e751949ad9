"""Terms of metering: stated once, and refused where they are written."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from api_billing.metering import Metering
from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Terms
from api_billing.metering.web import django, fastapi, flask, starlette

DECORATORS = [django.metered, fastapi.metered, flask.metered, starlette.metered]


def test_terms__of_a_decorator__are_those_of_metering() -> None:
    assert set(Terms.__annotations__) == {field.name for field in fields(Metering) if field.init} - {"meter"}


@pytest.mark.parametrize("metered", DECORATORS)
@pytest.mark.parametrize("terms", [{"api": "demo", "estimate": 1}, {"estimate_wei": 1}], ids=["unknown", "without api"])
def test_metered__with_terms_that_are_none__is_a_type_error(
    meter: Meter, metered: Callable[..., Any], terms: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=r"estimate|api"):
        metered(meter, **terms)


def test_metered__in_django_without_a_meter_and_with_an_unknown_term__is_a_type_error() -> None:
    with pytest.raises(TypeError, match="estimate"):
        django.metered(api="demo", estimate=1)  # type: ignore[call-arg]
