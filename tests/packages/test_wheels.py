"""The wheels of both distributions: what is in them, and that the localnet's works on its own."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"api_billing": ROOT, "genlayer_localnet": ROOT / "localnet"}
LOCALNET = "genlayer_localnet"
OPTIONAL = {"pytest", "PIL", "numpy"}
"""pytest is there where it loads the plugin, the others where a contract uses them."""
OF_CONTRACTS = ("genlayer", "_genlayer_wasi")
"""What the standard library imports inside a VM."""


class Wheel:
    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.names = set(archive.namelist())
            self.info: Message = BytesParser().parsebytes(archive.read(self._in_info("METADATA")))
            self.entry_points = archive.read(self._in_info("entry_points.txt")).decode("utf-8")

    def _in_info(self, name: str) -> str:
        return next(each for each in self.names if re.fullmatch(rf"[^/]+\.dist-info/{name}", each))

    @property
    def packages(self) -> set[str]:
        return {name.split("/")[0] for name in self.names if ".dist-info/" not in name}

    @property
    def needs(self) -> set[str]:
        """Names of the distributions that it needs without its extras."""
        lines = [line for line in self.info.get_all("Requires-Dist", []) if "extra ==" not in line]
        return {re.split(r"[^a-z0-9-]", line.lower())[0] for line in lines}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """By the name of the package."""
    built = {}
    for name, folder in FOLDERS.items():
        into = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        [path] = into.glob("*.whl")
        built[name] = Wheel(path)
    return built


@pytest.mark.parametrize("name", FOLDERS)
def test_wheel__each__has_its_own_package_with_types_and_licence(wheels: dict[str, Wheel], name: str) -> None:
    wheel = wheels[name]
    assert wheel.packages == {name}
    assert f"{name}/py.typed" in wheel.names
    assert any(each.endswith(".dist-info/licenses/LICENSE") for each in wheel.names)


def test_localnet_wheel__files__are_all_of_the_source(wheels: dict[str, Wheel]) -> None:
    source = FOLDERS[LOCALNET] / "src"
    expected = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix in (".py", ".typed")}
    assert {name for name in wheels[LOCALNET].names if ".dist-info/" not in name} == expected
    assert f"{LOCALNET}/std/genlayer/__init__.py" in expected


def test_localnet_wheel__entry_points__are_the_command_and_the_plugin(wheels: dict[str, Wheel]) -> None:
    text = wheels[LOCALNET].entry_points
    assert "genlayer-localnet = genlayer_localnet.cli:main" in text
    assert "[pytest11]\ngenlayer_localnet = genlayer_localnet.testing.plugin" in text


def test_localnet_wheel__what_it_imports__is_what_it_needs(wheels: dict[str, Wheel]) -> None:
    files = (FOLDERS[LOCALNET] / "src").rglob("*.py")
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {LOCALNET, *OF_CONTRACTS}
    distributions = packages_distributions()
    needed = {distributions[name][0].lower().replace("_", "-") for name in foreign - OPTIONAL}
    assert needed <= wheels[LOCALNET].needs


def test_localnet_wheel__what_it_needs__is_nothing_of_this_repository(wheels: dict[str, Wheel]) -> None:
    needs = wheels[LOCALNET].needs
    assert {"uvicorn", "cloudpickle"} <= needs
    assert needs.isdisjoint({"api-billing", "eth-account", "genlayer-py", "genlayer-test", "web3"})


RUN_A_CONTRACT = '''
import sys
from genlayer_localnet import Localnet, __file__ as where

source = """# { "Depends": "py-genlayer:test" }

from genlayer import *

class Tally(gl.Contract):
    count: u256

    def __init__(self):
        self.count = 40

    @gl.public.write
    def add(self, number: int) -> None:
        self.count += number

    @gl.public.view
    def get(self) -> int:
        return self.count
"""
net = Localnet(std="fallback")
tally = net.deploy(source, sender="0x" + "a1" * 20).address
net.write(tally, "add", 2, sender="0x" + "a1" * 20)
print(net.view(tally, "get"), where, net.std.root, any("api_billing" in name for name in sys.modules))
'''


def test_localnet_wheel__installed_alone__runs_a_contract(wheels: dict[str, Wheel], tmp_path: Path) -> None:
    folder = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, str(wheels[LOCALNET].path)], capture_output=True, check=True)
    # -S leaves out the environment's .pth files, so its editable installs of this tree; -I the caller's variables.
    paths = [str(folder), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    code = f"import sys; sys.path[:0] = {paths!r}\n{RUN_A_CONTRACT}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    value, where, std, has_billing = done.stdout.split()
    assert (value, has_billing) == ("42", "False")
    assert Path(where).is_relative_to(folder)
    assert Path(std).is_relative_to(folder)
