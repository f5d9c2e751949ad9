"""A standard library inside this process: imported once, visible in ``sys.modules`` only while contracts are busy."""

from __future__ import annotations

import importlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, ClassVar

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.interpreter import contract_imports
from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.interpreter.contract_time import ContractTime
from genlayer_localnet.loading.assignments import Assignments
from genlayer_localnet.loading.guard import StateGuard, Suspended, Watch
from genlayer_localnet.loading.lines import Line
from genlayer_localnet.loading.reachable import Reachable
from genlayer_localnet.loading.standard_library import StandardLibrary

WASI = "_genlayer_wasi"
_PACKAGE = "genlayer"
_OWN = ("genlayer.", "genlayer_localnet.std.")
"""What names of a library's modules begin with; what the fallback libraries share, each has modules of its own of."""
_OF_DECORATORS = frozenset(vars(object))
"""What ``dataclass`` and ``total_ordering`` add to a class, some of it at least."""
# Any: the library's objects are known by protocol only, as there are two libraries (see the package's documentation).


def is_own(name: str) -> bool:
    """Whether a module of this name belongs to a standard library, which is guarded as a whole."""
    return name in (WASI, _PACKAGE) or name.startswith(_OWN)


class LoadedLibrary(ABC):
    """The modules of one standard library, and the few objects of it that the host works with.

    Each line has a class of its own, for it knows where the library has them.
    """

    imported: ClassVar[tuple[str, ...]]
    """The modules that are there from the beginning."""
    sample: ClassVar[str]
    """A contract with all kinds of storage: what a library does to itself when they are first used."""

    registry: Any
    """Has ``__known_contract__``."""
    event: type
    """The base class of events."""
    message: Any
    """What contract code knows as ``gl.message``."""
    message_raw: dict[str, Any]
    decode: Callable[[bytes], Any]
    get_schema: Callable[[type], dict[str, Any]]
    address: Callable[[bytes], Any]
    _encode: Callable[[Any], bytes]
    _original_init: str
    """The attribute in which a constructor keeps what was written for it."""

    def __init__(self, library: StandardLibrary, wasi: ModuleType) -> None:
        self.library = library
        self.line: Line = library.line
        self._paths = [str(path) for path in library.paths]
        contract_imports.library_paths.update(self._paths)
        self._modules: dict[str, ModuleType] = {WASI: wasi}
        self._names: tuple[str, ...] = (WASI,)
        with self.activated(), ContractTime(datetime.now(UTC)), _MessageOnStdin():
            for name in self.imported:
                importlib.import_module(name)
            self._find(self._modules | {name: sys.modules[name] for name in self.imported})
        with self.activated():
            self._use_once()
        self._record()

    # --- what a line knows ---

    @abstractmethod
    def _find(self, modules: Mapping[str, Any]) -> None:
        """Find the objects, in the modules of ``imported``."""

    @abstractmethod
    def set_message(self, raw: dict[str, Any]) -> None:
        """Make ``raw`` (addresses as bytes) the message that contract code sees from now on."""

    @abstractmethod
    def rewind(self) -> None:
        """Bring back what the host itself sets per call."""

    @abstractmethod
    def storage_of(self, contract_class: type) -> Callable[[], Any]:
        """Prepare the class for storage; what is returned makes a fresh instance over the present contract's slots."""

    @abstractmethod
    def payload_of(self, error: BaseException) -> bytes | None:
        """What a call that ends with this error carries as a user error; None where it is no such error."""

    # --- what all have in common ---

    @calls_contract_code
    def constructor_of(self, contract_class: type) -> Callable[..., Any] | None:
        """The constructor as the contract wrote it, None where it wrote none."""
        init = contract_class.__init__  # type: ignore[misc]  # looked up on purpose, never called on a wrong class
        original: Callable[..., Any] = getattr(init, self._original_init, init)
        return original

    def _use_once(self) -> None:
        """Have done what the library does to itself when it is first used, so that no contract has done it."""
        sample = ModuleType("genlayer_sample")
        sys.modules[sample.__name__] = sample
        try:
            exec(self.sample, sample.__dict__)
            self.storage_of(sample.__dict__["Sample"])
        finally:
            del sys.modules[sample.__name__]

    def _record(self) -> None:
        self.rewind()
        self.adopt_new_modules()
        self._guard = StateGuard(self._reachable())
        self._watches: dict[frozenset[str], Watch] = {}

    def encode(self, value: Any) -> bytes:
        """The value as calldata. Raises whatever the value's own methods do; ValueError, TypeError."""
        encoded = self._encode(value)
        if self.library.name == "official":  # it writes what nobody can read: a memoryview, depth without end
            calldata.decode(encoded)
        return encoded

    def activated(self) -> _Activated:
        """Context manager: ``genlayer`` is this library. Can be nested."""
        return _Activated(self)

    def _message_of(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The message with the library's own addresses."""
        address = self.address
        return {
            **raw,
            "contract_address": address(raw["contract_address"]),
            "sender_address": address(raw["sender_address"]),
            "origin_address": address(raw["origin_address"]),
            "stack": [address(entry) for entry in raw["stack"]],
        }

    def restore(self, assignments: Assignments) -> None:
        """Undo what contract code did to the library itself, as far as the code's assignments can have done it."""
        self.rewind()
        if not self._is_untouched(assignments):
            self._guard.restore()

    def suspend(self, assignments: Assignments) -> Suspended | None:
        """As ``restore``, for the time of a nested call."""
        self.rewind()
        return None if self._is_untouched(assignments) else self._guard.suspend()

    def is_touched(self, assignments: Assignments) -> bool:
        """Whether code with these assignments changed the library. Forgets the message and the contract of now."""
        self.rewind()
        return not self._is_untouched(assignments)

    def _is_untouched(self, assignments: Assignments) -> bool:
        if assignments.indirect:
            return self._guard.unchanged()
        watch = self._watches.get(assignments.names)
        if watch is None:
            watch = self._watches[assignments.names] = self._guard.watch(assignments.names)
        if watch.unchanged():
            return True
        # What no line of the contract assigns to, and no decorator of Python's, the library has done to itself.
        if not self._guard.changed_names().isdisjoint(assignments.names | _OF_DECORATORS):
            return False
        self._record()
        return True

    def _reachable(self) -> Reachable:
        """Names in the library's modules and classes: not what its registries and caches hold."""
        found = Reachable(is_own)
        for name, module in self._modules.items():
            if name != WASI:
                found.namespaces.append(module.__dict__)
                found.classes += [
                    value
                    for value in module.__dict__.values()
                    if isinstance(value, type) and value.__module__ == name and value not in found.classes
                ]
        return found

    def adopt_new_modules(self) -> None:
        """Keep what was imported since as part of this library."""
        for name, module in list(sys.modules.items()):
            if name not in self._modules and (is_own(name) or self._is_below_root(module)):
                self._modules[name] = module
        self._names = tuple(self._modules)

    def _is_below_root(self, module: ModuleType) -> bool:
        filename = getattr(module, "__file__", None) or ""
        return any(filename.startswith(f"{path}{os.sep}") for path in self._paths)


class _Activated:
    __slots__ = ("_count", "_displaced", "_library")

    def __init__(self, library: LoadedLibrary) -> None:
        self._library = library

    def __enter__(self) -> LoadedLibrary:
        library, modules = self._library, sys.modules
        self._displaced: dict[str, ModuleType] = {}
        if _PACKAGE in modules or WASI in modules:
            names = [name for name in modules if is_own(name)]
            self._displaced = {name: modules.pop(name) for name in names}
        modules.update(library._modules)
        sys.path[:0] = library._paths
        self._count = len(modules)
        return library

    def __exit__(self, *_: object) -> None:
        library, modules = self._library, sys.modules
        if len(modules) != self._count:
            library.adopt_new_modules()
        for path in library._paths:
            if path in sys.path:
                sys.path.remove(path)
        for name in library._names:
            modules.pop(name, None)
        modules.update(self._displaced)


class _MessageOnStdin:
    """Context manager: file descriptor 0 gives a message, which the library reads when it is imported."""

    def __enter__(self) -> None:
        nobody = Address(bytes(Address.SIZE))
        message = {
            "contract_address": nobody,
            "sender_address": nobody,
            "origin_address": nobody,
            "stack": [],
            "value": 0,
            "datetime": "1970-01-01T00:00:00Z",
            "is_init": False,
            "chain_id": 0,
            "entry_kind": 0,
            "entry_data": b"",
            "entry_stage_data": None,
            "signer_address": nobody,
        }
        received, sent = os.pipe()  # a confined process has no files of its own
        os.write(sent, calldata.encode(message))
        os.close(sent)
        try:
            self._before: int | None = os.dup(0)
        except OSError:  # a daemon may have closed it
            self._before = None
        os.dup2(received, 0)
        if received:
            os.close(received)

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            os.close(0)
        else:
            os.dup2(self._before, 0)
            os.close(self._before)
