"""The contract's source, read with `ast`: what it declares, without running it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from api_billing.contract_source import contract_path


@cache
def tree() -> ast.Module:
    return ast.parse(Path(contract_path()).read_text(encoding="utf-8"))


@cache
def errors() -> dict[str, str]:
    """Every code that the source refuses with, and its text: that of TEXTS, else the code in words."""
    table = next(n for n in tree().body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "TEXTS")
    texts: dict[str, str] = ast.literal_eval(table.value)
    codes = dict.fromkeys([*texts, *(code for node in ast.walk(tree()) for code in _codes_at(node))])
    return {code: texts.get(code, code.replace("_", " ")) for code in codes}


def _codes_at(node: ast.AST) -> Iterator[str]:
    """Codes stand in what `_fail`, `_require` and `_int` are told, in what `code` and `codes` are set to, in pairs of a
    limit and a code, and in what functions return.
    """
    told: list[ast.expr | None] = []
    if isinstance(node, ast.Call):
        arguments = {"_fail": node.args[:1], "_require": node.args[1:2], "_int": node.args[2:]}
        told.extend(arguments.get(ast.unparse(node.func), []))
    elif isinstance(node, ast.Return) or (isinstance(node, ast.Assign) and _sets_a_code(node)):
        told.append(node.value)
    elif isinstance(node, ast.For):
        pairs = [part for part in ast.walk(node.iter) if isinstance(part, ast.Tuple) and len(part.elts) == 2]
        told.extend(pair.elts[1] for pair in pairs if not isinstance(pair.elts[0], ast.Constant))
    elif isinstance(node, ast.arguments):
        told.extend(default for arg, default in _defaults(node) if arg.startswith("too_"))
    for each in told:
        yield from _texts(each)


def _sets_a_code(node: ast.Assign) -> bool:
    return ast.unparse(node.targets[0]).rstrip(")").endswith(("code", "codes"))


def _texts(node: ast.expr | None) -> Iterator[str]:
    """Texts that an expression can be, or has as elements; in the form of a code."""
    if isinstance(node, ast.Constant):
        if re.fullmatch("[a-z]+(_[a-z0-9]+)+", str(node.value)):
            yield node.value
    elif isinstance(node, ast.Tuple):
        for element in node.elts:
            yield from _texts(element)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from _texts(node.left)


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    named = [*arguments.posonlyargs, *arguments.args]
    defaults = arguments.defaults
    for arg, default in zip(named[len(named) - len(defaults) :], defaults, strict=True):
        yield arg.arg, default


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
