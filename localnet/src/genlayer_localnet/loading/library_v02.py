"""The library of the v0.2 line: where it has what the host works with. There are two of it, known by protocol only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.loading.library import LoadedLibrary

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
_NAMESPACES = ("advanced", "eq_principle", "evm", "nondet", "storage", "vm")


class LibraryV02(LoadedLibrary):
    imported = (
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
    sample = _SAMPLE

    def _find(self, modules: Mapping[str, Any]) -> None:
        self.gl: Any = modules["genlayer.gl"]
        for name in _NAMESPACES:  # a library may import them when they are first asked for
            getattr(self.gl, name, None)
        self.registry = modules["genlayer.gl.genvm_contracts"]
        self.event = self.gl.Event
        self._encode = modules["genlayer.py.calldata"].encode
        self.decode = modules["genlayer.py.calldata"].decode
        self.get_schema = modules["genlayer.py.get_schema"].get_schema
        self._user_error: type[Exception] = modules["genlayer.gl.vm"].UserError
        self._nondet_error: type[Exception] = self.gl.nondet.NondetException
        self.address = modules["genlayer.py.types"].Address
        self._u256: Callable[[int], Any] = modules["genlayer.py.types"].u256
        self._storage: Any = modules["genlayer.py.storage"]
        self._generate: Any = modules["genlayer.py.storage._internal.generate"]
        self._original_init = self._generate.ORIGINAL_INIT_ATTR
        self._first_message = self.gl.message
        self.message_raw = self.gl.message_raw

    @property
    def message(self) -> Any:
        return self.gl.message

    def set_message(self, raw: dict[str, Any]) -> None:
        gl, u256 = self.gl, self._u256
        refreshed = self._message_of(raw)
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
        self.gl.message = self._first_message
        self.gl.message_raw = self.message_raw
        self.registry.__known_contract__ = None

    @calls_contract_code
    def storage_of(self, contract_class: type) -> Callable[[], Any]:
        storage = self._storage
        description = self._generate._storage_build(contract_class, {})
        slot = storage.Root.MANAGER.get_store_slot(storage.ROOT_SLOT_ID).indirect(0)
        return lambda: description.get(slot, 0)

    @calls_contract_code
    def payload_of(self, error: BaseException) -> bytes | None:
        is_nondet = isinstance(error, self._nondet_error)
        if is_nondet or isinstance(error, self._user_error):
            message = getattr(error, "message", str(error) if is_nondet else None)
            if isinstance(message, str):
                return str.encode(message, "utf-8", "replace")
        return None
