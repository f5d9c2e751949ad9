"""What objects do when their process forks. They are not kept alive by it: a method is forgotten with its object."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, Final

_Methods = list[weakref.WeakMethod[Callable[[], Any]]]

_BEFORE: Final[_Methods] = []
_IN_PARENT: Final[_Methods] = []
_IN_CHILD: Final[_Methods] = []


def at_fork(
    *,
    before: Callable[[], Any] | None = None,
    in_parent: Callable[[], Any] | None = None,
    in_child: Callable[[], Any] | None = None,
) -> None:
    """Have methods of an object called when the process forks: before it, and after it in either process."""
    for methods, method in ((_BEFORE, before), (_IN_PARENT, in_parent), (_IN_CHILD, in_child)):
        if method is not None:
            methods[:] = [each for each in methods if each() is not None]
            methods.append(weakref.WeakMethod(method))


def _call(methods: _Methods) -> None:
    for reference in list(methods):
        method = reference()
        if method is not None:
            method()


os.register_at_fork(
    before=lambda: _call(_BEFORE), after_in_parent=lambda: _call(_IN_PARENT), after_in_child=lambda: _call(_IN_CHILD)
)
