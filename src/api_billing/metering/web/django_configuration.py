"""The meter and the terms that Django's settings name: ``API_BILLING = {…}``."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Metering, Terms, check_terms
from api_billing.metering.web.terms import meter_from, metering_from

_lock = threading.Lock()
_meters: list[tuple[Mapping[str, Any], Meter]] = []  # at most one: of the settings in force


def configured_meter() -> Meter:
    """The meter of ``API_BILLING``: opened with the first request for it, and the same for the whole process.

    Raises: InvalidSetting, StoreUnavailable.
    """
    configured: Mapping[str, Any] = getattr(settings, "API_BILLING", {})
    with _lock:
        if not _meters or _meters[0][0] is not configured:
            meter = configured.get("meter")
            _meters[:] = [(configured, import_string(meter) if isinstance(meter, str) else meter_from(configured))]
        return _meters[0][1]


def configured_metering() -> Metering:
    """The terms of ``API_BILLING`` for all views. Raises: InvalidSetting."""
    terms = {name: value for name, value in getattr(settings, "API_BILLING", {}).items() if name != "meter"}
    return metering_from(terms, configured_meter())


class LazyMetering:
    """Terms of one view. Views are imported before settings have to be complete, so a meter may come later."""

    def __init__(self, meter: Meter | None, terms: Terms) -> None:
        inspect.signature(Meter.metering).bind(meter, **terms)  # without an API: a TypeError where it is written
        check_terms(terms, Terms, "metering")
        self._terms = terms
        self._metering = meter.metering(**terms) if meter is not None else None

    @property
    def metering(self) -> Metering:
        """The terms. Raises: InvalidSetting, StoreUnavailable, when they come from settings that cannot be."""
        if self._metering is None:
            self._metering = configured_meter().metering(**self._terms)
        return self._metering
