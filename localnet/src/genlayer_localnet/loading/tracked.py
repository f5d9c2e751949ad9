"""Mutable objects whose state is recorded: comparable by identity, and with the way back.

The methods of the built-in classes are called, never those of a contract's subclasses.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import CellType
from typing import Any, Protocol

# Any: this module handles whatever objects a contract made.
_MISSING = object()


class Tracked(Protocol):
    """One mutable object: its present state, comparable by identity, and the way back to a state."""

    def state(self) -> Any: ...
    def differs(self) -> bool: ...
    def restore(self, state: Any = ...) -> None: ...


def _same(left: Iterable[Any], right: list[Any]) -> bool:
    return all(map(operator.is_, left, right))


class TrackedMapping:
    """A dict of any kind: module and instance dicts, plain dicts, and their subclasses."""

    def __init__(self, live: dict[Any, Any]) -> None:
        self.live = live
        # The methods of the built-in class, whatever a contract's subclass makes of them.
        self._kind: type[dict[Any, Any]] = OrderedDict if isinstance(live, OrderedDict) else dict
        self.keys: Callable[[], Any] = self._kind.keys.__get__(live)
        self.values: Callable[[], Any] = self._kind.values.__get__(live)
        self.saved = self.state()

    def state(self) -> dict[Any, Any]:
        return dict(self._kind.items(self.live))

    def differs(self) -> bool:
        live, saved = self.live, self.saved
        return (
            len(live) != len(saved)
            or list(self.keys()) != list(saved)
            or not _same(self.values(), list(saved.values()))
        )

    def restore(self, state: Any = _MISSING) -> None:
        self._kind.clear(self.live)
        self._kind.update(self.live, self.saved if state is _MISSING else state)


class TrackedClassDict:
    """The attributes of a class, set back without what its metaclass would do about it."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.live = cls.__dict__
        self.keys: Callable[[], Any] = self.live.keys
        self.values: Callable[[], Any] = self.live.values
        self.saved = self.state()

    def state(self) -> dict[str, Any]:
        return dict(self.live)

    def differs(self) -> bool:
        return len(self.live) != len(self.saved) or any(
            self.live.get(name, _MISSING) is not value for name, value in self.saved.items()
        )

    def restore(self, state: Any = _MISSING) -> None:
        wanted: dict[str, Any] = self.saved if state is _MISSING else state
        for name in [name for name in self.live if name not in wanted]:
            type.__delattr__(self.cls, name)
        for name, value in wanted.items():
            if self.live.get(name, _MISSING) is not value:
                type.__setattr__(self.cls, name, value)


class TrackedSequence:
    """A list, deque or bytearray."""

    def __init__(self, live: Any, kind: type) -> None:
        self.live, self.kind = live, kind
        self.saved = self.state()

    def copy(self) -> Any:
        """The recorded state as a container of the same kind, to compare with."""
        return self.kind(self.saved)

    def state(self) -> list[Any]:
        return list(self.kind.__iter__(self.live))  # type: ignore[attr-defined]  # all three have it

    def differs(self) -> bool:
        return len(self.live) != len(self.saved) or not _same(self.kind.__iter__(self.live), self.saved)  # type: ignore[attr-defined]

    def restore(self, state: Any = _MISSING) -> None:
        self.kind.clear(self.live)  # type: ignore[attr-defined]
        self.kind.extend(self.live, self.saved if state is _MISSING else state)  # type: ignore[attr-defined]


class TrackedSet:
    def __init__(self, live: set[Any]) -> None:
        self.live = live
        self.saved = self.state()

    def copy(self) -> set[Any]:
        return set(self.saved)

    def state(self) -> set[Any]:
        return set(set.__iter__(self.live))

    def differs(self) -> bool:
        return not set.__eq__(self.live, self.saved)

    def restore(self, state: Any = _MISSING) -> None:
        set.clear(self.live)
        set.update(self.live, self.saved if state is _MISSING else state)


class TrackedAttributes:
    """Attributes that are not in a dict: slots of instances, contents of cells, defaults of functions."""

    def __init__(self, live: Any, names: tuple[str, ...]) -> None:
        self.live, self.names = live, names
        self.saved = self.state()

    def is_plain(self) -> bool:
        """Whether all attributes are there, and are looked up without a contract's code."""
        kind = type(self.live)
        plain = kind is CellType or kind.__getattribute__ is _PLAIN_LOOKUP
        return plain and all(value is not _MISSING for value in self.saved)

    def state(self) -> list[Any]:
        return [_attribute(self.live, name) for name in self.names]

    def differs(self) -> bool:
        return not _same(self.state(), self.saved)

    def restore(self, state: Any = _MISSING) -> None:
        wanted = self.saved if state is _MISSING else state
        for name, value, present in zip(self.names, wanted, self.state(), strict=True):
            if value is present:
                continue
            if value is _MISSING:
                object.__delattr__(self.live, name)
            else:
                object.__setattr__(self.live, name, value)


_PLAIN_LOOKUP: Any = object.__getattribute__


def _attribute(owner: Any, name: str) -> Any:
    try:
        return object.__getattribute__(owner, name)
    except (AttributeError, ValueError):  # an empty slot; an empty cell
        return _MISSING
