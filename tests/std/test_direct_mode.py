"""genlayer-test's own fixtures, and genvm-linter, on the fallback library of the line that this genlayer-test runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.testing.direct import (
    DirectModeMismatch,
    fallback_genvmroot,
    install_direct_fallback,
    uninstall_direct_fallback,
)

sdk_loader = pytest.importorskip("gltest.direct.sdk_loader", reason="genlayer-test is not installed")

SOURCES = Path(calldata.__file__).parents[1]
SHARED = Path(__file__).parents[3] / "shared"
V02_CONTRACTS = Path(os.environ.get("CONFORMANCE_DIR") or SHARED / "conformance") / "contracts"
V03_CONTRACTS = Path(os.environ.get("CONFORMANCE_V03_DIR") or SHARED / "conformance-v03") / "contracts"
IS_NEWER = importlib.util.find_spec("gltest.direct.sdk_compat") is not None
"""From 0.30 on genlayer-test runs contracts of the v0.3 line, and no others."""
CONFORMANCE = V03_CONTRACTS if IS_NEWER else V02_CONTRACTS
MESSAGE_MODULE = "genlayer.message" if IS_NEWER else "genlayer.gl"
needs_conformance = pytest.mark.skipif(not CONFORMANCE.is_dir(), reason=f"no conformance contracts in {CONFORMANCE}")
V02 = """# v0.2.16
# { "Depends": "py-genlayer:test" }

from genlayer import *
from dataclasses import dataclass

@allow_storage
@dataclass
class Entry[T]:
    amount: T

class Ledger(gl.Contract):
    owner: Address
    entries: TreeMap[Address, Entry[u64]]

    def __init__(self, start: int = 0):
        self.owner = gl.message.sender_address
        self.entries[self.owner] = Entry(u64(start))

    @gl.public.write
    def add(self, amount: int) -> int:
        entry = self.entries.get_or_insert_default(gl.message.sender_address)
        entry.amount = u64(entry.amount + amount)
        if amount == 0:
            raise gl.vm.UserError("nothing to add")
        return entry.amount

    @gl.public.view
    def now(self) -> str:
        import datetime
        return datetime.datetime.now(datetime.timezone.utc).isoformat()

    @gl.public.write
    def fetch(self, url: str) -> str:
        return gl.eq_principle.strict_eq(lambda: gl.nondet.web.get(url).body.decode())

    @gl.public.write
    def ask(self) -> str:
        return gl.vm.run_nondet(
            lambda: gl.nondet.exec_prompt("who?", response_format="json")["name"],
            lambda leaders: leaders == gl.vm.Return("me"),
        )

    @gl.public.view
    def peer(self, other: Address) -> object:
        return gl.get_contract_at(other).view().get()
"""
V03 = """# v0.3.0
# { "Depends": "py-genlayer:test" }

import genlayer as gl
from genlayer.types import *
from dataclasses import dataclass

@gl.storage.allow
@dataclass
class Entry[T]:
    amount: T

class Ledger(gl.contract.Contract):
    owner: Address
    entries: gl.storage.TreeMap[Address, Entry[u64]]

    def __init__(self, start: int = 0):
        self.owner = gl.message.sender_address
        self.entries.get_or_insert_default(self.owner).amount = start

    @gl.public.write
    def add(self, amount: int) -> int:
        entry = self.entries.get_or_insert_default(gl.message.sender_address)
        entry.amount = entry.amount + amount
        if amount == 0:
            raise gl.vm.UserError("nothing to add")
        return entry.amount

    @gl.public.view
    def now(self) -> str:
        import datetime
        return datetime.datetime.now(datetime.timezone.utc).isoformat()

    @gl.public.write
    def fetch(self, url: str) -> str:
        return gl.eq_principle.strict_eq(lambda: gl.nondet.web.get(url).body.decode())

    @gl.public.write
    def ask(self) -> str:
        return gl.vm.run_nondet_default(
            lambda: gl.nondet.exec_prompt("who?", response_format="json")["name"],
            lambda leaders: leaders == gl.vm.Return("me"),
        )

    @gl.public.view
    def peer(self, other: Address) -> object:
        return gl.contract.get_at(other).view().get()
"""
CONTRACT = V03 if IS_NEWER else V02


@pytest.fixture(autouse=True)
def _fallback() -> Iterator[None]:
    install_direct_fallback(force=True)
    yield
    # What this package's pytest plugin has in force.
    install_direct_fallback()


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    file = tmp_path / "ledger.py"
    file.write_text(CONTRACT)
    return file


@pytest.fixture
def ledger(direct_deploy: Any, ledger_file: Path) -> Any:
    return direct_deploy(str(ledger_file), start=5)


def test_deploy__arguments__reach_the_constructor(ledger: Any) -> None:
    assert [entry.amount for entry in ledger.entries.values()] == [5]


def test_sender__changed__is_seen_by_the_contract(ledger: Any, direct_vm: Any, direct_alice: Any) -> None:
    with direct_vm.prank(direct_alice):
        assert ledger.add(3) == 3
    assert ledger.add(3) == 8


def test_user_error__in_a_call__is_a_revert(ledger: Any, direct_vm: Any) -> None:
    with direct_vm.expect_revert("nothing to add"):
        ledger.add(0)


def test_snapshot__reverted__restores_the_storage(ledger: Any, direct_vm: Any) -> None:
    before = direct_vm.snapshot()
    ledger.add(1)
    direct_vm.revert(before)
    assert ledger.add(1) == 6


def test_warp__time__is_seen_by_the_contract(ledger: Any, direct_vm: Any) -> None:
    direct_vm.warp("2030-01-01T00:00:00Z")
    assert ledger.now() == "2030-01-01T00:00:00+00:00"


def test_mocks__web_and_prompt__answer_the_contract(ledger: Any, direct_vm: Any) -> None:
    direct_vm.mock_web("example", {"method": "GET", "status": 200, "body": "page"})
    direct_vm.mock_llm("who", '{"name": "me"}')
    assert (ledger.fetch("https://example.org"), ledger.ask()) == ("page", "me")
    assert direct_vm.run_validator() is True
    assert direct_vm.run_validator(leader_result="you") is False


def test_pickling__checked__finds_nothing_wrong(ledger: Any, direct_vm: Any) -> None:
    direct_vm.check_pickling = True
    direct_vm.mock_llm("who", '{"name": "me"}')
    assert ledger.ask() == "me"


def test_second_contract__in_one_test__can_be_deployed(ledger: Any, direct_deploy: Any, ledger_file: Path) -> None:
    other = ledger_file.with_name("other.py")
    other.write_text(CONTRACT.replace("Ledger", "Other"))
    assert direct_deploy(str(other), start=1).add(1) == 2


def test_stdin__after_several_deployments__is_what_it_was(ledger_file: Path) -> None:
    from gltest.direct import VMContext, deploy_contract

    before = os.fstat(0)
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    vm = VMContext()
    with vm.activate():
        vm.sender = b"\1" * 20
        for _ in range(3):
            deploy_contract(ledger_file, vm)
    after = os.fstat(0)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_modules__after_a_test__are_gone_and_others_are_back(
    ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gltest.direct import VMContext, deploy_contract

    theirs = type(sys)("genlayer")
    monkeypatch.setitem(sys.modules, "genlayer", theirs)
    path_before = list(sys.path)
    libraries = []
    for _ in range(2):
        vm = VMContext()
        with vm.activate():
            vm.sender = b"\1" * 20
            deploy_contract(ledger_file, vm)
            libraries.append(sys.modules[MESSAGE_MODULE])
        assert sys.modules["genlayer"] is theirs
        assert MESSAGE_MODULE not in sys.modules
    assert libraries[0] is not libraries[1]
    assert sys.path == path_before


@needs_conformance
@pytest.mark.parametrize(
    ("name", "method", "args"),
    [
        ("callee", "get_seen", ()),
        ("errors", "caught", ()),
        ("events", "named", ("k",)),
        ("pay", "deposit", ()),
        ("storage_kinds", "map_ops", ()),
        ("storage_kinds", "nested_ops", ()),
        ("storage_kinds", "array_ops", ()),
    ],
)
def test_conformance_contract__in_direct_mode__runs(direct_deploy: Any, name: str, method: str, args: Any) -> None:
    getattr(direct_deploy(str(CONFORMANCE / f"{name}.py")), method)(*args)


def test_contract__of_the_other_line__says_so(direct_deploy: Any, ledger_file: Path) -> None:
    ledger_file.write_text(V02 if IS_NEWER else V03)
    with pytest.raises(DirectModeMismatch, match="line"):
        direct_deploy(str(ledger_file))


# --- which library ---


@pytest.mark.parametrize(
    ("choice", "cached", "official"),
    [
        ("", [], False),
        ("auto", [], False),
        ("auto", ["v0.2.16"], True),
        ("official", [], True),
        ("fallback", ["v0.2.16"], False),
    ],
)
def test_install__not_forced__passes_to_the_official_library_where_it_is(
    monkeypatch: pytest.MonkeyPatch, direct_vm: Any, choice: str, cached: list[str], official: bool
) -> None:
    uninstall_direct_fallback()
    asked: list[Any] = []
    monkeypatch.setattr(sdk_loader, "list_cached_versions", lambda: cached)
    monkeypatch.setattr(sdk_loader, "setup_sdk_paths", lambda *args: asked.append(args) or [])
    monkeypatch.setenv("GENLAYER_STD", choice)
    install_direct_fallback()
    try:
        sdk_loader.setup_sdk_paths(None, None)
    finally:
        uninstall_direct_fallback()
    assert bool(asked) is official


def test_uninstall__twice__leaves_gltest_as_it_was() -> None:
    uninstall_direct_fallback()
    original = sdk_loader.setup_sdk_paths
    install_direct_fallback()
    install_direct_fallback(force=True)
    assert sdk_loader.setup_sdk_paths is not original
    uninstall_direct_fallback()
    uninstall_direct_fallback()
    assert sdk_loader.setup_sdk_paths is original


def test_install__unknown_genlayer_test__raises(monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall_direct_fallback()
    monkeypatch.delattr(sdk_loader, "list_cached_versions")
    with pytest.raises(DirectModeMismatch, match="list_cached_versions"):
        install_direct_fallback()


# --- GENVMROOT ---


def test_genvmroot__made_twice__is_the_same_and_has_the_library(tmp_path: Path) -> None:
    root = fallback_genvmroot(tmp_path / "root")
    assert fallback_genvmroot(tmp_path / "root") == root
    assert (root / "runners" / "genlayer-py-std" / "src" / "genlayer" / "py" / "get_schema.py").is_file()
    assert [entry.name for entry in (root / "runners" / "genlayer-py-std").iterdir()] == ["src"]


def test_genvmroot__link_to_a_moved_package__is_renewed(tmp_path: Path) -> None:
    link = tmp_path / "runners" / "genlayer-py-std" / "src"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "gone")
    fallback_genvmroot(tmp_path)
    assert (link / "genlayer").is_dir()


def test_genvmroot__something_else_there__raises(tmp_path: Path) -> None:
    (tmp_path / "runners" / "genlayer-py-std" / "src").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        fallback_genvmroot(tmp_path)


def test_genvmroot__default__is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fallback_genvmroot() == tmp_path / "genlayer-localnet" / "genvmroot"


def lint(command: str, contract: Path, root: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("genvm_linter", reason="genvm-linter is not installed")
    program = "import sys; from genvm_linter.cli import main; sys.exit(main())"
    environment = {**os.environ, "GENVMROOT": str(root), "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        [sys.executable, "-c", program, command, str(contract)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@needs_conformance
@pytest.mark.parametrize("name", ["callee", "caller", "events", "storage_kinds"])
def test_linter__conformance_contract__validates_offline(tmp_path: Path, name: str) -> None:
    done = lint("validate", V02_CONTRACTS / f"{name}.py", fallback_genvmroot(tmp_path))
    assert (done.returncode, "Validation passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_linter__schema__lists_the_methods(tmp_path: Path, ledger_file: Path) -> None:
    ledger_file.write_text(V02)
    done = lint("schema", ledger_file, fallback_genvmroot(tmp_path))
    assert "add(amount)" in done.stdout, done.stdout + done.stderr


def test_linter__contract_that_cannot_be_stored__fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text('# { "Depends": "py-genlayer:test" }\nfrom genlayer import *\nclass C(gl.Contract):\n    n: int\n')
    done = lint("validate", bad, fallback_genvmroot(tmp_path / "root"))
    assert done.returncode != 0
    assert "u256" in done.stdout
