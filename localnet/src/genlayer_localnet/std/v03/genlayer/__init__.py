"""An implementation of the public surface of GenLayer's Python standard library, v0.3 line: ``import genlayer as gl``.

For the localnet, and for tools that do not have the official one: the same names and module paths over the same host
interface (``_genlayer_wasi``), written from published behaviour. Its submodules are imported when they are first asked
for; ``message`` and what needs it read the message then.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from genlayer_localnet.std.shared import requests as _host
from genlayer_localnet.std.shared.annotations import private, public

from . import types as _types
from .types import *  # noqa: F403 - the integers and addresses, listed in __all__ of the module

__all__ = ("IS_IN_VM", *_types.__all__, "private", "public")

IS_IN_VM: Final[bool] = _host.HAS_HOST and not getattr(_host.wasi, "FAKE_VM", False)
"""Whether this is the GenVM, and no test tool that stands in for it."""

_SUBMODULES: Final = frozenset(
    {"calldata", "chain", "contract", "eq_principle", "evm", "message", "nondet", "storage", "types", "vm"}
)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "wasi":
        return _host.wasi
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
