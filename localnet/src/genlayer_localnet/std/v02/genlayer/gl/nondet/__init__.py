"""What only a nondeterministic block can do: ask language models and the web."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ...py.types import Lazy
from .._requests import lazy_api
from . import web
from ._answers import Image, NondetException, ask_nondet

__all__ = ("Image", "NondetException", "exec_prompt", "web")


@lazy_api
def exec_prompt(
    prompt: str,
    *,
    response_format: Literal["text", "json"] = "text",
    images: Sequence[bytes | Image] | None = None,
) -> Lazy[Any]:
    """Ask the node's language model: text by default, a dict for ``json``. At most two images.

    Raises:
        NondetException: when the model cannot be asked or gives no usable answer.
    """
    if response_format not in ("text", "json"):
        raise ValueError(f"response_format is text or json, not {response_format!r}")
    raw_images = [image.raw if isinstance(image, Image) else bytes(image) for image in images or ()]
    payload = {"prompt": prompt, "response_format": response_format, "images": raw_images}
    return ask_nondet({"ExecPrompt": payload})
