"""What the demo finds on the chain before the first request: the contract, its API, and consumers with holds."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_api import DAY_SECONDS, STANDARD_PLAN
from api_billing.contract_source import contract_path, deployed_form
from api_billing.errors import UnexpectedAnswer
from api_billing.networks import Network
from api_billing.payer import Bounds, Wallet
from api_billing.unlocked import UnlockedAccount
from demo.metered.plan import API, AT_THE_DOOR, FIXED_WEI, PRICE_WEI, TRIAL_PLAN, ConsumerPlan, Role, trial_calls
from demo.metered.signing import Signing

OPERATOR: Final = 0
METER: Final = 1
CONTRACT_OWNER: Final = 2
FIRST_CONSUMER: Final = 3
"""Numbers of the localnet's open accounts."""

_DAILY_CALLS: Final = 1_000_000
_MAX_DAILY_SPEND_WEI: Final = 100 * 10**18
BOUNDS: Final = Bounds(PRICE_WEI, _MAX_DAILY_SPEND_WEI)
"""Of who pays at the door."""

_DEPLOY_SECONDS: Final = 60.0
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Consumer:
    """An account that subscribed and placed its hold; one with a session signs, itself or by what pays at the door."""

    plan: ConsumerPlan
    address: str
    signing: Signing | None = None
    wallet: Wallet | None = None

    @property
    def signed_wei(self) -> int:
        """In a session: by the highest voucher of each channel."""
        if self.wallet is not None:
            return sum(
                each.signed_wei
                for session in self.wallet.book.sessions()
                for each in self.wallet.book.channels(session)
            )
        return self.signing.signed_wei if self.signing is not None else 0


@dataclass(frozen=True, slots=True)
class Place:
    """The contract with one API, and its consumers. ``operator`` signs as whom the API belongs to."""

    network: Network
    accounts: tuple[str, ...]
    operator: BillingClient
    consumers: tuple[Consumer, ...]

    @property
    def contract(self) -> str:
        return self.operator.contract

    def client(self, account: int) -> BillingClient:
        """The contract, for one of the open accounts."""
        return _client(self.network, self.contract, self.accounts[account])

    def in_role(self, role: Role) -> Consumer:
        """The first consumer that plays it."""
        return next(each for each in self.consumers if each.plan.role is role)

    def client_of(self, consumer: Consumer) -> BillingClient:
        """The contract, for a consumer."""
        return self.client(FIRST_CONSUMER + consumer.plan.number - 1)


def prepare(network: Network, plans: Sequence[ConsumerPlan], folder: Path, step: Callable[[], None]) -> Place:
    """Deploy the contract, register the API with its plans, and have each consumer subscribe and place its hold.

    The books of wallets are in the folder. ``step`` is called after each consumer. Raises: BillingError.
    """
    accounts = tuple(str(each) for each in Connection(network).provider.result("eth_accounts"))
    contract = deploy(Connection(network, UnlockedAccount(accounts[OPERATOR])), contract_path())
    operator = _client(network, contract, accounts[OPERATOR])
    operator.register_api(API, PRICE_WEI, _DAILY_CALLS)
    operator.set_plan(API, TRIAL_PLAN, PRICE_WEI, trial_calls(plans))
    operator.set_meter(API, accounts[METER])
    expires_at = operator.connection.now() + DAY_SECONDS

    def settle_in(plan: ConsumerPlan) -> Consumer:
        address = accounts[FIRST_CONSUMER + plan.number - 1]
        client, hold_wei = _client(network, contract, address), plan.hold_wei
        signing, wallet = None, None
        terms = (TRIAL_PLAN if plan.role is Role.TRIAL else STANDARD_PLAN), PRICE_WEI
        if plan.role is Role.SESSION:
            signing = Signing.new(client, address, plan.allowed * FIXED_WEI)
            signer = signing.channel.signer
            client.open_session(API, _MAX_DAILY_SPEND_WEI, hold_wei, expires_at, signer, *terms, deposit_wei=hold_wei)
        elif plan.role in AT_THE_DOOR:
            wallet = Wallet(client, file=folder / f"{plan.role.name.lower()}.db")
            wallet.open_session(API, hold_wei, 1, BOUNDS)
        else:
            client.subscribe(API, _MAX_DAILY_SPEND_WEI, hold_wei, *terms)
            client.place_hold(API, hold_wei, expires_at)
        step()
        return Consumer(plan, address.lower(), signing, wallet)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        consumers = tuple(pool.map(settle_in, plans))
    return Place(network, accounts, operator, consumers)


def deploy(connection: Connection, source: Path, arguments: Sequence[object] = ()) -> str:
    """Deploy a contract in the form for its network, and return its address. Raises: BillingError."""
    code = deployed_form(source.read_text(encoding="utf-8"), connection.network.line)
    tx = connection.send_deployment(code.encode(), arguments)
    address = connection.follower.wait(tx, "accepted", _DEPLOY_SECONDS).contract
    if address is None:
        raise UnexpectedAnswer(f"transaction {tx} executed, but names no new contract")
    return address.lower()


def _client(network: Network, contract: str, address: str) -> BillingClient:
    return BillingClient(network, contract=contract, account=UnlockedAccount(address))
