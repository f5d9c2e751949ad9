"""When the web page is built: where it is missing or older than its sources, and npm is there. npm itself is a fake."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from demo import web_page
from demo.web_page import PageNotBuiltError, built_page


class FakeNpm:
    """Writes what npm would write, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.code = 0

    def run(self, line: Sequence[str], *, cwd: Path, **_: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(line[1])
        if line[1] == "install":
            (cwd / "node_modules").mkdir()
        elif not self.code:
            (cwd / "dist").mkdir(exist_ok=True)
            (cwd / "dist" / "index.html").write_text("built")
        return subprocess.CompletedProcess(line, self.code, "src/main.tsx(1,1): error", "")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "dapp"
    (folder / "src").mkdir(parents=True)
    (folder / "public").mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc", "index.html", "tsconfig.json", "vite.config.ts"):
        (folder / name).write_text(name)
    (folder / "src" / "main.tsx").write_text("main")
    monkeypatch.setattr(web_page, "PAGE", folder)
    return folder


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    fake = FakeNpm()
    monkeypatch.setattr("demo.web_page.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("demo.web_page.subprocess.run", fake.run)
    return fake


def test_page__missing__is_built(page: Path, npm: FakeNpm) -> None:
    assert (built_page() / "index.html").read_text() == "built"
    assert npm.asked == ["install", "run"]


def test_page__built_already__is_left_alone(page: Path, npm: FakeNpm) -> None:
    built_page()
    npm.asked.clear()
    built_page()
    assert npm.asked == []


def test_page__older_than_its_sources__is_built_again(page: Path, npm: FakeNpm) -> None:
    built_page()
    (page / "src" / "main.tsx").write_text("changed")
    npm.asked.clear()
    built_page()
    assert npm.asked == ["run"]


def test_packages__of_another_lock__are_installed(page: Path, npm: FakeNpm) -> None:
    built_page()
    (page / "package-lock.json").write_text("changed")
    npm.asked.clear()
    built_page()
    assert npm.asked == ["install", "run"]
    assert (page / "node_modules").resolve().is_dir()


def test_packages__that_somebody_installed__are_left_alone(page: Path, npm: FakeNpm) -> None:
    (page / "node_modules").mkdir()
    built_page()
    assert npm.asked == ["run"]


def test_page__build_that_fails__tells_what_npm_said(page: Path, npm: FakeNpm) -> None:
    (page / "node_modules").mkdir()
    npm.code = 2
    with pytest.raises(PageNotBuiltError, match="error"):
        built_page()


def test_page__without_npm__says_what_to_install(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.web_page.shutil.which", lambda _: None)
    with pytest.raises(PageNotBuiltError, match=r"npm is not installed: install Node\.js"):
        built_page()


def test_page__built__needs_no_npm(page: Path, npm: FakeNpm, monkeypatch: pytest.MonkeyPatch) -> None:
    built_page()
    monkeypatch.setattr("demo.web_page.shutil.which", lambda _: None)
    assert (built_page() / "index.html").is_file()
