"""The transaction's time inside contract code.

While a contract is loaded or runs, ``datetime.datetime``, ``datetime.date`` and the clocks of ``time`` are replaced in
their modules. The replacements look at the thread that asks: the one that runs the contract gets the transaction's time
in UTC, whatever the time zone of the machine; all others get what the real functions give, real classes included. What
a contract asks of the process and what it imports is replaced and put back along with them.
"""

from __future__ import annotations

import datetime as datetime_module
import time as time_module
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from genlayer_localnet.interpreter import contract_imports, process_calls, time_limit

_RealDate = datetime_module.date
_RealDatetime = datetime_module.datetime
_UTC = datetime_module.UTC
_real_time = time_module.time
_real_time_ns = time_module.time_ns
_real_gmtime = time_module.gmtime
_real_localtime = time_module.localtime
_real_sleep = time_module.sleep
_real_monotonic = time_module.monotonic
_SLICE_SECONDS = 0.05
_EPOCH = _RealDatetime(1970, 1, 1, tzinfo=_UTC)
_MICROSECOND = datetime_module.timedelta(microseconds=1)


class _Clock:
    """The time given out, and the only thread it is given to; no thread has the id 0."""

    now: datetime_module.datetime = _EPOCH
    thread: int = 0
    reads: int = 0


_clock = _Clock()


def _in_contract() -> bool:
    return _clock.thread == get_ident()


def _contract_now() -> datetime_module.datetime:
    _clock.reads += 1
    return _clock.now


def clock_reads() -> int:
    """How often contract code has asked for the time, in this process."""
    return _clock.reads


class _DateMeta(type):
    """Real dates count as instances of the replacements; subclasses that a contract makes behave as usual."""

    def __instancecheck__(cls, instance: object) -> bool:
        real = _real_class(cls)
        return isinstance(instance, real) if real else super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = _real_class(cls)
        return issubclass(subclass, real) if real else super().__subclasscheck__(subclass)


def _real_class(cls: type) -> type | None:
    if cls is ContractDatetime:
        return _RealDatetime
    return _RealDate if cls is ContractDate else None


class ContractDate(_RealDate, metaclass=_DateMeta):
    """``datetime.date`` as a contract sees it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _RealDate.__new__(cls if _in_contract() else _RealDate, *args, **kwargs)

    @classmethod
    def today(cls) -> Any:
        if not _in_contract():
            return _RealDate.today()
        now = _contract_now()
        return cls(now.year, now.month, now.day)

    @classmethod
    def fromtimestamp(cls, timestamp: float, /) -> Any:
        if not _in_contract():
            return _RealDate.fromtimestamp(timestamp)
        day = _RealDatetime.fromtimestamp(timestamp, _UTC)
        return cls(day.year, day.month, day.day)


class ContractDatetime(_RealDatetime, metaclass=_DateMeta):
    """``datetime.datetime`` as a contract sees it: the local time zone is UTC."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _RealDatetime.__new__(cls if _in_contract() else _RealDatetime, *args, **kwargs)

    @classmethod
    def now(cls, tz: datetime_module.tzinfo | None = None) -> Any:
        if not _in_contract():
            return _RealDatetime.now(tz)
        now = _contract_now()
        return cls._of(now.astimezone(tz) if tz else now.replace(tzinfo=None))

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now() if _in_contract() else _RealDatetime.now(_UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: datetime_module.tzinfo | None = None) -> Any:
        if not _in_contract():
            return _RealDatetime.fromtimestamp(timestamp, tz)
        moment = _RealDatetime.fromtimestamp(timestamp, tz or _UTC)
        return cls._of(moment if tz else moment.replace(tzinfo=None))

    @classmethod
    def utcfromtimestamp(cls, timestamp: float, /) -> Any:
        moment = _RealDatetime.fromtimestamp(timestamp, _UTC).replace(tzinfo=None)
        return cls._of(moment) if _in_contract() else moment

    @classmethod
    def _of(cls, moment: datetime_module.datetime) -> Any:
        return cls.combine(moment.date(), moment.timetz())

    def timestamp(self) -> float:
        moment: datetime_module.datetime = self
        if self.tzinfo is None:
            moment = self.replace(tzinfo=_UTC)
        return (moment - _EPOCH).total_seconds()

    def astimezone(self, tz: datetime_module.tzinfo | None = None) -> Any:
        aware = self.replace(tzinfo=_UTC) if self.tzinfo is None else self
        return _RealDatetime.astimezone(aware, tz or _UTC)


def _contract_time_ns() -> int:
    if not _in_contract():
        return _real_time_ns()
    return (_contract_now() - _EPOCH) // _MICROSECOND * 1000


def _contract_time() -> float:
    return _contract_time_ns() / 1e9 if _in_contract() else _real_time()


def _contract_gmtime(seconds: float | None = None, /) -> time_module.struct_time:
    return _real_gmtime(_contract_time() if seconds is None else seconds)


def _contract_localtime(seconds: float | None = None, /) -> time_module.struct_time:
    return _contract_gmtime(seconds) if _in_contract() else _real_localtime(seconds)


def _contract_sleep(seconds: float, /) -> None:
    """In slices, so that the limit of a contract's time ends it. (The transaction's time stands still meanwhile.)"""
    if not _in_contract() or seconds < 0:
        _real_sleep(seconds)
        return
    end = _real_monotonic() + seconds
    while not time_limit.is_over() and (left := end - _real_monotonic()) > 0:
        _real_sleep(min(left, _SLICE_SECONDS))


_REPLACEMENTS: tuple[tuple[Any, str, Any], ...] = (
    (datetime_module, "datetime", ContractDatetime),
    (datetime_module, "date", ContractDate),
    (time_module, "time", _contract_time),
    (time_module, "time_ns", _contract_time_ns),
    (time_module, "gmtime", _contract_gmtime),
    (time_module, "localtime", _contract_localtime),
    (time_module, "sleep", _contract_sleep),
    *process_calls.REPLACEMENTS,
    *contract_imports.REPLACEMENTS,
)


class ContractTime:
    """Context manager: this thread is in contract code, and its time is ``now`` (an aware datetime).

    Can be nested; whatever was in the modules before (freezegun, say) is put back.
    """

    __slots__ = ("_before", "_now")

    def __init__(self, now: datetime_module.datetime) -> None:
        self._now = now.astimezone(_UTC)

    def __enter__(self) -> None:
        self._before = (_clock.now, _clock.thread, [getattr(module, name) for module, name, _ in _REPLACEMENTS])
        _clock.now, _clock.thread = self._now, get_ident()
        for module, name, replacement in _REPLACEMENTS:
            setattr(module, name, replacement)

    def __exit__(self, *_: object) -> None:
        _clock.now, _clock.thread, originals = self._before
        for (module, name, _replacement), original in zip(_REPLACEMENTS, originals, strict=True):
            setattr(module, name, original)


@contextmanager
def real_time() -> Iterator[None]:
    """The host's own work in the middle of a call (HTTP, handlers of tests) has real time again."""
    thread, _clock.thread = _clock.thread, 0
    try:
        yield
    finally:
        _clock.thread = thread
