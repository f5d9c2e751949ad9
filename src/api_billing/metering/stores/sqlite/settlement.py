"""The documents of settlement in ``sqlite://``: written in the transaction of the batch of operations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from api_billing.metering.ledger.books import regranted
from api_billing.metering.ledger.documents import KeptDocuments, lines_from_text, lines_to_text
from api_billing.metering.ledger.operations import Balance, Batch, Operation
from api_billing.metering.ledger.settlement_rules import RULES, perform
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.sqlite.tables import SqliteTables


class SqliteBooks(KeptDocuments):
    """Documents, batches and accounts of one connection, within a transaction.

    Documents are read and written together, in one statement each: while SQLite works, the thread of a loop does not
    wait for Python's lock, and with a statement for each of 256 accounts it would do so 256 times.
    """

    def __init__(self, tables: SqliteTables) -> None:
        super().__init__()
        self._tables = tables
        self._run = tables.connection.execute

    def _fetched(self, keys: Sequence[str]) -> Iterable[tuple[str, Any]]:
        rows = self._run(
            "select group_concat(json_array(key, json(document))) from settlement"
            " where key in (select value from json_each(?))",
            (json.dumps(keys),),
        )
        return json.loads(f"[{rows.fetchone()[0] or ''}]")  # type: ignore[no-any-return]

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        rows = self._run(
            "select sequence, created_ms, lines, records, root from batches where api = ? and sequence > ?"
            " order by sequence limit ?",
            (api, after, limit),
        )
        return [
            Batch(api, sequence, created_ms, lines_from_text(lines), records, root)
            for sequence, created_ms, lines, records, root in rows
        ]

    def last_sequence(self, api: str) -> int:
        row = self._run("select coalesce(max(sequence), 0) from batches where api = ?", (api,)).fetchone()
        return int(row[0])

    def add_batch(self, batch: Batch) -> None:
        lines = lines_to_text(batch.lines)
        row = (batch.api, batch.sequence, batch.created_ms, lines, batch.records, batch.root)
        self._run("insert into batches values (?,?,?,?,?,?)", row)

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        self._tables.write()
        rows = self._run(
            "select record_id, api, account, consumer, at_ms, units, charged_wei from requests where api = ?"
            " and state = 'settled' and batch = 0 and record_id > ? and at_ms <= ? order by record_id limit ?",
            (api, after, until_ms, limit),
        )
        return [
            UsageLine(record_id, api, account, consumer, at_ms, units, int(charged_wei))
            for record_id, api, account, consumer, at_ms, units, charged_wei in rows
        ]

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        # One statement, not one for each: while SQLite works the threads of a loop do not wait for Python's lock.
        self._run(
            "update requests set batch = ? where record_id in (select value from json_each(?))",
            (sequence, json.dumps(record_ids)),
        )
        self._run("insert into leaves values (?,?,?,?)", (api, sequence, before, leaves))
        self._tables.forget_lines(record_ids)

    def balance(self, account: str) -> Balance:
        return self._tables.account(account).balance()

    def set_granted(self, account: str, granted_wei: int, was_wei: int) -> None:
        row = self._tables.account(account)
        balance = regranted(row.balance(), granted_wei)
        if balance.epoch != row.epoch:
            row.granted_wei, row.basis_wei, row.epoch = balance.granted_wei, balance.basis_wei, balance.epoch
            self._tables.touch_account(row)

    def commit(self) -> None:
        """Write the documents; the store commits the transaction."""
        if self._written:
            documents = json.dumps(list(self._written.items()), separators=(",", ":"), ensure_ascii=False)
            self._run(
                "insert or replace into settlement"
                " select json_extract(value, '$[0]'), json_quote(json_extract(value, '$[1]')) from json_each(?)",
                (documents,),
            )


def _handle(tables: SqliteTables, operation: Operation[Any]) -> Any:
    return perform(SqliteBooks(tables), operation)


SETTLEMENT_HANDLERS: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = dict.fromkeys(RULES, _handle)
