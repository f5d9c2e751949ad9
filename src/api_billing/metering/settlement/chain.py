"""What settlement needs of the chain; ``BillingClient`` is one. And how an account names a consumer on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from api_billing.errors import ContractNotFound, ContractRejected
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.settlement_operations import NEVER_READ, ChainTerms, Credit, Part, month_of
from api_billing.metering.limits.windows import WindowCheck, window_at
from api_billing.results import (
    ApiDetails,
    DayUsage,
    ReceiptCheck,
    Session,
    Settlement,
    SettlementEntry,
    SettlementState,
    SubscriberPage,
    UsageReport,
)

if TYPE_CHECKING:
    from api_billing.client import Written  # with it comes genlayer-py, which takes a second
    from api_billing.transactions import FeeOutcome

_ADDRESS: Final = re.compile("0x[0-9a-f]{40}")
_UNDONE_DAYS: Final = 2  # longer than any network takes until a transaction is final
_MOST_PAGES: Final = 10  # of a usage report: who has more subscriptions than that makes nobody else wait for reads
NOT_AN_ADDRESS: Final = "bad_address"
_ZERO: Final = "0x" + "00" * 20


class SettlementChain(Protocol):
    """The billing contract, as ``client.BillingClient`` has it. Raises: the errors of ``api_billing.errors``."""

    contract: str

    @property
    def final(self) -> SettlementChain:
        """The same, with reads of final transactions only: of what no appeal can undo."""

    def settle_usage(
        self, api_name: str, sequence: int, entries: Sequence[SettlementEntry], usage_root: str = ""
    ) -> Written[Settlement]:
        """Bill 1 to 256 entries; a sequence that is settled already answers as before and bills nothing."""

    def get_settlement(self, api_name: str, sequence: int = 0) -> SettlementState:
        """The outcome of one of the last 64 settlements, 0: the last; and the next sequence."""

    def get_usage_report(self, consumer: str, offset: int = 0) -> UsageReport:
        """All that the contract knows of a consumer: one read for 100 of its APIs, from ``offset``."""

    def get_usage_history(self, consumer: str, api_name: str, from_day: int, to_day: int) -> tuple[DayUsage, ...]:
        """The days with usage, both included."""

    def is_final(self, tx: str) -> bool:
        """Whether a transaction is final: nothing can undo it any more."""

    def allow_fee(self, most_wei: int) -> None:
        """From now on deposit no more than this for the network's fees with one write."""

    def fee_of(self, tx: str) -> FeeOutcome:
        """What a transaction deposited, and what of it came back."""

    def get_receipt(self, receipt_id: str) -> ReceiptCheck:
        """Whether a receipt is genuine."""

    def get_api(self, api_name: str) -> ApiDetails:
        """Who an API's vouchers pay."""

    def get_session(self, consumer: str, api_name: str, channel_id: str = "") -> Session:
        """A session, and what was signed and billed of its channels, or of one, which may be an earlier session's."""

    def list_subscribers(self, api_name: str, offset: int = 0) -> SubscriberPage:
        """Who ever subscribed, in that order, and the signers of their sessions: at most 100 from ``offset`` on."""


def chain_account(api: str, address: str) -> str:
    """The account that pays for a consumer's requests to an API when its credit is on the chain."""
    return f"{api}/{address.lower()}"


def address_of(account: str) -> str | None:
    """The consumer's address, None for an account that does not name one."""
    address = account.rpartition("/")[2]
    return address if is_address(address) else None


def entries_of(batch: Batch) -> tuple[list[SettlementEntry], list[int]]:
    """What of a batch is posted: entries, and the index of each one's line. A line of nobody on chain cannot be."""
    entries, indexes = [], []
    for index, line in enumerate(batch.lines):
        address = address_of(line.account)
        if address is not None:
            entries.append(SettlementEntry(address, line.day, line.calls, line.amount_wei, line.voucher, line.close))
            indexes.append(index)
    return entries, indexes


def parts_of(batch: Batch, settlement: Settlement | None) -> tuple[Part, ...] | None:
    """What became of each line, by the contract's outcome; None when that is the outcome of something else."""
    entries, indexes = entries_of(batch)
    parts = [Part(0, 0, NOT_AN_ADDRESS)] * len(batch.lines)
    if settlement is None:
        return None if entries else tuple(parts)
    if settlement.usage_root != batch.root or len(settlement.entries) != len(entries):
        return None
    for index, entry, settled in zip(indexes, entries, settlement.entries, strict=True):
        if (settled.consumer, settled.day_id) != (entry.consumer, entry.day_id):
            return None
        if (settled.calls, settled.spend_wei) != (entry.calls, entry.spend_wei):
            return None
        parts[index] = Part(settled.billed_calls, settled.billed_wei, settled.code)
    return tuple(parts)


def report_with(chain: SettlementChain, address: str, apis: Iterable[str]) -> UsageReport:
    """A consumer's usage report, with these APIs if they are among its first thousand: one read, unless it has more
    than a hundred.
    """
    report, wanted = chain.get_usage_report(address), set(apis)
    for _ in range(_MOST_PAGES - 1):
        if len(report.apis) >= report.total or wanted <= {line.api_name for line in report.apis}:
            break
        page = chain.get_usage_report(address, len(report.apis))
        report = replace(page, apis=report.apis + page.apis)
    return report


def terms_of(report: UsageReport, api: str, read_ms: int, before: Credit) -> ChainTerms:
    """What a usage report says of one API. ``before`` is what was known before the chain was read.

    The meter's calls that fit into a day or month are those that are recorded as billed, and what the contract has
    left: what it has billed besides (calls with receipts) takes room, and what has landed but is not recorded yet is
    counted twice for the time being. So it is never too many, for the reason that ``SetGranted`` gives for amounts.
    """
    line = next((line for line in report.apis if line.api_name == api), None)
    if line is None:
        return ChainTerms(read_ms, credit_wei=report.credit_balance_wei)
    day = report.day_id
    billed_today = dict(before.billed_days).get(day, 0)
    billed_this_month = dict(before.billed_months).get(month_of(day), 0)
    return ChainTerms(
        read_ms=read_ms,
        hold_wei=line.hold_wei,
        hold_expires_ms=line.hold_expires_at * 1000,
        credit_wei=report.credit_balance_wei,
        subscribed=line.subscribed,
        active=line.active,
        plan=line.plan_name,
        price_wei=line.cost_per_call_wei,
        accepted_price_wei=line.accepted_price_wei,
        spend_left_today_wei=line.spend_left_today_wei,
        settlements=line.settlements,
        day=day,
        plan_day_calls=line.api_daily_limit_calls,
        plan_month_calls=line.api_monthly_limit_calls,
        day_calls=billed_today + max(0, line.api_daily_limit_calls - line.calls_today),
        month_calls=billed_this_month + max(0, line.api_monthly_limit_calls - line.calls_month),
        signer=line.signer.lower(),
        queue_ms=before.queue_ms,
    )


def recent_spend_wei(chain: SettlementChain, address: str, api: str, day: int) -> int:
    """What a consumer has spent at an API on the days about ``day``: no other day's can still be undone.

    Read of final transactions first, then of accepted ones: their difference is at least what is not final.
    """
    try:
        days = chain.get_usage_history(address, api, day - _UNDONE_DAYS, day + 1)
    except (ContractRejected, ContractNotFound):
        return 0  # neither API nor contract, in that state
    return sum(each.spend_wei for each in days)


def final_terms(
    chain: SettlementChain, address: str, apis: Sequence[str], day: int, read_ms: int, before: Mapping[str, Credit]
) -> dict[str, ChainTerms]:
    """The terms that accepted transactions give a consumer at some APIs, as far as no appeal can take them away again.
    ``day`` is the chain's.

    A settlement that is not final has left the hold already, as ``before`` counts it, but not the hold in the final
    state: that much less of it is there. The order of the reads makes it too little rather than too much; a settlement
    that is undone in between is missed by the last of them (see ``SetGranted``).
    """
    final_wei = {api: recent_spend_wei(chain.final, address, api, day) for api in apis}
    try:
        final_report = report_with(chain.final, address, apis)
    except ContractNotFound:
        final_report = None
    spent_wei = {api: recent_spend_wei(chain, address, api, day) - final_wei[api] for api in apis}
    report = report_with(chain, address, apis)
    proven = {}
    for api in apis:
        accepted = terms_of(report, api, read_ms, before[api])
        final = terms_of(final_report, api, read_ms, before[api]) if final_report else NEVER_READ
        left_today_wei = max(0, final.spend_left_today_wei - spent_wei[api])
        # A signer changes with a hold: what another one could have billed is no hold of this one.
        # Nor is a hold whose session a settlement has closed that is not final.
        is_same = final.signer == accepted.signer and final.settlements >= before[api].closed_by
        held_wei = final.hold_wei - spent_wei[api] if is_same else 0
        least = accepted._replace(
            hold_wei=min(accepted.hold_wei, max(0, held_wei)),
            hold_expires_ms=min(accepted.hold_expires_ms, final.hold_expires_ms),
            credit_wei=min(accepted.credit_wei, final.credit_wei),
            subscribed=accepted.subscribed and final.subscribed,
            accepted_price_wei=min(accepted.accepted_price_wei, final.accepted_price_wei),
            spend_left_today_wei=min(accepted.spend_left_today_wei, left_today_wei),
        )
        # Who has unsubscribed is served no sooner when all is final.
        proven[api] = least._replace(is_provisional=accepted.subscribed and least != accepted)
    return proven


def plan_checks(account: str, terms: ChainTerms, now_ms: int) -> tuple[WindowCheck, ...]:
    """The limits of a consumer's plan on the contract as windows that its requests count in, now.

    A settlement bills no more calls than the plan allows, so that no more may be served. In a day that began after the
    chain was read all of the plan's calls are left, but for those that the consumer is billed for in between.
    """
    today = now_ms // DAY_MS
    same_month = month_of(terms.day) == month_of(today)
    found = []
    for period, limit, left, is_current in (
        ("day", terms.plan_day_calls, terms.day_calls, terms.day == today),
        ("month", terms.plan_month_calls, terms.month_calls, same_month),
    ):
        if limit:
            window = window_at(period, now_ms)  # type: ignore[arg-type]  # one of the periods
            assert window is not None  # without an anchor there always is one
            calls = left if is_current else limit
            found.append(WindowCheck(f"plan/{period}/{account}", *window, "calls", calls, f"plan-{period}"))
    return tuple(found)


def is_address(consumer: str) -> bool:
    """Whether a consumer's name is an address that can have credit on the chain, in lower case."""
    return _ADDRESS.fullmatch(consumer) is not None and consumer != _ZERO
