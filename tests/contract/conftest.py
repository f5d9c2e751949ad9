"""Fixtures of the contract tests. What touches a localnet runs under both rules for the value of a failed call."""

import pytest

from api_billing.testing import deploy_billing
from genlayer_localnet import Localnet

from .market import API, DAILY, METER, MONTHLY, OPERATOR, PEOPLE, PRICE, START, Market


@pytest.fixture(params=["keep", "return"])
def failed_value(request: pytest.FixtureRequest) -> str:
    """Where the value of a failed call stays: with the contract, as on Studio, or with its sender."""
    return str(request.param)


@pytest.fixture
def localnet(failed_value: str) -> Localnet:
    net = Localnet(now=START, failed_value=failed_value)
    for person in PEOPLE:
        net.fund(person, 10**30)
    return net


@pytest.fixture
def billing(localnet: Localnet) -> Market:
    """The contract as it is right after its deployment."""
    deployed = deploy_billing(localnet)
    return Market(deployed.net, deployed.address)


@pytest.fixture
def market(billing: Market) -> Market:
    """OPERATOR's API `weather`: 10 wei, 5 calls a day, 12 a month, with METER. ALICE has subscribed with 1,000 wei."""
    billing.register(API, price=PRICE, daily=DAILY, monthly=MONTHLY)
    billing.ok("set_meter", API, METER, True, sender=OPERATOR)
    billing.subscribe()
    return billing


@pytest.fixture
def wide(billing: Market) -> Market:
    """The same with limits that no test reaches by chance."""
    billing.register()
    billing.ok("set_meter", API, METER, True, sender=OPERATOR)
    billing.subscribe()
    return billing
