"""The deployed form of a contract: what runs is what was written, and what cannot be made smaller is said."""

import ast
import subprocess
import sys
from typing import Any

import pytest

from api_billing.contract_minify import minify
from api_billing.contract_source import contract_path

from .side_by_side import FILE, HEADER, SOURCE, TARGET, SideBySide

each_source = pytest.mark.parametrize(
    "source", [SOURCE, contract_path().read_text(encoding="utf-8")], ids=["tricky", "billing"]
)


@pytest.fixture(scope="module")
def both() -> SideBySide:
    """As it stands, and minified."""
    return SideBySide((SOURCE, minify(SOURCE)))


def test_minify__of_a_contract__makes_it_much_smaller() -> None:
    assert len(minify(SOURCE)) < 0.65 * len(SOURCE)


def test_minify__schema__is_the_same(both: SideBySide) -> None:
    source, minified = (both.net.schema(address) for address in both.addresses)
    assert source == minified


@pytest.mark.parametrize(
    ("method", "args"), [("loops", [[1, 2]]), ("calls", [[1, 2]]), ("storage", []), ("answer", [])]
)
def test_minify__view__answers_the_same(both: SideBySide, method: str, args: list[Any]) -> None:
    source, minified = both.view(method, *args)
    assert source == minified


@each_source
def test_minify__method__hides_no_global_that_its_class_reads(source: str) -> None:
    for node in ast.walk(ast.parse(minify(source))):
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            outside = [part for each in methods for part in (*each.decorator_list, each.args, each.returns) if part]
            outside += [each for each in node.body if each not in methods]
            read = {each.id for part in outside for each in ast.walk(part) if isinstance(each, ast.Name)}
            assert read & {each.name for each in methods} == set()


@each_source
def test_minify__variable_of_a_comprehension__shares_its_name_with_nothing(source: str) -> None:
    """CPython 3.12.1 takes one for a global of the same name that another comprehension of the function reads."""
    nodes = list(ast.walk(ast.parse(minify(source))))
    comprehensions = [node for node in nodes if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp)]
    inside = {id(each) for comprehension in comprehensions for each in ast.walk(comprehension)}
    targets = [each.target for comprehension in comprehensions for each in comprehension.generators]
    own = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    others = {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in inside}
    assert len(own) > 2
    assert own & others == set()


@each_source
def test_minify__event_declaration__keeps_self(source: str) -> None:
    """A library may refuse another name, whatever Python says of it."""
    tree = ast.parse(minify(source))
    declared = [node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.args.posonlyargs[1:]]
    assert {each.posonlyargs[0].arg for each in declared if each.kwarg} <= {"self"}


def test_minify__event__has_the_same_topics_and_fields(both: SideBySide) -> None:
    source, minified = ([(event.topics, event.blob) for event in each.events] for each in both.write("move", TARGET))
    assert source == minified != []


def test_minify__refusal__has_the_same_text(both: SideBySide) -> None:
    assert [receipt.message for receipt in both.write("refuse", "bad")] == ["[EXPECTED] bad: no"] * 2


def test_minify__as_a_command__prints_it() -> None:
    command = [sys.executable, "-m", "api_billing.contract_source", FILE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == minify(SOURCE)


def test_minify__of_names_of_the_star__imports_those_alone() -> None:
    body = minify(f"{HEADER}from genlayer import *\nlimit = u256(sum([len(Address.__name__)]))\n").removeprefix(HEADER)
    (line,) = (line for line in body.splitlines() if line.startswith("from genlayer"))
    assert {name.split(" as ")[0] for name in line.removeprefix("from genlayer import ").split(",")} == {
        "Address",
        "u256",
    }


@pytest.mark.parametrize("star", ["from genlayer import *", "try: from genlayer import *\nfinally: ..."])
def test_minify__star_of_which_nothing_is_used__is_python(star: str) -> None:
    ast.parse(minify(f"{HEADER}{star}\nx = 1\n"))


def test_minify__no_header__is_refused() -> None:
    with pytest.raises(ValueError, match="runner header"):
        minify("from genlayer import *\n")


def test_minify__two_star_imports__are_refused() -> None:
    with pytest.raises(ValueError, match="more than one star import"):
        minify(f"{HEADER}from genlayer import *\nfrom genlayer.py.types import *\n")


def test_minify__no_python__is_refused() -> None:
    with pytest.raises(SyntaxError):
        minify(f"{HEADER}class\n")
