"""Fixtures of the contract tests. A scene is played once in a session; tests get the localnet set back to it.

Every test runs on both editions of the contract, as they are deployed (`forms.py`).

The rule for the value of a failed call makes a difference only where a call with value fails. Tests with such a call
take `failed_value` and run under both rules, the others under one (under both with HYPOTHESIS_PROFILE=thorough); that
none of the others has such a call is checked after each.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

import pytest

from genlayer_localnet import Localnet

from .forms import FORMS, Form, billing_code
from .invariant.profiles import THOROUGH
from .market import API, DAILY, METER, MONTHLY, OPERATOR, PEOPLE, PRICE, START, Market

FailedValue = Literal["keep", "return"]


class Scenes:
    """One localnet, and snapshots of it: ``funded``, and with the contract ``deployed``, ``market`` and ``wide``."""

    def __init__(self, failed_value: FailedValue, form: Form) -> None:
        self.net = Localnet(now=START, failed_value=failed_value)
        for person in PEOPLE:
            self.net.fund(person, 10**30)
        self._snapshots = {"funded": self.net.snapshot()}
        deployed = self.net.deploy(billing_code(form), sender=OPERATOR)
        assert deployed.kind == "return", deployed.stderr
        self._market = Market(self.net, str(deployed.to), form)
        self._keep("deployed")
        self._open("market", daily=DAILY, monthly=MONTHLY)
        self._open("wide")

    def _open(self, name: str, **limits: int) -> None:
        market = self.at("deployed")
        market.register(API, OPERATOR, PRICE, **limits)
        market.ok("set_meter", API, METER, True, sender=OPERATOR)
        market.subscribe()
        self._keep(name)

    def _keep(self, name: str) -> None:
        self._snapshots[name] = self.net.snapshot()

    def at(self, name: str) -> Market:
        """Set the localnet back."""
        self.net.restore(self._snapshots[name])
        return self._market

    def played(self, name: str, start: str, play: Callable[[Market], None]) -> Market:
        """The scene of that name, played from another one when it is first wanted."""
        if name not in self._snapshots:
            play(self.at(start))
            self._keep(name)
        return self.at(name)

    def has_failed_call_with_value(self) -> bool:
        transactions = self.net._chain.world.transactions.values()
        return any(each.value and each.outcome and each.outcome.kind != "return" for each in transactions)


_scenes = cache(Scenes)


def takes_the_rule(function: object) -> bool:
    return "failed_value" in inspect.signature(function).parameters  # type: ignore[arg-type]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "failed_value" in metafunc.fixturenames:
        rules = ("keep", "return") if THOROUGH or takes_the_rule(metafunc.function) else ("keep",)
        metafunc.parametrize("failed_value", rules, indirect=True)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    """Which form of the contracts is deployed."""
    form: Form = request.param
    return form


@pytest.fixture
def failed_value(request: pytest.FixtureRequest, form: Form) -> Iterator[FailedValue]:
    """Where the value of a failed call stays: with the contract, as on Studio, or with its sender."""
    rule: FailedValue = request.param
    yield rule
    if not takes_the_rule(request.function):
        assert not _scenes(rule, form).has_failed_call_with_value(), "a call with value failed: take failed_value"


@pytest.fixture
def played(failed_value: FailedValue, form: Form) -> Callable[[str, str, Callable[[Market], None]], Market]:
    """Makes longer scenes of a test file, once in a session: `played("crowded", "deployed", play)`."""
    return _scenes(failed_value, form).played


@pytest.fixture
def localnet(failed_value: FailedValue, form: Form) -> Localnet:
    """The network with everybody's money on it, and no contract."""
    scenes = _scenes(failed_value, form)
    scenes.at("funded")
    return scenes.net


@pytest.fixture
def billing(failed_value: FailedValue, form: Form) -> Market:
    """The contract as it is right after its deployment."""
    return _scenes(failed_value, form).at("deployed")


@pytest.fixture
def market(failed_value: FailedValue, form: Form) -> Market:
    """OPERATOR's API `weather`: 10 wei, 5 calls a day, 12 a month, with METER. ALICE has subscribed with 1,000 wei."""
    return _scenes(failed_value, form).at("market")


@pytest.fixture
def wide(failed_value: FailedValue, form: Form) -> Market:
    """The same with limits that no test reaches by chance."""
    return _scenes(failed_value, form).at("wide")
