"""Notices what a module's body reads of the call while it is loaded: such a module is another one for every call."""

from __future__ import annotations

from typing import Any

from genlayer_localnet.interpreter.console import written_parts
from genlayer_localnet.interpreter.contract_time import clock_reads
from genlayer_localnet.loading.library import LoadedLibrary

# Any: the message's type is the standard library's.


class LoadProbe:
    """Context manager around the execution of a module's body."""

    def __init__(self, library: LoadedLibrary) -> None:
        self._library = library
        self.reads_call = False
        """Whether a value of the message or the time was read, or something printed."""

    def __enter__(self) -> LoadProbe:
        gl = self._library.gl
        self._message, self._raw = gl.message, gl.message_raw
        self.message = gl.message = _probing(self, type(gl.message))(*gl.message)
        self.raw = gl.message_raw = _RawProbe(self, gl.message_raw)
        self._before = self._counts()
        return self

    def __exit__(self, *_: object) -> None:
        self.reads_call = self.reads_call or self._counts() != self._before
        self._library.gl.message, self._library.gl.message_raw = self._message, self._raw

    @staticmethod
    def _counts() -> tuple[int, int]:
        return clock_reads(), written_parts()


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
