"""What the messages of a transaction may cost: a tree of allocations, of which each message takes one.

The budget of an internal message is for its own rounds and for the internal messages that it sends. External messages
are paid by the transaction itself, at whatever depth they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from genlayer_localnet.abi import AbiError, Array, Structure
from genlayer_localnet.errors import FeesRefused
from genlayer_localnet.state.fees import MAX_ALLOCATIONS, FeesDistribution, MessageAllocation

INTERNAL_PARAMS: Final = Structure(
    params=Structure(
        leader_time_units="uint256",
        validator_time_units="uint256",
        appeal_rounds="uint256",
        execution_budget_per_round="uint256",
        rotations=Array("uint256"),
        max_price_per_time_unit="uint256",
        max_storage_gas_price="uint256",
        max_receipt_gas_price="uint256",
    )
)
"""``fee_params`` of an internal message."""
EXTERNAL_PARAMS: Final = Structure(gas_limit="uint256", max_gas_price="uint256")


def check_tree(allocations: Sequence[MessageAllocation]) -> None:
    """Raises: FeesRefused, for what is no tree, or of which parameters cannot be read."""
    if len(allocations) > MAX_ALLOCATIONS:
        raise FeesRefused("TooManyMessageAllocations", f"{len(allocations)}, and {MAX_ALLOCATIONS} at most")
    for index, allocation in enumerate(allocations):
        parent = allocation.parent
        if parent is not None and not (0 <= parent < index and allocations[parent].is_internal):
            raise FeesRefused(
                "InvalidMessageAllocation", f"number {index} is below {parent}, which is no internal one before it"
            )
        try:
            distribution_of(allocation) if allocation.is_internal else external_reserve(allocation)
        except AbiError as error:
            raise FeesRefused("InvalidMessageAllocation", f"feeParams of number {index}: {error}") from None


def distribution_of(allocation: MessageAllocation) -> FeesDistribution:
    """How an internal message may use its deposit, but for its own messages. Raises: AbiError."""
    params: dict[str, Any] = INTERNAL_PARAMS.decode(allocation.fee_params)["params"]
    return FeesDistribution(**{**params, "rotations": tuple(params["rotations"])})


def external_reserve(allocation: MessageAllocation) -> int:
    """What an external message may cost. Raises: AbiError."""
    params = EXTERNAL_PARAMS.decode(allocation.fee_params)
    return int(params["gas_limit"] * params["max_gas_price"])


def message_fees(allocations: Sequence[MessageAllocation], place: int | None) -> int:
    """What all messages of a transaction may cost together, whose own place in the tree is ``place``."""
    total, below = 0, {place}
    for index, allocation in enumerate(allocations):
        if allocation.parent in below:
            if allocation.is_internal:
                below.add(index)
            if not allocation.is_internal or allocation.parent == place:
                total += allocation.budget
    return total
