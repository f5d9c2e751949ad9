"""What a transaction pays the network for being run (consensus v0.6): how it is written down and summed up.

Amounts are integer wei. A time unit is what a node may take to run a call, and has a price. What a transaction deposits
and does not use comes back to its sender when it is final. The sums are those of genlayer-py's
``calculate_local_round_fees``, for transactions that deposit nothing for appeals. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from api_billing.errors import UnexpectedAnswer
from api_billing.extras import needed_by

with needed_by(__name__):
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

ROOT: Final = 2**256 - 1
"""The parent of what a transaction itself sends."""
ANY_CALL: Final = bytes(keccak(b""))
_WHOLE_BPS: Final = 10_000
HEADROOM_BPS: Final = 12_000
"""What is estimated is deposited with so much of it in ten thousandths, as genlayer-py does."""
VALIDATORS: Final = 5
ROTATIONS: Final = 3
LEADER_TIME_UNITS: Final = 100
VALIDATOR_TIME_UNITS: Final = 200
_LEAST_EXECUTION_BUDGET: Final = 500_000
_EXECUTION_GAS: Final = 100_000_000
_FLOOR_GAS: Final = (210_000 + 21_000 + 60_000 + 7 * 1_000) + (100_000 + 21_000 + 60_000 + 32 * 1_000 + 32 * 16)

_DISTRIBUTION: Final = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256[],uint256,uint256,uint256)"
_ALLOCATION: Final = "(uint8,bool,uint256,address,bytes32,uint256,bytes)"
_INTERNAL: Final = "(uint256,uint256,uint256,uint256,uint256[],uint256,uint256,uint256)"
TRANSACTION: Final = f"(address,address,uint256,uint256,uint256,uint256,uint256,{_DISTRIBUTION},bytes,{_ALLOCATION}[])"
"""The one argument of the consensus contract's ``addTransaction``, where there are fees."""


def with_headroom(wei: int, bps: int = HEADROOM_BPS) -> int:
    """So much more than was estimated, rounded up."""
    return -(-wei * bps // _WHOLE_BPS)


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a network, as `sim_getFeeConfig` tells them."""

    time_unit_wei: int
    storage_unit_wei: int
    receipt_gas_wei: int
    overlay_bps: int = 0
    floor_wei: int | None = None
    """The least that may be set aside for execution; None where it follows from the price of gas."""

    @classmethod
    def of(cls, config: object) -> Self | None:
        """Read a node's answer; None where there are no fees. Raises: UnexpectedAnswer."""
        policy = config.get("policy") if isinstance(config, Mapping) else None
        if not isinstance(config, Mapping) or config.get("enabled") is False:
            return None
        if not isinstance(policy, Mapping):
            if not config.get("enabled"):
                return None
            raise UnexpectedAnswer(f"the node tells no prices of its fees: {str(config)[:80]!r}")
        floor = policy.get("messageFeeParamsBudgetFloor", config.get("messageFeeParamsBudgetFloor"))
        try:
            time_unit, storage_unit = whole(policy["genPerTimeUnit"]), whole(policy["storageUnitPrice"])
            receipt_gas, overlay = whole(policy["receiptGasPrice"]), whole(policy.get("timeUnitOverlayBps", 0))
            if overlay >= _WHOLE_BPS:
                raise ValueError(f"overlay of {overlay} ten thousandths")
            found = cls(time_unit, storage_unit, receipt_gas, overlay, None if floor is None else whole(floor))
        except (LookupError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"the node tells prices of a form that is not known here: {error}") from error
        return found if config.get("enabled") or time_unit or storage_unit or receipt_gas else None

    @property
    def least_execution_wei(self) -> int:
        """What has to be set aside for one execution at least."""
        return self.receipt_gas_wei * _FLOOR_GAS if self.floor_wei is None else self.floor_wei

    @property
    def usual_execution_wei(self) -> int:
        """What is set aside for an execution of which nothing is known."""
        if not (self.storage_unit_wei or self.receipt_gas_wei):
            return 0
        return max(_LEAST_EXECUTION_BUDGET, self.least_execution_wei, self.receipt_gas_wei * _EXECUTION_GAS)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a deposit may be used. A highest price of 0 sets no limit. The order is that of the consensus contract."""

    leader_time_units: int = 0
    validator_time_units: int = 0
    appeal_rounds: int = 0
    execution_budget_wei: int = 0
    execution_consumed_wei: int = 0
    message_fees_wei: int = 0
    rotations: tuple[int, ...] = (0,)
    max_time_unit_wei: int = 0
    max_storage_unit_wei: int = 0
    max_receipt_gas_wei: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read JSON of a node. Raises: ValueError, TypeError."""
        read: dict[str, Any] = {name: whole(told.get(key) or 0) for name, key in _KEYS.items() if name != "rotations"}
        return cls(**read, rotations=tuple(map(whole, told.get("rotations") or (0,))))

    def as_json(self) -> dict[str, Any]:
        """The same for a node."""
        return {key: getattr(self, name) for name, key in _KEYS.items()} | {"rotations": list(self.rotations)}

    def deposit_wei(self, prices: Prices) -> int:
        """What it takes for the first round with all its rotations, its messages and no appeal."""
        (rotations,) = self.rotations
        runs = rotations + 1
        time_wei = (
            runs * (self.leader_time_units + VALIDATORS * self.validator_time_units) * (self.max_time_unit_wei or 1)
        )
        overlay_wei = time_wei * prices.overlay_bps // (_WHOLE_BPS - prices.overlay_bps)
        return time_wei + overlay_wei + runs * self.execution_budget_wei + self.message_fees_wei

    def values(self) -> tuple[Any, ...]:
        """For the ABI."""
        return tuple(getattr(self, each.name) for each in fields(self))


_KEYS: Final[Mapping[str, str]] = dict(
    zip(
        (each.name for each in fields(Distribution)),
        (
            "leaderTimeunitsAllocation",
            "validatorTimeunitsAllocation",
            "appealRounds",
            "executionBudgetPerRound",
            "executionConsumed",
            "totalMessageFees",
            "rotations",
            "maxPriceGenPerTimeUnit",
            "storageFeeMaxGasPrice",
            "receiptFeeMaxGasPrice",
        ),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one message of a transaction, or of a message of it, may cost."""

    is_internal: bool
    on_acceptance: bool
    recipient: str
    call_key: bytes
    budget_wei: int
    fee_params: bytes = b""
    parent: int = ROOT

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read JSON of a node. Raises: ValueError, TypeError, KeyError."""
        return cls(
            str(told.get("messageType", 0)).lower() in ("1", "internal"),
            bool(told.get("onAcceptance")),
            str(told["recipient"]),
            _bytes(told.get("callKey") or ANY_CALL),
            whole(told.get("budget") or 0),
            _bytes(told.get("feeParams") or b""),
            ROOT if told.get("parentIndex") is None else whole(told["parentIndex"]),
        )

    def as_json(self) -> dict[str, Any]:
        """The same for a node."""
        return {
            "messageType": int(self.is_internal),
            "onAcceptance": self.on_acceptance,
            "parentIndex": self.parent,
            "recipient": self.recipient,
            "callKey": "0x" + self.call_key.hex(),
            "budget": self.budget_wei,
            "feeParams": "0x" + self.fee_params.hex(),
        }

    def values(self) -> tuple[Any, ...]:
        """For the ABI."""
        place = int(self.is_internal), self.on_acceptance, self.parent, self.recipient
        return *place, self.call_key, self.budget_wei, self.fee_params


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction deposits, and for what. Without any it is as one of a network without fees."""

    distribution: Distribution = Distribution()
    allocations: tuple[Allocation, ...] = ()
    deposit_wei: int = 0

    @classmethod
    def of(cls, preset: Mapping[str, Any]) -> Self:
        """Read what a node recommends. Raises: UnexpectedAnswer."""
        try:
            allocations = tuple(map(Allocation.of, preset.get("messageAllocations") or ()))
            return cls(Distribution.of(preset["distribution"]), allocations, whole(preset["feeValue"]))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"the node recommends fees of a form that is not known here: {error}") from error

    def as_json(self) -> dict[str, Any]:
        """The same for a node."""
        return {
            "distribution": self.distribution.as_json(),
            "messageAllocations": [each.as_json() for each in self.allocations],
            "feeValue": self.deposit_wei,
        }


def call_key(method: str) -> bytes:
    """By which an allocation is found for a message to a method; of a transfer or a deployment it is zero."""
    name = method.encode()
    if len(name) < 32:
        return name.ljust(32, b"\0")
    digest = bytes(keccak(name))
    return digest[:-1] + bytes([digest[-1] | 1])


def internal_params(distribution: Distribution) -> bytes:
    """What a message to a contract may use, as its allocation has it."""
    (leader, validator, appeals, budget, _, _, rotations, *caps) = distribution.values()
    return bytes(encode([_INTERNAL], [(leader, validator, appeals, budget, rotations, *caps)]))


def external_params(gas: int, max_gas_price_wei: int) -> bytes:
    """What a message to an account of Ethereum's kind may use."""
    return bytes(encode(["(uint256,uint256)"], [(gas, max_gas_price_wei)]))


def add_transaction(sender: str, recipient: str, data: bytes, *, value_wei: int, valid_until: int, fees: Fees) -> bytes:
    """The call of the consensus contract. It carries the user's value and the deposit."""
    numbers = VALIDATORS, ROTATIONS, valid_until, 0, value_wei
    allocations = [each.values() for each in fees.allocations]
    values = sender, recipient, *numbers, fees.distribution.values(), data, allocations
    return bytes(keccak(text=f"addTransaction({TRANSACTION})")[:4]) + encode([TRANSACTION], [values])


def whole(value: object) -> int:
    """A number that is an integer or its text, decimal or with 0x. Raises: ValueError, TypeError."""
    number = int(value, 0) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{str(value)[:40]!r} is no amount")
    return number


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else bytes.fromhex(str(value).removeprefix("0x"))
