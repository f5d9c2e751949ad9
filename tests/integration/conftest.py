"""gltest against a network: the localnet by default, another with `gltest tests/integration --network studionet`.

Where the network is the localnet and no `--rpc-url` says otherwise, a server is started on a free port for these tests,
and gltest's configuration is pointed at it. So nothing has to run beforehand, and nothing that runs is disturbed.
"""

from collections.abc import Iterator

import pytest
from gltest.clients import get_gl_client
from gltest.helpers import clear_snapshots
from gltest_cli.config.general import get_general_config

from genlayer_localnet.testing.server import local_server


@pytest.fixture(scope="session", autouse=True)
def network() -> Iterator[str]:
    """The URL of the node under test."""
    config = get_general_config()
    if config.get_network_name() != "localnet" or config.plugin_config.rpc_url is not None:
        yield config.get_rpc_url()
        return
    chain_urls = config.get_chain().rpc_urls
    before = list(chain_urls["default"]["http"])
    with local_server(finality_window_seconds=1) as server:
        config.plugin_config.rpc_url = server.url
        get_gl_client.cache_clear()
        try:
            yield server.url
        finally:
            config.plugin_config.rpc_url = None
            get_gl_client.cache_clear()
            clear_snapshots()
            chain_urls["default"]["http"] = before  # genlayer-py writes the endpoint into the chain that all share
