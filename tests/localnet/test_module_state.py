"""Nothing that a contract leaves in memory is seen by the next call, by another contract, or by this process."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable

import pytest

from genlayer_localnet import Address, Localnet, Receipt

# What a module keeps, how a call changes it, and how it reads it: a fresh interpreter gives the same value every time.
LEAKS = {
    "number": ("N = 0", "global N\nN += 1\nreturn N"),
    "equal number of another type": ("N = 1", "global N\nold = N\nN = True\nreturn type(old).__name__"),
    "new global": ("", "global N\nfresh = 'N' not in globals()\nN = 1\nreturn fresh"),
    "deleted global": ("N = 1", "global N\nfound = 'N' in globals()\nif found:\n    del N\nreturn found"),
    "list": ("N = []", "N.append(1)\nreturn len(N)"),
    "list replaced by an equal one": (
        "N = []\nM = N", "global N\nsame = N is M\nN = []\nM.append(1)\nreturn [same, len(M)]",
    ),
    "dict": ("N = {}", "N['x'] = N.get('x', 0) + 1\nreturn N['x']"),
    "key of a dict": ("N = {'a': None}", "keys = list(N)\nN['b'] = N.pop('a', None)\nreturn keys"),
    "deque element replaced": (
        "import collections\nN = collections.deque([[]])\nM = N[0]",
        "same = N[0] is M\nN[0] = []\nN[0].append(1)\nreturn same",
    ),
    "slot replaced by an equal list": (
        "class N:\n    __slots__ = ('n',)\nN = N()\nN.n = []\nM = N.n",
        "same = N.n is M\nN.n = []\nM.append(1)\nreturn [same, len(M)]",
    ),
    "named tuple class": (
        "import typing\nclass N(typing.NamedTuple):\n    n: list\nN = N([])", "N.n.append(1)\nreturn len(N.n)",
    ),
    "dict order": ("N = {'a': 1, 'b': 2}", "order = list(N)\nN['a'] = N.pop('a')\nreturn order"),
    "set": ("N = set()", "N.add(len(N))\nreturn len(N)"),
    "bytearray": ("N = bytearray()", "N.append(1)\nreturn len(N)"),
    "nested": ("N = {'x': [{'y': [1]}]}", "N['x'][0]['y'].append(1)\nreturn len(N['x'][0]['y'])"),
    "inside a tuple": ("N = ([],)", "N[0].append(1)\nreturn len(N[0])"),
    "defaultdict": ("import collections\nN = collections.defaultdict(list)", "N[1].append(1)\nreturn len(N[1])"),
    "counter": ("import collections\nN = collections.Counter()", "N['x'] += 1\nreturn N['x']"),
    "ordered dict": (
        "import collections\nN = collections.OrderedDict(a=1, b=2)",
        "first = next(iter(N))\nN.move_to_end(first)\nreturn first",
    ),
    "deque": ("import collections\nN = collections.deque([1], maxlen=3)", "N.append(1)\nreturn len(N)"),
    "default argument": ("def f(n=[]):\n    n.append(1)\n    return len(n)", "return f()"),
    "assigned default": ("def f(n=1):\n    return n", "old = f()\nf.__defaults__ = (old + 1,)\nreturn old"),
    "function attribute": ("def f(): pass\nf.n = 0", "f.n += 1\nreturn f.n"),
    "closure": (
        "def make():\n    n = 0\n    def f():\n        nonlocal n\n"
        "        n += 1\n        return n\n    return f\nf = make()",
        "return f()",
    ),
    "class attribute": ("class N:\n    n = 0", "N.n += 1\nreturn N.n"),
    "private class attribute": (
        "class N:\n    __n = 0\n    @classmethod\n    def up(cls):\n        cls.__n += 1\n        return cls.__n",
        "return N.up()",
    ),
    "private slot": (
        "class N:\n    __slots__ = ('__n', 'm')\n    def __init__(self): self.__n = self.m = 0\n"
        "    def up(self):\n        self.__n += 1\n        return self.__n\nN = N()",
        "return N.up()",
    ),
    "new class attribute": ("class N: pass", "fresh = not hasattr(N, 'n')\nN.n = 1\nreturn fresh"),
    "container in a class": ("class N:\n    n = []", "N.n.append(1)\nreturn len(N.n)"),
    "attribute of the contract class": ("", "old = getattr(type(self), 'extra', 0)\ntype(self).extra = 1\nreturn old"),
    "replaced method": ("", "def other(self): return 1\nold = self.plain()\ntype(self).plain = other\nreturn old"),
    "instance": ("class N:\n    def __init__(self): self.n = 0\nN = N()", "N.n += 1\nreturn N.n"),
    "instance with slots": (
        "class N:\n    __slots__ = ('n',)\n    def __init__(self): self.n = 0\nN = N()", "N.n += 1\nreturn N.n",
    ),
    "dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass N:\n    n: int = 0\nN = N()", "N.n += 1\nreturn N.n",
    ),
    "instance of a dict subclass": (
        "class N(dict):\n    pass\nN = N()\nN.n = 0", "N['x'] = 1\nN.n += 1\nreturn [len(N), N.n]",
    ),
    "cached function": (
        "import functools\nLOG = []\n@functools.cache\ndef f(x):\n    LOG.append(x)\n    return len(LOG)",
        "f(1)\nf(1)\nreturn [len(LOG), f.cache_info().hits]",
    ),
    "cached method": (
        "import functools\nclass N:\n    @functools.lru_cache\n    def f(self): return object()\nN = N()",
        "return [N.f() is N.f(), N.f.cache_info().misses]",
    ),
    "cached property": (
        "import functools\nclass N:\n    n = 0\n    @functools.cached_property\n"
        "    def f(self):\n        N.n += 1\n        return N.n\nN = N()",
        "return [N.f, 'f' in vars(N)]",
    ),
    "partial": ("import functools\nN = functools.partial(list.append, [])", "N(1)\nreturn len(N.args[0])"),
    "iterator": ("N = iter(range(9))", "return next(N)"),
    "counter iterator": ("import itertools\nN = itertools.count().__next__", "return N()"),
    "generator": ("def f():\n    yield 1\n    yield 2\nN = f()", "return next(N)"),
    "random numbers": ("import random\nN = random.Random(5)", "return str(N.random())"),
    "text stream": ("import io\nN = io.StringIO()", "N.write('x')\nreturn len(N.getvalue())"),
    "enum member": (
        "import enum\nclass N(enum.Enum):\n    A = 1", "old = getattr(N.A, 'extra', 0)\nN.A.extra = 1\nreturn old",
    ),
    "patched library module": ("", "old = getattr(gl, 'extra', 0)\ngl.extra = 1\nreturn old"),
    "patched library class": ("", "old = getattr(gl.Contract, 'extra', 0)\ngl.Contract.extra = 1\nreturn old"),
    "patched library function": (
        "", "old = gl.get_contract_at.__name__\ngl.get_contract_at = print\nreturn old"
    ),
    "patched library by setattr": ("", "old = gl.public is None\nsetattr(gl, 'public', None)\nreturn old"),
    "replaced function of a Python module": (
        "import json", "old = json.dumps('x')\njson.dumps = lambda value: 'patched'\nreturn old",
    ),
    "new name in a Python module": ("import json", "fresh = not hasattr(json, 'extra')\njson.extra = 1\nreturn fresh"),
    "Python module patched by setattr": (
        "import json", "setattr(json, 'extra', getattr(json, 'extra', 0) + 1)\nreturn json.extra",
    ),
    "attribute of a Python class": (
        "from json import JSONEncoder",
        "old = JSONEncoder.item_separator\nJSONEncoder.item_separator = ';'\nreturn old",
    ),
    "message kept by the module": (
        "M = gl.message", "global KEPT\nKEPT = M\nreturn M.sender_address == gl.message.sender_address",
    ),
    "raw message": ("", "old = gl.message_raw.get('extra', 0)\ngl.message_raw['extra'] = 1\nreturn old"),
}  # fmt: skip


def _contract(source: Callable[[str], str], module: str, body: str) -> str:
    method = textwrap.indent(body, " " * 8)
    return source(
        f"{module}\n\nclass C(gl.Contract):\n    def __init__(self): pass\n\n    def plain(self): return 0\n\n"
        f"    @gl.public.write\n    def run(self):\n{method}\n\n"
        f"    @gl.public.write\n    def run_and_fail(self):\n        self.run()\n        raise gl.vm.UserError('no')\n"
    )


@pytest.mark.parametrize("name", LEAKS)
def test_module_state__changed_by_a_call__is_fresh_for_the_next(
    localnet: Localnet, alice: Address, bob: Address, source: Callable[[str], str], name: str
) -> None:
    code = _contract(source, *LEAKS[name])
    first, second = localnet.deploy(code, sender=alice), localnet.deploy(code, sender=alice)
    assert first.ok, first.stderr
    localnet.write(first.address, "run_and_fail", sender=bob)
    seen = [
        localnet.write(contract.address, "run", sender=sender)
        for contract, sender in [(first, alice), (first, alice), (second, bob)]
    ]
    assert all(receipt.ok for receipt in seen), seen[0].stderr
    assert seen[0].value == seen[1].value == seen[2].value


def test_module_state__of_this_process__is_not_touched(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    before = {name: module for name, module in sys.modules.items() if name.startswith(("genlayer.", "_genlayer"))}
    path, stdout = list(sys.path), sys.stdout
    contract = deploy(_plain()).address
    localnet.write(contract, "outer", 0, sender=alice)
    after = {name: module for name, module in sys.modules.items() if name.startswith(("genlayer.", "_genlayer"))}
    assert (before, path, stdout) == (after, sys.path, sys.stdout)
    assert not [name for name in sys.modules if name.startswith("genlayer_contract_")]


def test_python_module__patched_by_a_call__is_as_before_for_this_process(
    localnet: Localnet, alice: Address, source: Callable[[str], str]
) -> None:
    before, dumps = dict(vars(json)), json.dumps
    code = _contract(source, "import json", "json.dumps = None\njson.extra = 1")
    assert localnet.write(localnet.deploy(code, sender=alice).address, "run", sender=alice).ok
    assert (json.dumps, dict(vars(json))) == (dumps, before)


@pytest.mark.parametrize(
    "body",
    [
        "import json\njson.dumps = None",
        "import json as kept\nkept.dumps = None",
        "from json import encoder\nencoder.JSONEncoder.encode = None",
        "import json.encoder\njson.encoder.JSONEncoder.encode = json.encoder.encode_basestring = None",
        "from json import JSONEncoder as Kind\nKind.encode = None",
        "setattr(__import__('json'), 'dumps', None)",
        "vars(__import__('json'))['dumps'] = None",
    ],
)
def test_python_module__patched_where_a_method_imports_it__is_as_before_for_this_process(
    localnet: Localnet, alice: Address, source: Callable[[str], str], body: str
) -> None:
    def held() -> list[object]:
        return [json.dumps, json.JSONEncoder.encode, json.encoder.encode_basestring]

    before = held()
    try:
        contract = localnet.deploy(_contract(source, "", body), sender=alice).address
        assert localnet.write(contract, "run", sender=alice).ok
        after = held()
    finally:
        json.dumps, json.JSONEncoder.encode, json.encoder.encode_basestring = before  # type: ignore[assignment]
    assert after == before


def test_address__patched_by_a_call__is_as_before_for_the_host(
    localnet: Localnet, alice: Address, source: Callable[[str], str]
) -> None:
    before = dict(vars(Address))
    try:
        contract = localnet.deploy(_contract(source, "", "Address.__init__ = None"), sender=alice).address
        assert localnet.write(contract, "run", sender=alice).ok
        after = dict(vars(Address))
    finally:
        Address.__init__ = before["__init__"]  # type: ignore[method-assign]
    assert after == before


def _plain() -> str:
    return """
        STATE = []

        class C(gl.Contract):
            def __init__(self): pass

            @gl.public.write
            def outer(self, depth: int) -> list:
                STATE.append("outer")
                gl.extra = "outer"
                inner = gl.get_contract_at(gl.message.contract_address).view().inner()
                return [inner, list(STATE), gl.extra, str(gl.message.value)]

            @gl.public.view
            def inner(self) -> list:
                STATE.append("inner")
                return [list(STATE), hasattr(gl, "extra")]
    """


def test_module_state__contract_views_itself__both_have_their_own(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    receipt = localnet.write(deploy(_plain()).address, "outer", 0, sender=alice)
    assert receipt.value == [[["inner"], False], ["outer"], "outer", "0"]


def test_module_body__that_reads_the_message__runs_for_every_call(
    localnet: Localnet, alice: Address, bob: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy("""
        SENDER = gl.message.sender_address
        RAW = gl.message_raw["sender_address"]
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> list:
                return [SENDER, RAW]
    """).address
    assert [localnet.view(contract, "get", sender=who) for who in (alice, bob)] == [[alice, alice], [bob, bob]]


def test_module_body__that_reads_the_time__runs_for_every_call(
    localnet: Localnet, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy("""
        import datetime
        LOADED = datetime.datetime.now().isoformat()
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> str:
                return LOADED
    """).address
    localnet.now = "2027-01-01T00:00:00Z"
    assert localnet.view(contract, "get") == "2027-01-01T00:00:00"


def test_module_body__that_patches_the_library__does_so_in_every_call_of_its_own(
    localnet: Localnet, deploy: Callable[..., Receipt]
) -> None:
    patching = deploy("""
        gl.extra = 1
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> int:
                return gl.extra
    """).address
    other = deploy("""
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> int:
                return getattr(gl, "extra", 0)
    """).address
    assert [localnet.view(address, "get") for address in (patching, other, patching)] == [1, 0, 1]


def test_module_names__bound_to_the_message__show_the_present_one(
    localnet: Localnet, alice: Address, bob: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy("""
        from genlayer.gl import message, message_raw
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> list:
                return [message.sender_address, message_raw["sender_address"]]
    """).address
    assert [localnet.view(contract, "get", sender=who) for who in (alice, bob)] == [[alice, alice], [bob, bob]]


def test_plain_contract__called_often__is_loaded_once(localnet: Localnet, deploy: Callable[..., Receipt]) -> None:
    contract = deploy("""
        import re, datetime, decimal, enum, dataclasses, typing, hashlib, json
        PATTERN = re.compile("a+")
        LIMITS = {"a": (1, 2), "b": [3]}
        ZERO = Address("0x" + "00" * 20)
        class Kind(enum.Enum):
            A = "a"
        @allow_storage
        @dataclasses.dataclass
        class Record:
            n: u256
        class Ping(gl.Event):
            def __init__(self, who: str, /, **blob): ...
        @gl.evm.contract_interface
        class Account:
            class View: pass
            class Write: pass
        class C(gl.Contract):
            records: TreeMap[str, Record]
            def __init__(self): pass
            @gl.public.view
            def get(self) -> str:
                return ZERO.as_hex
    """)
    localnet.view(contract.address, "get")
    code = localnet._chain.world.contracts[contract.address.as_bytes].code
    [loaded] = localnet._chain.machine._sources[code]._idle
    localnet.view(contract.address, "get")
    assert localnet._chain.machine._sources[code]._idle == [loaded]
