"""``gl.public``: marks on methods that may be called from outside. The host reads the marks; nothing is wrapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ("private", "public")

# Functions are Any inside: their attributes are what this module is about.


def _mark[F: Callable[..., Any]](function: F, *, readonly: bool, payable: bool = False) -> F:
    marked: Any = function
    marked.__gl_public__ = True
    marked.__gl_readonly__ = readonly
    if payable:
        marked.__gl_payable__ = True
    return function


class _MinGas:
    """``@gl.public.write.min_gas(leader=…, validator=…)``, also with ``.payable``."""

    def __init__(self, leader: int, validator: int) -> None:
        self._leader = leader
        self._validator = validator

    def __call__[F: Callable[..., Any]](self, function: F, *, payable: bool = False) -> F:
        _mark(function, readonly=False, payable=payable)
        marked: Any = function
        marked.__gl_min_gas_leader__ = self._leader
        marked.__gl_min_gas_validator__ = self._validator
        return function

    def payable[F: Callable[..., Any]](self, function: F) -> F:
        return self(function, payable=True)


class _Write:
    """``@gl.public.write``: may change storage and send messages."""

    def __call__[F: Callable[..., Any]](self, function: F) -> F:
        return _mark(function, readonly=False)

    def payable[F: Callable[..., Any]](self, function: F) -> F:
        """A write that takes value; all others refuse it."""
        return _mark(function, readonly=False, payable=True)

    def min_gas(self, *, leader: int, validator: int) -> _MinGas:
        """A write that needs this much gas."""
        return _MinGas(leader, validator)


def private[F: Callable[..., Any]](function: F) -> F:
    """A method that cannot be called from outside, as one without a mark; it says so to the reader."""
    return function


class public:
    """Decorators of methods that can be called from outside."""

    write = _Write()

    @staticmethod
    def view[F: Callable[..., Any]](function: F) -> F:
        """A method that only reads."""
        return _mark(function, readonly=True)
