"""What `other_versions` relies on; these tests come first in every process that has other versions, too."""

import importlib.metadata
import importlib.util
import os
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.other_versions import LOCK_VARIABLE, locked

MODULES = {"genlayer-py": "genlayer_py", "genlayer-test": "gltest", "mcp": "mcp"}
MEANT = locked(os.environ.get(LOCK_VARIABLE) or "dev")
meant = pytest.mark.parametrize("package", [package for package in MODULES if package in MEANT])


@meant
def test_tool__in_use__is_the_version_that_was_meant(package: str) -> None:
    distribution = importlib.metadata.distribution(package)
    module = importlib.util.find_spec(MODULES[package])
    assert distribution.version == MEANT[package]
    assert module is not None
    assert Path(str(distribution.locate_file(f"{MODULES[package]}/__init__.py"))).samefile(str(module.origin))


@meant
def test_tool__in_use__has_what_it_depends_on(package: str) -> None:
    needs = [Requirement(each) for each in importlib.metadata.requires(package) or []]
    needs = [each for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert needs
    for each in needs:
        assert each.specifier.contains(importlib.metadata.version(each.name), prereleases=True), each
