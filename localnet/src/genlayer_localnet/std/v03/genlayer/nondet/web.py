"""HTTP from a nondeterministic block. The leader and every validator make their own request."""

from __future__ import annotations

from typing import Any, Literal

from genlayer_localnet.std.shared.lazy import Lazy, lazy_api
from genlayer_localnet.std.shared.nondet import Body, Headers, Response, Web

from ._answers import ask_nondet

__all__ = ("Response", "delete", "get", "head", "patch", "post", "put", "render", "request")

_web = Web(ask_nondet, always_sign=True)


@lazy_api
def request(
    url: str, *, method: str, body: Body = None, headers: Headers | None = None, sign: bool = False
) -> Lazy[Response]:
    """Make an HTTP request.

    Raises:
        NondetException: when there is no response at all; a status of 400 and more is a response.
    """
    return _web.request(url, method=method, body=body, headers=headers, sign=sign)


get = _web.method("GET")
post = _web.method("POST")
put = _web.method("PUT")
delete = _web.method("DELETE")
head = _web.method("HEAD")
patch = _web.method("PATCH")


@lazy_api
def render(
    url: str, *, mode: Literal["text", "html", "screenshot"] = "text", wait_after_loaded: str | None = None
) -> Lazy[Any]:
    """Open a page in a browser: its text, its HTML, or an ``Image`` of it.

    ``wait_after_loaded`` is a time such as ``"500ms"`` or ``"2s"``.
    """
    return _web.render(url, mode=mode, wait_after_loaded=wait_after_loaded)
