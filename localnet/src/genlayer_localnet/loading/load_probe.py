"""Notices what a module's body reads of the call while it is loaded: such a module is another one for every call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any, Self

from genlayer_localnet.interpreter.console import written_parts
from genlayer_localnet.interpreter.contract_time import clock_reads
from genlayer_localnet.loading.library import LoadedLibrary
from genlayer_localnet.loading.library_v02 import LibraryV02

# Any: the message's type is the standard library's.


def probe_of(library: LoadedLibrary) -> LoadProbe:
    return _TupleProbe(library) if isinstance(library, LibraryV02) else _ModuleProbe(library)


class LoadProbe(ABC):
    """Context manager around the execution of a module's body."""

    message: object
    """What the body sees as ``gl.message``, where that is another object for every call."""
    raw: dict[str, Any]
    """What it sees as the decoded message."""

    def __init__(self) -> None:
        self.reads_call = False
        """Whether a value of the message or the time was read, or something printed."""

    def __enter__(self) -> Self:
        self._begin()
        self._before = self._counts()
        return self

    def __exit__(self, *_: object) -> None:
        self.reads_call = self.reads_call or self._counts() != self._before
        self._end()

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _end(self) -> None: ...

    @staticmethod
    def _counts() -> tuple[int, int]:
        return clock_reads(), written_parts()


class _TupleProbe(LoadProbe):
    """Of the v0.2 line, whose message is a named tuple."""

    def __init__(self, library: LibraryV02) -> None:
        super().__init__()
        self._gl = library.gl

    def _begin(self) -> None:
        gl = self._gl
        self._message, self._raw = gl.message, gl.message_raw
        self.message = gl.message = _probing(self, type(gl.message))(*gl.message)
        self.raw = gl.message_raw = _RawProbe(self, gl.message_raw)

    def _end(self) -> None:
        self._gl.message, self._gl.message_raw = self._message, self._raw


class _ModuleProbe(LoadProbe):
    """Of the v0.3 line, whose message is a module."""

    def __init__(self, library: LoadedLibrary) -> None:
        super().__init__()
        self._module: ModuleType = library.message
        self._raw = library.message_raw
        self.message = object()  # the module stays the same

    def _begin(self) -> None:
        self.raw = _RawProbe(self, self._raw)
        vars(self._module)["raw"] = self.raw
        self._module.__class__ = _noting(self, frozenset(self._raw))

    def _end(self) -> None:
        self._module.__class__ = ModuleType
        vars(self._module)["raw"] = self._raw


def _noting(probe: LoadProbe, fields: frozenset[str]) -> type[ModuleType]:
    """The class of a module that notes each look at a field."""

    class NotingModule(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name in fields:
                probe.reads_call = True
            return super().__getattribute__(name)

    return NotingModule


def _probing(probe: LoadProbe, message_type: Any) -> Any:
    """The message's type, with a note of each look at a field."""

    class MessageProbe(message_type):  # type: ignore[misc]  # its base is known at run time
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("__"):
                probe.reads_call = True
            return super().__getattribute__(name)

        def __getitem__(self, index: Any) -> Any:
            probe.reads_call = True
            return super().__getitem__(index)

        def __iter__(self) -> Any:
            probe.reads_call = True
            return super().__iter__()

    return MessageProbe


class _RawProbe(dict[str, Any]):
    def __init__(self, probe: LoadProbe, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self._probe = probe

    def __getitem__(self, key: str) -> Any:
        self._probe.reads_call = True
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._probe.reads_call = True
        return super().get(key, default)

    def copy(self) -> dict[str, Any]:
        self._probe.reads_call = True
        return super().copy()

    def __iter__(self) -> Any:
        self._probe.reads_call = True
        return super().__iter__()
