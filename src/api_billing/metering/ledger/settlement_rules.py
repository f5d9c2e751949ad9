"""Which rule answers which operation of settlement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from api_billing.metering.ledger import chain_credit, cutting, outbox
from api_billing.metering.ledger.books import Books
from api_billing.metering.ledger.operations import AddToBatch, Operation, ReadCut
from api_billing.metering.ledger.settlement_operations import (
    BeginPosting,
    CreditSet,
    EndPosting,
    Lease,
    ListOutgoing,
    ListToSettle,
    NextOutgoing,
    NotePosting,
    OpenBook,
    ReadBook,
    ReadCredit,
    ReleaseLease,
    Renumber,
    ReopenEnded,
    RetryRefused,
    SetGranted,
    TakeLease,
    TakeRead,
    WriteOff,
)

_READ_WINDOW_MS: Final = 10_000


def perform(books: Books, operation: Operation[Any]) -> Any:
    """Perform one operation; the answer."""
    reply = RULES[type(operation)](books, operation)
    books.commit()
    if isinstance(operation, SetGranted) and reply.applied:
        balance = books.balance(operation.account)
        committed_wei = balance.reserved_wei + balance.charged_wei
        return CreditSet(True, max(0, committed_wei - reply.short_wei), balance)
    return reply


def take_lease(books: Books, op: TakeLease) -> Lease:
    kept = books.read(f"lease/{op.name}")
    lease = Lease(*kept) if kept else Lease("", 0)
    if lease.holder in ("", op.holder) or lease.until_ms <= op.now_ms:
        lease = Lease(op.holder, op.until_ms)
        books.write(f"lease/{op.name}", list(lease))
    return lease


def release_lease(books: Books, op: ReleaseLease) -> None:
    kept = books.read(f"lease/{op.name}")
    if kept and kept[0] == op.holder:
        books.write(f"lease/{op.name}", ["", 0])


def take_read(books: Books, op: TakeRead) -> bool:
    # A clock that was set back counts what it has not reached yet, so that it is never too many.
    taken = [at_ms for at_ms in books.read(f"reads/{op.contract}") or () if op.now_ms - at_ms < _READ_WINDOW_MS]
    if len(taken) + op.spare >= op.most:
        return False
    books.write(f"reads/{op.contract}", [*taken, op.now_ms])
    return True


RULES: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = {
    TakeLease: take_lease,
    ReleaseLease: release_lease,
    TakeRead: take_read,
    ReadCredit: chain_credit.read_credit,
    SetGranted: chain_credit.set_granted,
    AddToBatch: cutting.add_to_batch,
    ReadCut: cutting.read_cut,
    ListToSettle: cutting.list_to_settle,
    ReadBook: lambda books, op: outbox.read_book(books, op.api),
    OpenBook: outbox.open_book,
    NextOutgoing: outbox.next_outgoing,
    ListOutgoing: outbox.list_outgoing,
    BeginPosting: outbox.begin_posting,
    NotePosting: outbox.note_posting,
    EndPosting: outbox.end_posting,
    ReopenEnded: outbox.reopen_ended,
    Renumber: outbox.renumber,
    RetryRefused: outbox.retry_refused,
    WriteOff: outbox.write_off,
}
