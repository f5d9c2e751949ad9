"""The client on other versions of genlayer-py than that of the environment, which genlayer-test bounds."""

import pytest

from tests.other_versions import locked, other_versions

STORIES = (
    "tests/client/test_billing_client.py",
    "tests/client/test_networks.py",
    "tests/client/test_transactions.py",
    "tests/rpc/test_genlayer_py.py",
)


@pytest.mark.parametrize("name", ["genlayer-py-newest"])
def test_client__on_another_genlayer_py__tells_the_same_stories(name: str) -> None:
    if locked(name)["genlayer-py"] == locked("dev")["genlayer-py"]:
        pytest.skip("the environment has this genlayer-py: all tests are run on it")
    other_versions(name).pass_tests(*STORIES)
