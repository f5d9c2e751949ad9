"""Versions of GenLayer's tools beside those of `.venv`, which genlayer-test binds to one line of genlayer-py.

Each set of them has a lock of its own in `requirements`; so have payment clients that others wrote. It is put into
`.cache`, without anything that the lock does not name, and stands before `.venv` on the path of one more process. Where
the package index cannot be reached, and the set is not in the cache yet, the test that asks for it is skipped.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "requirements"
LOCK_VARIABLE = "API_BILLING_TESTS_LOCK"
"""The lock that the tests of a process are meant to run on; `dev` if it is not set."""
IN_USE = "tests/test_other_versions.py"
SKIPPED_ANYWHERE = "no conformance contracts in "
UNREACHABLE = ("No matching distribution found", "Could not find a version", "Connection", "Network is unreachable")
INSTALL_SECONDS, RUN_SECONDS = 300, 300


def locked(name: str) -> dict[str, str]:
    """What is in a lock file: each package with its version."""
    found = re.findall(r"^([\w.-]+)==(\S+)", (LOCKS / f"{name}.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"nothing is in {name}.lock"
    return dict(found)


@dataclass(frozen=True)
class OtherVersions:
    """What a lock file names, in a folder of its own."""

    name: str
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a process of `sys.executable` that has these versions."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return {**ours, LOCK_VARIABLE: self.name, "PYTHONPATH": str(self.folder)}

    def pass_tests(self, *arguments: str, without: tuple[str, ...] = ("gltest", "gltest_direct")) -> None:
        """One more pytest that checks its versions first; its arguments name tests, of which every one has to pass.

        `without` are plugins it does not load: the genlayer-test of `.venv` knows one line of genlayer-py only.
        """
        plugins = [f"-pno:{plugin}" for plugin in ("xdist", "cacheprovider", *without)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugins, IN_USE, *arguments],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        output = done.stdout + done.stderr
        assert re.search(r"^\d+ passed(, \d+ (skipped|deselected))* in ", done.stdout, re.MULTILINE), output
        assert all(SKIPPED_ANYWHERE in line for line in re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE)), output


def other_versions(name: str) -> OtherVersions:
    """What is in `requirements/NAME.lock`; installed once for each lock, with hashes."""
    lock = LOCKS / f"{name}.lock"
    folder = ROOT / ".cache" / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # another worker may be doing the same
        if not folder.is_dir():
            _install(lock, folder)
    return OtherVersions(name, folder)


def _install(lock: Path, folder: Path) -> None:
    fresh = folder.with_name(f"{folder.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1", "install"]
    done = subprocess.run(
        # Not compiled: few of their modules are imported, and those are compiled then.
        [*pip, "--quiet", "--no-compile", "--no-deps", "--require-hashes", "--target", fresh, "--requirement", lock],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip(f"{lock.stem} cannot be had from the package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    fresh.rename(folder)
