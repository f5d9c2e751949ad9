"""A world for each test."""

from collections.abc import Iterator

import pytest

from .world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A store, a chain and a clock."""
    made = World()
    with made.store:
        yield made
