"""JSON-RPC over HTTP for genlayer-py: time-outs, retries of reads, and errors that say whether anything was sent.

genlayer-py's own provider waits for ever, and drops code and data of errors. Requests that only read are tried again
with growing pauses; what writes is sent once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from api_billing.extras import needed_by

with needed_by(__name__):
    import requests
    from eth_utils.crypto import keccak
    from genlayer_py.provider import GenLayerProvider

from api_billing.errors import NetworkError, OutcomeUnknown, RateLimited, RpcFailed, Unreachable
from api_billing.showing import redacted

READ_TIMEOUT_SECONDS: Final = 60.0
CONNECT_TIMEOUT_SECONDS: Final = 5.0
RETRY_PAUSES_SECONDS: Final = (0.2, 0.5, 1.0)
BUSY_PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0)
"""Together longer than the 10 seconds over which nodes count."""

RAW_SEND: Final = "eth_sendRawTransaction"
WRITES: Final = frozenset({RAW_SEND, "eth_sendTransaction", "sim_fundAccount", "sim_cancelTransaction"})
CONTRACT_READS: Final = frozenset({"gen_call", "sim_call"})

_BUSY_CODES: Final = frozenset({-32005, -32006, -32029})
_NOT_JSON_SHOWN: Final = 200

_for_node = threading.local()

Sleep = Callable[[float], None]
Clock = Callable[[], float]


class ReadPacer:
    """Keeps reads within so many in 10 seconds by waiting before the next one. Safe to share among threads."""

    def __init__(self, reads_per_10_seconds: int, sleep: Sleep = time.sleep, clock: Clock = time.monotonic) -> None:
        self._most, self._sleep, self._clock = reads_per_10_seconds, sleep, clock
        self._at: deque[float] = deque(maxlen=reads_per_10_seconds)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when one more read is allowed, and count it."""
        with self._lock:
            now = self._clock()
            start = max(now, self._at[0] + 10.0) if len(self._at) == self._most else now
            self._at.append(start)
        if start > now:
            self._sleep(start - now)


class RpcProvider(GenLayerProvider):  # type: ignore[misc]  # genlayer-py has no types
    """Requests to one node. Safe to use from several threads: reads share connections, a write has its own.

    Raises: Unreachable, RateLimited, RpcFailed, and OutcomeUnknown for a write whose answer got lost.
    """

    def __init__(self, url: str, *, pacer: ReadPacer | None = None, sleep: Sleep = time.sleep) -> None:
        super().__init__(url)
        self.shown_url = redacted(url)
        self._pacer, self._sleep = pacer, sleep
        self._local = threading.local()

    @property
    def sent_hash(self) -> str | None:
        """Hash of the last raw transaction of this thread that the node may have taken, None when it has not."""
        sent: str | None = getattr(self._local, "sent_hash", None)
        return sent

    def forget_sent(self) -> None:
        """Begin anew: nothing has been handed over."""
        self._local.sent_hash = None

    @staticmethod
    def leave_to_node(placeholder: bytes, transaction: Mapping[str, Any]) -> None:
        """Have this thread's next raw transaction, if it is this placeholder, signed by the node instead."""
        _for_node.transaction = "0x" + placeholder.hex(), dict(transaction)

    def make_request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        """Answer a request as the node does: a mapping with ``result``."""
        if method in WRITES:
            return self._write(str(method), params)
        return self._read(str(method), params)

    def result(self, method: str, *params: Any) -> Any:
        """The result of a request."""
        return self.make_request(method, list(params))["result"]

    def _write(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        self.forget_sent()
        placeholder, transaction = getattr(_for_node, "transaction", (None, None))
        if method == RAW_SEND and params[0] == placeholder:
            method, params = "eth_sendTransaction", [transaction]
        # A kept-alive connection may be closed by the node just now, which could not be told from a lost answer.
        with requests.Session() as session:
            try:
                response = self._post(session, method, params)
            except requests.exceptions.RequestException as error:
                if _never_sent(error):
                    raise self._unreachable() from self._cause(error)
                raise self._lost(method, params, self._text(error)) from self._cause(error)
        try:
            answer = self._checked(method, _body(response))
        except ValueError as error:
            raise self._lost(method, params, str(error)) from error
        self._remember(method, params)
        if method == "eth_sendTransaction":
            self._local.sent_hash = str(answer["result"])
        return answer

    def _remember(self, method: str, params: Sequence[Any]) -> None:
        if method == RAW_SEND:
            self._local.sent_hash = "0x" + keccak(hexstr=str(params[0])).hex()

    def _read(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        pauses, busy_pauses = list(RETRY_PAUSES_SECONDS), list(BUSY_PAUSES_SECONDS)
        while True:
            try:
                return self._read_once(method, params)
            except Unreachable:
                if not pauses:
                    raise
                self._sleep(pauses.pop(0))
            except RateLimited:
                if not busy_pauses:
                    raise
                self._sleep(busy_pauses.pop(0))

    def _read_once(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        if self._pacer is not None and method in CONTRACT_READS:
            self._pacer.wait()
        try:
            response = self._post(self._session(), method, params)
            if response.status_code >= 500:
                raise Unreachable(f"{self.shown_url} answered HTTP {response.status_code}", hint="try again later")
            return self._checked(method, _body(response))
        except requests.exceptions.RequestException as error:
            raise self._unreachable() from self._cause(error)
        except ValueError as error:
            raise Unreachable(
                f"{method}: {error}", hint=f"is {self.shown_url} the JSON-RPC address of a node?"
            ) from error

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session

    def _post(self, session: requests.Session, method: str, params: Sequence[Any]) -> requests.Response:
        payload: Any = {"jsonrpc": "2.0", "id": time.time_ns() // 1_000_000, "method": method, "params": list(params)}
        return session.post(self.url, json=payload, timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))

    def _checked(self, method: str, answer: dict[str, Any]) -> dict[str, Any]:
        error = answer.get("error")
        if error:
            raise _rpc_error(method, error)
        answer.setdefault("result", None)  # Studio leaves a null result out
        return answer

    def _unreachable(self) -> NetworkError:
        hint = "start a localnet with: api-billing localnet up" if _is_local(self.url) else "is the URL right?"
        return Unreachable(f"no node answers at {self.shown_url}", hint=hint)

    def _cause(self, error: Exception) -> Exception | None:
        """The cause to go with an error of ours: none that could quote a URL with credentials in a traceback."""
        return error if self.shown_url == self.url else None

    def _text(self, error: Exception) -> str:
        return str(error) if self.shown_url == self.url else type(error).__name__

    def _lost(self, method: str, params: Sequence[Any], reason: str) -> OutcomeUnknown:
        self._remember(method, params)
        tx = self.sent_hash
        named = f"transaction {tx}" if tx else method
        return OutcomeUnknown(f"{named} was sent to {self.shown_url}, but the answer was lost: {reason}", tx)


def _body(response: requests.Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises: ValueError, for anything else, 5xx pages of a proxy among it."""
    try:
        answer = response.json()
    except ValueError:
        raise ValueError(f"HTTP {response.status_code} and no JSON: {response.text[:_NOT_JSON_SHOWN]!r}") from None
    if not isinstance(answer, dict):
        raise ValueError(f"no JSON-RPC answer: {response.text[:_NOT_JSON_SHOWN]!r}")
    return answer


def _rpc_error(method: str, error: Any) -> NetworkError:
    if not isinstance(error, dict):
        return RpcFailed(method, 0, str(error))
    code, message = error.get("code"), str(error.get("message") or "the node gave no reason")
    code = code if isinstance(code, int) else 0
    if code in _BUSY_CODES:
        return RateLimited(f"{method}: {message} (code {code})")
    return RpcFailed(method, code, message, error.get("data"))


def _never_sent(error: requests.exceptions.RequestException) -> bool:
    """Whether there was no connection at all, so that the node cannot have got the request."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.InvalidURL):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(error, requests.exceptions.ConnectionError) and type(reason).__name__ in {
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
    }


def _is_local(url: str) -> bool:
    return "//127.0.0.1" in url or "//localhost" in url or "//[::1]" in url
