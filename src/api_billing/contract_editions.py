"""The two editions of a contract: its source is of the v0.2 line of GenVM, and the one for v0.3 is made of that.

Header, imports and names change, and no logic. What the newer library calls otherwise stands in tables; a name of the
older one that is in none is an error, and so is what means something else there. Comments stay, and in comments and
texts code is translated as elsewhere.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Final

from api_billing.contract_minify import unbound_names
from api_billing.networks import HEADERS, Header, Line

# Of what stands behind `gl.`.
_NAMES: Final = {
    "Contract": "contract.Contract",
    "ContractProxy": "contract.Proxy",
    "contract_interface": "contract.interface",
    "deploy_contract": "contract.deploy",
    "get_contract_at": "contract.get_at",
    "Event": "chain.Event",
    "message_raw": "message.raw",
    "allow_storage": "storage.allow",
    "Array": "storage.Array",
    "DynArray": "storage.DynArray",
    "TreeMap": "storage.TreeMap",
    "trace": "vm.trace",
    "trace_time_micro": "vm.trace_time_micro",
    "advanced.user_error_immediate": "vm.UserError.immediate",
    "vm.run_nondet": "vm.run_nondet_default",
    "vm.run_nondet_unsafe": "vm.run_nondet",
}
_INTEGERS: Final = (f"{sign}{bits}" for sign in "iu" for bits in range(8, 257, 8))
_TYPES: Final = frozenset({"Address", "Keccak256", "Lazy", "bigint", *_INTEGERS})
_SAME_IN: Final = {
    "calldata": ("decode", "encode", "to_str"),
    "eq_principle": ("prompt_comparative", "prompt_non_comparative", "strict_eq"),
    "evm": ("contract_interface",),
    "message": ("chain_id", "contract_address", "origin_address", "sender_address", "value"),
    "nondet": ("Image", "NondetException", "exec_prompt"),
    "nondet.web": ("Response", "delete", "get", "head", "patch", "post", "render", "request"),
    "storage": ("copy_to_memory", "inmem_allocate"),
    "vm": ("Result", "Return", "UserError", "VMError", "unpack_result"),
}
_SAME: Final = {"private", "public", *_TYPES, *(f"{name}.{each}" for name in _SAME_IN for each in _SAME_IN[name])}
_STORAGE: Final = {"Array": "Array", "DynArray": "DynArray", "TreeMap": "TreeMap", "allow_storage": "allow"}
_SENDING: Final = frozenset({"emit", "emit_transfer", "deploy_contract"})

_CHAIN: Final = re.compile(r"gl((?:\.\w+)*)")
_OLD_NAME: Final = re.compile(rf"\bgl\.({'|'.join(map(re.escape, _NAMES))})\b")
_OLD_PHASE: Final = re.compile(r"""\bon=(["'])accepted\1""")
_HEADER: Final = re.compile(r"\A(?:#.*\n)+")
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)")
_PIN: Final = re.compile(r"py-genlayer:[0-9a-z]+")


def edition(source: str, line: Line, pin: str | None = None) -> str:
    """A contract for a line; ``pin`` is the runner it names, by default its own, or that of `HEADERS` for a new one.

    Raises:
        SyntaxError: `source` is not Python.
        ValueError: it has no header, or something that cannot be translated; says in which line of the source. Or the
            pin is one of another line.
    """
    old = header_of(source)
    if pin:
        _check_pin(pin, line)
    if line_of(old) == line:
        return with_header(source, Header(old.version, pin)) if pin else source
    if line == "v0.2":
        raise ValueError("a contract of the v0.3 line cannot be made one of v0.2")
    new = HEADERS[line]
    return with_header(_translated(source), Header(new.version, pin or new.pin))


# ---- headers ----


def header_of(source: str) -> Header:
    """The version, empty where none is given, and the runner that a contract names.

    Raises:
        ValueError: nodes would not know the runner; says why.
    """
    found = _HEADER.match(source)
    if found is None:
        raise ValueError("the source does not begin with a version and runner header")
    lines = [line[1:].strip() for line in found.group().splitlines()]
    version = lines.pop(0) if lines[0].startswith("v") else ""
    try:
        runner = json.loads("".join(lines))
    except ValueError:
        raise ValueError(
            "the comment lines at the top are not the JSON of a runner header: nodes read all of them as that, so an "
            "empty line must stand before any other comment"
        ) from None
    pin = runner.get("Depends") if isinstance(runner, dict) else None
    if not isinstance(pin, str) or not _PIN.fullmatch(pin):
        raise ValueError(f"the runner header has {json.dumps(runner)}, not one runner py-genlayer:HASH")
    return Header(version, pin)


def line_of(header: Header) -> Line:
    """The line that a contract is of: by its version, without one by its runner if that is known, else v0.2.

    Raises:
        ValueError: its runner is known to be of another line than its version.
    """
    version = _VERSION.match(header.version)
    if version is None:
        return _line_of_pin(header.pin) or "v0.2"
    line: Line = "v0.3" if (int(version[1]), int(version[2])) >= (0, 3) else "v0.2"
    _check_pin(header.pin, line)
    return line


def _line_of_pin(pin: str) -> Line | None:
    """None where it is not known: there are newer ones."""
    return next((line for line, known in HEADERS.items() if pin.startswith(known.pin)), None)


def _check_pin(pin: str, line: Line) -> None:
    known = _line_of_pin(pin)
    if known not in (None, line):
        raise ValueError(f"the pin {pin} is a runner of the {known} line, and the contract is of {line}")


def with_header(source: str, header: Header) -> str:
    """The contract with another header. Raises: ValueError, where its runner has no form of one."""
    if not _PIN.fullmatch(header.pin):
        raise ValueError(f"{header.pin!r} is no runner, which is py-genlayer:HASH")
    version = f"# {header.version}\n" if header.version else ""
    runner = f'# {{ "Depends": "{header.pin}" }}\n'
    return version + runner + _HEADER.sub("", source)


# ---- translation ----


def _translated(source: str) -> str:
    tree = ast.parse(source)
    names = [_new_name(*each) for each in _library_names(tree)]
    _check_meaning(tree)
    text = _with_imports(source, tree)
    text = _OLD_NAME.sub(lambda found: f"gl.{_NAMES[found[1]]}", text)
    text = _OLD_PHASE.sub(r"on=\1decided\1", text)
    for error in _error_variables(tree):
        text = re.sub(rf"\b{error}\.message\b", f"{error}.data", text)
    if [name for name, _ in _library_names(ast.parse(text))] != names:
        raise ValueError("a name of `gl` is broken into several lines, or has spaces in it")
    return text


def _library_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Whatever stands behind `gl.`, as far as it goes, and the line."""
    nodes: list[ast.AST] = [tree]
    for node in nodes:  # also those that are added meanwhile
        found = _CHAIN.fullmatch(ast.unparse(node)) if isinstance(node, ast.Attribute | ast.Name) else None
        if found:
            yield found[1][1:], node.lineno  # type: ignore[attr-defined]
        else:
            nodes.extend(ast.iter_child_nodes(node))


def _new_name(name: str, line: int) -> str:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        known, rest = ".".join(parts[:length]), parts[length:]
        if known in _NAMES or known in _SAME:
            return ".".join([_NAMES.get(known, known), *rest])
    known_below = any(each.startswith(name and f"{name}.") for each in (*_NAMES, *_SAME))
    why = "is known only with what stands behind it" if known_below else "is not known"
    raise _untranslatable(line, f"`gl{name and '.'}{name}` {why}")


def _check_meaning(tree: ast.Module) -> None:
    """Refuse what would be taken over as it stands and mean something else."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name), keywords=keywords) if name in _SENDING:
                for keyword in keywords:
                    if keyword.arg in (None, "on") and not isinstance(keyword.value, ast.Constant):
                        raise _untranslatable(node.lineno, "it is not written out when the message is sent (`on=`)")
            case ast.Try(body=body, handlers=handlers):
                caught = " ".join(ast.unparse(each.type) for each in handlers if each.type)
                asks = any("gl.nondet." in ast.unparse(each) for each in body)
                if asks and "UserError" in caught and "NondetException" not in caught:
                    raise _untranslatable(
                        node.lineno, "a request that fails is no UserError there: catch gl.nondet.NondetException, too"
                    )


def _error_variables(tree: ast.Module) -> set[str]:
    """Variables that are a UserError, whose `message` is called `data` there."""
    nodes = list(ast.walk(tree))
    errors = {each.arg for each in nodes if isinstance(each, ast.arg) and _is_error(each.annotation)}
    errors |= {
        each.name for each in nodes if isinstance(each, ast.ExceptHandler) and each.name and _is_error(each.type)
    }
    fields = {ast.unparse(each.target) for each in nodes if isinstance(each, ast.AnnAssign)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr == "message":
            owner = ast.unparse(node.value)
            if owner not in {"gl", *errors} and "message" not in fields:
                raise _untranslatable(
                    node.lineno, f"`{owner}` may be a UserError: annotate it, or catch it by that type"
                )
    return errors


def _is_error(node: ast.expr | None) -> bool:
    return node is not None and ast.unparse(node) == "gl.vm.UserError"


def _with_imports(text: str, tree: ast.Module) -> str:
    """Replace whole lines: those of the import statements of the library."""
    lines = text.splitlines(keepends=True)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(imports, key=lambda node: node.lineno, reverse=True):
        new = [each for name in node.names for each in _new_imports(node, name, tree)]
        if new:
            if node not in tree.body or ";" in "".join(lines[node.lineno - 1 : node.end_lineno]):
                raise _untranslatable(node.lineno, "an import must stand alone, at the top")
            lines[node.lineno - 1 : node.end_lineno] = [f"{each}\n" for each in dict.fromkeys(new)]
    return "".join(lines)


def _new_imports(node: ast.Import | ast.ImportFrom, name: ast.alias, tree: ast.Module) -> list[str]:
    """The statements for one name; none for other libraries."""
    module = node.module or "" if isinstance(node, ast.ImportFrom) else name.name
    if module.split(".")[0] not in ("genlayer", "_genlayer_wasi"):
        return []
    match module, name.name:
        case "genlayer", "*":
            used = set(unbound_names(tree)) - {"gl"} - _TYPES
            if used - set(_STORAGE):
                raise _untranslatable(node.lineno, f"{', '.join(sorted(used - set(_STORAGE)))}: not known")
            storage = ", ".join(_as(_STORAGE[each], each) for each in sorted(used))
            stars = ["import genlayer as gl", "from genlayer.types import *"]
            return [*stars, f"from genlayer.storage import {storage}"] if storage else stars
        case "genlayer", "gl":
            if name.asname not in (None, "gl"):
                raise _untranslatable(node.lineno, f"`gl` must keep its name, and is imported as `{name.asname}`")
            return ["import genlayer as gl"]
        case "genlayer.py", "calldata":
            return [f"from genlayer import {_as('calldata', name.asname)}"]
        case "genlayer" | "genlayer.py.types" | "genlayer.py.keccak", known if known in _TYPES:
            return [f"from genlayer.types import {_as(known, name.asname)}"]
        case "genlayer" | "genlayer.py.storage", known if known in _STORAGE:
            return [f"from genlayer.storage import {_as(_STORAGE[known], name.asname or known)}"]
    raise _untranslatable(node.lineno, f"`{ast.unparse(node)}` is not known")


def _as(name: str, own: str | None) -> str:
    return name if own in (None, name) else f"{name} as {own}"


def _untranslatable(line: int, why: str) -> ValueError:
    return ValueError(f"line {line} cannot be translated for the v0.3 line: {why}")
