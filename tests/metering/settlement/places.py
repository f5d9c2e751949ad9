"""The real contract on a localnet: an API of its own for each test, a consumer with a hold, and a meter's store."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import Reserve, Reserved, Settle
from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.ledger.vouchers import BySession, ChannelSums
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings
from api_billing.metering.settlement.reconcile import Reconciliation, reconcile
from api_billing.metering.settlement.worker import Round, Settler
from api_billing.metering.stores import open_store
from api_billing.metering.stores.steps import run
from api_billing.networks import Network, find_network
from api_billing.unlocked import unlocked_account
from api_billing.vouchers import Voucher, sign_voucher

ONE_GEN = 10**18
PRICE = 1000
REFRESH = CreditSettings("accepted", refresh_ms=0, margin_ms=0, reads_per_10_seconds=10_000)


def deployed(network: Network) -> str:
    """A billing contract on a network; its address."""
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    tx = connection.send_deployment(contract_path().read_bytes())
    address = connection.follower.wait(tx, "accepted", 30).contract
    assert address is not None
    return address


class Place:
    """``serve`` charges a request, ``settle`` runs a round, with everything by the clock of the chain."""

    def __init__(
        self,
        name: str,
        network: Network,
        contract: str,
        *,
        hold_wei: int = 100_000,
        url: str = "memory://",
        **limits: int,
    ) -> None:
        self.api = "api-" + keccak(text=name).hex()[:12]
        self.network, self.contract, self.name = network, contract, name
        self.operator, self.consumer = self.client("operator"), self.client("consumer")
        self.who = self.consumer.address.lower()
        self.operator.register_api(self.api, PRICE, limits.get("daily", 100_000))
        self.consumer.subscribe(self.api, limits.get("cap", ONE_GEN), ONE_GEN)
        self.now_s = self.consumer.connection.now()
        self.expires_at = self.now_s + limits.get("hold_seconds", 2 * 86_400)
        self.place_hold(hold_wei)
        self.url = url
        self.store = open_store(url)
        self.alerts: list[Alert] = []
        self.number = 0
        self.served_wei = 0

    def place_hold(self, hold_wei: int) -> None:
        self.consumer.place_hold(self.api, hold_wei, self.expires_at)

    def key(self, role: str) -> bytes:
        """The private key of a role."""
        return keccak(text=f"{role} of {self.name}")

    def client(self, role: str, url: str = "") -> BillingClient:
        """A client that signs as a role, perhaps by way of another address of the node."""
        network = find_network("localnet", url) if url else self.network
        made = BillingClient(network, contract=self.contract, account=Account.from_key(self.key(role)))
        if not url:
            made.connection.fund(made.address, 10 * ONE_GEN)
        return made

    def now_ms(self) -> int:
        return self.consumer.connection.now() * 1000

    def pass_time(self, seconds: int) -> None:
        """Let the chain's clock go on; a block has the new time."""
        self.consumer.connection.provider.result("sim_increaseTime", seconds)
        self.consumer.connection.fund(self.consumer.address, 1)

    def refresh(self) -> None:
        """Read the chain, as the meter does in the background."""
        credit = ChainCredit(self.operator, self.store.call, now_ms=self.now_ms, settings=REFRESH)
        assert run(credit.refresh(self.who, (self.api,)), self.store.call)

    def serve(self, cost_wei: int, count: int = 1) -> None:
        now_ms, account = self.now_ms(), chain_account(self.api, self.who)
        for _ in range(count):
            self.number += 1
            record_id = first_id(now_ms)[:10] + f"{self.number:016d}"
            by = self.paid_by(cost_wei)
            made = Reserve(record_id, now_ms, now_ms + 60_000, account, self.api, self.who, cost_wei, session=by)
            reply = self.store.call(made)
            assert isinstance(reply, Reserved), reply
            self.store.call(Settle(record_id, account, now_ms, cost_wei))
            self.served_wei += cost_wei

    def paid_by(self, cost_wei: int) -> BySession | None:
        """What the next request comes with, beside a name."""
        return None

    def settler(self, chain: Any = None, **options: Any) -> Settler:
        values = {"holder": "test", "now_ms": self.now_ms, "alert": self.alerts.append, **options}
        return Settler(chain or self.operator, **values)

    def settle(self, chain: Any = None, **options: Any) -> Round:
        return run(self.settler(chain, **options).round(self.api), self.store.call)

    def reconcile(self) -> Reconciliation:
        steps = reconcile(self.operator, self.api, self.now_ms(), account_of=chain_account)
        return run(steps, self.store.call)

    def earned_wei(self) -> int:
        return self.operator.get_earnings(self.operator.address).earnings_wei

    def is_billed_once(self) -> None:
        """All that was served is billed, and nothing else."""
        assert self.earned_wei() == self.served_wei
        assert self.reconcile().is_zero


class SessionPlace(Place):
    """The consumer has a session: each request comes with a voucher, of one channel after the other."""

    channels = 2

    def place_hold(self, hold_wei: int) -> None:
        self.signer = Account.from_key(self.key("session")).address
        self.consumer.place_hold(self.api, hold_wei, self.expires_at, self.signer)

    def salt(self, number: int) -> str:
        return f"0x{number:064x}"

    def sign(self, cumulative_wei: int, number: int = 0, role: str = "session") -> Voucher:
        channel = self.operator.get_channel(self.api, self.who, self.salt(number))
        return sign_voucher(self.key(role), channel, cumulative_wei)

    def sums(self) -> dict[str, ChannelSums]:
        """Of each channel that the store has, by its id."""
        session = self.store.call(ReadSession(chain_account(self.api, self.who)))
        return {} if session is None else {each.channel_id: each for each in session.channels}

    def paid_by(self, cost_wei: int) -> BySession:
        number = self.number % self.channels
        channel = self.operator.get_channel(self.api, self.who, self.salt(number))
        required_wei = self.sums().get(channel.id, ChannelSums(channel.id)).required_wei(cost_wei)
        voucher = sign_voucher(self.key("session"), channel, required_wei)
        return BySession(self.signer.lower(), channel.id, voucher.salt, required_wei, voucher.signature)

    def is_billed_once(self) -> None:
        """And every channel as its vouchers say, on the chain as in the store."""
        super().is_billed_once()
        sums = self.sums()
        on_chain = self.operator.get_session(self.who, self.api).channels
        assert sum(each.billed_wei for each in on_chain) == self.served_wei
        for each in on_chain:
            mine = sums[each.channel_id]
            assert each.billed_wei == mine.charged_wei == mine.batched_wei
            assert each.billed_wei <= each.signed_wei == mine.posted_wei <= mine.signed_wei
