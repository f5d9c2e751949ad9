"""The client on the newest genlayer-py. The environment has an older one, since genlayer-test wants exactly 0.16.

The newest is pinned in a lock of its own, put into `.cache`, and stands before the other on the path of one more
pytest. Where the package index cannot be reached, and it is not in the cache yet, the test is skipped.
"""

import fcntl
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import genlayer_py
import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "genlayer-py-newest.lock"
VERSION_VARIABLE = "GENLAYER_PY_UNDER_TEST"
HERE = "tests/client/test_newest_genlayer_py.py::test_genlayer_py__in_use__is_the_version_that_was_meant"
STORIES = (
    HERE,
    "tests/client/test_billing_client.py",
    "tests/client/test_networks.py",
    "tests/client/test_transactions.py",
    "tests/rpc/test_genlayer_py.py",
)
WITHOUT = ("gltest", "gltest_direct", "xdist", "cacheprovider")  # gltest knows 0.16 only
UNREACHABLE = ("No matching distribution found", "Could not find a version", "Connection", "Network is unreachable")
INSTALL_SECONDS, RUN_SECONDS = 120, 300


def locked(lock: Path) -> str:
    """The version of genlayer-py in a lock file."""
    found = re.search(r"^genlayer-py==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"genlayer-py is not in {lock}"
    return found[1]


@dataclass(frozen=True)
class Installed:
    version: str
    folder: Path


@pytest.fixture(scope="session")
def newest() -> Installed:
    """The genlayer-py of the lock; installed once for each version, with hashes and without anything it depends on."""
    version = locked(LOCK)
    if version == locked(ROOT / "requirements" / "dev.lock"):
        pytest.skip("the environment has the newest genlayer-py: all tests are run on it")
    folder = ROOT / ".cache" / f"genlayer-py-{version}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # another run of the tests may be doing the same
        if not folder.is_dir():
            _install(folder)
    return Installed(version, folder)


def _install(folder: Path) -> None:
    fresh = folder.with_name(f"{folder.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1", "install"]
    done = subprocess.run(
        [*pip, "--quiet", "--no-deps", "--require-hashes", "--target", str(fresh), "--requirement", str(LOCK)],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip(f"genlayer-py cannot be had from the package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    fresh.rename(folder)


def test_genlayer_py__in_use__is_the_version_that_was_meant() -> None:
    distribution = importlib.metadata.distribution("genlayer-py")
    meant = os.environ.get(VERSION_VARIABLE) or locked(ROOT / "requirements" / "dev.lock")
    assert distribution.version == meant
    assert Path(str(distribution.locate_file("genlayer_py/__init__.py"))).samefile(str(genlayer_py.__file__))


def test_client__on_the_newest_genlayer_py__tells_the_same_stories(newest: Installed) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", *(f"-pno:{plugin}" for plugin in WITHOUT), *STORIES]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**ours, VERSION_VARIABLE: newest.version, "PYTHONPATH": str(newest.folder)},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE), done.stdout + done.stderr
