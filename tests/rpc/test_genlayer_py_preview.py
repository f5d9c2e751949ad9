"""The next releases of genlayer-py and genlayer-test, which know fees, in a process that has them."""

from __future__ import annotations

from tests.other_versions import other_versions


def test_genlayer_py__that_knows_fees__tells_its_stories() -> None:
    other_versions("genlayer-test-preview").pass_tests("tests/rpc/genlayer_py_preview.py")
