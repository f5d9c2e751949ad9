"""The documents of settlement in ``redis://``: the rules run here, and a script writes what they decide.

It writes only if nothing they read has changed; otherwise they run again. Only the documents and what is granted are
compared, and no request changes these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from api_billing.merkle import HASH_BYTES
from api_billing.metering.ledger.documents import lines_to_text
from api_billing.metering.ledger.operations import Balance, Batch, ListBatches, Operation
from api_billing.metering.ledger.settlement_rules import RULES, perform
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.redis.listings import Server, list_batches
from api_billing.metering.stores.redis.steps import Value, balance_of


class _ChangedMeanwhile(Exception):
    """Somebody else was faster: nothing was written."""


class RedisBooks:
    """What the rules read, to be compared, and what they write, to be written in one step."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._was: dict[str, bytes | None] = {}
        self._written: dict[str, bytes] = {}
        self._batches: list[Batch] = []
        self._usage: list[Value] | None = None
        self._granted: dict[str, tuple[int, int]] = {}
        self._balances: dict[str, Balance] = {}

    def prefetch(self, keys: Sequence[str]) -> None:
        missing = [key for key in keys if key not in self._was]
        if missing:
            self._was.update(zip(missing, self._server.ask("HMGET", "settlement", *missing), strict=True))

    def read(self, key: str) -> Any:
        self.prefetch([key])
        document = self._written.get(key, self._was[key])
        return None if document is None else json.loads(document)

    def write(self, key: str, document: Any) -> None:
        self.prefetch([key])
        self._written[key] = _text(document)

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        return list_batches(self._server, ListBatches(api, after, limit))

    def last_sequence(self, api: str) -> int:
        return int(self._server.ask("HLEN", f"b:{api}")) + len(self._batches)

    def add_batch(self, batch: Batch) -> None:
        self._batches.append(batch)

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        found: list[UsageLine] = []
        first = f"({after}" if after else "-"
        while len(found) < limit:
            ids = self._server.ask("ZRANGEBYLEX", f"ub:{api}", first, "+", "LIMIT", 0, limit)
            rows = self._server.ask_all([("HMGET", f"r:{each.decode()}", ("a", "c", "t", "u", "g")) for each in ids])
            for record_id, (account, consumer, at_ms, units, charged) in zip(ids, rows, strict=True):
                if account is not None and int(at_ms) <= until_ms:
                    names = (record_id.decode(), api, account.decode(), consumer.decode())
                    found.append(UsageLine(*names, int(at_ms), int(units), int(charged)))
            if len(ids) < limit:
                break
            first = f"({ids[-1].decode()}"
        return found[:limit]

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        place = before * HASH_BYTES
        self._usage = [api, sequence, place, leaves, len(record_ids), *record_ids]

    def balance(self, account: str) -> Balance:
        if account not in self._balances:
            row = self._server.ask("HMGET", f"a:{account}", "g", "r", "c", "b", "e")
            self._balances[account] = Balance(*(int(value or 0) for value in row))
        return self._balances[account]

    def set_granted(self, account: str, granted_wei: int, was_wei: int) -> None:
        self._granted[account] = (was_wei, granted_wei)

    def commit(self) -> None:
        if not (self._written or self._batches or self._granted or self._usage):
            return
        values: list[Value] = [len(self._was)]
        for key, was in self._was.items():
            values += (key, was or b"", self._written.get(key, b""))
        values.append(len(self._batches))
        for batch in self._batches:
            document = json.dumps([batch.created_ms, lines_to_text(batch.lines), batch.records, batch.root])
            values += (batch.api, batch.sequence, document)
        values += self._usage or ("", 0, 0, b"", 0)
        for account, (was_wei, granted_wei) in self._granted.items():
            values += (account, was_wei, granted_wei)
        answer = self._server.step("books", *values)
        if answer == 0:
            raise _ChangedMeanwhile
        self._balances = dict(zip(self._granted, map(balance_of, answer), strict=True))


def _text(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _handle(server: Server, operation: Operation[Any]) -> Any:
    while True:
        try:
            return perform(RedisBooks(server), operation)
        except _ChangedMeanwhile:
            continue


SETTLEMENT_LISTINGS: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = dict.fromkeys(RULES, _handle)
