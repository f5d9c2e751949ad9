"""docs/paying.md is right: what it shows runs, against a real door on a localnet."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api_billing.cli.app import make_app
from tests.other_versions import ROOT

from .served import PayersPlace

PAGE = (ROOT / "docs" / "paying.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]


@pytest.fixture
def put(place: PayersPlace, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The text of the page with what is there for what it names."""
    monkeypatch.chdir(tmp_path)
    key = "0x" + place.key("consumer").hex()
    given = {"PAYER_KEY": key, "URL": str(place.network.url), "CONTRACT": place.contract, "ACCOUNT": "env:PAYER_KEY"}
    for name, value in {**given, "PAYER_FILE": str(tmp_path / "payer.db")}.items():
        monkeypatch.setenv(name if name == "PAYER_KEY" else f"API_BILLING_{name}", value)
    node = f'"localnet", url="{place.network.url}", contract="{place.contract}"'
    names = {"https://api.example": url.removesuffix("/forecast"), '"studionet"': node, '"weather"': f'"{place.api}"'}

    def replaced(text: str) -> str:
        for name, value in names.items():
            text = text.replace(name, value)
        return text.replace(" --account alice", "")

    return replaced


def test_page__commands__run(put: Callable[[str], str]) -> None:
    [block] = [text for kind, text in BLOCKS if kind == "console"]
    lines = [line.removeprefix("$ api-billing ") for line in block.splitlines()]
    for line in lines:
        done = CliRunner().invoke(make_app(), shlex.split(put(line)))
        assert done.exit_code == 0, (line, done.output, done.stderr)
    assert len(lines) > 4


def test_page__python__pays_opens_and_tops_up(
    put: Callable[[str], str], place: PayersPlace, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(put(PYTHON[0]), names)
    assert capsys.readouterr().out == "sunny mpp 500 wei\n"
    place.settle()
    exec(put(PYTHON[0]).partition("\nwith ")[0], names)
    exec(put(PYTHON[1]), names)
    assert place.consumer.get_usage_report(place.who).held_wei == 6 * 10**17
    names["wallet"].close()
