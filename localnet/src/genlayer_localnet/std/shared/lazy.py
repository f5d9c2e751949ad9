"""Values that are computed when they are first asked for, and functions that give such values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, cast

__all__ = ("Lazy", "LazyApi", "lazy_api")


class Lazy[T]:
    """A value that is computed when first asked for; an error is raised again each time."""

    __slots__ = ("_compute", "_error", "_value")

    def __init__(self, compute: Callable[[], T], /) -> None:
        self._compute: Callable[[], T] | None = compute
        self._error: BaseException | None = None

    def get(self) -> T:
        """Compute the value, or return it when that has been done."""
        compute, self._compute = self._compute, None
        if compute is not None:
            try:
                self._value = compute()
            except BaseException as error:
                self._error = error
                raise
        if self._error is not None:
            raise self._error
        return self._value


class LazyApi[**P, R](Protocol):
    """A function that can also be called as ``function.lazy(…)``, which returns ``Lazy`` instead of the value."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def lazy(self, *args: P.args, **kwargs: P.kwargs) -> Lazy[R]: ...


def lazy_api[**P, R](function: Callable[P, Lazy[R]]) -> LazyApi[P, R]:
    """Make the function that gives the value at once from the one that gives ``Lazy``."""

    @functools.wraps(function)
    def eager(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs).get()

    eager.lazy = function  # type: ignore[attr-defined]  # which makes it the LazyApi
    return cast("LazyApi[P, R]", eager)
