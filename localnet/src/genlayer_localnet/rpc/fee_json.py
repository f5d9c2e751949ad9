"""Fees in JSON. Amounts are decimal texts, which every client reads without loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields, replace
from typing import Any, Final

from genlayer_localnet.chain.allocations import external_fee
from genlayer_localnet.chain.chain import Chain
from genlayer_localnet.errors import FeesRefused, InvalidArgument
from genlayer_localnet.rpc.consensus_calls import DISTRIBUTION, ROOT, allocations_of, distribution_of
from genlayer_localnet.rpc.errors import invalid_params, reverted
from genlayer_localnet.rpc.networks import HIGHEST_PRICE, in_force
from genlayer_localnet.rpc.parameters import address, data, mapping, quantity, shown
from genlayer_localnet.rpc.receipt_json import address_text, hex_text
from genlayer_localnet.state.fees import ANY_CALL, FeePolicy, Fees, FeesDistribution, MessageAllocation
from genlayer_localnet.state.transactions import Outcome, Transaction

_WISHES: Final = (
    "leader_time_units",
    "validator_time_units",
    "max_price_per_time_unit",
    "max_storage_gas_price",
    "max_receipt_gas_price",
)


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_PRICES: Final = {_camel_case(field.name): field.name for field in fields(FeePolicy)}


def config_json(policy: FeePolicy | None) -> dict[str, Any]:
    """What a network charges; without fees all prices are zero."""
    shown_policy = policy or FeePolicy(0, 0, 0)
    prices = {name: str(getattr(shown_policy, field)) for name, field in _PRICES.items()}
    return {"enabled": policy is not None, "policy": prices}


def policy_of(config: Any, last: FeePolicy | None, *, enabled: bool) -> FeePolicy | None:
    """What an object like the answer of ``config_json`` makes of the last prices there were. Raises: RpcError.

    ``enabled``: whether they are in force.
    """
    given = mapping(config, "fee config")
    prices = mapping(given.get("policy", {}), "policy")
    wanted = given.get("enabled", bool(prices) or enabled)
    unknown = (given.keys() - {"enabled", "policy"}) | (prices.keys() - _PRICES.keys())
    if unknown or not isinstance(wanted, bool):
        raise invalid_params(f"a fee config has enabled, and in policy {', '.join(_PRICES)}; not {shown(dict(given))}")
    if not wanted:
        return None
    changed = {_PRICES[name]: _price(value, name) for name, value in prices.items()}
    try:
        policy = in_force(replace(last or FeePolicy(0, 0, 0), **changed))
    except InvalidArgument as error:
        raise invalid_params(f"policy: {error}") from None
    if policy is None and given.get("enabled"):
        raise invalid_params("all prices are zero, which is no fees: say in policy what is charged")
    return policy


def _price(value: Any, name: str) -> int:
    price = quantity(value, name)
    if price > HIGHEST_PRICE:
        raise invalid_params(f"{name}: 2**96 - 1 at most, not {price}")
    return price


def fees_of(value: Any, payer: bytes, policy: FeePolicy | None) -> Fees:
    """Fees that a client proposes for a call, at these prices. Raises: RpcError."""
    given = mapping(value, "fees")
    budgets = mapping(given.get("distribution", {}), "distribution")
    allocations = given.get("messageAllocations", [])
    if not isinstance(allocations, list):
        raise invalid_params(f"messageAllocations: a list is wanted, not {shown(allocations)}")
    try:
        tree = allocations_of([_allocation(one) for one in allocations])
    except FeesRefused as refusal:
        raise reverted(refusal) from None
    deposit = quantity(given.get("feeValue", 0), "feeValue")
    distribution = distribution_of({name: _budget(name, budgets) for name in DISTRIBUTION.fields})
    return Fees(payer, deposit, distribution, tree, policy=policy)


def _budget(name: str, given: Mapping[str, Any]) -> int | list[int]:
    if name != "rotations":
        return quantity(given.get(name, 0), name)
    rotations = given.get(name, [0])
    if not isinstance(rotations, list):
        raise invalid_params(f"rotations: a list is wanted, not {shown(rotations)}")
    return [quantity(each, name) for each in rotations]


def _allocation(value: Any) -> dict[str, Any]:
    given = mapping(value, "a message allocation")
    on_acceptance = given.get("onAcceptance", False)
    if not isinstance(on_acceptance, bool):
        raise invalid_params(f"onAcceptance: true or false is wanted, not {shown(on_acceptance)}")
    call_key = data(given.get("callKey", hex_text(ANY_CALL)), "callKey")
    if len(call_key) != len(ANY_CALL):
        raise invalid_params(f"a callKey has {len(ANY_CALL)} bytes, not {len(call_key)}")
    return {
        "messageType": quantity(given.get("messageType", 0), "messageType"),
        "onAcceptance": on_acceptance,
        "parentIndex": quantity(given.get("parentIndex", ROOT), "parentIndex"),
        "recipient": address(given.get("recipient"), "recipient"),
        "callKey": call_key,
        "budget": quantity(given.get("budget", 0), "budget"),
        "feeParams": data(given.get("feeParams", "0x"), "feeParams"),
    }


def fees_json(chain: Chain, transaction: Transaction) -> dict[str, Any]:
    """Of a transaction: what it was given for fees, and what became of that.

    The tree of allocations is long where there are many messages; what a user sent has it, and its messages have not.
    """
    fees = transaction.fees
    if fees is None:
        return {"fees": None, "fee_accounting": None}
    given = {
        "payer": address_text(fees.payer),
        "feeValue": str(fees.deposit),
        "distribution": distribution_json(fees.distribution),
        "messageAllocations": allocations_json(fees.allocations) if fees.place is None else None,
    }
    accounting = {**_accounting(fees, chain.fees_of_messages(transaction)), "error": transaction.refused or None}
    return {"fees": given, "fee_accounting": accounting}


def simulated_fees_json(chain: Chain, transaction: Transaction, outcome: Outcome) -> dict[str, Any] | None:
    """What a simulated call would have cost; None where nothing was proposed for it."""
    fees = transaction.fees
    if fees is None:
        return None
    allotments = [each for each in chain.allotments(transaction, outcome) if each is not None]
    internal = [each for each in allotments if each.distribution is not None]
    if fees.policy is not None:
        fees.external_fee = (len(allotments) - len(internal)) * external_fee(fees.policy)
    return _tried(fees, sum(each.for_rounds + each.for_messages for each in internal))


def estimate_json(fees: Fees, *, enabled: bool) -> dict[str, Any]:
    """What to deposit for a call, and what of that it would use."""
    accounting = _tried(fees, fees.distribution.total_message_fees)
    preset = {
        "distribution": accounting["fees_distribution"],
        "messageAllocations": accounting["message_allocations"],
        "feeValue": str(fees.deposit),
    }
    report = accounting["execution_fee_report"]
    return {"enabled": enabled, "recommendedPreset": preset, "feeAccounting": accounting, "feeReport": report}


def with_wishes(recommended: FeesDistribution, proposed: FeesDistribution) -> FeesDistribution:
    """A distribution with what somebody proposes for it, but for budgets, which a simulation knows better."""
    wishes = {name: getattr(proposed, name) for name in _WISHES if getattr(proposed, name)}
    if proposed.appeal_rounds or any(proposed.rotations):
        wishes |= {"appeal_rounds": proposed.appeal_rounds, "rotations": proposed.rotations}
    return replace(recommended, **wishes)


def _accounting(fees: Fees, for_messages: int) -> dict[str, Any]:
    """``for_messages``: what its internal messages have of its deposit.

    What a run costs is in two parts, which clients add up: what it wrote is ``execution_fee_consumed``, the rest is in
    the report. Both are of the last run; ``primary_fee_consumed`` is what was spent for all of them, time included.
    """
    report, storage_fee = dict(fees.report), fees.report.get("storageFee", 0)
    if report:
        report["totalEstimatedFee"] -= storage_fee
    amounts = {
        "paid_fee_value": fees.deposit,
        "primary_fee_budget": fees.deposit - fees.distribution.total_message_fees,
        "primary_fee_consumed": fees.time_fee + fees.execution_fee,
        "execution_fee_consumed": storage_fee,
        "message_fee_budget": fees.distribution.total_message_fees,
        "message_fee_consumed": for_messages + fees.external_fee,
        "external_message_fee_reimbursed": fees.external_fee,
    }
    return {
        **{name: str(wei) for name, wei in amounts.items()},
        "refunded_fee_value": None if fees.refunded is None else str(fees.refunded),
        "execution_fee_report": {name: str(number) for name, number in report.items()},
        "fees_distribution": distribution_json(fees.distribution),
        "error": None,
    }


def _tried(fees: Fees, for_messages: int) -> dict[str, Any]:
    """With the tree of allocations, which clients take from simulations."""
    return {**_accounting(fees, for_messages), "message_allocations": allocations_json(fees.allocations)}


def distribution_json(distribution: FeesDistribution) -> dict[str, Any]:
    return dict(zip(DISTRIBUTION.fields, map(_text, astuple(distribution)), strict=True))


def allocations_json(allocations: Sequence[MessageAllocation]) -> list[dict[str, Any]]:
    return [
        {
            "messageType": int(one.is_internal),
            "onAcceptance": one.on_acceptance,
            "parentIndex": str(ROOT if one.parent is None else one.parent),
            "recipient": address_text(one.recipient),
            "callKey": hex_text(one.call_key),
            "budget": str(one.budget),
            "feeParams": hex_text(one.fee_params),
        }
        for one in allocations
    ]


def _text(value: int | tuple[int, ...]) -> str | list[str]:
    return [str(item) for item in value] if isinstance(value, tuple) else str(value)
