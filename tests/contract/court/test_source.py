"""The court as a text: documentation, codes, events."""

import ast
import re
from pathlib import Path

import pytest

from .tribunal import COURT_FILE

SOURCE = COURT_FILE.read_text(encoding="utf-8")
TREE = ast.parse(SOURCE)
TESTS = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
CLASSES = {node.name: node for node in TREE.body if isinstance(node, ast.ClassDef)}
PUBLIC = {
    node.name: node
    for node in CLASSES["UsageCourt"].body
    if isinstance(node, ast.FunctionDef) and any("gl.public" in ast.unparse(each) for each in node.decorator_list)
}
EVENTS = {name for name, node in CLASSES.items() if [ast.unparse(base) for base in node.bases] == ["gl.Event"]}
CODES = {
    call.args[place].value
    for call in ast.walk(TREE)
    if isinstance(call, ast.Call)
    for name, place in (("_fail", 0), ("_require", 1))
    if ast.unparse(call.func) == name and isinstance(call.args[place], ast.Constant)
}
each_method = pytest.mark.parametrize("method", PUBLIC)


def test_methods__of_the_specification__are_those_of_the_court() -> None:
    writes = {"open_dispute", "judge", "close_dispute"}
    assert set(PUBLIC) == writes | {"get_dispute", "list_disputes", "list_disputes_of", "get_court", "get_solvency"}
    assert {"DisputeOpened", "DisputeJudged", "DisputeClosed", "BondReturned"} == EVENTS


def test_codes__that_the_court_raises__are_tested() -> None:
    assert len(CODES) > 15
    assert [code for code in CODES if f'"{code}"' not in TESTS] == []


def test_documentation__of_methods_codes_and_events__is_complete() -> None:
    text = (COURT_FILE.parents[1] / "docs" / "court.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)[`(]", text))
    assert (set(PUBLIC) | CODES | EVENTS | {"number_too_large", "negative_number"}) - named == set()


@each_method
def test_docstring__is_short_and_names_codes_and_events_that_exist(method: str) -> None:
    docstring = ast.get_docstring(PUBLIC[method]) or ""
    assert 1 <= len(docstring.splitlines()) <= 6
    assert re.match(r"[A-Z].*[.:]", docstring, re.DOTALL)
    named = set(re.findall(r"\b[a-z]+_[a-z_]+\b", docstring)) - {"get_paid_day"}
    events = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", docstring))
    assert (named - CODES - set(re.findall(r"`(\w+)`", docstring)), events - EVENTS) == (set(), set())


@each_method
def test_docstring__codes_and_events_of_the_method__are_named(method: str) -> None:
    node, docstring = PUBLIC[method], ast.get_docstring(PUBLIC[method]) or ""
    texts = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)} - {docstring}
    assert [code for code in CODES if code in texts and code not in docstring] == []
    assert [event for event in EVENTS if f"_announce({event}" in ast.unparse(node) and event not in docstring] == []
