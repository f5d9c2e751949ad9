"""Contracts of several files: an uncompressed ZIP with ``runner.json`` and the package ``contract``.

The package is imported from memory, under the name it has on the network, and is in ``sys.modules`` only while a
contract of it is loaded or runs. Files that are no Python source are left alone: contracts cannot read them here.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import io
import json
import sys
import zipfile
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

import cloudpickle

from genlayer_localnet.interpreter.console import register_source
from genlayer_localnet.interpreter.contract_code import calls_contract_code

PACKAGE: Final = "contract"
_RUNNER: Final = "runner.json"
_SIGNATURE: Final = b"PK\x03\x04"
_EMPTY_SIGNATURE: Final = b"PK\x05\x06"


class InvalidContract(Exception):
    """GenVM would not start this contract: the message is its VM error."""

    def __init__(self, message: str, explanation: str) -> None:
        self.message = message
        super().__init__(explanation)


def is_package(code: bytes) -> bool:
    """Whether the bytes of a contract are a ZIP."""
    return code.startswith((_SIGNATURE, _EMPTY_SIGNATURE))


def check_runner(runner: Any) -> None:
    """Raises: InvalidContract, where the runner is not Python's."""
    if "py-genlayer" not in json.dumps(runner):
        raise InvalidContract("invalid_contract unknown_runner", "only the runner py-genlayer can be run here")


class ContractPackage:
    """The modules of a ZIP. ``name`` stands before the names of its files in tracebacks."""

    def __init__(self, code: bytes, name: str) -> None:
        """Raises: InvalidContract."""
        files = _files_of(code)
        if _RUNNER not in files:
            raise InvalidContract("invalid_contract absent_runner_json", "the ZIP has no runner.json at its root")
        try:
            check_runner(json.loads(files[_RUNNER].decode("utf-8")))
        except ValueError as error:
            raise InvalidContract(
                "invalid_contract malformed_runner_json", f"runner.json is not JSON: {error}"
            ) from None
        self.filenames: dict[str, str] = {}
        """File names by module."""
        self._sources: dict[str, bytes] = {}
        self._packages: set[str] = set()
        for path, content in files.items():
            module = _module_of(path)
            if module is not None:
                self._sources[module] = content
                self.filenames[module] = f"{name}/{path}"
                if path.endswith("/__init__.py"):
                    self._packages.add(module)
        if PACKAGE not in self._packages:
            raise InvalidContract("invalid_contract absent_contract", "the ZIP has no contract/__init__.py")

    def has(self, module: str) -> bool:
        return module in self._sources or self.is_package(module)

    def is_package(self, module: str) -> bool:
        """Whether it has modules in it; a folder without ``__init__.py`` has them too."""
        return module in self._packages or any(name.startswith(f"{module}.") for name in self._sources)

    def compiled(self, module: str) -> Any:
        """Raises: InvalidContract, SyntaxError."""
        filename = self.filenames.get(module, f"{module}/")
        try:
            text = self._sources.get(module, b"").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidContract("invalid_contract non_utf8", f"{filename}: {error}") from None
        register_source(filename, text)
        return compile(text, filename, "exec", dont_inherit=True)


class Importable(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Context manager: the package can be imported, and is itself ``main``; what has its names elsewhere is hidden.

    Modules that are imported stay known to this object, for the next time.
    """

    def __init__(self, package: ContractPackage, main: ModuleType) -> None:
        self._package = package
        self._modules: dict[str, ModuleType] = {PACKAGE: main}
        main.__path__ = [PACKAGE]
        main.__package__ = PACKAGE
        main.__spec__ = self._spec(PACKAGE)

    def __enter__(self) -> None:
        self._displaced = _taken_out()
        self._was_by_value = PACKAGE in cloudpickle.list_registry_pickle_by_value()
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        cloudpickle.register_pickle_by_value(self._modules[PACKAGE])

    def __exit__(self, *_: object) -> None:
        if not self._was_by_value:
            cloudpickle.unregister_pickle_by_value(self._modules[PACKAGE])
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._modules = _taken_out()
        sys.modules.update(self._displaced)

    def _spec(self, name: str) -> importlib.machinery.ModuleSpec:
        is_package = self._package.is_package(name)
        spec = importlib.machinery.ModuleSpec(
            name, self, origin=self._package.filenames.get(name), is_package=is_package
        )
        spec.has_location = name in self._package.filenames
        return spec

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        is_own = fullname.split(".")[0] == PACKAGE and self._package.has(fullname)
        return self._spec(fullname) if is_own else None

    @calls_contract_code
    def exec_module(self, module: ModuleType) -> None:
        exec(self._package.compiled(module.__name__), module.__dict__)


def _taken_out() -> dict[str, ModuleType]:
    """The modules of the name ``contract``, which are no longer there."""
    names = [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]
    return {name: sys.modules.pop(name) for name in names}


def _files_of(code: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise InvalidContract(
                        "invalid_contract compressed_zip", f"{entry.filename} is compressed: a contract's ZIP is stored"
                    )
            if sum(entry.file_size for entry in entries) > len(code):
                raise InvalidContract("invalid_contract malformed_zip", "files of the ZIP lie over each other")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InvalidContract("invalid_contract malformed_zip", f"not a ZIP that can be read: {error}") from None


def _module_of(path: str) -> str | None:
    """The name of the module in a file of the ZIP, None where it is none."""
    if not path.startswith(f"{PACKAGE}/") or not path.endswith(".py"):
        return None
    parts = path.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None
