"""Whether a meter does what it should, and what is wrong."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple

from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.stores.steps import Steps

_SECONDS_BETWEEN_LOOKS: Final = 1.0


class Wrong(NamedTuple):
    """Something that is not as it should be: in which part, what, and whether requests cannot be served meanwhile."""

    part: str  # store, keeper, settlements, chain
    detail: str
    stops: bool


class Health(NamedTuple):
    """All that is wrong; ``ok`` as long as requests can be served all the same, as the settings want it."""

    wrong: tuple[Wrong, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether requests should be sent here."""
        return not any(each.stops for each in self.wrong)


def readiness(health: Health, *, is_told: bool) -> Answer:
    """The answer to whoever asks whether requests should be sent here; only operators are told what is wrong."""
    told = {"wrong": [each._asdict() for each in health.wrong]} if is_told else {}
    if not health.ok:
        return Refusal("meter_unavailable", "Requests cannot be served here at the moment.", extra=told).answer()
    body = json.dumps({"status": "ok", **told}, separators=(",", ":")).encode()
    fields = [("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store")]
    return Answer(200, tuple(fields), body)


class Checked(ABC):
    """Something whose health can be looked at."""

    @abstractmethod
    def health(self) -> Steps[Health]:
        """Look now."""


class WithStore(Checked):
    """Somebody who can do nothing while the store is away, also with ``fail_open``."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked

    def health(self) -> Steps[Health]:
        found = yield from self._checked.health()
        return Health(tuple([each._replace(stops=each.stops or each.part == "store") for each in found.wrong]))


class Looks:
    """Looks at most once a second, however often it is asked: a look writes to the store, and anybody may ask."""

    def __init__(self, checked: Checked, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._checked = checked
        self._monotonic = monotonic
        self._until = 0.0
        self._last: Health | None = None

    def look(self) -> Steps[Health]:
        """How it is, or was a moment ago."""
        now = self._monotonic()
        if self._last is None or now >= self._until:
            self._until = now + _SECONDS_BETWEEN_LOOKS  # whoever asks while this takes long gets the last one
            self._last = yield from self._checked.health()
        return self._last
