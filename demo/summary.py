"""The figures of a run: what the report shows and what ``JSON=file`` writes.

`Tally` counts while the log is billed; `RunSummary` is the result. Amounts are wei, days and times UTC.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

_DAY_SECONDS: Final = 86_400
_NONE_REFUSED: Final[Mapping[str, int]] = MappingProxyType({})


class SummaryNotWrittenError(Exception):
    """The file for the figures cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests of the log, how many of them were billed, and for how much."""

    requests: int = 0
    billed_calls: int = 0
    spend_wei: int = 0

    @property
    def refused_calls(self) -> int:
        """The requests that were not billed."""
        return self.requests - self.billed_calls

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests,
            self.billed_calls + other.billed_calls,
            self.spend_wei + other.spend_wei,
        )


@dataclass(frozen=True, slots=True)
class Solvency:
    """What the contract holds and what it owes: free credit, holds and earnings not yet withdrawn."""

    balance_wei: int
    credit_wei: int
    held_wei: int
    earnings_wei: int

    @property
    def owed_wei(self) -> int:
        """The sum of what is owed."""
        return self.credit_wei + self.held_wei + self.earnings_wei

    @property
    def surplus_wei(self) -> int:
        """What the contract holds beyond what it owes; negative would be a hole."""
        return self.balance_wei - self.owed_wei


@dataclass(frozen=True, slots=True)
class ConsumerStanding:
    """A client's account at the end: all that was paid in, what was taken out again, and what is left."""

    account: str
    deposited_wei: int
    credit_wei: int
    held_wei: int = 0
    withdrawn_wei: int = 0


@dataclass(frozen=True, slots=True)
class ApiStanding:
    """An API's terms, and the most calls that one consumer was billed on one day (a limit of 0 is no limit).

    A call of a metered API costs what was served, ``cost_per_call_wei`` at most.
    """

    operator: str
    cost_per_call_wei: int
    daily_limit_calls: int
    peak_day_calls: int
    is_metered: bool = False


@dataclass(frozen=True, slots=True)
class OperatorStanding:
    """What an operator earned with the log and the consumer contract, in how many settlements, and what it withdrew."""

    name: str
    account: str
    apis: int
    earned_wei: int
    withdrawn_wei: int = 0
    settlements: int = 0
    settled_calls: int = 0


@dataclass(frozen=True, slots=True)
class LowCreditNotice:
    """The contract told a consumer how little is left, at unix seconds; ``topped_up_wei`` is what it then paid in."""

    client: str
    at: int
    credit_wei: int
    topped_up_wei: int = 0


@dataclass(frozen=True, slots=True)
class ContractRequest:
    """One call that the consumer contract asked for.

    ``code`` is empty when it was billed. ``http_requests`` counts what the leader and the validators sent to the API;
    ``result`` is what they agreed on.
    """

    request_id: str
    code: str = ""
    receipt_id: str = ""
    cost_wei: int = 0
    http_requests: int = 0
    result: str = ""


@dataclass(frozen=True, slots=True)
class ContractStory:
    """What the consumer contract did: whom it asked for which page, with which credit, and how each request ended."""

    account: str
    api: str
    url: str
    deposited_wei: int
    credit_wei: int
    requests: Sequence[ContractRequest]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The result of billing one log.

    ``lines`` is without blank ones: bad lines and requests together. ``per_api``, ``per_consumer`` and ``per_day``
    (``YYYY-MM-DD``) each split all requests of the log, and nothing but these: what the consumer contract paid is in
    ``contract_story``, and in the standing of its operator and the solvency. ``bad_lines`` holds number and reason of
    the first ones, ``bad_line_count`` counts all. ``log_name`` and ``environment`` are for the headline only,
    ``checked`` says what the figures were compared with. ``settles_ample`` is as for `LogBiller`.
    """

    log_name: str
    lines: int
    bad_line_count: int
    bad_lines: Sequence[tuple[int, str]]
    first_at: int
    last_at: int
    total: Usage
    refused: Mapping[str, int]
    per_api: Mapping[str, Usage]
    per_consumer: Mapping[str, Usage]
    per_day: Mapping[str, Usage]
    solvency: Solvency
    consumers: Mapping[str, ConsumerStanding] = field(default_factory=dict)
    apis: Mapping[str, ApiStanding] = field(default_factory=dict)
    operators: Sequence[OperatorStanding] = ()
    low_credit: Sequence[LowCreditNotice] = ()
    contract_story: ContractStory | None = None
    late_entries: int = 0
    settles_ample: bool = False
    environment: str = ""
    checked: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the figures for machines; keys of the mappings are sorted, amounts are integers."""
        return {
            "lines": self.lines,
            "bad_lines": self.bad_line_count,
            "bad_line_numbers": [line_no for line_no, _ in self.bad_lines],
            "requests": self.total.requests,
            "billed_calls": self.total.billed_calls,
            "spend_wei": self.total.spend_wei,
            "refused": dict(sorted(self.refused.items())),
            "per_api": _usages_to_json(self.per_api),
            "per_consumer": _usages_to_json(self.per_consumer),
            "per_day": _usages_to_json(self.per_day),
            "solvency": asdict(self.solvency),
        }

    def contradictions(self) -> list[str]:
        """Return what does not add up within the figures, in words; empty when everything does."""
        found = []
        if self.lines != self.total.requests + self.bad_line_count:
            found.append(
                f"{self.lines} lines are not {self.total.requests} requests and {self.bad_line_count} bad lines"
            )
        if sum(self.refused.values()) != self.total.refused_calls:
            found.append(f"{sum(self.refused.values())} refusals by code are not {self.total.refused_calls} in total")
        for split, usages in (("API", self.per_api), ("consumer", self.per_consumer), ("day", self.per_day)):
            summed = sum(usages.values(), Usage())
            if summed != self.total:
                found.append(f"per {split} {summed} is not the total {self.total}")
        if self.solvency.surplus_wei < 0:
            found.append(f"the contract owes {-self.solvency.surplus_wei} wei more than it holds")
        return found


class Tally:
    """Counts what became of the requests, by API, consumer and day. Not thread-safe."""

    def __init__(self) -> None:
        self.total = Usage()
        self.refused: Counter[str] = Counter()
        self._per_api: dict[str, Usage] = {}
        self._per_consumer: dict[str, Usage] = {}
        self._per_day: dict[int, Usage] = {}
        self._per_pair: defaultdict[tuple[str, str], dict[int, Usage]] = defaultdict(dict)
        self._peak_day_calls: dict[str, int] = {}

    def add(
        self,
        *,
        client: str,
        api: str,
        day_id: int,
        billed_calls: int,
        spend_wei: int,
        refused: Mapping[str, int] = _NONE_REFUSED,
    ) -> None:
        """Count the billed and the refused (by code) requests of one client to one API on one UTC day."""
        usage = Usage(billed_calls + sum(refused.values()), billed_calls, spend_wei)
        if min(usage.requests, billed_calls, spend_wei, *refused.values()) < 0:
            raise ValueError(f"a count cannot be negative: {usage}, {dict(refused)}")
        self.total += usage
        self.refused.update(refused)
        self._per_api[api] = self._per_api.get(api, Usage()) + usage
        self._per_consumer[client] = self._per_consumer.get(client, Usage()) + usage
        self._per_day[day_id] = self._per_day.get(day_id, Usage()) + usage
        of_pair = self._per_pair[client, api]
        of_pair[day_id] = of_pair.get(day_id, Usage()) + usage
        self._peak_day_calls[api] = max(self._peak_day_calls.get(api, 0), of_pair[day_id].billed_calls)

    @property
    def per_api(self) -> dict[str, Usage]:
        """Usage by API name."""
        return dict(self._per_api)

    @property
    def per_consumer(self) -> dict[str, Usage]:
        """Usage by client as it stands in the log entries."""
        return dict(self._per_consumer)

    @property
    def per_day(self) -> dict[str, Usage]:
        """Usage by UTC day, ``YYYY-MM-DD``."""
        return {day_key(day_id): usage for day_id, usage in self._per_day.items()}

    @property
    def per_pair(self) -> Mapping[tuple[str, str], Mapping[int, Usage]]:
        """Usage by client and API, and by day id."""
        return self._per_pair

    def peak_day_calls(self, api: str) -> int:
        """Return the most calls of the API that one client was billed on one day."""
        return self._peak_day_calls.get(api, 0)


def day_key(day_id: int) -> str:
    """Return the day as ``YYYY-MM-DD``."""
    return datetime.fromtimestamp(day_id * _DAY_SECONDS, UTC).date().isoformat()


def write_json(figures: Mapping[str, object], path: str | os.PathLike[str]) -> None:
    """Write the figures as JSON text.

    Raises: SummaryNotWrittenError.
    """
    text = json.dumps(figures, indent=2) + "\n"
    try:
        Path(path).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SummaryNotWrittenError(f"{os.fspath(path)}: the figures cannot be written: {reason}") from error


def _usages_to_json(usages: Mapping[str, Usage]) -> dict[str, dict[str, int]]:
    return {key: asdict(usages[key]) for key in sorted(usages)}
