"""What a transaction pays the network for being run (consensus v0.6): prices, budgets and what came of them.

Amounts are integer wei, addresses 20 raw bytes. A time unit is what a node may take to run a call, and has a price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from genlayer_localnet.address import keccak256
from genlayer_localnet.errors import InvalidArgument

ANY_CALL: Final = keccak256(b"")
"""The call key of an allocation that is for any method."""
NO_NAME: Final = bytes(32)
"""The call key of a message without a method's name, and of a deploy."""
MAX_ALLOCATIONS: Final = 1_024
FEE_ACCOUNT: Final = keccak256(b"genlayer-localnet: fees")[-20:]
"""Where fees go, in the place of validators and of the network. Nobody has its key."""
BPS: Final = 10_000


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

    def __post_init__(self) -> None:
        if min(self.gen_per_time_unit, self.storage_unit_price, self.receipt_gas_price) < 0:
            raise InvalidArgument("a price is not negative")
        if not 0 <= self.time_unit_overlay_bps < BPS:
            raise InvalidArgument(f"time_unit_overlay_bps is below {BPS}")


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
    """Zero for a deploy, and for any contract that one above in the tree makes."""
    call_key: bytes
    budget: int
    fee_params: bytes
    """ABI: of an internal message its own distribution, of an external one gas and its price."""


@dataclass(frozen=True, slots=True)
class Bond:
    """What an appeal has put down."""

    appellant: bytes
    wei: int
    won: bool | None = None
    """None until what the appeal brought to run again is decided."""

    @property
    def reward(self) -> int:
        """What comes on top of it, as far as the transaction has it, where the appeal succeeds."""
        return self.wei // 2


@dataclass(slots=True)
class Fees:
    """Of one transaction. What it deposited is with it until it is final; then what is left goes back to ``payer``."""

    payer: bytes
    deposit: int
    """With what was added since."""
    distribution: FeesDistribution = FeesDistribution()
    allocations: tuple[MessageAllocation, ...] = ()
    """The whole tree, also of what its messages send."""
    place: int | None = None
    """Which allocation of the tree pays for it; None for what a user sent."""
    policy: FeePolicy | None = None
    """The prices of its first run, which hold for the later ones; None before, and where there were no fees."""
    time_fee: int = 0
    """For the rounds so far, and so is ``execution_fee``."""
    execution_fee: int = 0
    external_fee: int = 0
    """For external messages that were delivered."""
    top_ups: tuple[tuple[bytes, int], ...] = ()
    """Who added how much later. It is used last, and comes back first."""
    given_back: int = 0
    """Of ``top_ups``, by itself and by its messages."""
    bonds: tuple[Bond, ...] = ()
    """Of its appeals, until it is final. They are no part of the deposit."""
    refunded: int | None = None
    """What went back once it was final, or cancelled."""
    report: dict[str, int] = field(default_factory=dict)
    """Of the last run: what its execution fee consists of. Never changed in place."""

    @property
    def added(self) -> int:
        return sum(wei for _, wei in self.top_ups)

    @property
    def spent(self) -> int:
        return self.time_fee + self.execution_fee + self.external_fee

    @property
    def left_for_rounds(self) -> int:
        """Without what its messages may cost, and rewards of appeals."""
        rewards = sum(bond.reward for bond in self.bonds if bond.won is not False)
        rest = self.deposit - self.distribution.total_message_fees - self.time_fee - self.execution_fee - rewards
        return max(rest, 0)
