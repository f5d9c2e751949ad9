"""The library in a process that has no host, no message, or both."""

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
STD = Path(calldata.__file__).parent / "std" / "v02"


def run(program: str, stdin: bytes, **environment: str) -> str:
    variables = {**os.environ, **environment, "PYTHONPATH": f"{SOURCES}{os.pathsep}{STD}"}
    done = subprocess.run([sys.executable, "-c", program], input=stdin, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_import__of_the_package__leaves_stdin_alone() -> None:
    program = "import genlayer, genlayer.py.calldata, genlayer.py.storage, sys; print(sys.stdin.read())"
    assert run(program, b"still here") == "still here"


@pytest.mark.parametrize("stdin", [b"", b"no calldata", calldata.encode({}), calldata.encode([1])])
def test_message__not_given__raises_when_asked_for(stdin: bytes) -> None:
    program = """
from genlayer import *
print(hasattr(gl, "message"), hasattr(gl, "message_raw"))
try:
    gl.message
except AttributeError as error:
    print(error)
"""
    assert run(program, stdin) == "False False\ngl.message: no message was given to this process"


def test_message__docs_are_generated__is_not_read() -> None:
    program = "from genlayer import *; import sys; print(hasattr(gl, 'message'), sys.stdin.read())"
    assert run(program, b"still here", GENERATING_DOCS="true") == "False still here"


def test_message__given__is_read() -> None:
    address = Address(b"\1" * 20)
    message: dict[str, Any] = {"contract_address": address, "sender_address": address, "origin_address": address}
    program = "from genlayer import *; print(gl.message.value, gl.message_raw['datetime'])"
    stdin = calldata.encode({**message, "value": 5, "chain_id": 1, "datetime": "2026-01-15T12:00:00Z"})
    assert run(program, stdin) == "5 2026-01-15T12:00:00Z"


def test_storage__without_host__works_in_memory_and_says_what_is_missing() -> None:
    program = """
from genlayer import *
print(dict(gl.storage.inmem_allocate(TreeMap[str, u8])))
try:
    gl.storage.Root.get().code.get().append(1)
except RuntimeError as error:
    print(error)
"""
    assert run(program, b"") == "{}\nthere is no GenVM host here that could do storage_read"
