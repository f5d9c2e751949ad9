"""Writes docs/contract-reference.md from the contract's source: methods, error codes, events, with their own words.

Run it after every change of the contract (`make docs`); a test compares the file with what this prints.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "contracts" / "api_usage_billing.py"
REFERENCE = ROOT / "docs" / "contract-reference.md"

HEAD = """\
# Contract reference

Generated from `contracts/api_usage_billing.py` by `tools/contract_reference.py`; do not edit. How the rules fit
together is told in [contract.md](contract.md).

Every method also fails with `bad_type`, `number_too_large`, `negative_number`, `bad_name`, `api_name_required` or
`bad_address` when an argument is not what its name says, and with `api_not_registered` for a name nobody registered.
"""


def main() -> int:
    """Write the reference; with --check only say whether it is current."""
    text = reference(CONTRACT.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        return 0 if REFERENCE.exists() and REFERENCE.read_text(encoding="utf-8") == text else 1
    REFERENCE.write_text(text, encoding="utf-8")
    print(f"wrote {REFERENCE.relative_to(ROOT)}")
    return 0


def reference(source: str) -> str:
    """The whole page as Markdown."""
    tree = ast.parse(source)
    contract = next(n for n in tree.body if isinstance(n, ast.ClassDef) and _is(n, "gl.Contract"))
    methods = [n for n in contract.body if isinstance(n, ast.FunctionDef) and _flags(n)]
    parts = [HEAD]
    for title, wanted in (("Writes", "write"), ("Views", "view")):
        parts.append(f"## {title}\n")
        parts.extend(_method(method) for method in methods if wanted in _flags(method))
    parts.append("## Error codes\n\nA refusal reads `[EXPECTED] <code>: <text>`.\n\n| code | text |\n|---|---|")
    parts.extend(f"| `{code}` | {text} |" for code, text in error_texts(tree).items())
    parts.append("\n## Events\n\nEach is emitted and printed as one line, `[Name] key=value …`.\n")
    parts.append("| event | indexed fields | further fields |\n|---|---|---|")
    fields = _announced(tree)
    for event in (n for n in tree.body if isinstance(n, ast.ClassDef) and _is(n, "gl.Event")):
        indexed = indexed_fields(event)
        others = [name for name in fields.get(event.name, ()) if name not in indexed]
        parts.append(f"| `{event.name}` | {_codes(indexed)} | {_codes(others)} |")
    return "\n".join(parts) + "\n"


def error_texts(tree: ast.Module) -> dict[str, str]:
    """Code to text, from the table ERRORS at the top of the contract."""
    table = next(n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "ERRORS")
    lines = next(n.value for n in ast.walk(table) if isinstance(n, ast.Constant) and "\n" in str(n.value))
    return dict(line.split(": ") for line in str(lines).splitlines())


def indexed_fields(event: ast.ClassDef) -> list[str]:
    """The positional-only parameters of the event's constructor, without self."""
    init = next(n for n in event.body if isinstance(n, ast.FunctionDef))
    return [arg.arg for arg in init.args.posonlyargs[1:]]


def _method(method: ast.FunctionDef) -> str:
    arguments = ast.unparse(method.args).removeprefix("self").removeprefix(", ")
    returns = f" -> {ast.unparse(method.returns)}" if method.returns and ast.unparse(method.returns) != "None" else ""
    payable = " · payable" if "payable" in _flags(method) else ""
    doc = ast.get_docstring(method) or ""
    return f"### `{method.name}`{payable}\n\n```python\n{method.name}({arguments}){returns}\n```\n\n{doc}\n"


def _announced(tree: ast.Module) -> dict[str, list[str]]:
    """Names of the fields each event is announced with; a ** argument is resolved by its literal or its assignment."""
    found: dict[str, list[str]] = {}
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call) and ast.unparse(n.func) == "_announce"):
            names = found.setdefault(ast.unparse(call.args[0]), [])
            for keyword in call.keywords:
                fields = [keyword.arg] if keyword.arg else _keys(keyword.value, function, tree)
                names.extend(name for name in fields if name not in names)
    return found


def _keys(node: ast.expr, function: ast.FunctionDef, tree: ast.Module) -> list[str]:
    """Keys of a dict expression, following local names and `self._plan(…)`, the only ways the contract builds one."""
    if isinstance(node, ast.Dict):
        found: list[str] = []
        for key, value in zip(node.keys, node.values, strict=True):
            found += [str(key.value)] if isinstance(key, ast.Constant) else _keys(value, function, tree)
        return found
    if isinstance(node, ast.DictComp):
        return [str(part.value) for part in ast.walk(node.generators[0].iter) if isinstance(part, ast.Constant)]
    if isinstance(node, ast.Name):
        assigned = [n for n in ast.walk(function) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == node.id]
        if assigned:
            return _keys(assigned[0].value, function, tree)
    return _plan_fields(tree)


def _plan_fields(tree: ast.Module) -> list[str]:
    plan = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Plan")
    return [ast.unparse(n.target) for n in plan.body if isinstance(n, ast.AnnAssign)]


def _is(node: ast.ClassDef, base: str) -> bool:
    return any(ast.unparse(b) == base for b in node.bases)


def _flags(method: ast.FunctionDef) -> set[str]:
    decorators = [ast.unparse(d) for d in method.decorator_list]
    return {part for d in decorators if d.startswith("gl.public.") for part in d.removeprefix("gl.public.").split(".")}


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    raise SystemExit(main())
