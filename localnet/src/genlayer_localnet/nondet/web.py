"""HTTP for nondeterministic blocks."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from bs4 import BeautifulSoup

from genlayer_localnet.nondet.fetching import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    Fetch,
    Forbidden,
    Reach,
    Unbounded,
)

METHODS = ("GET", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH", "PUT")
MAX_BODY_BYTES = 16 * 1024 * 1024


class WebError(Exception):
    """A request that had no response. A contract sees ``cause`` and the text in its ``gl.nondet`` error."""

    def __init__(self, cause: str, text: str) -> None:
        self.cause = cause
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class WebRequest:
    url: str
    method: str = "GET"
    headers: Mapping[str, bytes] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class WebResponse:
    status: int = 200
    headers: Mapping[str, bytes] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""


def fetch(request: WebRequest) -> WebResponse:
    """Make a real request; redirects are followed.

    Raises: WebError, for anything but a complete response. A status of 400 and above is a response.
    """
    return _ask(request)


def ask_through(ask: Callable[[WebRequest], WebResponse]) -> None:
    """Let another process make the requests of this one."""
    global _ask
    _ask = ask


def fetch_within(reach: Reach, request: WebRequest) -> WebResponse:
    """As ``fetch``, but from here, and as far as ``reach`` says; ``FORBIDDEN_ADDRESS`` beyond."""
    parts = urlsplit(request.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WebError("INVALID_URL", f"only http and https addresses can be fetched, not {request.url[:200]!r}")
    if request.method not in METHODS:
        raise WebError("INVALID_METHOD", f"unknown HTTP method {request.method[:20]!r}")
    with Fetch(reach) as session:
        session.trust_env = not _is_loopback(parts.hostname)
        try:
            with session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                stream=True,
            ) as response:
                headers = {name.lower(): value.encode("latin-1") for name, value in response.headers.items()}
                return WebResponse(response.status_code, headers, _body_of(response))
        except Forbidden as error:
            raise WebError("FORBIDDEN_ADDRESS", str(error)) from None
        except (requests.RequestException, OSError, ValueError) as error:
            raise WebError("WEBPAGE_LOAD_FAILED", f"{type(error).__name__}: {error}") from error


def _fetch(request: WebRequest) -> WebResponse:
    return fetch_within(Unbounded(), request)


_ask = _fetch


def _body_of(response: requests.Response) -> bytes:
    body = bytearray()
    for part in response.iter_content(64 * 1024):
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise WebError("BODY_TOO_LARGE", f"the response is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def as_response(answer: Any) -> WebResponse:
    """The answer of a mock: a response, a body, or a mapping with ``status``, ``headers`` and ``body``."""
    if isinstance(answer, WebResponse):
        return answer
    if isinstance(answer, Mapping):
        headers = {name.lower(): _as_bytes(value) for name, value in answer.get("headers", {}).items()}
        return WebResponse(int(answer.get("status", 200)), headers, _as_bytes(answer.get("body", b"")))
    return WebResponse(body=_as_bytes(answer))


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def render(response: WebResponse, mode: str) -> str:
    """The page as ``text`` (what a reader sees, without JavaScript) or ``html``.

    Raises: WebError, for a status of 400 and above and for ``screenshot``: there is no browser here.
    """
    if response.status >= 400:
        raise WebError("STATUS_NOT_OK", f"the page answered with status {response.status}")
    page = response.body.decode(_charset(response), "replace")
    if mode == "html":
        return page
    if mode != "text":
        raise WebError(
            "UNSUPPORTED_MODE", f"the localnet has no browser: {mode!r} cannot be rendered, only text and html"
        )
    if "html" not in response.headers.get("content-type", b"text/html").decode("latin-1"):
        return page
    soup = BeautifulSoup(page, "html.parser")
    for hidden in soup(["script", "style", "noscript", "template", "head"]):
        hidden.decompose()
    lines = (line.strip() for line in soup.get_text("\n").splitlines())
    return "\n".join(line for line in lines if line)


def _charset(response: WebResponse) -> str:
    content_type = response.headers.get("content-type", b"").decode("latin-1")
    charset = content_type.partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        "".encode(charset or "utf-8")
    except LookupError:
        return "utf-8"
    return charset or "utf-8"
