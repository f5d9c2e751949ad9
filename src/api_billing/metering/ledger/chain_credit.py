"""The rules of credit from the chain: what of an account's charges is accounted for, and what it may be granted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from api_billing.metering.ledger.batch_operations import BatchLine
from api_billing.metering.ledger.cutting import read_queue_ms
from api_billing.metering.ledger.rows import DOCUMENTS
from api_billing.metering.ledger.sessions import see_session
from api_billing.metering.ledger.settlement_operations import (
    NEVER_READ,
    ChainTerms,
    Credit,
    CreditSet,
    ReadCredit,
    SetGranted,
    month_of,
)
from api_billing.metering.ledger.tables import Tables

_KEPT_WINDOWS: Final = 3


class AccountRow:
    """What is kept of an account whose credit is on the chain."""

    __slots__ = (
        "accounted_wei",
        "billed_days",
        "billed_months",
        "closed_by",
        "in_flight_wei",
        "refused_parts",
        "revision",
        "terms",
    )

    def __init__(self, document: Any) -> None:
        kept: list[Any] = document or [0, 0, 0, 0, list(NEVER_READ), [], [], 0]
        self.revision: int = kept[0]
        self.accounted_wei: int = kept[1]
        self.in_flight_wei: int = kept[2]
        self.refused_parts: int = kept[3]
        self.terms = ChainTerms(*kept[4])
        self.billed_days: dict[int, int] = dict(kept[5])
        self.billed_months: dict[int, int] = dict(kept[6])
        self.closed_by: int = kept[7]

    def document(self) -> list[Any]:
        numbers = [self.revision, self.accounted_wei, self.in_flight_wei, self.refused_parts]
        return [*numbers, list(self.terms), _last(self.billed_days), _last(self.billed_months), self.closed_by]

    def add_billed_calls(self, day: int, counted_day: int, calls: int) -> None:
        """Calls were billed on a day; in another window than they were counted in, they take room from that one."""
        windows = (self.billed_days, day, counted_day), (self.billed_months, month_of(day), month_of(counted_day))
        for counts, billed_in, counted_in in windows:
            if billed_in == counted_in:
                counts[billed_in] = max(counts.get(billed_in, 0) + calls, 0)


def _last(counts: dict[int, int]) -> list[list[int]]:
    """The latest windows that calls were billed in: no batch is about more than the last two days."""
    return [[key, counts[key]] for key in sorted(counts)[-_KEPT_WINDOWS:]]


def _lacks_settlements(tables: Tables, op: SetGranted) -> bool:
    """Whether the chain, when it was read, did not have what is recorded as settled on it."""
    book = tables.document(f"book/{op.account.rpartition('/')[0]}")
    return bool(book) and 0 <= op.terms.settlements < book[1] - 1


def account_key(account: str) -> str:
    return f"account/{account}"


def read_credit(tables: Tables, op: ReadCredit) -> Credit:
    row = AccountRow(tables.document(account_key(op.account)))
    numbers = row.revision, row.accounted_wei, row.in_flight_wei, row.refused_parts
    days, months = tuple(row.billed_days.items()), tuple(row.billed_months.items())
    queue_ms = read_queue_ms(tables, op.account.rpartition("/")[0])
    return Credit(*numbers, row.terms, tables.balance(op.account), days, months, row.closed_by, queue_ms)


def set_granted(tables: Tables, op: SetGranted) -> CreditSet:
    """Grant an account what the chain allows."""
    row = AccountRow(tables.document(account_key(op.account)))
    if row.revision != op.revision:
        return CreditSet(False)
    row.revision += 1
    row.terms = op.terms
    tables.put_document(account_key(op.account), row.document())
    if op.channels is not None:
        see_session(tables, op.account, op.terms.signer, op.channels)
    least_wei = op.usable_wei + op.accounted_wei
    granted_wei = tables.balance(op.account).granted_wei
    if _lacks_settlements(tables, op):
        least_wei = min(least_wei, granted_wei)
    if row.refused_parts:
        regrant(tables, op.account, 0)
    elif not op.usable_wei or not least_wei <= granted_wei <= least_wei + row.in_flight_wei:
        regrant(tables, op.account, least_wei)
    balance = tables.balance(op.account)
    covered_wei = op.cover_wei + op.accounted_wei + row.in_flight_wei
    return CreditSet(True, max(0, balance.reserved_wei + balance.charged_wei - covered_wei), balance)


def regrant(tables: Tables, account: str, granted_wei: int) -> None:
    """Grant an account another amount, but never less than is committed; as after a grant when that changes it."""
    row = tables.account(account)
    committed_wei = row.reserved_wei + row.charged_wei
    granted_wei = max(granted_wei, committed_wei)
    if granted_wei != row.granted_wei:
        row.granted_wei, row.basis_wei = granted_wei, granted_wei - committed_wei
        row.epoch += 1
        tables.touch(row)


def read_rows(tables: Tables, lines: Iterable[BatchLine]) -> dict[str, AccountRow]:
    accounts = sorted({line.account for line in lines})
    tables.fetch(DOCUMENTS, [(account_key(account),) for account in accounts])
    return {account: AccountRow(tables.document(account_key(account))) for account in accounts}


def write_rows(tables: Tables, rows: dict[str, AccountRow]) -> None:
    for account, row in rows.items():
        tables.put_document(account_key(account), row.document())


def give_up(tables: Tables, account: str, amount_wei: int, *, parts: int) -> None:
    row = AccountRow(tables.document(account_key(account)))
    row.accounted_wei += amount_wei
    row.refused_parts -= parts
    row.revision += 1
    tables.put_document(account_key(account), row.document())
