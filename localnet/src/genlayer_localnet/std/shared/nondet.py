"""What a nondeterministic block asks the web and language models. Every node makes its own requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .lazy import Lazy, LazyApi, lazy_api

__all__ = ("AskNondet", "Image", "Response", "Web", "prompt_request")

type AskNondet = Callable[[dict[str, Any]], Lazy[Any]]
"""A library's way to send a request whose answer is ``{"ok": value}`` or ``{"error": …}``."""
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


@dataclass(frozen=True)
class Image:
    """An image as it came, usually PNG."""

    raw: bytes

    @property
    def pil(self) -> Any:
        """The image for Pillow, which must be installed."""
        import io

        from PIL import Image as PillowImage  # type: ignore[import-not-found, unused-ignore]  # optional

        return PillowImage.open(io.BytesIO(self.raw))


class Web:
    """The functions of ``gl.nondet.web``. ``always_sign``: a request says ``sign`` also when it is false."""

    def __init__(self, ask: AskNondet, *, always_sign: bool) -> None:
        self._ask = ask
        self._always_sign = always_sign

    def method(self, method: str) -> LazyApi[..., Response]:
        """The function for one HTTP method."""

        def send(url: str, *, body: Body = None, headers: Headers | None = None, sign: bool = False) -> Lazy[Response]:
            return self.request(url, method=method, body=body, headers=headers, sign=sign)

        send.__name__ = send.__qualname__ = method.lower()
        send.__doc__ = f"Make a {method} request."
        return lazy_api(send)

    def request(
        self, url: str, *, method: str, body: Body = None, headers: Headers | None = None, sign: bool = False
    ) -> Lazy[Response]:
        payload: dict[str, Any] = {
            "url": url,
            "method": method,
            "headers": {name: _bytes(value) for name, value in (headers or {}).items()},
            "body": None if body is None else _bytes(body),
        }
        if sign or self._always_sign:
            payload["sign"] = sign
        answer = self._ask({"WebRequest": payload})

        def unpack() -> Response:
            response = answer.get()["response"]
            return Response(response["status"], response["headers"], response["body"])

        return Lazy(unpack)

    def render(
        self, url: str, *, mode: Literal["text", "html", "screenshot"] = "text", wait_after_loaded: str | None = None
    ) -> Lazy[Any]:
        if mode not in ("text", "html", "screenshot"):
            raise ValueError(f"mode is text, html or screenshot, not {mode!r}")
        answer = self._ask({"WebRender": {"url": url, "mode": mode, "wait_after_loaded": wait_after_loaded or "0ms"}})

        def unpack() -> Any:
            rendered = answer.get()
            return Image(rendered["image"]) if mode == "screenshot" else rendered["text"]

        return Lazy(unpack)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else bytes(text)


def prompt_request(prompt: str, response_format: str, images: Sequence[bytes | Image] | None) -> dict[str, Any]:
    """The request that asks a language model. Raises: ValueError."""
    if response_format not in ("text", "json"):
        raise ValueError(f"response_format is text or json, not {response_format!r}")
    raw_images = [image.raw if isinstance(image, Image) else bytes(image) for image in images or ()]
    return {"ExecPrompt": {"prompt": prompt, "response_format": response_format, "images": raw_images}}
