"""Which room may import which. ``docs/architecture.md`` says it; this holds the sources to it.

Rooms stand in their order: a file imports from its own room and from those above it, never from one below, also not
within a function or for types only. And no two files import each other in a circle.
"""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "localnet" / "src", ROOT / "src")
DEMO = ROOT / "demo"  # not installed: it stands below all that is

# A name stands for a module or a whole package; the longest that fits is a file's room.
ORDER = """
genlayer_localnet.printing
genlayer_localnet.errors genlayer_localnet.address genlayer_localnet.calldata genlayer_localnet.arguments
genlayer_localnet.abi
genlayer_localnet.nondet
genlayer_localnet.state
genlayer_localnet.interpreter
genlayer_localnet.loading
genlayer_localnet.vm
genlayer_localnet.chain
genlayer_localnet.localnet
genlayer_localnet
genlayer_localnet.rpc
genlayer_localnet.cli genlayer_localnet.__main__
genlayer_localnet.testing
api_billing api_billing.showing api_billing.refusal_codes api_billing.amounts api_billing.merkle
api_billing.contract_api
api_billing.errors api_billing.extras api_billing.networks
api_billing.contract_minify api_billing.contract_editions api_billing.contract_source
api_billing.vouchers api_billing.keys api_billing.unlocked api_billing.transport api_billing.fees
api_billing.payments
api_billing.genlayer_sdk api_billing.fee_profile api_billing.transactions api_billing.sending
api_billing.fee_desk
api_billing.answers api_billing.results api_billing.court_results api_billing.connection
api_billing.signers api_billing.contract_client api_billing.client api_billing.court_client api_billing.deployment
api_billing.payer
api_billing.metering.errors api_billing.metering.clock api_billing.metering.forks api_billing.metering.seldom
api_billing.metering.texts api_billing.metering.https api_billing.metering.addresses
api_billing.metering.limits
api_billing.metering.ledger
api_billing.metering.stores
api_billing.metering.observing
api_billing.metering.alerts
api_billing.metering.settings
api_billing.metering.request
api_billing.metering.identity
api_billing.metering.settlement
api_billing.metering.key_administration
api_billing.metering.administration
api_billing.metering.statements api_billing.metering.meter
api_billing.metering
api_billing.metering.web
api_billing.metering.service
api_billing.testing
api_billing.cli
demo
"""
PLACE = {room: place for place, line in enumerate(ORDER.split("\n")) for room in line.split()}
# These alone run a network within the process.
WITH_A_LOCALNET = {"api_billing.testing", "api_billing.cli", "demo"}


def module_of(path: Path, sources: Path) -> str:
    return ".".join(path.relative_to(sources).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(path, sources): path
    for sources, folder in (*((each, each) for each in SOURCES), (ROOT, DEMO))
    for path in sorted(folder.rglob("*.py"))
    if "std" not in path.parts
}


def room_of(module: str) -> str:
    while module and module not in PLACE:
        module = module.rpartition(".")[0]
    return module


@cache
def imported(module: str) -> frozenset[str]:
    """Modules of ours that a module imports, also those within functions and for types only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} line {node.lineno}: relative imports hide the direction"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in FILES else node.module or "")
    return frozenset(name for name in names if name in FILES)


@pytest.mark.parametrize("module", FILES)
def test_imports__of_a_file__point_to_its_own_room_or_above(module: str) -> None:
    place = PLACE[room_of(module)]
    below = {name for name in imported(module) if PLACE[room_of(name)] > place}
    assert not below, f"{module} is in {room_of(module)}, which stands above {sorted(map(room_of, below))}"


def test_imports__of_all_files__have_no_circle() -> None:
    # Raises CycleError, with the modules of the circle.
    assert set(TopologicalSorter({module: imported(module) for module in FILES}).static_order()) == set(FILES)


@pytest.mark.parametrize("module", [module for module in FILES if not module.startswith("genlayer_localnet")])
def test_imports__of_a_localnet__stand_where_one_is_run(module: str) -> None:
    uses = any(name.startswith("genlayer_localnet") for name in imported(module))
    assert not uses or room_of(module) in WITH_A_LOCALNET


@pytest.mark.parametrize("path", sorted((ROOT / "localnet").rglob("std/**/*.py")), ids=lambda path: path.stem)
def test_imports__of_the_standard_libraries__are_the_codec_addresses_and_what_they_share(path: Path) -> None:
    names = {
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    ours = {name for name in names if name and name.startswith("genlayer_localnet")}
    if "shared" not in path.parts:
        ours = {name for name in ours if not name.startswith("genlayer_localnet.std.shared")}
    assert ours <= {"genlayer_localnet", "genlayer_localnet.address", "genlayer_localnet.calldata"}


def test_rooms__of_the_order__exist() -> None:
    for room in PLACE:
        assert any(name == room or name.startswith(f"{room}.") for name in FILES), f"there is no {room}"
