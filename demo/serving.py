"""The demo's network, kept running: JSON-RPC for all clients, and the web page at `/app` with a link into it."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api_billing.contract_source import contract_path
from demo.live_meter import LiveMeter
from demo.market import ANSWER, EVIDENCE, EVIDENCE_URL
from demo.people import CARL, OLGA, PEOPLE
from demo.present import Present
from genlayer_localnet.rpc.options import DEFAULT_FINALITY_WINDOW_SECONDS, NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.static_files import StaticSite

DEFAULT_PORT: Final = 4000
_NETWORK: Final = "localnet"


def server_of(
    made: Present,
    page: Path,
    *,
    meter: LiveMeter | None = None,
    port: int = DEFAULT_PORT,
    finality_seconds: float = DEFAULT_FINALITY_WINDOW_SECONDS,
) -> RpcServer:
    """A server, for this machine alone, that goes on with a network at its time. ``page`` is served at `/app`, and
    told the people's keys, and where the meter is.

    Raises: PortInUse.
    """
    net = made.net
    document: dict[str, bytes] = {}
    options = NodeOptions(std=net.std.name, now=net.now, finality_window_seconds=finality_seconds)
    server = RpcServer(options, port=port, site=StaticSite(page, documents=document))
    server.node.adopt(net.clone_world())
    _have_judges(server)
    document[f"deployments/{_NETWORK}.json"] = json.dumps(_deployment(made, meter, server), indent=2).encode()
    return server


def links(server: RpcServer) -> Iterator[tuple[str, str]]:
    """Ways into the page, and what is there. It finds the node and the contract by itself."""
    page = f"{server.url.removesuffix('/api')}/app/"
    yield page, "who is there: act as any of them"
    for view, person in (("usage", CARL), ("operate", OLGA)):
        yield f"{page}#/{view}?account={person.account}", person.name


def _have_judges(server: RpcServer) -> None:
    """Let the validators' models answer a court, and have the evidence at hand."""
    mocked = {
        "mock_response": {"response": {"": ANSWER}},
        "mock_web_response": {"nondet_web_request": {EVIDENCE_URL: {"status": 200, "body": EVIDENCE}}},
    }
    for validator in server.node.validators.all:
        validator["plugin_config"] = mocked
    server.node.validators_changed()


def _deployment(made: Present, meter: LiveMeter | None, server: RpcServer) -> dict[str, Any]:
    """As `api-billing deploy` records it, and besides the court, the meter and who is who."""
    source = contract_path().read_bytes()
    return {
        "network": _NETWORK,
        "url": server.url,
        "chain_id": server.node.identity.chain_id,
        "address": made.contract,
        "deployed_at": datetime.fromtimestamp(made.began_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "source_bytes": len(source),
        "court": made.court,
        **({"meter": {"url": meter.url, "admin_token": meter.admin_token}} if meter else {}),
        "accounts": list(_accounts(made)),
    }


def _accounts(made: Present) -> Iterator[dict[str, str]]:
    for person in PEOPLE:
        key = f"0x{person.key.hex()}"
        yield {"role": person.role, "name": person.name, "address": person.account, "key": key}
    for role, accounts in (("consumer", made.clients), ("operator", made.operators)):
        for name, address in accounts.items():
            yield {"role": role, "name": name, "address": address}
