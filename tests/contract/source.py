"""The contract's source, read with `ast`: what it declares, without running it."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from api_billing.contract_source import contract_path


@cache
def tree() -> ast.Module:
    return ast.parse(Path(contract_path()).read_text(encoding="utf-8"))


@cache
def errors() -> dict[str, str]:
    """The table ERRORS: code to text."""
    table = next(n for n in tree().body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "ERRORS")
    table_of: dict[str, str] = eval(compile(ast.Expression(table.value), "ERRORS", "eval"), {"dict": dict})
    return table_of


def classes(base: str) -> list[ast.ClassDef]:
    return [n for n in tree().body if isinstance(n, ast.ClassDef) and [ast.unparse(b) for b in n.bases] == [base]]


def event_fields() -> dict[str, list[ast.arg]]:
    """Indexed parameters of every event."""
    inits = {event.name: next(n for n in event.body if isinstance(n, ast.FunctionDef)) for event in classes("gl.Event")}
    return {name: init.args.posonlyargs[1:] for name, init in inits.items()}


@cache
def public_methods() -> dict[str, ast.FunctionDef]:
    (contract,) = classes("gl.Contract")
    return {
        node.name: node
        for node in contract.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).startswith("gl.public.") for decorator in node.decorator_list)
    }


def is_view(method: str) -> bool:
    return ast.unparse(public_methods()[method].decorator_list[0]) == "gl.public.view"


def is_payable(method: str) -> bool:
    return ast.unparse(public_methods()[method].decorator_list[0]).endswith(".payable")


def parameters(method: str) -> list[str]:
    return [arg.arg for arg in public_methods()[method].args.args[1:]]


def required(method: str) -> int:
    """How many parameters have no default."""
    return len(parameters(method)) - len(public_methods()[method].args.defaults)


def texts_in(node: ast.AST) -> set[Any]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
