"""Runs the command of the main job in this process."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.__main__ import main


@dataclass(frozen=True)
class Ran:
    """What a run left: exit code, both outputs, and the figures where a file for them was named."""

    code: int
    report: str
    errors: str
    figures: dict[str, Any]

    @property
    def flat_report(self) -> str:
        """The report with its line breaks and runs of spaces as one space."""
        return " ".join(self.report.split())


def complaints(errors: str) -> list[str]:
    """What stands on standard error beside the lines of progress that a slow machine gets."""
    return [line for line in errors.splitlines() if "%)" not in line]


def bill(*arguments: str | Path, json_file: Path | None = None) -> Ran:
    """Run the command with the arguments, and with a file for the figures where there is one."""
    words = [str(argument) for argument in arguments]
    if json_file is not None:
        words += ["--json", str(json_file)]
    report, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(report), redirect_stderr(errors):
        code = main(words)
    figures = json.loads(json_file.read_text()) if json_file is not None and json_file.exists() else {}
    return Ran(code, report.getvalue(), errors.getvalue(), figures)
