"""Records, batches and listings in terms of ledger lines: what the stores that run the ledger have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api_billing.merkle import merkle_root
from api_billing.metering.ledger import Line
from api_billing.metering.operations import DAY_MS, Batch, BatchLine, ListRecords, Record
from api_billing.metering.proofs import UsageLine


def record_of(line: Line) -> Record:
    """The record of a reservation."""
    made = line.reserve
    return Record(
        record_id=made.reservation_id,
        at_ms=made.now_ms,
        state=line.state,
        api=made.api,
        consumer=made.consumer,
        account=made.account,
        tier=made.tier,
        method=made.method,
        route=made.route,
        request_id=made.request_id,
        units=line.units,
        estimate_wei=made.estimate_wei,
        charged_wei=line.charged_wei,
        uncollected_wei=line.uncollected_wei,
        ended_ms=line.ended_ms,
        late=line.late,
        outcome=line.outcome,
        batch=line.batch,
    )


def usage_line(record: Record) -> UsageLine:
    """What a batch says of a settled request."""
    return UsageLine(
        record.record_id, record.api, record.account, record.consumer, record.at_ms, record.units, record.charged_wei
    )


def matches(record: Record, query: ListRecords) -> bool:
    """Whether a record is one that a listing asks for, its cursor and limit apart."""
    return (
        query.consumer in ("", record.consumer)
        and query.api in ("", record.api)
        and query.since_ms <= record.at_ms < query.until_ms
        and (not query.states or record.state in query.states)
    )


def choose(lines: Iterable[UsageLine], max_lines: int, max_records: int) -> list[UsageLine]:
    """From settled usage in the order of ids, what goes into one batch.

    Usage that would need one line too many is left for the next batch; later usage of a line that there is still joins.
    """
    chosen: list[UsageLine] = []
    keys: set[tuple[str, str, int]] = set()
    for line in lines:
        if len(chosen) == max_records:
            break
        key = (line.account, line.consumer, line.day)
        if key not in keys and len(keys) == max_lines:
            continue
        keys.add(key)
        chosen.append(line)
    return chosen


def make_batch(api: str, sequence: int, now_ms: int, chosen: Sequence[UsageLine]) -> tuple[Batch, bytes]:
    """The batch of the chosen usage, and its leaf hashes in their order."""
    sums: dict[tuple[str, str, int], tuple[int, int]] = {}
    for line in chosen:
        key = (line.account, line.consumer, line.at_ms // DAY_MS)
        calls, wei = sums.get(key, (0, 0))
        sums[key] = (calls + 1, wei + line.charged_wei)
    leaves = [line.leaf() for line in chosen]
    lines = tuple(
        BatchLine(account, consumer, day, calls, wei) for (account, consumer, day), (calls, wei) in sorted(sums.items())
    )
    return Batch(api, sequence, now_ms, lines, len(chosen), merkle_root(leaves).hex()), b"".join(leaves)
