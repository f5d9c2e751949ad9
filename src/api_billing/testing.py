"""pytest plugin: the billing contract, deployed on the localnet of the test.

`billing` is a `Billing`: the contract bound to its localnet. Use `billing.write("subscribe", …, sender=alice)` and
`billing.view("get_api", "weather")`. It builds on the fixture `localnet` of `genlayer_localnet.testing.plugin`.
Every pytest run of a project that has this package loads the plugin, so it loads nothing until the fixture is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from api_billing.networks import Line
    from genlayer_localnet import Localnet, Receipt

OPERATOR_SEED = "0x" + "0e" * 20


@dataclass(frozen=True)
class Billing:
    """A deployed billing contract. Every method runs one transaction or one read on `net`."""

    net: Localnet
    address: str

    def write(self, method: str, *args: Any, sender: Any, value: int = 0, **kwargs: Any) -> Receipt:
        """Run a write and return its receipt, whether or not the contract refused it. `value` in wei."""
        return self.net.write(self.address, method, *args, sender=sender, value=value, **kwargs)

    def view(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Read a view; raises `ContractRejected` when the contract refuses."""
        return self.net.view(self.address, method, *args, **kwargs)

    def report(self, consumer: Any) -> dict[str, Any]:
        """`get_usage_report` as a dict."""
        report: dict[str, Any] = json.loads(self.view("get_usage_report", consumer))
        return report

    def api_report(self, consumer: Any, api_name: str) -> dict[str, Any]:
        """The line of one API in the consumer's report."""
        return next(line for line in self.report(consumer)["apis"] if line["api_name"] == api_name)


def deploy_billing(net: Localnet, line: Line = "v0.2") -> Billing:
    """Deploy the contract of this checkout, in its edition for a line of GenVM; who deploys it has no power over it."""
    from api_billing.contract_source import contract_path, deployed_form

    path = contract_path()
    code = path if line == "v0.2" else deployed_form(path.read_text(encoding="utf-8"), line, minified=False)
    receipt = net.deploy(code, sender=OPERATOR_SEED)
    assert receipt.kind == "return", receipt.stderr
    return Billing(net, str(receipt.to))


@pytest.fixture
def billing(request: pytest.FixtureRequest) -> Billing:
    """The billing contract on a fresh localnet. Raises: MissingExtra without genlayer-localnet."""
    from api_billing.extras import needed_by

    with needed_by("the fixture billing"):
        import_module("genlayer_localnet")
    net: Localnet = request.getfixturevalue("localnet")
    return deploy_billing(net)
