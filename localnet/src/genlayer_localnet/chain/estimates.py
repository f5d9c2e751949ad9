"""What to deposit for a transaction: it is tried with everything that it sends, and all of that is taken back."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final

from genlayer_localnet.chain.allocations import (
    EXTERNAL_PARAMS,
    call_key,
    encoded_params,
    message_fees,
    recipient_of,
)
from genlayer_localnet.chain.chain import Chain, message_transaction
from genlayer_localnet.chain.fees import budget_floor, deposit_for, execution_report, round_fees
from genlayer_localnet.errors import FeesRefused
from genlayer_localnet.nondet import web
from genlayer_localnet.nondet.web import WebRequest, WebResponse
from genlayer_localnet.state.fees import MAX_ALLOCATIONS, FeePolicy, Fees, FeesDistribution, MessageAllocation
from genlayer_localnet.state.journal import Journal, roll_back
from genlayer_localnet.state.transactions import Outcome, OutgoingMessage, Transaction

LEADER_TIME_UNITS: Final = 100
VALIDATOR_TIME_UNITS: Final = 200
ROTATIONS: Final = 3
"""What clients offer as well."""


@dataclass(slots=True)
class _Tried:
    """A transaction and what it came to; an external message costs no run."""

    transaction: Transaction
    message: OutgoingMessage | None = None
    report: dict[str, int] = field(default_factory=dict)
    outcome: Outcome | None = None
    sent: list[_Tried] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Estimate:
    fees: Fees
    outcome: Outcome
    """Of the call itself."""


def recommended(chain: Chain, transaction: Transaction, policy: FeePolicy) -> Fees:
    """The fees of ``estimate``."""
    return estimate(chain, transaction, policy).fees


def estimate(chain: Chain, transaction: Transaction, policy: FeePolicy) -> Estimate:
    """For this call now: with a fifth more than it costs, and an allocation for each message it leads to.

    Messages run after it and after each other, as on the chain; pages that they would fetch are empty, and only a
    message that fails with these gets real ones. Nobody has to own the value. Raises: FeesRefused, for more messages
    than there can be allocations, for those that take longer than one call may with all before them, and for a number
    of validators that there are no fees for.
    """
    journal: Journal = []
    try:
        tried = _try_all(chain, transaction, journal, policy)
    finally:
        roll_back(journal)
    validators = chain.committee(transaction)
    tree = _allocated(tried, validators, policy)
    distribution = replace(_distribution(tried, policy), total_message_fees=message_fees(tree, None))
    deposit = deposit_for(distribution, validators, policy)
    assert tried.outcome is not None
    return Estimate(Fees(transaction.sender, deposit, distribution, tuple(tree), report=tried.report), tried.outcome)


def _try_all(chain: Chain, transaction: Transaction, journal: Journal, policy: FeePolicy) -> _Tried:
    root = _Tried(replace(transaction, children=[], rounds=[], journal=[], fees=None))
    on_acceptance, on_finality, count = deque([root]), deque[_Tried](), 0
    seconds = chain.settings.contract_timeout_seconds
    ends_at = monotonic() + (math.inf if seconds is None else seconds)
    while on_acceptance or on_finality:
        tried = (on_acceptance or on_finality).popleft()
        sent = _run(chain, tried, journal, policy, ends_at)
        if tried is not root and monotonic() > ends_at:
            raise FeesRefused("EstimateTimedOut", f"it leads to messages that together run longer than {seconds:g} s")
        for message in sent:
            count += 1
            if count > MAX_ALLOCATIONS:
                raise FeesRefused("TooManyMessageAllocations", f"it leads to more than {MAX_ALLOCATIONS} messages")
            parent = tried.transaction
            child = _Tried(message_transaction(parent, message, 0, chain.world.now), message)
            parent.children.append(child.transaction.id)
            tried.sent.append(child)
            (on_acceptance if message.phase == "accepted" else on_finality).append(child)
    return root


def _run(chain: Chain, tried: _Tried, journal: Journal, policy: FeePolicy, ends_at: float) -> list[OutgoingMessage]:
    """What it sends; that has left the balances of its senders."""
    world, transaction = chain.world, tried.transaction
    world.change_balance(journal, transaction.to, transaction.value)
    mark = len(journal)
    outcome = chain.without_code(transaction)
    if outcome is None and tried.message is None:
        outcome = chain.try_out(transaction, journal)
    elif outcome is None:
        outcome = _of_message(chain, transaction, journal, ends_at)
    tried.outcome, tried.report = outcome, execution_report(transaction, outcome, journal[mark:], policy)
    if outcome.kind != "return":
        roll_back(journal, mark)
    for message in outcome.messages:
        world.change_balance(journal, message.sender, -message.value)
    return outcome.messages


def _of_message(chain: Chain, transaction: Transaction, journal: Journal, ends_at: float) -> Outcome:
    """Whoever answers a request could take it for a real one: one is made where there is no other way, to read."""
    asked: list[WebRequest] = []

    def empty_page(request: WebRequest) -> WebResponse:
        asked.append(request)
        return WebResponse()

    def page(request: WebRequest) -> WebResponse:
        return empty_page(request) if request.method != "GET" else (chain.wait_without(journal) or web.fetch)(request)

    mark = len(journal)
    outcome = chain.try_out(transaction, journal, empty_page, ends_at - monotonic())
    if outcome.kind != "return" and any(request.method == "GET" for request in asked):
        roll_back(journal, mark)
        outcome = chain.try_out(transaction, journal, page, ends_at - monotonic())
    return outcome


def _allocated(tried: _Tried, validators: int, policy: FeePolicy) -> list[MessageAllocation]:
    """Depth first, so that what sends a message comes before it."""
    tree: list[MessageAllocation] = []
    nothing: frozenset[bytes] = frozenset()
    waiting: list[tuple[_Tried, int | None, frozenset[bytes]]] = [(tried, None, nothing)]
    while waiting:
        one, parent, made = waiting.pop()
        place = None if one.message is None else len(tree)
        if one.message is not None:
            tree.append(_allocation(one, one.message, parent, made, validators, policy))
        if one.transaction.kind == "deploy":
            made |= {one.transaction.to}
        waiting += [(child, place, made) for child in reversed(one.sent)]
    for allocation in reversed(tree):
        # Payments further down are the transaction's own here; a network may want them in the budgets above them too.
        if allocation.parent is not None:
            above = tree[allocation.parent]
            tree[allocation.parent] = replace(above, budget=above.budget + allocation.budget)
    return tree


def _allocation(
    tried: _Tried,
    message: OutgoingMessage,
    parent: int | None,
    made: frozenset[bytes],
    validators: int,
    policy: FeePolicy,
) -> MessageAllocation:
    """Without what it sends itself. ``made``: contracts that are deployed above it."""
    is_internal = message.kind != "EthSend"
    if is_internal:
        distribution = _distribution(tried, policy)
        params, budget = encoded_params(distribution), round_fees(distribution, validators, policy)
    else:
        gas_limit, price = _with_headroom(policy.intrinsic_gas), _with_headroom(policy.receipt_gas_price)
        params, budget = EXTERNAL_PARAMS.encode({"gas_limit": gas_limit, "max_gas_price": price}), gas_limit * price
    recipient, key = recipient_of(message, made), call_key(message)
    return MessageAllocation(is_internal, message.phase == "accepted", parent, recipient, key, budget, params)


def _distribution(tried: _Tried, policy: FeePolicy) -> FeesDistribution:
    return FeesDistribution(
        LEADER_TIME_UNITS,
        VALIDATOR_TIME_UNITS,
        execution_budget_per_round=_with_headroom(max(budget_floor(policy), tried.report["totalEstimatedFee"])),
        rotations=(ROTATIONS,),
        max_price_per_time_unit=_with_headroom(policy.gen_per_time_unit),
        max_storage_gas_price=_with_headroom(policy.storage_unit_price),
        max_receipt_gas_price=_with_headroom(policy.receipt_gas_price),
    )


def _with_headroom(amount: int) -> int:
    """A fifth more, rounded up."""
    return -(-amount * 6 // 5)
