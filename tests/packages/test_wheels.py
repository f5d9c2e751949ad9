"""The wheels of both distributions: what is in them, and that each works with nothing but what it needs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"api_billing": ROOT, "genlayer_localnet": ROOT / "localnet"}
BILLING, LOCALNET = FOLDERS
OPTIONAL = {"pytest", "PIL", "numpy"}
"""pytest is there where it loads the plugin, the others where a contract uses them."""
FOR_DEVELOPERS = {"bench", "dev", "test"}
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
    def needs(self) -> dict[str, Distribution]:
        """What a resolver would install with it, without its extras: the environment's, by canonical names."""
        return closure(map(Requirement, self.info.get_all("Requires-Dist", [])))


def closure(asked: Iterable[Requirement]) -> dict[str, Distribution]:
    """The distributions that requirements come to, with what these require themselves."""
    found: dict[str, Distribution] = {}
    waiting = [(each, extra) for each in asked for extra in ("", *each.extras) if _applies(each, "")]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) not in seen:
            seen.add((name, extra))
            found[name] = distribution(name)
            further = [each for each in map(Requirement, found[name].requires or []) if _applies(each, extra)]
            waiting += [(each, extra) for each in further for extra in ("", *each.extras)]
    return found


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


class Installed:
    """A folder with one wheel and with what it needs, and Python that sees nothing else."""

    def __init__(self, wheel: Wheel, folder: Path) -> None:
        self.folder = folder
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
        subprocess.run([*pip, str(wheel.path)], capture_output=True, check=True)
        for each in wheel.needs.values():
            for name in {path.parts[0] for path in each.files or []} - {"..", "bin", "__pycache__"}:
                link = folder / name
                if not link.exists():
                    link.symlink_to(Path(str(each.locate_file(name))))

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        # -S leaves out the environment's packages, with its editable installs of this tree; -I the caller's variables.
        code = f"import sys; sys.path.insert(0, {str(self.folder)!r})\n{code}"
        command = [sys.executable, "-I", "-S", "-c", code]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)


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


@pytest.fixture(scope="module")
def installed(wheels: dict[str, Wheel], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Installed]:
    """By the name of the package."""
    return {name: Installed(wheel, tmp_path_factory.mktemp(f"only_{name}")) for name, wheel in wheels.items()}


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
    assert f"{LOCALNET}/std/v02/genlayer/__init__.py" in expected


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
    needed = {canonicalize_name(distributions[name][0]) for name in foreign - OPTIONAL}
    stated = wheels[LOCALNET].info.get_all("Requires-Dist", [])
    assert needed <= {canonicalize_name(Requirement(each).name) for each in stated}


def test_localnet_wheel__what_it_needs__is_nothing_of_this_repository(wheels: dict[str, Wheel]) -> None:
    needs = wheels[LOCALNET].needs
    assert {"uvicorn", "cloudpickle"} <= needs.keys()
    assert needs.keys().isdisjoint({"api-billing", "eth-account", "genlayer-py", "genlayer-test", "web3"})


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
print(net.view(tally, "get"), where, net.std.root)
'''


def test_localnet_wheel__installed_alone__runs_a_contract(installed: dict[str, Installed]) -> None:
    done = installed[LOCALNET].python(RUN_A_CONTRACT)
    assert done.returncode == 0, done.stderr
    value, where, std = done.stdout.split()
    assert value == "42"
    assert Path(where).is_relative_to(installed[LOCALNET].folder)
    assert Path(std).is_relative_to(installed[LOCALNET].folder)


def test_billing_wheel__files__are_those_of_the_source_and_the_contracts(wheels: dict[str, Wheel]) -> None:
    source = ROOT / "src"
    expected = {path.relative_to(source).as_posix() for path in source.rglob("*") if _is_source(path)}
    packed = {name for name in wheels[BILLING].names if ".dist-info/" not in name}
    contracts = {f"api_billing/contracts/{name}.py" for name in ("api_usage_billing", "usage_court")}
    assert packed == expected | contracts | {"api_billing/fee-profile.json"}
    assert not [name for name in packed if re.search(r"\b(tests|demo|private_servers)\b", name)]


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_billing_wheel__without_extras__needs_ten_distributions_at_most(wheels: dict[str, Wheel]) -> None:
    assert len(wheels[BILLING].needs) <= 10, sorted(wheels[BILLING].needs)


def test_billing_wheel__all__is_every_extra_for_users(wheels: dict[str, Wheel]) -> None:
    info = wheels[BILLING].info
    stated = [Requirement(each) for each in info.get_all("Requires-Dist", [])]
    named = {
        extra: {each.name for each in stated if not _applies(each, "") and _applies(each, extra)}
        for extra in info.get_all("Provides-Extra", [])
    }
    everything = named.pop("all")
    assert everything == set().union(*(names for extra, names in named.items() if extra not in FOR_DEVELOPERS))


METER_REQUESTS = """
import asyncio
from wsgiref.util import setup_testing_defaults

from api_billing.metering import Meter, from_header
from api_billing.metering.web.asgi import MeteredASGI
from api_billing.metering.web.wsgi import MeteredWSGI

meter = Meter.open("sqlite:///meter.db", identify=from_header("X-Consumer"))
meter.add_consumer("ann")
meter.grant("ann", 10, grant_id="first")

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"sunny"]

async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"sunny"})

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}

async def send(message):
    print(message.get("status", ""), end=" ")

def start_response(status, headers, exc_info=None):
    print(status.split()[0], end=" ")

environ = {"HTTP_X_CONSUMER": "ann"}
setup_testing_defaults(environ)
scope = {
    "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
    "scheme": "http", "headers": [(b"x-consumer", b"ann")],
}
with meter:
    metering = meter.metering("weather", estimate_wei=1)
    body = MeteredWSGI(wsgi, metering)(environ, start_response)
    list(body)
    getattr(body, "close", lambda: None)()
    asyncio.run(MeteredASGI(asgi, metering)(scope, receive, send))
    print(meter.balance("ann").free_wei)
"""


def test_billing_wheel__installed_alone__meters_requests_on_sqlite(installed: dict[str, Installed]) -> None:
    done = installed[BILLING].python(METER_REQUESTS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["200", "200", "8"]
    assert (installed[BILLING].folder / "meter.db").is_file()


WITHOUT_EXTRAS = {
    "import api_billing.client": "api_billing.client needs genlayer-py: [chain]",
    "import api_billing.deployment": "api_billing.client needs genlayer-py: [chain]",
    "from api_billing.networks import find_network; find_network().rpc_url": "a network needs genlayer-py: [chain]",
    "from api_billing.keys import create_key; create_key('a', 'b')": "a key needs genlayer-py: [chain]",
    "METER(contract='0x' + '0a' * 20).connect('weather')": "api_billing.client needs genlayer-py: [chain]",
    "import api_billing.payer": "a paying client needs httpx: [payer]",
    "METER(store_url='postgresql:///x')": "a store at postgresql:// needs psycopg: [postgresql]",
    "METER(store_url='redis://x')": "a store at redis:// needs redis: [redis]",
    "METER(metrics=True)": "the setting metrics needs prometheus-client: [metrics]",
    "METER(alert_urls='json://x')": "the setting alert_urls needs apprise: [alerts]",
    "import api_billing.metering.identity.jwt": "api_billing.metering.identity.jwt needs pyjwt: [jwt]",
    "import api_billing.metering.identity.jwks": "api_billing.metering.identity.jwks needs pyjwt: [jwt]",
    "import api_billing.metering.web.fastapi": "api_billing.metering.web.fastapi needs fastapi: [fastapi]",
    "import api_billing.metering.web.starlette": "api_billing.metering.web.starlette needs fastapi: [fastapi]",
    "import api_billing.metering.service": "api_billing.metering.service.app needs fastapi: [fastapi]",
    "import api_billing.metering.web.flask": "api_billing.metering.web.flask needs flask: [flask]",
    "import api_billing.metering.web.django": "api_billing.metering.web.django needs django: [django]",
}


@pytest.fixture(scope="module")
def said(installed: dict[str, Installed]) -> Any:
    """What each of the statements above says where no extra is installed."""
    code = f"""
import json
from api_billing.errors import MissingExtra
from api_billing.metering import Meter

def METER(store_url="memory://", **settings):
    return Meter.open(store_url, **settings)

said = {{}}
for statement in {list(WITHOUT_EXTRAS)}:
    try:
        exec(statement)
    except MissingExtra as error:
        said[statement] = str(error)
print(json.dumps(said))
"""
    done = installed[BILLING].python(code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("statement", WITHOUT_EXTRAS)
def test_billing_wheel__without_its_extra__says_what_to_install(said: dict[str, str], statement: str) -> None:
    who, extra = WITHOUT_EXTRAS[statement].split(": ")
    assert said.get(statement) == f"{who}: pip install 'api-billing{extra}', of a checkout '.{extra}'"


def test_billing_wheel__command_without_its_extra__is_one_line_and_exit_code_1(installed: dict[str, Installed]) -> None:
    done = installed[BILLING].python("from api_billing.cli.__main__ import main; main()")
    assert (done.returncode, done.stdout) == (1, "")
    says = "the command needs typer: pip install 'api-billing[cli]', of a checkout '.[cli]'"
    assert done.stderr == f"api-billing: {says}\n"


def test_billing_wheel__entry_points__are_the_command_and_the_plugin(wheels: dict[str, Wheel]) -> None:
    text = wheels[BILLING].entry_points
    assert "api-billing = api_billing.cli.__main__:main" in text
    assert "[pytest11]\napi_billing = api_billing.testing" in text
