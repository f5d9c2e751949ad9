"""The form in which a contract is deployed: the same contract in about half the bytes."""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, product
from keyword import iskeyword
from string import ascii_letters
from symtable import symtable

from api_billing.extras import needed_by

_HEADER = re.compile(r"\A(#[^\n]*\n)+")


@cache  # it takes most of a second, and a contract is deployed more often than it changes
def minify(source: str) -> str:
    """The same contract in about half the bytes: its deployed form, the same bytes in every process.

    The version and runner header stays, and so does all that is seen from outside: schema, events, texts, the layout of
    the storage. Comments, docstrings, and the names and annotations of what is private go.

    Raises:
        SyntaxError: `source` is not Python.
        ValueError: it does not begin with a runner header, or has more than one star import.
        MissingExtra: python-minifier is not installed.
    """
    with needed_by("the deployed form"):
        import python_minifier
    header = _HEADER.match(source)
    if header is None:
        raise ValueError("the source does not begin with a version and runner header")
    tree = ast.parse(source)
    nodes = [*ast.walk(tree)]
    outward = _outward(nodes)
    methods = _private_methods(nodes)
    indexed = [_keep_parameters(function) for function in outward]
    _free_parameters(nodes, outward)
    _import_by_name(tree, nodes)
    words = set(re.findall(r"\w+", source))
    names = _short_names("_", words)
    variables = _rename_comprehension_variables(tree, names)
    small = python_minifier.minify(
        ast.unparse(tree),
        remove_annotations=python_minifier.RemoveAnnotationsOptions(
            remove_variable_annotations=True,
            remove_argument_annotations=False,
            remove_return_annotations=False,
            remove_class_attribute_annotations=False,
        ),
        remove_literal_statements=True,
        remove_dead_branches=False,  # the functions stay those of the source
        preserve_locals=variables,
        rename_globals=True,
        preserve_globals=_known_by_name(tree),
    )
    tree = ast.parse(small)
    nodes = [*ast.walk(tree)]
    for function, count in zip(_outward(nodes), indexed, strict=True):
        arguments = function.args
        arguments.posonlyargs, arguments.args = arguments.args[:count], arguments.args[count:]
        if count and isinstance(function.body[0], ast.Expr):  # declares an event: the library looks at the name
            arguments.posonlyargs[0].arg = "self"
    _rename_methods(nodes, dict(zip(methods, _short_names("", words | _read_in_class_bodies(nodes)), strict=False)))
    return f"{header.group()}\n{python_minifier.unparse(tree)}\n"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _outward(nodes: Sequence[ast.AST]) -> list[ast.FunctionDef]:
    """Functions whose parameters mean something to others: public methods, events, what a decorator is given."""
    bodies = chain.from_iterable(node.body for node in nodes if isinstance(node, ast.ClassDef))
    public = {id(node) for node in bodies if isinstance(node, ast.FunctionDef) and not _is_private(node.name)}
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef))
    return [function for function in functions if function.decorator_list or id(function) in public]


def _keep_parameters(function: ast.FunctionDef) -> int:
    """Make positional-only parameters ordinary ones, which are not renamed, but for `self`; how many they were."""
    arguments = function.args
    count, every = len(arguments.posonlyargs), arguments.posonlyargs + arguments.args
    has_self = bool(every) and every[0].arg == "self"
    arguments.posonlyargs, arguments.args = every[:has_self], every[has_self:]
    return count


def _free_parameters(nodes: Sequence[ast.AST], outward: Sequence[ast.FunctionDef]) -> None:
    """Of all other functions drop the annotations, and make the parameters that nobody names positional-only: those
    can be renamed where they stand.
    """
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    named = {(_last_name(call.func), keyword.arg) for call in calls for keyword in call.keywords}
    # Handed on as a value, so that nobody knows what it is called with.
    called = {id(call.func) for call in calls}
    unknown = {_last_name(node) for node in nodes if id(node) not in called}
    for function in nodes:
        if not isinstance(function, ast.FunctionDef) or function in outward:
            continue
        function.returns = None
        for argument in ast.walk(function.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        arguments, name = function.args, function.name
        if name in unknown or (name, None) in named:  # None is **
            continue
        while arguments.args and (name, arguments.args[0].arg) not in named:
            arguments.posonlyargs.append(arguments.args.pop(0))


def _last_name(node: ast.AST) -> str:
    """`f` of `f` and `self.f`; empty of all else."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _import_by_name(tree: ast.Module, nodes: Sequence[ast.AST]) -> None:
    """Replace the star import: who knows only that names are bound somewhere cannot rename any."""
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom))
    stars = [node for node in imports if node.names[0].name == "*"]
    if len(stars) > 1:
        raise ValueError("the source has more than one star import")
    names = [ast.alias(name) for name in unbound_names(tree)]
    for star in stars:
        if names:
            star.names = names
        elif star in tree.body:  # it brings nothing; elsewhere something must stand in its place
            tree.body.remove(star)


def unbound_names(tree: ast.Module) -> list[str]:
    """What is read and bound nowhere, so that the star import must bring it."""
    # With postponed annotations the names in these would not be seen.
    body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    tables = [symtable(ast.unparse(ast.Module(body, [])), "contract", "exec")]
    for table in tables:  # also over those that are added meanwhile
        tables.extend(table.get_children())
    symbols = [symbol for table in tables for symbol in table.get_symbols() if symbol.is_global()]
    bound = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    read = {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
    return sorted(read - bound - set(dir(builtins)))


def _known_by_name(tree: ast.Module) -> list[str]:
    """Globals that keep their names: events, the contract and the like, which their base looks at, and what a text
    names, as in an annotation.
    """
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases}
    return sorted(classes | _texts(ast.walk(tree)))


def _texts(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _private_methods(nodes: Sequence[ast.AST]) -> list[str]:
    """Private methods of classes that are only ever called as one's own, those that are most used first."""
    bodies = chain.from_iterable(node.body for node in nodes if isinstance(node, ast.ClassDef))
    methods = {node.name for node in bodies if isinstance(node, ast.FunctionDef) and _is_private(node.name)}
    uses = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in methods]
    others = {node.attr for node in uses if not (isinstance(node.value, ast.Name) and node.value.id == "self")}
    others |= _texts(nodes)
    return [name for name, _ in Counter(node.attr for node in uses).most_common() if name not in others]


def _rename_comprehension_variables(tree: ast.Module, names: Iterator[str]) -> list[str]:
    """Give them names that nothing else gets; which ones these are.

    The minifier may call a variable like a global that another comprehension of the function reads. That is right, but
    CPython 3.12.1 takes the one for the other.
    """
    renamed: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp):
            continue
        targets = chain.from_iterable(ast.walk(generator.target) for generator in node.generators)
        own = {target.id for target in targets if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)}
        for name in sorted(own - set(renamed) - set(renamed.values())):
            renamed[name] = next(names)
        outside = set(map(id, ast.walk(node.generators[0].iter)))
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id in own and id(each) not in outside:
                each.id = renamed.get(each.id, each.id)
            elif isinstance(each, ast.arg) and each.arg in own and id(each) not in outside:
                each.arg = renamed.get(each.arg, each.arg)
    return list(renamed.values())


def _short_names(prefix: str, taken: set[str]) -> Iterator[str]:
    """The shortest names that are not taken."""
    for length in (1, 2):
        for letters in product(ascii_letters, repeat=length):
            name = prefix + "".join(letters)
            if name not in taken and not iskeyword(name):
                yield name


def _read_in_class_bodies(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that decorators, annotations and defaults read where a method of that name would be found first."""
    read: list[ast.AST] = []
    for node in chain.from_iterable(node.body for node in nodes if isinstance(node, ast.ClassDef)):
        if isinstance(node, ast.FunctionDef):
            read += [node.args, *node.decorator_list, *([node.returns] if node.returns else [])]
        else:
            read.append(node)
    return {_last_name(each) for node in read for each in ast.walk(node)}


def _rename_methods(nodes: Sequence[ast.AST], names: dict[str, str]) -> None:
    for node in nodes:
        if isinstance(node, ast.Attribute):
            node.attr = names.get(node.attr, node.attr)
        elif isinstance(node, ast.FunctionDef):
            node.name = names.get(node.name, node.name)
