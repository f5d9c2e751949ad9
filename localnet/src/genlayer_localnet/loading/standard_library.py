"""Which Python standard libraries of GenVM contracts run on: the official one, or this package's own.

``GENLAYER_STD`` (or the argument ``std``) chooses: ``official``, ``fallback``, or ``auto``: the official one when it
is on this machine, else the fallback. docs/localnet.md says where it is looked for. That is for contracts of the v0.2
line; those of the v0.3 line run on this package's own library in any case.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from genlayer_localnet.errors import InvalidArgument, StandardLibraryNotFound
from genlayer_localnet.loading.lines import Line

Choice = Literal["auto", "official", "fallback"]
_FALLBACKS = Path(__file__).parents[1] / "std"
FALLBACK_ROOT = _FALLBACKS / "v02"
FALLBACK_ROOT_V03 = _FALLBACKS / "v03"
_STD_RUNNER = "py-lib-genlayer-std"
_PYTHON_RUNNER = "py-genlayer"


@dataclass(frozen=True, slots=True)
class StandardLibrary:
    """A library that was found: ``paths`` go to the front of ``sys.path`` to import ``genlayer`` from it."""

    name: Literal["official", "fallback"]
    paths: tuple[Path, ...]
    line: Line = "v0.2"

    @property
    def root(self) -> Path:
        """The folder that has the package ``genlayer``."""
        return self.paths[0]

    def describe(self) -> str:
        """One line for people: which library, and where it comes from."""
        kind = "official GenVM standard library" if self.name == "official" else "fallback standard library"
        return f"{kind} ({self.root})"


LIBRARY_V03 = StandardLibrary("fallback", (FALLBACK_ROOT_V03,), "v0.3")


def choose(choice: str | StandardLibrary | None = None) -> StandardLibrary:
    """The library for ``choice`` (or itself); None looks at ``GENLAYER_STD``, then means ``auto``.

    Raises: StandardLibraryNotFound, when ``official`` is asked for and is not here; InvalidArgument.
    """
    if isinstance(choice, StandardLibrary):
        return choice
    wanted = choice or os.environ.get("GENLAYER_STD") or "auto"
    if wanted not in get_args(Choice):
        raise InvalidArgument(f"GENLAYER_STD is one of {', '.join(get_args(Choice))}, not {wanted!r}")
    fallback = StandardLibrary("fallback", (FALLBACK_ROOT,))
    if wanted == "fallback":
        return fallback
    official = find_official()
    if official is not None:
        return official
    if wanted == "official":
        places = "\n".join(f"  - {place}" for place in _places())
        raise StandardLibraryNotFound(
            "The official GenVM standard library is not on this machine. Looked for the package `genlayer` in:\n"
            f"{places}\nSet GENVMROOT to an unpacked GenVM release, run genlayer-test's direct mode once where it can "
            "download, or use GENLAYER_STD=fallback."
        )
    return fallback


def find_official() -> StandardLibrary | None:
    """The official library: ``GENVMROOT`` before genlayer-test's cache, the newest version first."""
    root = os.environ.get("GENVMROOT")
    if root:
        runners = Path(root) / "runners"
        for std in (runners / "genlayer-py-std", *_extracted(runners / _STD_RUNNER)):
            package = _package_root(std)
            if package:
                return StandardLibrary("official", (package, *_python_runner(runners, package)))
    for version in sorted(_children(_cache()), key=_version_key, reverse=True):
        for std in _extracted(version / _STD_RUNNER):
            package = _package_root(std)
            if package:
                return StandardLibrary("official", (package, *_python_runner(version, package)))
    return None


def direct_mode_cache_is_filled() -> bool:
    """Whether genlayer-test's direct mode has the official library in its cache, so that it needs no fallback."""
    return any(_package_root(std) for version in _children(_cache()) for std in _extracted(version / _STD_RUNNER))


def _cache() -> Path:
    return Path.home() / ".cache" / "gltest-direct" / "extracted"


def _places() -> list[str]:
    root = os.environ.get("GENVMROOT")
    return [f"GENVMROOT/runners = {Path(root) / 'runners'}" if root else "GENVMROOT (not set)", str(_cache())]


def _children(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _extracted(runner: Path) -> list[Path]:
    """The folder itself, and its extracted versions: ``<hash>`` or, as in the release's archive, ``<ha>/<sh…>``."""
    versions = _children(runner)
    split = [deeper for version in versions if len(version.name) == 2 for deeper in _children(version)]
    return [runner, *versions, *split]


def _package_root(runner: Path) -> Path | None:
    """Where the package is in this folder; a link to the fallback (made for genvm-linter) is not the official one."""
    for path in (runner / "src", runner):
        # Without `gl` it is one of the v0.3 line.
        if (path / "genlayer" / "gl" / "__init__.py").is_file() and path.resolve() != FALLBACK_ROOT.resolve():
            return path
    return None


def _python_runner(runners: Path, package: Path) -> tuple[Path, ...]:
    """The folder of the runner ``py-genlayer`` that names this library in its manifest (it may carry modules too)."""
    for candidate in _extracted(runners / _PYTHON_RUNNER):
        manifest = candidate / "runner.json"
        if manifest.is_file() and any(hash_ in str(package) for hash_ in _dependencies(manifest)):
            source = candidate / "src"
            return (source if source.is_dir() else candidate,)
    return ()


def _dependencies(manifest: Path) -> list[str]:
    try:
        steps = json.loads(manifest.read_text("utf-8")).get("Seq", [])
    except (OSError, ValueError, AttributeError):
        return []
    names = [str(step.get("Depends", "")) for step in steps if isinstance(step, dict)]
    return [name.partition(":")[2] for name in names if name.startswith(_STD_RUNNER) and ":" in name]


def _version_key(path: Path) -> tuple[tuple[int, int | str], ...]:
    """``v0.2.16`` after ``v0.2.9``; parts that are no numbers sort before numbers."""
    parts = path.name.lstrip("v").replace("-", ".").split(".")
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)
