"""Where the billing contract's source is, and how it is made smaller for deployment."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FILE_NAME = "api_usage_billing.py"
_HEADER = re.compile(r"\A(#[^\n]*\n)+")
_EMPTY_BODY = re.compile(r":\n +(\.\.\.|pass)$", re.MULTILINE)


def contract_path() -> Path:
    """The contract of this checkout, or the copy that an installed package carries.

    Raises:
        FileNotFoundError: neither is there; the message names both places.
    """
    here = Path(__file__).resolve().parent
    places = (here.parents[1] / "contracts" / FILE_NAME, here / "contracts" / FILE_NAME)
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(f"the billing contract is neither at {places[0]} nor at {places[1]}")


def minify(source: str) -> str:
    """The same contract without comments, docstrings, private annotations and wide indentation.

    The version and runner header stays, and so does every name: schema, events, errors and behaviour do not change.

    Raises:
        SyntaxError: `source` is not Python.
        ValueError: it does not begin with a runner header.
    """
    header = _HEADER.match(source)
    if header is None:
        raise ValueError("the source does not begin with a version and runner header")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef) and _is_private(node):
            _drop_annotations(node)
    lines = ast.unparse(ast.fix_missing_locations(tree)).splitlines()
    body = "\n".join(_narrow(line) for line in lines if line)
    return header.group() + "\n" + _EMPTY_BODY.sub(r":\1", body) + "\n"


def _is_private(function: ast.FunctionDef) -> bool:
    # A constructor's annotations mean something: schema for a contract, topics for an event.
    return function.name.startswith("_") and function.name != "__init__"


def _drop_annotations(function: ast.FunctionDef) -> None:
    function.returns = None
    for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
        argument.annotation = None
    for starred in (function.args.vararg, function.args.kwarg):
        if starred is not None:
            starred.annotation = None


def _narrow(line: str) -> str:
    """One space for each level of indentation; ast.unparse writes four, and every text on a single line."""
    text = line.lstrip(" ")
    return " " * ((len(line) - len(text)) // 4) + text
