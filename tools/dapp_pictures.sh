#!/bin/sh
# Takes the pictures of the dapp in docs/images anew, from the network that its stories are told on.
set -eu
cd "$(dirname "$0")/.."
DAPP_PICTURES="$PWD/docs/images" STORY="has its picture" .venv/bin/python -m pytest -q tests/dapp -k "told_in_chromium and picture"
