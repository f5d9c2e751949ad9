"""Makes sure that nothing a contract leaves behind in memory is seen by the next call.

On the network every call starts a new interpreter. Here a contract's module is loaded once, so everything mutable
that can be reached from it is recorded after loading; after each run it is compared, and what changed is put back.
The comparison is C loops over lists of references: a few microseconds for a contract's usual hundreds of names. What
cannot be put back (iterators, generators, locks, unknown C objects) makes the module not ``restorable``: it is then
executed anew for every call.
"""

from __future__ import annotations

import itertools
import operator
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from genlayer_localnet.loading.assignments import ANYTHING, Assignments
from genlayer_localnet.loading.reachable import CELL, Reachable, is_plain_number
from genlayer_localnet.loading.tracked import (
    Tracked,
    TrackedAttributes,
    TrackedClassDict,
    TrackedMapping,
    TrackedSequence,
    TrackedSet,
)

# Any: this module handles whatever objects a contract made.
_SAME_ONLY: Any = object.__eq__
_MISSING = object()


class Suspended:
    """Changes that were taken out for the time of a nested call."""

    __slots__ = ("changes",)

    def __init__(self, changes: list[tuple[Tracked, Any]]) -> None:
        self.changes = changes

    def resume(self) -> None:
        for tracked, state in self.changes:
            tracked.restore(state)


class _SameObjects:
    """That certain places still hold the very objects they held."""

    def __init__(self, look_up: Callable[[Any, Any], Any], places: Iterable[tuple[Any, Any, Any]]) -> None:
        places = list(places)
        self._look_up = look_up
        self._owners = [owner for owner, _, _ in places]
        self._keys = [key for _, key, _ in places]
        self._objects = [held for _, _, held in places]

    def hold(self) -> bool:
        """Raises LookupError or AttributeError where a place is gone."""
        return all(map(operator.is_, map(self._look_up, self._owners, self._keys), self._objects))


class StateGuard:
    """The recorded state of everything mutable in ``reachable``."""

    def __init__(self, reachable: Reachable, assignments: Assignments = ANYTHING) -> None:
        """``assignments``: what code that runs between two comparisons can assign to; nothing else is compared."""
        self.restorable = reachable.opaque is None
        self.opaque = reachable.opaque
        """Why the state cannot be restored, for people."""
        self._caches = reachable.caches
        namespaces: list[TrackedMapping | TrackedClassDict] = [
            *(TrackedMapping(live) for live in reachable.namespaces),
            *(TrackedClassDict(cls) for cls in reachable.classes),
        ]
        dicts = [TrackedMapping(live) for live in reachable.dicts]
        containers: list[TrackedSequence | TrackedSet] = [
            *(TrackedSequence(live, list) for live in reachable.lists),
            *(TrackedSequence(live, deque) for live in reachable.deques),
            *(TrackedSequence(live, bytearray) for live in reachable.bytearrays),
            *(TrackedSet(live) for live in reachable.sets),
        ]
        attributes = [TrackedAttributes(owner, names) for owner, names in reachable.attributes]
        self._tracked: list[Tracked] = [*namespaces, *dicts, *containers, *attributes]
        self._namespaces = namespaces
        self._names = self.watch(assignments.names)
        self._compare_mappings([*namespaces, *dicts] if assignments.indirect else dicts)
        self._compare_containers(containers)
        chosen = ((owner, _assignable(assignments, names)) for owner, names in reachable.attributes)
        self._compare_attributes([TrackedAttributes(owner, names) for owner, names in chosen if names])

    # Lists compare equal with equal contents, the same objects first. What may be equal to another object, and yet
    # matter (a list that was replaced by an equal one), is compared by identity too.

    def _compare_mappings(self, mappings: Sequence[TrackedMapping | TrackedClassDict]) -> None:
        self._live_mappings = [tracked.live for tracked in mappings]
        self._sizes = [len(tracked.saved) for tracked in mappings]
        self._readers = [tracked.keys for tracked in mappings] + [tracked.values for tracked in mappings]
        self._saved_contents = self._contents()
        self._same_items = _SameObjects(
            operator.getitem,
            (
                (tracked.live, key, value)
                for tracked in mappings
                for key, value in tracked.saved.items()
                if _may_equal_another(value)
            ),
        )

    def _contents(self) -> list[Any]:
        """All keys and all values of the mappings, in one list: a list for each would cost twice the time."""
        return list(itertools.chain.from_iterable(map(operator.call, self._readers)))

    def _compare_containers(self, containers: list[TrackedSequence | TrackedSet]) -> None:
        self._live_containers = [tracked.live for tracked in containers]
        self._saved_containers = [tracked.copy() for tracked in containers]
        self._same_elements = _SameObjects(
            operator.getitem,
            (
                (tracked.live, index, value)
                for tracked in containers
                if isinstance(tracked.live, list | deque)
                for index, value in enumerate(tracked.saved)
                if _may_equal_another(value) and not is_plain_number(value)
            ),
        )

    def _compare_attributes(self, attributes: list[TrackedAttributes]) -> None:
        plain = [tracked for tracked in attributes if tracked.is_plain()]
        self._other_attributes = [tracked for tracked in attributes if not tracked.is_plain()]
        self._owners = [tracked.live for tracked in plain]
        self._getters = [operator.attrgetter(*tracked.names) for tracked in plain]
        self._saved_attributes = list(map(operator.call, self._getters, self._owners))
        self._same_attributes = _SameObjects(
            getattr,
            (
                (tracked.live, name, value)
                for tracked in plain
                for name, value in zip(tracked.names, tracked.saved, strict=True)
                if _may_equal_another(value)
            ),
        )

    def unchanged(self) -> bool:
        """Whether everything is as it was recorded. Runs no code of a contract but ``__eq__`` of what it replaced."""
        try:
            return (
                self._names.unchanged()
                and list(map(len, self._live_mappings)) == self._sizes
                and self._contents() == self._saved_contents
                and self._same_items.hold()
                and self._live_containers == self._saved_containers
                and self._same_elements.hold()
                and list(map(operator.call, self._getters, self._owners)) == self._saved_attributes
                and self._same_attributes.hold()
                and not any(tracked.differs() for tracked in self._other_attributes)
            )
        except BaseException:  # a place is gone, or a replaced object cannot be compared: something did change
            return False

    def changed_names(self) -> set[Any]:
        """The entries of namespaces that were added, removed or replaced."""
        return {
            name
            for tracked in self._namespaces
            for name in tracked.live.keys() | tracked.saved.keys()
            if tracked.live.get(name, _MISSING) is not tracked.saved.get(name, _MISSING)
        }

    def watch(self, names: frozenset[str]) -> Watch:
        """A quicker check for code that can assign to no other attributes than these."""
        return Watch(self._namespaces, names)

    def restore(self) -> None:
        """Put everything back that changed, and empty the caches of cached functions."""
        for clear in self._caches:
            clear()
        if not self.unchanged():
            self._take_out()

    def suspend(self) -> Suspended | None:
        """Put everything back for a nested call; None when nothing changed. Caches of functions are left."""
        return None if self.unchanged() else Suspended(self._take_out())

    def _take_out(self) -> list[tuple[Tracked, Any]]:
        changes = [(tracked, tracked.state()) for tracked in self._tracked if tracked.differs()]
        for tracked, _ in changes:
            tracked.restore()
        return changes


class Watch:
    """The entries of some namespaces that certain assignments can change, and the number of all of their entries."""

    def __init__(self, namespaces: Sequence[TrackedMapping | TrackedClassDict], names: frozenset[str]) -> None:
        self._namespaces = [tracked.live for tracked in namespaces]
        # As they were recorded: the code may have run by now.
        self._sizes = [len(tracked.saved) for tracked in namespaces]
        self._same = _SameObjects(
            operator.getitem,
            (
                (tracked.live, name, tracked.saved[name])
                for tracked in namespaces
                for name in sorted(names)
                if name in tracked.saved
            ),
        )

    def unchanged(self) -> bool:
        try:
            return list(map(len, self._namespaces)) == self._sizes and self._same.hold()
        except KeyError:
            return False


def _assignable(assignments: Assignments, names: tuple[str, ...]) -> tuple[str, ...]:
    if assignments.indirect or (names == CELL and assignments.closures):
        return names
    return tuple(name for name in names if name in assignments.names)


def _may_equal_another(value: Any) -> bool:
    return not isinstance(value, str | bytes | type(None)) and type(value).__eq__ is not _SAME_ONLY
