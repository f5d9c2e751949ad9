"""Vouchers of sessions, checked before anything is believed or stored: the same rule that the contract applies later.

The channel's id is computed here, of what the chain says: the consumer, the signer of its session, the API's operator
and asset, the contract and its chain. So a voucher for another API, operator, contract or chain is signed by nobody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from api_billing.errors import BillingError
from api_billing.metering.errors import CreditUnavailable, MeterError
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.session_operations import PutReply, PutVoucher, ReadSession, SeeChannel
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.ledger.vouchers import MAX_CHANNELS, BySession, ChannelSums, SessionState
from api_billing.metering.request.door import Receiver
from api_billing.metering.request.problems import Refusal
from api_billing.metering.seldom import Seldom
from api_billing.metering.settlement.chain import SettlementChain, chain_account
from api_billing.metering.settlement.credit import FOR_NEW, ChainCredit
from api_billing.metering.stores.steps import Blocking, Steps
from api_billing.results import Session
from api_billing.vouchers import Channel, Voucher, is_signed_by, signer_of

_MAX_KNOWN: Final = 100_000
_CACHED: Final = 10_000
_FOR_CHANNELS: Final = 2  # one of so many reads is for channels that are new to the store, at most
_PAUSE_MS: Final = 2_000  # after the chain could not be read: anybody may have it read

_NO_SESSION: Final = Refusal("invalid_voucher", reason="no_session")
_NOT_SIGNED: Final = Refusal("invalid_voucher", reason="bad_signature")

_log = logging.getLogger("api_billing.metering.sessions")
_channel: Final = lru_cache(_CACHED)(Channel)  # whose id is computed once
_is_signed_by: Final = lru_cache(_CACHED)(is_signed_by)


_OTHER_CHANNEL: Final = Refusal("invalid_voucher", reason="other_channel")
_TOO_MANY: Final = Refusal("too_many_channels")


class _Seen(NamedTuple):
    """Whom an API's vouchers pay, when that was read, and when last it was tried to."""

    receiver: Receiver
    read_ms: int
    tried_ms: int


class _Begun:
    """What of the chain was read for new channels of a session, which only one request does at a time."""

    __slots__ = ("lock", "reads", "since_ms")

    def __init__(self, since_ms: int) -> None:
        self.lock = threading.Lock()
        self.since_ms = since_ms
        self.reads = 0


class VoucherChecks:
    """What this process knows of sessions and their vouchers. Thread-safe. ``call`` asks the store."""

    def __init__(
        self,
        chain: SettlementChain,
        call: Callable[[Operation[Any]], Any],
        credit: ChainCredit,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._chain = chain
        self._call = call
        self._credit = credit
        self._now_ms = now_ms
        self._seldom = Seldom(now_ms)
        self.forget()
        at_fork(in_child=self.forget)

    def forget(self) -> None:
        """Forget everything, as in a forked child."""
        self._receivers: dict[str, _Seen] = {}
        self._failed_ms: dict[str, int] = {}  # when an API could not be read last
        self._begun: set[str] = set()  # channels that the store has at least as far as the chain
        self._beginning: dict[str, _Begun] = {}  # by account
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def check(self, api: str, consumer: str, voucher: Voucher, channel_id: str = "") -> Steps[BySession | Refusal]:
        """Why a voucher is refused, or what it pays by; how far it reaches, the store finds out. With ``channel_id``
        it has to be of that channel, which costs less to see than whose signature it is.

        Raises: StoreUnavailable, CreditUnavailable.
        """
        receiver = yield from self.receiver(api)

        def channel_of(signer: str) -> Channel:
            contract, chain_id = self._chain.contract, receiver.chain_id
            return _channel(consumer, signer, receiver.operator, contract, receiver.asset, chain_id, voucher.salt)

        def refused(signer: str) -> Refusal | None:
            if not signer:
                return _NO_SESSION
            channel = channel_of(signer)
            if channel_id not in ("", channel.id):
                return _OTHER_CHANNEL
            return None if _is_signed_by(channel, voucher) else _NOT_SIGNED

        def senseless() -> Refusal | None:
            # Whoever's session it is: the key that has signed for the channel that is named has to be that channel's.
            signer = signer_of(channel_id, receiver.chain_id, voucher) if channel_id else None
            is_one = not channel_id or (signer is not None and channel_of(signer).id == channel_id)
            return None if is_one else _NOT_SIGNED

        proven = yield from self._credit.prove(api, consumer, refused, senseless)
        if proven is None:
            raise CreditUnavailable("The session of this consumer cannot be read from the chain.")
        signer, refusal = proven
        if refusal is not None:
            return refusal
        channel = channel_of(signer)
        if channel.id not in self._begun:
            begins = yield Blocking(lambda: self._begin(api, consumer, signer, channel.id))
            if not begins:
                return _TOO_MANY
        return BySession(signer, channel.id, voucher.salt, voucher.cumulative_wei, voucher.signature)

    def put(self, api: str, consumer: str, voucher: Voucher) -> Steps[ChannelSums | Refusal]:
        """Check a voucher and keep it. Raises: as ``check``."""
        by = yield from self.check(api, consumer, voucher)
        return by if isinstance(by, Refusal) else (yield from self.keep(api, consumer, by))

    def keep(self, api: str, consumer: str, by: BySession) -> Steps[ChannelSums | Refusal]:
        """Keep a voucher that was checked."""
        reply: PutReply = yield PutVoucher(chain_account(api, consumer), by)
        if isinstance(reply, ChannelSums):
            return reply
        return _NO_SESSION if reply.code == "no_session" else Refusal(reply.code)

    def _begin(self, api: str, consumer: str, signer: str, channel_id: str) -> bool:
        """Have a channel begin where the contract is, when the store does not know it: it may have been lost, or be of
        an earlier session. False when the session has had too many that nothing came of.

        One channel of a session at a time: many requests in one read it once. And only as many as a session has, or
        one that pays for nothing would have the chain read for ever.
        """
        account, now_ms = chain_account(api, consumer), self._now_ms()
        with self._lock:
            if len(self._beginning) >= _MAX_KNOWN:
                self._beginning = {}
            begun = self._beginning.get(account)
            if begun is None or now_ms - begun.since_ms > self._credit.settings.grace_ms:
                begun = self._beginning[account] = _Begun(now_ms)
        with begun.lock:
            if channel_id in self._begun:
                return True
            session: SessionState | None = self._call(ReadSession(account))
            known = () if session is None or session.signer != signer else session.channels
            if all(channel.channel_id != channel_id for channel in known):
                if len(known) >= MAX_CHANNELS:
                    return True  # the store takes no other one
                if begun.reads >= MAX_CHANNELS:
                    return False
                share = _FOR_CHANNELS if begun.reads else 0  # the first one keeps nobody out
                read = partial(self._chain.get_session, consumer, api, channel_id)
                found: Session = self._read(read, share=share, name="channels")
                begun.reads += 1
                for channel in found.channels:
                    if channel.signed_wei:
                        self._call(SeeChannel(account, channel))
            if len(self._begun) >= _MAX_KNOWN:
                self._begun = set()
            self._begun.add(channel_id)
            return True

    def receiver(self, api: str) -> Steps[Receiver]:
        """Whom an API's vouchers pay, as far as is known: operators change. Raises: CreditUnavailable."""
        seen = self._receivers.get(api)
        if seen is None or not self._is_fresh(seen, self._now_ms()):
            seen = yield Blocking(lambda: self._see_receiver(api))
        return seen.receiver

    def _is_fresh(self, seen: _Seen, now_ms: int) -> bool:
        # A clock that was set back must not make it good for longer.
        return 0 <= now_ms - seen.tried_ms <= self._credit.settings.refresh_ms

    def _is_good(self, seen: _Seen | None, now_ms: int) -> bool:
        return seen is not None and now_ms - seen.read_ms <= self._credit.settings.grace_ms

    def _see_receiver(self, api: str) -> _Seen:
        """Read it: one at a time, and who has an older one does not wait for that."""
        known = self._receivers.get(api)
        if not self._reading.acquire(blocking=not self._is_good(known, self._now_ms())):
            assert known is not None
            return known
        try:
            now_ms, known = self._now_ms(), self._receivers.get(api)
            if known is not None and self._is_fresh(known, now_ms):
                return known
            if 0 <= now_ms - self._failed_ms.get(api, -_PAUSE_MS) < _PAUSE_MS and not self._is_good(known, now_ms):
                raise CreditUnavailable("The API cannot be read from the chain; try again.")
            try:
                found = self._read(lambda: self._chain.get_api(api))
            except CreditUnavailable:
                self._failed_ms[api] = now_ms
                if known is None or not self._is_good(known, now_ms):
                    raise
                seen = known._replace(tried_ms=now_ms)
            else:
                seen = _Seen(Receiver(found.operator, found.asset, found.chain_id), now_ms, now_ms)
            self._receivers[api] = seen
            return seen
        finally:
            self._reading.release()

    def _read[ReadT](self, read: Callable[[], ReadT], share: int = 0, name: str = "") -> ReadT:
        """One read of the contract; of one in ``share`` of them, at most. Raises: CreditUnavailable, when there is none
        left, or it fails.
        """
        contract, now_ms, most = (
            self._chain.contract.lower(),
            self._now_ms(),
            self._credit.settings.reads_per_10_seconds,
        )
        own = not share or self._call(TakeRead(f"{contract}/{name}", now_ms, max(1, most // share)))
        if not own or not self._call(TakeRead(contract, now_ms, most, most // FOR_NEW if share else 0)):
            raise CreditUnavailable("The chain has been read as often as it may be; try again.")
        try:
            return read()
        except MeterError:
            raise
        except BillingError as error:
            self._seldom.log(_log, logging.WARNING, "a session cannot be read: %s", error)
            raise CreditUnavailable("The session cannot be read from the chain.") from error
