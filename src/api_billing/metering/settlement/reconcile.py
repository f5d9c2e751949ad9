"""Compares what the meter counted, what the outbox says became of it, and what the contract has billed.

For each consumer, API and day. The difference is zero when all that was counted is billed; what is not is explained
line by line: not in a batch yet, built, in flight, refused, written off; what was billed on chain without the meter is
not explained. What the consumer was billed call by call (with receipts) is the contract's own business and told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from api_billing.errors import ContractRejected
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import BatchLine, OpenCut, ReadCut
from api_billing.metering.ledger.operations import SumUsage, UsageDay
from api_billing.metering.ledger.settlement_operations import IN_FLIGHT, ListOutgoing, Outgoing, Part
from api_billing.metering.settlement.chain import SettlementChain, address_of, chain_account
from api_billing.metering.settlement.preview import list_to_settle
from api_billing.metering.stores.steps import Blocking, Steps
from api_billing.results import DayUsage, SettlementState

Key = tuple[str, int]  # consumer's address (or its name, when it has none), day
_WRITTEN_OFF: Final = "written off"
_MOVED: Final = "retried on day"


class Why(NamedTuple):
    """A reason for a difference, and how much of it: positive is counted and not billed."""

    reason: str
    calls: int
    amount_wei: int


@dataclass(slots=True)
class Comparison:
    """A consumer at an API on a day. ``receipt_calls`` are calls on chain that no meter counts."""

    api: str
    consumer: str
    day: int
    metered_calls: int = 0
    metered_wei: int = 0
    billed_calls: int = 0  # by the outbox
    billed_wei: int = 0
    chain_calls: int = 0  # settled, without those with receipts
    chain_wei: int = 0
    receipt_calls: int = 0
    why: list[Why] = field(default_factory=list)

    @property
    def difference_calls(self) -> int:
        """Counted and not billed."""
        return self.metered_calls - self.chain_calls

    @property
    def difference_wei(self) -> int:
        """Counted and not billed."""
        return self.metered_wei - self.chain_wei

    @property
    def is_zero(self) -> bool:
        """Whether meter, outbox and contract agree, and nothing is left to be billed."""
        return not (self.difference_calls or self.difference_wei or self.why)

    @property
    def is_closed(self) -> bool:
        """Whether all that differs was written off, or billed on another day: nothing is left to look after."""
        calls, amount_wei = sum(why.calls for why in self.why), sum(why.amount_wei for why in self.why)
        differs = (self.difference_calls, self.difference_wei) != (calls, amount_wei)
        return not differs and all(why.reason.startswith((_WRITTEN_OFF, _MOVED)) for why in self.why)

    @property
    def unexplained_wei(self) -> int:
        """What no reason accounts for: a fault, or an account that two meters share."""
        return self.difference_wei - sum(why.amount_wei for why in self.why)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All lines of an API, in the order of consumers and days.

    ``unknown_settlements`` are those of the contract when this store has made none: it is another one's, or was lost.
    """

    api: str
    lines: tuple[Comparison, ...]
    unknown_settlements: int = 0

    @property
    def is_zero(self) -> bool:
        """Whether all that was counted is billed, and nothing else."""
        return not self.unknown_settlements and all(line.is_zero for line in self.lines)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to look after: it is zero but for what was written off, or retried on another day."""
        return not self.unknown_settlements and all(line.is_closed for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "api": self.api,
            "zero": self.is_zero,
            "closed": self.is_closed,
            "unknown_settlements": self.unknown_settlements,
            "lines": [
                {
                    "consumer": line.consumer,
                    "day": line.day,
                    "metered_calls": line.metered_calls,
                    "metered_wei": line.metered_wei,
                    "chain_calls": line.chain_calls,
                    "chain_wei": line.chain_wei,
                    "receipt_calls": line.receipt_calls,
                    "difference_wei": line.difference_wei,
                    "unexplained_wei": line.unexplained_wei,
                    "why": [why._asdict() for why in line.why],
                }
                for line in self.lines
            ],
        }


def reconcile(
    chain: SettlementChain,
    api: str,
    now_ms: int,
    *,
    days: int = 400,
    account_of: Callable[[str, str], str] = chain_account,
) -> Steps[Reconciliation]:
    """Compare an API's last days. ``account_of`` says which account a consumer's requests are charged to, when no
    request and no batch is left that does.

    Raises: NetworkError, ContractRejected (the API is not on the contract), StoreUnavailable.
    """
    last = now_ms // DAY_MS
    first = last - days + 1
    on_chain: SettlementState = yield Blocking(lambda: chain.get_settlement(api))
    lines: defaultdict[Key, Comparison] = defaultdict(lambda: Comparison(api, "", 0))
    usage: tuple[UsageDay, ...] = yield SumUsage(api=api, from_day=first, to_day=last)
    unbatched = [line for line in (yield from list_to_settle(api)) if line.day >= first]
    begun: OpenCut | None = yield ReadCut(api)
    outgoing = yield from _all_outgoing(api)
    # Sums are by consumer; whose account that was is known from its requests and batches.
    accounts = {line.consumer: line.account for each in outgoing for line in each.batch.lines}
    accounts |= {line.consumer: line.account for line in (begun.batch.lines if begun is not None else ())}
    accounts |= {request.consumer: request.account for request in unbatched}
    for row in usage:
        line = lines[_named(accounts.get(row.consumer) or account_of(api, row.consumer)), row.day]
        line.metered_calls += row.calls
        line.metered_wei += row.charged_wei
    for request in unbatched:
        _explain(lines[_named(request.account), request.day], "not in a batch yet", 1, request.charged_wei)
    for each in outgoing:
        _add_outgoing(lines, each, first)
    for entry in begun.batch.lines if begun is not None else ():
        if entry.day >= first:
            _explain(lines[_named(entry.account), entry.day], "in a batch being cut", entry.calls, entry.amount_wei)
    _add_moved(lines, outgoing)
    for consumer in sorted({consumer for consumer, _ in lines}):
        yield from _add_chain(chain, api, consumer, first, last, lines)
    for (consumer, day), line in lines.items():
        line.consumer, line.day = consumer, day
    unknown = 0 if outgoing or begun else on_chain.next_sequence - 1
    return Reconciliation(api, tuple(lines[key] for key in sorted(lines)), unknown)


def _named(account: str) -> str:
    return address_of(account) or account


def _explain(line: Comparison, reason: str, calls: int, amount_wei: int) -> None:
    if not (calls or amount_wei):
        return
    for place, why in enumerate(line.why):
        if why.reason == reason:
            line.why[place] = Why(reason, why.calls + calls, why.amount_wei + amount_wei)
            return
    line.why.append(Why(reason, calls, amount_wei))


def _all_outgoing(api: str) -> Steps[list[Outgoing]]:
    found: list[Outgoing] = []
    while True:
        page: tuple[Outgoing, ...] = yield ListOutgoing(api, found[-1].batch.sequence if found else 0)
        if not page:
            return found
        found += page


def _add_outgoing(lines: defaultdict[Key, Comparison], outgoing: Outgoing, first_day: int) -> None:
    batch, posting = outgoing
    for index, entry in enumerate(batch.lines):
        if entry.day < first_day:
            continue
        line = lines[_named(entry.account), entry.day]
        if not posting.parts:
            state = "sent, outcome not known" if posting.state in IN_FLIGHT else "built, not sent"
            _explain(line, f"{state} (batch {batch.sequence})", entry.calls, entry.amount_wei)
            continue
        part = posting.parts[index]
        line.billed_calls += part.billed_calls
        line.billed_wei += part.billed_wei
        left = entry.calls - part.billed_calls, entry.amount_wei - part.billed_wei
        _explain_part(line, part, batch.sequence, *left)


def _explain_part(line: Comparison, part: Part, sequence: int, calls: int, amount_wei: int) -> None:
    if part.is_open:
        _explain(line, f"refused: {part.code} (batch {sequence})", calls, amount_wei)
    elif part.resolution == "written_off":
        _explain(line, f"{_WRITTEN_OFF} (batch {sequence})", calls, amount_wei)
    elif part.written_off_wei:
        # The calls and the rest are in the batch that it was retried in, which explains them.
        _explain(line, f"{_WRITTEN_OFF} (batch {sequence})", 0, part.written_off_wei)


def _add_moved(lines: defaultdict[Key, Comparison], outgoing: Sequence[Outgoing]) -> None:
    """Parts that were retried on another day than they were used on: counted on one, billed on the other."""
    batches = {each.batch.sequence: each.batch for each in outgoing}
    for batch, posting in outgoing:
        retried: dict[int, list[BatchLine]] = {}
        for line, part in zip(batch.lines, posting.parts, strict=False):
            if part.resolution == "retried":
                retried.setdefault(part.retried_in, []).append(line)
        for sequence, before in retried.items():
            for old, new in zip(before, batches[sequence].lines, strict=True):
                if new.day != old.day:
                    name = _named(old.account)
                    reason = f"{_MOVED} {new.day} instead of {old.day} (batch {sequence})"
                    _explain(lines[name, old.day], reason, new.calls, new.amount_wei)
                    _explain(lines[name, new.day], reason, -new.calls, -new.amount_wei)


def _add_chain(
    chain: SettlementChain, api: str, consumer: str, first: int, last: int, lines: defaultdict[Key, Comparison]
) -> Steps[None]:
    if address_of(f"/{consumer}") is None:
        return
    history: tuple[DayUsage, ...] = yield Blocking(lambda: chain.get_usage_history(consumer, api, first, last))
    for day in history:
        line = lines[consumer, day.day_id]
        line.chain_calls, line.chain_wei = day.calls, day.spend_wei
        if day.calls != line.billed_calls:
            yield from _tell_receipts_apart(chain, api, consumer, line, day)
    for (name, _), line in list(lines.items()):
        if name == consumer:
            missing = line.billed_calls - line.chain_calls, line.billed_wei - line.chain_wei
            if min(missing) >= 0:  # else somebody else has billed it, which nothing here accounts for
                _explain(line, "billed by the outbox, but not on chain", *missing)


def _tell_receipts_apart(
    chain: SettlementChain, api: str, consumer: str, line: Comparison, day: DayUsage
) -> Steps[None]:
    """Calls beyond those settled are the consumer's own if exactly so many receipts are genuine."""
    extra = day.calls - line.billed_calls
    if extra <= 0:
        return
    stem = f"{api}:{consumer}:{day.day_id}"
    try:
        last = yield Blocking(lambda: chain.get_receipt(f"{stem}:{extra}"))
        beyond = yield Blocking(lambda: chain.get_receipt(f"{stem}:{extra + 1}"))
    except ContractRejected:
        return
    if last.valid and not beyond.valid:
        line.receipt_calls = extra
        line.chain_calls -= extra
        line.chain_wei = min(line.chain_wei, line.billed_wei)


def explained(lines: Iterable[Comparison]) -> list[str]:
    """The reasons of lines that are not zero, as sentences."""
    texts = []
    for line in lines:
        where = f"{line.consumer} on day {line.day}"
        texts += [f"{where}: {why.calls} calls, {why.amount_wei} wei: {why.reason}" for why in line.why]
        if line.unexplained_wei:
            texts.append(f"{where}: {line.unexplained_wei} wei: not explained")
    return texts
