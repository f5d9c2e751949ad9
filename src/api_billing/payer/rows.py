"""The rows of the payer's book, and what reads and writes them within a transaction. Amounts are text: they can have
more digits than an integer of SQLite.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final, Literal

from api_billing.vouchers import Channel, Voucher

VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, contract TEXT, chain_id INTEGER, api TEXT, payer TEXT, signer TEXT, key BLOB, state TEXT,
    owner TEXT, tx TEXT, origin TEXT, amount_wei TEXT, expires_at INTEGER, started_at INTEGER
);
CREATE TABLE channels (
    id TEXT PRIMARY KEY, session INTEGER, number INTEGER, operator TEXT, asset TEXT, signed_wei TEXT, charged_wei TEXT,
    most_wei TEXT, is_stopped INTEGER
);
CREATE TABLE payments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT, owner TEXT, amount_wei TEXT, is_exact INTEGER,
    began_at INTEGER
);
CREATE TABLE days (payer TEXT, day INTEGER, signed_wei TEXT, PRIMARY KEY (payer, day));
"""
State = Literal["opening", "sent", "open", "closing", "closed"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most to be signed for a call, and on a day (UTC); and to be on hold by sessions that requests had opened."""

    max_wei_per_call: int
    max_wei_a_day: int
    max_wei_on_hold: int = 0


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """A session of this wallet. ``opening`` until its transaction is accepted, ``sent`` until that is final;
    ``closing`` when its server has been told to close it. ``origin`` is whose request had it opened, empty for none.
    """

    id: int
    contract: str
    chain_id: int
    api: str
    payer: str
    signer: str
    key: bytes
    state: State
    owner: str
    tx: str
    origin: str
    amount_wei: int
    expires_at: int
    started_at: int

    def __repr__(self) -> str:
        """Without its key."""
        return f"SessionEntry({self.api!r}, signer {self.signer}, {self.state})"


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """What is known of a channel: see the module."""

    id: str
    number: int
    operator: str
    asset: str
    signed_wei: int = 0
    charged_wei: int = 0
    most_wei: int = 0
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Spending:
    """A payment under way: at most ``amount_wei`` of a channel, signed for by its ``voucher``. ``raised_wei`` is by how
    much its call has raised what is signed, of all channels.
    """

    id: int
    session: SessionEntry
    channel: Channel
    number: int
    amount_wei: int
    is_exact: bool
    bounds: Bounds
    raised_wei: int
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Paid:
    """How a payment ended. ``cost_wei`` is None where the server did not say what this one cost."""

    channel_id: str
    amount_wei: int
    cost_wei: int | None
    charged_wei: int


def write(db: sqlite3.Connection, session: int, entry: ChannelEntry, **now: int) -> None:
    """Write a channel, with what is another now; what was signed and charged never falls."""
    signed_wei = max(entry.signed_wei, now.get("signed_wei", 0))
    charged_wei, most_wei = now.get("charged_wei", entry.charged_wei), now.get("most_wei", entry.most_wei)
    db.execute(
        "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (entry.id, session, entry.number, entry.operator, entry.asset, str(signed_wei), str(charged_wei),
         str(most_wei), now.get("is_stopped", entry.is_stopped)),
    )  # fmt: skip


def end(db: sqlite3.Connection, spending: Spending) -> None:
    """A payment has ended."""
    db.execute("DELETE FROM payments WHERE id = ?", (spending.id,))


def is_under_way(db: sqlite3.Connection, spending: Spending) -> bool:
    """Whether a payment has not ended."""
    return db.execute("SELECT 1 FROM payments WHERE id = ?", (spending.id,)).fetchone() is not None


def under_way(db: sqlite3.Connection, channel_id: str, but: int = 0) -> list[tuple[int, bool]]:
    """Amounts of the payments of a channel that have not ended, and whether each is exact."""
    rows = db.execute("SELECT amount_wei, is_exact FROM payments WHERE channel = ? AND id != ?", (channel_id, but))
    return [(int(amount), bool(exact)) for amount, exact in rows]


def signed(db: sqlite3.Connection, payer: str, day: int) -> int:
    """What was signed on a day."""
    found = db.execute("SELECT signed_wei FROM days WHERE payer = ? AND day = ?", (payer, day)).fetchone()
    return int(found[0]) if found else 0


def channels(db: sqlite3.Connection, session: SessionEntry) -> list[ChannelEntry]:
    """The channels of a session."""
    rows = db.execute("SELECT * FROM channels WHERE session = ? ORDER BY number", (session.id,))
    return [channel_of(row) for row in rows]


def channel(db: sqlite3.Connection, channel_id: str) -> ChannelEntry | None:
    """A channel, if it is there."""
    found = db.execute("SELECT * FROM channels WHERE id = ?", (channel_id,)).fetchone()
    return channel_of(found) if found else None


def channel_of(row: tuple[Any, ...]) -> ChannelEntry:
    """A channel of its row."""
    name, _, number, operator, asset, signed, charged, most, is_stopped = row
    return ChannelEntry(name, number, operator, asset, int(signed), int(charged), int(most), bool(is_stopped))


def session_of(row: tuple[Any, ...]) -> SessionEntry:
    """A session of its row."""
    *head, amount_wei, expires_at, started_at = row
    values: tuple[Any, ...] = (*head, int(amount_wei), expires_at, started_at)
    return SessionEntry(*values)
