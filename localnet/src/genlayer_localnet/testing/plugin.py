"""The pytest plugin (entry point ``genlayer_localnet``).

Fixtures: ``localnet``, a network of its own for each test, and the accounts ``alice``, ``bob``, ``carol``, ``dave``
and ``erin`` with 1,000 GEN each on it; ``rpc_server``, a JSON-RPC server for the session. ``server_fixture`` makes a
fixture for a server with other options. ``--failed-value`` (or the ini value ``localnet_failed_value``) chooses where
the value of a failed call stays. Where genlayer-test's plugin is active without the official standard library, its
direct mode gets the fallback.

Every pytest run of a project that has this package loads the plugin, so it loads nothing until a fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.loading import standard_library
from genlayer_localnet.testing import GEN, named_account
from genlayer_localnet.testing.direct import DirectModeMismatch, install_direct_fallback, uninstall_direct_fallback

if TYPE_CHECKING:
    from genlayer_localnet.address import Address
    from genlayer_localnet.localnet import Localnet
    from genlayer_localnet.rpc.server import RpcServer
    from genlayer_localnet.testing.server import ServerProcess

ACCOUNT_BALANCE_WEI = 1_000 * GEN
_direct_mode_note = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "where the value of a failed call stays on the localnet"
    group = parser.getgroup("genlayer_localnet")
    group.addoption("--failed-value", choices=("keep", "return"), default=None, help=help_text)
    parser.addini("localnet_failed_value", help_text, default="keep")


def pytest_configure(config: pytest.Config) -> None:
    if "gltest" not in sys.modules:  # not installed, or switched off: importing it would take more than a second
        return
    try:
        install_direct_fallback()
    except (ImportError, DirectModeMismatch) as error:
        config.stash[_direct_mode_note] = f"genlayer-test's direct mode is left as it is: {error}"


def pytest_unconfigure(config: pytest.Config) -> None:
    uninstall_direct_fallback()


def pytest_report_header(config: pytest.Config) -> list[str]:
    try:
        lines = [f"genlayer_localnet: {standard_library.choose().describe()}"]
    except LocalnetError as error:
        lines = [f"genlayer_localnet: {error}"]
    note = config.stash.get(_direct_mode_note, None)
    return lines if note is None else [*lines, note]


def localnet_options(config: pytest.Config) -> dict[str, Any]:
    """What the command line and the ini file say about new localnets, as arguments of ``Localnet``."""
    return {"failed_value": config.getoption("--failed-value") or config.getini("localnet_failed_value")}


@pytest.fixture
def localnet(request: pytest.FixtureRequest) -> Localnet:
    """A network of its own, at 2026-01-15 12:00 UTC."""
    from genlayer_localnet.localnet import Localnet

    return Localnet(**localnet_options(request.config))


@pytest.fixture(scope="session")
def rpc_server(pytestconfig: pytest.Config) -> Iterator[ServerProcess]:
    """A JSON-RPC server in a process of its own, on a free port, for the whole session: ``rpc_server.url``.

    Tests share it, so each uses accounts of its own and leaves the clock and the snapshots alone.
    """
    from genlayer_localnet.testing.server import ServerProcess

    with ServerProcess("--failed-value", localnet_options(pytestconfig)["failed_value"]) as server:
        yield server


def server_fixture(scope: Literal["session", "module", "function"] = "session", **options: Any) -> Any:
    """Make a fixture, to be assigned to a name in a conftest: an ``RpcServer`` in this process with these options.

    ``options`` are those of ``NodeOptions``. The fixture is requested by the name that it is assigned to.
    """

    def server() -> Iterator[RpcServer]:
        from genlayer_localnet.testing.server import local_server

        with local_server(**options) as running:
            yield running

    return pytest.fixture(server, scope=scope)


def _account_fixture(name: str) -> Callable[..., Address]:
    def account(localnet: Localnet) -> Address:
        address = named_account(name)
        localnet.fund(address, ACCOUNT_BALANCE_WEI)
        return address

    account.__doc__ = f"The account of {name}, with 1,000 GEN."
    fixture: Callable[..., Address] = pytest.fixture(account, name=name)
    return fixture


alice = _account_fixture("alice")
bob = _account_fixture("bob")
carol = _account_fixture("carol")
dave = _account_fixture("dave")
erin = _account_fixture("erin")
