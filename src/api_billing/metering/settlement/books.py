"""The rules of credit from the chain and of the outbox, over documents that a store keeps.

One set of rules for all stores: a store brings documents by key, its batches and its accounts, and makes one call of
``perform`` an atomic step. These operations are rare (a few for each batch and each look at the chain), so that they
need not be as fast as a reservation; what they change of an account is one number, ``granted``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from api_billing.metering.operations import Balance, Batch, BatchLine, Operation
from api_billing.metering.settlement_operations import (
    ENDED,
    IN_FLIGHT,
    NEVER_READ,
    BeginPosting,
    Book,
    ChainTerms,
    Credit,
    CreditSet,
    Ended,
    EndPosting,
    Lease,
    ListOutgoing,
    NextOutgoing,
    NotePosting,
    OpenBook,
    Outgoing,
    Part,
    Posting,
    ReadBook,
    ReadCredit,
    ReleaseLease,
    RetryRefused,
    SetGranted,
    TakeLease,
    TakeRead,
    WriteOff,
    month_of,
)

_READ_WINDOW_MS: Final = 10_000
_KEPT_WINDOWS: Final = 3


class Books(Protocol):
    """What a store brings to one step. What was written is read back; all of it is kept, or nothing."""

    def prefetch(self, keys: Sequence[str]) -> None:
        """These documents will be read: a store over a network may fetch them together."""

    def read(self, key: str) -> Any:
        """A document, None when there is none."""

    def write(self, key: str, document: Any) -> None:
        """Put a document: lists, texts, numbers and so on, as JSON has them."""

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        """Batches in the order of their sequences."""

    def last_sequence(self, api: str) -> int:
        """Of the last batch; 0 when there is none."""

    def add_batch(self, batch: Batch) -> None:
        """Put a batch without usage of its own behind the last one."""

    def balance(self, account: str) -> Balance:
        """An account's money; after ``commit``, with what was granted."""

    def set_granted(self, account: str, granted_wei: int, was_wei: int) -> None:
        """Change what is granted from ``was_wei``, but not to less than is reserved and charged."""

    def commit(self) -> None:
        """The rules are through: write. Called once."""


def perform(books: Books, operation: Operation[Any]) -> Any:
    """Perform one operation; the answer."""
    reply = RULES[type(operation)](books, operation)
    books.commit()
    if isinstance(operation, SetGranted) and reply.applied:
        balance = books.balance(operation.account)
        committed_wei = balance.reserved_wei + balance.charged_wei
        return CreditSet(True, max(0, committed_wei - reply.short_wei), balance)
    return reply


def regranted(balance: Balance, granted_wei: int) -> Balance:
    """A balance with another amount granted, but never less than is committed; as after a grant when it changes."""
    committed_wei = balance.reserved_wei + balance.charged_wei
    granted_wei = max(granted_wei, committed_wei)
    if granted_wei == balance.granted_wei:
        return balance
    return balance._replace(granted_wei=granted_wei, basis_wei=granted_wei - committed_wei, epoch=balance.epoch + 1)


# --- leases


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


# --- reads


def take_read(books: Books, op: TakeRead) -> bool:
    # A clock that was set back counts what it has not reached yet, so that it is never too many.
    taken = [at_ms for at_ms in books.read(f"reads/{op.contract}") or () if op.now_ms - at_ms < _READ_WINDOW_MS]
    if len(taken) + op.spare >= op.most:
        return False
    books.write(f"reads/{op.contract}", [*taken, op.now_ms])
    return True


# --- credit


class _Row:
    """What is kept of an account whose credit is on the chain."""

    __slots__ = ("accounted_wei", "billed_days", "billed_months", "in_flight_wei", "refused_parts", "revision", "terms")

    def __init__(self, document: Any) -> None:
        kept: list[Any] = document or [0, 0, 0, 0, list(NEVER_READ), [], []]
        self.revision: int = kept[0]
        self.accounted_wei: int = kept[1]
        self.in_flight_wei: int = kept[2]
        self.refused_parts: int = kept[3]
        self.terms = ChainTerms(*kept[4])
        self.billed_days: dict[int, int] = dict(kept[5])
        self.billed_months: dict[int, int] = dict(kept[6])

    def document(self) -> list[Any]:
        numbers = [self.revision, self.accounted_wei, self.in_flight_wei, self.refused_parts]
        return [*numbers, list(self.terms), _last(self.billed_days), _last(self.billed_months)]

    def add_billed_calls(self, day: int, calls: int) -> None:
        for counts, key in ((self.billed_days, day), (self.billed_months, month_of(day))):
            counts[key] = counts.get(key, 0) + calls


def _last(counts: dict[int, int]) -> list[list[int]]:
    """The latest windows that calls were billed in: no batch is about more than the last two days."""
    return [[key, counts[key]] for key in sorted(counts)[-_KEPT_WINDOWS:]]


def _account_key(account: str) -> str:
    return f"account/{account}"


def read_credit(books: Books, op: ReadCredit) -> Credit:
    row = _Row(books.read(_account_key(op.account)))
    numbers = row.revision, row.accounted_wei, row.in_flight_wei, row.refused_parts
    days, months = tuple(row.billed_days.items()), tuple(row.billed_months.items())
    return Credit(*numbers, row.terms, books.balance(op.account), days, months)


def set_granted(books: Books, op: SetGranted) -> CreditSet:
    """The answer's ``short_wei`` is here what the chain covers; ``perform`` compares it with what is committed."""
    row = _Row(books.read(_account_key(op.account)))
    if row.revision != op.revision:
        return CreditSet(False)
    row.revision += 1
    row.terms = op.terms
    books.write(_account_key(op.account), row.document())
    least_wei = op.usable_wei + op.accounted_wei
    granted_wei = books.balance(op.account).granted_wei
    if row.refused_parts:
        books.set_granted(op.account, 0, granted_wei)
    elif not op.usable_wei or not least_wei <= granted_wei <= least_wei + row.in_flight_wei:
        books.set_granted(op.account, least_wei, granted_wei)
    return CreditSet(True, op.cover_wei + op.accounted_wei + row.in_flight_wei)


# --- the outbox


def _posting_key(api: str, sequence: int) -> str:
    return f"posting/{sequence}/{api}"


def _book(books: Books, api: str) -> Book:
    kept = books.read(f"book/{api}")
    last = books.last_sequence(api)
    if not kept:
        return Book(last=last)
    contract, next_chain_sequence, ended, open_parts = kept
    return Book(contract, next_chain_sequence, ended, last, tuple((sequence, index) for sequence, index in open_parts))


def _put_book(books: Books, api: str, book: Book) -> None:
    open_parts = [list(part) for part in book.open_parts]
    books.write(f"book/{api}", [book.contract, book.next_chain_sequence, book.ended, open_parts])


def _posting(books: Books, api: str, sequence: int) -> Posting:
    kept = books.read(_posting_key(api, sequence))
    if not kept:
        return Posting(api, sequence)
    (state, chain_sequence, attempts, posted_ms, txs, note, ended_ms, settled_at, parts, retry_of) = kept
    return Posting(
        api, sequence, state, chain_sequence, attempts, posted_ms, tuple(txs), note, ended_ms, settled_at,
        tuple(Part(*part) for part in parts), retry_of,
    )  # fmt: skip


def _put_posting(books: Books, posting: Posting) -> None:
    made = posting
    document = [
        made.state, made.chain_sequence, made.attempts, made.posted_ms, list(made.txs), made.note, made.ended_ms,
        made.settled_at, [list(part) for part in made.parts], made.retry_of,
    ]  # fmt: skip
    books.write(_posting_key(made.api, made.sequence), document)


def _batch(books: Books, api: str, sequence: int) -> Batch | None:
    found = books.batches(api, sequence - 1, 1)
    return found[0] if found and found[0].sequence == sequence else None


def open_book(books: Books, op: OpenBook) -> Book:
    book = _book(books, op.api)
    if not book.contract:
        book = book._replace(contract=op.contract, next_chain_sequence=op.next_chain_sequence)
        _put_book(books, op.api, book)
    return book


def next_outgoing(books: Books, op: NextOutgoing) -> Outgoing | None:
    batch = _batch(books, op.api, _book(books, op.api).ended + 1)
    return None if batch is None else Outgoing(batch, _posting(books, op.api, batch.sequence))


def list_outgoing(books: Books, op: ListOutgoing) -> tuple[Outgoing, ...]:
    found = books.batches(op.api, op.after, op.limit)
    books.prefetch([_posting_key(op.api, batch.sequence) for batch in found])
    return tuple(Outgoing(batch, _posting(books, op.api, batch.sequence)) for batch in found)


def begin_posting(books: Books, op: BeginPosting) -> Posting | None:
    book = _book(books, op.api)
    batch = _batch(books, op.api, op.sequence)
    if batch is None or not book.contract or op.sequence != book.ended + 1:
        return None
    posting = _posting(books, op.api, op.sequence)
    if posting.state == "built":
        posting = replace(posting, chain_sequence=book.next_chain_sequence)
        rows = _rows(books, batch.lines)
        for line in batch.lines:
            rows[line.account].in_flight_wei += line.amount_wei
        _put_rows(books, rows)
    posting = replace(posting, state="posted", attempts=posting.attempts + 1, posted_ms=op.now_ms, note="")
    _put_posting(books, posting)
    return posting


def note_posting(books: Books, op: NotePosting) -> Posting | None:
    posting = _posting(books, op.api, op.sequence)
    if posting.state not in IN_FLIGHT:
        return None
    txs = posting.txs if op.tx in ("", *posting.txs) else (*posting.txs, op.tx)
    posting = replace(posting, state=op.state, note=op.note, txs=txs)
    _put_posting(books, posting)
    return posting


def end_posting(books: Books, op: EndPosting) -> Ended | None:
    posting = _posting(books, op.api, op.sequence)
    if posting.state in ENDED:
        return Ended(posting, repeated=True)
    book = _book(books, op.api)
    batch = _batch(books, op.api, op.sequence)
    begun = posting.state == "built" if op.skipped else posting.state in IN_FLIGHT
    if batch is None or op.sequence != book.ended + 1 or not begun or len(op.parts) != len(batch.lines):
        return None
    refused = tuple((op.sequence, index) for index, part in enumerate(op.parts) if part.code)
    _account_for(books, batch, posting, op.parts)
    _put_book(
        books,
        op.api,
        book._replace(
            ended=op.sequence,
            next_chain_sequence=book.next_chain_sequence + (not op.skipped),
            open_parts=book.open_parts + refused,
        ),
    )
    ended = replace(
        posting,
        state="refused" if refused else "settled",
        ended_ms=op.now_ms,
        settled_at=op.settled_at,
        parts=op.parts,
        txs=posting.txs if op.tx in ("", *posting.txs) else (*posting.txs, op.tx),
    )
    _put_posting(books, ended)
    return Ended(ended)


def _account_for(books: Books, batch: Batch, posting: Posting, parts: Sequence[Part]) -> None:
    """Billed lines are accounted for; an account with a refused part gets no more credit than is committed."""
    rows = _rows(books, batch.lines)
    for line, part in zip(batch.lines, parts, strict=True):
        row = rows[line.account]
        row.in_flight_wei -= line.amount_wei if posting.state in IN_FLIGHT else 0
        row.accounted_wei += part.billed_wei
        if not posting.retry_of:
            # A retry may be billed on another day than the one its calls were counted on: it takes room from that.
            row.add_billed_calls(line.day, part.billed_calls)
        # A part that is retried stays counted until the retry has ended.
        row.refused_parts += bool(part.code) - bool(posting.retry_of)
    for account, row in rows.items():
        row.revision += 1
        if row.refused_parts:
            books.set_granted(account, 0, books.balance(account).granted_wei)
    _put_rows(books, rows)


def _rows(books: Books, lines: Iterable[BatchLine]) -> dict[str, _Row]:
    accounts = sorted({line.account for line in lines})
    books.prefetch([_account_key(account) for account in accounts])
    return {account: _Row(books.read(_account_key(account))) for account in accounts}


def _put_rows(books: Books, rows: dict[str, _Row]) -> None:
    for account, row in rows.items():
        books.write(_account_key(account), row.document())


# --- refused parts


def retry_refused(books: Books, op: RetryRefused) -> Batch | None:
    book = _book(books, op.api)
    batch = _batch(books, op.api, op.sequence)
    posting = _posting(books, op.api, op.sequence)
    indexes = _open_indexes(posting, op.indexes)
    if batch is None or not indexes:
        return None
    sequence = book.last + 1
    parts = list(posting.parts)
    lines = []
    for index in indexes:
        line, part = batch.lines[index], parts[index]
        left_wei = line.amount_wei - part.billed_wei
        amount_wei = left_wei if op.at_most_wei is None else min(left_wei, op.at_most_wei)
        day = line.day if op.day is None else op.day
        lines.append(BatchLine(line.account, line.consumer, day, line.calls - part.billed_calls, amount_wei))
        parts[index] = part._replace(resolution="retried", retried_in=sequence, written_off_wei=left_wei - amount_wei)
        _give_up(books, line.account, left_wei - amount_wei, parts=0)
    again = Batch(op.api, sequence, op.now_ms, tuple(lines), 0, batch.root)
    books.add_batch(again)
    _put_posting(books, Posting(op.api, sequence, retry_of=posting.retry_of or op.sequence))
    _resolve(books, posting, parts, book, indexes)
    return again


def write_off(books: Books, op: WriteOff) -> int:
    book = _book(books, op.api)
    batch = _batch(books, op.api, op.sequence)
    posting = _posting(books, op.api, op.sequence)
    indexes = _open_indexes(posting, op.indexes)
    if batch is None or not indexes:
        return 0
    parts = list(posting.parts)
    written_off_wei = 0
    for index in indexes:
        left_wei = batch.lines[index].amount_wei - parts[index].billed_wei
        parts[index] = parts[index]._replace(resolution="written_off", written_off_wei=left_wei, note=op.note)
        _give_up(books, batch.lines[index].account, left_wei, parts=1)
        written_off_wei += left_wei
    _resolve(books, posting, parts, book, indexes)
    return written_off_wei


def _open_indexes(posting: Posting, wanted: tuple[int, ...]) -> list[int]:
    return [index for index, part in enumerate(posting.parts) if part.is_open and (not wanted or index in wanted)]


def _give_up(books: Books, account: str, amount_wei: int, *, parts: int) -> None:
    row = _Row(books.read(_account_key(account)))
    row.accounted_wei += amount_wei
    row.refused_parts -= parts
    row.revision += 1
    books.write(_account_key(account), row.document())


def _resolve(books: Books, posting: Posting, parts: list[Part], book: Book, indexes: list[int]) -> None:
    _put_posting(books, replace(posting, parts=tuple(parts)))
    resolved = {(posting.sequence, index) for index in indexes}
    open_parts = tuple(part for part in book.open_parts if part not in resolved)
    _put_book(books, posting.api, book._replace(open_parts=open_parts))


RULES: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = {
    TakeLease: take_lease,
    ReleaseLease: release_lease,
    TakeRead: take_read,
    ReadCredit: read_credit,
    SetGranted: set_granted,
    ReadBook: lambda books, op: _book(books, op.api),
    OpenBook: open_book,
    NextOutgoing: next_outgoing,
    ListOutgoing: list_outgoing,
    BeginPosting: begin_posting,
    NotePosting: note_posting,
    EndPosting: end_posting,
    RetryRefused: retry_refused,
    WriteOff: write_off,
}
