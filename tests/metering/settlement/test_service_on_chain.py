"""A meter with a contract in a real server: uvicorn in a process of its own, against a node's JSON-RPC."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import ReadBalance
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.reconcile import reconcile
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import run
from api_billing.networks import Network, find_network
from api_billing.unlocked import unlocked_account
from api_billing.vouchers import Channel, sign_voucher
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .places import deployed
from .service_on_chain import API, COST_WEI
from .waiting import LONG_SECONDS, all_is_recorded, eventually

HERE = Path(__file__).parent
GEN = 10**18
HOLD_WEI = 10 * COST_WEI

node = server_fixture(scope="module", finality_window_seconds=0)


@dataclass
class Service:
    """The running service, its store, the operator, and a consumer with a hold."""

    port: int
    store: Store
    operator: BillingClient
    consumer: BillingClient

    @property
    def who(self) -> str:
        return self.consumer.address.lower()

    def get(self, who: str) -> tuple[int, str | None]:
        """Status and cost."""
        status, cost, _ = self.ask("X-Consumer", who)
        return status, cost

    def ask(self, field: str, value: str) -> tuple[int, str | None, Any]:
        """Status, cost and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_SECONDS)
        try:
            connection.request("GET", "/forecast", headers={field: value, "Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.getheader("X-Cost-Wei"), json.loads(answer.read())
        finally:
            connection.close()

    def hold_wei(self) -> int:
        (line,) = self.consumer.get_usage_report(self.who).apis
        return line.hold_wei

    def all_is_recorded(self) -> bool:
        return all_is_recorded(self.store, API)


@pytest.fixture
def service(node: RpcServer, tmp_path: Path) -> Iterator[Service]:
    network = find_network("localnet", node.url)
    contract = deployed(network)
    operator, consumer = (
        BillingClient(network, contract=contract, account=unlocked_account(Connection(network).provider, index))
        for index in (0, 1)
    )
    operator.register_api(API, COST_WEI, 1_000)
    consumer.subscribe(API, GEN, GEN)
    consumer.place_hold(API, HOLD_WEI, consumer.connection.now() + 86_400)
    url = f"sqlite:///{tmp_path}/meter.db"
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        command = [sys.executable, "-m", "uvicorn", "--fd", str(listening.fileno()), "--log-level", "critical"]
        with subprocess.Popen(
            [*command, "--factory", "service_on_chain:app"],
            cwd=HERE,
            env={**os.environ, "METER_URL": url, "CONTRACT": contract, "NODE_URL": node.url},
            pass_fds=[listening.fileno()],
        ) as process:
            try:
                with open_store(url) as store:
                    yield Service(listening.getsockname()[1], store, operator, consumer)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(LONG_SECONDS)


def test_service__first_request__is_served_and_settled_by_the_process_itself(service: Service) -> None:
    assert service.get(service.who) == (200, str(COST_WEI))
    eventually(lambda: service.hold_wei() == HOLD_WEI - COST_WEI)
    eventually(service.all_is_recorded)
    assert service.operator.get_earnings(service.operator.address).earnings_wei == COST_WEI
    found = run(reconcile(service.operator, API, time.time_ns() // 1_000_000), service.store.call)
    assert found.is_zero
    assert [(line.consumer, line.chain_calls) for line in found.lines] == [(service.who, 1)]


def test_service__whole_hold_in_many_requests__is_billed_and_not_one_wei_more(service: Service) -> None:
    statuses = [service.get(service.who)[0] for _ in range(12)]
    assert statuses == [200] * 10 + [402] * 2
    eventually(lambda: service.hold_wei() == 0)
    eventually(service.all_is_recorded)
    assert service.get(service.who)[0] == 402
    balance = service.store.call(ReadBalance(chain_account(API, service.who)))
    assert (balance.charged_wei, balance.reserved_wei) == (HOLD_WEI, 0)
    day = time.time_ns() // 1_000_000 // DAY_MS
    history = service.operator.get_usage_history(service.who, API, day - 1, day)
    assert sum(each.spend_wei for each in history) == HOLD_WEI


def test_service__address_without_subscription__is_refused_by_the_chains_word(service: Service) -> None:
    assert service.get("0x" + "ab" * 20) == (403, None)


# --- a consumer with a session


class Payer:
    """A consumer whose hold has a signer, and who signs what it is told to."""

    def __init__(self, service: Service, network: Network) -> None:
        self.service = service
        self.client = BillingClient(
            network, contract=service.operator.contract, account=unlocked_account(Connection(network).provider, 2)
        )
        self.key = Account.create()
        self.who = self.client.address.lower()
        now = self.client.connection.now()
        self.client.open_session(API, GEN, HOLD_WEI, now + 86_400, self.key.address, deposit_wei=GEN)
        self.channel: Channel = self.client.get_channel(API, self.who)

    def pay(self, cumulative_wei: int) -> tuple[int, Any]:
        """Status and body for a voucher of this sum."""
        signed = sign_voucher(bytes(self.key.key), self.channel, cumulative_wei)
        text = json.dumps(
            {"payer": self.who, **signed.as_dict(), "cumulative_wei": str(cumulative_wei)}, separators=(",", ":")
        )
        status, _, body = self.service.ask("Payment-Voucher", text)
        return status, body


@pytest.fixture
def payer(service: Service, node: RpcServer) -> Payer:
    return Payer(service, find_network("localnet", node.url))


def test_service__consumer_with_a_session__signs_what_it_is_told_and_is_billed_that(
    service: Service, payer: Payer
) -> None:
    assert service.ask("X-Consumer", payer.who)[2]["required_wei"] == str(COST_WEI)
    signed_wei = served = 0
    while served < 6:
        status, body = payer.pay(max(signed_wei, 1))
        if status == 200:
            served += 1
        else:
            # One wei more than is posted, where the service has settled in between.
            assert (status, body["code"]) == (402, "voucher_required")
            signed_wei = int(body["required_wei"])
    operator = service.operator
    eventually(lambda: operator.get_earnings(operator.address).earnings_wei == 6 * COST_WEI)
    eventually(service.all_is_recorded)
    (channel,) = service.operator.get_session(payer.who, API).channels
    assert (channel.channel_id, channel.billed_wei) == (payer.channel.id, 6 * COST_WEI)
    assert payer.pay(channel.signed_wei)[0] == 402
    assert run(reconcile(service.operator, API, time.time_ns() // 1_000_000), service.store.call).is_zero


def test_service__voucher_of_another_key__is_refused(service: Service, payer: Payer) -> None:
    payer.key = Account.create()
    payer.channel = replace(payer.channel, signer=payer.key.address)
    status, body = payer.pay(COST_WEI)
    assert (status, body["code"], body["reason"]) == (402, "invalid_voucher", "bad_signature")
