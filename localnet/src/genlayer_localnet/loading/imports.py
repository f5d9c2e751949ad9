"""Puts back what a contract assigned to Python's own modules and classes, such as ``json.dumps = …``.

The whole process shares them. Only names that the contract's source can assign to are looked at, in the modules and
classes that its module binds; what other code adds to them meanwhile is left alone.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from genlayer_localnet.loading.assignments import Assignments

_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_IMMUTABLETYPE
_OWN_PACKAGES = frozenset({"genlayer", "genlayer_localnet", "_genlayer_wasi"})
"""The standard library is guarded as a whole, and the host's classes take no assignments."""
_MISSING = object()


class ImportedNames:
    """The objects that certain names of imported modules and classes stand for."""

    def __init__(self, module: ModuleType, assignments: Assignments) -> None:
        places = [
            (owner, name)
            for owner in _foreign_owners(module)
            for name in (assignments.names | vars(owner).keys() if assignments.indirect else assignments.names)
        ]
        self._owners = [owner for owner, _ in places]
        self._names = [name for _, name in places]
        self._getters: list[Callable[..., Any]] = [vars(owner).get for owner in self._owners]
        self._held = self._present()

    def restore(self) -> None:
        present = self._present()
        if all(map(operator.is_, present, self._held)):
            return
        for owner, name, found, held in zip(self._owners, self._names, present, self._held, strict=True):
            if found is held:
                continue
            if held is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, held)

    def _present(self) -> list[Any]:
        return list(map(operator.call, self._getters, self._names, itertools.repeat(_MISSING)))


def _foreign_owners(module: ModuleType) -> Iterable[ModuleType | type]:
    seen: set[int] = set()
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            home = value.__name__
        elif isinstance(value, type) and value.__flags__ & (_HEAP_TYPE | _IMMUTABLE_TYPE) == _HEAP_TYPE:
            home = value.__module__
        else:
            continue
        if home != module.__name__ and home.split(".")[0] not in _OWN_PACKAGES and id(value) not in seen:
            seen.add(id(value))
            yield value
