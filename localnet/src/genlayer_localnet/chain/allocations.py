"""What the messages of a transaction may cost: a tree of allocations, of which each message takes one.

The budget of an internal message is for its own rounds and for the internal messages that it sends. External messages
are paid by the transaction itself, at whatever depth they are. The zero address is any contract that a deploy above in
the tree makes: before it is sent nobody can know where that will be.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any, Final

from genlayer_localnet import calldata
from genlayer_localnet.abi import AbiError, Array, Structure
from genlayer_localnet.address import keccak256
from genlayer_localnet.errors import FeesRefused
from genlayer_localnet.loading.entry_keys import method_of
from genlayer_localnet.state.fees import (
    ANY_CALL,
    MAX_ALLOCATIONS,
    NO_NAME,
    FeePolicy,
    Fees,
    FeesDistribution,
    MessageAllocation,
)
from genlayer_localnet.state.transactions import OutgoingMessage

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
NO_ADDRESS: Final = bytes(20)
_WORD, _SELECTOR = 32, 4
_Kind = tuple[bool, bool, bytes, bytes]
"""Of an allocation: whether it is internal, and for acceptance; its recipient and call key."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one message gets of the deposit: at ``place`` in the tree, for its rounds and for its own messages."""

    place: int
    for_rounds: int
    """Of an external message, all that it may cost."""
    for_messages: int = 0
    distribution: FeesDistribution | None = None
    """None for an external message."""


class NoAllocation(Exception):
    """A message without an allocation that has enough left; the text says of which kind it is."""


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


def encoded_params(distribution: FeesDistribution) -> bytes:
    """What ``distribution_of`` reads."""
    return INTERNAL_PARAMS.encode({"params": asdict(distribution)})


def external_reserve(allocation: MessageAllocation) -> int:
    """What an external message may cost. Raises: AbiError."""
    params = EXTERNAL_PARAMS.decode(allocation.fee_params)
    return int(params["gas_limit"] * params["max_gas_price"])


def external_fee(policy: FeePolicy) -> int:
    """What the delivery of an external message costs."""
    return policy.receipt_gas_price * policy.intrinsic_gas


def message_fees(allocations: Sequence[MessageAllocation], place: int | None) -> int:
    """What all messages of a transaction may cost together, whose own place in the tree is ``place``."""
    internal, external = _budgets_below(allocations)
    return internal[place] + external[place]


def _budgets_below(tree: Sequence[MessageAllocation]) -> tuple[Counter[int | None], Counter[int | None]]:
    """Of the messages of each place: those of the internal ones, and of the external ones at any depth."""
    internal, external = Counter[int | None](), Counter[int | None]()
    for index in reversed(range(len(tree))):
        allocation = tree[index]
        if allocation.is_internal:
            internal[allocation.parent] += allocation.budget
            external[allocation.parent] += external[index]
        else:
            external[allocation.parent] += allocation.budget
    return internal, external


def allotments(
    fees: Fees,
    messages: Sequence[OutgoingMessage],
    made: Collection[bytes],
    policy: FeePolicy,
    round_fees: Callable[[FeesDistribution], int],
) -> list[Allotment]:
    """What each message gets: of the first allocation that fits it and has enough left.

    ``made``: contracts that what sends them, and what led to it, deploys. ``round_fees``: what the rounds of a message
    want. Raises: NoAllocation.
    """
    tree, total = fees.allocations, fees.distribution.total_message_fees
    internal, external = _budgets_below(tree)
    places = defaultdict[_Kind, deque[int]](deque)
    for place, allocation in enumerate(tree):
        if allocation.parent == fees.place:
            kind = (allocation.is_internal, allocation.on_acceptance, allocation.recipient, allocation.call_key)
            places[kind].append(place)
    left, wants, found = dict[int, int](), dict[int, Allotment](), []
    for message in messages:
        fitting = [places[kind] for kind in _kinds(message, made) if kind in places]
        while any(fitting):
            fits = min(filter(None, fitting), key=itemgetter(0))
            place = fits[0]
            if place not in wants:
                left[place], wants[place] = tree[place].budget, _wanted(tree, place, round_fees, internal, external)
            wanted = wants[place]
            own, all_of_it = wanted.for_rounds + internal[place], wanted.for_rounds + wanted.for_messages
            if own <= left[place] and all_of_it <= total and _delivers(tree[place], policy):
                left[place] -= own
                total -= all_of_it
                found.append(wanted)
                break
            fits.popleft()  # there will not be more for the next message
        else:
            raise NoAllocation("external" if message.kind == "EthSend" else "internal")
    return found


def _wanted(
    tree: Sequence[MessageAllocation],
    place: int,
    round_fees: Callable[[FeesDistribution], int],
    internal: Counter[int | None],
    external: Counter[int | None],
) -> Allotment:
    if not tree[place].is_internal:
        return Allotment(place, external_reserve(tree[place]))
    distribution = distribution_of(tree[place])
    return Allotment(place, round_fees(distribution), internal[place] + external[place], distribution)


def _delivers(allocation: MessageAllocation, policy: FeePolicy) -> bool:
    """Whether an external message can be delivered for what it may cost."""
    if allocation.is_internal:
        return True
    can_pay = EXTERNAL_PARAMS.decode(allocation.fee_params)["max_gas_price"] >= policy.receipt_gas_price
    return can_pay and external_reserve(allocation) >= external_fee(policy)


def _kinds(message: OutgoingMessage, made: Collection[bytes]) -> Iterator[_Kind]:
    """Those of the allocations that fit it."""
    is_internal, on_acceptance = message.kind != "EthSend", message.phase == "accepted"
    for recipient in {recipient_of(message, ()), recipient_of(message, made)}:
        for key in (call_key(message), ANY_CALL):
            yield is_internal, on_acceptance, recipient, key


def recipient_of(message: OutgoingMessage, made: Collection[bytes]) -> bytes:
    """As allocations name it, below the deploys that make these contracts."""
    to = message.to
    return NO_ADDRESS if message.kind == "DeployContract" or to is None or to in made else to


def call_key(message: OutgoingMessage) -> bytes:
    """What the message calls: the name of a method, or the selector of a function of an EVM contract."""
    if message.kind == "EthSend":
        return message.calldata[:_SELECTOR].ljust(_WORD, b"\0") if len(message.calldata) >= _SELECTOR else NO_NAME
    if message.kind == "DeployContract":
        return NO_NAME
    call = calldata.decode(message.calldata)
    name = method_of(call) if isinstance(call, dict) else None
    return key_of_method(name) if isinstance(name, str) else NO_NAME


def key_of_method(name: str) -> bytes:
    """The name where it is short, else a hash that no short name can be."""
    encoded = name.encode()
    if len(encoded) < _WORD:
        return encoded.ljust(_WORD, b"\0")
    hashed = keccak256(encoded)
    return hashed[:-1] + bytes([hashed[-1] | 1])
