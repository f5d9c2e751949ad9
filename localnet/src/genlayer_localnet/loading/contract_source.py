"""Contract source: its runner comment, its module, and one instance of the module for every call that is under way."""

from __future__ import annotations

import ast
import codecs
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import cloudpickle

from genlayer_localnet.address import Address, keccak256
from genlayer_localnet.interpreter.console import register_source
from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.loading.assignments import ANYTHING, Assignments, assignments_in
from genlayer_localnet.loading.contract_package import (
    PACKAGE,
    ContractPackage,
    Importable,
    InvalidContract,
    check_runner,
    is_package,
)
from genlayer_localnet.loading.guard import StateGuard
from genlayer_localnet.loading.imports import ImportedNames
from genlayer_localnet.loading.library import LoadedLibrary
from genlayer_localnet.loading.lines import Line, line_of
from genlayer_localnet.loading.load_probe import probe_of
from genlayer_localnet.loading.reachable import Reachable

_VERSION_LINE = re.compile(r"#\s*v\d+\.\d+\.\d+\s*$")


_NO_COMMENT: dict[Line, str] = {"v0.2": "absent_runner_comment", "v0.3": "runner absent"}
_BAD_COMMENT: dict[Line, str] = {"v0.2": "absent_runner_comment", "v0.3": "runner malformed"}


def check_runner_comment(source: str, line: Line) -> None:
    """Check the first lines: an optional version line, then a JSON comment that names the runner.

    Raises: InvalidContract.
    """
    if source.startswith("\ufeff"):
        raise _invalid(
            _NO_COMMENT[line], "the source starts with a byte order mark (BOM): save it as UTF-8 without one"
        )
    # As GenVM does: at LF, with or without a CR before it, and at nothing else that Python takes for the end of a line.
    lines = [text.removesuffix("\r") for text in itertools.takewhile(lambda text: text[:1] == "#", source.split("\n"))]
    if any("\r" in text for text in lines):
        raise _invalid(
            _NO_COMMENT[line],
            "the lines of the source end in CR alone, which GenVM does not take for the end of a line",
        )
    if lines and (_VERSION_LINE.match(lines[0]) if line == "v0.2" else lines[0][1:].strip().startswith("v")):
        lines.pop(0)
    text = "\n".join(each[1:] for each in lines).strip()
    if not text:
        raise _invalid(
            _NO_COMMENT[line], 'the source must start with a comment such as # { "Depends": "py-genlayer:<hash>" }'
        )
    try:
        runner, end = json.JSONDecoder().raw_decode(text)
    except ValueError as error:
        raise _invalid(
            _BAD_COMMENT[line],
            f"the comment at the top is not JSON ({error}); an empty line must follow the runner comment",
        ) from None
    if text[end:].strip():
        raise _invalid(
            _BAD_COMMENT[line],
            f"the comment {text[end:].split()[0]!r}… directly behind the runner comment is read as a part of it, and "
            "networks answer `runner malformed`: an empty line must come between them",
        )
    check_runner(runner)


def _invalid(kind: str, explanation: str) -> InvalidContract:
    return InvalidContract(f"invalid_contract {kind}", explanation)


class LoadedContract:
    """One instance of a contract's module, ready to be called."""

    def __init__(self, source: ContractSource, library: LoadedLibrary) -> None:
        self.source = source
        self.library = library
        self.module = ModuleType(source.module_name)
        self.module.__file__ = source.filename
        self._message_names: list[str] = []
        self._event_names: dict[bytes, str | None] = {}
        self._probe = probe_of(library)
        self.contract_class: type | None = None
        self.make_instance: Callable[[], Any] | None = None
        self.importable: Importable | None = None
        """Of a contract of several files: what makes its package importable while it runs."""
        self._guard: StateGuard | None = None
        self._imported: ImportedNames | None = None

    @property
    def reusable(self) -> bool:
        return self._guard is not None and self._guard.restorable

    @property
    def why_not_reusable(self) -> str | None:
        """What in the module cannot be put back after a call, so that it is executed anew each time."""
        return self._guard.opaque if self._guard is not None else "its body depends on the call"

    @calls_contract_code
    def execute(self) -> None:
        """Run the module's code; raises whatever it raises."""
        library, module = self.library, self.module
        library.registry.__known_contract__ = None
        code = self.source.code()
        package = self.source.package
        if package is not None:
            self.importable = Importable(package, module)
        with self._probe as probe, self.importable or nullcontext():
            exec(code, module.__dict__)
        contract_class = library.registry.__known_contract__
        if contract_class is None:
            base = "gl.Contract" if library.line == "v0.2" else "gl.contract.Contract"
            raise InvalidContract("exit_code 1", f"the module defines no subclass of {base}")
        self.contract_class = contract_class
        self.make_instance = library.storage_of(contract_class)
        self._message_names = [name for name, value in module.__dict__.items() if value is probe.message]
        for name, value in list(module.__dict__.items()):
            if value is probe.raw:
                module.__dict__[name] = library.message_raw

    def record(self) -> None:
        """Record the module's state, so that it can be put back after each run.

        Not for a module whose body depends on the call, or changes the standard library: it has to run every time.
        """
        self._imported = ImportedNames(self.module, self.source.assignments)
        if self.importable is not None:  # what its other modules hold is not looked through
            return
        if self._probe.reads_call or self.library.is_touched(self.source.assignments):
            return
        name = self.source.module_name
        ignored = (self.library.message_raw, self._probe.message)
        reachable = Reachable(
            lambda owner: owner == name,
            ignored,
            (Address, self.library.address),
        )
        self._guard = StateGuard(reachable.walk([self.module.__dict__]), self.source.assignments)

    def bind_message(self) -> None:
        """Names that the module bound to ``gl.message`` when it was loaded get the message of now."""
        self.library.registry.__known_contract__ = self.contract_class
        for name in self._message_names:
            self.module.__dict__[name] = self.library.message

    def restore(self) -> None:
        for name in self._message_names:
            self.module.__dict__[name] = self._probe.message
        if self._imported is not None:
            self._imported.restore()
        if self._guard is not None and self._guard.restorable:
            self._guard.restore()

    @calls_contract_code
    def event_name(self, topics: tuple[bytes, ...], fields: list[str]) -> str | None:
        """The name of the event class whose signature gives the first topic.

        A signature is ``Name(indexed,fields)`` with the fields sorted, so that it is found by trying the few there
        can be.
        """
        key = topics[0] if topics else b""
        if key not in self._event_names:
            names = {getattr(kind, "name", None) for kind in self._event_classes()} | {
                kind.__name__ for kind in self._event_classes()
            }
            indexed = [",".join(chosen) for chosen in itertools.combinations(sorted(fields), max(len(topics) - 1, 0))]
            self._event_names[key] = next(
                (
                    name
                    for name in sorted(name for name in names if isinstance(name, str))
                    if any(keccak256(f"{name}({fields_text})".encode()) == key for fields_text in indexed)
                ),
                None,
            )
        return self._event_names[key]

    def _event_classes(self) -> list[type]:
        base = self.library.event
        found: list[type] = []
        waiting: list[type] = [base]
        while waiting:
            kind = waiting.pop()
            waiting += kind.__subclasses__()
            if kind.__module__ == self.source.module_name:
                found.append(kind)
        return found


class ContractSource:
    """One distinct source text. Not thread-safe: used under the localnet's lock."""

    def __init__(self, code: bytes, filename: str | None) -> None:
        digest = hashlib.sha256(code).hexdigest()
        self.raw = code
        self.line = line_of(code)
        self.module_name = PACKAGE if is_package(code) else f"genlayer_contract_{digest[:16]}"
        self.filename = filename or f"<contract {digest[:16]}>"
        self.package: ContractPackage | None = None
        """The files of a contract of several; None until it is compiled."""
        self.assignments: Assignments = ANYTHING
        self._code: Any = None
        self._idle: list[LoadedContract] = []

    def code(self) -> Any:
        """The compiled module. Raises: InvalidContract, SyntaxError."""
        if self._code is None:
            if is_package(self.raw):
                self.package = ContractPackage(self.raw, self.filename)
                self._code = self.package.compiled(PACKAGE)
                return self._code
            try:
                text = self.raw.decode("utf-8")
            except UnicodeDecodeError as error:
                is_utf_16 = self.raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
                hint = "; it starts with a byte order mark of UTF-16: save it as UTF-8" if is_utf_16 else ""
                kind = "non_utf8" if self.line == "v0.2" else "not_utf8_text"
                raise InvalidContract(f"invalid_contract {kind}", f"{error}{hint}") from None
            check_runner_comment(text, self.line)
            register_source(self.filename, text)
            tree = ast.parse(text, self.filename)
            self.assignments = assignments_in(tree)
            self._code = compile(tree, self.filename, "exec", dont_inherit=True)
        return self._code

    def acquire(self, library: LoadedLibrary, message: dict[str, Any]) -> LoadedContract:
        """A module instance nobody else uses: a second one for a contract that is called while it runs.

        Must be given back with ``release``. Raises whatever the module raises.
        """
        if self._idle:
            return self._idle.pop()
        contract = LoadedContract(self, library)
        contract_module = contract.module
        previous = sys.modules.get(self.module_name)
        sys.modules[self.module_name] = contract_module
        try:
            contract.execute()
            contract.record()
            library.set_message(message)  # loading the module has moved it
        finally:
            if previous is not None:
                sys.modules[self.module_name] = previous
            else:
                del sys.modules[self.module_name]
        return contract

    def release(self, contract: LoadedContract) -> None:
        """Put its state back and keep it for the next call."""
        contract.restore()
        if contract.reusable:
            self._idle.append(contract)


def pickled_by_value(contract: LoadedContract) -> None:
    """Functions of the contract cross to nondeterministic blocks with their code, as the network's do."""
    if contract.importable is None:  # else while it is importable only: its name is not its own
        cloudpickle.register_pickle_by_value(contract.module)
