"""The documents of settlement in ``postgresql://``: each operation is a transaction under one advisory lock.

The lock keeps the rules of two processes apart; requests never take it. Accounts are locked as the ledger's steps lock
them, all at once and only at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import psycopg

from api_billing.metering.ledger.books import regranted
from api_billing.metering.ledger.documents import KeptDocuments, lines_from_text, lines_to_text
from api_billing.metering.ledger.operations import NO_BALANCE, Balance, Batch, Operation
from api_billing.metering.ledger.settlement_rules import RULES, perform
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.postgresql.rows import balance_of, received, sent, stripe
from api_billing.metering.stores.postgresql.steps import LOCK

Connection = psycopg.Connection[tuple[Any, ...]]

_SETTLING: Final = 1835365493  # advisory lock of the rules


class PostgresqlBooks(KeptDocuments):
    """What the rules read and write, within a transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._granted: dict[str, int] = {}
        connection.execute("select pg_advisory_xact_lock(%s)", (_SETTLING,))

    def _fetched(self, keys: Sequence[str]) -> Iterable[tuple[str, Any]]:
        rows = self._connection.execute(
            "select key, document from meter_settlement where key = any (%s)", ([sent(key) for key in keys],)
        )
        return [(received(key), json.loads(received(document))) for key, document in rows]

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        rows = self._connection.execute(
            "select sequence, created_ms, lines, records, root from meter_batches where api_key = meter_key(%s)"
            " and sequence > %s order by sequence limit %s",
            (sent(api), after, limit),
        )
        return [
            Batch(api, sequence, created_ms, lines_from_text(received(lines)), records, root)
            for sequence, created_ms, lines, records, root in rows
        ]

    def last_sequence(self, api: str) -> int:
        row = self._connection.execute(
            "select coalesce(max(sequence), 0) from meter_batches where api_key = meter_key(%s)", (sent(api),)
        ).fetchone()
        return int(row[0]) if row else 0

    def add_batch(self, batch: Batch) -> None:
        self._connection.execute(
            "insert into meter_batches values (meter_key(%s), %s, %s, %s, %s, %s)",
            (
                sent(batch.api), batch.sequence, batch.created_ms, sent(lines_to_text(batch.lines)), batch.records,
                batch.root,
            ),
        )  # fmt: skip

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        rows = self._connection.execute(
            "select record_id, account, consumer, at_ms, units, charged::text from meter_records"
            " where meter_key(api) = meter_key(%s) and state = 'settled' and batch = 0 and at_ms <= %s"
            " and record_id > %s order by record_id limit %s",
            (sent(api), until_ms, sent(after), limit),
        )
        return [
            UsageLine(received(record_id), api, received(account), received(consumer), at_ms, units, int(charged))
            for record_id, account, consumer, at_ms, units, charged in rows
        ]

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        self._connection.execute(
            "update meter_records set batch = %s where record_id = any (%s)",
            (sequence, list(map(sent, record_ids))),
        )
        self._connection.execute(
            "insert into meter_leaves values (meter_key(%s), %s, %s, %s)", (sent(api), sequence, before, leaves)
        )

    def balance(self, account: str) -> Balance:
        row = self._connection.execute(
            "select meter_balance(a) from meter_accounts a where account = meter_key(%s)", (sent(account),)
        ).fetchone()
        return NO_BALANCE if row is None else balance_of(row[0])

    def set_granted(self, account: str, granted_wei: int, was_wei: int) -> None:
        self._granted[account] = granted_wei

    def commit(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "insert into meter_settlement values (%s, %s) on conflict (key) do update"
                " set document = excluded.document",
                [(sent(key), sent(_text(document))) for key, document in self._written.items()],
            )
        if self._granted:
            self._connection.execute(LOCK, ([stripe("a", account) for account in self._granted], []))
        for account, granted_wei in self._granted.items():
            balance = regranted(self.balance(account), granted_wei)
            self._connection.execute(
                "insert into meter_accounts (account, granted, basis, epoch) values (meter_key(%s), %s, %s, %s)"
                " on conflict (account) do update set granted = excluded.granted, basis = excluded.basis,"
                " epoch = excluded.epoch",
                (sent(account), balance.granted_wei, balance.basis_wei, balance.epoch),
            )


def _text(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _handle(connection: Connection, operation: Operation[Any]) -> Any:
    return perform(PostgresqlBooks(connection), operation)


SETTLEMENT_LISTINGS: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = dict.fromkeys(RULES, _handle)
