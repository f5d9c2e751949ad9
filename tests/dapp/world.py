"""A network with some weeks of billing behind it, for the browser to look at: an operator, three APIs, a consumer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import Source, contract_path
from api_billing.networks import find_network
from api_billing.unlocked import unlocked_account
from genlayer_localnet import Localnet
from genlayer_localnet.address import Address
from genlayer_localnet.rpc.accounts import account_of
from genlayer_localnet.rpc.node import Identity, NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.static_files import StaticSite

GEN = 10**18
NOW = datetime(2026, 3, 20, 9, tzinfo=UTC)
DAY_SECONDS = 86_400
FINALITY_SECONDS = 600.0
ROLES = {"operator": "Olga", "consumer": "Carl", "newcomer": "Nora", "meter": "Meter"}
OTHER_CONTRACT = """\
# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

from genlayer import *


class Greeter(gl.Contract):
    def __init__(self):
        pass

    @gl.public.view
    def greet(self) -> str:
        return "hello"
"""


@dataclass(frozen=True)
class Person:
    """A test account of the server, so that a wallet in the browser can have it sign."""

    name: str
    address: str
    key: str


PEOPLE = {
    role: Person(name, Address(account.address).as_hex.lower(), f"0x{account.key.hex()}")
    for number, (role, name) in enumerate(ROLES.items(), start=1)
    for account in [account_of(Identity().seed, "account", number)]
}


@dataclass(frozen=True)
class Prepared:
    net: Localnet
    contract: str
    other_contract: str = ""


def prepare() -> Prepared:
    """Prices and usage such that there is something to see of everything."""
    net = Localnet(now=NOW - timedelta(days=32), mint_missing=True)
    contract = str(net.deploy(contract_path(), sender=PEOPLE["meter"].address).to).lower()
    other = str(net.deploy(OTHER_CONTRACT, sender=PEOPLE["meter"].address).to).lower()
    operator, consumer, meter = (PEOPLE[role].address for role in ("operator", "consumer", "meter"))

    def must(method: str, *args: Any, sender: str, value: int = 0) -> Any:
        receipt = net.write(contract, method, *args, sender=sender, value=value)
        assert receipt.kind == "return", receipt.message
        return receipt.value

    must("register_api", "weather", GEN // 100, 200, 4_000, sender=operator)
    must("register_api", "maps", GEN // 50, 50, sender=operator)
    must("set_plan", "maps", "pro", 15 * GEN // 1000, 0, 2_000, sender=operator)
    must("set_meter", "maps", meter, True, sender=operator)
    must("register_api", "archive", GEN // 1000, 10, sender=operator)
    must("subscribe", "weather", 2 * GEN, 30 * GEN, sender=consumer, value=30 * GEN)
    must("subscribe", "maps", GEN // 2, 0, sender=consumer)
    expires_at = int((NOW + timedelta(days=20)).timestamp())
    must("place_hold", "maps", 8 * GEN, expires_at, sender=consumer)
    for number, days in enumerate((30, 28, 27, 23, 21, 20, 19, 14, 13, 9, 8, 5, 3, 2, 1, 0)):
        net.now = NOW - timedelta(days=days, hours=1)
        must("consume_credit", "weather", consumer, 20 + number * 37 % 90, sender=consumer)
        day_id = int(net.now.timestamp()) // DAY_SECONDS
        calls = 3 + number * 5 % 16
        entry = {"consumer": consumer, "day_id": day_id, "calls": calls, "spend_wei": calls * GEN // 50}
        entries = [entry] if days else [{**entry, "calls": 30, "spend_wei": 30 * GEN // 50}]
        must("settle_usage", "maps", number + 1, entries, sender=meter)
    must("set_api_active", "archive", False, sender=operator)
    must("set_plan", "weather", "standard", 12 * GEN // 1000, 200, 4_000, sender=operator)
    net.process("finalized")
    net.now = NOW
    return Prepared(net, contract, other)


def serve_with_fees(page: Path) -> tuple[RpcServer, BillingClient]:
    """A started server like Studio Next with a billing contract, and who can register APIs there."""
    documents: dict[str, bytes] = {}
    options = NodeOptions(network="studio-next", finality_window_seconds=FINALITY_SECONDS)
    server = RpcServer(options, site=StaticSite(page, documents=documents)).start()
    network = find_network("studio-next", server.url)
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    tx = connection.send_deployment(Source.read(line="v0.3").code)
    contract = connection.follower.wait(tx, "accepted", 30).contract
    assert contract is not None
    for name in ("localnet", "studio-next"):
        documents[f"deployments/{name}.json"] = json.dumps({"network": name, "address": contract}).encode()
    return server, BillingClient(network, contract=contract, account=connection.signer)


def serve(prepared: Prepared, page: Path, port: int = 0, meter: dict[str, str] | None = None) -> RpcServer:
    """A server that goes on from there; nothing is final before its clock is moved. Its site names a ``meter``."""
    documents: dict[str, bytes] = {}
    options = NodeOptions(std=prepared.net.std.name, finality_window_seconds=FINALITY_SECONDS)
    server = RpcServer(options, port=port, site=StaticSite(page, documents=documents))
    server.node.adopt(prepared.net.clone_world())
    accounts = [
        {"role": role, "name": person.name, "address": person.address, "key": person.key}
        for role, person in PEOPLE.items()
        if role in ("operator", "consumer")
    ]
    deployment = {"network": "localnet", "address": prepared.contract, "meter": meter, "accounts": accounts}
    documents["deployments/localnet.json"] = json.dumps(deployment).encode()
    return server
