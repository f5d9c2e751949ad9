"""The host side of a running contract: its frame, and the module ``_genlayer_wasi`` through which the contract asks.

The functions of that module act on the frame that runs now. There is one per process, since a process has one
``sys.modules``; the lock of ``execution`` keeps to one running contract at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.state.journal import Journal, put_item, splice
from genlayer_localnet.state.results import Terminated
from genlayer_localnet.state.world import Storage
from genlayer_localnet.vm.frame import Frame

NO_DATA = 2**32 - 1
_ADDRESS_SIZE = 20
_SLOT_SIZE = 32
_MAX_STORAGE_OFFSET = 2**32


def host_error(number: int, name: str, detail: str = "") -> SystemError:
    """An error of the host interface as the official runtime raises it: ``SystemError("6: forbidden")``."""
    error = SystemError(f"{number}: {name}")
    if detail:
        error.add_note(detail)
    return error


def invalid(detail: str) -> SystemError:
    return host_error(2, "inval", detail)


def forbidden(detail: str) -> SystemError:
    return host_error(6, "forbidden", detail)


class Machine:
    """What runs now; ``handle`` answers a decoded ``gl_call`` request with bytes, or None for no data."""

    def __init__(self) -> None:
        self.frame: Frame | None = None
        self.handle: Callable[[Frame, Any], bytes | None] | None = None

    def running(self) -> Frame:
        frame = self.frame
        if frame is None:
            raise forbidden("no contract is running: storage and calls exist only during a call")
        if frame.terminated is not None:
            raise Terminated(frame.terminated)
        return frame


def make_wasi(machine: Machine) -> ModuleType:
    """The module ``_genlayer_wasi`` over ``machine``."""

    def storage_read(slot: bytes, off: int, buf: Any, /) -> None:
        frame = machine.frame
        if frame is None or frame.terminated is not None:
            frame = machine.running()
        frame.storage_reads += 1
        size = len(buf)
        data = frame.storage.get(slot)
        part = data[off : off + size] if data is not None else b""
        if len(part) != size:
            part = bytes(part) + bytes(size - len(part))
        buf[:] = part

    def storage_write(slot: bytes, off: int, data: Any, /) -> None:
        frame = machine.running()
        if not frame.permissions.write:
            raise forbidden("storage cannot be written in a view or in a nondeterministic block")
        if slot in frame.locked:
            raise forbidden("the slot is locked: only the contract's upgraders can write it")
        if len(slot) != _SLOT_SIZE or not 0 <= off < _MAX_STORAGE_OFFSET:
            raise invalid("a slot id has 32 bytes, and an offset is below 2**32")
        frame.storage_writes += 1
        write_storage(frame.storage, frame.journal, bytes(slot), off, bytes(data))

    def get_balance(address: bytes, /) -> int:
        if len(address) != _ADDRESS_SIZE:
            raise invalid("an address has 20 bytes")
        frame, account = machine.running(), bytes(address)
        frame.attempt.looked_at.add(account)
        return frame.world.balance(account)

    def get_self_balance() -> int:
        frame = machine.running()
        if frame.permissions.nondeterministic and frame.line == "v0.3":
            raise forbidden("the contract's own balance is not known in a nondeterministic block")
        return frame.attempt.spendable(frame.world, frame.address)

    def gl_call(request: bytes, /) -> int:
        frame = machine.running()
        try:
            decoded = calldata.decode(bytes(request))
        except ValueError as error:
            raise invalid(f"the request is not calldata: {error}") from None
        assert machine.handle is not None
        answer = machine.handle(frame, decoded)
        return NO_DATA if answer is None else readable_descriptor(answer)

    module = ModuleType("_genlayer_wasi")
    for function in (storage_read, storage_write, get_balance, get_self_balance, gl_call):
        # An argument can be an object of the contract, with methods of its own.
        setattr(module, function.__name__, calls_contract_code(function))
    return module


def write_storage(storage: Storage, journal: Journal, slot: bytes, off: int, data: bytes) -> None:
    """Write into a slot in place, so that ``journal`` can take it back."""
    buffer = storage.get(slot)
    if buffer is None:
        buffer = bytearray()
        journal.append(put_item(storage, slot, buffer))
    if off > len(buffer):
        journal.append(splice(storage, slot, len(buffer), 0, bytes(off - len(buffer))))
    journal.append(splice(storage, slot, off, len(data), data))


def readable_descriptor(data: bytes) -> int:
    """A file descriptor from which ``data`` can be read up to its end; the reader closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("genvm-answer")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
