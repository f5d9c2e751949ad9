"""A service for each adapter, with a meter in memory."""

import asyncio
import inspect
from collections.abc import Iterator

import pytest

from api_billing.metering.meter import Meter

from .subjects import ADAPTERS, Subject, subject_of
from .terms import open_meter


@pytest.fixture
def meter() -> Iterator[Meter]:
    with open_meter() as meter:
        yield meter


@pytest.fixture(params=ADAPTERS)
def subject(request: pytest.FixtureRequest, meter: Meter) -> Iterator[Subject]:
    with subject_of(request.param, meter) as subject:
        yield subject


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, each in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
