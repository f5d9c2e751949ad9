"""Which rule answers which operation, for all stores; and which rows it is known to need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from api_billing.metering.errors import MeterError
from api_billing.metering.ledger import (
    chain_credit,
    consumers,
    counting,
    cutting,
    leases,
    money,
    outbox,
    sessions,
    set_limits,
)
from api_billing.metering.ledger.batch_operations import AddToBatch, ListBatches, ReadCut, ReadLeaves
from api_billing.metering.ledger.consumer_operations import (
    ChangeKey,
    FindKey,
    GetProfile,
    KeepCurrency,
    KeepPepperCheck,
    ListKeys,
    ListProfiles,
    ListTiers,
    PutKey,
    PutProfile,
    PutTier,
    RevokeKey,
    RotateKey,
)
from api_billing.metering.ledger.kinds import Key, Kind
from api_billing.metering.ledger.limit_operations import DropLimit, ListLimits, PutLimit
from api_billing.metering.ledger.operations import (
    Extend,
    FireOnce,
    GetRecord,
    Grant,
    ListGrants,
    ListRecords,
    Note,
    Operation,
    Prune,
    ReadBalance,
    ReadCounts,
    Record,
    Release,
    Reserve,
    ReserveMore,
    ResetCounts,
    Settle,
    Summarize,
    SumUsage,
    Sweep,
)
from api_billing.metering.ledger.rows import (
    ACCOUNTS,
    API_KEYS,
    BODIES,
    CLAIMS,
    CONSUMERS,
    COUNTS,
    FIRED,
    GRANTS,
    NUMBERS,
    REQUESTS,
)
from api_billing.metering.ledger.session_operations import (
    CloseByVoucher,
    CloseSession,
    PutVoucher,
    ReadSession,
    SeeChannel,
)
from api_billing.metering.ledger.session_rows import CHANNELS, SESSIONS
from api_billing.metering.ledger.settlement_operations import (
    BeginPosting,
    EndPosting,
    ListOutgoing,
    ListToSettle,
    NextOutgoing,
    NotePosting,
    OpenBook,
    ReadBook,
    ReadCredit,
    ReleaseLease,
    Renumber,
    ReopenEnded,
    RetryRefused,
    SetGranted,
    TakeLease,
    TakeRead,
    WriteOff,
)
from api_billing.metering.ledger.tables import Tables

Rule = Callable[[Tables, Any], Any]
Keys = list[tuple[Kind, Key]]
TIERS_VERSION: Final[Key] = ("tiers_version",)


def _get_record(tables: Tables, op: GetRecord) -> Record | None:
    request = tables.request(op.record_id)
    return None if request is None else request.record(tables.find(BODIES, (op.record_id,)))


def _listed(list_: Callable[[Tables, Any], Any]) -> Rule:
    def rule(tables: Tables, op: Any) -> Any:
        tables.flush()
        return list_(tables, op)

    return rule


# What touches some rows that it names, so that many of them make a batch.
BY_KEY: Final[dict[type[Operation[Any]], Rule]] = {
    Reserve: money.reserve,
    ReserveMore: money.reserve_more,
    Settle: money.settle,
    Release: money.release,
    Extend: money.extend,
    Grant: money.grant,
    Note: money.note,
    FireOnce: money.fire_once,
    ReadBalance: lambda tables, op: tables.balance(op.account),
    ReadCounts: counting.read_counts,
    ResetCounts: counting.reset_counts,
    GetProfile: lambda tables, op: tables.profile(op.consumer),
    FindKey: consumers.find_key,
    GetRecord: _get_record,
    PutVoucher: sessions.put_voucher,
    SeeChannel: sessions.see_channel,
    ReadSession: sessions.read_session,
    CloseSession: sessions.close_session,
    CloseByVoucher: sessions.close_by_voucher,
}

# What settlement asks. It is rare, and its documents belong together: one process at a time.
SETTLEMENT: Final[dict[type[Operation[Any]], Rule]] = {
    TakeLease: leases.take_lease,
    ReleaseLease: leases.release_lease,
    TakeRead: leases.take_read,
    ReadCredit: chain_credit.read_credit,
    SetGranted: chain_credit.set_granted,
    AddToBatch: cutting.add_to_batch,
    ReadCut: cutting.read_cut,
    ListToSettle: _listed(
        lambda tables, op: tuple(tables.to_settle(op.api, op.until_ms, op.after, op.limit)),
    ),
    ReadBook: lambda tables, op: outbox.read_book(tables, op.api),
    OpenBook: outbox.open_book,
    NextOutgoing: outbox.next_outgoing,
    ListOutgoing: outbox.list_outgoing,
    BeginPosting: outbox.begin_posting,
    NotePosting: outbox.note_posting,
    EndPosting: outbox.end_posting,
    ReopenEnded: outbox.reopen_ended,
    Renumber: outbox.renumber,
    RetryRefused: outbox.retry_refused,
    WriteOff: outbox.write_off,
}

RULES: Final[dict[type[Operation[Any]], Rule]] = {
    **BY_KEY,
    **SETTLEMENT,
    Sweep: money.sweep,
    PutProfile: consumers.put_profile,
    ListProfiles: consumers.list_profiles,
    PutTier: consumers.put_tier,
    ListTiers: consumers.list_tiers,
    PutKey: consumers.put_key,
    PutLimit: set_limits.put_limit,
    DropLimit: set_limits.drop_limit,
    ListLimits: set_limits.list_limits,
    RevokeKey: consumers.revoke_key,
    ChangeKey: consumers.change_key,
    RotateKey: consumers.rotate_key,
    ListKeys: consumers.list_keys,
    KeepPepperCheck: consumers.keep_pepper_check,
    KeepCurrency: consumers.keep_currency,
    ListGrants: consumers.list_grants,
    Summarize: consumers.summarize,
    ListRecords: _listed(lambda tables, op: tuple(tables.records(op))),
    SumUsage: _listed(lambda tables, op: tuple(tables.usage_days(op))),
    ListBatches: _listed(lambda tables, op: tuple(tables.batches(op.api, op.after, op.limit))),
    ReadLeaves: _listed(lambda tables, op: tables.leaves(op.api, op.sequence)),
    Prune: _listed(lambda tables, op: tables.prune(replace(op, now_ms=tables.reached(op.now_ms)))),
}


def perform(tables: Tables, operations: Iterable[Operation[Any]]) -> list[Any]:
    """The replies to operations, in their order; what one of them raises stands in the place of its reply."""
    replies: list[Any] = []
    for operation in operations:
        try:
            replies.append(RULES[type(operation)](tables, operation))
        except MeterError as error:
            replies.append(error)
    return replies


def fetch(tables: Tables, operations: Sequence[Operation[Any]]) -> None:
    """Have at hand, together, what the operations are known to need."""
    open_ = [op.reservation_id for op in operations if isinstance(op, Settle | Release | ReserveMore)]
    keys = money.keys_of_ending(tables, open_) if open_ else []
    for operation in operations:
        needs = _NEEDS.get(type(operation))
        if needs is not None:
            keys += needs(operation)
    if not tables.trusts_fresh:
        keys += [(REQUESTS, (op.reservation_id,)) for op in operations if isinstance(op, Reserve)]
    tables.fetch_all(keys)


def _reserve_needs(op: Reserve) -> Keys:
    keys: Keys = [(ACCOUNTS, (op.account,))]
    keys += [(COUNTS, (counter, starts_ms)) for counter, starts_ms, *_ in op.checks]
    if not op.fresh:
        keys.append((REQUESTS, (op.reservation_id,)))
    if op.profile_version >= 0:
        keys += _profile_needs(op.consumer)
    if op.claim is not None:
        keys.append((CLAIMS, (op.consumer, op.claim.key)))
    if op.session is not None:
        keys += _session_needs(op.account, op.session.channel_id)
    return keys


def _ending_needs(op: Settle | Release) -> Keys:
    keys: Keys = [(REQUESTS, (op.reservation_id,)), (ACCOUNTS, (op.account,))]
    if op.outcome.request_body is not None or op.outcome.response_body is not None:
        keys.append((BODIES, (op.reservation_id,)))
    return keys


def _record_needs(record_id: str) -> Keys:
    return [(REQUESTS, (record_id,)), (BODIES, (record_id,))]


def _session_needs(account: str, channel_id: str = "") -> Keys:
    """With the account's row, that of its session is nobody else's to change, nor are its channels'."""
    keys: Keys = [(ACCOUNTS, (account,)), (SESSIONS, (account,))]
    return [*keys, (CHANNELS, (channel_id,))] if channel_id else keys


def _count_needs(op: ReadCounts | ResetCounts) -> Keys:
    return [(COUNTS, (check.counter, check.starts_ms)) for check in op.checks]


def _profile_needs(consumer: str) -> Keys:
    return [(CONSUMERS, (consumer,)), (NUMBERS, TIERS_VERSION)]


_NEEDS: Final[dict[type[Operation[Any]], Callable[[Any], Keys]]] = {
    Reserve: _reserve_needs,
    ReserveMore: lambda op: [(REQUESTS, (op.reservation_id,)), *_session_needs(op.account)],
    Settle: _ending_needs,
    Release: _ending_needs,
    Extend: lambda op: [(REQUESTS, (reservation_id,)) for reservation_id in op.reservation_ids],
    Grant: lambda op: [(GRANTS, (op.grant_id,)), (ACCOUNTS, (op.account,))],
    Note: lambda op: _record_needs(op.record.record_id),
    FireOnce: lambda op: [(FIRED, (op.key,))],
    ReadBalance: lambda op: [(ACCOUNTS, (op.account,))],
    ReadCounts: _count_needs,
    ResetCounts: _count_needs,
    GetProfile: lambda op: _profile_needs(op.consumer),
    FindKey: lambda op: [(API_KEYS, (op.key_id,))],
    GetRecord: lambda op: _record_needs(op.record_id),
    PutVoucher: lambda op: _session_needs(op.account, op.voucher.channel_id),
    SeeChannel: lambda op: _session_needs(op.account, op.channel.channel_id),
    ReadSession: lambda op: _session_needs(op.account),
    CloseSession: lambda op: _session_needs(op.account),
    CloseByVoucher: lambda op: _session_needs(op.account, op.voucher.channel_id),
}
