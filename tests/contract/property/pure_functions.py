"""The contract's own functions without a network: what is neither storage nor a call is compiled from its source alone.

Imports of the standard library, constants, `Usage`, `Nobody` and all module-level functions are taken over as they
stand; of GenVM only `Address` and the exception `gl.vm.UserError` are put in their place. So the arithmetic is tested
some thousand times a second, and independently of which standard library is in use. That the contract calls these
functions rightly is shown by the state machine, which runs the whole contract.
"""

from __future__ import annotations
import __future__

import ast
from types import SimpleNamespace
from typing import Any

from api_billing.contract_source import contract_path
from genlayer_localnet import Address

PLAIN_CLASSES = ("Usage", "Nobody")


class UserError(Exception):
    """Stands for `gl.vm.UserError`."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.code = message.removeprefix("[EXPECTED] ").split(":")[0]
        super().__init__(message)


def _is_pure(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return not str(node.module).startswith("genlayer")
    if isinstance(node, ast.ClassDef):
        return node.name in PLAIN_CLASSES
    return isinstance(node, ast.Import | ast.Assign | ast.FunctionDef)


def load() -> SimpleNamespace:
    """The functions and constants by name."""
    path = contract_path()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if _is_pure(node)]
    # Annotations name types of the standard library, which is not there.
    code = compile(tree, str(path), "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    names: dict[str, Any] = {"__name__": "billing_functions", "Address": Address}
    names["gl"] = SimpleNamespace(vm=SimpleNamespace(UserError=UserError))
    exec(code, names)
    return SimpleNamespace(**names)


contract = load()
