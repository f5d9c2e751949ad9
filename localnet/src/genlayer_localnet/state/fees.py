"""What a transaction pays the network for being run (consensus v0.6): prices, budgets and what came of them.

Amounts are integer wei, addresses 20 raw bytes. A time unit is what a node may take to run a call, and has a price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from genlayer_localnet.address import keccak256

ANY_CALL: Final = keccak256(b"")
"""The call key of an allocation that is for any method."""
NO_NAME: Final = bytes(32)
"""The call key of a message without a method's name, and of a deploy."""
MAX_ALLOCATIONS: Final = 1_024


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """The prices of a network. Amounts of gas are what its own bookkeeping of a receipt is counted as."""

    gen_per_time_unit: int
    storage_unit_price: int
    receipt_gas_price: int
    time_unit_overlay_bps: int = 0
    intrinsic_gas: int = 21_000
    bootloader_overhead: int = 60_000
    gas_per_changed_slot: int = 1_000
    calldata_gas_per_byte: int = 16
    fixed_propose_receipt_gas: int = 210_000
    fixed_message_reveal_gas: int = 100_000


@dataclass(frozen=True, slots=True)
class FeesDistribution:
    """How the deposit of a transaction may be used. A price of 0 sets no limit."""

    leader_time_units: int = 0
    validator_time_units: int = 0
    appeal_rounds: int = 0
    execution_budget_per_round: int = 0
    execution_consumed: int = 0
    total_message_fees: int = 0
    rotations: tuple[int, ...] = (0,)
    """Of the first round, and of each appeal."""
    max_price_per_time_unit: int = 0
    max_storage_gas_price: int = 0
    max_receipt_gas_price: int = 0


@dataclass(frozen=True, slots=True)
class MessageAllocation:
    """What one message of a transaction, or of a message of it, may cost."""

    is_internal: bool
    on_acceptance: bool
    parent: int | None
    """The allocation of the message that sends this one; None is the transaction itself."""
    recipient: bytes
    call_key: bytes
    budget: int
    fee_params: bytes
    """ABI: of an internal message its own distribution, of an external one gas and its price."""


@dataclass(slots=True)
class Fees:
    """Of one transaction. What it deposited is with it until it is final; then what is left goes back to ``payer``."""

    payer: bytes
    deposit: int
    distribution: FeesDistribution = FeesDistribution()
    allocations: tuple[MessageAllocation, ...] = ()
    """The whole tree, also of what its messages send."""
    place: int | None = None
    """Which allocation of the tree pays for it; None for what a user sent."""
    time_fee: int = 0
    """For the rounds so far, and so is ``execution_fee``."""
    execution_fee: int = 0
    external_fee: int = 0
    """For external messages that were delivered."""
    refunded: int | None = None
    """What went back once it was final."""
    report: dict[str, int] = field(default_factory=dict)
    """Of the last run: what its execution fee consists of."""
