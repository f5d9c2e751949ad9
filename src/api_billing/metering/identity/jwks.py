"""Published signing keys (JWKS): fetched over HTTPS, cached, and fetched again only so often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit

from api_billing.extras import needed_by

with needed_by(__name__):
    import jwt

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.forks import at_fork

_LOG: Final = logging.getLogger("api_billing.metering.jwks")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class KeySource(Protocol):
    """Where a key set comes from."""

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet: ...


class KeySet:
    """The signing keys of one URL. Thread-safe.

    Keys are believed for ``lifespan_seconds``; one fetch at a time, and none within ``refetch_seconds`` of the last,
    so that tokens with invented key ids cannot make the meter a load on the issuer. While the issuer does not answer,
    keys that were fetched before stay good for ``stale_seconds`` more.

    Raises: InvalidSetting for a URL that is not https (http is for this machine only).
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        lifespan_seconds: float = 300.0,
        refetch_seconds: float = 30.0,
        stale_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        source: KeySource | None = None,
    ) -> None:
        parts = urlsplit(url)
        if not parts.hostname or (
            parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        ):
            raise InvalidSetting(f"keys are fetched from an https URL, not from {url!r}")
        # PyJWKClient fetches, follows no redirect and gives up after the timeout; caching is done here.
        self._source = source or jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout_seconds, cooldown_duration=0)
        self._host = parts.hostname
        self._lifespan, self._refetch, self._stale = lifespan_seconds, refetch_seconds, stale_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = -float("inf")
        at_fork(in_child=self._renew_lock)

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """A key that is known, without waiting. None: ask ``fetch``. Without an id, the only key there is."""
        if self._clock() - self._fetched_at >= self._lifespan:
            return None
        return self._known(key_id)

    def fetch(self, key_id: str) -> jwt.PyJWK | None:
        """A key, after fetching the set when it is time to. Waits for the network; None when there is no such key."""
        with self._lock:
            now = self._clock()
            fresh = now - self._fetched_at < self._lifespan and self._known(key_id) is not None
            if not fresh and now - self._tried_at >= self._refetch:
                self._tried_at = now
                self._load(now)
            return self._known(key_id) if now - self._fetched_at < self._lifespan + self._stale else None

    def _load(self, now: float) -> None:
        try:
            published = self._source.get_jwk_set(refresh=True)
        except (jwt.PyJWTError, OSError, ValueError) as exc:
            _LOG.warning("the signing keys of %s cannot be fetched: %s", self._host, type(exc).__name__)
            return
        keys = {key.key_id or "": key for key in published.keys if key.public_key_use in (None, "sig")}
        if len(keys) == 1:
            keys[""] = next(iter(keys.values()))
        self._keys = keys
        self._fetched_at = now

    def _known(self, key_id: str) -> jwt.PyJWK | None:
        return self._keys.get(key_id)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
