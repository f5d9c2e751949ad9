"""The whole state in one SQLite file. What was saved is there after a crash, of the program or of the machine.

Every table has a column ``world``: 0 is the present, and other numbers are snapshots, so that those are made and
restored inside SQLite. Only what changed is written. One process at a time has the file open.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.rpc.records import dump_journal, dump_transaction, load_journal, load_transaction
from genlayer_localnet.state.changes import PAGE_BYTES, Changes
from genlayer_localnet.state.transactions import AWAITING_FINALITY, Transaction
from genlayer_localnet.state.world import ContractAccount, Storage, World

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x474C4E54
PRESENT: Final = 0
_CACHE_KIB: Final = 64 * 1024
_CHECKPOINT_PAGES: Final = 4_000
"""Of the write-ahead log, 16 MiB: pages that are written again and again until then are copied once."""
# For each table its columns and the constraint on them. A row id keeps the order in which transactions were submitted.
_TABLES: Final[dict[str, tuple[dict[str, str], str]]] = {
    "balances": ({"address": "BLOB", "wei": "TEXT NOT NULL"}, "PRIMARY KEY (world, address)) WITHOUT ROWID"),
    "nonces": ({"address": "BLOB", "nonce": "INTEGER NOT NULL"}, "PRIMARY KEY (world, address)) WITHOUT ROWID"),
    "contracts": (
        {"address": "BLOB", "code": "TEXT NOT NULL", "filename": "TEXT"},
        "PRIMARY KEY (world, address)) WITHOUT ROWID",
    ),
    "pages": (
        {"address": "BLOB", "slot": "BLOB", "page": "INTEGER", "content": "BLOB NOT NULL"},
        "PRIMARY KEY (world, address, slot, page)) WITHOUT ROWID",
    ),
    "aliases": ({"hash": "TEXT", "id": "TEXT NOT NULL"}, "PRIMARY KEY (world, hash)) WITHOUT ROWID"),
    "transactions": (
        {"id": "TEXT", "status": "TEXT NOT NULL", "body": "TEXT NOT NULL", "journal": "TEXT"},
        "UNIQUE (world, id))",
    ),
}
_SCHEMA: Final[dict[str, str]] = {
    **{
        name: f"(world INTEGER, {', '.join(map(' '.join, columns.items()))}, {constraint}"
        for name, (columns, constraint) in _TABLES.items()
    },
    "codes": "(key TEXT PRIMARY KEY, code BLOB NOT NULL)",
    "facts": "(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "snapshots": "(id INTEGER PRIMARY KEY, now TEXT NOT NULL)",
}

_SAVE_TRANSACTION: Final = """
    INSERT INTO transactions (world, id, status, body, journal) VALUES (?, ?, ?, ?, ?) ON CONFLICT (world, id)
    DO UPDATE SET status = excluded.status, body = excluded.body, journal = excluded.journal
"""


class StateFileError(LocalnetError):
    """The state file cannot be used: another program has it open, or it is something else."""


class StateFile:
    """Not thread-safe: after ``open`` it belongs to the thread that works on the node."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises: StateFileError."""
        self.path = path
        self._known_codes: set[str] = set()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.5)
        except sqlite3.Error as error:
            raise StateFileError(f"cannot open the state file {path}: {error}") from None
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._db.close()
            if "locked" in str(error):
                raise StateFileError(f"the state file {path} is in use by another localnet") from None
            raise StateFileError(f"cannot use the state file {path}: {error}") from None
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise StateFileError(f"{path} is not a state file: {error}") from None
        except StateFileError:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def size_bytes(self) -> int:
        """Of the file and its write-ahead log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        (found,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        if tables and found != APPLICATION_ID:
            raise StateFileError(f"{self.path} is a database of another program")
        if tables and version != SCHEMA_VERSION:
            raise StateFileError(
                f"{self.path} has version {version} of the state, this localnet version {SCHEMA_VERSION}: "
                "use the localnet that made it, or start with another file"
            )
        # Also a view or a trigger, whose code would run.
        if tables and tables != {name: f"CREATE TABLE {name} {columns}" for name, columns in _SCHEMA.items()}:
            raise StateFileError(f"the state file {self.path} is damaged: its tables are not those of a state")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        with self.transaction():
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for name, columns in _SCHEMA.items():
                db.execute(f"CREATE TABLE IF NOT EXISTS {name} {columns}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and on the disk afterwards. Within another one it is a part of that."""
        if self._is_in_transaction():
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._known_codes.clear()
            if self._is_in_transaction():  # some failures have ended it already
                self._db.execute("ROLLBACK")
            raise

    def _is_in_transaction(self) -> bool:
        return self._db.in_transaction

    # --- facts: what is not part of the world ---

    def facts(self) -> dict[str, Any]:
        return {name: json.loads(value) for name, value in self._db.execute("SELECT name, value FROM facts")}

    # --- the present ---

    def save(self, world: World, changes: Changes, facts: dict[str, Any] | None) -> None:
        """Write what changed, with the facts where they did."""
        with self.transaction():
            self._save_accounts(world, changes)
            self._save_contracts(world, changes)
            self._save_transactions(world, changes)
            if facts is not None:
                rows = [(name, json.dumps(value)) for name, value in facts.items()]
                self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def _save_accounts(self, world: World, changes: Changes) -> None:
        balances = [(PRESENT, address, str(world.balance(address))) for address in changes.balances]
        nonces = [(PRESENT, address, world.nonces.get(address, 0)) for address in changes.nonces]
        aliases = [(PRESENT, key, world.aliases[key]) for key in changes.aliases]
        self._db.executemany("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", balances)
        self._db.executemany("INSERT OR REPLACE INTO nonces VALUES (?, ?, ?)", nonces)
        self._db.executemany("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", aliases)

    def _save_contracts(self, world: World, changes: Changes) -> None:
        for address in changes.contracts:
            account = world.contracts.get(address)
            if account is None:
                self._db.execute("DELETE FROM contracts WHERE world = ? AND address = ?", (PRESENT, address))
            else:
                row = (PRESENT, address, self._keep_code(account.code), account.filename)
                self._db.execute("INSERT OR REPLACE INTO contracts VALUES (?, ?, ?, ?)", row)
        written, gone = [], []
        for address, slot, page in changes.pages:
            account = world.contracts.get(address)
            content = None if account is None else account.storage.get(slot)
            part = b"" if content is None else content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
            if part or (content is not None and page == 0):
                written.append((PRESENT, address, slot, page, part))
            else:
                gone.append((PRESENT, address, slot, page))
        self._db.executemany("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?)", written)
        self._db.executemany("DELETE FROM pages WHERE world = ? AND address = ? AND slot = ? AND page >= ?", gone)

    def _save_transactions(self, world: World, changes: Changes) -> None:
        for key in changes.transactions:
            transaction = world.transactions.get(key)
            if transaction is None:
                self._db.execute("DELETE FROM transactions WHERE world = ? AND id = ?", (PRESENT, key))
                continue
            body = dump_transaction(transaction, self._keep_code)
            journal = dump_journal(transaction.journal) if transaction.journal else None
            self._db.execute(_SAVE_TRANSACTION, (PRESENT, key, transaction.status, body, journal))

    def _keep_code(self, code: bytes) -> str:
        key = hashlib.sha256(code).hexdigest()
        if key not in self._known_codes:
            self._db.execute("INSERT OR IGNORE INTO codes VALUES (?, ?)", (key, code))
            self._known_codes.add(key)
        return key

    # --- loading ---

    def load(self, now: datetime, number: int = PRESENT) -> World:
        """The present, or a snapshot, as a world of its own."""
        db, world = self._db, World(now)
        codes = dict(db.execute("SELECT key, code FROM codes"))
        for address, wei in db.execute("SELECT address, wei FROM balances WHERE world = ?", (number,)):
            if wei != "0":
                world.balances[address] = int(wei)
        world.nonces.update(db.execute("SELECT address, nonce FROM nonces WHERE world = ?", (number,)))
        world.aliases.update(db.execute("SELECT hash, id FROM aliases WHERE world = ?", (number,)))
        for address, code, filename in db.execute(
            "SELECT address, code, filename FROM contracts WHERE world = ?", (number,)
        ):
            world.contracts[address] = ContractAccount(codes[code], filename, Storage(address))
        pages = "SELECT address, slot, page, content FROM pages WHERE world = ? ORDER BY address, slot, page"
        for address, slot, page, content in db.execute(pages, (number,)):
            storage = world.contracts[address].storage
            if page == 0:
                storage[slot] = bytearray(memoryview(content))  # of a number it would make so many zeros
            else:
                storage[slot] += content
        self._load_transactions(world, number, codes)
        return world

    def _load_transactions(self, world: World, number: int, codes: dict[str, bytes]) -> None:
        rows = self._db.execute(
            "SELECT id, status, body, journal FROM transactions WHERE world = ? ORDER BY rowid", (number,)
        )
        waiting: list[tuple[int, Transaction]] = []
        replaced: dict[tuple[bytes, int], int] = {}
        for place, (key, status, body, journal) in enumerate(rows):
            transaction = load_transaction(body, status, codes.__getitem__)
            world.transactions[key] = transaction
            if journal is not None:
                transaction.journal = load_journal(journal, world)
            sent = (transaction.sender, transaction.nonce)
            if status == "cancelled" and transaction.raw:
                replaced.setdefault(sent, place)
            if status == "pending":  # in the place of what it replaces
                waiting.append((replaced.get(sent, place) if transaction.raw else place, transaction))
        world.pending.extend(transaction for _, transaction in sorted(waiting, key=itemgetter(0)))
        decided = sorted((one for one in world.transactions.values() if one.block), key=lambda one: one.block)
        world.blocks.extend(transaction.id for transaction in decided)
        for one in decided:
            if one.status in AWAITING_FINALITY:
                world.unfinalized.append(one)
                world.count_arrival(one, 1)

    # --- snapshots ---

    def create_snapshot(self, now: datetime) -> int:
        """Copy the present, which must have been saved; the number of the snapshot, from 1."""
        with self.transaction():
            (number,) = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM snapshots").fetchone()
            self._copy(PRESENT, number)
            self._db.execute("INSERT INTO snapshots VALUES (?, ?)", (number, now.isoformat()))
        return int(number)

    def restore_snapshot(self, number: int) -> World | None:
        """Put a snapshot in the place of the present and load it; None when there is none."""
        row = self._db.execute("SELECT now FROM snapshots WHERE id = ?", (number,)).fetchone()
        if row is None:
            return None
        world = self.load(datetime.fromisoformat(row[0]), number)
        with self.transaction():
            self._delete(PRESENT)
            self._copy(number, PRESENT)
        return world

    def delete_snapshots(self) -> int:
        with self.transaction():
            numbers = [number for (number,) in self._db.execute("SELECT id FROM snapshots")]
            for number in numbers:
                self._delete(number)
            self._db.execute("DELETE FROM snapshots")
        return len(numbers)

    def clear(self) -> None:
        """Forget the present."""
        with self.transaction():
            self._delete(PRESENT)

    def _delete(self, number: int) -> None:
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table} WHERE world = ?", (number,))

    def _copy(self, source: int, target: int) -> None:
        for table, (columns, _) in _TABLES.items():
            names = ", ".join(columns)
            order = "ORDER BY rowid" if table == "transactions" else ""
            self._db.execute(
                f"INSERT INTO {table} (world, {names}) SELECT ?, {names} FROM {table} WHERE world = ? {order}",
                (target, source),
            )
