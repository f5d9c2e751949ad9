"""Compares the figures of a run with what the contract itself says, and with where the money is."""

from collections.abc import Iterator, Mapping
from typing import Final

from demo.billing_contract import BillingContract
from demo.log_biller import LogBiller, Step
from demo.summary import ContractStory, RunSummary, Usage
from demo.terms import Terms

HISTORY_DAYS: Final = 400
"""What the contract keeps of a subscription's history; earlier days of a longer log cannot be compared."""


class Audit:
    """The comparison of one run; each method yields in words what does not agree, and nothing when all does.

    ``payouts`` are the wei that every account must have got out of the contract by now.
    """

    def __init__(
        self,
        contract: BillingContract,
        terms: Terms,
        biller: LogBiller,
        summary: RunSummary,
        payouts: Mapping[str, int],
    ) -> None:
        self._contract = contract
        self._terms = terms
        self._biller = biller
        self._summary = summary
        self._payouts = payouts

    def contradictions(self, step: Step) -> list[str]:
        """Return everything that does not add up. Raises: UnexpectedOutcomeError, for a view that fails."""
        return [
            *self._summary.contradictions(),
            *self._histories(step),
            *self._accounts(step),
            *self._earnings(),
            *self._solvency(),
            *self._story(),
            *self._paid_out(),
        ]

    def _histories(self, step: Step) -> Iterator[str]:
        first = self._contract.at // 86_400 - HISTORY_DAYS + 1
        for (client, api), days in self._biller.tally.per_pair.items():
            account = self._terms.consumers[client].account
            expected = {day: _billed(usage) for day, usage in days.items() if day >= first and usage.billed_calls}
            found = {
                day["day_id"]: (day["calls"], day["spend_wei"])
                for day in self._contract.view("get_usage_history", account, api, 0, 2**32)
            }
            if found != expected:
                yield f"the contract has {found} for {client} at {api}, the tally {expected} (day: calls, wei)"
            step()

    def _accounts(self, step: Step) -> Iterator[str]:
        credit_wei = held_wei = 0
        for client, standing in self._summary.consumers.items():
            spent_wei = self._summary.per_consumer[client].spend_wei
            left_wei = standing.credit_wei + standing.held_wei
            if standing.deposited_wei != spent_wei + standing.withdrawn_wei + left_wei:
                yield (
                    f"{client} paid in {standing.deposited_wei} wei, which are not {spent_wei} spent, "
                    f"{standing.withdrawn_wei} taken out and {left_wei} left"
                )
            credit_wei += standing.credit_wei
            held_wei += standing.held_wei
            step()
        if self._summary.contract_story:
            credit_wei += self._summary.contract_story.credit_wei
        solvency = self._summary.solvency
        if (credit_wei, held_wei) != (solvency.credit_wei, solvency.held_wei):
            yield (
                f"all accounts have {credit_wei} wei of credit and {held_wei} on hold, "
                f"the contract owes {solvency.credit_wei} and {solvency.held_wei}"
            )

    def _earnings(self) -> Iterator[str]:
        expected = dict.fromkeys((operator.name for operator in self._terms.operators), 0)
        for api, usage in self._summary.per_api.items():
            expected[self._terms.apis[api].operator.name] += usage.spend_wei
        expected[self._terms.operators[0].name] += _spent_by(self._summary.contract_story)
        earnings_wei = 0
        for operator in self._summary.operators:
            if operator.earned_wei != expected[operator.name]:
                yield f"{operator.name} earned {operator.earned_wei} wei, its APIs billed {expected[operator.name]}"
            earnings_wei += operator.earned_wei - operator.withdrawn_wei
        if earnings_wei != self._summary.solvency.earnings_wei:
            owed_wei = self._summary.solvency.earnings_wei
            yield f"operators have {earnings_wei} wei left of their earnings, the contract owes them {owed_wei}"

    def _solvency(self) -> Iterator[str]:
        solvency = self._summary.solvency
        balance_wei = self._contract.net.balance(self._contract.address)
        if balance_wei != solvency.balance_wei:
            yield f"the contract says that it holds {solvency.balance_wei} wei, the network that it holds {balance_wei}"
        if solvency.surplus_wei > 0:
            yield f"the contract holds {solvency.surplus_wei} wei that belong to nobody"

    def _story(self) -> Iterator[str]:
        story = self._summary.contract_story
        if story is None:
            return
        billed = [request for request in story.requests if not request.code]
        if story.deposited_wei != story.credit_wei + _spent_by(story):
            yield f"the consumer contract had {story.deposited_wei} wei and spent {_spent_by(story)}"
        for request in billed:
            if not self._contract.view("get_receipt", request.receipt_id)["valid"]:
                yield f"the contract does not know its own receipt {request.receipt_id}"
        if any(request.http_requests for request in story.requests if request.code):
            yield "a refused call was fetched all the same"

    def _paid_out(self) -> Iterator[str]:
        for account, payout_wei in self._payouts.items():
            balance_wei = self._contract.net.balance(account)
            if balance_wei != payout_wei:
                yield f"{account} must have been paid {payout_wei} wei, and has {balance_wei}"


def _billed(usage: Usage) -> tuple[int, int]:
    return usage.billed_calls, usage.spend_wei


def _spent_by(story: ContractStory | None) -> int:
    return sum(request.cost_wei for request in story.requests) if story else 0
