"""The library of the v0.3 line in a process that has no host; and what of it needs none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.address import Address

SOURCES = Path(calldata.__file__).parents[1]
STD = Path(calldata.__file__).parent / "std" / "v03"


def run(program: str, stdin: bytes = b"", **environment: str) -> str:
    variables = {**os.environ, **environment, "PYTHONPATH": f"{SOURCES}{os.pathsep}{STD}"}
    done = subprocess.run([sys.executable, "-c", program], input=stdin, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_import__of_the_package__leaves_stdin_alone() -> None:
    program = "import genlayer as gl, sys; gl.calldata, gl.storage, gl.vm; print(gl.IS_IN_VM, sys.stdin.read())"
    assert run(program, b"still here") == "False still here"


@pytest.mark.parametrize("stdin", [b"", b"no calldata", calldata.encode({}), calldata.encode([1])])
def test_message__not_given__raises_when_asked_for(stdin: bytes) -> None:
    program = """
import genlayer as gl
print(hasattr(gl.message, "raw"), hasattr(gl.chain, "id"))
try:
    gl.message.sender_address
except AttributeError as error:
    print(error)
"""
    assert run(program, stdin) == "False False\ngl.message.sender_address: no message was given to this process"


def test_message__given__is_read() -> None:
    address = Address(b"\1" * 20)
    message: dict[str, Any] = {"contract_address": address, "sender_address": address, "origin_address": address}
    program = "from genlayer import chain, message as m; print(m.value, m.datetime, chain.id, m.raw['value'])"
    stdin = calldata.encode({**message, "value": 5, "chain_id": 1, "datetime": "2026-01-15T12:00:00Z"})
    assert run(program, stdin) == "5 2026-01-15T12:00:00Z 1 5"


def test_fake_vm__is_not_in_the_vm() -> None:
    program = """
import sys, types
sys.modules["_genlayer_wasi"] = types.ModuleType("_genlayer_wasi")
sys.modules["_genlayer_wasi"].FAKE_VM = {fake}
import genlayer as gl
print(gl.IS_IN_VM)
"""
    assert [run(program.format(fake=fake)) for fake in (True, False)] == ["False", "True"]


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("print(dict(gl.storage.inmem_allocate(TreeMap[str, u8])))", "{}"),
        ("print(gl.storage.inmem_allocate(Array[u8, typing.Literal[4]])[1:3])", "[0,0]"),
        ("a = inmem_allocate(DynArray[u8]); print(a.assign(range(3)) is a, a[1:], a)", "True [1, 2] [0,1,2]"),
        ("m = inmem_allocate(TreeMap[str, u8]); print(m.assign({'b': 1, 'a': 2}) is m, m)", "True {'a':2,'b':1}"),
        ("Root.get().code.get().append(1)", "RuntimeError: there is no GenVM host here that could do storage_read"),
        ("print(gl.storage.InmemManager().get_store_slot(bytes(32)).cast(u8, 3))", "0"),
        ("s = slot(1); s.write(2, b'x'); print(s.read(1, 3), s.as_int())", "b'\\x00x\\x00' 1"),
        ("gl.storage.inmem_allocate(Literal)", "GenerationError: "),
        ("gl.storage.inmem_allocate(Array[u8, u8])", "GenerationError: the length of an Array"),
        ("gl.storage.inmem_allocate(DynArray[typing.Literal[1]])", "GenerationError: Literal types"),
        ("gl.storage.inmem_allocate(DynArray)", "GenerationError: Unbound generic"),
        ("gl.storage.inmem_allocate(TreeMap[str, u8]).get_or_insert_default(key='a')", "TypeError: "),
        ("gl.storage.inmem_allocate(TreeMap[str, u8]).compute_if_absent('a', make=int)", "TypeError: "),
        ("print(gl.evm.type_name_of(list[gl.storage.DynArray[u16]]))", "uint16[][]"),
        ("gl.evm.type_name_of(bigint)", "TypeError: no ABI type"),
        ("print(gl.calldata.encode([memoryview(b'ab'), {'a': memoryview(b'')}]).hex())", "1513616"),
        ("gl.contract.get_at('0x' + '00' * 20)", "TypeError: address expected"),
        ("print(pickle.loads(pickle.dumps(gl.vm.UserError([1]))) == gl.vm.UserError([1]))", "True"),
        ("print(hash(gl.vm.UserError([1])) == hash(gl.vm.UserError([1])))", "True"),
        ("a = Address.ZERO; print(type(pickle.loads(pickle.dumps(a))) is type(Address(a)), f'{a:cd}')", "True addr#00"),
        ("f'{Address.ZERO:q}'", "TypeError: unsupported format"),
        ("print(gl.vm.unpack_result(gl.vm.Return(4)))", "4"),
        ("gl.old_name", "AttributeError: module 'genlayer' has no attribute 'old_name'"),
    ],
)
def test_expression__without_a_host__is_as_documented(program: str, printed: str) -> None:
    lines = f"""
import typing
import genlayer as gl
from genlayer.types import *
from genlayer.storage import *
from typing import Literal
import pickle
slot = lambda number: gl.storage.InmemManager().get_store_slot(number.to_bytes(32, "little"))
try:
    exec({program!r})
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
    assert run(lines).startswith(printed)
