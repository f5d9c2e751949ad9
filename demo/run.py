"""One run of the main job: a log is billed on a localnet of its own, and the books are checked."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from api_billing.cli.drawing import counted
from api_billing.contract_source import contract_path
from demo.access_log import AccessLog
from demo.audit import Audit
from demo.billing_contract import EPOCH, BillingContract, must_deploy
from demo.contract_client import free_api_name, run_contract_client
from demo.demand import Demand, demand_of
from demo.log_biller import LogBiller, Step
from demo.opening import open_accounts
from demo.plan import plan
from demo.summary import (
    ApiStanding,
    ConsumerStanding,
    ContractStory,
    OperatorStanding,
    RunSummary,
    Solvency,
)
from demo.terms import ConsumerTerms, Terms, account_of
from genlayer_localnet import Localnet
from genlayer_localnet.loading.standard_library import StandardLibrary

MOST_CALL_BY_CALL: Final = 1_000
"""Requests of a log whose calls are all billed one by one, as far as their APIs are not metered."""

_CALL_SECONDS: Final = 0.001
_SETTLED_SECONDS: Final = 0.000_25

Expect = Callable[[str, float], None]
Phase = Callable[[str, int], Step]
"""Called at the start of each phase with its name and its number of steps; gives what is called after each of them."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The figures of a run, and what does not add up in them: nothing, unless something is broken.

    ``net`` is the network it ran on, ``contract`` the address of the billing contract there.
    """

    summary: RunSummary
    contradictions: list[str]
    net: Localnet
    contract: str


def run(
    log: AccessLog,
    std: StandardLibrary,
    phase: Phase,
    expect: Expect = lambda what, seconds: None,
    *,
    settles_ample: bool | None = None,
) -> RunResult:
    """Bill a log that has at least one request, on the given standard library of contracts.

    ``settles_ample`` as for `LogBiller`, with the same figures; None: where it saves much time. ``expect`` hears at the
    start what is to be done, and about how many seconds that takes.

    Raises: UnexpectedOutcomeError, when the contract does what it must not; OSError, when no loopback port can be had.
    """
    demand = demand_of(log.entries)
    terms = plan(demand)
    if settles_ample is None:
        settles_ample = len(log.entries) > MOST_CALL_BY_CALL
    clients, apis = counted(len(terms.consumers), "client"), counted(len(terms.apis), "API")
    expect(f"{counted(len(log.entries), 'request')} from {clients} to {apis}", _seconds(demand, terms, settles_ample))
    del demand  # of a long log it takes much memory
    return _Run(log, terms, std, phase, settles_ample=settles_ample).result()


def _seconds(demand: Demand, terms: Terms, settles_ample: bool) -> float:
    """About how long a run takes, by what is to be called on the contract."""
    subscriptions = settled = 0
    calls = len(terms.consumers)
    for pair, wanted in demand.pairs.items():
        subscriptions += 1
        of_pair = sum(wanted.calls_by_day.values())
        if terms.apis[pair.api].is_metered:
            settled += of_pair
        elif settles_ample:
            settled += len(wanted.calls_by_day)
        else:
            calls += of_pair
    return (subscriptions + calls) * _CALL_SECONDS + settled * _SETTLED_SECONDS


class _Run:
    def __init__(
        self, log: AccessLog, terms: Terms, std: StandardLibrary, phase: Phase, *, settles_ample: bool
    ) -> None:
        self._log = log
        self._terms = terms
        self._phase = phase
        self._net = Localnet(now=EPOCH + timedelta(seconds=terms.first_at), std=std.name)
        deployer = account_of("deployer", "")
        self._contract = BillingContract(self._net, must_deploy(self._net, contract_path(), sender=deployer))
        self._settles_ample = settles_ample
        self._biller = LogBiller(self._contract, terms, settles_ample=settles_ample)
        self._withdrawn_wei: Counter[str] = Counter()

    def result(self) -> RunResult:
        step = self._phase("opening accounts", len(self._terms.apis) + len(self._terms.consumers))
        open_accounts(self._contract, self._terms, step)
        self._biller.bill(self._log.entries, self._phase("billing the log", len(self._log.entries)))
        api_name = free_api_name(self._terms.apis)
        story = run_contract_client(self._contract, self._terms.operators[0], api_name)
        self._pay_out()
        summary = self._summary(story)
        pairs, consumers = len(self._biller.tally.per_pair), len(self._terms.consumers)
        checked = f"{counted(pairs, 'usage history', 'usage histories')}, {counted(consumers, 'account')}"
        summary = replace(summary, checked=f"{checked}, {counted(len(self._terms.operators), 'operator')}")
        audit = Audit(self._contract, self._terms, self._biller, summary, self._payouts())
        contradictions = audit.contradictions(self._phase("checking the books", pairs + consumers))
        return RunResult(summary, contradictions, self._net, self._contract.address)

    def _pay_out(self) -> None:
        """The operator that earned most takes its earnings; the least busy client with something left takes that."""
        accounts = (operator.account for operator in self._terms.operators)
        earnings = {account: self._contract.view("get_earnings", account)["earnings_wei"] for account in accounts}
        account = max(earnings, key=lambda operator: earnings[operator])
        if earnings[account]:
            self._contract.must("withdraw_earnings", earnings[account], sender=account)
            self._withdrawn_wei[account] += earnings[account]
        for consumer in reversed(list(self._terms.consumers.values())):
            if self._close_account(consumer):
                break
        self._net.process("finalized")

    def _close_account(self, consumer: ConsumerTerms) -> bool:
        """Take out what is left of an account; its operators first release what is on hold for them."""
        for line in self._report(consumer)["apis"]:
            if line["hold_wei"]:
                operator = self._terms.apis[line["api_name"]].operator.account
                self._contract.must("release_hold", line["api_name"], consumer.account, sender=operator)
        credit_wei: int = self._report(consumer)["credit_balance_wei"]
        if credit_wei:
            self._contract.must("withdraw_credit", credit_wei, sender=consumer.account)
            self._withdrawn_wei[consumer.account] += credit_wei
        return bool(credit_wei)

    def _report(self, consumer: ConsumerTerms) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self._contract.view("get_usage_report", consumer.account))
        return report

    def _payouts(self) -> dict[str, int]:
        """What everybody must have: nothing but what was withdrawn, and top-ups that were not needed."""
        payouts = {operator.account: self._withdrawn_wei[operator.account] for operator in self._terms.operators}
        for client, consumer in self._terms.consumers.items():
            unused_wei = consumer.deposit_wei + consumer.top_up_wei - self._biller.deposited_wei[client]
            payouts[consumer.account] = unused_wei + self._withdrawn_wei[consumer.account]
        return payouts

    def _summary(self, story: ContractStory) -> RunSummary:
        log, tally, bad_lines = self._log, self._biller.tally, self._log.bad_lines
        solvency = self._contract.view("get_solvency")
        return RunSummary(
            log_name=log.name,
            lines=log.lines,
            bad_line_count=bad_lines.count,
            bad_lines=[(bad.line_no, bad.reason) for bad in bad_lines.kept],
            first_at=self._terms.first_at,
            last_at=self._terms.last_at,
            total=tally.total,
            refused=dict(tally.refused),
            per_api=tally.per_api,
            per_consumer=tally.per_consumer,
            per_day=tally.per_day,
            solvency=Solvency(*(solvency[f"{what}_wei"] for what in ("balance", "credit", "held", "earnings"))),
            consumers={client: self._consumer(consumer) for client, consumer in self._terms.consumers.items()},
            apis={
                api.name: ApiStanding(
                    api.operator.name,
                    api.price_wei,
                    api.daily_limit_calls,
                    tally.peak_day_calls(api.name),
                    api.is_metered,
                )
                for api in self._terms.apis.values()
            },
            operators=self._operators(),
            low_credit=self._biller.low_credit,
            contract_story=story,
            late_entries=log.late_entries,
            settles_ample=self._settles_ample,
            environment=f"an embedded GenVM with the {self._net.std.name} standard library",
        )

    def _consumer(self, consumer: ConsumerTerms) -> ConsumerStanding:
        account = self._contract.view("get_account", consumer.account)
        return ConsumerStanding(
            consumer.account,
            self._biller.deposited_wei[consumer.client],
            account["credit_wei"],
            account["held_wei"],
            self._withdrawn_wei[consumer.account],
        )

    def _operators(self) -> list[OperatorStanding]:
        apis = Counter(api.operator.name for api in self._terms.apis.values())
        standings = []
        for operator in self._terms.operators:
            earnings = self._contract.view("get_earnings", operator.account)
            standings.append(
                OperatorStanding(
                    operator.name,
                    operator.account,
                    apis[operator.name],
                    earnings["earnings_wei"] + earnings["withdrawn_wei"],
                    earnings["withdrawn_wei"],
                    self._biller.settlements[operator.name],
                    self._biller.settled_calls[operator.name],
                )
            )
        return standings
