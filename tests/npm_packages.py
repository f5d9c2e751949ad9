"""Packages from npm, for tests that run programs of others: installed once for each lock, into `.cache`."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.other_versions import ROOT

UNREACHABLE = ("ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "E404")
INSTALL_SECONDS = 600
RUN_SECONDS = 120


def npm_packages(project: Path, name: str) -> Path:
    """The folder `node_modules` with what is in the project's package-lock.json; no script of theirs is run.

    Skips the test without npm, and where its registry is out of reach.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed, which the JavaScript clients need")
    lock = hashlib.sha256((project / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".cache" / f"{name}-{lock}"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # workers that run side by side install it once
        _install(project, folder)
    return folder / "node_modules"


def _install(project: Path, folder: Path) -> None:
    if not (folder / "node_modules").is_dir():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(project / name, fresh / name)
        # Not `npm ci`: npm leaves optional packages of other platforms out of a lock, and then finds it incomplete.
        try:
            run(["npm", "install", "--ignore-scripts"], cwd=fresh, timeout=INSTALL_SECONDS)
        except AssertionError as error:
            shutil.rmtree(fresh)
            found = re.search(f"npm error.*({'|'.join(UNREACHABLE)}).*", str(error))
            if found is None:
                raise
            pytest.skip(f"{folder.name} cannot be had from npm's registry: {found[0]}")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def run_script(node_modules: Path, script: Path, *arguments: str) -> Any:
    """What the script prints as JSON. It runs beside node_modules, where node looks for packages."""
    copy = node_modules.parent / script.name
    shutil.copy(script, copy)
    out = run(["node", str(copy), *arguments], cwd=copy.parent, timeout=RUN_SECONDS)
    return json.loads(next(each for each in out.splitlines() if each.startswith("{")))


def run(
    line: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    stdin: str = "",
    environment: dict[str, str] | None = None,
) -> str:
    """What a program prints, errors last; the test fails with it when the program does."""
    done = subprocess.run(
        line, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )
    assert done.returncode == 0, f"{' '.join(line)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
