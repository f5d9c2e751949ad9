"""Which attributes a source text can assign to: what it cannot, need not be looked at after each of its runs."""

from __future__ import annotations

import ast
from dataclasses import dataclass

_INDIRECT_ATTRIBUTES = frozenset(
    {
        "__bases__", "__class__", "__code__", "__defaults__", "__delattr__", "__dict__", "__globals__",
        "__kwdefaults__", "__setattr__", "__setitem__", "__subclasses__",
    }
)  # fmt: skip
_INDIRECT_NAMES = frozenset(
    {
        "__builtins__", "__import__", "builtins", "cloudpickle", "compile", "ctypes", "delattr", "eval", "exec", "gc",
        "globals", "importlib", "inspect", "mock", "pickle", "setattr", "sys", "types", "unittest", "update_wrapper",
        "vars",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assignments:
    names: frozenset[str]
    """Attributes, of whatever object, and global names that are assigned to or deleted."""
    closures: bool
    """Variables of enclosing functions are assigned to."""
    indirect: bool
    """There are other ways in the text to assign to attributes: ``names`` then has every text that could be one."""
    modules: frozenset[str] = frozenset()
    """Names of modules that it imports anywhere, also within functions."""


ANYTHING = Assignments(frozenset(), closures=True, indirect=True)


def assignments_in(tree: ast.AST) -> Assignments:
    """Read the syntax tree of a module."""
    names: set[str] = set()
    classes: set[str] = set()
    texts: set[str] = set()
    modules: set[str] = set()
    closures = indirect = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if not isinstance(node.ctx, ast.Load):
                names.add(node.attr)
            indirect = indirect or node.attr in _INDIRECT_ATTRIBUTES
        elif isinstance(node, ast.ClassDef):
            classes.add(node.name.lstrip("_"))
        elif isinstance(node, ast.Name):
            indirect = indirect or node.id in _INDIRECT_NAMES
        elif isinstance(node, ast.alias):
            indirect = indirect or not _INDIRECT_NAMES.isdisjoint(node.name.split("."))
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Global):
            names.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            closures = True
        elif isinstance(node, ast.Call):
            indirect = indirect or _is_computed_getattr(node)
            modules.update(_named_by_import(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            texts.add(node.value)
    private = [name for name in names if name.startswith("__") and not name.endswith("__")]
    names.update(f"_{cls}{name}" for cls in classes for name in private)  # as Python stores them
    return Assignments(frozenset(names | texts if indirect else names), closures, indirect, frozenset(modules))


def _named_by_import(call: ast.Call) -> set[str]:
    """What ``__import__("json")`` or ``importlib.import_module("json")`` names."""
    name = getattr(call.func, "id", getattr(call.func, "attr", None))
    texts = [each.value for each in call.args[:1] if isinstance(each, ast.Constant)]
    return {text for text in texts if isinstance(text, str)} if name in ("__import__", "import_module") else set()


def _is_computed_getattr(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Name) or call.func.id != "getattr" or len(call.args) < 2:
        return False
    name = call.args[1]
    return not (isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("__"))
