"""The command, run in this process in an empty folder, so on a store of its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from api_billing.metering import Meter


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]

# Building the whole command takes longer than most commands do.
the_app = cache(make_app)
built = cache(get_command)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `api-billing meter` with its arguments, or `settle`, `usage prove` and so on, which are no part of it; one
    that ends otherwise than expected fails the test.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("typer.testing._get_command", built)
    for name in ("STORE_URL", "SERVICE_TOKEN", "KEY_PEPPER", "CONTRACT", "NETWORK", "METRICS", "CURRENCY"):
        monkeypatch.delenv(f"API_BILLING_{name}", raising=False)

    def run(*arguments: str | Path, code: int = 0, charset: str = "utf-8") -> Ran:
        words = [str(each) for each in arguments]
        own = words[0] in ("settle", "reconcile") or words[:2] in (["usage", "prove"], ["usage", "verify"])
        result = CliRunner(charset).invoke(the_app(), words if own else ["meter", *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def acme(run: Run) -> Run:
    """The command on a store with the consumer acme and 5 GEN of credit."""
    run("consumers", "add", "acme")
    run("credit", "add", "acme", "5gen", "--id", "first")
    return run


@pytest.fixture
def meter(acme: Run, tmp_path: Path) -> Any:
    """The same store, opened by a service."""
    with Meter.open(f"sqlite:///{tmp_path}/meter.db") as meter:
        yield meter
