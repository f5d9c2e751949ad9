"""Puts back what a contract changed in the interpreter itself, which host and contracts share."""

from __future__ import annotations

import builtins
import operator
import sys
from types import ModuleType
from typing import Any, Final

_BUILTINS: Final = builtins.__dict__
_MODULES: Final = sys.modules
_LISTS: Final[tuple[list[Any], ...]] = (sys.path, sys.meta_path, sys.path_hooks)
_LIST_NAMES: Final = ("path", "meta_path", "path_hooks")


class Kept:
    """Context manager: built-in names, modules, where those are looked for, tracing and depth are as before afterwards.

    For code that could have changed them (``Assignments.indirect``): it costs some 30 microseconds.
    """

    __slots__ = ("_builtins", "_hooks", "_limit", "_lists", "_modules")

    def __enter__(self) -> None:
        self._builtins = _BUILTINS.copy()
        self._modules = _MODULES.copy()
        self._lists = [each.copy() for each in _LISTS]
        self._hooks = (sys.gettrace(), sys.getprofile())
        self._limit = sys.getrecursionlimit()

    def __exit__(self, *_: object) -> None:
        _BUILTINS.update(self._builtins)  # before anything that calls a built-in function
        for name in _BUILTINS.keys() - self._builtins.keys():
            del _BUILTINS[name]
        sys.modules = _MODULES
        if _differs(_MODULES, self._modules):
            made = {name: module for name, module in _MODULES.items() if name not in self._modules}
            _MODULES.clear()
            _MODULES.update(self._modules)
            _MODULES.update({name: module for name, module in made.items() if _is_imported(name, module)})
        for name, live, saved in zip(_LIST_NAMES, _LISTS, self._lists, strict=True):
            setattr(sys, name, live)
            if live != saved:
                live[:] = saved
        trace, profile = self._hooks
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:
            sys.setprofile(profile)
        if sys.getrecursionlimit() != self._limit:
            sys.setrecursionlimit(self._limit)


def _differs(live: dict[str, Any], saved: dict[str, Any]) -> bool:
    return live.keys() != saved.keys() or not all(map(operator.is_, live.values(), saved.values()))


def _is_imported(name: str, module: object) -> bool:
    """Not put there by hand."""
    spec = getattr(module, "__spec__", None) if type(module) is ModuleType else None
    return spec is not None and spec.name == name
