"""The ledger's tables over SQLite: rows are read once, changed in memory, and written together when a batch ends.

What was read stays valid until another process changes such rows; the store then says ``forget``. Within one batch a
row that many requests touch (an account, a window) is written once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from api_billing.metering.ledger.documents import (
    budgets_from_text,
    headers_from_text,
    headers_to_text,
    quotas_from_text,
)
from api_billing.metering.ledger.money import Account, ClaimRow, Count, Line
from api_billing.metering.ledger.operations import Balance, Claim, Grant, Outcome, Reserve, State, StoredResponse
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import WindowCheck

_MAX_KEPT: Final = 200_000  # rows of one kind that are kept in memory before all are forgotten

_INSERT_REQUEST: Final = (
    "insert into requests (record_id, at_ms, state, api, consumer, account, tier, method, route, request_id, units,"
    " estimate_wei, windows, claim_key, claim_fingerprint, claim_expires_ms, expires_ms)"
    " values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_INSERT_ENDED: Final = (
    "insert into requests (record_id, at_ms, api, consumer, account, tier, method, route, request_id, estimate_wei,"
    " windows, claim_key, claim_fingerprint, claim_expires_ms, state, expires_ms, units, charged_wei, uncollected_wei,"
    " ended_ms, late, status, duration_ms, response_bytes, error, tags, batch)"
    " values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_UPDATE_REQUEST: Final = (
    "update requests set state=?, expires_ms=?, units=?, charged_wei=?, uncollected_wei=?, ended_ms=?, late=?,"
    " status=?, duration_ms=?, response_bytes=?, error=?, tags=?, batch=? where record_id=?"
)
_SELECT_REQUEST: Final = (
    "select record_id, at_ms, expires_ms, account, api, consumer, estimate_wei, units, windows, claim_key,"
    " claim_fingerprint, claim_expires_ms, tier, method, route, request_id, state, charged_wei, uncollected_wei,"
    " ended_ms, late, status, duration_ms, response_bytes, error, tags, batch from requests where record_id=?"
)
_SELECT_ACCOUNT: Final = "select granted_wei, reserved_wei, charged_wei, basis_wei, epoch from accounts where account=?"
_UPSERT_ACCOUNT: Final = (
    "insert into accounts values (?,?,?,?,?,?) on conflict (account) do update set granted_wei=excluded.granted_wei,"
    " reserved_wei=excluded.reserved_wei, charged_wei=excluded.charged_wei, basis_wei=excluded.basis_wei,"
    " epoch=excluded.epoch"
)
_UPSERT_COUNT: Final = (
    "insert into counts values (?,?,?,?) on conflict (counter, starts_ms) do update set used=excluded.used"
)
_UPSERT_USAGE: Final = (
    "insert into usage_days values (?,?,?,?,?,?,?) on conflict (api, consumer, day) do update set calls=excluded.calls,"
    " units=excluded.units, charged_wei=excluded.charged_wei, uncollected_wei=excluded.uncollected_wei"
)
_COUNT_CHANGE: Final = (
    "insert into meta values ('changes', 1) on conflict (name) do update set value = value + 1 returning value"
)
_PUT_CLAIM: Final = "insert or replace into claims values (?,?,?,?,?,?,?,?)"


class SqliteTables:
    """Rows of one connection, cached. Only used within a transaction, by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self._accounts: dict[str, Account] = {}
        self._counts: dict[tuple[str, int], Count] = {}
        self._lines: dict[str, Line] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._usage: dict[tuple[str, str, int], list[int]] = {}
        self._tiers: dict[str, Tier] | None = None
        self._touched_accounts: list[Account] = []
        self._touched_counts: list[Count] = []
        self._dirty_usage: set[tuple[str, str, int]] = set()
        self._new_lines: list[Line] = []
        self._changed_lines: dict[str, Line] = {}
        self.has_written = False
        """Whether something that others may have in memory was written since the last count."""

    # --- the ledger's view

    def account(self, account: str) -> Account:
        found = self._accounts.get(account)
        if found is None:
            row = self._one(_SELECT_ACCOUNT, account)
            balance = Balance(*[int(value) for value in row]) if row else Balance()
            found = self._accounts[account] = Account(account, balance)
        return found

    def touch_account(self, account: Account) -> None:
        if not account.touched:
            account.touched = True
            self._touched_accounts.append(account)

    def count(self, counter: str, starts_ms: int, ends_ms: int) -> Count:
        key = (counter, starts_ms)
        found = self._counts.get(key)
        if found is None:
            row = self._one("select used from counts where counter=? and starts_ms=?", counter, starts_ms)
            found = self._counts[key] = Count(counter, starts_ms, ends_ms, int(row[0]) if row else 0)
        return found

    def touch_count(self, count: Count) -> None:
        if not count.touched:
            count.touched = True
            self._touched_counts.append(count)

    def line(self, reservation_id: str) -> Line | None:
        found = self._lines.get(reservation_id)
        if found is None:
            row = self._one(_SELECT_REQUEST, reservation_id)
            if row is None or row["state"] == "refused":
                return None
            found = self._lines[reservation_id] = self._line_of(row)
        return found

    def add_line(self, line: Line) -> None:
        self._lines[line.reserve.reservation_id] = line
        self._new_lines.append(line)

    def change_line(self, line: Line) -> None:
        self._changed_lines[line.reserve.reservation_id] = line

    def claim(self, consumer: str, key: str) -> ClaimRow | None:
        row = self._one(
            "select fingerprint, reservation_id, expires_ms, status, headers, body from claims"
            " where consumer=? and claim_key=?",
            consumer,
            key,
        )
        if row is None:
            return None
        fingerprint, reservation_id, expires_ms, status, headers, body = row
        response = None if status is None else StoredResponse(status, headers_from_text(headers), body)
        return ClaimRow(fingerprint, reservation_id, expires_ms, response)

    def put_claim(self, consumer: str, key: str, claim: ClaimRow) -> None:
        kept = claim.response
        response = (None, None, None) if kept is None else (kept.status, headers_to_text(kept.headers), kept.body)
        row = (consumer, key, claim.fingerprint, claim.reservation_id, claim.expires_ms, *response)
        self.connection.execute(_PUT_CLAIM, row)

    def drop_claim(self, consumer: str, key: str) -> None:
        self.connection.execute("delete from claims where consumer=? and claim_key=?", (consumer, key))

    def add_usage(self, api: str, consumer: str, day: int, units: int, charged_wei: int, uncollected_wei: int) -> None:
        key = (api, consumer, day)
        sums = self._usage.get(key)
        if sums is None:
            row = self._one(
                "select calls, units, charged_wei, uncollected_wei from usage_days"
                " where api=? and consumer=? and day=?",
                *key,
            )
            sums = self._usage[key] = [int(value) for value in row] if row else [0, 0, 0, 0]
        sums[0] += 1
        sums[1] += units
        sums[2] += charged_wei
        sums[3] += uncollected_wei
        self._dirty_usage.add(key)

    def profile(self, consumer: str) -> Profile | None:
        if consumer not in self._profiles:
            self._profiles[consumer] = self._load_profile(consumer)
        return self._profiles[consumer]

    def has_grant(self, grant_id: str) -> bool:
        return self._one("select 1 from grants where grant_id=?", grant_id) is not None

    def add_grant(self, grant: Grant) -> None:
        row = (grant.grant_id, grant.account, str(grant.amount_wei), grant.now_ms, grant.note)
        self.connection.execute("insert into grants values (?,?,?,?,?)", row)

    # --- what the store's other operations need

    def tiers(self) -> dict[str, Tier]:
        if self._tiers is None:
            rows = self.connection.execute("select name, monthly_calls, retention_days, quotas from tiers")
            self._tiers = {row[0]: Tier(row[0], row[1], row[2], quotas_from_text(row[3])) for row in rows}
        return self._tiers

    def new_version(self) -> int:
        """The next version of profiles; what is cached of them is forgotten."""
        self._profiles.clear()
        self._tiers = None
        row = self._one("update meta set value = value + 1 where name = 'version' returning value")
        assert row is not None
        return int(row[0])

    def write(self) -> None:
        """Write what was touched; within the transaction."""
        run = self.connection.executemany
        changed = self._changed_lines
        if self._new_lines or changed or self._touched_accounts or self._touched_counts or self._dirty_usage:
            self.has_written = True
        if self._new_lines:
            # What was reserved and ended since the last time is written once, as it is.
            ended = [line for line in self._new_lines if line.reserve.reservation_id in changed]
            if len(ended) < len(self._new_lines):
                open_ = [line for line in self._new_lines if line.reserve.reservation_id not in changed]
                run(_INSERT_REQUEST, [_inserted(line) for line in open_])
            if ended:
                run(_INSERT_ENDED, [_ended(line) for line in ended])
            self._new_lines.clear()
        else:
            ended = []
        if changed:
            self._keep_bodies()
            if len(ended) < len(changed):
                fresh = {line.reserve.reservation_id for line in ended}
                run(_UPDATE_REQUEST, [_updated(line) for key, line in changed.items() if key not in fresh])
            for reservation_id, line in changed.items():
                if line.state != "reserved":
                    self._lines.pop(reservation_id, None)
            changed.clear()
        if self._touched_accounts:
            run(_UPSERT_ACCOUNT, [_account_row(account) for account in self._touched_accounts])
            self._touched_accounts.clear()
        if self._touched_counts:
            run(_UPSERT_COUNT, [_count_row(count) for count in self._touched_counts])
            self._touched_counts.clear()
        if self._dirty_usage:
            run(
                _UPSERT_USAGE,
                [(*key, *calls_units, str(wei), str(rest)) for key, (*calls_units, wei, rest) in self._sums()],
            )
            self._dirty_usage.clear()

    def count_change(self) -> int:
        """Tell other processes that rows which they may have in memory were changed; the count of that."""
        self.has_written = False
        row = self.connection.execute(_COUNT_CHANGE).fetchone()
        return int(row[0])

    def changes(self) -> int:
        """How often rows that processes keep in memory were changed."""
        row = self._one("select value from meta where name = 'changes'")
        return 0 if row is None else int(row[0])

    def has(self, op: Reserve) -> bool:
        """Whether all rows that a reservation without a claim looks at are in memory."""
        if op.account not in self._accounts or (op.profile_version >= 0 and op.consumer not in self._profiles):
            return False
        counts = self._counts
        return all((check.counter, check.starts_ms) in counts for check in op.checks)

    def unwritten(self) -> bool:
        """Whether lines wait to be written."""
        return bool(self._new_lines)

    def forget(self) -> None:
        """Forget all rows, written or not: another process changed them, or the transaction was undone."""
        for kept in (self._accounts, self._counts, self._lines, self._profiles, self._usage):
            kept.clear()
        for waiting in (self._touched_accounts, self._touched_counts, self._dirty_usage, self._new_lines):
            waiting.clear()
        self._changed_lines.clear()
        self._tiers = None
        self.has_written = False

    def forget_lines(self, reservation_ids: Iterable[str]) -> None:
        """Forget requests that ended, and were changed by other means since."""
        for reservation_id in reservation_ids:
            self._lines.pop(reservation_id, None)

    def is_large(self) -> bool:
        """Whether so many rows are cached that it is time to forget them."""
        return (
            max(len(self._accounts), len(self._counts), len(self._lines), len(self._usage), len(self._profiles))
            > _MAX_KEPT
        )

    # --- rows

    def _one(self, sql: str, *values: Any) -> Any:
        return self.connection.execute(sql, values).fetchone()

    def _load_profile(self, consumer: str) -> Profile | None:
        row = self._one("select tier, disabled, quotas, budgets, version from consumers where consumer=?", consumer)
        if row is None:
            return None
        tier, disabled, quotas, budgets, version = row
        (tiers_version,) = self._one("select value from meta where name = 'tiers_version'")
        return Profile(
            consumer,
            self.tiers()[tier],
            max(version, tiers_version),
            bool(disabled),
            quotas_from_text(quotas),
            budgets_from_text(budgets),
        )

    def _line_of(self, row: Any) -> Line:
        made = _reserve_of(row)
        line = Line(made, [self.count(check.counter, check.starts_ms, check.ends_ms) for check in made.checks])
        state: State = row["state"]
        line.state = state
        line.charged_wei = int(row["charged_wei"])
        line.uncollected_wei = int(row["uncollected_wei"])
        line.ended_ms = row["ended_ms"]
        line.late = bool(row["late"])
        line.outcome = Outcome(row["status"], row["duration_ms"], row["response_bytes"], row["error"], row["tags"])
        line.batch = row["batch"]
        return line

    def _sums(self) -> list[tuple[tuple[str, str, int], list[int]]]:
        return [(key, self._usage[key]) for key in self._dirty_usage]

    def _keep_bodies(self) -> None:
        rows = [
            (reservation_id, line.outcome.request_body, line.outcome.response_body)
            for reservation_id, line in self._changed_lines.items()
            if line.outcome.request_body is not None or line.outcome.response_body is not None
        ]
        if rows:
            self.connection.executemany("insert or replace into bodies values (?,?,?)", rows)


@lru_cache(maxsize=4096)
def windows_to_text(windows: tuple[WindowCheck, ...]) -> str:
    """The windows of a reservation as one column. A consumer's requests share their windows, so the text is kept."""
    return json.dumps([[w.counter, w.starts_ms, w.ends_ms, w.unit] for w in windows], separators=(",", ":"))


def windows_from_text(text: str) -> tuple[WindowCheck, ...]:
    """The windows of such a column; their limits are not kept."""
    return tuple(
        WindowCheck(counter, starts_ms, ends_ms, unit, None) for counter, starts_ms, ends_ms, unit in json.loads(text)
    )


def _reserve_of(row: Any) -> Reserve:
    return Reserve(
        reservation_id=row["record_id"],
        now_ms=row["at_ms"],
        expires_ms=row["expires_ms"],
        account=row["account"],
        api=row["api"],
        consumer=row["consumer"],
        estimate_wei=int(row["estimate_wei"]),
        units=row["units"],
        checks=windows_from_text(row["windows"]),
        claim=None if row["claim_key"] is None else Claim(row["claim_key"], row["claim_fingerprint"]),
        claim_expires_ms=row["claim_expires_ms"],
        tier=row["tier"],
        method=row["method"],
        route=row["route"],
        request_id=row["request_id"],
    )


def _account_row(row: Account) -> tuple[Any, ...]:
    row.touched = False
    return (
        row.account,
        str(row.granted_wei),
        str(row.reserved_wei),
        str(row.charged_wei),
        str(row.basis_wei),
        row.epoch,
    )


def _count_row(row: Count) -> tuple[Any, ...]:
    row.touched = False
    return (row.counter, row.starts_ms, row.ends_ms, str(row.used))


def _inserted(line: Line) -> tuple[Any, ...]:
    made = line.reserve
    claim = made.claim
    return (
        made.reservation_id, made.now_ms, "reserved", made.api, made.consumer, made.account, made.tier, made.method,
        made.route, made.request_id, made.units, str(made.estimate_wei), windows_to_text(made.checks),
        None if claim is None else claim.key, None if claim is None else claim.fingerprint, made.claim_expires_ms,
        made.expires_ms,
    )  # fmt: skip


def _ended(line: Line) -> tuple[Any, ...]:
    made = line.reserve
    claim = made.claim
    return (
        made.reservation_id, made.now_ms, made.api, made.consumer, made.account, made.tier, made.method, made.route,
        made.request_id, str(made.estimate_wei), windows_to_text(made.checks),
        None if claim is None else claim.key, None if claim is None else claim.fingerprint, made.claim_expires_ms,
        *_updated(line)[:-1],
    )  # fmt: skip


def _updated(line: Line) -> tuple[Any, ...]:
    end = line.outcome
    return (
        line.state, line.expires_ms, line.units, str(line.charged_wei), str(line.uncollected_wei), line.ended_ms,
        line.late, end.status, end.duration_ms, end.response_bytes, end.error, end.tags, line.batch,
        line.reserve.reservation_id,
    )  # fmt: skip
