"""What a contract does to the interpreter that it shares: nothing of it is there afterwards, and it cannot end it."""

from __future__ import annotations

import builtins
import decimal
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Receipt
from genlayer_localnet.interpreter.console import MAX_OUTPUT_CHARACTERS

BODY = """# v0.2.16
# { "Depends": "py-genlayer:test" }

import decimal, os, signal, sys, threading, _thread
from genlayer import *


class Doing(gl.Contract):
    def __init__(self):
        pass

    @gl.public.write
    def run(self, code: str) -> None:
        exec(code, globals())
"""
Run = Callable[[str], Receipt]


@pytest.fixture
def run(localnet: Localnet, alice: Address) -> Run:
    contract = localnet.deploy(BODY, sender=alice).address
    return lambda code: localnet.write(contract, "run", code, sender=alice)


def _state() -> dict[str, Any]:
    return {
        "builtins": dict(vars(builtins)),
        "modules": {name: id(module) for name, module in sys.modules.items()},
        "looked for": (list(sys.path), list(sys.meta_path), list(sys.path_hooks)),
        "traced": (sys.gettrace(), sys.getprofile()),
        "depth": sys.getrecursionlimit(),
        "precision": decimal.getcontext().prec,
    }


@pytest.mark.parametrize(
    "code",
    [
        "import builtins; builtins.sorted = None; builtins.new = 1; del builtins.vars",
        "import builtins; builtins.isinstance = lambda *a: 1 / 0",
        "__builtins__['sorted'] = None",
        "sys.modules.clear()",
        "sys.modules = {}",
        "sys.modules['json'] = sys.modules['not there'] = type(sys)('json')",
        "del sys.modules['json'], sys.modules['genlayer_localnet.calldata']",
        "sys.path.clear(); sys.meta_path.clear(); sys.path_hooks.clear()",
        "sys.path = sys.meta_path = []",
        "sys.settrace(lambda *a: 1 / 0)",
        "sys.setprofile(lambda *a: 1 / 0)",
        "sys.setrecursionlimit(200)",
        "decimal.getcontext().prec = 3",
        "sys.stdout = sys.stderr = sys.stdin = None",
    ],
)
def test_interpreter__changed_by_a_contract__is_put_back(run: Run, code: str) -> None:
    run("pass")
    before = _state()
    run(code)
    assert _state() == before
    assert run("print(sorted('ba'), decimal.Decimal(1) / 3)").stdout == f"['a', 'b'] {decimal.Decimal(1) / 3}\n"


def test_modules__that_a_contract_imports__stay(run: Run) -> None:
    sys.modules.pop("this_is_none", None)
    sys.modules.pop("wave", None)
    assert run("import wave").kind == "return"
    assert "wave" in sys.modules


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("os._exit(0)", "return"),
        ("os._exit(7)", "exit_code 7"),
        ("os.abort()", "exit_code 134"),
        ("_thread.interrupt_main()", "exit_code 1"),
        ("signal.raise_signal(signal.SIGINT)", "exit_code 1"),
        ("os.kill(os.getpid(), 0)", "exit_code 1"),
        ("os.fork() or os._exit(0)", "exit_code 1"),
        ("signal.alarm(600); signal.alarm(0)", "exit_code 1"),
        ("signal.setitimer(signal.ITIMER_REAL, 0)", "exit_code 1"),
        ("signal.signal(signal.SIGUSR2, signal.SIG_DFL)", "exit_code 1"),
        ("threading.Thread(target=print).start()", "exit_code 1"),
        ("_thread.start_new_thread(print, ())", "exit_code 1"),
        ("from concurrent.futures import ThreadPoolExecutor as E; E().submit(print)", "exit_code 1"),
        ("threading.Timer(0, print).start()", "exit_code 1"),
    ],
)
def test_process__ended_or_given_threads_by_a_contract__is_the_calls_result(run: Run, code: str, result: str) -> None:
    before = sys._current_frames().keys()
    receipt = run(code)
    assert (receipt.message or receipt.kind, sys._current_frames().keys()) == (result, before)


def test_thread__refused__is_as_on_the_network(run: Run) -> None:
    assert "RuntimeError: can't start new thread" in run("threading.Thread(target=print).start()").stderr
    assert json.dumps([1]) == "[1]"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output__without_end__is_cut(run: Run, stream: str) -> None:
    receipt = run(f"for _ in range(200): sys.{stream}.write('x' * 10_000)")
    assert getattr(receipt, stream) == "x" * MAX_OUTPUT_CHARACTERS


def test_output__cut__still_has_the_error(run: Run) -> None:
    receipt = run("sys.stderr.write('x' * 2_000_000); raise ValueError('why')")
    assert receipt.stderr.endswith("ValueError: why\n")


def _importing(localnet: Localnet, alice: Address, statement: str) -> Receipt:
    source = BODY.replace("from genlayer import *", f"from genlayer import *\n{statement}\n")
    return localnet.deploy(source, sender=alice)


@pytest.mark.parametrize(
    "statement",
    [
        "import subprocess",
        "import socket",
        "from ctypes import CDLL",
        "import multiprocessing.pool",
        "import mmap",
        "import pytest",
        "import requests",
        "from genlayer_localnet import Localnet",
        "import no_such_module",
    ],
)
def test_import__of_what_the_network_has_not__is_refused(localnet: Localnet, alice: Address, statement: str) -> None:
    receipt = _importing(localnet, alice, statement)
    assert (receipt.message, "ModuleNotFoundError: No module named" in receipt.stderr) == ("exit_code 1", True)


@pytest.mark.parametrize(
    "statement",
    [
        "import json, re, os, sys, typing, dataclasses, hashlib, urllib.parse, asyncio, logging",
        "import genlayer.gl",
        "import cloudpickle",
        "import collections.abc, email.message, importlib.util, unittest.mock, uuid",
    ],
)
def test_import__of_what_the_network_has__is_there(localnet: Localnet, alice: Address, statement: str) -> None:
    assert _importing(localnet, alice, statement).kind == "return"


def test_import__in_a_method_and_a_block__is_looked_at_too(localnet: Localnet, alice: Address) -> None:
    method = """
    @gl.public.write
    def fetch(self) -> str:
        def block():
            import requests
            return "there"
        return gl.eq_principle.strict_eq(block)
"""
    contract = localnet.deploy(BODY + method, sender=alice).address
    assert localnet.write(contract, "fetch", sender=alice).kind == "vm_error"
