"""The rules of the outbox: batches on their way to the chain, in the order of their sequences, and refused parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.chain_credit import give_up, read_rows, regrant, write_rows
from api_billing.metering.ledger.cutting import add_batch, close_cut, last_sequence, read_queue_ms
from api_billing.metering.ledger.rows import ACCOUNTS, BATCHES, DOCUMENTS, BatchRow
from api_billing.metering.ledger.sessions import set_closing
from api_billing.metering.ledger.settlement_operations import (
    ENDED,
    IN_FLIGHT,
    BeginPosting,
    Book,
    Ended,
    EndPosting,
    ListOutgoing,
    NextOutgoing,
    NotePosting,
    OpenBook,
    Outgoing,
    Part,
    Posting,
    PostingState,
    Renumber,
    Reopened,
    ReopenEnded,
    RetryRefused,
    WriteOff,
)
from api_billing.metering.ledger.tables import Tables


def _posting_key(api: str, sequence: int) -> str:
    return f"posting/{sequence}/{api}"


MAX_UNDONE: Final = 64  # as many outcomes as the contract keeps of an API


def read_book(tables: Tables, api: str) -> Book:
    kept = tables.document(f"book/{api}")
    last, queue_ms = last_sequence(tables, api), read_queue_ms(tables, api)
    if not kept:
        return Book(last=last, queue_ms=queue_ms)
    contract, next_chain_sequence, ended, open_parts = kept
    parts = tuple((sequence, index) for sequence, index in open_parts)
    return Book(contract, next_chain_sequence, ended, last, parts, queue_ms)


def _put_book(tables: Tables, api: str, book: Book) -> None:
    open_parts = [list(part) for part in book.open_parts]
    tables.put_document(f"book/{api}", [book.contract, book.next_chain_sequence, book.ended, open_parts])


def _posting(tables: Tables, api: str, sequence: int) -> Posting:
    kept = tables.document(_posting_key(api, sequence))
    if not kept:
        return Posting(api, sequence)
    (state, chain_sequence, attempts, posted_ms, txs, note, ended_ms, settled_at, parts, retry_of, counted_days) = kept
    return Posting(
        api, sequence, state, chain_sequence, attempts, posted_ms, tuple(txs), note, ended_ms, settled_at,
        tuple(Part(*part) for part in parts), retry_of, tuple(counted_days),
    )  # fmt: skip


def _put_posting(tables: Tables, posting: Posting) -> None:
    made = posting
    document = [
        made.state, made.chain_sequence, made.attempts, made.posted_ms, list(made.txs), made.note, made.ended_ms,
        made.settled_at, [list(part) for part in made.parts], made.retry_of, list(made.counted_days),
    ]  # fmt: skip
    tables.put_document(_posting_key(made.api, made.sequence), document)


def _batch(tables: Tables, api: str, sequence: int) -> Batch | None:
    row: BatchRow | None = tables.find(BATCHES, (api, sequence))
    return None if row is None else row.batch()


def open_book(tables: Tables, op: OpenBook) -> Book:
    book = read_book(tables, op.api)
    if not book.contract:
        book = book._replace(contract=op.contract, next_chain_sequence=op.next_chain_sequence)
        _put_book(tables, op.api, book)
    return book


def next_outgoing(tables: Tables, op: NextOutgoing) -> Outgoing | None:
    batch = _batch(tables, op.api, read_book(tables, op.api).ended + 1)
    return None if batch is None else Outgoing(batch, _posting(tables, op.api, batch.sequence))


def list_outgoing(tables: Tables, op: ListOutgoing) -> tuple[Outgoing, ...]:
    sequences = range(op.after + 1, min(op.after + op.limit, last_sequence(tables, op.api)) + 1)
    tables.fetch(BATCHES, [(op.api, sequence) for sequence in sequences])
    tables.fetch(DOCUMENTS, [(_posting_key(op.api, sequence),) for sequence in sequences])
    batches = [_batch(tables, op.api, sequence) for sequence in sequences]
    return tuple(Outgoing(batch, _posting(tables, op.api, batch.sequence)) for batch in batches if batch is not None)


def begin_posting(tables: Tables, op: BeginPosting) -> Posting | None:
    book = read_book(tables, op.api)
    batch = _batch(tables, op.api, op.sequence)
    if batch is None or not book.contract or op.sequence != book.ended + 1:
        return None
    posting = _posting(tables, op.api, op.sequence)
    if posting.state == "built":
        posting = replace(posting, chain_sequence=book.next_chain_sequence)
        rows = read_rows(tables, batch.lines)
        for line in batch.lines:
            rows[line.account].in_flight_wei += line.amount_wei
        write_rows(tables, rows)
    posting = replace(posting, state="posted", attempts=posting.attempts + 1, posted_ms=op.now_ms, note="")
    _put_posting(tables, posting)
    return posting


def note_posting(tables: Tables, op: NotePosting) -> Posting | None:
    posting = _posting(tables, op.api, op.sequence)
    if posting.state not in IN_FLIGHT:
        return None
    txs = posting.txs if op.tx in ("", *posting.txs) else (*posting.txs, op.tx)
    posting = replace(posting, state=op.state, note=op.note, txs=txs)
    _put_posting(tables, posting)
    return posting


def end_posting(tables: Tables, op: EndPosting) -> Ended | None:
    posting = _posting(tables, op.api, op.sequence)
    if posting.state in ENDED:
        return Ended(posting, repeated=True)
    book = read_book(tables, op.api)
    batch = _batch(tables, op.api, op.sequence)
    begun = posting.state == "built" if op.skipped else posting.state in IN_FLIGHT
    if batch is None or op.sequence != book.ended + 1 or not begun or len(op.parts) != len(batch.lines):
        return None
    refused = tuple((op.sequence, index) for index, part in enumerate(op.parts) if part.code)
    _account_for(tables, batch, posting, op.parts)
    _put_book(
        tables,
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
    _put_posting(tables, ended)
    return Ended(ended)


def reopen_ended(tables: Tables, op: ReopenEnded) -> Reopened:
    book = read_book(tables, op.api)
    undone = _undone(tables, op, book.ended)
    if not undone:
        return Reopened()
    if sum(outgoing.posting.chain_sequence > 0 for outgoing in undone) > MAX_UNDONE:
        return Reopened(why_not=f"more than {MAX_UNDONE} settlements are missing: that is another chain")
    for outgoing in undone:
        if any(part.resolution == "retried" for part in outgoing.posting.parts):
            return Reopened(why_not=f"a part of batch {outgoing.batch.sequence} was retried before it was final")
    for batch, posting in undone:
        _unaccount(tables, batch, posting)
        state: PostingState = "unknown" if posting.chain_sequence else "built"
        again = replace(posting, state=state, note="undone on the chain", ended_ms=0, settled_at=0, parts=())
        _put_posting(tables, again)
    sequences = tuple(sorted(outgoing.batch.sequence for outgoing in undone))
    first = min(outgoing.posting.chain_sequence for outgoing in undone if outgoing.posting.chain_sequence)
    open_parts = tuple(part for part in book.open_parts if part[0] < sequences[0])
    _put_book(
        tables,
        op.api,
        book._replace(ended=sequences[0] - 1, next_chain_sequence=first, open_parts=open_parts),
    )
    return Reopened(sequences)


def _undone(tables: Tables, op: ReopenEnded, ended: int) -> list[Outgoing]:
    """What has ended and is to be taken back, newest first; of what is on chain, at most one more than is allowed."""
    found: list[Outgoing] = []
    on_chain = 0
    for sequence in range(ended, max(ended - 2 * MAX_UNDONE, 0), -1):
        posting = _posting(tables, op.api, sequence)
        if 0 < posting.chain_sequence < op.chain_sequence or on_chain > MAX_UNDONE:
            break
        on_chain += posting.chain_sequence > 0
        batch = _batch(tables, op.api, sequence)
        assert batch is not None  # it has ended
        found.append(Outgoing(batch, posting))
    # One of nobody on chain, before the first that is missing, stays as it is.
    while found and not found[-1].posting.chain_sequence:
        found.pop()
    return found


def _unaccount(tables: Tables, batch: Batch, posting: Posting) -> None:
    """Take back what ``_account_for`` and decisions on refused parts did: it is in flight again."""
    rows = read_rows(tables, batch.lines)
    for line, part, counted_day in zip(batch.lines, posting.parts, _counted_days(batch, posting), strict=True):
        row = rows[line.account]
        row.in_flight_wei += line.amount_wei if posting.chain_sequence else 0
        row.accounted_wei -= part.billed_wei + part.written_off_wei
        row.add_billed_calls(line.day, counted_day, -part.billed_calls)
        row.refused_parts += bool(posting.retry_of) - part.is_open
        if line.close:
            set_closing(tables, line.account, is_on_its_way=True)
    for row in rows.values():
        row.revision += 1
    write_rows(tables, rows)


def renumber(tables: Tables, op: Renumber) -> Posting | None:
    book = read_book(tables, op.api)
    batch = _batch(tables, op.api, op.sequence)
    posting = _posting(tables, op.api, op.sequence)
    known = posting.state in IN_FLIGHT and posting.chain_sequence == op.was_chain_sequence
    if batch is None or not known or op.sequence != book.ended + 1 or op.next_chain_sequence <= op.was_chain_sequence:
        return None
    rows = read_rows(tables, batch.lines)
    for line in batch.lines:
        rows[line.account].in_flight_wei -= line.amount_wei
    write_rows(tables, rows)
    note = f"sequence {op.was_chain_sequence} is somebody else's"
    posting = replace(posting, state="built", chain_sequence=0, txs=(), note=note)
    _put_posting(tables, posting)
    _put_book(tables, op.api, book._replace(next_chain_sequence=op.next_chain_sequence))
    return posting


def _account_for(tables: Tables, batch: Batch, posting: Posting, parts: Sequence[Part]) -> None:
    """Billed lines are accounted for; an account with a refused part gets no more credit than is committed."""
    rows = read_rows(tables, batch.lines)
    for line, part, counted_day in zip(batch.lines, parts, _counted_days(batch, posting), strict=True):
        row = rows[line.account]
        row.in_flight_wei -= line.amount_wei if posting.state in IN_FLIGHT else 0
        row.accounted_wei += part.billed_wei
        row.add_billed_calls(line.day, counted_day, part.billed_calls)
        # A part that is retried stays counted until the retry has ended.
        row.refused_parts += bool(part.code) - bool(posting.retry_of)
        if line.close:
            set_closing(tables, line.account, is_on_its_way=False)
            row.closed_by = row.closed_by if part.code else posting.chain_sequence
    # Of a session that was closed the chain has released what was left of the hold.
    closed = {line.account for line, part in zip(batch.lines, parts, strict=True) if line.close and not part.code}
    stopped = [account for account, row in rows.items() if row.refused_parts or account in closed]
    tables.fetch(ACCOUNTS, [(account,) for account in stopped])
    for account in stopped:
        regrant(tables, account, 0)
    for row in rows.values():
        row.revision += 1
    write_rows(tables, rows)


def _counted_days(batch: Batch, posting: Posting) -> tuple[int, ...]:
    """On which days the meter counted the calls of each line."""
    return posting.counted_days or tuple(line.day for line in batch.lines)


# --- refused parts


def retry_refused(tables: Tables, op: RetryRefused) -> Batch | None:
    book = read_book(tables, op.api)
    batch = _batch(tables, op.api, op.sequence)
    posting = _posting(tables, op.api, op.sequence)
    indexes = _open_indexes(posting, op.indexes)
    if batch is None or not indexes:
        return None
    # What is being cut has its sequence already.
    closed = close_cut(tables, op.api, op.now_ms)
    sequence = (book.last if closed is None else closed.sequence) + 1
    parts = list(posting.parts)
    lines = []
    counted_days = _counted_days(batch, posting)
    for index in indexes:
        line, part = batch.lines[index], parts[index]
        left_wei = line.amount_wei - part.billed_wei
        amount_wei = left_wei if op.at_most_wei is None else min(left_wei, op.at_most_wei)
        day = line.day if op.day is None else op.day
        calls = line.calls - part.billed_calls
        lines.append(line._replace(day=day, calls=calls, amount_wei=amount_wei, voucher=None))
        parts[index] = part._replace(resolution="retried", retried_in=sequence, written_off_wei=left_wei - amount_wei)
        give_up(tables, line.account, left_wei - amount_wei, parts=0)
    again = Batch(op.api, sequence, op.now_ms, tuple(lines), 0, batch.root)
    again = add_batch(tables, again, is_new=False)
    counted = tuple(counted_days[index] for index in indexes)
    _put_posting(tables, Posting(op.api, sequence, retry_of=posting.retry_of or op.sequence, counted_days=counted))
    _resolve(tables, posting, parts, book, indexes)
    return again


def write_off(tables: Tables, op: WriteOff) -> int:
    book = read_book(tables, op.api)
    batch = _batch(tables, op.api, op.sequence)
    posting = _posting(tables, op.api, op.sequence)
    indexes = _open_indexes(posting, op.indexes)
    if batch is None or not indexes:
        return 0
    parts = list(posting.parts)
    written_off_wei = 0
    for index in indexes:
        left_wei = batch.lines[index].amount_wei - parts[index].billed_wei
        parts[index] = parts[index]._replace(resolution="written_off", written_off_wei=left_wei, note=op.note)
        give_up(tables, batch.lines[index].account, left_wei, parts=1)
        written_off_wei += left_wei
    _resolve(tables, posting, parts, book, indexes)
    return written_off_wei


def _open_indexes(posting: Posting, wanted: tuple[int, ...]) -> list[int]:
    return [index for index, part in enumerate(posting.parts) if part.is_open and (not wanted or index in wanted)]


def _resolve(tables: Tables, posting: Posting, parts: list[Part], book: Book, indexes: list[int]) -> None:
    _put_posting(tables, replace(posting, parts=tuple(parts)))
    resolved = {(posting.sequence, index) for index in indexes}
    open_parts = tuple(part for part in book.open_parts if part not in resolved)
    _put_book(tables, posting.api, book._replace(open_parts=open_parts))
