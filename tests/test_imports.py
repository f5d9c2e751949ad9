"""Which package may import which. docs and architecture say it; this holds the sources to it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"

# Each room of api_billing with the rooms it may use besides itself. What is not named belongs to the room in brackets.
ROOMS: dict[str, frozenset[str]] = {
    "contract_api": frozenset(),
    "client": frozenset({"contract_api"}),
    "metering": frozenset({"client", "contract_api"}),
    "demo": frozenset({"contract_api", "metering", "client", "genlayer_localnet"}),
    "testing": frozenset({"contract_api", "client", "genlayer_localnet"}),
    "cli": frozenset({"metering", "client", "contract_api", "demo", "genlayer_localnet"}),
}
MODULES_OF: dict[str, frozenset[str]] = {
    "contract_api": frozenset(
        {"__init__", "__version__", "contract_api", "refusal_codes", "amounts", "merkle", "contract_source"}
    ),
    "client": frozenset(
        {
            "client",
            "connection",
            "deployment",
            "errors",
            "keys",
            "networks",
            "results",
            "signers",
            "transactions",
            "transport",
            "unlocked",
        }
    ),
}
FILES = sorted(SOURCES.glob("api_billing/**/*.py"))
LOCALNET_FILES = sorted((ROOT / "localnet" / "src").rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a dotted name within api_billing, of genlayer_localnet, or nothing for other packages."""
    parts = module.split(".")
    if parts[0] != "api_billing":
        return parts[0] if parts[0] == "genlayer_localnet" else ""
    name = parts[1] if len(parts) > 1 else "__init__"
    return next((room for room, modules in MODULES_OF.items() if name in modules), name)


def imported(path: Path) -> set[str]:
    """Dotted names of the modules a file imports, also those within functions and for types only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} line {node.lineno}: relative imports hide the direction"
            module = node.module or ""
            names.update(f"{module}.{alias.name}" if module == "api_billing" else module for alias in node.names)
    return names


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports__of_api_billing__point_one_way(path: Path) -> None:
    room = room_of(module_of(path))
    assert room in ROOMS, f"{path} belongs to no room: name it in tests/test_imports.py"
    used = {room_of(name) for name in imported(path)} - {"", room}
    assert used <= ROOMS[room], f"{room} must not import {used - ROOMS[room]}"


def test_imports__of_genlayer_localnet__know_nothing_of_billing() -> None:
    assert LOCALNET_FILES
    assert [path for path in LOCALNET_FILES if "api_billing" in path.read_text(encoding="utf-8")] == []


def test_rooms__allowed_directions__have_no_circle() -> None:
    seen: list[str] = []
    while len(seen) < len(ROOMS):
        free = [room for room in ROOMS if room not in seen and ROOMS[room] - {"genlayer_localnet"} <= set(seen)]
        assert free, f"a circle among {set(ROOMS) - set(seen)}"
        seen += free
