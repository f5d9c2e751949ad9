"""Published signing keys (JWKS): fetched over HTTPS, cached, and fetched again only so often."""

from __future__ import annotations

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import build_opener

from api_billing.extras import needed_by

with needed_by(__name__):
    import jwt

from api_billing.metering.errors import IdentityUnavailable, InvalidSetting
from api_billing.metering.forks import at_fork
from api_billing.metering.https import NoRedirect, is_https
from api_billing.showing import redacted

_LOG: Final = logging.getLogger("api_billing.metering.jwks")
_MAX_BYTES: Final = 2**20
_AT_ONCE: Final = 5  # fetches, where the last ones are long ago


class KeySource(Protocol):
    """Where a key set comes from."""

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet: ...


class _Issuer:
    """Fetches the key set of a URL: within the time in all, however it dribbles in, and of 1 MiB at most."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url, self._timeout = url, timeout_seconds
        self._thread = threading.Thread()

    def get_jwk_set(self, refresh: bool = False) -> jwt.PyJWKSet:
        """Raises: TimeoutError, also while a fetch that was given up has not come to its end; whatever went wrong."""
        # A socket's timeout is for each piece of an answer, and there is none for looking the name up.
        if self._thread.is_alive():
            raise TimeoutError
        answers: queue.SimpleQueue[jwt.PyJWKSet | Exception] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._fetch, args=(answers,), name="api-billing-jwks", daemon=True)
        self._thread.start()
        try:
            answer = answers.get(timeout=self._timeout)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _fetch(self, answers: queue.SimpleQueue[jwt.PyJWKSet | Exception]) -> None:
        try:
            with build_opener(NoRedirect).open(self._url, timeout=self._timeout) as response:
                body = response.read(_MAX_BYTES + 1)
            if len(body) > _MAX_BYTES:
                raise ValueError(f"more than {_MAX_BYTES:,} bytes")
            answers.put(jwt.PyJWKSet.from_dict(json.loads(body)))
        except Exception as error:
            if isinstance(error, HTTPError):
                error.close()
            answers.put(error)


class KeySet:
    """The signing keys of one URL. Thread-safe.

    Keys are believed for ``lifespan_seconds``. A key id that is not known has the set fetched at once, but no more than
    one in ``refetch_seconds`` in the long run, so that tokens with invented ones cannot make the meter a load on the
    issuer. While the issuer does not answer, it is asked once in that time, and keys that were fetched before stay good
    for ``stale_seconds`` more.

    Raises: InvalidSetting for a URL that is not https (http is for this machine only).
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        lifespan_seconds: float = 300.0,
        refetch_seconds: float = 10.0,
        stale_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        source: KeySource | None = None,
    ) -> None:
        if not is_https(url):
            raise InvalidSetting(f"keys are fetched from an https URL without credentials, not from {redacted(url)!r}")
        self._source = source or _Issuer(url, timeout_seconds)
        self._host = urlsplit(url).hostname
        self._lifespan, self._refetch, self._stale = lifespan_seconds, refetch_seconds, stale_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = self._used_until = -float("inf")
        self._is_away = False
        at_fork(in_child=self._renew_lock)

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """A key that is known, without waiting. None: ask ``fetch``. Without an id, the only key there is."""
        if self._clock() - self._fetched_at >= self._lifespan:
            return None
        return self._known(key_id)

    def fetch(self, key_id: str) -> jwt.PyJWK | None:
        """A key, after fetching the set when it is time to. Waits for the network; None when there is no such key.

        Raises: IdentityUnavailable, when that cannot be told, as the issuer does not answer.
        """
        asked_at = self._clock()
        with self._lock:
            now = self._clock()
            fresh = now - self._fetched_at < self._lifespan and self._known(key_id) is not None
            # Of many who wait here, the next one fetches for all.
            if not fresh and self._tried_at < asked_at and self._wait(now) <= 0:
                self._tried_at = now
                self._used_until = max(self._used_until, now) + self._refetch
                self._load(now)
            known = self._known(key_id) if now - self._fetched_at < self._lifespan + self._stale else None
            if known is None and self._is_away:
                wait = math.ceil(self._wait(self._clock()))
                raise IdentityUnavailable(f"the signing keys of {self._host} cannot be fetched", wait)
            return known

    def _wait(self, now: float) -> float:
        """After how many seconds the issuer may be asked again."""
        return self._used_until - (_AT_ONCE - 1) * self._refetch - now

    def _load(self, now: float) -> None:
        try:
            published = self._source.get_jwk_set(refresh=True)
        except Exception as exc:
            _LOG.warning("the signing keys of %s cannot be fetched: %s", self._host, type(exc).__name__)
            self._is_away, self._used_until = True, self._clock() + _AT_ONCE * self._refetch
            return
        self._is_away = False
        keys = {key.key_id or "": key for key in published.keys if key.public_key_use in (None, "sig")}
        if len(keys) == 1:
            keys[""] = next(iter(keys.values()))
        self._keys = keys
        self._fetched_at = now

    def _known(self, key_id: str) -> jwt.PyJWK | None:
        return self._keys.get(key_id)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
