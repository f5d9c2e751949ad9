#!/bin/sh
# Writes requirements/*.lock from pyproject.toml, with hashes, for every supported Python version at once.
# Usage: tools/lock.sh PATH-TO-uv [--upgrade]; keeps the versions of the present locks unless told to upgrade.
set -eu
uv=$1
shift

# No address of an index in the files: which one is used is up to the machine's pip configuration.
compile() {
    output=$1
    shift
    "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.12 --generate-hashes \
        --group build --no-emit-index-url --no-emit-find-links --no-emit-package api-billing \
        --custom-compile-command "make lock" --output-file "$output" "$@"
}

# The larger set first: the smaller one then takes its versions from it, so that .venv can grow from one to the other.
compile requirements/dev.lock --extra dev "$@"
compile requirements/run.lock --constraint requirements/dev.lock "$@"
