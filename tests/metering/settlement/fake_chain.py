"""A chain in memory that follows the contract's rules of settlement, and breaks down in every way that a node can.

``faults`` is what happens to the next writes, one each: ``down`` (nothing was done), ``lost`` (it was done, and the
answer got lost), ``late`` (it is done when ``land`` is called), ``twice`` (it was done two times), ``error`` (the node
answers that it did not take it), ``cancelled`` (the network did not run it), ``failed`` (the validators did not agree),
None (all is well).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace

from api_billing.client import Written
from api_billing.errors import (
    Cancelled,
    ContractRejected,
    OutcomeUnknown,
    RpcFailed,
    TransactionFailed,
    Unfunded,
    Unreachable,
    WaitTimedOut,
)
from api_billing.results import (
    ApiDetails,
    ApiUsage,
    ChannelState,
    DayUsage,
    ReceiptCheck,
    Session,
    SettledEntry,
    Settlement,
    SettlementEntry,
    SettlementState,
    Subscriber,
    SubscriberPage,
    UsageReport,
)
from api_billing.transactions import FeeOutcome
from api_billing.vouchers import Channel, domain_of, is_signed_by

DAY_SECONDS = 86_400
KEPT = 64
NO_LIMIT = 2**48 - 1
MAX_CHANNELS = 16
CHAIN_ID = 61999


@dataclass
class FakeSubscription:
    """A consumer at an API. Limits of 0 are none. ``channels`` are what is signed and billed of each, ``session`` those
    that the hold has paid.
    """

    credit_wei: int = 0
    hold_wei: int = 0
    expires_at: int = 2**40
    active: bool = True
    accepted_price_wei: int = 100
    price_wei: int = 100
    cap_wei: int = 10**30
    daily_calls: int = 0
    monthly_calls: int = 0
    settled: dict[int, int] = field(default_factory=dict)  # calls of each day
    receipts: dict[int, int] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)
    signer: str = ""
    channels: dict[str, tuple[int, int]] = field(default_factory=dict)
    session: list[str] = field(default_factory=list)
    since_day: int = 0

    def calls(self, day: int) -> int:
        return self.settled.get(day, 0) + self.receipts.get(day, 0)

    def calls_of_month(self, day: int) -> int:
        return sum(self.calls(known) for known in {*self.settled, *self.receipts} if known // 31 == day // 31)


class FakeChain:
    """One contract. ``now`` is its clock, unix seconds."""

    contract = "0x" + "c0" * 20
    asset = "0x" + "a5" * 20

    def __init__(self, now: int) -> None:
        self.now = now
        self.subscriptions: dict[tuple[str, str], FakeSubscription] = {}
        self.settlements: dict[str, list[Settlement]] = {}
        self.faults: list[str | None] = []
        self.posted: list[tuple[str, int, str]] = []  # api, sequence, root: what reached the node
        self.reads = 0
        self.page = 100  # lines of a usage report
        self.paused = False
        self.authorized = True
        self.readable = True
        self._waiting: list[Callable[[], object]] = []
        self.operator = "0x" + "0e" * 20
        self._billed: dict[str, list[list[tuple[FakeSubscription, int, int, int, int]]]] = {}
        self._entries: dict[tuple[str, int], list[SettlementEntry]] = {}
        self._drawn: dict[str, list[list[tuple[FakeSubscription, str, tuple[int, int] | None]]]] = {}
        self.final_txs: set[str] = set()  # transactions that nothing can undo
        self._final_state: FakeChain | None = None
        self.deposit_wei = 0  # for the network's fee of one settlement, of which a tenth is used
        self.balance_wei = 10**9
        self.fees: dict[str, int] = {}  # deposits by transaction
        self.allowed_wei: int | None = None

    def freeze(self) -> None:
        """All until now is final, and what comes is only accepted until the next time."""
        self._final_state = None
        self._final_state = deepcopy(self)

    @property
    def final(self) -> FakeChain:
        if self._final_state is None:
            return self
        self._final_state.now, self._final_state.readable = self.now, self.readable
        return self._final_state

    # --- what a consumer does

    def subscribe(self, api: str, consumer: str, **values: object) -> FakeSubscription:
        subscription = self.subscriptions[api, consumer] = FakeSubscription(**values)  # type: ignore[arg-type]
        return subscription

    def consume(self, api: str, consumer: str) -> None:
        """One call with a receipt."""
        subscription = self.subscriptions[api, consumer]
        day = self.now // DAY_SECONDS
        subscription.credit_wei -= subscription.price_wei
        subscription.receipts[day] = subscription.receipts.get(day, 0) + 1
        subscription.spent[day] = subscription.spent.get(day, 0) + subscription.price_wei

    def undo(self, api: str, count: int = 1) -> None:
        """An appeal undoes the last settlements, and nothing else."""
        for _ in range(count):
            self.settlements[api].pop()
            for found, day, calls, from_hold, from_credit in reversed(self._billed[api].pop()):
                found.hold_wei += from_hold
                found.credit_wei += from_credit
                found.settled[day] -= calls
                found.spent[day] -= from_hold + from_credit
            for found, channel_id, was in reversed(self._drawn[api].pop()):
                if was is None:
                    found.session.remove(channel_id)
                found.channels[channel_id] = was or (0, 0)

    def run_again(self, api: str, *changes: Callable[[], object]) -> None:
        """An appeal undoes what the last settlements rest on: each is run again after a change."""
        again = self.settlements[api][-len(changes) :]
        self.undo(api, len(changes))
        for last, change in zip(again, changes, strict=True):
            change()
            entries = self._entries[api, last.sequence]
            self._settle(api, last.sequence, entries, last.usage_root)

    def land(self) -> None:
        """What was late arrives."""
        waiting, self._waiting = self._waiting, []
        for arrive in waiting:
            arrive()

    # --- the contract's methods

    def settle_usage(
        self, api_name: str, sequence: int, entries: list[SettlementEntry], usage_root: str = ""
    ) -> Written[Settlement]:
        fault = self.faults.pop(0) if self.faults else None
        tx = f"0x{len(self.posted) + 1:064x}"
        if fault == "down":
            raise Unreachable("no node answers")
        if fault == "error":
            raise RpcFailed("eth_sendRawTransaction", -32000, "try again")
        self._pay(tx)
        self.posted.append((api_name, sequence, usage_root))
        if fault == "cancelled":
            self.fees.pop(tx, None)
            raise Cancelled(tx, "CANCELED", "it was cancelled; what was sent came back")
        if fault == "failed":
            raise TransactionFailed(tx, "UNDETERMINED", "the validators ended undetermined")
        if fault == "late":
            self._waiting.append(lambda: self._settled_or_not(api_name, sequence, entries, usage_root))
            raise WaitTimedOut(tx, 60, "ACCEPTED", "PENDING")
        if fault == "twice":
            self._settle(api_name, sequence, entries, usage_root)
        outcome = self._settle(api_name, sequence, entries, usage_root)
        if fault == "lost":
            raise OutcomeUnknown("the answer was lost", tx)
        return Written(outcome, tx, "ACCEPTED", (), "")

    def get_settlement(self, api_name: str, sequence: int = 0) -> SettlementState:
        self._reading()
        kept = self.settlements.get(api_name, [])
        if sequence > len(kept):
            raise ContractRejected("sequence_gap", "not the next sequence")
        if sequence and sequence + KEPT <= len(kept):
            raise ContractRejected("sequence_forgotten", "outcome not kept")
        return SettlementState(api_name, len(kept) + 1, kept[(sequence or len(kept)) - 1] if kept else None)

    def get_usage_report(self, consumer: str, offset: int = 0) -> UsageReport:
        self._reading()
        today = self.now // DAY_SECONDS
        mine = {api: each for (api, who), each in self.subscriptions.items() if who == consumer}
        held = sum(each.hold_wei for each in mine.values())
        lines = tuple(self._report_line(api, each, today) for api, each in mine.items())
        credit = sum(each.credit_wei for each in mine.values())
        page = lines[offset : offset + self.page]
        return UsageReport(consumer, today, credit, held, False, 0, (today + 1) * DAY_SECONDS, 2**40, len(lines), page)

    def get_usage_history(self, consumer: str, api_name: str, from_day: int, to_day: int) -> tuple[DayUsage, ...]:
        self._reading()
        found = self.subscriptions.get((api_name, consumer))
        if found is None:
            return ()
        days = sorted({*found.settled, *found.receipts})
        return tuple(
            DayUsage(api_name, day, found.calls(day), found.spent.get(day, 0))
            for day in days
            if from_day <= day <= to_day
        )

    def get_api(self, api_name: str) -> ApiDetails:
        self._reading()
        domain = domain_of(CHAIN_ID)
        return ApiDetails(api_name, self.operator, "", True, (), (), 1, CHAIN_ID, self.asset, domain, None)

    def get_session(self, consumer: str, api_name: str, channel_id: str = "") -> Session:
        self._reading()
        found = self.subscriptions[api_name, consumer]
        ids = [channel_id] if channel_id else found.session
        channels = tuple(ChannelState(each, *found.channels.get(each, (0, 0))) for each in ids)
        in_force = self.in_force_wei(found) > 0
        return Session(consumer, api_name, found.signer, found.hold_wei, found.expires_at, 0, in_force, channels)

    def list_subscribers(self, api_name: str, offset: int = 0) -> SubscriberPage:
        self._reading()
        found = [(who, each) for (api, who), each in self.subscriptions.items() if api == api_name]
        page = tuple(
            Subscriber(who, "standard", each.active, 0, 0, 0, 0, each.hold_wei, each.expires_at, each.signer)
            for who, each in found[offset : offset + 100]
        )
        return SubscriberPage(len(found), page)

    def channel(self, api: str, consumer: str, salt: str) -> Channel:
        """For which the signer of a consumer's session signs."""
        signer = self.subscriptions[api, consumer].signer
        return Channel(consumer, signer, self.operator, self.contract, self.asset, CHAIN_ID, salt)

    def in_force_wei(self, found: FakeSubscription) -> int:
        """On hold, and not past its end."""
        return found.hold_wei if self.now < found.expires_at else 0

    def is_final(self, tx: str) -> bool:
        self._reading()
        return tx in self.final_txs

    def allow_fee(self, most_wei: int) -> None:
        self.allowed_wei = most_wei

    def fee_of(self, tx: str) -> FeeOutcome:
        self._reading()
        deposit_wei = self.fees.get(tx, 0)
        return FeeOutcome(deposit_wei, deposit_wei * 9 // 10 if tx in self.final_txs else None)

    def get_receipt(self, receipt_id: str) -> ReceiptCheck:
        self._reading()
        api, consumer, day, number, *_ = receipt_id.split(":")  # a tag is of a request that it has forgotten
        found = self.subscriptions.get((api, consumer), FakeSubscription())
        valid = 1 <= int(number) <= found.receipts.get(int(day), 0)
        return ReceiptCheck(receipt_id, valid, False, api, consumer, int(day), int(number))

    # --- private

    def _pay(self, tx: str) -> None:
        if self.deposit_wei > (
            self.balance_wei if self.allowed_wei is None else min(self.balance_wei, self.allowed_wei)
        ):
            raise Unfunded("the network's fee is too much", self.deposit_wei)
        if self.deposit_wei:
            self.fees[tx] = self.deposit_wei

    def _reading(self) -> None:
        self.reads += 1
        if not self.readable:
            raise Unreachable("no node answers")

    def _report_line(self, api: str, found: FakeSubscription, today: int) -> ApiUsage:
        calls = found.calls(today)
        limits = ((found.daily_calls, calls), (found.monthly_calls, found.calls_of_month(today)))
        left = [max(limit - used, 0) for limit, used in limits if limit]
        spent = found.spent.get(today, 0)
        return ApiUsage(
            api, calls, spent, found.price_wei, found.daily_calls, found.cap_wei, "standard", found.accepted_price_wei,
            found.calls_of_month(today), sum(found.spent.values()), found.monthly_calls, min(left, default=None),
            max(found.cap_wei - spent, 0), found.hold_wei, found.expires_at, not self.paused, found.active,
            len(self.settlements.get(api, ())), found.signer,
        )  # fmt: skip

    def _settled_or_not(self, api: str, sequence: int, entries: list[SettlementEntry], root: str) -> None:
        try:
            self._settle(api, sequence, entries, root)
        except ContractRejected:
            return  # its turn was another's: the transaction fails, and changes nothing

    def _settle(self, api: str, sequence: int, entries: list[SettlementEntry], root: str) -> Settlement:
        if not 0 < len(entries) <= 256:
            raise ContractRejected("too_many_entries", "a settlement has 1 to 256 entries")
        if not self.authorized:
            raise ContractRejected("not_authorized", "caller may not bill this consumer")
        kept = self.settlements.setdefault(api, [])
        if 0 < sequence <= len(kept):
            if _content(root, entries) != _content(kept[sequence - 1].usage_root, self._entries[api, sequence]):
                raise ContractRejected("sequence_mismatch", "the settlement was posted with other content")
            return kept[sequence - 1]
        if sequence != len(kept) + 1:
            raise ContractRejected("sequence_gap", "not the next sequence")
        self._billed.setdefault(api, []).append([])
        self._drawn.setdefault(api, []).append([])
        self._entries[api, sequence] = entries
        outcomes = tuple(self._entry(api, entry) for entry in entries)
        calls, wei = sum(each.billed_calls for each in outcomes), sum(each.billed_wei for each in outcomes)
        refused = sum(each.code != "" for each in outcomes)
        kept.append(Settlement(api, sequence, root, calls, wei, refused, self.now, outcomes))
        return kept[-1]

    def _entry(self, api: str, entry: SettlementEntry) -> SettledEntry:
        found = self.subscriptions.get((api, entry.consumer))
        day, calls, spend = entry.day_id, entry.calls, entry.spend_wei
        refused = SettledEntry(entry.consumer, day, calls, spend, 0, 0, "")
        if not 0 <= self.now // DAY_SECONDS - day <= 1:
            return replace(refused, code="day_closed")
        if found is None or not (found.active or found.hold_wei):
            return replace(refused, code="not_subscribed")
        if day < found.since_day:
            return replace(refused, code="day_closed")
        if not found.signer and (entry.voucher or entry.close):
            return replace(refused, code="no_session")
        if found.signer and spend and not entry.voucher:
            return replace(refused, code="session_only")
        if spend > calls * found.accepted_price_wei:
            return replace(refused, code="spend_above_price")
        funds = found.hold_wei + (found.credit_wei if found.active else 0)
        if found.signer:
            funds = self.in_force_wei(found)
        billed, code = calls, ""
        for most, reason in (
            ((found.daily_calls or NO_LIMIT) - found.calls(day), "daily_limit_exceeded"),
            ((found.monthly_calls or NO_LIMIT) - found.calls_of_month(day), "monthly_limit_exceeded"),
            (_affordable(calls, spend, found.cap_wei - found.spent.get(day, 0)), "daily_spend_exceeded"),
            (_affordable(calls, spend, funds), "insufficient_credit"),
        ):
            if max(most, 0) < billed:
                billed, code = max(most, 0), reason
        if found.signer and billed and spend:
            billed, code = self._draw(api, found, entry, billed, code)
        cost = spend * billed // calls
        if billed:
            from_hold = min(cost, found.hold_wei)
            found.hold_wei -= from_hold
            found.credit_wei -= cost - from_hold
            found.settled[day] = found.settled.get(day, 0) + billed
            found.spent[day] = found.spent.get(day, 0) + cost
            self._billed[api][-1].append((found, day, billed, from_hold, cost - from_hold))
        if entry.close and not code:
            released, found.hold_wei = found.hold_wei, 0
            found.credit_wei += released
            self._billed[api][-1].append((found, day, 0, released, -released))
        return replace(refused, billed_calls=billed, billed_wei=cost, code=code)

    def _draw(self, api: str, found: FakeSubscription, entry: SettlementEntry, fits: int, code: str) -> tuple[int, str]:
        assert entry.voucher is not None
        channel = self.channel(api, entry.consumer, entry.voucher.salt)
        signed, billed = found.channels.get(channel.id, (0, 0))
        is_new = channel.id not in found.session
        if is_new and len(found.session) >= MAX_CHANNELS:
            return 0, "too_many_channels"
        if entry.voucher.cumulative_wei > signed:
            if not is_signed_by(channel, entry.voucher):
                return 0, "bad_signature"
            signed = entry.voucher.cumulative_wei
        most = _affordable(entry.calls, entry.spend_wei, signed - billed)
        if most < fits:
            fits, code = most, "voucher_exceeded"
        cost = entry.spend_wei * fits // entry.calls
        if cost:
            self._drawn[api][-1].append((found, channel.id, None if is_new else found.channels[channel.id]))
            found.channels[channel.id] = signed, billed + cost
            if is_new:
                found.session.append(channel.id)
        return fits, code


def _content(root: str, entries: list[SettlementEntry]) -> object:
    """What makes a settlement another one: all but the sum and the signature of vouchers, which may be higher later."""
    return root, [
        (each.consumer, each.day_id, each.calls, each.spend_wei, each.voucher and each.voucher.salt, each.close)
        for each in entries
    ]


def _affordable(calls: int, spend: int, limit: int) -> int:
    if limit < 0:
        return 0
    return calls if spend <= limit else ((limit + 1) * calls - 1) // spend
