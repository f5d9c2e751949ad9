"""Imports of genlayer_localnet point down its rooms, and never in a circle: also in functions and for types only."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import genlayer_localnet

PACKAGE = Path(genlayer_localnet.__file__).parent
NAME = PACKAGE.name
# From the bottom to the top: a room may import itself and those before it. Files of the package itself by their name.
ROOMS = (
    *("errors", "address", "calldata", "arguments"),
    *("nondet", "state", "interpreter", "loading", "vm", "chain"),
    *("localnet", "__init__", "rpc", "cli", "__main__", "testing"),
)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "std")


def module_of(path: Path) -> str:
    """The dotted name; a package is its ``__init__``."""
    return ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts))


MODULES = frozenset(map(module_of, FILES))


def room_of(module: str) -> str:
    return module.split(".")[1]


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not (node.level and "std" in path.parts):
            assert node.level == 0, f"{path} line {node.lineno}: relative imports hide the direction"
            names.update(_module(node.module or "", alias.name) for alias in node.names)
    return {name for name in names if name.split(".")[0] == NAME}


def _module(package: str, name: str) -> str:
    """What ``from package import name`` is about: a module, or a package where the name is something in it."""
    candidates = (f"{package}.{name}", f"{package}.{name}.__init__", package, f"{package}.__init__")
    return next((each for each in candidates if each in MODULES), package)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports__of_a_file__point_down_the_rooms(path: Path) -> None:
    own = room_of(module_of(path))
    allowed = ROOMS[: ROOMS.index(own) + 1]
    assert {module for module in imported(path) if room_of(module) not in allowed} == set()


def test_modules__of_the_package__import_each_other_in_no_circle() -> None:
    # Raises CycleError, with the modules of the circle.
    assert set(TopologicalSorter({module_of(path): imported(path) for path in FILES}).static_order()) == MODULES


@pytest.mark.parametrize("path", sorted((PACKAGE / "std").rglob("*.py")), ids=lambda path: path.stem)
def test_imports__of_the_standard_library__are_the_codec_and_addresses(path: Path) -> None:
    assert {room_of(module) for module in imported(path)} <= {"address", "calldata"}
