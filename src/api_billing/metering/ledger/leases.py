"""The rules of what one process does at a time, and of how often all of them read a contract."""

from __future__ import annotations

from typing import Final

from api_billing.metering.ledger.settlement_operations import Lease, ReleaseLease, TakeLease, TakeRead
from api_billing.metering.ledger.tables import Tables

_READ_WINDOW_MS: Final = 10_000


def take_lease(tables: Tables, op: TakeLease) -> Lease:
    kept = tables.document(f"lease/{op.name}")
    lease = Lease(*kept) if kept else Lease("", 0)
    if lease.holder in ("", op.holder) or lease.until_ms <= op.now_ms:
        lease = Lease(op.holder, op.until_ms)
        tables.put_document(f"lease/{op.name}", list(lease))
    return lease


def release_lease(tables: Tables, op: ReleaseLease) -> None:
    kept = tables.document(f"lease/{op.name}")
    if kept and kept[0] == op.holder:
        tables.put_document(f"lease/{op.name}", ["", 0])


def take_read(tables: Tables, op: TakeRead) -> bool:
    # A clock that was set back counts what it has not reached yet, so that it is never too many.
    taken = [at_ms for at_ms in tables.document(f"reads/{op.contract}") or () if op.now_ms - at_ms < _READ_WINDOW_MS]
    if len(taken) + op.spare + op.reads > op.most:
        return False
    tables.put_document(f"reads/{op.contract}", [*taken, *[op.now_ms] * op.reads])
    return True
