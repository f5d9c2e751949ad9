"""The rules of sessions: a request is paid within what was signed, and a batch has the vouchers that cover it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from api_billing.metering.ledger.batch_operations import BatchLine
from api_billing.metering.ledger.operations import Reserve
from api_billing.metering.ledger.rows import ACCOUNTS, REQUESTS, RequestRow
from api_billing.metering.ledger.session_operations import (
    CloseByVoucher,
    CloseSession,
    NotPut,
    PutVoucher,
    ReadSession,
    SeeChannel,
)
from api_billing.metering.ledger.session_rows import CHANNELS, SESSIONS, ChannelRow, SessionRow
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.ledger.vouchers import (
    MAX_CHANNELS,
    BySession,
    ChannelSums,
    SessionState,
)
from api_billing.results import ChannelState

_OPEN, _TO_CLOSE, _IN_A_BATCH = range(3)  # how far the closing of a session is


# --- requests


class Lacking(NamedTuple):
    """Why no channel pays for a request, and the one that comes closest."""

    code: str
    channel: ChannelSums = ChannelSums("")


def bound(tables: Tables, op: Reserve, asked_wei: int) -> ChannelRow | Lacking | None:
    """The channel that pays for a request; or why none does. None for what costs nothing and came without a voucher.
    Nothing is changed.

    ``asked_wei`` is the estimate that the request came with: more than is set aside, when a part of it was paid before.
    """
    by, estimate_wei = op.session, op.estimate_wei
    assert by is not None
    if not (by.channel_id or estimate_wei):
        return None
    session = _session(tables, op.account, by.signer)
    if session is None:
        return Lacking("voucher_required")
    if _is_closing(tables, session):
        return Lacking("session_closing")
    if by.channel_id:
        channel = _channel(tables, op.account, by.channel_id)
        code = _refusal(session, channel, by, estimate_wei, asked_wei)
        if not code:
            return channel
        if by.exact:
            return Lacking(code, channel.shown(by.cumulative_wei))
        told = channel.sums.told_to(by.cumulative_wei)
        return Lacking(code, told._replace(signed_wei=max(told.signed_wei, by.cumulative_wei)))
    for channel_id in session.channels:
        channel = _channel(tables, op.account, channel_id)
        if channel.sums.is_open and channel.sums.free_wei >= estimate_wei:
            return channel
    if not session.channels:
        return Lacking("voucher_required")
    return Lacking("voucher_required", _channel(tables, op.account, session.channels[0]).sums)


def _refusal(session: SessionRow, channel: ChannelRow, by: BySession, estimate_wei: int, asked_wei: int) -> str:
    """The code of why a channel does not pay by the voucher that came; empty when it does."""
    if by.channel_id not in session.channels and len(session.channels) >= MAX_CHANNELS:
        return "too_many_channels"
    if by.exact:
        if channel.reserved_wei and not channel.sums.is_anybodys(by.cumulative_wei):
            return "channel_busy"
        is_exact = by.cumulative_wei == channel.sums.required_wei(max(asked_wei, 1))
        return "" if is_exact else "cumulative_mismatch"
    free_wei = channel.sums._replace(signed_wei=max(channel.signed_wei, by.cumulative_wei)).free_wei
    return "voucher_required" if by.cumulative_wei <= channel.posted_wei or free_wei < estimate_wei else ""


def take(tables: Tables, op: Reserve, channel: ChannelRow) -> BySession:
    """Set a request's estimate aside in a channel that is bound to it; by what it is paid."""
    by = op.session
    assert by is not None
    session: SessionRow = tables.find(SESSIONS, (op.account,))
    if by.channel_id:
        _sign(tables, session, by, channel)
    channel.reserved_wei += op.estimate_wei
    _put(tables, channel)
    if session.closing:
        session.closing = _OPEN  # there was nothing left that could have closed it
        tables.touch(session)
    return by if by.channel_id else by._replace(channel_id=channel.channel_id)


def take_more(tables: Tables, request: RequestRow, by: BySession, more_wei: int) -> Lacking | None:
    """Set more aside for a request in its channel; or why that does not pay for it."""
    channel_id = "" if request.reserve.session is None else request.reserve.session.channel_id
    session = _session(tables, request.reserve.account, by.signer)
    if session is None or channel_id not in session.channels:
        return Lacking("voucher_required")
    if _is_closing(tables, session):
        return Lacking("session_closing")
    channel = _channel(tables, session.account, channel_id)
    if not channel.sums.is_open or channel.sums.free_wei < more_wei:
        return Lacking("voucher_required", channel.sums)
    channel.reserved_wei += more_wei
    tables.touch(channel)
    return None


def proves_nothing(tables: Tables, op: Reserve) -> bool:
    """Whether a request came with a voucher that anybody can have: of the account's credit it is told nothing."""
    by = op.session
    if by is None or not by.channel_id:
        return False
    return _channel(tables, op.account, by.channel_id).sums.is_anybodys(by.cumulative_wei)


def is_public(tables: Tables, op: Reserve, reservation_id: str) -> bool:
    """Whether a request came with a voucher that is public, and another than that request had: anybody can show it, so
    that it gets not even a response that is stored.
    """
    by = op.session
    if by is None or not by.channel_id or by.cumulative_wei > _channel(tables, op.account, by.channel_id).posted_wei:
        return False
    request: RequestRow | None = tables.peek(REQUESTS, (reservation_id,))
    was = None if request is None else request.reserve.session
    return was is None or (was.channel_id, was.cumulative_wei) != (by.channel_id, by.cumulative_wei)


def charge(tables: Tables, request: RequestRow, held_wei: int, charged_wei: int) -> int:
    """What was set aside for a request has become what it cost; how much of that its channel pays: at most the
    estimate. Of one that had expired what is signed and free by now, while its session goes on.
    """
    by, estimate_wei = request.reserve.session, request.estimate_wei
    if by is None or not by.channel_id:
        return min(charged_wei, estimate_wei)
    channel = _channel(tables, request.reserve.account, by.channel_id)
    charged_wei = min(charged_wei, estimate_wei, held_wei + channel.sums.free_wei)
    if held_wei < estimate_wei:
        session: SessionRow = tables.find(SESSIONS, (channel.account,))
        if session.closing == _IN_A_BATCH or channel.channel_id not in session.channels:
            charged_wei = 0  # the contract would not take it any more
    channel.charge(held_wei, charged_wei)
    tables.touch(channel)
    return charged_wei


def paid_by(tables: Tables, made: Reserve) -> ChannelSums | None:
    """The channel that pays for a request that was reserved; None when it is paid without vouchers."""
    by = made.session
    return None if by is None or not by.channel_id else _channel(tables, made.account, by.channel_id).sums


# --- vouchers and sessions


def put_voucher(tables: Tables, op: PutVoucher) -> ChannelSums | NotPut:
    session = _session(tables, op.account, op.voucher.signer)
    if session is None:
        return NotPut("no_session")
    if _is_closing(tables, session):
        return NotPut("session_closing")
    channel_id = op.voucher.channel_id
    if channel_id not in session.channels and len(session.channels) >= MAX_CHANNELS:
        return NotPut("too_many_channels")
    channel = _channel(tables, op.account, channel_id)
    if op.voucher.cumulative_wei > channel.posted_wei:
        _sign(tables, session, op.voucher, channel)
    return channel.sums


def read_session(tables: Tables, op: ReadSession) -> SessionState | None:
    session: SessionRow | None = tables.find(SESSIONS, (op.account,))
    if session is None:
        return None
    tables.fetch(CHANNELS, [(channel_id,) for channel_id in session.channels])
    channels = tuple([_channel(tables, op.account, channel_id).sums for channel_id in session.channels])
    return SessionState(session.signer, channels, _is_closing(tables, session))


def close_session(tables: Tables, op: CloseSession) -> SessionState | None:
    session: SessionRow | None = tables.find(SESSIONS, (op.account,))
    if session is not None and session.closing == _OPEN and _is_pending(tables, session):
        session.closing = _TO_CLOSE
        tables.touch(session)
    return read_session(tables, ReadSession(op.account))


def close_by_voucher(tables: Tables, op: CloseByVoucher) -> SessionState | NotPut:
    put = put_voucher(tables, PutVoucher(op.account, op.voucher))
    sums = _channel(tables, op.account, op.voucher.channel_id).sums
    if isinstance(put, NotPut) and put.code != "session_closing":
        return put
    if op.voucher.cumulative_wei <= sums.posted_wei:
        return NotPut("voucher_required", sums.told_to(op.voucher.cumulative_wei))
    closed = close_session(tables, CloseSession(op.account))
    assert closed is not None  # or nothing could have been put
    return closed


def see_session(tables: Tables, account: str, signer: str, on_chain: Sequence[ChannelState]) -> None:
    """The chain has a session of this signer, with these channels."""
    session = _session(tables, account, signer)
    if session is None:
        session = SessionRow(account, signer)
        tables.put(session)
    session.channels = list(dict.fromkeys([*session.channels, *(each.channel_id for each in on_chain)]))
    tables.touch(session)
    tables.fetch(CHANNELS, [(each.channel_id,) for each in on_chain])
    for each in on_chain:
        see_channel(tables, SeeChannel(account, each))


def see_channel(tables: Tables, op: SeeChannel) -> None:
    seen, channel = op.channel, _channel(tables, op.account, op.channel.channel_id)
    channel.signed_wei = max(channel.signed_wei, seen.signed_wei)
    channel.posted_wei = max(channel.posted_wei, seen.signed_wei)
    # Of what was billed, what this store has not put into a batch; as far as it is signed here.
    foreign_wei = min(max(0, seen.billed_wei - channel.batched_wei), channel.sums.free_wei)
    channel.charged_wei += foreign_wei
    channel.batched_wei += foreign_wei
    _put(tables, channel)


# --- settlement


def post(tables: Tables, lines: Iterable[BatchLine], *, is_new: bool) -> tuple[BatchLine, ...]:
    """The lines of a batch as they are written to the outbox: those of channels with vouchers, which are public from
    now on; and the last one of a session that nothing is left of closes it, if that was asked for.

    ``is_new`` is False for usage that was in a batch before.
    """
    lines = list(lines)
    # Of what cost nothing the contract wants no voucher, and a client of x402 has no other one to go on with.
    mine = [index for index, line in enumerate(lines) if line.channel and line.amount_wei]
    if not mine:
        return tuple(lines)
    accounts = sorted({lines[index].account for index in mine})
    tables.fetch(ACCOUNTS, [(account,) for account in accounts])
    tables.fetch_all([(SESSIONS, (account,)) for account in accounts])
    tables.fetch(CHANNELS, sorted({(lines[index].channel,) for index in mine}))
    for index in mine:
        line = lines[index]
        channel = _channel(tables, line.account, line.channel)
        lines[index] = line._replace(voucher=channel.post(line.amount_wei if is_new else 0))
        tables.touch(channel)
    last = {lines[index].account: index for index in mine}
    for account, index in last.items():
        session: SessionRow | None = tables.find(SESSIONS, (account,))
        if session is None:
            continue
        is_last = session.closing == _TO_CLOSE and not _is_pending(tables, session)
        if is_last or any(lines[each].close for each in mine if lines[each].account == account):
            lines[index] = lines[index]._replace(close=True)
            session.closing = _IN_A_BATCH
            tables.touch(session)
    return tuple(lines)


def set_closing(tables: Tables, account: str, *, is_on_its_way: bool) -> None:
    """A batch that closes a session is on its way (again), or has ended."""
    session: SessionRow | None = tables.find(SESSIONS, (account,))
    if session is not None:
        session.closing = _IN_A_BATCH if is_on_its_way else _OPEN
        tables.touch(session)


# --- rows


def _session(tables: Tables, account: str, signer: str) -> SessionRow | None:
    """The session of an account, if this is its signer."""
    session: SessionRow | None = tables.find(SESSIONS, (account,))
    return session if session is not None and session.signer == signer else None


def _channel(tables: Tables, account: str, channel_id: str) -> ChannelRow:
    """A channel; one that nothing was signed for is empty."""
    row: ChannelRow | None = tables.find(CHANNELS, (channel_id,))
    return ChannelRow(channel_id, account) if row is None else row


def _put(tables: Tables, channel: ChannelRow) -> None:
    tables.rows[CHANNELS][channel.key] = channel
    tables.touch(channel)


def _sign(tables: Tables, session: SessionRow, by: BySession, channel: ChannelRow) -> None:
    if channel.channel_id not in session.channels:
        session.channels.insert(0, channel.channel_id)
        tables.touch(session)
    channel.sign(by.salt, by.cumulative_wei, by.signature)
    _put(tables, channel)


def _is_closing(tables: Tables, session: SessionRow) -> bool:
    return session.closing == _IN_A_BATCH or (session.closing == _TO_CLOSE and _is_pending(tables, session))


def _is_pending(tables: Tables, session: SessionRow) -> bool:
    """Whether something of a session is being served, or is in no batch yet."""
    channels = [_channel(tables, session.account, channel_id) for channel_id in session.channels]
    return any(channel.reserved_wei or channel.batched_wei < channel.charged_wei for channel in channels)
