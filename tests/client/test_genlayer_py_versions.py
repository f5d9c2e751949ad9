"""The client on other versions of genlayer-py than that of the environment, which genlayer-test bounds."""

import pytest

from tests.other_versions import locked, other_versions

STORIES = tuple(
    f"tests/client/test_{name}.py"
    for name in ("billing_client", "fees", "fees_on_a_localnet", "genlayer_sdk", "networks", "sending", "transactions")
)
OWN_STORIES = {"genlayer-py-newest": "tests/rpc/test_genlayer_py.py"}  # the preview is used in another way


@pytest.mark.parametrize("name", ["genlayer-py-newest", "genlayer-py-preview"])
def test_client__on_another_genlayer_py__tells_the_same_stories(name: str) -> None:
    if locked(name)["genlayer-py"] == locked("dev")["genlayer-py"]:
        pytest.skip("the environment has this genlayer-py: all tests are run on it")
    own = [OWN_STORIES[name]] if name in OWN_STORIES else []
    other_versions(name).pass_tests(*STORIES, *own)
