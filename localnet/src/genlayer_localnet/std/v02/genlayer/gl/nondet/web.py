"""HTTP from a nondeterministic block. The leader and every validator make their own request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...py.types import Lazy
from .._requests import LazyApi, lazy_api
from ._answers import Image, ask_nondet

__all__ = ("Response", "delete", "get", "head", "options", "patch", "post", "render", "request")

type Method = Literal["GET", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH"]
type Headers = Mapping[str, str | bytes]
type Body = str | bytes | None


@dataclass(frozen=True)
class Response:
    """An HTTP response of any status."""

    status: int
    headers: dict[str, bytes]
    body: bytes | None

    @property
    def status_code(self) -> int:
        return self.status


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else bytes(text)


def _request(url: str, method: str, body: Body, headers: Headers | None, sign: bool) -> Lazy[Response]:
    payload: dict[str, Any] = {
        "url": url,
        "method": method,
        "headers": {name: _bytes(value) for name, value in (headers or {}).items()},
        "body": None if body is None else _bytes(body),
    }
    if sign:
        payload["sign"] = True
    answer = ask_nondet({"WebRequest": payload})

    def unpack() -> Response:
        response = answer.get()["response"]
        return Response(response["status"], response["headers"], response["body"])

    return Lazy(unpack)


@lazy_api
def request(
    url: str, *, method: Method, body: Body = None, headers: Headers | None = None, sign: bool = False
) -> Lazy[Response]:
    """Make an HTTP request.

    Raises:
        NondetException: when there is no response at all; a status of 400 and more is a response.
    """
    return _request(url, method, body, headers, sign)


def _method(method: Method) -> LazyApi[..., Response]:
    @lazy_api
    def send(url: str, *, body: Body = None, headers: Headers | None = None, sign: bool = False) -> Lazy[Response]:
        return _request(url, method, body, headers, sign)

    named: Any = send
    named.__name__ = named.__qualname__ = method.lower()
    named.__doc__ = f"Make a {method} request."
    return send


get = _method("GET")
post = _method("POST")
head = _method("HEAD")
delete = _method("DELETE")
options = _method("OPTIONS")
patch = _method("PATCH")


@lazy_api
def render(
    url: str, *, mode: Literal["text", "html", "screenshot"] = "text", wait_after_loaded: str | None = None
) -> Lazy[Any]:
    """Open a page in a browser: its text, its HTML, or an ``Image`` of it.

    ``wait_after_loaded`` is a time such as ``"500ms"`` or ``"2s"``.
    """
    if mode not in ("text", "html", "screenshot"):
        raise ValueError(f"mode is text, html or screenshot, not {mode!r}")
    answer = ask_nondet({"WebRender": {"url": url, "mode": mode, "wait_after_loaded": wait_after_loaded or "0ms"}})

    def unpack() -> Any:
        rendered = answer.get()
        return Image(rendered["image"]) if mode == "screenshot" else rendered["text"]

    return Lazy(unpack)
