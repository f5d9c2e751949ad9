#!/bin/sh
# Writes requirements/*.lock from the pyproject.toml of both packages, with hashes, for every supported Python at once.
# Usage: tools/lock.sh PATH-TO-uv [--upgrade]; keeps the versions of the present locks unless told to upgrade.
set -eu
uv=$1
shift

# No address of an index in the files: which one is used is up to the machine's pip configuration.
resolve() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.12 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file "$output" "$@"
}

compile() {
    resolve "$@" pyproject.toml --group build --no-emit-package api-billing --no-emit-package genlayer-localnet
}

# The larger set first: the smaller one then takes its versions from it, so that .venv can grow from one to the other.
compile requirements/dev.lock --extra dev "$@"
compile requirements/run.lock --extra chain --extra cli --extra localnet --constraint requirements/dev.lock "$@"
# What the container image has: deploy/Dockerfile.
in_image=$(printf -- '--extra %s ' alerts chain cli fastapi jwt metrics otel postgresql redis serve)
# shellcheck disable=SC2086 # each word is an argument
compile requirements/image.lock $in_image --constraint requirements/dev.lock "$@"
# What the genlayer-test of .venv keeps out of it: tests/other_versions.py puts these before it, on what .venv has.
other() {
    name=$1
    shift
    resolve "requirements/$name.lock" --no-deps --no-annotate "$@" -
}
echo genlayer-py | other genlayer-py-newest "$@"
echo genlayer-py | other genlayer-py-preview --prerelease allow "$@"
printf 'genlayer-py\ngenlayer-test\n' | other genlayer-test-preview --prerelease allow "$@"
# Payment clients and judges that nobody here wrote, with all that they need: tests/payments_outside.
printf 'agent-security-harness\npympp\nx402[evm,httpx,requests]\nx402-conformance-suite\n' |
    resolve requirements/payment-clients.lock --no-annotate "$@" -
# The MCP SDK, for tools that are paid for: tests/metering/settlement/mcp_tools.py.
echo mcp | resolve requirements/mcp.lock --no-annotate --constraint requirements/dev.lock "$@" -
