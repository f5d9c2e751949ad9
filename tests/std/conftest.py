"""The fallback library over a host of dicts: imported once, in ``sys.modules`` only while a test runs."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.address import Address

STD_ROOT = Path(calldata.__file__).parent / "std" / "v02"
NO_DATA = 2**32 - 1
CONTRACT = Address(b"\xc0" * 20)
SENDER = Address(b"\xa1" * 20)
ORIGIN = Address(b"\x0b" * 20)


class RecordingHost:
    """Storage in a dict, counted accesses, recorded requests, answers from a list."""

    def __init__(self) -> None:
        self.module: Any = types.ModuleType("_genlayer_wasi")
        for function in (self.storage_read, self.storage_write, self.get_balance, self.get_self_balance, self.gl_call):
            setattr(self.module, function.__name__, function)
        self.reset()

    def reset(self) -> None:
        self.slots: dict[bytes, bytearray] = {}
        self.reads = self.writes = 0
        self.requests: list[Any] = []
        self.answers: list[bytes] = []
        self.balances: dict[bytes, int] = {}

    def storage_read(self, slot: bytes, off: int, buffer: bytearray, /) -> None:
        self.reads += 1
        buffer[:] = bytes(self.slots.get(slot, b"")[off : off + len(buffer)]).ljust(len(buffer), b"\0")

    def storage_write(self, slot: bytes, off: int, data: bytes, /) -> None:
        self.writes += 1
        content = self.slots.setdefault(slot, bytearray())
        content.extend(bytes(max(0, off - len(content))))
        content[off : off + len(data)] = data

    def get_balance(self, address: bytes, /) -> int:
        return self.balances.get(address, 0)

    def get_self_balance(self) -> int:
        return self.balances.get(CONTRACT.as_bytes, 0)

    def gl_call(self, request: bytes, /) -> int:
        self.requests.append(calldata.decode(request))
        if not self.answers:
            return NO_DATA
        with tempfile.TemporaryFile() as file:
            file.write(self.answers.pop(0))
            file.seek(0)
            return os.dup(file.fileno())

    def count(self) -> tuple[int, int]:
        """Reads and writes since the last time."""
        counted = self.reads, self.writes
        self.reads = self.writes = 0
        return counted


class Library:
    """The names of ``from genlayer import *`` as attributes, and what tests need around them."""

    def __init__(self, host: RecordingHost) -> None:
        self.host = host
        self.modules: dict[str, types.ModuleType] = {"_genlayer_wasi": host.module}
        with self:
            before = os.dup(0)
            with tempfile.TemporaryFile() as message:
                message.write(calldata.encode(_message()))
                message.seek(0)
                os.dup2(message.fileno(), 0)
            try:
                self.gl: Any = importlib.import_module("genlayer.gl")
                for name in ("get_schema", "keccak", "evm", "eth"):
                    importlib.import_module(f"genlayer.py.{name}")
            finally:
                os.dup2(before, 0)
                os.close(before)
            self.storage: Any = importlib.import_module("genlayer.py.storage")
            self.generate: Any = importlib.import_module("genlayer.py.storage._internal.generate")
            self.core: Any = importlib.import_module("genlayer_localnet.std.shared.storage.core")
            self._package: Any = importlib.import_module("genlayer")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)

    def __enter__(self) -> Library:
        self._displaced = {name: sys.modules.pop(name) for name in _library_modules()}
        sys.modules.update(self.modules)
        sys.path.insert(0, str(STD_ROOT))
        return self

    def __exit__(self, *_: object) -> None:
        self.modules = {name: sys.modules.pop(name) for name in _library_modules()}
        sys.path.remove(str(STD_ROOT))
        sys.modules.update(self._displaced)

    def module(self, name: str) -> Any:
        return importlib.import_module(name)

    def load(self, source: str, name: str = "_std_test_contract") -> Any:
        """Run the source of a contract; its module."""
        self.gl.genvm_contracts.__known_contract__ = None
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)
        return module

    def instance(self, cls: type) -> Any:
        """The class's fields at the place of the contract's."""
        slot = self.storage.Root.MANAGER.get_store_slot(self.storage.ROOT_SLOT_ID).indirect(0)
        return self.generate._storage_build(cls, {}).get(slot, 0)

    def field(self, annotation: Any) -> Any:
        """An object with one stored attribute, ``value``."""

        class Holder:
            __annotations__ = {"value": annotation}

        return self.instance(self.allow_storage(Holder))


def _library_modules() -> list[str]:
    own = ("genlayer.", "genlayer_localnet.std.")
    return [name for name in sys.modules if name in ("genlayer", "_genlayer_wasi") or name.startswith(own)]


def _message() -> dict[str, Any]:
    return {
        "contract_address": CONTRACT,
        "sender_address": SENDER,
        "origin_address": ORIGIN,
        "stack": [],
        "value": 7,
        "datetime": "2026-01-15T12:00:00Z",
        "is_init": False,
        "chain_id": 61999,
        "entry_kind": 0,
        "entry_data": b"",
        "entry_stage_data": None,
    }


@pytest.fixture(scope="session")
def loaded_library() -> Library:
    return Library(RecordingHost())


@pytest.fixture
def std(loaded_library: Library) -> Iterator[Library]:
    loaded_library.host.reset()
    loaded_library.gl.genvm_contracts.__known_contract__ = None
    with loaded_library:
        yield loaded_library
    sys.modules.pop("_std_test_contract", None)


@pytest.fixture
def host(std: Library) -> RecordingHost:
    return std.host
