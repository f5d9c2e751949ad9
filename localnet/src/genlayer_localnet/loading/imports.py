"""Puts back what a contract assigned to Python's own modules and classes, such as ``json.dumps = …``.

The whole process shares them. Only names that the contract's source can assign to are looked at, in the modules and
classes that its module binds, in Python's modules that it imports within functions, and in their classes; what
other code adds to them meanwhile is left alone.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from genlayer_localnet.loading.assignments import Assignments
from genlayer_localnet.loading.library import is_own

_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_IMMUTABLETYPE
_MISSING = object()


class ImportedNames:
    """The objects that certain names of imported modules and classes stand for."""

    def __init__(self, module: ModuleType, assignments: Assignments) -> None:
        modules = [sys.modules.get(name) for name in _with_parents(assignments.modules)]
        owners = _foreign_owners(module, [*vars(module).values(), *modules])
        places = [
            (owner, name)
            for owner in owners
            for name in (assignments.names | vars(owner).keys() if assignments.indirect else assignments.names)
        ]
        # Classes that its modules bind: only what they have, since there are many.
        seen = {id(owner) for owner in owners}
        classes = [kind for owner in owners if isinstance(owner, ModuleType) for kind in list(vars(owner).values())]
        places += [
            (kind, name)
            for kind in _foreign_owners(module, (each for each in classes if isinstance(each, type)))
            if id(kind) not in seen
            for name in assignments.names & vars(kind).keys()
        ]
        places.sort(key=lambda place: place[1] not in vars(place[0]))
        self._owners = [owner for owner, _ in places]
        self._names = [name for _, name in places]
        self._getters: list[Callable[..., Any]] = [vars(owner).get for owner in self._owners]
        self._held = self._present()
        # Nearly all places are empty: one question for each owner, whether all of them still are.
        self._filled = [held for held in self._held if held is not _MISSING]
        self._lack = [vars(owner).keys().isdisjoint for owner in owners]
        self._lacked = [assignments.names - vars(owner).keys() for owner in owners]

    def _is_unchanged(self) -> bool:
        filled = map(operator.call, self._getters, self._names, itertools.repeat(_MISSING))  # the first of all places
        return all(map(operator.is_, self._filled, filled)) and all(map(operator.call, self._lack, self._lacked))

    def restore(self) -> None:
        if self._is_unchanged():
            return
        present = self._present()
        for owner, name, found, held in zip(self._owners, self._names, present, self._held, strict=True):
            if found is held:
                continue
            if held is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, held)

    def _present(self) -> list[Any]:
        return list(map(operator.call, self._getters, self._names, itertools.repeat(_MISSING)))


def _with_parents(names: Iterable[str]) -> set[str]:
    return {
        ".".join(parts[:size]) for parts in (name.split(".") for name in names) for size in range(1, len(parts) + 1)
    }


def _foreign_owners(module: ModuleType, values: Iterable[object]) -> list[ModuleType | type]:
    seen: set[int] = set()
    found: list[ModuleType | type] = []
    for value in values:
        if isinstance(value, ModuleType):
            home = value.__name__
        elif isinstance(value, type) and value.__flags__ & (_HEAP_TYPE | _IMMUTABLE_TYPE) == _HEAP_TYPE:
            home = value.__module__
        else:
            continue
        if home != module.__name__ and not is_own(home) and id(value) not in seen:
            seen.add(id(value))
            found.append(value)
    return found
