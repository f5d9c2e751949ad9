"""The wallet: who pays, from which sessions on the billing contract, and where that is written down."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from api_billing.client import BillingClient
from api_billing.contract_api import DAY_SECONDS
from api_billing.errors import ContractNotFound, ContractRejected, NoSession, NotPayable, UnexpectedAnswer, WaitTimedOut
from api_billing.extras import needed_by
from api_billing.networks import checked_address
from api_billing.payer.book import Book
from api_billing.payer.rows import Bounds, SessionEntry
from api_billing.payments.offers import Offer
from api_billing.results import ApiDetails
from api_billing.vouchers import domain_of

_MAX_APIS: Final = 500  # that are looked through for the one that an offer over x402 is of
_ENDS: Final = "wait until it has been settled and closed, or has ended"
_LISTED_SECONDS: Final = 600  # for which a contract that does not have one is not looked through again


class Wallet:
    """A payer's sessions with the APIs of one billing contract, and the book that they are written down in.

    ``client`` is a client of that contract; its account opens sessions, and pays unless a ``payer`` is named. Without
    an account nothing is opened, and what the book has can be spent. Can be used from several threads, and several
    processes can have the same book. ``clock`` and ``sleep`` are for tests.
    """

    def __init__(
        self,
        client: BillingClient,
        *,
        payer: str = "",
        file: Path | str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = client
        self.payer = checked_address(payer or client.address).lower()
        self.book = Book(Path(file) if file is not None else None, clock=clock)
        self._clock, self._sleep = clock, sleep
        self._apis: dict[str, ApiDetails] = {}
        self._listed_until = 0.0
        self._opening = threading.Lock()

    def close(self) -> None:
        """Close the book. The sessions stay."""
        self.book.close()

    # --- what is offered

    def checked(self, offer: Offer) -> Offer:
        """The offer, with the name of its API, if it is one of this contract. Each API is read once, and again when
        its operator is another one by now.

        Raises: NotPayable, with the reason; NetworkError.
        """
        if offer.contract.lower() != self.client.contract.lower():
            raise NotPayable(f"it is to be paid from the contract {offer.contract}, not from {self.client.contract}")
        name = offer.api or self._api_of(offer.asset)
        details = self._details(name)
        if not _fits(offer, details):
            details = self._details(name, anew=True)
        if not _fits(offer, details):
            raise NotPayable(f"whom it is to pay is not whom the contract names for {name}")
        if details.voucher_domain != domain_of(details.chain_id):
            raise NotPayable(f"vouchers of {name} are signed under another domain: {details.voucher_domain}")
        return replace(offer, api=name)

    def knows(self, asset: str, network: str) -> bool:
        """Whether an asset on a network stands for an API of the contract. Raises: NotPayable, NetworkError."""
        return f"eip155:{self._details(self._api_of(asset.lower())).chain_id}" == network

    def _details(self, api: str, *, anew: bool = False) -> ApiDetails:
        if anew or api not in self._apis:
            try:
                self._apis[api] = self.client.get_api(api)
            except (ContractRejected, UnexpectedAnswer) as error:
                raise NotPayable(f"the contract has no API {api!r}: {error}") from error
        return self._apis[api]

    def _api_of(self, asset: str) -> str:
        """The API that vouchers for an asset pay: x402 does not say its name."""
        for details in tuple(self._apis.values()):
            if details.asset.lower() == asset:
                return details.api_name
        if self._clock() >= self._listed_until:
            known = [each.api for each in self.book.sessions() if each.contract == self.client.contract.lower()]
            listed = (api.api_name for _, api in zip(range(_MAX_APIS), self.client.iterate_apis(), strict=False))
            for name in (*dict.fromkeys(known), *listed):
                if self._details(name).asset.lower() == asset:
                    return name
            self._listed_until = self._clock() + _LISTED_SECONDS
        raise NotPayable(f"the contract has no API whose vouchers are for {asset}")

    # --- sessions

    def session(self, api: str) -> SessionEntry | None:
        """The session to pay an API from; None without one. It may be in the middle of being opened."""
        details = self._details(api)
        return self.book.usable(self.client.contract, details.chain_id, details.api_name, self.payer)

    def open_session(self, api: str, amount_wei: int, days: int, bounds: Bounds, *, origin: str = "") -> SessionEntry:
        """Open a session in one transaction, with a new key, and wait until it is final; or take the one there is.

        What free credit does not cover of the amount is sent along. The bounds are what the contract is told to
        accept: as price of a call, and as cap of a day. ``origin`` says whose request wants it: then the bound of what
        is on hold counts. Raises: NoSession, TooExpensive, NotPayable, BillingError.
        """
        with self._opening:
            return self._open_session(api, amount_wei, days, bounds, origin)

    def ready(self, session: SessionEntry, bounds: Bounds) -> SessionEntry:
        """A session that can be paid from: one whose opening was cut short is gone on with, or waited for while the
        process that opens it lives. Raises: NoSession, WaitTimedOut, BillingError.
        """
        if session.state == "open":
            return session
        with self._opening:
            return self._ready(session, bounds)

    def _open_session(self, api: str, amount_wei: int, days: int, bounds: Bounds, origin: str) -> SessionEntry:
        found = self.session(api)
        if found is not None and found.state == "closing":
            if self.look(found).state != "closed":
                raise NoSession(f"the session with {api} is being closed", hint=_ENDS)
            found = None
        if found is None:
            if self.client.address.lower() != self.payer:
                raise NoSession(f"only {self.payer} can open a session of its own")
            if self.client.get_session(self.payer, api).in_force:  # it would be refused, and what is sent be kept
                raise NoSession(f"a hold for {api} is in force whose key is not in this book", hint=_ENDS)
            details, key = self._details(api), _new_key()
            begun = self.book.begin_session(
                contract=self.client.contract, chain_id=details.chain_id, api=details.api_name, payer=self.payer,
                signer=_address_of(key), key=key, amount_wei=amount_wei,
                expires_at=self.client.connection.now() + days * DAY_SECONDS, origin=origin,
                max_wei_on_hold=bounds.max_wei_on_hold,
            )  # fmt: skip
            if begun is not None:
                return self._send(begun, bounds)
            found = self.session(api)  # somebody else was faster
        if found is None:
            raise NoSession(f"the session with {api} was closed while it was opened")
        return self._ready(found, bounds)

    def _ready(self, session: SessionEntry, bounds: Bounds) -> SessionEntry:
        network = self.client.network
        for _ in self._pauses(network.finalize_seconds + network.accept_seconds):
            found = self.book.find(session)
            if found.state == "open":
                return found
            if found.state == "closed":
                raise NoSession(f"no session with {session.api} was opened", hint="the contract refused it")
            if self.book.take_over(session):
                return self._await_final(found) if found.state == "sent" else self._resumed(found, bounds)
        raise self._timed_out(session)

    def top_up(self, session: SessionEntry, amount_wei: int, *, days: int = 7) -> SessionEntry:
        """Add to a session, and prolong it, in one transaction. Sent twice it adds twice."""
        expires_at = max(session.expires_at, self.client.connection.now() + days * DAY_SECONDS)
        written = self.client.open_session(
            session.api, 0, amount_wei, expires_at, session.signer, deposit_wei=self._missing_wei(amount_wei)
        )
        return self.book.set_state(session, "open", expires_at=written.result.expires_at)

    def look(self, session: SessionEntry) -> SessionEntry:
        """See whether a session is still in force on the contract, and note it when it is not."""
        found = self.client.get_session(session.payer, session.api)
        if found.in_force and found.signer.lower() == session.signer:
            return session
        return self.book.set_state(session, "closed")

    def _send(self, session: SessionEntry, bounds: Bounds) -> SessionEntry:
        try:
            written = self.client.open_session(
                session.api, bounds.max_wei_a_day, session.amount_wei, session.expires_at, session.signer,
                max_price_wei=bounds.max_wei_per_call, deposit_wei=self._missing_wei(session.amount_wei),
            )  # fmt: skip
        except ContractRejected:
            self.book.set_state(session, "closed")
            raise
        return self._await_final(self.book.set_state(session, "sent", tx=written.tx))

    def _missing_wei(self, amount_wei: int) -> int:
        return max(0, amount_wei - self.client.get_account(self.payer).credit_wei)

    def _resumed(self, session: SessionEntry, bounds: Bounds) -> SessionEntry:
        """Nobody knows whether its transaction was sent. After the time that one takes it is sent again, with the same
        key: should both be executed, the session has twice as much, and nothing is lost.
        """
        rest_seconds = session.started_at + self.client.network.accept_seconds - self._clock()
        for _ in self._pauses(rest_seconds):
            if self._is_there(self.client, session):
                return self._await_final(self.book.set_state(session, "sent"))
        return self._send(session, bounds)

    def _await_final(self, session: SessionEntry) -> SessionEntry:
        for _ in self._pauses(self.client.network.finalize_seconds):
            if self._is_there(self.client.final, session):
                return self.book.set_state(session, "open")
        raise self._timed_out(session)

    def _is_there(self, client: BillingClient, session: SessionEntry) -> bool:
        try:
            found = client.get_session(session.payer, session.api)
        except (ContractNotFound, ContractRejected):
            return False  # a contract, or an API, that is not final itself
        return found.signer.lower() == session.signer and found.in_force

    def _pauses(self, seconds: float) -> _Pauses:
        return _Pauses(seconds, self.client.network.poll_seconds, self._clock, self._sleep)

    def _timed_out(self, session: SessionEntry) -> WaitTimedOut:
        seconds = self.client.network.finalize_seconds
        return WaitTimedOut(session.tx or "(unknown)", seconds, "final", session.state)


class _Pauses:
    """At least one turn, and a pause before each other one until the time is over."""

    def __init__(
        self, seconds: float, pause_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._until, self._pause, self._clock, self._sleep = clock() + seconds, pause_seconds, clock, sleep

    def __iter__(self) -> _Pauses:
        self._is_first = True
        return self

    def __next__(self) -> None:
        if self._is_first:
            self._is_first = False
            return
        if self._clock() >= self._until:
            raise StopIteration
        self._sleep(self._pause)


def _fits(offer: Offer, details: ApiDetails) -> bool:
    return (offer.operator.lower(), offer.asset.lower(), offer.chain_id) == (
        details.operator.lower(),
        details.asset.lower(),
        details.chain_id,
    )


def _new_key() -> bytes:
    from coincurve import PrivateKey

    return PrivateKey(secrets.token_bytes(32)).secret


def _address_of(key: bytes) -> str:
    with needed_by("a wallet"):
        from eth_account import Account
    return str(Account.from_key(key).address).lower()
