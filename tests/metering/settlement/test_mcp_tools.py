"""Paid tools on the MCP SDK, which is in a lock of its own: nothing else of ours stands on it."""

from tests.other_versions import other_versions


def test_paid_tools__on_the_mcp_sdk__pass_their_tests() -> None:
    other_versions("mcp").pass_tests("tests/metering/settlement/mcp_tools.py")
