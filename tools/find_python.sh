#!/bin/sh
# Prints the path of a Python that is at least 3.12, or says what to do and fails.
# Candidates in order: $PYTHON, this project's own .venv, the PATH, pyenv. Each is really run, because a pyenv shim
# stands on the PATH also for versions that are not switched on.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# The interpreter's own path rather than the candidate's name: behind a shim or a virtual environment it is another file.
resolve() {
    "$1" -I -c 'import sys
if sys.version_info < (3, 12): sys.exit(1)
print(getattr(sys, "_base_executable", None) or sys.executable)' 2>/dev/null </dev/null
}

if [ -n "${PYTHON:-}" ]; then
    resolve "$PYTHON" && exit 0
    echo "PYTHON=$PYTHON is not a Python 3.12 or later that runs here." >&2
    exit 1
fi

for candidate in \
    "$root/.venv/bin/python" \
    python3.13 python3.12 python3 python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python \
    "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python; do
    resolve "$candidate" && exit 0
done

echo "No Python 3.12 or later found (looked at the PATH and at pyenv's versions)." >&2
echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2
exit 1
