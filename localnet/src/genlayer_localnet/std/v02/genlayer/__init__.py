"""An implementation of the public surface of GenLayer's Python standard library, v0.2 line.

For machines that do not have the official one: the same names and module paths over the same host interface
(``_genlayer_wasi``), written from published behaviour. Importing this package does not read the message; the first
use of ``gl``, which ``from genlayer import *`` is, does.
"""

from __future__ import annotations

import importlib
from typing import Any

from genlayer_localnet.std.shared.keccak import Keccak256

from .py import types as _types
from .py.storage import Array, DynArray, TreeMap, allow_storage
from .py.types import *  # noqa: F403 - the sized integers, listed in __all__ of the module

__all__ = (
    *(name for name in _types.__all__ if name != "Lazy"),
    "Array",
    "DynArray",
    "Keccak256",
    "TreeMap",
    "allow_storage",
    "gl",  # noqa: F405 - given by __getattr__
)


def __getattr__(name: str) -> Any:
    if name == "gl":
        return importlib.import_module(f"{__name__}.gl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
