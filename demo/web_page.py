"""The web page of the project, `dapp/dist`: built with npm where it is missing or older than its sources."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from demo import ROOT

PAGE: Final = ROOT / "dapp"
_PACKAGE: Final = ("package.json", "package-lock.json", ".npmrc")
_SOURCES: Final = ("package.json", "package-lock.json", "index.html", "tsconfig.json", "vite.config.ts")
_SOURCE_FOLDERS: Final = ("src", "public")
_SECONDS: Final = 900
_SHOWN_LINES: Final = 15

Tell = Callable[[str], None]


class PageNotBuiltError(Exception):
    """There is no page, and it cannot be built; the text says why, and what to do."""


def built_page(tell: Tell = lambda _: None) -> Path:
    """The built page; ``tell`` hears of what takes long. Raises: PageNotBuiltError."""
    page = PAGE
    built, stamp = page / "dist", _cache(page) / "dapp-dist.sha256"
    with _alone(page):
        wanted = _hash_of(page, _files(page))
        if (built / "index.html").is_file() and stamp.is_file() and stamp.read_text() == wanted:
            return built
        install_packages(page, tell)
        tell("building the web page")
        _npm(["run", "build"], page)
        stamp.write_text(wanted)
    return built


def install_packages(page: Path, tell: Tell = lambda _: None) -> None:
    """Put the packages of the lock at ``dapp/node_modules``; they are kept in `.cache`, once for each lock.

    A folder that somebody has installed there is left alone. Raises: PageNotBuiltError.
    """
    link = page / "node_modules"
    if link.is_dir() and not link.is_symlink():
        return
    kept = _cache(page) / f"dapp-{_hash_of(page, [page / name for name in _PACKAGE])[:16]}" / "node_modules"
    if not kept.is_dir():
        tell("fetching the packages of the web page from npm")
        _install(page, kept.parent)
    if not link.is_symlink() or link.resolve() != kept.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(kept, page))


def _install(page: Path, folder: Path) -> None:
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True)
    try:
        for name in _PACKAGE:
            shutil.copy(page / name, fresh / name)
        # Not `npm ci`: npm leaves optional packages of other platforms out of a lock, and then finds it incomplete.
        _npm(["install", "--ignore-scripts"], fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _npm(arguments: Sequence[str], folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PageNotBuiltError(
            "the web page has to be built, and npm is not installed: install Node.js 20 or later (which has npm)"
        )
    command = f"npm {' '.join(arguments)}"
    try:
        done = subprocess.run(
            [npm, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PageNotBuiltError(f"{command} in {folder} did not end: {error}") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).rstrip().splitlines()[-_SHOWN_LINES:])
        raise PageNotBuiltError(f"{command} in {folder} failed:\n{said}")


def _cache(page: Path) -> Path:
    folder = page.parent / ".cache"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _alone(page: Path) -> Iterator[None]:
    """Processes that want the page at the same time build it once."""
    with (_cache(page) / "dapp.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _files(page: Path) -> Iterator[Path]:
    yield from (page / name for name in _SOURCES)
    for folder in _SOURCE_FOLDERS:
        yield from sorted(path for path in (page / folder).rglob("*") if path.is_file())


def _hash_of(page: Path, paths: Iterator[Path] | Sequence[Path]) -> str:
    hashed = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        hashed.update(f"{path.relative_to(page)} {len(content)}\n".encode() + content)
    return hashed.hexdigest()
