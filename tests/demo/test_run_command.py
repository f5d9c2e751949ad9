"""The command of the main job: what it says, and with which exit code, when something is wrong."""

import gzip
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from demo import __main__ as command
from demo.billing_contract import UnexpectedOutcomeError
from demo.run import RunResult, run

from .command import bill, complaints
from .log_texts import line, write_log

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path / "access.log", line(), line(client="::1"))


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when the work begins."""

    def begun(*_: object) -> None:
        raise AssertionError("the run has begun")

    monkeypatch.setattr(command, "run", begun)


def assert_refused(*arguments: str | Path, because: str) -> None:
    ran = bill(*arguments)
    assert (ran.code, ran.report) == (2, "")
    assert because in ran.errors
    assert ran.errors.startswith("api-billing: ")
    assert ran.errors.count("\n") == 1
    assert "Traceback" not in ran.errors


def test_command__missing_file__is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.log", because="there is no such file")


def test_command__directory__is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, because="this is a directory")


def test_command__binary_file__is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 40)
    assert_refused(tmp_path / "a.bin", because="not an access log")


def test_command__text_that_is_no_log__is_refused() -> None:
    assert_refused(PROJECT / "pyproject.toml", because="not an access log")


def test_command__empty_file__is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    assert_refused(tmp_path / "empty.log", because="the log is empty")


def test_command__truncated_gz__is_refused_and_nothing_is_billed(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(line(client=f"10.0.0.{n}") + b"\n" for n in range(200)))
    (tmp_path / "cut.gz").write_bytes(packed[:-20])
    assert_refused(tmp_path / "cut.gz", because="the gz file is cut off")


def test_command__name_with_control_characters__reaches_no_terminal(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a\x1b[2J.log", because=r"a\x1b[2J.log")


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    ("name", "because"), [("none/usage.json", "No such file"), (".", "Is a directory"), ("a" * 300, "too long")]
)
def test_command__figures_that_cannot_be_written__are_noticed_before_the_run(
    tmp_path: Path, log: Path, name: str, because: str
) -> None:
    assert_refused(log, "--json", tmp_path / name, because=because)


@pytest.mark.usefixtures("no_run")
def test_command__figures_over_the_log__are_refused(log: Path) -> None:
    before = log.read_bytes()
    assert_refused(log, "--json", log, because="this is the log itself")
    assert log.read_bytes() == before


def test_command__bad_log__leaves_no_file_for_the_figures(tmp_path: Path) -> None:
    bill(tmp_path / "none.log", json_file=tmp_path / "usage.json")
    assert not (tmp_path / "usage.json").exists()


def test_command__bad_log__leaves_earlier_figures_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "usage.json").write_text("{}")
    assert_refused(tmp_path / "none.log", "--json", tmp_path / "usage.json", because="no such file")
    assert (tmp_path / "usage.json").read_text() == "{}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_command__disk_that_is_full_at_the_end__is_told(log: Path) -> None:
    ran = bill(log, "--json", "/dev/full")
    assert (ran.code, "the figures cannot be written" in ran.errors) == (2, True)


def test_command__figures__have_what_the_issue_names(log: Path, tmp_path: Path) -> None:
    figures = bill(log, json_file=tmp_path / "usage.json").figures
    assert set(figures) >= {"lines", "bad_lines", "requests", "billed_calls", "refused", "solvency"}
    assert set(figures["per_consumer"]["::1"]) == {"requests", "billed_calls", "spend_wei"}
    assert set(figures["solvency"]) == {"balance_wei", "credit_wei", "held_wei", "earnings_wei"}


@pytest.mark.parametrize("option", ["--bogus", "--std=none", "--js=usage.json"])
def test_command__unknown_option__is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main([option])
    assert refused.value.code == 2
    assert "usage: python -m demo" in capsys.readouterr().err


def test_command__help__teaches_within_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert all(word in text for word in ("--json FILE", "--std", "examples:", "exit codes:", "make demo", "gz"))


@pytest.mark.parametrize(
    ("choice", "because"), [("official", "not on this machine"), ("none", "GENLAYER_STD is one of")]
)
def test_command__standard_library_that_cannot_be_had__is_refused(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str, because: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GENVMROOT", raising=False)
    monkeypatch.setenv("GENLAYER_STD", choice)
    ran = bill(log)
    assert (ran.code, because in ran.errors) == (2, True)


def test_command__standard_library_that_was_chosen__is_in_the_report(log: Path) -> None:
    assert "an embedded GenVM with the fallback standard library" in bill(log, "--std", "fallback").flat_report


def test_command__books_that_do_not_agree__are_reported_after_the_figures(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object) -> RunResult:
        return replace(run(*arguments), contradictions=["one wei is missing"])  # type: ignore[arg-type]

    monkeypatch.setattr(command, "run", wrong)
    ran = bill(log)
    assert (ran.code, "Solvency" in ran.report) == (1, True)
    assert ran.errors == "api-billing: the books do not agree:\n  one wei is missing\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            UnexpectedOutcomeError("subscribe: exit_code 1"),
            1,
            "the contract did what it must not: subscribe: exit_code 1",
        ),
        (OSError("no port"), 2, "the run broke off: no port"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_command__run_that_breaks_off__has_its_own_exit_code(
    log: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    def break_off(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "run", break_off)
    ran = bill(log)
    assert (ran.code, text in ran.errors, "Traceback" in ran.errors) == (code, True, False)


def test_command__as_a_module__prints_the_report_and_nothing_else(log: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src"), "PYTHONWARNINGS": "error"}
    ran = subprocess.run(
        [sys.executable, "-m", "demo", str(log)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (ran.returncode, complaints(ran.stderr)) == (0, [])
    assert "solvent: it holds exactly what it owes" in ran.stdout


def test_command__reader_that_goes_away__is_no_error(log: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    arguments = [sys.executable, "-m", "demo", str(log)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, complaints(errors.decode())) == (0, [])
