"""The contract's own functions without a network: what is neither storage nor a call is compiled from its source alone.

Imports of the standard library, constants, the classes without storage and all module-level functions are taken over as
they stand, and methods of the contract on request; of GenVM only `Address`, `Keccak256`, the exception
`gl.vm.UserError` and what a test says of `gl.message` are put in their place. So the arithmetic is tested
some thousand times a second, and independently of which standard library is in use. That the contract calls these
functions rightly is shown by the state machine, which runs the whole contract.
"""

from __future__ import annotations
import __future__

import ast
from types import CodeType, SimpleNamespace
from typing import Any

from eth_utils import keccak

from api_billing.contract_source import contract_path
from genlayer_localnet import Address

PLAIN_CLASSES = ("Usage", "Nobody", "Voucher")


class UserError(Exception):
    """Stands for `gl.vm.UserError`."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.code = message.removeprefix("[EXPECTED] ").split(":")[0]
        super().__init__(message)


class Keccak256:
    """Stands for that of the standard library."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def digest(self) -> bytes:
        return bytes(keccak(self._data))


def _is_pure(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return not str(node.module).startswith("genlayer")
    if isinstance(node, ast.ClassDef):
        return node.name in PLAIN_CLASSES
    return isinstance(node, ast.Import | ast.Assign | ast.FunctionDef)


def load() -> SimpleNamespace:
    """The functions and constants by name."""
    names: dict[str, Any] = {"__name__": "billing_functions", "Address": Address, "Keccak256": Keccak256}
    names["gl"] = SimpleNamespace(vm=SimpleNamespace(UserError=UserError))
    exec(_compiled([node for node in _tree().body if _is_pure(node)]), names)
    return SimpleNamespace(**names)


def methods(*wanted: str, message: SimpleNamespace) -> SimpleNamespace:
    """Methods of the contract as functions of a `self` of the test's own, with this `gl.message`."""
    (body,) = [node.body for node in _tree().body if isinstance(node, ast.ClassDef) and node.name == "ApiUsageBilling"]
    names = {**vars(contract), "gl": SimpleNamespace(message=message)}
    exec(_compiled([node for node in _tree().body if isinstance(node, ast.FunctionDef)]), names)
    exec(_compiled([node for node in body if isinstance(node, ast.FunctionDef) and node.name in wanted]), names)
    return SimpleNamespace(**{name: names[name] for name in wanted})


def _tree() -> ast.Module:
    return ast.parse(contract_path().read_text(encoding="utf-8"))


def _compiled(body: list[ast.stmt]) -> CodeType:
    tree = ast.Module(body, type_ignores=[])
    # Annotations name types of the standard library, which is not there.
    flags = __future__.annotations.compiler_flag
    return compile(tree, str(contract_path()), "exec", flags=flags, dont_inherit=True)


contract = load()
