"""Whether what an application gives as a callable can be called as the meter will: said where it is written."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

from api_billing.metering.errors import InvalidSetting


def check_callable(what: str, value: object, *arguments: str, or_else: str = "") -> None:
    """Raises: InvalidSetting unless it is a callable, and no class, that takes these arguments by their places."""
    # Such as from_header without its name: it takes a request for that, and would refuse each.
    makes_one = getattr(value, "__annotations__", {}).get("return") in ("Extractor", "Price")
    if is_callable(value, *arguments) and not makes_one:
        return
    takes = f"{what} is a callable of ({', '.join(arguments)})" + (f", {or_else}" if or_else else "")
    raise InvalidSetting(f"{takes}; not {value!r:.80}")


def is_callable(value: object, *arguments: str) -> bool:
    """Whether it is a callable, and no class, that takes these arguments by their places."""
    return callable(value) and not isinstance(value, type) and _takes(value, len(arguments))


def name_of(value: object) -> str:
    """What a callable is called."""
    return getattr(value, "__qualname__", type(value).__name__)


def _takes(value: Any, count: int) -> bool:
    if type(value) is FunctionType:  # which takes no time: there may be one for each request
        code = value.__code__
        least = code.co_argcount - len(value.__defaults__ or ())
        named = code.co_kwonlyargcount - len(value.__kwdefaults__ or ())
        most = count if code.co_flags & inspect.CO_VARARGS else code.co_argcount
        return not named and least <= count <= most
    try:
        inspect.signature(value).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True  # of some functions written in C it cannot be told
    return True
