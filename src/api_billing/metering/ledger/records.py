"""Records and listings in terms of ledger lines: what the stores that run the ledger have in common."""

from __future__ import annotations

from api_billing.metering.ledger.money import Line
from api_billing.metering.ledger.operations import ListRecords, Record
from api_billing.metering.ledger.usage_line import UsageLine


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
