"""genlayer-test's direct mode, and genvm-linter, on the fallback standard libraries.

Both download the official library when they do not have it. Here they get this package's own instead: direct mode up to
0.29 that of the v0.2 line, later that of the v0.3 line, since each knows one line only.

- ``install_direct_fallback`` makes the fixtures ``direct_vm`` and ``direct_deploy`` load it;
- ``fallback_genvmroot`` gives a folder for the variable ``GENVMROOT`` of ``genvm-lint validate`` and ``schema``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from genlayer_localnet.loading.lines import Line, line_of
from genlayer_localnet.loading.standard_library import FALLBACK_ROOT, FALLBACK_ROOT_V03

__all__ = ("DirectModeMismatch", "fallback_genvmroot", "install_direct_fallback", "uninstall_direct_fallback")

_PACKAGE: Final = "genlayer"
_OWN: Final = (f"{_PACKAGE}.", "genlayer_localnet.std.")
# Any: the functions of gltest that are wrapped have no types worth repeating.


class DirectModeMismatch(RuntimeError):
    """The installed genlayer-test has not the functions that have to be wrapped, or runs the other line only."""


class _Installation:
    """The two wrapped functions of gltest, and the modules of the test that runs.

    Loading happens through ``sdk_loader.setup_sdk_paths``, which gltest looks up at each deployment. Its own clean-up
    evicts only what lies in its cache, so the clean-up of the VM is wrapped as well. Not thread-safe, as is gltest.
    """

    def __init__(self, *, force: bool) -> None:
        self._force = force
        self._loader: Any = importlib.import_module("gltest.direct.sdk_loader")
        self._wasi: Any = importlib.import_module("gltest.direct.wasi_mock")
        self._vm_class: Any = importlib.import_module("gltest.direct.vm").VMContext
        try:
            self._setup: Callable[..., list[Path]] = self._loader.setup_sdk_paths
            self._clean_up: Callable[[Any], None] = self._vm_class._cleanup_after_deactivate
            self._cached: Callable[[], list[str]] = self._loader.list_cached_versions
            self._get_vm: Callable[[], Any] = self._wasi.get_vm
        except AttributeError as error:
            raise DirectModeMismatch(f"this genlayer-test's direct mode is not known here: {error}") from error
        # It came with the library's new layout.
        is_newer = importlib.util.find_spec("gltest.direct.sdk_compat") is not None
        self._line: Line = "v0.3" if is_newer else "v0.2"
        self._root = FALLBACK_ROOT_V03 if is_newer else FALLBACK_ROOT
        self._registry = "genlayer.contract" if is_newer else "genlayer.gl.genvm_contracts"
        self._owner: Any = None
        self._displaced: dict[str, ModuleType] = {}

    def install(self) -> None:
        def setup_sdk_paths(contract_path: Path | None = None, version: str | None = None) -> list[Path]:
            return self._set_up_or_pass(contract_path, version)

        def clean_up(vm: Any) -> None:
            try:
                self._clean_up(vm)
            finally:
                self.release(vm)

        self._loader.setup_sdk_paths = setup_sdk_paths
        self._vm_class._cleanup_after_deactivate = clean_up

    def uninstall(self) -> None:
        self._loader.setup_sdk_paths = self._setup
        self._vm_class._cleanup_after_deactivate = self._clean_up
        if self._owner is not None:
            self.release(self._owner)

    def _set_up_or_pass(self, contract_path: Path | None, version: str | None) -> list[Path]:
        if not self._force and _wants_official(bool(self._cached())):
            return self._setup(contract_path, version)
        if contract_path is not None and line_of(contract_path.read_bytes()) != self._line:
            raise DirectModeMismatch(
                f"{contract_path} is not of the {self._line} line, and this genlayer-test's direct mode runs no other"
            )
        vm = self._get_vm()
        _restore_stdin(vm)
        if self._owner is not vm:
            if self._owner is not None:
                self.release(self._owner)
            # What is there belongs to somebody else (the localnet, say), who gets it back.
            self._displaced = {name: sys.modules.pop(name) for name in _library_modules()}
            self._owner = vm
        contracts = sys.modules.get(self._registry)
        if contracts is not None:
            # Several contracts can be deployed in one test.
            contracts.__known_contract__ = None  # type: ignore[attr-defined]
        if str(self._root) in sys.path:
            return []
        sys.path.insert(0, str(self._root))
        return [self._root]

    def release(self, vm: Any) -> None:
        """Take the library of this VM's test out of the process, so that the next test reads its own message."""
        if vm is not self._owner:
            return
        self._owner = None
        for name in _library_modules():
            del sys.modules[name]
        with contextlib.suppress(ValueError):
            sys.path.remove(str(self._root))
        sys.modules.update(self._displaced)
        self._displaced = {}


_installation: _Installation | None = None


def install_direct_fallback(*, force: bool = False) -> None:
    """Let genlayer-test's direct mode run on the fallback library where it does not have the official one.

    Whether it does is asked at each deployment: ``GENLAYER_STD`` decides between ``official`` and ``fallback``, else
    gltest's cache does; ``force`` means the fallback always. Installing again replaces what was installed.

    Raises:
        ImportError: when genlayer-test is not installed.
        DirectModeMismatch: when it is a version whose direct mode is built differently.
    """
    global _installation
    uninstall_direct_fallback()
    installation = _Installation(force=force)
    installation.install()
    _installation = installation


def uninstall_direct_fallback() -> None:
    """Undo ``install_direct_fallback``; nothing happens when it is not in force."""
    global _installation
    if _installation is not None:
        _installation.uninstall()
        _installation = None


def _wants_official(is_cached: bool) -> bool:
    return {"official": True, "fallback": False}.get(os.environ.get("GENLAYER_STD", ""), is_cached)


def _library_modules() -> list[str]:
    return [name for name in sys.modules if name == _PACKAGE or name.startswith(_OWN)]


def _restore_stdin(vm: Any) -> None:
    """Undo the redirection of an earlier deployment in the same test; gltest remembers only the last one."""
    before = getattr(vm, "_original_stdin_fd", None)
    if before is not None:
        os.dup2(before, 0)
        os.close(before)
        vm._original_stdin_fd = None


def fallback_genvmroot(folder: Path | None = None) -> Path:
    """A folder to set ``GENVMROOT`` to: ``runners/genlayer-py-std/src`` in it is the fallback library.

    It is made when it is not there, in ``folder`` or else in the user's cache, as a symbolic link to this package.
    ``genlayer_localnet`` must be importable for whoever uses it.

    Raises:
        FileExistsError: when something else is at its place.
    """
    root = _default_folder() if folder is None else folder.resolve()
    link = root / "runners" / "genlayer-py-std" / "src"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        if link.resolve() == FALLBACK_ROOT:
            return root
        link.unlink(missing_ok=True)
    # Another process may be doing the same: a link of a name of its own is put in place at once.
    fresh = Path(tempfile.mkdtemp(dir=link.parent)) / "src"
    fresh.symlink_to(FALLBACK_ROOT, target_is_directory=True)
    try:
        if link.exists():
            raise FileExistsError(f"not made by this function: {link}")
        fresh.replace(link)
    finally:
        fresh.unlink(missing_ok=True)
        fresh.parent.rmdir()
    return root


def _default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "genlayer-localnet" / "genvmroot"
