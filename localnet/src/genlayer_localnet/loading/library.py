"""A standard library inside this process: imported once, visible in ``sys.modules`` only while contracts are busy."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.interpreter import contract_imports
from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.interpreter.contract_time import ContractTime
from genlayer_localnet.loading.assignments import Assignments
from genlayer_localnet.loading.guard import StateGuard, Suspended, Watch
from genlayer_localnet.loading.reachable import Reachable
from genlayer_localnet.loading.standard_library import StandardLibrary

WASI = "_genlayer_wasi"
_PACKAGE = "genlayer"
_OWN = ("genlayer.", "genlayer_localnet.std.")
"""What names of a library's modules begin with; what the fallback libraries share, each has modules of its own of."""
_IMPORTED = (
    "genlayer",
    "genlayer.py.types",
    "genlayer.py.calldata",
    "genlayer.py.get_schema",
    "genlayer.py.storage",
    "genlayer.py.storage._internal.generate",
    "genlayer.gl",
    "genlayer.gl.vm",
    "genlayer.gl.genvm_contracts",
)
_SAMPLE = """
from genlayer import *
from dataclasses import dataclass
import datetime
import typing

@allow_storage
@dataclass
class Record:
    number: u256
    text: str

class Sample(gl.Contract):
    number: bigint
    flag: bool
    blob: bytes
    when: datetime.datetime
    by_text: TreeMap[str, TreeMap[Address, Record]]
    records: DynArray[Record]
    fixed: Array[u8, typing.Literal[2]]

class Happened(gl.Event):
    def __init__(self, who: Address, /, **blob): ...
"""
"""A contract with all kinds of storage: what a library does to itself when they are first used."""
_OF_DECORATORS = frozenset(vars(object))
"""What ``dataclass`` and ``total_ordering`` add to a class, some of it at least."""
_NAMESPACES = ("advanced", "eq_principle", "evm", "nondet", "storage", "vm")
# Any: the library's objects are known by protocol only, as there are two libraries (see the package's documentation).


class LoadedLibrary:
    """The modules of one standard library, and the few objects of it that the host works with."""

    def __init__(self, library: StandardLibrary, wasi: ModuleType) -> None:
        self.library = library
        self._paths = [str(path) for path in library.paths]
        contract_imports.library_paths.update(self._paths)
        self._modules: dict[str, ModuleType] = {WASI: wasi}
        self._names: tuple[str, ...] = (WASI,)
        with self.activated(), ContractTime(datetime.now(UTC)), _MessageOnStdin():
            for name in _IMPORTED:
                importlib.import_module(name)
            for name in _NAMESPACES:  # a library may import them when they are first asked for
                getattr(sys.modules["genlayer.gl"], name, None)
        modules = self._modules
        self.gl: Any = modules["genlayer.gl"]
        self.registry: Any = modules["genlayer.gl.genvm_contracts"]
        self._encode: Callable[[Any], bytes] = modules["genlayer.py.calldata"].encode
        self.decode: Callable[[bytes], Any] = modules["genlayer.py.calldata"].decode
        self.get_schema: Callable[[type], dict[str, Any]] = modules["genlayer.py.get_schema"].get_schema
        self.user_error: type[Exception] = modules["genlayer.gl.vm"].UserError
        self.nondet_error: type[Exception] = self.gl.nondet.NondetException
        self.address: Callable[[bytes], Any] = modules["genlayer.py.types"].Address
        self._u256: Callable[[int], Any] = modules["genlayer.py.types"].u256
        self._first_message = self.gl.message
        self.message_raw: dict[str, Any] = self.gl.message_raw
        with self.activated():
            self._use_once()
        self._record()

    def _use_once(self) -> None:
        """Have done what the library does to itself when it is first used, so that no contract has done it."""
        sample = ModuleType("genlayer_sample")
        sys.modules[sample.__name__] = sample
        try:
            exec(_SAMPLE, sample.__dict__)
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

    def set_message(self, raw: dict[str, Any]) -> None:
        """Make ``raw`` (addresses as bytes) the message that contract code sees from now on."""
        gl, address, u256 = self.gl, self.address, self._u256
        contract, sender, origin = raw["contract_address"], raw["sender_address"], raw["origin_address"]
        refreshed = {
            **raw,
            "contract_address": address(contract),
            "sender_address": address(sender),
            "origin_address": address(origin),
            "stack": [address(entry) for entry in raw["stack"]],
        }
        message_raw = self.message_raw
        gl.message_raw = message_raw
        message_raw.clear()
        message_raw.update(refreshed)
        gl.message = gl.MessageType(
            contract_address=refreshed["contract_address"],
            sender_address=refreshed["sender_address"],
            origin_address=refreshed["origin_address"],
            value=u256(raw["value"]),
            chain_id=u256(raw["chain_id"]),
        )

    def rewind(self) -> None:
        """Bring back what the host itself sets per call."""
        self.gl.message = self._first_message
        self.gl.message_raw = self.message_raw
        self.registry.__known_contract__ = None

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

    @calls_contract_code
    def storage_of(self, contract_class: type) -> Callable[[], Any]:
        """Prepare the class for storage; what is returned makes a fresh instance over the present contract's slots."""
        storage: Any = self._modules["genlayer.py.storage"]
        generate: Any = self._modules["genlayer.py.storage._internal.generate"]
        description = generate._storage_build(contract_class, {})
        slot = storage.Root.MANAGER.get_store_slot(storage.ROOT_SLOT_ID).indirect(0)
        return lambda: description.get(slot, 0)

    @calls_contract_code
    def constructor_of(self, contract_class: type) -> Callable[..., Any] | None:
        """The constructor as the contract wrote it, None where it wrote none."""
        init = contract_class.__init__  # type: ignore[misc]  # looked up on purpose, never called on a wrong class
        generate: Any = self._modules["genlayer.py.storage._internal.generate"]
        original: Callable[..., Any] = getattr(init, generate.ORIGINAL_INIT_ATTR, init)
        return original

    def is_own(self, name: str) -> bool:
        """Whether a module of this name belongs to a standard library."""
        return name in (WASI, _PACKAGE) or name.startswith(_OWN)

    def _reachable(self) -> Reachable:
        """Names in the library's modules and classes: not what its registries and caches hold."""
        found = Reachable(self.is_own)
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
            if name not in self._modules and (self.is_own(name) or self._is_below_root(module)):
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
            names = [name for name in modules if library.is_own(name)]
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
    """Context manager: file descriptor 0 gives a message, which ``genlayer.gl`` reads when it is imported."""

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
        }
        try:
            self._before: int | None = os.dup(0)
        except OSError:  # a daemon may have closed it
            self._before = None
        with tempfile.TemporaryFile() as file:
            file.write(calldata.encode(message))
            file.seek(0)
            os.dup2(file.fileno(), 0)

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            os.close(0)
        else:
            os.dup2(self._before, 0)
            os.close(self._before)
