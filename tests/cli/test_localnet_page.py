"""`api-billing localnet up` serves the checkout's page and the deployments it has recorded, unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from api_billing.cli.localnet import up
from api_billing.contract_source import contract_path


class _Context:
    def __init__(self, *args: str) -> None:
        self.args = list(args)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr("genlayer_localnet.cli.main", main)
    return calls


def _up(*args: str) -> None:
    context: Any = _Context(*args)
    with pytest.raises(typer.Exit):
        up(context)


def test_up__in_a_checkout__serves_its_page(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_BILLING_DEPLOYMENTS", "/d")
    _up("--port", "0")
    page = contract_path().parents[1] / "dapp" / "dist"
    assert started == [["up", "--app", str(page), "--app-folder", "deployments=/d", "--port", "0"]]


@pytest.mark.parametrize("option", [["--app", "other"], ["--app=other"]])
def test_up__with_another_page__serves_that(started: list[list[str]], option: list[str]) -> None:
    _up(*option)
    assert started == [["up", *option]]


def test_up__without_a_checkout__serves_none(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("api_billing.cli.localnet.contract_path", lambda: tmp_path / "contracts" / "x.py")
    _up()
    assert started == [["up"]]
