"""The edition of a contract for the v0.3 line: it does the same, and what cannot be translated is said."""

from pathlib import Path
from typing import Any

import pytest

from api_billing.contract_editions import edition, header_of, line_of
from api_billing.contract_source import deployed_form, main
from api_billing.networks import HEADERS, Header
from genlayer_localnet import Localnet

from .side_by_side import FILE, HEADER, SENDER, SOURCE, TARGET, SideBySide

NEW_HEADER = f'# {HEADERS["v0.3"].version}\n# {{ "Depends": "{HEADERS["v0.3"].pin}" }}\n\n'
HASH = "py-genlayer:" + 52 * "z"
FORMS = {
    "v0.2": SOURCE,
    "v0.3": edition(SOURCE, "v0.3"),
    "deployed v0.3": deployed_form(SOURCE, "v0.3"),
}


@pytest.fixture(scope="module")
def each() -> SideBySide:
    return SideBySide(FORMS.values())


def translated(body: str) -> str:
    """The edition, without its header."""
    return edition(HEADER + body, "v0.3").removeprefix(NEW_HEADER)


# ---- the same contract ----


def test_edition__schema__is_the_same(each: SideBySide) -> None:
    first, *others = (each.net.schema(address) for address in each.addresses)
    assert others == [first] * len(others)


@pytest.mark.parametrize(
    ("method", "args"), [("loops", [[1, 2]]), ("calls", [[1, 2]]), ("storage", []), ("answer", [])]
)
def test_edition__view__answers_the_same(each: SideBySide, method: str, args: list[Any]) -> None:
    first, *others = each.view(method, *args)
    assert others == [first] * len(others)


def test_edition__event__has_the_same_topics_and_fields(each: SideBySide) -> None:
    events = [[(event.topics, event.blob) for event in one.events] for one in each.write("move", TARGET)]
    assert events == [events[0]] * len(FORMS)
    assert events[0]


def test_edition__refusal__has_the_same_text(each: SideBySide) -> None:
    assert [receipt.message for receipt in each.write("refuse", "bad")] == ["[EXPECTED] bad: no"] * len(FORMS)


def test_edition__comments__stay() -> None:
    assert "# ruff: noqa: B009" in FORMS["v0.3"]
    assert "# ruff" not in FORMS["deployed v0.3"]


def test_edition__of_its_own_line__is_the_source() -> None:
    assert edition(SOURCE, "v0.2") == SOURCE
    assert edition(FORMS["v0.3"], "v0.3") == FORMS["v0.3"]


def test_edition__back_to_the_older_line__is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be made one"):
        edition(FORMS["v0.3"], "v0.2")


# ---- headers ----


def test_header__no_version__is_that_of_the_older_line() -> None:
    header = header_of('# { "Depends": "py-genlayer:abc" }\nx = 1\n')
    assert (header, line_of(header)) == (Header("", "py-genlayer:abc"), "v0.2")


@pytest.mark.parametrize(
    ("version", "pin", "line"),
    [
        ("v0.2.16", "py-genlayer:abc", "v0.2"),
        ("v0.3.0", "py-genlayer:abc", "v0.3"),
        ("v1.0", "py-genlayer:abc", "v0.3"),
        ("", "py-genlayer:5jycge4qabc", "v0.3"),
        ("v0.3.0", "py-genlayer:5jycge4qabc", "v0.3"),
        ("", HEADERS["v0.2"].pin, "v0.2"),
    ],
)
def test_line__of_a_header__is_told_by_runner_or_version(version: str, pin: str, line: str) -> None:
    assert line_of(Header(version, pin)) == line


@pytest.mark.parametrize(("line", "other"), [("v0.2", "v0.3"), ("v0.3", "v0.2")])
@pytest.mark.parametrize("version", [f"# {HEADERS['v0.2'].version}\n", ""])
def test_pin__of_another_line__is_refused(line: Any, other: Any, version: str) -> None:
    pin = HEADERS[other].pin
    why = f"the pin {pin} is a runner of the {other} line, and the contract is of {line}"
    with pytest.raises(ValueError, match=why):
        edition(version + SOURCE.split("\n", 1)[1], line, pin)
    with pytest.raises(ValueError, match=why):
        line_of(Header(HEADERS[line].version, pin))


def test_header__over_several_lines__is_joined() -> None:
    assert header_of('# v0.3.0\n# {\n#   "Depends": "py-genlayer:abc"\n# }\n').pin == "py-genlayer:abc"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = 1\n", "does not begin with"),
        ("", "does not begin with"),
        ("\n" + SOURCE, "does not begin with"),
        (SOURCE.replace(" }\n\n", " }\n# A comment.\n\n", 1), "an empty line must stand before any other comment"),
        ("# v0.2.16\n\n", "are not the JSON of a runner header"),
        ('# { "Depends": "py-genlayer:test2!" }\n', "not one runner"),
        ('# { "Seq": [{ "Depends": "py-lib-genlayer-embeddings:a" }, { "Depends": "py-genlayer:a" }] }\n', "not one"),
        ("# 5\n", "not one runner"),
    ],
)
def test_header__that_nodes_would_not_know__is_refused(source: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        header_of(source)


@pytest.mark.parametrize("line", ["v0.2", "v0.3"])
def test_edition__other_pin__is_in_its_header(line: Any) -> None:
    code = edition(SOURCE, line, HASH)
    assert header_of(code) == Header(HEADERS[line].version, HASH)
    assert code.count("\n") == edition(SOURCE, line).count("\n")


def test_edition__pin_that_is_none__is_refused() -> None:
    with pytest.raises(ValueError, match="is no runner"):
        edition(SOURCE, "v0.3", "latest")


# ---- names ----


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gl.get_contract_at(a).emit(on='accepted').b()", "gl.contract.get_at(a).emit(on='decided').b()"),
        ("gl.get_contract_at(a).emit(on='finalized').b()", "gl.contract.get_at(a).emit(on='finalized').b()"),
        ("gl.message_raw['datetime']", "gl.message.raw['datetime']"),
        ("gl.message.sender_address.as_hex", "gl.message.sender_address.as_hex"),
        ("gl.vm.run_nondet(a, b)", "gl.vm.run_nondet_default(a, b)"),
        ("gl.vm.run_nondet_unsafe(a, b)", "gl.vm.run_nondet(a, b)"),
        ("gl.vm.run_nondet_unsafe.lazy(a, b)", "gl.vm.run_nondet.lazy(a, b)"),
        ("gl.public.write.payable", "gl.public.write.payable"),
        ("gl.TreeMap[gl.Address, gl.u256]", "gl.storage.TreeMap[gl.Address, gl.u256]"),
        ("f'{gl.message_raw}'", "f'{gl.message.raw}'"),
        ("'call gl.get_contract_at' # or gl.Contract", "'call gl.contract.get_at' # or gl.contract.Contract"),
        ("other.message", "other.message"),
    ],
)
def test_name__known__is_that_of_the_newer_line(old: str, new: str) -> None:
    # One class has a field that is called as the text of an error was.
    kept = "class A:\n    message: str\n"
    assert translated(f"{kept}{old}\n") == f"{kept}{new}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from genlayer import *\nx: u8\n", "import genlayer as gl\nfrom genlayer.types import *\nx: u8\n"),
        ("from genlayer.py import calldata\n", "from genlayer import calldata\n"),
        ("from genlayer import gl, u8 as byte\n", "import genlayer as gl\nfrom genlayer.types import u8 as byte\n"),
        ("from genlayer import allow_storage\n", "from genlayer.storage import allow as allow_storage\n"),
        ("from genlayer.py.storage import (\n    TreeMap,\n)\n", "from genlayer.storage import TreeMap\n"),
        ("import json, genlayerish\n", "import json, genlayerish\n"),
    ],
)
def test_import__known__is_that_of_the_newer_line(old: str, new: str) -> None:
    assert translated(old) == new


def test_import__star__brings_what_is_used_of_the_storage() -> None:
    body = translated("from genlayer import *\n\n@allow_storage\nclass A:\n    a: TreeMap[str, u8]\n")
    assert "from genlayer.storage import TreeMap, allow as allow_storage\n" in body


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("try: a()\nexcept gl.vm.UserError as e:\n    e.message\n", "e.data"),
        ("def a(e: gl.vm.UserError):\n    return f'{e.message}'\n", "{e.data}"),
    ],
)
def test_error__text__is_its_data(old: str, new: str) -> None:
    assert new in translated(old)
    assert ".message" not in translated(old)


@pytest.mark.parametrize(
    ("body", "line", "why"),
    [
        ("\ngl.advanced.x", 5, "`gl.advanced.x` is not known"),
        ("gl.vm.spawn_sandbox(a)", 4, "`gl.vm.spawn_sandbox` is not known"),
        ("gl.nondet.web.options(a)", 4, "`gl.nondet.web.options` is not known"),
        ("m = gl.message", 4, "`gl.message` is known only with what stands behind it"),
        ("print(gl)", 4, "`gl` is known only with what stands behind it"),
        ("gl.messages", 4, "`gl.messages` is not known"),
        ("from genlayer import gl as GL\nGL.message.value", 4, "`gl` must keep its name, and is imported as `GL`"),
        ("from genlayer import *\nRoot", 4, "Root: not known"),
        ("from genlayer.py.storage import Root", 4, "is not known"),
        ("import genlayer.gl as gl", 4, "is not known"),
        ("import _genlayer_wasi", 4, "is not known"),
        ("def a():\n    from genlayer import gl", 5, "must stand alone"),
        ("import json; from genlayer import *", 4, "must stand alone"),
        ("gl.get_contract_at(a).emit(on=when).b()", 4, "written out"),
        ("gl.get_contract_at(a).emit(**how).b()", 4, "written out"),
        ("a.message", 4, "`a` may be a UserError"),
        ("try:\n    gl.nondet.web.get(a)\nexcept gl.vm.UserError:\n    pass", 4, "gl.nondet.NondetException, too"),
    ],
)
def test_edition__what_cannot_be_translated__is_said_with_its_line(body: str, line: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"line {line} cannot be translated.*{why}"):
        translated(f"{body}\n")


def test_edition__name_in_pieces__is_refused() -> None:
    with pytest.raises(ValueError, match="broken into several lines"):
        translated("class A(gl . Contract): ...\n")


def test_edition__nondeterministic_failure_that_is_caught__is_translated() -> None:
    body = "try:\n    gl.nondet.web.get(a)\nexcept (gl.vm.UserError, gl.nondet.NondetException):\n    pass\n"
    assert translated(body) == body


def test_deployed_form__that_uses_no_name_of_the_star__runs() -> None:
    source = f"{HEADER}from genlayer import *\n\nclass A(gl.Contract):\n    x: str\n"
    for code in (deployed_form(source, "v0.3"), deployed_form(source, "v0.3", minified=False)):
        done = Localnet().deploy(code, sender=SENDER)
        assert done.kind == "return", done.stderr


# ---- the command ----


def test_command__line_and_form__are_as_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(FILE), "--line", "v0.3", "--pin", HASH, "--no-minify"]) is None
    assert capsys.readouterr().out == edition(SOURCE, "v0.3", HASH)


def test_command__network__has_its_line_and_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    here = ["--network", "studio-next", "--url", "http://127.0.0.1:4000/api"]
    assert main([str(FILE), *here]) is None
    assert capsys.readouterr().out == FORMS["deployed v0.3"]
    assert "only the beginning of the runner's name" in str(main([str(FILE), "--network", "studio-next"]))
    assert "studionet runs GenVM v0.2 only" in str(main([str(FILE), "--network", "studionet", "--line", "v0.3"]))
    assert "there is no network" in str(main([str(FILE), "--network", "mainnet"]))


def test_command__what_cannot_be_translated__is_said(tmp_path: Path) -> None:
    file = tmp_path / "contract.py"
    file.write_text(f"{HEADER}gl.advanced.x\n")
    assert "contract.py: line 4 cannot be translated" in str(main([str(file), "--line", "v0.3"]))
    assert "No such file" in str(main([str(tmp_path / "none.py")]))
