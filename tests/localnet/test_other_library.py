"""The official library behaves otherwise than the fallback where nothing is recorded: stand-ins that do as it does.

Each is a copy of the fallback in the official folders, with code put at the end of some of its modules.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genlayer_localnet import Address, ContractRejected, Localnet, Node, WebError, WebRequest
from genlayer_localnet.loading.standard_library import FALLBACK_ROOT

LATE_FIELDS = """
def _late_fields():
    late = {}
    for cls, name in ((TreeMap, "compute_if_absent"), (DynArray, "_place")):
        late.setdefault(cls, {})[name] = cls.__dict__[name]
        delattr(cls, name)
    def completing(cls, build):
        def complete(*items):
            for name, value in late.pop(cls, {}).items():
                setattr(cls, name, value)
            return build(*items)
        return complete
    for cls in (TreeMap, DynArray):
        _COLLECTIONS[cls] = completing(cls, _COLLECTIONS[cls])
_late_fields()
"""
"""``TreeMap`` and ``DynArray`` get what they need when a class with one of them is first built."""
LATE_MODULE = """
del eq_principle
sys = __import__("sys")
del sys.modules[f"{__name__}.eq_principle"]
_without = __getattr__
def __getattr__(name):
    if name == "eq_principle":
        return __import__("importlib").import_module(f"{__name__}.eq_principle")
    return _without(name)
"""
OWN_ERROR = """
class NondetException(Exception):
    def __init__(self, causes, ctx):
        super().__init__(causes, ctx)
def _unpack(answer):
    if "ok" in answer:
        return answer["ok"]
    raise NondetException(**answer["error"])
"""
OWN_ENCODER = """
from genlayer_localnet import calldata as _host
def encode(value, *, default=None):
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list) and len(value) == 1:
        return b"\\x0d" + encode(value[0])
    return _host.encode(value, default=default)
"""
OWN_TYPES = """
import enum
class State(enum.Enum):
    FINAL = 1
class FinalInt(enum.IntEnum):
    FINAL = 1
class Wei(int):
    pass
def deploy_contract(*, code, args=(), kwargs=None, salt_nonce=0, value=0, on="finalized"):
    call = _call_object(None, args, kwargs or {})
    request = {"calldata": call, "code": code, "value": Wei(value), "on": on, "salt_nonce": Wei(salt_nonce)}
    tell({"DeployContract": request})
"""
WARNS_WHEN_PICKLED = """
from genlayer_localnet.std.shared.storage.types import DESC_ATTR, _generic_view
def _warn(view):
    import warnings
    warnings.warn("a storage class is pickled", stacklevel=2)
    return (_generic_view, (type(view).__dict__[DESC_ATTR], view._storage_slot, view._off))
_allow = allow_storage
def allow_storage(cls):
    cls.__reduce__ = _warn
    return _allow(cls)
"""
BOOK = """
from dataclasses import dataclass

@allow_storage
@dataclass
class Entry:
    name: str
    count: u8

class Book(gl.Contract):
    {extra}entries: DynArray[Entry]
    by_name: TreeMap[str, u8]

    def __init__(self):
        pass

    @gl.public.write
    def add(self, name: str) -> None:
        self.by_name[name] = u8(self.by_name.get(name, 0) + 1)
        self.entries.append(Entry(name, u8(1)))

    @gl.public.view
    def get(self) -> list:
        return [dict(self.by_name), [entry.name for entry in self.entries]]

    @gl.public.write
    def assign(self) -> None:
        {assign}
"""

type StandIn = Callable[[dict[str, str]], Localnet]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Makes a localnet on a library with additions: text by the path of the module that it is put at the end of."""

    def make(additions: dict[str, str]) -> Localnet:
        package = tmp_path / "runners/genlayer-py-std/src/genlayer"
        shutil.copytree(FALLBACK_ROOT / "genlayer", package, ignore=shutil.ignore_patterns("__pycache__"))
        for path, text in additions.items():
            with (package / path).open("a") as file:
                file.write(text)
        monkeypatch.setenv("GENVMROOT", str(tmp_path))
        return Localnet(std="official")

    return make


@pytest.mark.parametrize("assign", ["self.by_name.clear()", "setattr(self, 'by_name', TreeMap())", "gl.x = 1"])
@pytest.mark.parametrize(
    "additions", [{"py/storage/_internal/generate.py": LATE_FIELDS}, {"gl/__init__.py": LATE_MODULE}]
)
def test_library__completes_itself_at_first_use__stays_complete(
    stand_in: StandIn, alice: Address, source: Callable[[str], str], additions: dict[str, str], assign: str
) -> None:
    net = stand_in(additions)
    first, second = (
        net.deploy(source(BOOK.format(extra=extra, assign=assign)), sender=alice).address
        for extra in ("", "more: DynArray[TreeMap[u8, str]]\n    ")
    )
    for contract in (first, second, first):
        for method, *args in (["add", "a"], ["assign"], ["add", "b"]):
            receipt = net.write(contract, method, *args, sender=alice)
            assert receipt.ok, receipt.stderr
    assert net.view(second, "get")[1] == ["a", "b"]


LATE_INDIRECTION = """
_build_indirection = _COLLECTIONS[Indirection]
def _completing(item):
    Indirection.late = 5
    return _build_indirection(item)
_COLLECTIONS[Indirection] = _completing
"""
POINTER = """
class Pointer(gl.Contract):
    one: gl.storage.Indirection[u8]

    def __init__(self):
        pass

    @gl.public.view
    def get(self) -> int:
        return gl.storage.Indirection.late
"""


def test_library__completed_by_what_the_host_did_not_use__stays_complete(
    stand_in: StandIn, alice: Address, source: Callable[[str], str]
) -> None:
    net = stand_in({"py/storage/_internal/generate.py": LATE_INDIRECTION})
    contract = net.deploy(source(POINTER), sender=alice).address
    assert [net.view(contract, "get") for _ in range(3)] == [5, 5, 5]


def test_library__changed_by_a_decorator_of_a_contract__is_put_back(
    stand_in: StandIn, alice: Address, source: Callable[[str], str]
) -> None:
    net = stand_in({})
    bad = source("import dataclasses\ndataclasses.dataclass(gl.Contract)\n" + POINTER.replace(".late", ".__name__"))
    net.deploy(bad, sender=alice)
    assert "__dataclass_fields__" not in vars(net._chain.machine.library.gl.Contract)


ASKER = """
class Asker(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def inside(self) -> str:
        def leader():
            try:
                return gl.nondet.web.get("http://nowhere").body.decode()
            except gl.nondet.NondetException as error:
                return "caught " + str(error)
        return gl.eq_principle.strict_eq(leader)

    @gl.public.write
    def outside(self) -> str:
        def leader():
            return gl.nondet.exec_prompt("hello", response_format="json")
        try:
            return gl.vm.run_nondet_unsafe(leader, lambda leaders: isinstance(leaders, gl.vm.UserError))
        except gl.vm.UserError as error:
            return "caught " + error.message
"""


@pytest.mark.parametrize("additions", [{}, {"gl/nondet/_answers.py": OWN_ERROR}], ids=["as the fallback", "own error"])
@pytest.mark.parametrize(("method", "cause"), [("inside", "no route"), ("outside", "PROMPT_ANSWER")])
def test_nondet_failure__error_of_any_kind__is_caught_by_the_contract(
    stand_in: StandIn,
    alice: Address,
    source: Callable[[str], str],
    additions: dict[str, str],
    method: str,
    cause: str,
) -> None:

    def fail(request: WebRequest, node: Node) -> str:
        raise WebError("DOWN", "no route")

    net = stand_in(additions)
    net.mock_web("http://nowhere", fail)
    net.mock_prompt("hello", "{not json")
    contract = net.deploy(source(ASKER), sender=alice).address
    receipt = net.write(contract, method, sender=alice)
    assert receipt.ok, receipt.stderr
    assert receipt.value.startswith("caught ")
    assert cause in receipt.value


DEPLOYER = """
class Deployer(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def publish(self, code: str, kind: str) -> None:
        form = {"text": str, "bytes": str.encode, "bytearray": lambda text: bytearray(text.encode())}[kind]
        gl.deploy_contract(code=form(code), args=[3], salt_nonce=u256(7), value=u256(0), on="accepted")
"""
CHILD = """
class Child(gl.Contract):
    n: u8
    def __init__(self, n: int):
        self.n = u8(n)
    @gl.public.view
    def get(self) -> int:
        return self.n
"""


@pytest.mark.parametrize("kind", ["text", "bytes", "bytearray"])
def test_deploy_contract__integers_of_its_own_and_any_code__deploys(
    stand_in: StandIn, alice: Address, source: Callable[[str], str], kind: str
) -> None:
    net = stand_in({"gl/genvm_contracts.py": OWN_TYPES})
    deployer = net.deploy(source(DEPLOYER), sender=alice).address
    receipt = net.write(deployer, "publish", source(CHILD), kind, sender=alice)
    assert receipt.ok, receipt.stderr
    assert receipt.children[0].ok
    assert net.view(receipt.children[0].address, "get") == 3


READER = """
from genlayer.gl.genvm_contracts import State, FinalInt

class Reader(gl.Contract):
    def __init__(self): pass

    @gl.public.view
    def read(self, other: Address, kind: str) -> int:
        state = {"object": State.FINAL, "integer": FinalInt.FINAL}[kind]
        return gl.get_contract_at(other).view(state=state).get()
"""


@pytest.mark.parametrize("kind", ["object", "integer"])
def test_view__state_of_an_enum_of_its_own__is_that_state(
    stand_in: StandIn, alice: Address, source: Callable[[str], str], kind: str
) -> None:
    net = stand_in({"gl/genvm_contracts.py": OWN_TYPES})
    child = net.deploy(source(CHILD), 5, sender=alice).address
    reader = net.deploy(source(READER), sender=alice).address
    with pytest.raises(ContractRejected, match="absent"):
        net.view(reader, "read", child, kind)
    net.process("finalized")
    assert net.view(reader, "read", child, kind) == 5


PICKLER = """
from dataclasses import dataclass

@allow_storage
@dataclass
class Entry:
    name: str

class Pickler(gl.Contract):
    entry: Entry
    def __init__(self):
        self.entry = Entry("first")

    @gl.public.write
    def run(self) -> str:
        entry = gl.storage.copy_to_memory(self.entry)
        return gl.eq_principle.strict_eq(lambda: entry.name)
"""


def test_nondet_block__library_warns_of_what_is_pickled__runs(
    stand_in: StandIn, alice: Address, source: Callable[[str], str]
) -> None:
    net = stand_in({"py/storage/_internal/generate.py": WARNS_WHEN_PICKLED, "py/storage/__init__.py": ""})
    contract = net.deploy(source(PICKLER), sender=alice).address
    receipt = net.write(contract, "run", sender=alice)
    assert receipt.value == "first", receipt.stderr
    assert "a storage class is pickled" in receipt.stderr


ODD = """
class Odd(gl.Contract):
    def __init__(self): pass

    @gl.public.view
    def give(self, kind: str):
        if kind == "memoryview":
            return memoryview(b"text")
        value = 1
        for _ in range(300):
            value = [value]
        return value
"""


@pytest.mark.parametrize("kind", ["memoryview", "deep"])
def test_returned_value__that_the_host_cannot_read__is_a_vm_error(
    stand_in: StandIn, alice: Address, source: Callable[[str], str], kind: str
) -> None:
    net = stand_in({"py/calldata.py": OWN_ENCODER})
    contract = net.deploy(source(ODD), sender=alice).address
    receipt = net.write(contract, "give", kind, sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", "exit_code 1")
    assert receipt.stderr
