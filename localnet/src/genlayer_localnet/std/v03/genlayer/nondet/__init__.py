"""What only a nondeterministic block can do: ask language models and the web."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from genlayer_localnet.std.shared.lazy import Lazy, lazy_api
from genlayer_localnet.std.shared.nondet import Image, prompt_request

from . import web
from ._answers import NondetException, ask_nondet

__all__ = ("Image", "NondetException", "exec_prompt", "web")


@lazy_api
def exec_prompt(
    prompt: str,
    *,
    response_format: Literal["text", "json"] = "text",
    images: Sequence[bytes | Image] | None = None,
) -> Lazy[Any]:
    """Ask the node's language model: text by default, what the text means for ``json``. At most two images.

    Raises:
        NondetException: when the model cannot be asked.
        ValueError: when its text is not JSON.
    """
    answer = ask_nondet(prompt_request(prompt, response_format, images))
    return answer if response_format == "text" else Lazy(lambda: _parsed(answer.get()))


def _parsed(answer: Any) -> Any:
    return json.loads(answer) if isinstance(answer, str) else answer  # test tools have read it already
