"""The payer's book: its sessions with their keys, what was signed in each channel, and what was paid on each day.

One SQLite file, for its owner alone. Every step is one transaction, on disk before it is relied on, so that a process
may die between any two of them:

- A payment is written down before it is signed. Of processes and threads no two sign for the same wei: a channel's next
  voucher is for what is charged, all that is under way, and the new amount. Over x402, whose vouchers have to be for
  exactly one amount more than is charged, a channel has one payment at a time.
- What is signed is what can be billed, whatever its server says: bounds are on that. By how much a payment raises the
  signed sum of its channel counts for its call and for its day, and is never taken off again; what is signed and not
  charged pays for the next one, and does not count twice.
- A channel's ``charged`` is what receipts have said. ``most`` is what may have been charged at the worst: a payment
  whose end is not known stays in it. What a server says is believed between the two, and never above.
- Payments of a process that has died end as lost ones. Each process holds a lock on a file of its own while it lives.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from api_billing.amounts import format_wei
from api_billing.contract_api import DAY_SECONDS
from api_billing.errors import BadReceipt, InvalidInput, NotPayable, TooExpensive
from api_billing.keys import keys_dir
from api_billing.payer import rows
from api_billing.payer.rows import Bounds, ChannelEntry, Paid, SessionEntry, Spending, State
from api_billing.payments.offers import Offer
from api_billing.vouchers import MAX_CUMULATIVE_WEI, Channel, Voucher, is_signed_by, sign_voucher

FILE_VARIABLE: Final = "API_BILLING_PAYER_FILE"
MAX_CHANNELS: Final = 16  # of a session: as many as the contract bills
MAX_OPENINGS: Final = 4  # of sessions with an API that requests have opened within a day
EXACT_SECONDS: Final = 300  # after which a payment over x402 that nobody ended is lost
_BY_HAND: Final = "open it yourself, if you want it: Wallet.open_session"
_PARENTS: Final[list[sqlite3.Connection]] = []
_WAIT_SECONDS: Final = 30  # for another process's transaction


def default_path() -> Path:
    """``$API_BILLING_PAYER_FILE``, or `payer.db` beside the keys folder."""
    return Path(os.environ.get(FILE_VARIABLE) or keys_dir().parent / "payer.db")


class Book:
    """The book at a path, made where there is none. Can be used from several threads and processes, also after a fork.

    ``clock`` gives Unix seconds. Raises: InvalidInput, for a file that is none, or that others can read.
    """

    _db: sqlite3.Connection
    _owner: str

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path or default_path()
        self._clock = clock
        self._lock = threading.RLock()
        self._pid = 0
        self._alive = -1
        with self._lock:
            self._connection()

    def close(self) -> None:
        """Give up what this process holds; what it had under way is lost by that."""
        with self._lock:
            if self._pid == os.getpid():
                self._db.close()
                os.unlink(self._mark(self.owner))
                os.close(self._alive)
            self._pid = 0

    # --- sessions

    def sessions(self) -> list[SessionEntry]:
        """All of them, the newest first."""
        with self._turn() as db:
            return [rows.session_of(row) for row in db.execute("SELECT * FROM sessions ORDER BY id DESC")]

    def channels(self, session: SessionEntry) -> list[ChannelEntry]:
        """The channels of a session."""
        with self._turn() as db:
            return rows.channels(db, session)

    def usable(self, contract: str, chain_id: int, api: str, payer: str) -> SessionEntry | None:
        """The session to pay an API from, or the one that is being opened; None without one that goes on."""
        with self._turn() as db:
            chosen = db.execute(
                "SELECT * FROM sessions WHERE contract = ? AND chain_id = ? AND api = ? AND payer = ? "
                "AND state != 'closed' ORDER BY id DESC",
                (contract.lower(), chain_id, api, payer.lower()),
            )
            found = [rows.session_of(row) for row in chosen]
        now = int(self._clock())
        return next((each for each in found if each.state in ("opening", "sent") or each.expires_at > now), None)

    def begin_session(
        self, *, contract: str, chain_id: int, api: str, payer: str, signer: str, key: bytes, amount_wei: int,
        expires_at: int, origin: str = "", max_wei_on_hold: int = 0,
    ) -> SessionEntry | None:  # fmt: skip
        """Write a session down, with its key, before anybody is asked to open it; None when there is one by now.

        Raises: TooExpensive, NotPayable, when a request of an ``origin`` is to have it opened and may not.
        """
        with self._turn() as db:
            if self.usable(contract, chain_id, api, payer) is not None:
                return None
            if origin:
                place = contract.lower(), chain_id, payer.lower()
                self._check_opening(db, place, api, origin, amount_wei, max_wei_on_hold)
            done = db.execute(
                "INSERT INTO sessions (contract, chain_id, api, payer, signer, key, state, owner, tx, origin, "
                "amount_wei, expires_at, started_at) VALUES (?, ?, ?, ?, ?, ?, 'opening', ?, '', ?, ?, ?, ?)",
                (contract.lower(), chain_id, api, payer.lower(), signer.lower(), key, self.owner, origin,
                 str(amount_wei), expires_at, int(self._clock())),
            )  # fmt: skip
            return self._session(db, done.lastrowid or 0)

    def find(self, session: SessionEntry) -> SessionEntry:
        """A session as it is now."""
        with self._turn() as db:
            return self._session(db, session.id)

    def take_over(self, session: SessionEntry) -> bool:
        """Go on opening what another process began, if that has died; False while it lives."""
        with self._turn() as db:
            found = self._session(db, session.id)
            if found.owner != self.owner and self._lives(found.owner):
                return False
            db.execute("UPDATE sessions SET owner = ? WHERE id = ?", (self.owner, session.id))
            return True

    def set_state(
        self, session: SessionEntry, state: State, *, expires_at: int | None = None, tx: str = ""
    ) -> SessionEntry:
        """Note how far a session is; and until when it is and by which transaction, when that is another one."""
        with self._turn() as db:
            db.execute(
                "UPDATE sessions SET state = ?, expires_at = ?, tx = ? WHERE id = ?",
                (state, expires_at or session.expires_at, tx or session.tx, session.id),
            )
            return self._session(db, session.id)

    # --- payments

    def begin(
        self, session: SessionEntry, offer: Offer, amount_wei: int, bounds: Bounds, *, is_exact: bool,
        raised_wei: int = 0, from_number: int = 0,
    ) -> Spending | None:  # fmt: skip
        """Write a payment down and sign for it, in the first channel from a number on that is free for it. Its call has
        signed for ``raised_wei`` already, which came to nothing.

        None while all of them are busy. Raises: TooExpensive.
        """
        with self._turn() as db:
            self._bury(db, session)
            for number in range(from_number, MAX_CHANNELS):
                channel = offer.channel(session.payer, session.signer, f"0x{number:064x}")
                entry = rows.channel(db, channel.id) or ChannelEntry(channel.id, number, offer.operator, offer.asset)
                under_way = rows.under_way(db, channel.id)
                if not (entry.is_stopped or any(exact for _, exact in under_way) or (is_exact and under_way)):
                    break
            else:
                return None
            reach_wei = entry.charged_wei + sum(wei for wei, _ in under_way) + amount_wei
            if not is_exact:  # never for more than it is for, whatever others have under way
                reach_wei = max(entry.signed_wei, min(reach_wei, entry.signed_wei + amount_wei))
            most_wei = entry.most_wei + amount_wei
            raised_wei = self._raise(db, session, entry, reach_wei, raised_wei, bounds, most_wei=most_wei)
            done = db.execute(
                "INSERT INTO payments (channel, owner, amount_wei, is_exact, began_at) VALUES (?, ?, ?, ?, ?)",
                (channel.id, self.owner, str(amount_wei), is_exact, int(self._clock())),
            )
        voucher = _signed(session, channel, reach_wei)
        return Spending(
            done.lastrowid or 0, session, channel, number, amount_wei, is_exact, bounds, raised_wei, voucher
        )

    def insist(self, spending: Spending, required_wei: int | None) -> Spending | None:
        """Sign for more, when a server says that it takes so much (None: when it does not say), as far as that can be
        so: by what is paid, or by one wei, more than all that was signed by now: others may have used that up, and it
        may have become public.

        None, when it is no more than this payment is signed for. Raises: NotPayable, when it is more than can be due;
        TooExpensive.
        """
        with self._turn() as db:
            entry = self._entry(db, spending)
            due_wei = entry.signed_wei + max(spending.amount_wei, 1)
            if required_wei is None:
                left_wei = spending.bounds.max_wei_per_call - spending.raised_wei
                required_wei = min(max(entry.most_wei, entry.signed_wei + 1), due_wei, entry.signed_wei + left_wei)
            if required_wei <= spending.voucher.cumulative_wei:
                return None
            if required_wei > due_wei:
                raise NotPayable(f"the server asks for a voucher of {required_wei} wei: at most {due_wei} can be due")
            return self._again(db, spending, entry, required_wei)

    def extend(self, spending: Spending, required_wei: int) -> Spending:
        """Let a payment that goes on have as much more as the server says it takes. Raises: TooExpensive."""
        with self._turn() as db:
            entry = self._entry(db, spending)
            by_wei = max(0, required_wei - entry.most_wei)
            amount_wei = spending.amount_wei + by_wei
            if amount_wei > spending.bounds.max_wei_per_call:
                raise too_expensive(amount_wei, spending.bounds.max_wei_per_call)
            db.execute("UPDATE payments SET amount_wei = ? WHERE id = ?", (str(amount_wei), spending.id))
            longer = replace(spending, amount_wei=amount_wei)
            cumulative_wei = max(required_wei, spending.voucher.cumulative_wei)
            return self._again(db, longer, entry, cumulative_wei, most_wei=entry.most_wei + by_wei)

    def correct(self, spending: Spending, charged_wei: int, required_wei: int, proof: Voucher | None) -> Spending:
        """Sign again over x402, as the server says that the channel is somewhere else: ``charged_wei``, of which
        ``proof`` is the highest voucher that it has. That is believed as far as it may be so by this book; or, where
        the book is an older copy of itself, as far as the voucher proves by its own signature.

        Raises: NotPayable, TooExpensive.
        """
        with self._turn() as db:
            entry = self._entry(db, spending)
            most_wei = entry.most_wei - spending.amount_wei
            if proof is not None and proof.cumulative_wei > entry.signed_wei and is_signed_by(spending.channel, proof):
                entry = replace(entry, signed_wei=proof.cumulative_wei)
                most_wei = max(most_wei, proof.cumulative_wei)
            charged_wei = max(charged_wei, entry.charged_wei)  # what is public may be less
            sent_wei = spending.voucher.cumulative_wei
            if proof is not None and most_wei < charged_wei <= proof.cumulative_wei == sent_wei == entry.signed_wei:
                # The voucher that was sent may be public, by another copy of this book: one wei more proves who it is.
                return self._again(db, spending, entry, entry.signed_wei + 1)
            if charged_wei > min(most_wei, entry.signed_wei):
                raise NotPayable(f"the server says that {charged_wei} wei are charged, which nothing proves")
            if required_wei > max(charged_wei + spending.amount_wei, entry.signed_wei + 1):
                raise NotPayable(f"the server asks for a voucher of {required_wei} wei, which is more than can be due")
            most_wei += spending.amount_wei
            return self._again(db, spending, entry, required_wei, charged_wei=charged_wei, most_wei=most_wei)

    def finish(self, spending: Spending, *, total_wei: int, cost_wei: int | None, is_final: bool = False) -> Paid:
        """End a payment by its receipt: what it cost, if that was said, and what is charged of the channel in all, with
        all of this one when it ``is_final``.

        Raises: BadReceipt, when that cannot be; the channel is stopped by it.
        """
        with self._turn() as db:
            entry = self._entry(db, spending)
            wrong = _wrong(entry, spending, total_wei, cost_wei)
            if wrong:
                rows.write(db, spending.session.id, entry, is_stopped=True)
            else:
                is_alone = is_final and not rows.under_way(db, entry.id, but=spending.id)
                if cost_wei is None and is_alone and entry.charged_wei + spending.amount_wei == entry.most_wei:
                    cost_wei = total_wei - entry.charged_wei if total_wei >= entry.charged_wei else None
                unused_wei = 0 if cost_wei is None else spending.amount_wei - cost_wei
                charged_wei = max(entry.charged_wei, total_wei)
                rows.write(
                    db, spending.session.id, entry, charged_wei=charged_wei,
                    most_wei=max(entry.most_wei - unused_wei, charged_wei),
                )  # fmt: skip
            rows.end(db, spending)
        if wrong:
            raise BadReceipt(f"{wrong}; channel {entry.id} pays for nothing more")
        return Paid(entry.id, spending.amount_wei, cost_wei, charged_wei)

    def refused(self, spending: Spending) -> None:
        """End a payment that the server has refused: nothing was served, and nothing should be charged for it."""
        self.failed(spending, 0)

    def failed(self, spending: Spending, cost_wei: int | None) -> None:
        """End a payment whose answer has no receipt, but perhaps says what it cost: MPP has receipts of successes
        only. When it does not say, nothing should be charged, and the server may claim it yet.
        """
        with self._turn() as db:
            if cost_wei is not None and rows.is_under_way(db, spending):
                entry = self._entry(db, spending)
                counted_wei = min(cost_wei, spending.amount_wei)
                most_wei = max(entry.most_wei - spending.amount_wei + counted_wei, entry.charged_wei)
                charged_wei = min(entry.charged_wei + counted_wei, most_wei, entry.signed_wei)
                rows.write(db, spending.session.id, entry, most_wei=most_wei, charged_wei=charged_wei)
            rows.end(db, spending)

    def lost(self, spending: Spending) -> None:
        """End a payment of which no answer came: it may have been charged."""
        self.failed(spending, None)

    def check(self, payer: str, by_wei: int, raised_wei: int, bounds: Bounds) -> None:
        """Whether a call that has signed for ``raised_wei`` may sign for so much more. Raises: TooExpensive."""
        if raised_wei + by_wei > bounds.max_wei_per_call:
            raise too_expensive(raised_wei + by_wei, bounds.max_wei_per_call)
        signed_wei = self.signed_wei(payer)
        if by_wei > 0 and signed_wei + by_wei > bounds.max_wei_a_day:
            asked, most, before = (format_wei(wei, exact=True) for wei in (by_wei, bounds.max_wei_a_day, signed_wei))
            message = f"with {asked} more it would be above {most}, the bound of a day: {before} are signed for today"
            hint = "nothing was signed for that; a day begins at 00:00 UTC"
            raise TooExpensive(message, signed_wei + by_wei, bounds.max_wei_a_day, hint=hint)

    def signed_wei(self, payer: str) -> int:
        """What was signed today (UTC): by how much the sums of all channels have risen."""
        with self._turn() as db:
            return rows.signed(db, payer.lower(), self._today)

    # --- parts

    @property
    def owner(self) -> str:
        """The name of this process in the book."""
        with self._lock:
            self._connection()
            return self._owner

    def _check_opening(
        self, db: sqlite3.Connection, place: tuple[str, int, str], api: str, origin: str, amount_wei: int,
        max_wei_on_hold: int,
    ) -> None:  # fmt: skip
        """Whether a request may have a session opened: a server says which API it is, and anybody can register some."""
        now = int(self._clock())
        of_requests = "SELECT * FROM sessions WHERE contract = ? AND chain_id = ? AND payer = ? AND origin != ''"
        chosen = db.execute(of_requests, place)
        asked_for = [rows.session_of(row) for row in chosen]
        held = [each for each in asked_for if each.state != "closed" and each.expires_at > now]
        other = next((each.api for each in held if each.origin == origin), None)
        if other is not None:
            raise NotPayable(f"{origin} asks for {api}, and had a session with {other} opened before", hint=_BY_HAND)
        on_hold_wei = amount_wei + sum(each.amount_wei for each in held)
        if on_hold_wei > max_wei_on_hold:
            asked, most = format_wei(on_hold_wei, exact=True), format_wei(max_wei_on_hold, exact=True)
            message = f"a session with {api} would put {asked} on hold in all, above {most}, the bound of it"
            raise TooExpensive(message, on_hold_wei, max_wei_on_hold, hint="say more: max_wei_on_hold=")
        if sum(each.api == api and each.started_at > now - DAY_SECONDS for each in asked_for) >= MAX_OPENINGS:
            raise NotPayable(f"{MAX_OPENINGS} sessions with {api} were opened within a day", hint=_BY_HAND)

    def _raise(
        self, db: sqlite3.Connection, session: SessionEntry, entry: ChannelEntry, cumulative_wei: int, raised_wei: int,
        bounds: Bounds, **now: int,
    ) -> int:  # fmt: skip
        """Write down that a voucher of a channel is for so much, and by how much that raises what is signed. It counts
        for good: who has the voucher can bill it, whatever they say. Returns the same of the whole call.

        Raises: TooExpensive, above a bound.
        """
        by_wei = max(0, cumulative_wei - entry.signed_wei)
        self.check(session.payer, by_wei, raised_wei, bounds)
        if by_wei > 0:
            values = session.payer, self._today, str(rows.signed(db, session.payer, self._today) + by_wei)
            db.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?)", values)
        rows.write(db, session.id, entry, signed_wei=cumulative_wei, **now)
        return raised_wei + by_wei

    def _again(
        self, db: sqlite3.Connection, spending: Spending, entry: ChannelEntry, cumulative_wei: int, **now: int
    ) -> Spending:
        """A payment with another voucher."""
        raised_wei = self._raise(
            db, spending.session, entry, cumulative_wei, spending.raised_wei, spending.bounds, **now
        )
        voucher = _signed(spending.session, spending.channel, cumulative_wei)
        return replace(spending, raised_wei=raised_wei, voucher=voucher)

    def _entry(self, db: sqlite3.Connection, spending: Spending) -> ChannelEntry:
        found = rows.channel(db, spending.channel.id)
        if found is None:
            raise InvalidInput(f"{self.path} is another book than it was")
        return found

    def _session(self, db: sqlite3.Connection, number: int) -> SessionEntry:
        return rows.session_of(db.execute("SELECT * FROM sessions WHERE id = ?", (number,)).fetchone())

    @property
    def _today(self) -> int:
        return int(self._clock()) // DAY_SECONDS

    def _bury(self, db: sqlite3.Connection, session: SessionEntry) -> None:
        """End what processes had under way that have died, and what over x402 nobody has ended in time."""
        late = int(self._clock()) - EXACT_SECONDS
        db.execute(
            "DELETE FROM payments WHERE is_exact AND began_at < ? AND channel IN "
            "(SELECT id FROM channels WHERE session = ?)",
            (late, session.id),
        )
        for (owner,) in db.execute("SELECT DISTINCT owner FROM payments").fetchall():
            if owner != self.owner and not self._lives(owner):
                db.execute("DELETE FROM payments WHERE owner = ?", (owner,))

    def _mark(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{owner}")

    def _lives(self, owner: str) -> bool:
        mark = self._mark(owner)
        try:
            held = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            with suppress(FileNotFoundError):
                os.unlink(mark)
            return False
        finally:
            os.close(held)

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        """One transaction, or a part of the one that is open."""
        with self._lock:
            db = self._connection()
            if _in_transaction(db):
                yield db
                return
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as error:
                raise InvalidInput(f"{self.path} cannot be used: {error}") from error
            finally:
                if _in_transaction(db):
                    db.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection:
        """Of this process: neither a connection nor the lock of a parent is used in a child."""
        if self._pid != os.getpid():
            if self._pid:
                os.close(self._alive)  # else the parent would live as long as this child
                _PARENTS.append(self._db)  # closing it here could end what the parent has under way
            self._db, self._owner, self._alive = self._opened()
            self._pid = os.getpid()
        return self._db

    def _opened(self) -> tuple[sqlite3.Connection, str, int]:
        with ExitStack() as undo:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                if self.path.stat().st_mode & 0o077:
                    hint = f"chmod 600 {self.path}"
                    raise InvalidInput(f"{self.path} has keys, and others can read or write it", hint=hint)
                owner = secrets.token_hex(8)
                mark = self._mark(owner)
                alive = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, alive)
                undo.callback(os.unlink, mark)
                fcntl.flock(alive, fcntl.LOCK_EX)
                db = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
                undo.callback(db.close)
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in rows.SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {rows.VERSION}")
                db.execute("COMMIT")
            except (OSError, sqlite3.Error) as error:
                raise InvalidInput(f"{self.path} cannot be used: {error}") from error
            if version > rows.VERSION:
                raise InvalidInput(f"{self.path} is of a later version of this package")
            undo.pop_all()
        return db, owner, alive


def too_expensive(amount_wei: int, bound_wei: int) -> TooExpensive:
    """A call would have to sign for more than it may."""
    asked, most = format_wei(amount_wei, exact=True), format_wei(bound_wei, exact=True)
    hint = "nothing was signed for that"
    return TooExpensive(f"it would take {asked}, above {most}, the bound of a call", amount_wei, bound_wei, hint=hint)


def _signed(session: SessionEntry, channel: Channel, cumulative_wei: int) -> Voucher:
    return sign_voucher(session.key, channel, min(cumulative_wei, MAX_CUMULATIVE_WEI))


def _in_transaction(db: sqlite3.Connection) -> bool:
    return db.in_transaction


def _wrong(entry: ChannelEntry, spending: Spending, total_wei: int, cost_wei: int | None) -> str:
    """Why a receipt cannot be so; empty when it can."""
    if cost_wei is not None and cost_wei > spending.amount_wei:
        return f"{cost_wei} wei are charged for what was to cost {spending.amount_wei} at most"
    most_wei = min(entry.most_wei, entry.signed_wei)
    if total_wei > most_wei:
        return f"{total_wei} wei are said to be charged, where at most {most_wei} can be"
    if cost_wei is None:
        return ""
    before_wei, may_be_wei = total_wei - cost_wei, entry.most_wei - spending.amount_wei
    if before_wei > may_be_wei or (spending.is_exact and before_wei < entry.charged_wei):
        return f"{total_wei} wei are said to be charged with {cost_wei} now, where {entry.charged_wei} were before"
    return ""
