"""Make or update this project's `.venv` from a lock file: `python tools/environment.py run|dev`.

`run` has what `make demo` needs, `dev` also what tests and checks need. A stamp in the environment records what it was
made from, so that nothing happens when it is up to date. Standard library only: this runs before anything is installed.
"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".made-from"
PACKAGES = (ROOT / "localnet", ROOT)
LEVELS = ("run", "dev")  # each contains the one before it


def lock_of(level: str) -> Path:
    return ROOT / "requirements" / f"{level}.lock"


def fingerprint(interpreter: str) -> str:
    """Hash of all that decides what is installed; another one means that the environment is made anew."""
    # Not the whole files: a new lint rule or test setting changes nothing that is installed.
    settings = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in PACKAGES]
    packaging = [[each["build-system"], each["project"], each["tool"]["hatch"]] for each in settings]
    digest = hashlib.sha256(json.dumps([interpreter, sys.version, packaging], sort_keys=True).encode())
    for source in (*map(lock_of, LEVELS), Path(__file__)):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def stamped() -> tuple[str, str]:
    """Fingerprint and level of the environment as it is; both empty if there is none, or one that was not finished."""
    try:
        made_from, level = STAMP.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "", ""
    return made_from, level


def run(*command: str | Path) -> None:
    """Run a step quietly; if it fails, show its output and leave with its exit code."""
    # A PYTHONPATH or PYTHONHOME of the caller's must not decide what pip sees in the new environment.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        print(done.stdout, file=sys.stderr)
        print(f"failed: {' '.join(map(str, command))}", file=sys.stderr)
        sys.exit(done.returncode)


def install(level: str) -> None:
    pip = (VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input")
    # The lock is complete, so nothing is left to resolve: --no-deps keeps pip from adding anything to it.
    run(*pip, "install", "--quiet", "--no-deps", "--require-hashes", "--requirement", lock_of(level))
    editable = [part for folder in PACKAGES for part in ("--editable", folder)]
    run(*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", *editable)
    run(*pip, "check")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in LEVELS:
        print(f"usage: python tools/environment.py {'|'.join(LEVELS)}", file=sys.stderr)
        return 2
    wanted = arguments[0]
    interpreter = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    current = fingerprint(interpreter)
    made_from, level = stamped()
    if made_from == current and level in LEVELS[LEVELS.index(wanted) :]:
        return 0
    lock = lock_of(wanted).relative_to(ROOT)
    print(f"Setting up .venv from {lock} with Python {sys.version.split()[0]} ({interpreter}) ...", flush=True)
    STAMP.unlink(missing_ok=True)
    if made_from != current:
        run(interpreter, "-m", "venv", "--clear", VENV)
    install(wanted)
    STAMP.write_text(f"{current} {wanted}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
