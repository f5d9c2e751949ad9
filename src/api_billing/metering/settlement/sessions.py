"""Vouchers of sessions, checked before anything is believed or stored: the same rule that the contract applies later.

The channel's id is computed here, of what the chain says: the consumer, the signer of its session, the API's operator
and asset, the contract and its chain. So a voucher for another API, operator, contract or chain is signed by nobody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from api_billing.errors import BillingError
from api_billing.metering.errors import CreditUnavailable, MeterError
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.session_operations import PutReply, PutVoucher, ReadSession, SeeChannel
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.ledger.vouchers import BySession, ChannelSums, SessionState
from api_billing.metering.request.problems import Refusal
from api_billing.metering.seldom import Seldom
from api_billing.metering.settlement.chain import SettlementChain, chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.stores.steps import Blocking, Steps
from api_billing.results import Session
from api_billing.vouchers import Channel, Voucher, is_signed_by

_MAX_KNOWN: Final = 100_000
_CACHED: Final = 10_000

_NO_SESSION: Final = Refusal(
    "invalid_voucher", "There is no session that this voucher could be of.", extra={"reason": "no_session"}
)
_NOT_SIGNED: Final = Refusal(
    "invalid_voucher",
    "The key of the session has not signed this for the API, its operator, this contract and chain.",
    extra={"reason": "bad_signature"},
)

_log = logging.getLogger("api_billing.metering.sessions")
_channel: Final = lru_cache(_CACHED)(Channel)  # whose id is computed once
_is_signed_by: Final = lru_cache(_CACHED)(is_signed_by)


class _Receiver(NamedTuple):
    """What an API's vouchers are for, and when it was read."""

    operator: str
    asset: str
    chain_id: int
    read_ms: int


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
        self._receivers: dict[str, _Receiver] = {}
        self._begun: set[str] = set()  # channels that the store has at least as far as the chain
        self._reading = threading.Lock()

    def check(self, api: str, consumer: str, voucher: Voucher) -> Steps[BySession | Refusal]:
        """Why a voucher is refused, or what it pays by; how far it reaches, the store finds out.

        Raises: StoreUnavailable, CreditUnavailable.
        """
        terms = yield from self._credit.terms(api, consumer)
        if terms is None:
            raise CreditUnavailable("The session of this consumer cannot be read from the chain.")
        if not terms.signer:
            return _NO_SESSION
        receiver = self._receivers.get(api)
        if receiver is None or self._now_ms() - receiver.read_ms > self._credit.settings.refresh_ms:
            receiver = yield Blocking(lambda: self._read_receiver(api))
        channel = _channel(
            consumer, terms.signer, receiver.operator, self._chain.contract, receiver.asset, receiver.chain_id,
            voucher.salt,
        )  # fmt: skip
        if not _is_signed_by(channel, voucher):
            return _NOT_SIGNED
        if channel.id not in self._begun:
            yield from self._begin(chain_account(api, consumer), api, consumer, channel.id)
        return BySession(terms.signer, channel.id, voucher.salt, voucher.cumulative_wei, voucher.signature)

    def put(self, api: str, consumer: str, voucher: Voucher) -> Steps[ChannelSums | Refusal]:
        """Check a voucher and keep it. Raises: as ``check``."""
        by = yield from self.check(api, consumer, voucher)
        if isinstance(by, Refusal):
            return by
        reply: PutReply = yield PutVoucher(chain_account(api, consumer), by)
        if isinstance(reply, ChannelSums):
            return reply
        return _NO_SESSION if reply.code == "no_session" else Refusal(reply.code)

    def _begin(self, account: str, api: str, consumer: str, channel_id: str) -> Steps[None]:
        """Have a channel begin where the contract is, when the store does not know it: it may have been lost, or be of
        an earlier session.
        """
        session: SessionState | None = yield ReadSession(account)
        known = () if session is None else session.channels
        if all(channel.channel_id != channel_id for channel in known):
            found: Session = yield Blocking(
                lambda: self._read(lambda: self._chain.get_session(consumer, api, channel_id))
            )
            for channel in found.channels:
                if channel.signed_wei:
                    yield SeeChannel(account, channel)
        if len(self._begun) >= _MAX_KNOWN:
            self._begun = set()
        self._begun.add(channel_id)

    def _read_receiver(self, api: str) -> _Receiver:
        """Who an API's vouchers pay, as it is now: operators change. Many requests at once read once."""
        with self._reading:
            now_ms, known = self._now_ms(), self._receivers.get(api)
            if known is not None and now_ms - known.read_ms <= self._credit.settings.refresh_ms:
                return known
            try:
                found = self._read(lambda: self._chain.get_api(api))
            except CreditUnavailable:
                if known is None or now_ms - known.read_ms > self._credit.settings.grace_ms:
                    raise
                return known
            receiver = _Receiver(found.operator, found.asset, found.chain_id, now_ms)
            self._receivers[api] = receiver
            return receiver

    def _read[ReadT](self, read: Callable[[], ReadT]) -> ReadT:
        """One read of the contract. Raises: CreditUnavailable, when there is none left, or it fails."""
        most = self._credit.settings.reads_per_10_seconds
        if not self._call(TakeRead(self._chain.contract.lower(), self._now_ms(), most)):
            raise CreditUnavailable("The chain has been read as often as it may be; try again.")
        try:
            return read()
        except MeterError:
            raise
        except BillingError as error:
            self._seldom.log(_log, logging.WARNING, "a session cannot be read: %s", error)
            raise CreditUnavailable("The session cannot be read from the chain.") from error
