"""The host side of a running contract: its frame, and the module ``_genlayer_wasi`` through which the contract asks.

The functions of that module act on the frame that runs now. There is one per process, since a process has one
``sys.modules``; the lock of ``execution`` keeps to one running contract at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from genlayer_localnet import calldata
from genlayer_localnet.contract_code import calls_contract_code
from genlayer_localnet.journal import Journal, put_item, splice
from genlayer_localnet.transactions import EmittedEvent, OutgoingMessage
from genlayer_localnet.world import Storage, World

if TYPE_CHECKING:
    from genlayer_localnet.attempt import Attempt
    from genlayer_localnet.contract_source import LoadedContract

NO_DATA = 2**32 - 1
_ADDRESS_SIZE = 20
_SLOT_SIZE = 32
_MAX_STORAGE_OFFSET = 2**32

RETURN, USER_ERROR, VM_ERROR = b"\x00", b"\x01", b"\x02"
TIMEOUT = VM_ERROR + b"timeout"
"""The result of code that ran longer than it may."""


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


class Terminated(BaseException):
    """Ends the running VM with ``result``. A contract cannot catch it for good: the frame remembers."""

    def __init__(self, result: bytes) -> None:
        self.result = result
        super().__init__(result)


@dataclass(frozen=True, slots=True)
class Permissions:
    write: bool = False
    send: bool = False
    call: bool = False
    spawn: bool = False
    nondeterministic: bool = False


READ = Permissions(call=True, spawn=True)
WRITE = Permissions(write=True, send=True, call=True, spawn=True)
NONDETERMINISTIC = Permissions(nondeterministic=True)


@dataclass(slots=True)
class Frame:
    """One running VM. ``message`` is what contract code sees as ``gl.message_raw``, with raw addresses."""

    world: World
    journal: Journal
    attempt: Attempt
    address: bytes
    storage: Storage
    permissions: Permissions
    message: dict[str, Any]
    contract: LoadedContract | None = None
    depth: int = 0
    storage_reads: int = 0
    storage_writes: int = 0
    events: list[EmittedEvent] = field(default_factory=list)
    messages: list[OutgoingMessage] = field(default_factory=list)
    terminated: bytes | None = None
    """The result the VM has to end with, whatever contract code does afterwards."""

    def terminate(self, result: bytes) -> Terminated:
        if self.terminated is None:
            self.terminated = result
        return Terminated(self.terminated)


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
        if len(slot) != _SLOT_SIZE or not 0 <= off < _MAX_STORAGE_OFFSET:
            raise invalid("a slot id has 32 bytes, and an offset is below 2**32")
        frame.storage_writes += 1
        write_storage(frame.storage, frame.journal, bytes(slot), off, bytes(data))

    def get_balance(address: bytes, /) -> int:
        if len(address) != _ADDRESS_SIZE:
            raise invalid("an address has 20 bytes")
        return machine.running().world.balance(bytes(address))

    def get_self_balance() -> int:
        frame = machine.running()
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
