"""The client on other versions of genlayer-py than that of the environment, which genlayer-test bounds."""

import importlib.metadata
import os
from pathlib import Path

import genlayer_py
import pytest
from packaging.requirements import Requirement

from tests.other_versions import LOCK_VARIABLE, locked, other_versions

HERE = "tests/client/test_genlayer_py_versions.py::test_genlayer_py__in_use"
STORIES = (
    f"{HERE}__is_the_version_that_was_meant",
    f"{HERE}__has_what_it_depends_on",
    "tests/client/test_billing_client.py",
    "tests/client/test_networks.py",
    "tests/client/test_transactions.py",
    "tests/rpc/test_genlayer_py.py",
)


def test_genlayer_py__in_use__is_the_version_that_was_meant() -> None:
    distribution = importlib.metadata.distribution("genlayer-py")
    assert distribution.version == locked(os.environ.get(LOCK_VARIABLE) or "dev")["genlayer-py"]
    assert Path(str(distribution.locate_file("genlayer_py/__init__.py"))).samefile(str(genlayer_py.__file__))


def test_genlayer_py__in_use__has_what_it_depends_on() -> None:
    needs = [Requirement(each) for each in importlib.metadata.requires("genlayer-py") or []]
    assert needs
    for each in needs:
        assert each.specifier.contains(importlib.metadata.version(each.name)), each


@pytest.mark.parametrize("name", ["genlayer-py-newest"])
def test_client__on_another_genlayer_py__tells_the_same_stories(name: str) -> None:
    if locked(name)["genlayer-py"] == locked("dev")["genlayer-py"]:
        pytest.skip("the environment has this genlayer-py: all tests are run on it")
    other_versions(name).pass_tests(*STORIES)
