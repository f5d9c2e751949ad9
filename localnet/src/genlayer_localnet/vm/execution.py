"""Runs calls: the right modules in place, the message set, the method dispatched, the result as bytes.

There is one ``VirtualMachine`` per process and choice of standard libraries, and one running contract at a time:
``LOCK`` is held by every public method of every localnet. Contracts of both lines run on it, each on its own library.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from decimal import DefaultContext, localcontext
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.interpreter import memory_limit
from genlayer_localnet.interpreter.console import Console, format_error, write_error
from genlayer_localnet.interpreter.contract_code import calls_contract_code, contract_files
from genlayer_localnet.interpreter.contract_time import ContractTime
from genlayer_localnet.interpreter.interrupts import is_interrupt
from genlayer_localnet.interpreter.kept import Kept
from genlayer_localnet.interpreter.time_limit import TimedOut, TimeLimit, contained
from genlayer_localnet.loading.contract_package import InvalidContract
from genlayer_localnet.loading.contract_source import ContractSource, LoadedContract, pickled_by_value
from genlayer_localnet.loading.guard import Suspended
from genlayer_localnet.loading.library import LoadedLibrary
from genlayer_localnet.loading.library_v02 import LibraryV02
from genlayer_localnet.loading.library_v03 import LibraryV03
from genlayer_localnet.loading.lines import Line
from genlayer_localnet.loading.standard_library import LIBRARY_V03, StandardLibrary
from genlayer_localnet.state.results import RETURN, TIMEOUT, USER_ERROR, VM_ERROR, Terminated
from genlayer_localnet.state.transactions import Outcome, OutcomeKind
from genlayer_localnet.vm import dispatch, dispatch_v03
from genlayer_localnet.vm.frame import Frame
from genlayer_localnet.vm.host import Machine, make_wasi
from genlayer_localnet.vm.host_requests import HostRequests
from genlayer_localnet.vm.requests_v03 import RequestsV03
from genlayer_localnet.vm.root import locked_slots, put_code
from genlayer_localnet.vm.sub_vms import SubVms, call_pickled

LOCK = threading.RLock()
_KINDS: dict[bytes, OutcomeKind] = {RETURN: "return", USER_ERROR: "user_error", VM_ERROR: "vm_error"}
_NOTHING = RETURN + calldata.encode(None)
_FAILED = VM_ERROR + b"exit_code 1"
_EMBEDDINGS = "genlayer_embeddings"
_NO_EMBEDDINGS = f"{_EMBEDDINGS} and its models are a part of the networks' runners that the localnet does not have"
_machines: dict[StandardLibrary, VirtualMachine] = {}


def virtual_machine(library: StandardLibrary) -> VirtualMachine:
    """The process's machine for a library; it is imported the first time."""
    with LOCK:
        machine = _machines.get(library)
        if machine is None:
            machine = _machines[library] = VirtualMachine(library)
        return machine


class VirtualMachine:
    """Loads and runs contracts. Used under ``LOCK``."""

    def __init__(self, library: StandardLibrary) -> None:
        self._machine = Machine()
        self._wasi = make_wasi(self._machine)
        self.library = LibraryV02(library, self._wasi)
        """Of the v0.2 line."""
        self._library_v03: LibraryV03 | None = None
        handlers: dict[Line, HostRequests] = {"v0.2": HostRequests(SubVms(self)), "v0.3": RequestsV03(SubVms(self))}
        self._machine.handle = lambda frame, request: handlers[frame.line].handle(frame, request)
        self._sources: dict[bytes, ContractSource] = {}
        self._files: set[str] = set()

    @property
    def is_running(self) -> bool:
        return self._machine.frame is not None

    def run(self, frame: Frame, now: datetime) -> Outcome:
        """Run the call of the frame's message as a transaction or a view of its own."""
        console = Console()
        waiting = self._machine.frame
        registry = None if waiting is None else self.library_of(waiting.line).registry
        known = registry and registry.__known_contract__
        self.library_of(frame.line)  # loaded before there is a limit to its time
        limit = TimeLimit(frame.attempt.time_limit_seconds)
        with ContractTime(now), console, limit, localcontext(DefaultContext):
            result = contained(lambda: self.run_call(frame))
        memory_limit.close_spare()
        if registry is not None:  # it ran beside a call that waits for the network
            registry.__known_contract__ = known
        if limit.expired:
            result = TIMEOUT
        succeeded = result[:1] == RETURN
        return Outcome(
            kind=_KINDS[result[:1]],
            result=result,
            stdout=console.stdout,
            stderr=console.stderr,
            events=frame.events if succeeded else [],
            messages=frame.messages if succeeded else [],
            storage_reads=frame.storage_reads,
            storage_writes=frame.storage_writes,
            eq_outputs=frame.attempt.eq_outputs,
            seen={account: frame.world.balance(account) for account in (frame.address, *frame.attempt.looked_at)},
            saw_final_state=frame.attempt.saw_final_state,
            has_data=frame.line == "v0.3",
        )

    def line_of(self, code: bytes, filename: str | None) -> Line:
        return self._source(code, filename).line

    def library_of(self, line: Line) -> LibraryV02 | LibraryV03:
        """The library of a line; that of the v0.3 line is imported the first time."""
        if line == "v0.2":
            return self.library
        if self._library_v03 is None:
            self._library_v03 = LibraryV03(LIBRARY_V03, self._wasi)
        return self._library_v03

    def run_call(self, frame: Frame) -> bytes:
        """Run the frame's call on its contract, with a module that no other running call uses."""
        account = frame.world.contracts[frame.address]
        source = self._source(account.code, account.filename)
        library = self.library_of(frame.line)
        if frame.line == "v0.3":
            self._open_storage(frame, account.code)
        outer = self._machine.frame
        suspended = self._suspend_changes_of(outer)
        contract: LoadedContract | None = None
        kept = Kept() if source.assignments.indirect else nullcontext()
        with nullcontext() if outer is not None and outer.line == frame.line else library.activated():
            self._enter(frame)
            displaced = sys.modules.get(source.module_name)
            try:
                # A module that does not import is a VM error like any other.
                with kept:
                    contract, result = self._load_and_run(frame, source, library)
                return result
            finally:
                if displaced is not None:
                    sys.modules[source.module_name] = displaced
                else:
                    sys.modules.pop(source.module_name, None)
                if contract is not None:
                    source.release(contract)
                library.restore(source.assignments)
                if suspended is not None:
                    suspended.resume()
                self._leave(outer)

    @staticmethod
    def _open_storage(frame: Frame, code: bytes) -> None:
        if frame.message["is_init"]:
            put_code(frame.storage, frame.journal, code)
        elif frame.permissions.write:
            frame.locked = locked_slots(frame.storage, frame.message["sender_address"])

    def _suspend_changes_of(self, outer: Frame | None) -> Suspended | None:
        """A called contract does not see what its caller did to the library."""
        if outer is None or outer.contract is None:
            return None
        return outer.contract.library.suspend(outer.contract.source.assignments)

    def run_pickled(self, frame: Frame, outer: Frame, data: bytes, arguments: tuple[Any, ...]) -> bytes:
        """Run a function that was sent to a VM of its own."""
        frame.contract = outer.contract
        self._enter(frame)
        # A new interpreter has no contract class yet: unpickling one must not count as a second.
        self.library_of(frame.line).registry.__known_contract__ = None
        try:
            return self._result(frame, lambda: call_pickled(data, arguments))
        finally:
            self._leave(outer)

    def _load_and_run(
        self, frame: Frame, source: ContractSource, library: LoadedLibrary
    ) -> tuple[LoadedContract | None, bytes]:
        loaded: list[LoadedContract] = []

        def body() -> Any:
            try:
                contract = source.acquire(library, frame.message)
            except Exception as error:
                if frame.line == "v0.3" and library.payload_of(error) is not None:
                    raise InvalidContract("exit_code 1", "a UserError ended the module's own code") from error
                raise
            loaded.append(contract)
            frame.contract = contract
            sys.modules[source.module_name] = contract.module
            pickled_by_value(contract)
            contract.bind_message()
            with contract.importable or nullcontext():
                return self._dispatch(frame, contract)

        result = self._result(frame, body)
        return (loaded[0] if loaded else None), result

    @calls_contract_code
    def _dispatch(self, frame: Frame, contract: LoadedContract) -> Any:
        contract_class, make_instance = contract.contract_class, contract.make_instance
        assert contract_class is not None
        assert make_instance is not None
        library, message = contract.library, frame.message
        call = library.decode(message["entry_data"])
        if isinstance(library, LibraryV03):
            if message["is_init"]:
                return dispatch_v03.call_constructor(library, contract_class, make_instance(), call)
            return dispatch_v03.call_method(library, contract_class, make_instance, call, message["value"])
        if message["is_init"]:
            return dispatch.call_constructor(library, contract_class, make_instance(), call)
        return dispatch.call_method(library, contract_class, make_instance, call, message["value"])

    @calls_contract_code
    def _result(self, frame: Frame, body: Callable[[], Any]) -> bytes:
        """Run ``body`` and put what came of it into a result: a code byte and its payload."""
        try:
            result = RETURN + self.library_of(frame.line).encode(body())
        except BaseException as error:  # also what no contract should raise: the call fails, not the localnet
            if is_interrupt(error):
                raise
            if isinstance(error, MemoryError):
                memory_limit.open_spare()
            try:
                result = self._result_of_error(self.library_of(frame.line), error)
            except Terminated as end:  # the error's own text did not come to an end
                result = end.result
            except BaseException:  # nor can the contract's error be asked what it is
                result = _FAILED
        return frame.terminated if frame.terminated is not None else result

    @calls_contract_code
    def _result_of_error(self, library: LoadedLibrary, error: BaseException) -> bytes:
        if isinstance(error, TimedOut):
            error.__context__ = None  # it may have been caught many times
            write_error(format_error(error, contract_files))
        if isinstance(error, Terminated):
            return error.result
        if isinstance(error, SystemExit):
            return self._result_of_exit(error)
        if isinstance(error, InvalidContract):
            write_error(f"{error}\n")
            return VM_ERROR + error.message.encode("utf-8")
        if isinstance(error, ModuleNotFoundError) and error.name == _EMBEDDINGS:
            error.msg = _NO_EMBEDDINGS
        write_error(format_error(error, contract_files))
        payload = library.payload_of(error)
        return _FAILED if payload is None else USER_ERROR + payload

    @calls_contract_code
    def _result_of_exit(self, error: SystemExit) -> bytes:
        code = error.code
        if code is None or code == 0:
            return _NOTHING
        if not isinstance(code, int):
            write_error(f"{code}\n")
            code = 1
        return VM_ERROR + f"exit_code {code}".encode()

    def _enter(self, frame: Frame) -> None:
        self._machine.frame = frame
        self.library_of(frame.line).set_message(frame.message)

    def _leave(self, outer: Frame | None) -> None:
        self._machine.frame = outer
        if outer is not None:
            self.library_of(outer.line).set_message(outer.message)
            if outer.contract is not None:
                outer.contract.bind_message()

    def _source(self, code: bytes, filename: str | None) -> ContractSource:
        source = self._sources.get(code)
        if source is None:
            if filename is not None and filename in self._files:
                filename = f"{filename} (version {len(self._files) + 1})"
            source = self._sources[code] = ContractSource(code, filename)
            self._files.add(source.filename)
        return source


def is_running() -> bool:
    """Whether a contract runs in this process (then this thread is inside one of its handlers)."""
    return any(machine.is_running for machine in _machines.values())
