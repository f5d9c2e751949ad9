"""The steps of metered requests as they are seen from outside: in spans, and in log records. Off, nothing is seen.

A request has two steps: ``reserve``, and ``settle`` (which may release instead). What becomes of a step is taken from
what its ``Metrics`` are told within it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, Protocol

from api_billing.metering.observing.metrics import Metrics

_log = logging.getLogger("api_billing.metering.requests")


class Step:
    """A step of a request, while it is taken and at its end. Not thread-safe, as its request.

    ``outcome`` is ``reserved``, ``refused``, ``replayed``, ``answered`` (otherwise than by the application), and
    ``unmetered`` of the first step; ``settled``, ``redeemed``, ``released``, and ``unsettled`` (the store has not taken
    it yet) of the second one; over HTTP also ``repeated`` and ``failed``. ``parent`` is where its span belongs when
    nothing else says so, ``carrier`` are header fields that may.
    """

    __slots__ = (
        "api", "carrier", "charged_wei", "code", "consumer", "duration_ms", "method", "name", "outcome", "parent",
        "record_id", "request_id", "route", "status",
    )  # fmt: skip

    def __init__(
        self, name: Literal["reserve", "settle"], api: str = "", method: str = "", route: str = "", request_id: str = ""
    ) -> None:
        self.name = name
        self.api = api
        self.method = method
        self.route = route
        self.request_id = request_id
        self.record_id = ""  # in the audit log
        self.consumer = ""
        self.outcome = ""
        self.code = ""
        self.status = 0  # of the answer; 0: not known, or none
        self.charged_wei: int | None = None
        self.duration_ms: int | None = None
        self.parent: Any = None
        self.carrier: Mapping[str, str] | None = None

    def members(self) -> dict[str, str | int]:
        """What is known of it. Amounts are texts: they may be larger than numbers of JSON are."""
        known = {name: getattr(self, name) for name in _TEXTS}
        cost = None if self.charged_wei is None else str(self.charged_wei)
        numbers = {"status": self.status or None, "charged_wei": cost, "duration_ms": self.duration_ms}
        return {name: value for name, value in {**known, **numbers}.items() if value not in ("", None)}


_TEXTS: Final = ("request_id", "api", "consumer", "method", "route", "outcome", "code", "record_id")

current_step: Final[ContextVar[Step | None]] = ContextVar("api_billing_step", default=None)


class Watcher(Protocol):
    """Somebody who looks at steps."""

    def watched(self, step: Step) -> Any:
        """A context manager around the step."""


class Watch:
    """Has watchers look at steps. ``current_step`` is the one that is being taken in this thread or task."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def steps[AnswerT](
        self, step: Step, flow: Generator[Any, Any, AnswerT], ended: Callable[[Step, AnswerT | None], None]
    ) -> Generator[Any, Any, AnswerT]:
        """The flow of a step, watched. ``ended`` completes what is known of the step; None: it failed, or was left."""
        with self.watched(step, lambda: ended(step, answer)):
            answer: AnswerT | None = None
            answer = yield from flow
        return answer

    @contextmanager
    def watched(self, step: Step, ended: Callable[[], None]) -> Iterator[None]:
        """A step is taken in this block; at its end ``ended`` is called before watchers look at it."""
        before = current_step.get()
        current_step.set(step)
        try:
            with ExitStack() as stack:
                for watcher in self._watchers:
                    stack.enter_context(watcher.watched(step))
                try:
                    yield
                finally:
                    ended()
        finally:
            current_step.set(before)  # and no token: a flow may be closed in another context


class LoggedRequests:
    """Logs each request: when it is refused or answered, and when it is settled or released."""

    @contextmanager
    def watched(self, step: Step) -> Iterator[None]:
        """Around the step."""
        try:
            yield
        finally:
            if step.outcome != "reserved":
                what = (step.method or step.name, step.route or step.api, step.outcome)
                _log.info("%s %s: %s", *what, extra=step.members())


class StepMetrics(Metrics):
    """Tells the step that is being taken what has become of it."""

    def settled(self, api: str, charged_wei: int, duration_ms: int, uncollected_wei: int = 0) -> None:
        self._ended("settled", api, charged_wei=charged_wei, duration_ms=duration_ms)

    def redeemed(self, api: str, duration_ms: int) -> None:
        self._ended("redeemed", api, duration_ms=duration_ms)

    def released(self, api: str) -> None:
        self._ended("released", api, charged_wei=0)

    def refused(self, api: str, code: str) -> None:
        self._ended("refused", api, code=code)

    def replayed(self, api: str) -> None:
        self._ended("replayed", api, charged_wei=0)

    def unmetered(self, api: str) -> None:
        self._ended("unmetered", api)

    def _ended(self, outcome: str, api: str, **known: Any) -> None:
        step = current_step.get()
        if step is not None:
            step.outcome, step.api = outcome, api
            for name, value in known.items():
                setattr(step, name, value)


class Several(Metrics):
    """Several implementations, each of which is told everything."""

    def __init__(self, *each: Metrics) -> None:
        for name in [name for name in vars(Metrics) if not name.startswith("_")]:
            setattr(self, name, _all([getattr(one, name) for one in each if type(one) is not Metrics]))


def _all(functions: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*given: Any, **named: Any) -> None:
        for function in functions:
            function(*given, **named)

    return tell
