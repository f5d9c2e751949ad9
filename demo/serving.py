"""The demo's network, kept running: JSON-RPC for all clients, and the web page at `/app` with a link into it."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from api_billing.contract_source import contract_path
from demo.run import RunResult
from genlayer_localnet.rpc.options import DEFAULT_FINALITY_WINDOW_SECONDS, NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.static_files import StaticSite

DEFAULT_PORT: Final = 4000
_NETWORK: Final = "localnet"


def server_of(
    result: RunResult,
    page: Path,
    *,
    port: int = DEFAULT_PORT,
    finality_seconds: float = DEFAULT_FINALITY_WINDOW_SECONDS,
) -> RpcServer:
    """A server with the world of a run, whose clock goes on from where the run ended. ``page`` is served at `/app`.

    Raises: PortInUse.
    """
    net = result.net
    document: dict[str, bytes] = {}
    options = NodeOptions(std=net.std.name, now=net.now, finality_window_seconds=finality_seconds)
    server = RpcServer(options, port=port, site=StaticSite(page, documents=document))
    server.node.adopt(net.clone_world())
    deployment = _deployment(result, server)
    document[f"deployments/{_NETWORK}.json"] = json.dumps(deployment, indent=2).encode()
    return server


def link(result: RunResult, server: RpcServer) -> str:
    """The page, at the consumer that spent most."""
    where = {"network": _NETWORK, "rpc": server.url, "contract": result.contract, "account": busiest(result)}
    return f"{server.url.removesuffix('/api')}/app/#/usage?{urlencode(where, safe=':/')}"


def busiest(result: RunResult) -> str:
    """The account of the consumer that spent most."""
    usages, consumers = result.summary.per_consumer, result.summary.consumers
    client = max(consumers, key=lambda each: (usages[each].spend_wei, usages[each].requests, each))
    return consumers[client].account


def _deployment(result: RunResult, server: RpcServer) -> dict[str, Any]:
    """As `api-billing deploy` records it, and besides who is who."""
    source = contract_path().read_bytes()
    return {
        "network": _NETWORK,
        "url": server.url,
        "chain_id": server.node.identity.chain_id,
        "address": result.contract,
        "deployed_at": datetime.fromtimestamp(result.summary.first_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "source_bytes": len(source),
        "accounts": list(_accounts(result)),
    }


def _accounts(result: RunResult) -> Iterator[dict[str, str]]:
    summary = result.summary
    usages = summary.per_consumer
    for client in sorted(summary.consumers, key=lambda each: (-usages[each].spend_wei, each)):
        yield {"role": "consumer", "name": client, "address": summary.consumers[client].account}
    if summary.contract_story is not None:
        yield {"role": "consumer", "name": "a contract", "address": summary.contract_story.account}
    for operator in summary.operators:
        yield {"role": "operator", "name": operator.name, "address": operator.account}
