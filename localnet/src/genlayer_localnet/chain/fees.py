"""What fees are: what a transaction has to deposit, what it is refused for, what a run costs. Nothing moves money here.

The deposit pays for the time of all rounds that it is for, with what successful appeals get, for as many runs as there
are leaders in them, and for the messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genlayer_localnet.chain.allocations import check_tree, distribution_of, message_fees
from genlayer_localnet.errors import FeesRefused
from genlayer_localnet.state.fees import BPS, FeePolicy, Fees, FeesDistribution
from genlayer_localnet.state.journal import Entry, splice
from genlayer_localnet.state.transactions import Outcome, Transaction

COMMITTEES: Final = (5, 7, 11, 13, 23, 25, 47, 49, 95, 97, 191, 193, 383, 385, 767, 769, 1_535, 1_537)
"""How many vote at first, on the first appeal, in the round after it, on the second appeal …"""
_CHANGED_SLOTS, _REVEALED_SLOTS, _REVEALED_BYTES = 7, 32, 32
"""Of the smallest receipt with messages."""


def committee(place: int) -> int:
    """How many vote in a round, which is 0 for the first one, odd for an appeal, even for what follows an appeal."""
    return COMMITTEES[min(place, len(COMMITTEES) - 1)]


def round_time_fee(distribution: FeesDistribution, voters: int, policy: FeePolicy) -> int:
    """For one leader and who votes on it."""
    return _with_overlay(_time_units(distribution, voters) * policy.gen_per_time_unit, policy)


def round_fees(distribution: FeesDistribution, validators: int, policy: FeePolicy) -> int:
    """For all rounds, with all appeals and rotations, at the highest price the transaction pays.

    Raises: FeesRefused.
    """
    rounds = distribution.rotations
    if len(rounds) != distribution.appeal_rounds + 1:
        raise FeesRefused("InvalidAppealRounds", "rotations are those of the first round and of each appeal")
    if validators not in COMMITTEES:
        raise FeesRefused("InvalidNumOfValidators", f"{validators} validators are none of {COMMITTEES[:5]} …")
    price = distribution.max_price_per_time_unit or policy.gen_per_time_unit
    work = price * (rounds[0] + 1) * _time_units(distribution, validators)
    rewards = 0
    for appeal, rotations in enumerate(rounds[1:]):
        voted_again = price * _time_units(distribution, committee(2 * appeal + 1))
        run_again = price * (rotations + 1) * _time_units(distribution, committee(2 * appeal + 2))
        work += voted_again + run_again
        rewards += run_again + run_again // 2
    leaders = sum(rounds) + len(rounds) + distribution.appeal_rounds
    return _with_overlay(work, policy) + rewards + distribution.execution_budget_per_round * leaders


def deposit_for(distribution: FeesDistribution, validators: int, policy: FeePolicy) -> int:
    """What has to be deposited at least. Raises: FeesRefused."""
    check_prices(distribution, policy)
    return round_fees(distribution, validators, policy) + distribution.total_message_fees


def bond_for(distribution: FeesDistribution, appeals: int, policy: FeePolicy) -> int:
    """What an appeal puts down, after so many others: the time of the rounds that run again where it succeeds."""
    leaders = rotations_after(distribution, appeals + 1) + 1
    return leaders * _time_units(distribution, committee(2 * appeals + 2)) * policy.gen_per_time_unit


def appeal_fees(distribution: FeesDistribution, appeals: int, policy: FeePolicy, *, is_voted: bool) -> int:
    """What an appeal can cost the transaction: its vote, where there is one, and what runs again."""
    budget, leaders = distribution.execution_budget_per_round, rotations_after(distribution, appeals + 1) + 1
    again = leaders * (round_time_fee(distribution, committee(2 * appeals + 2), policy) + budget)
    return again + is_voted * (round_time_fee(distribution, committee(2 * appeals + 1), policy) + budget)


def rotations_after(distribution: FeesDistribution, appeals: int) -> int:
    """How many more leaders may try, after so many appeals; after more than it is for, as after the last one."""
    return distribution.rotations[min(appeals, len(distribution.rotations) - 1)]


def budget_floor(policy: FeePolicy) -> int:
    """What a run has to be able to cost at least: the smallest receipt with messages."""
    proposed = policy.fixed_propose_receipt_gas + _CHANGED_SLOTS * policy.gas_per_changed_slot
    revealed = policy.fixed_message_reveal_gas + _REVEALED_SLOTS * policy.gas_per_changed_slot
    data = _REVEALED_BYTES * policy.calldata_gas_per_byte
    twice = 2 * (policy.intrinsic_gas + policy.bootloader_overhead)
    return policy.receipt_gas_price * (proposed + revealed + data + twice)


def check_prices(distribution: FeesDistribution, policy: FeePolicy) -> None:
    """Raises: FeesRefused, where a price is above the highest one that the transaction pays."""
    for what, price, cap in (
        ("a time unit", policy.gen_per_time_unit, distribution.max_price_per_time_unit),
        ("storage", policy.storage_unit_price, distribution.max_storage_gas_price),
        ("gas of a receipt", policy.receipt_gas_price, distribution.max_receipt_gas_price),
    ):
        if cap and price > cap:
            raise FeesRefused("MaxPriceExceeded", f"{what} costs {price} wei, and the transaction pays {cap} at most")


def check(fees: Fees | None, validators: int, policy: FeePolicy) -> None:
    """Whether a transaction of a user can be taken. Raises: FeesRefused."""
    if fees is None:
        raise FeesRefused("FeeValueMustBeNonZero", "the network takes fees, and the transaction comes without")
    distribution, deposit = fees.distribution, fees.deposit
    wanted = deposit_for(distribution, validators, policy)
    if not deposit and (wanted or budget_floor(policy)):
        raise FeesRefused("FeeValueMustBeNonZero", f"nothing is deposited, and {wanted} wei at least are wanted")
    _check_budget(distribution, policy)
    check_tree(fees.allocations)
    for allocation in fees.allocations:
        if allocation.is_internal:
            params = distribution_of(allocation)
            round_fees(params, validators, policy)
            _check_budget(params, policy)
    for_messages = message_fees(fees.allocations, None)
    if distribution.total_message_fees < for_messages:
        text = f"messages may cost {for_messages} wei, and total_message_fees is {distribution.total_message_fees}"
        raise FeesRefused("InsufficientFees", text)
    if deposit < wanted:
        raise FeesRefused("InsufficientFees", f"the deposit is {deposit} wei, and {wanted} at least are wanted")


def execution_report(
    transaction: Transaction, outcome: Outcome, changes: Sequence[Entry], policy: FeePolicy
) -> dict[str, int]:
    """What a run costs: its receipt, the messages in it, and what it wrote. ``changes``: what it did, in a journal."""
    written = [entry for entry in changes if entry[0] is splice] if outcome.kind == "return" else []
    slots = len({(entry[1].address, entry[2]) for entry in written})
    storage_bytes = sum(entry[4] for entry in written)
    data = len(transaction.calldata) + len(transaction.code or b"")
    each = policy.intrinsic_gas + policy.bootloader_overhead
    receipt_gas = policy.fixed_propose_receipt_gas + each
    receipt_gas += slots * policy.gas_per_changed_slot + data * policy.calldata_gas_per_byte
    reveal_gas = 0
    if outcome.messages:
        sent = sum(len(message.calldata) + len(message.code or b"") for message in outcome.messages)
        reveal_gas = policy.fixed_message_reveal_gas + each + sent * policy.calldata_gas_per_byte
    receipt_fee, reveal_fee = receipt_gas * policy.receipt_gas_price, reveal_gas * policy.receipt_gas_price
    storage_fee = storage_bytes * policy.storage_unit_price
    return {
        "changedSlots": slots,
        "calldataBytes": data,
        "storageBytes": storage_bytes,
        "receiptGas": receipt_gas,
        "messageRevealGas": reveal_gas,
        "receiptFee": receipt_fee,
        "messageRevealFee": reveal_fee,
        "storageFee": storage_fee,
        "totalEstimatedFee": receipt_fee + reveal_fee + storage_fee,
    }


class Meter:
    """Counts what the leaders of one transaction cost in a row; ``charge`` has it spend that, as far as it has it."""

    def __init__(self, fees: Fees, voters: int, policy: FeePolicy) -> None:
        self._fees = fees
        self._each = round_time_fee(fees.distribution, voters, policy)
        self._time = self._execution = 0

    def count(self) -> None:
        """One leader, whose run ``Fees.report`` is of."""
        self._time += self._each
        self._execution += min(self._fees.report["totalEstimatedFee"], self._budget)

    @property
    def affords_another(self) -> bool:
        spent = self._time + self._execution
        return self._fees.left_for_rounds >= spent + self._each + self._budget

    def charge(self) -> None:
        fees = self._fees
        fees.time_fee += min(self._time, fees.left_for_rounds)
        fees.execution_fee += min(self._execution, fees.left_for_rounds)

    @property
    def _budget(self) -> int:
        return self._fees.distribution.execution_budget_per_round


def _check_budget(distribution: FeesDistribution, policy: FeePolicy) -> None:
    budget, floor = distribution.execution_budget_per_round, budget_floor(policy)
    if budget < floor:
        raise FeesRefused("RollupBudgetBelowFloor", f"execution_budget_per_round is {budget}, and {floor} at least")
    if distribution.execution_consumed > budget:
        raise FeesRefused("ExecutionBudgetExceeded", f"{distribution.execution_consumed} of {budget} wei are used up")


def _time_units(distribution: FeesDistribution, voters: int) -> int:
    return distribution.leader_time_units + voters * distribution.validator_time_units


def _with_overlay(fee: int, policy: FeePolicy) -> int:
    return fee + fee * policy.time_unit_overlay_bps // (BPS - policy.time_unit_overlay_bps)
