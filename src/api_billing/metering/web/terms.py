"""Terms of metering as frameworks configure them: a mapping of arguments of ``Metering`` and settings of a meter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Metering, Terms

_TERMS: Final = frozenset(Terms.__annotations__)


def metering_from(settings: Mapping[str, Any], meter: Meter | None = None) -> Metering:
    """Terms out of a mapping; with ``meter``, settings for opening one are passed over.

    Raises: InvalidSetting without an ``api``, and as ``meter_from``.
    """
    if not settings.get("api"):
        raise InvalidSetting("api is missing: the name of the API whose requests are metered")
    terms = {name: value for name, value in settings.items() if name in _TERMS}
    return Metering(meter or meter_from(settings), **terms)


def meter_from(configured: Mapping[str, Any]) -> Meter:
    """The ``meter`` of a mapping, or one that is opened with what there is besides terms (``store_url`` …).

    Raises: InvalidSetting for a name that is unknown, StoreUnavailable.
    """
    meter = configured.get("meter")
    settings = {name: value for name, value in configured.items() if name not in _TERMS and name != "meter"}
    if meter is None:
        return Meter.open(**settings)
    if not isinstance(meter, Meter):
        raise InvalidSetting(f"meter is a Meter, not {type(meter).__name__}")
    if settings:
        raise InvalidSetting(f"the meter is open already, so these cannot be set: {', '.join(sorted(settings))}")
    return meter
