"""The library of the v0.3 line: where it has what the host works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.loading.library import LoadedLibrary

_SAMPLE = """
import genlayer as gl
from genlayer.types import *
from dataclasses import dataclass
import datetime
import typing

@gl.storage.allow
@dataclass
class Record:
    number: u256
    text: str

class Sample(gl.contract.Contract):
    number: bigint
    flag: bool
    blob: bytes
    when: datetime.datetime
    by_text: gl.storage.TreeMap[str, gl.storage.TreeMap[Address, Record]]
    records: gl.storage.DynArray[Record]
    fixed: gl.storage.Array[u8, typing.Literal[2]]

class Happened(gl.chain.Event):
    def __init__(self, who: Address, /, **blob): ...
"""


class LibraryV03(LoadedLibrary):
    imported = (
        "genlayer",
        "genlayer.calldata",
        "genlayer.chain",
        "genlayer.contract",
        "genlayer.eq_principle",
        "genlayer.evm",
        "genlayer.message",
        "genlayer.nondet",
        "genlayer.storage",
        "genlayer.storage._internal.generate",
        "genlayer.types",
        "genlayer.vm",
    )
    sample = _SAMPLE

    def _find(self, modules: Mapping[str, Any]) -> None:
        self.message = modules["genlayer.message"]
        self.message_raw = self.message.raw
        self._first_message = {name: vars(self.message)[name] for name in (*self.message_raw, "raw")}
        self.registry = modules["genlayer.contract"]
        self.event = modules["genlayer.chain"].Event
        self._encode = modules["genlayer.calldata"].encode
        self.decode = modules["genlayer.calldata"].decode
        self._user_error: type[Exception] = modules["genlayer.vm"].UserError
        self.address = modules["genlayer.types"].Address
        self._root: Any = modules["genlayer.storage"].Root
        self._generate: Any = modules["genlayer.storage._internal.generate"]
        self._original_init = self._generate.ORIGINAL_INIT_ATTR
        self.get_schema = modules["genlayer.contract"].get_schema

    def set_message(self, raw: dict[str, Any]) -> None:
        refreshed = self._message_of(raw)
        refreshed["signer_address"] = refreshed["origin_address"]
        self.message_raw.clear()
        self.message_raw.update(refreshed)
        vars(self.message).update(refreshed)

    def rewind(self) -> None:
        vars(self.message).update(self._first_message)
        self.registry.__known_contract__ = None

    @calls_contract_code
    def storage_of(self, contract_class: type) -> Callable[[], Any]:
        description = self._generate.desc_of(contract_class)
        slot = self._root.get().contract_instance.slot()
        return lambda: description.get(slot, 0)

    def lock_default_slots(self) -> None:
        """As every deployment begins: what is not the contract's own fields can be written by upgraders only."""
        self._root.get().lock_default()

    @calls_contract_code
    def payload_of(self, error: BaseException) -> bytes | None:
        return self.encode(error.data) if isinstance(error, self._user_error) else None  # type: ignore[attr-defined]
