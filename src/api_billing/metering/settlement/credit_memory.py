"""What one process remembers of the chain: the terms of its consumers, and for a moment those of strangers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.settlement_operations import NEVER_READ, ChainTerms
from api_billing.metering.request.request_meter import Admitted
from api_billing.metering.settlement.chain import chain_account, plan_checks
from api_billing.metering.settlement.credit_rules import CreditSettings, Known, usable_wei

_MAX_KNOWN: Final = 100_000
_MAX_STRANGERS: Final = 1_000


class Entry:
    """Of an account: when it was served last, and when the chain was asked last, in vain or not."""

    __slots__ = ("_admitted", "_day", "_terms", "account", "known", "tried_ms", "used_ms")

    def __init__(self, account: str, known: Known, used_ms: int) -> None:
        self.account = account
        self.known = known
        self.used_ms = used_ms
        self.tried_ms = 0
        self._terms: ChainTerms | None = None  # those that ``_admitted`` was made of
        self._day = 0
        self._admitted = Admitted("", ())

    def admitted(self, now_ms: int) -> Admitted:
        """What a request is served under; made once for each look at the chain and each day."""
        terms, day = self.known.terms, now_ms // DAY_MS
        if self._terms is not terms or self._day != day:
            self._admitted = Admitted(terms.plan, plan_checks(self.account, terms, now_ms), terms.signer)
            self._terms, self._day = terms, day
        return self._admitted


class CreditMemory:
    """By address, then API, as one read of the chain serves all APIs of a consumer. Thread-safe.

    Who has proven nothing is kept apart, for a moment: it is not read in the background.
    """

    def __init__(self, now_ms: Callable[[], int], settings: CreditSettings) -> None:
        self._now_ms, self._settings = now_ms, settings
        self._known: dict[str, dict[str, Entry]] = {}
        self._strangers: dict[tuple[str, str], ChainTerms] = {}
        self._lock = threading.Lock()

    def get(self, api: str, address: str) -> Entry | None:
        """What is remembered of a consumer at an API."""
        return self._known.get(address, {}).get(api)

    def apis(self, address: str) -> tuple[str, ...]:
        """At which APIs something is."""
        return tuple(self._known.get(address, ()))

    def last(self, api: str, address: str) -> ChainTerms | None:
        """What was read last, as of a stranger too."""
        entry, stranger = self.get(api, address), self._strangers.get((address, api), NEVER_READ)
        last = max(NEVER_READ if entry is None else entry.known.terms, stranger, key=lambda terms: terms.read_ms)
        return last if last.read_ms else None

    def keep(self, api: str, address: str, known: Known) -> None:
        """Remember it, unless something newer is."""
        with self._lock:
            if address not in self._known and len(self._known) >= _MAX_KNOWN:
                self._known = {}  # each is looked up again with its next request
            of_address = self._known.setdefault(address, {})
            entry = of_address.get(api)
            if entry is None:
                of_address[api] = Entry(chain_account(api, address), known, self._now_ms())
            elif known.terms.read_ms >= entry.known.terms.read_ms:
                entry.known = known

    def keep_stranger(self, api: str, address: str, terms: ChainTerms) -> None:
        """Remember the terms of who has proven nothing, for as long as there are not too many after it."""
        with self._lock:
            self._strangers.pop((address, api), None)
            while len(self._strangers) >= _MAX_STRANGERS:
                del self._strangers[next(iter(self._strangers))]
            self._strangers[address, api] = terms

    def tried(self, address: str, now_ms: int) -> None:
        """The chain is asked at this time, or 0: is to be asked again whenever somebody wants it."""
        for entry in self._known.get(address, {}).values():
            entry.tried_ms = now_ms

    def due(self) -> list[str]:
        """Addresses to be read again, the longest waiting first; who was not served for long is forgotten."""
        now_ms = self._now_ms()
        due: list[tuple[int, str]] = []
        with self._lock:
            for address, entries in list(self._known.items()):
                if all(now_ms - entry.used_ms > self._settings.idle_ms for entry in entries.values()):
                    del self._known[address]
                    continue
                waiting = [entry for entry in entries.values() if self._is_due(entry, now_ms)]
                if waiting:
                    due.append((min(max(entry.known.terms.read_ms, entry.tried_ms) for entry in waiting), address))
        return [address for _, address in sorted(due)]

    def _is_due(self, entry: Entry, now_ms: int) -> bool:
        known, settings = entry.known, self._settings
        troubled = known.short_wei or known.refused_parts or not usable_wei(known.terms, settings, now_ms)
        every_ms = settings.soon_ms if troubled else settings.refresh_ms
        return now_ms - max(known.terms.read_ms, entry.tried_ms) >= every_ms
