"""The network that is left running: some weeks of the log's requests, up to now, and people that can act."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from api_billing.contract_source import contract_path
from demo.access_log import AccessLog
from demo.billing_contract import EPOCH, BillingContract, must_deploy
from demo.contract_client import free_api_name, run_contract_client
from demo.demand import demand_of
from demo.log_biller import LogBiller
from demo.log_line import Request
from demo.market import Market
from demo.opening import open_accounts
from demo.plan import plan
from demo.replay import replayed
from demo.run import Phase
from demo.terms import account_of
from genlayer_localnet import Localnet
from genlayer_localnet.loading.standard_library import StandardLibrary

DAYS: Final = 62
"""All of this month and of the last one, whatever day it is."""
MOST_REQUESTS: Final = 12_000

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Present:
    """The network, and who is on it beside the people: accounts of the log's clients, the busiest first, and operators,
    by their names. ``metered_api`` is the one whose usage a live meter can settle.
    """

    net: Localnet
    contract: str
    court: str
    metered_api: str
    began_at: int
    clients: Mapping[str, str]
    operators: Mapping[str, str]


def present(log: AccessLog, std: StandardLibrary, phase: Phase, now: datetime | None = None) -> Present:
    """Bill the log's days again and again up to ``now``, with the people among its clients.

    Raises: UnexpectedOutcomeError; OSError, when no loopback port can be had.
    """
    until = int((now or datetime.now(UTC)).timestamp())
    log = replayed(log, until, DAYS, MOST_REQUESTS)
    terms = plan(demand_of(log.entries))
    began_at = min(terms.first_at, (until // _DAY_SECONDS - DAYS + 1) * _DAY_SECONDS)
    net = Localnet(now=EPOCH + timedelta(seconds=began_at), std=std.name)
    deployer = account_of("deployer", "")
    contract = BillingContract(net, must_deploy(net, contract_path(), sender=deployer))
    open_accounts(contract, terms, phase("opening accounts anew", len(terms.apis) + len(terms.consumers)))
    market = Market(contract, until, DAYS, terms.apis)
    biller = LogBiller(contract, terms, settles_ample=True)
    step = phase("billing up to today", len(log.entries))
    biller.bill(_with_people(contract, biller, log, market), step, ends_at=until)
    story = run_contract_client(contract, terms.operators[0], free_api_name({*terms.apis, *market.apis}))
    net.process("finalized")
    net.now = max(net.now, now or datetime.now(UTC))
    clients = {client: consumer.account for client, consumer in terms.consumers.items()}
    operators = {operator.name: operator.account for operator in terms.operators}
    clients["a contract"] = story.account
    return Present(net, contract.address, market.court, market.metered_api, began_at, clients, operators)


def _with_people(contract: BillingContract, biller: LogBiller, log: AccessLog, market: Market) -> Iterator[Request]:
    """The log's requests; before each of them the people do what they do until then."""
    acts = iter(market.acts())
    act = next(acts, None)
    for entry in log.entries:
        while act is not None and act.at <= entry.at:
            biller.settle_until(act.at)
            contract.move_clock(act.at)
            act.do()
            act = next(acts, None)
        yield entry
