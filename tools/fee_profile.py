"""Measures what every write of the contracts needs where the network takes fees: makes deploy/fee-profile.json.

On a localnet as Studio Next each method is called once, with as much as it takes at most: a settlement has 256 lines,
64 of them with vouchers. Run it after a change of the contracts; a test holds that what it made still suffices.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_api import DAY_SECONDS, MAX_CLAIM, MAX_SETTLEMENT_ENTRIES, MAX_SETTLEMENT_VOUCHERS
from api_billing.contract_source import COURT_FILE_NAME, contract_path, deployed_form
from api_billing.court_client import CourtClient
from api_billing.fee_profile import profile_path
from api_billing.fees import with_headroom
from api_billing.genlayer_sdk import calldata
from api_billing.networks import Network, find_network
from api_billing.results import SettlementEntry
from api_billing.vouchers import Channel, sign_voucher
from genlayer_localnet.nondet.services import Services, WebMock
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import local_server

EXAMPLE: Final = "examples/metered_fetch.py"
GEN: Final = 10**18
PRICE_WEI: Final = GEN // 1000
BOND_WEI: Final = 1_000
API: Final = "a" * 64
LONG: Final = "x" * MAX_CLAIM
URL: Final = "https://status.example/" + "u" * 160
SALT: Final = "0x" + "5a" * 32
VERDICT: Final = {"refund_percent": 100, "reason": "r" * 500}
LONG_SECONDS: Final = 120


@contextmanager
def costly_server() -> Iterator[RpcServer]:
    """A localnet as Studio Next, on which pages and models answer as the story wants."""
    with local_server(network="studio-next", finality_window_seconds=0) as server:
        page = WebMock(re.compile("."), None, "p" * 500)
        server.node.chain.services = Services(web_mocks=(page,), prompt_handler=lambda request, node: VERDICT)
        yield server


def account(name: str) -> LocalAccount:
    """Always the same for a name."""
    made: LocalAccount = Account.from_key(keccak(text=f"fee profile: {name}"))
    return made


@dataclass(frozen=True)
class Story:
    """Calls every write of the contracts on one network."""

    network: Network

    def client(self, name: str, contract: str) -> BillingClient:
        """Of an account that has 100 GEN."""
        client = BillingClient(self.network, contract=contract, account=account(name), on="finalized")
        client.connection.fund(client.address, 100 * GEN)
        return client

    def deployed(self, file: str, *arguments: Any) -> str:
        """The address of a contract of the operator's."""
        connection = Connection(self.network, account("operator"))
        connection.fund(account("operator").address, 100 * GEN)
        code = deployed_form(contract_path(file).read_text(encoding="utf-8"), self.network.line)
        tx = connection.send_deployment(code.encode(), arguments)
        address = connection.follower.wait(tx, "finalized", LONG_SECONDS).contract
        assert address is not None
        return address

    def pass_days(self, client: BillingClient, days: float) -> int:
        """The day that it is then."""
        client.connection.provider.result("sim_increaseTime", int(days * DAY_SECONDS))
        return client.connection.now() // DAY_SECONDS

    def tell(self) -> list[str]:
        """Call everything; the contracts' addresses."""
        contract = self.deployed("api_usage_billing.py")
        court, fetcher = self.deployed(COURT_FILE_NAME, contract, BOND_WEI), self.deployed(EXAMPLE, contract, API)
        operator, other = self.client("operator", contract), self.client("other", contract)
        self._operate(operator, other, court)
        today = self.pass_days(operator, 1)  # the promise has begun
        consumer = self._consume(contract, other)
        self._fetch(operator, consumer, fetcher)
        self._settle(operator, contract, today)
        self._dispute(operator, [consumer, other], court, today)
        self._end(operator, consumer, today)
        return [contract, court, fetcher]

    def _operate(self, operator: BillingClient, other: BillingClient, court: str) -> None:
        operator.register_api(API, PRICE_WEI, 2**40, 2**40)
        operator.set_plan(API, "p" * 64, PRICE_WEI, 2**40, 2**40)
        operator.set_api_active(API, False)
        operator.set_api_active(API, True)
        operator.set_meter(API, other.address)
        operator.propose_operator(API, other.address)
        other.accept_operator(API)
        other.propose_operator(API, operator.address)
        operator.accept_operator(API)
        operator.set_promise(API, court, 14, 100, LONG, URL)

    def _consume(self, contract: str, other: BillingClient) -> BillingClient:
        consumer = self.client("consumer", contract)
        consumer.top_up_credit(2 * GEN)
        consumer.top_up_for(other.address, GEN)
        for each in (consumer, other):
            each.subscribe(API, 2 * GEN, GEN, max_price_wei=PRICE_WEI)
            each.consume_credit(API, each.address, 10, "r" * 64)
        consumer.set_low_credit_alert(50)
        consumer.place_hold(API, GEN, consumer.connection.now() + 10 * DAY_SECONDS)
        return consumer

    def _fetch(self, operator: BillingClient, consumer: BillingClient, fetcher: str) -> None:
        consumer.top_up_for(fetcher, GEN)
        for method, args in (("subscribe", [GEN]), ("fetch", [URL])):
            self._call(operator, fetcher, method, args)
        operator.set_api_active(API, False)
        self._call(operator, fetcher, "fetch", [URL])  # is denied
        operator.set_api_active(API, True)

    def _call(self, client: BillingClient, contract: str, method: str, args: list[Any]) -> None:
        options: dict[str, Any] = {"value_wei": 0, "phase": "finalized", "timeout_seconds": LONG_SECONDS}
        client.connection.write(contract, method, args, **options)

    def _settle(self, operator: BillingClient, contract: str, today: int) -> None:
        """The largest settlement there is: each line for somebody else, and ending what sessions there are."""
        entries = []
        signer, domain = account("signer"), operator.get_api(API)
        expires_at = operator.connection.now() + 10 * DAY_SECONDS
        for number in range(MAX_SETTLEMENT_ENTRIES):
            who = self.client(f"consumer {number}", contract)
            if number >= MAX_SETTLEMENT_VOUCHERS:
                who.subscribe(API, 10 * GEN, GEN)
                entries.append(SettlementEntry(who.address, today, 10, 10 * PRICE_WEI))
                continue
            who.open_session(API, 10 * GEN, GEN // 2, expires_at, signer.address, deposit_wei=GEN)
            channel = Channel(
                who.address, signer.address, operator.address, contract, domain.asset, domain.chain_id, SALT
            )
            voucher = sign_voucher(bytes(signer.key), channel, 10 * PRICE_WEI)
            entries.append(SettlementEntry(who.address, today, 10, 10 * PRICE_WEI, voucher, close=True))
        settled = operator.settle_usage(API, 1, entries, "0x" + "ab" * 32).result
        assert settled.billed_calls == 10 * MAX_SETTLEMENT_ENTRIES, settled.entries[0]

    def _dispute(self, operator: BillingClient, consumers: list[BillingClient], court: str, paid_day: int) -> None:
        self.pass_days(operator, 2)
        numbers = []
        for each in consumers:
            client = CourtClient(self.network, contract=court, account=each.connection.signer, on="finalized")
            opened = client.open_dispute(API, paid_day, LONG, URL, bond_wei=BOND_WEI)
            numbers.append(opened.result.dispute_id)
        client.judge(numbers[0])
        self.pass_days(operator, 31)
        client.close_dispute(numbers[1])

    def _end(self, operator: BillingClient, consumer: BillingClient, today: int) -> None:
        consumer.release_hold(API)
        consumer.unsubscribe(API)
        consumer.withdraw_credit(1, account("payee").address)
        operator.collect_earnings(API)
        operator.refund(API, consumer.address, 1, "r" * 200)
        operator.withdraw_earnings(1, account("payee").address)


def measured(network: Network, contracts: list[str]) -> dict[str, Any]:
    """The most that a transaction of each method used, with headroom."""
    provider = Connection(network).provider
    most: dict[str, dict[str, int]] = {}
    for contract in contracts:
        for transaction in provider.result("sim_getTransactionsForAddress", contract, "to"):
            found = most.setdefault(_method(transaction), {})
            for name, wei in _used(transaction["fee_accounting"]).items():
                found[name] = max(found.get(name, 0), wei)
    by_method = {name: {key: str(wei) for key, wei in found.items()} for name, found in sorted(most.items())}
    return {
        "version": 1,
        "network": "studio-next (localnet)",
        "measuredAt": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "chainId": network.genlayer_chain().id,
        "prices": provider.result("sim_getFeeConfig"),
        "deploy": by_method.pop(""),
        "methods": by_method,
    }


def _method(transaction: Mapping[str, Any]) -> str:
    """Its name, empty of a deployment."""
    call = calldata.decode(base64.b64decode(transaction["data"]["calldata"]))
    return str(call.get("", call.get("method", "")))


def _used(accounting: Mapping[str, Any]) -> dict[str, int]:
    distribution, report = accounting["fees_distribution"], accounting["execution_fee_report"]
    execution_wei = int(accounting["execution_fee_consumed"]) + int(report["totalEstimatedFee"])
    return {
        "leaderTimeunitsAllocation": int(distribution["leaderTimeunitsAllocation"]),
        "validatorTimeunitsAllocation": int(distribution["validatorTimeunitsAllocation"]),
        "executionBudgetPerRound": with_headroom(execution_wei),
        "totalMessageFees": with_headroom(int(accounting["message_fee_consumed"])),
        "rotationsPerRound": max(map(int, distribution["rotations"])),
    }


def main() -> int:
    """Measure, and write the file."""
    with costly_server() as server:
        network = find_network("studio-next", server.url)
        profile = measured(network, Story(network).tell())
    path: Path = profile_path()
    path.write_text(json.dumps(profile, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path}: {len(profile['methods'])} methods")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
