"""What the command prints of texts from outside."""

import io
import logging

import pytest
from rich.logging import RichHandler
from typer.testing import CliRunner

from genlayer_localnet.cli import PlainConsole, app
from genlayer_localnet.printing import printable

HOSTILE = "a\x1b[2J\x9b2J\u202eb"
SHOWN = "a\\x1b[2J\\x9b2J\\u202eb"


def test_printable__what_a_terminal_would_act_on__is_an_escape() -> None:
    assert printable(f"{HOSTILE}\n天気") == f"{SHOWN}\n天気"


def test_console__hostile_text__is_printed_with_escapes() -> None:
    file = io.StringIO()
    PlainConsole(file=file, width=80).print(HOSTILE, markup=False, highlight=False)
    assert file.getvalue() == f"{SHOWN}\n"


def test_console__styles_of_its_own__stay() -> None:
    file = io.StringIO()
    PlainConsole(file=file, force_terminal=True, width=80, color_system="standard").print("[red]no[/]")
    assert file.getvalue() == "\x1b[31mno\x1b[0m\n"


def test_log__hostile_text__is_printed_with_escapes() -> None:
    file = io.StringIO()
    handler = RichHandler(console=PlainConsole(file=file, width=200), show_path=False)
    handler.emit(logging.LogRecord("a", logging.INFO, "", 1, "%s", (HOSTILE,), None))
    assert SHOWN in file.getvalue()


@pytest.mark.parametrize("name", [HOSTILE, "[/red]", "[link=x]y"])
def test_up__state_that_cannot_be_opened__is_named_as_text(tmp_path: object, name: str) -> None:
    ran = CliRunner().invoke(app, ["up", "--port", "0", "--state", f"{tmp_path}/none/{name}"])
    assert ran.exit_code != 0
    assert "\x1b" not in ran.output
    assert "Traceback" not in ran.output
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
