"""Writes docs/contract-reference.md: methods from the contract's source, codes and events from `contract_api`.

Run it after every change of the contract (`make docs`); a test compares the file with what this prints.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from api_billing.contract_api import EVENTS, Code, in_words

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
    parts.append("## Error codes\n\nA refusal reads `[EXPECTED] <code>: <text>`.\n\n| code | meaning |\n|---|---|")
    parts.extend(f"| `{code}` | {in_words(code)} |" for code in Code)
    parts.append("\n## Events\n\nEach is emitted and printed as one line, `[Name] key=value …`.\n")
    parts.append("| event | indexed fields | further fields |\n|---|---|---|")
    parts.extend(f"| `{event}` | {_codes(of.indexed)} | {_codes(of.others)} |" for event, of in EVENTS.items())
    return "\n".join(parts) + "\n"


def _method(method: ast.FunctionDef) -> str:
    arguments = ast.unparse(method.args).removeprefix("self").removeprefix(", ")
    returns = f" -> {ast.unparse(method.returns)}" if method.returns and ast.unparse(method.returns) != "None" else ""
    payable = " · payable" if "payable" in _flags(method) else ""
    doc = ast.get_docstring(method) or ""
    return f"### `{method.name}`{payable}\n\n```python\n{method.name}({arguments}){returns}\n```\n\n{doc}\n"


def _is(node: ast.ClassDef, base: str) -> bool:
    return any(ast.unparse(b) == base for b in node.bases)


def _flags(method: ast.FunctionDef) -> set[str]:
    decorators = [ast.unparse(d) for d in method.decorator_list]
    return {part for d in decorators if d.startswith("gl.public.") for part in d.removeprefix("gl.public.").split(".")}


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    raise SystemExit(main())
