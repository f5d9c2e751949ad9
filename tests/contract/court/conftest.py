"""The court with a promise in force and a day to dispute."""

import inspect
from collections.abc import Iterator

import pytest

from ..forms import Form
from .tribunal import Rule, Tribunal, failed_with_value, scene_at


@pytest.fixture
def tribunal(request: pytest.FixtureRequest, failed_value: Rule, form: Form) -> Iterator[Tribunal]:
    """ALICE has paid 50 wei for 5 calls on the day DISPUTED; the promise, of 7 days and 80 percent, was in force."""
    scene = scene_at(failed_value, form=form)
    yield scene
    if "failed_value" not in inspect.signature(request.function).parameters:
        assert failed_with_value(scene.net) == [], "a call with value failed: take failed_value"


@pytest.fixture(params=["undone", "stay"])
def appealed(request: pytest.FixtureRequest) -> Tribunal:
    """The same under both rules for the messages of a call that an appeal takes back."""
    return scene_at("keep", request.param)
