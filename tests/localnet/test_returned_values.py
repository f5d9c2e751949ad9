"""Whatever a contract returns or raises, there is a receipt; the host and its readers of receipts never fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genlayer_localnet import Address, ContractRejected, Localnet, Receipt

BODY = """
from collections.abc import Sequence, Mapping
import collections, dataclasses, enum

class List(Sequence):
    length = 0
    def __len__(self): return self.length
    def __getitem__(self, index): raise IndexError

class Long(List):
    length = 5

class Negative(List):
    length = -1

class Raising(Sequence):
    def __len__(self): return 1
    def __getitem__(self, index): raise BaseException("item")

class Map(Mapping):
    def __len__(self): return 3
    def __iter__(self): return iter(["a", "a", "b"])
    def __getitem__(self, key): return 1

class Unlucky(Mapping):
    def __len__(self): return 1
    def __iter__(self): return iter(["a"])
    def __getitem__(self, key): raise KeyError(key)

class Text(str):
    def __eq__(self, other): return self is other
    __hash__ = object.__hash__
    def __lt__(self, other): return False
    def encode(self, *args): return b"\\xff"

class Number(int):
    def __int__(self): raise ValueError("number")

class Bytes(bytes):
    def __bytes__(self): raise ValueError("bytes")

class Place(Address):
    as_bytes = b"short"

class Growing:
    def __init__(self, home): self.home = home
    def __to_calldata__(self):
        if len(self.home) < 5:
            self.home.append(Growing(self.home))
        return len(self.home)

class Endless:
    def __to_calldata__(self): return self

class Liar:
    __class__ = property(lambda self: 1 // 0)

class Unprintable(Exception):
    def __str__(self): raise BaseException("text")
    __repr__ = __str__

class BadCode:
    def __eq__(self, other): raise BaseException("code")
    def __str__(self): raise BaseException("code")

class BadUserError(gl.vm.UserError):
    message = property(lambda self: 1 // 0, lambda self, value: None)

@dataclasses.dataclass
class Record:
    inner: object

class Returning(gl.Contract):
    def __init__(self): pass

    @gl.public.write
    def give(self) -> typing.Any:
        {line}

    @gl.public.view
    def show(self) -> typing.Any:
        {line}
"""
FAILING = {
    "nested lists": "value = 1\nfor _ in range(300): value = [value]\nreturn value",
    "nested maps": "value = 1\nfor _ in range(300): value = {'a': value}\nreturn value",
    "nested records": "value = 1\nfor _ in range(300): value = Record(value)\nreturn value",
    "very deep": "value = 1\nfor _ in range(100_000): value = [value]\nreturn value",
    "memoryview": "return memoryview(b'text')",
    "nested memoryview": "return {'a': [memoryview(b'text')]}",
    "cycle": "value = []\nvalue.append(value)\nreturn value",
    "cycle through a map": "value = {}\nvalue['a'] = [value]\nreturn value",
    "endless": "return Endless()",
    "surrogate": "return 'a\\ud800'",
    "surrogate key": "return {'\\ud800': 1}",
    "negative length": "return Negative()",
    "raising item": "return Raising()",
    "raising value": "return Unlucky()",
    "number": "return Number(5)",
    "bytes": "return Bytes(b'5')",
    "no class": "return Liar()",
    "float": "return [1.5]",
    "enum": "return enum.Enum('E', 'a').a",
    "class": "return Record",
    "generator": "return (n for n in [1])",
    "key of another type": "return {1: 2}",
    "exception": "raise Unprintable()",
    "exit code that cannot be compared": "raise SystemExit(BadCode())",
    "huge exit code": "raise SystemExit(10**5000)",
    "message that raises": "raise BadUserError('no')",
    "text of another encoding": "raise ValueError('\\ud800')",
}
GIVING = {
    "wrong length": ("return Long()", []),
    "wrong number of keys": ("return Map()", {"a": 1, "b": 1}),
    "text": ("return Text('é')", "é"),
    "texts as keys": ("return {Text('b'): 1, Text('a'): 2, Text('b'): 3}", {"a": 2, "b": 3}),
    "address": ("return Place(bytes(20))", Address(bytes(20))),
    "growing": ("value = []\nvalue.append(Growing(value))\nreturn value", [2]),
    "huge integer": ("return -(1 << 200_000)", -(1 << 200_000)),
}


@pytest.fixture
def returning(deploy: Callable[..., Receipt]) -> Callable[[str], Address]:
    """Deploys a contract whose methods run these lines."""

    def make(lines: str) -> Address:
        body = lines.replace("\n", "\n        ")
        return deploy("import typing\n" + BODY.replace("{line}", body)).address

    return make


@pytest.mark.parametrize("lines", FAILING.values(), ids=list(FAILING))
def test_returned__cannot_be_encoded__is_a_receipt_with_an_error(
    localnet: Localnet, alice: Address, returning: Callable[[str], Address], lines: str
) -> None:
    contract = returning(lines)
    receipt = localnet.write(contract, "give", sender=alice)
    assert (receipt.ok, receipt.value) == (False, None)
    assert receipt.kind == "vm_error" or "BadUserError" in lines
    with pytest.raises(ContractRejected):
        localnet.view(contract, "show")


@pytest.mark.parametrize(("lines", "value"), GIVING.values(), ids=list(GIVING))
def test_returned__of_an_odd_class__is_what_it_holds(
    localnet: Localnet, alice: Address, returning: Callable[[str], Address], lines: str, value: object
) -> None:
    contract = returning(lines)
    assert localnet.write(contract, "give", sender=alice).value == value
    assert localnet.view(contract, "show") == value
