"""How raw transactions become transactions of the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from genlayer_localnet.chain import appeals, fees
from genlayer_localnet.chain.appeals import AppealCharge
from genlayer_localnet.errors import FeesRefused, InsufficientFunds, NotAppealable
from genlayer_localnet.rpc import consensus_calls, envelopes
from genlayer_localnet.rpc.consensus_calls import AboutTransaction, AddTransaction
from genlayer_localnet.rpc.envelopes import Envelope
from genlayer_localnet.rpc.errors import (
    EXECUTION_FAILED,
    NO_VALIDATORS,
    NotYet,
    RpcError,
    invalid_params,
    refused,
    reverted,
)
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.receipt_json import address_text
from genlayer_localnet.rpc.sim_config import conditions_of
from genlayer_localnet.state.fees import Fees, FeesDistribution
from genlayer_localnet.state.transactions import Conditions, Transaction
from genlayer_localnet.vm.host_requests import salted_address

MAX_ROTATIONS = 20
CLIENTS_CHAIN_IDS = frozenset({61127, 61999})
"""What genlayer-js and genlayer-py sign for on a localnet, whatever its chain id is."""


def submit(node: Node, envelope: Envelope, sim_config: Any = None) -> str:
    """Run what a raw transaction asks for; the id of the GenLayer transaction. The same one again does nothing more.

    Raises: RpcError; nothing has changed then.
    """
    world = node.world
    _check_chain(node, envelope)
    known = world.aliases.get(envelope.hash, envelope.hash)
    try:
        call = consensus_calls.asked_of(envelope.to, envelope.data)
        if known in world.transactions:
            return _told(envelope, call, known)
        if isinstance(call, AboutTransaction):
            return _about_another(node, envelope, call)
        conditions = conditions_of(sim_config)
        return _transfer(node, envelope) if call is None else _add(node, envelope, call, conditions)
    except FeesRefused as refusal:
        raise reverted(refusal) from None


def check(node: Node, sender: bytes, to: bytes | None, data: bytes, value: int) -> None:
    """Whether a transaction that is not signed yet would be refused for its data, its value or its fees.

    Raises: RpcError.
    """
    try:
        call = consensus_calls.asked_of(to, data)
        if isinstance(call, AddTransaction):
            _check_fees(node, call, _fees_of(sender, value, call))
    except FeesRefused as refusal:
        raise reverted(refusal) from None


def _check_chain(node: Node, envelope: Envelope) -> None:
    """One without a chain id (before EIP-155) is for any chain."""
    own, given = node.identity.chain_id, envelope.chain_id
    if given not in (None, own) and given not in CLIENTS_CHAIN_IDS:
        raise invalid_params(f"invalid chain id: the transaction is signed for chain {given}, and this one is {own}")


def _replaced(node: Node, envelope: Envelope) -> Transaction | None:
    """What has the nonce of this one and still waits: who sends a nonce again means one transaction, not two.

    Raises: RpcError, for a nonce that is used up or not the next, and for a replacement that offers no more.
    """
    if envelope.nonce == node.world.nonces.get(envelope.signer, 0):
        return None
    for waiting in node.world.pending:
        if waiting.raw and not waiting.block and (waiting.sender, waiting.nonce) == (envelope.signer, envelope.nonce):
            before = envelopes.decode(waiting.raw, waiting.sender)
            if envelope.tip > before.tip and envelope.max_fee > before.max_fee:
                return waiting
            raise refused(f"replacement transaction underpriced: {waiting.id} offers {before.max_fee} wei for gas")
    _check_nonce(node, envelope)
    return None


def _check_nonce(node: Node, envelope: Envelope) -> None:
    """What takes money is done once. Raises: RpcError, for a nonce that is used up or not the next."""
    expected = node.world.nonces.get(envelope.signer, 0)
    if envelope.nonce == expected:
        return
    text = f"it is {envelope.nonce}, and the next one of its sender is {expected}"
    if envelope.nonce < expected:
        raise refused(f"nonce too low: {text}")
    raise NotYet(EXECUTION_FAILED, f"nonce too high: {text}")


def cancel(node: Node, transaction: Transaction) -> None:
    """Raises: RpcError, once it has run."""
    if transaction.status != "pending":
        raise refused(f"only a pending transaction can be cancelled; this one is {transaction.status}")
    if transaction.block and node.chain.settings.first_children == "stay":
        raise refused("it has run before: an appeal took it back, and what it sent stays")
    node.chain.cancel(transaction)


def _add(node: Node, envelope: Envelope, call: AddTransaction, conditions: Conditions) -> str:
    if call.sender != envelope.signer:
        signer, sender = address_text(envelope.signer), address_text(call.sender)
        raise invalid_params(f"the transaction is signed by {signer}, but its sender is {sender}")
    replaced = _replaced(node, envelope)
    if 0 < call.valid_until < node.world.now.timestamp():
        raise refused(f"the transaction was valid until {call.valid_until}, and it is later now")
    if not node.validators.all and conditions.validators is None:
        raise RpcError(NO_VALIDATORS, "there are no validators: create some first (sim_createRandomValidators)")
    if call.code is None:
        _check_recipient(node, call.recipient)
    if conditions.validators is None:
        conditions = replace(conditions, validators=_voters(node, call))
    offered = _fees_of(envelope.signer, envelope.value, call)
    _check_fees(node, call, offered)
    transaction = Transaction(
        id=envelope.hash,
        kind="call" if call.code is None else "deploy",
        sender=envelope.signer,
        origin=envelope.signer,
        to=_receiver(node, envelope, call),
        calldata=call.calldata,
        value=envelope.value if call.offer is None else call.offer.user_value,
        created_at=node.world.now,
        nonce=envelope.nonce,
        code=call.code,
        conditions=replace(conditions, rotations=min(call.rotations, MAX_ROTATIONS)),
        mode=call.mode,
        raw=envelope.raw,
        valid_until=call.valid_until,
        fees=offered,
    )
    return _enter(node, transaction, replaced)


def _receiver(node: Node, envelope: Envelope, call: AddTransaction) -> bytes:
    """Of a deploy, the address of the new contract."""
    if call.code is None:
        return call.recipient
    if call.salt is None:
        return bytes.fromhex(envelope.hash[2:42])
    return salted_address(envelope.signer, call.salt, node.identity.chain_id)


def _voters(node: Node, call: AddTransaction) -> int:
    return min(max(call.validators, 1), len(node.validators.all))


def _fees_of(sender: bytes, value: int, call: AddTransaction) -> Fees | None:
    """What of the value that a call brings is for the network. Raises: RpcError."""
    offer = call.offer
    if offer is None:
        return None
    if offer.user_value > value:
        raise invalid_params(f"userValue is {offer.user_value} wei, and the transaction brings {value}")
    return Fees(sender, value - offer.user_value, offer.distribution, offer.allocations)


def _check_fees(node: Node, call: AddTransaction, offered: Fees | None) -> None:
    """For as many validators as it asks for, however many there are here. Raises: FeesRefused."""
    policy = node.chain.settings.fees
    if policy is not None:
        fees.check(offered, call.validators, policy)


def _transfer(node: Node, envelope: Envelope) -> str:
    if envelope.to is None:
        raise invalid_params("there are no EVM contracts here: deploy through addTransaction of the consensus contract")
    if envelope.data and envelope.to in node.world.contracts:
        raise invalid_params(
            "the data would not be read: a contract is called by addTransaction of the consensus contract"
        )
    replaced = _replaced(node, envelope)
    transaction = Transaction(
        id=envelope.hash,
        kind="transfer",
        sender=envelope.signer,
        origin=envelope.signer,
        to=envelope.to,
        calldata=b"",
        value=envelope.value,
        created_at=node.world.now,
        nonce=envelope.nonce,
        raw=envelope.raw,
    )
    # What is minted for calls is not minted for transfers, as in Studio.
    balance = node.world.balance(envelope.signer) + (0 if replaced is None else replaced.paid)
    if envelope.value > balance:
        raise refused(f"insufficient funds: {address_text(envelope.signer)} has {balance} wei, sends {envelope.value}")
    return _enter(node, transaction, replaced)


def _enter(node: Node, transaction: Transaction, replaced: Transaction | None) -> str:
    _paying(lambda: node.chain.submit(transaction, replaced))
    if node.options.auto_mine:
        node.chain.run_pending()
    return transaction.id


def _check_recipient(node: Node, address: bytes) -> None:
    if address not in node.world.balances and address not in node.world.nonces:
        node.contract(address)


def _about_another(node: Node, envelope: Envelope, call: AboutTransaction) -> str:
    """Appeal, finalize, cancel, or add to the deposit for fees."""
    transaction = node.transaction(call.transaction_id)
    if call.function == "cancelTransaction":
        if envelope.signer != transaction.sender:
            raise refused("only its sender can cancel a transaction")
        cancel(node, transaction)
    elif call.function == "topUpFees":
        _check_nonce(node, envelope)
        distribution = call.distribution or FeesDistribution()
        _paying(lambda: node.chain.top_up(transaction, envelope.signer, distribution, envelope.value))
    elif call.function == "finalizeTransaction":
        _check_decision(transaction, call)
        if transaction in node.world.unfinalized:
            node.chain.finalize(transaction)
    else:
        _appeal(node, envelope, transaction, call)
    node.world.next_nonce(envelope.signer)
    node.world.aliases[envelope.hash] = transaction.id
    if node.chain.changes is not None:
        node.chain.changes.record(transaction)
        node.chain.changes.nonces.add(envelope.signer)
        node.chain.changes.aliases.add(envelope.hash)
    return _told(envelope, call, transaction.id)


def _told(envelope: Envelope, call: AddTransaction | AboutTransaction | None, transaction_id: str) -> str:
    """The id of the transaction that it made or is about, so that clients find its log; of what only pays, its own."""
    only_pays = isinstance(call, AboutTransaction) and call.function == "topUpFees"
    return envelope.hash if only_pays else transaction_id


def _check_decision(transaction: Transaction, call: AboutTransaction) -> None:
    """Raises: RpcError, where there has been another decision than the one that it is meant for."""
    if call.decision_id not in (None, transaction.decisions):
        text = f"it is for decision {call.decision_id}, and the latest one is {transaction.decisions}"
        raise reverted(FeesRefused("CanNotAppeal" if "Appeal" in call.function else "CanNotFinalize", text))


def _appeal(node: Node, envelope: Envelope, transaction: Transaction, call: AboutTransaction) -> None:
    _check_decision(transaction, call)
    wished = call.distribution or FeesDistribution()
    if any(wished.rotations) or replace(wished, rotations=(0,)) != FeesDistribution():
        raise FeesRefused("CanNotTopUp", "what an appeal adds is what it lacks: topUpFees adds to budgets before it")
    if appeal_charge(node, transaction).total:
        _check_nonce(node, envelope)
    _paying(lambda: appeals.appeal(node.chain, transaction, appellant=envelope.signer, paid=envelope.value))
    if node.options.auto_mine:
        node.chain.run_pending()


def appeal_charge(node: Node, transaction: Transaction) -> AppealCharge:
    """What an appeal costs now. Raises: RpcError, where it can not be appealed."""
    try:
        return appeals.appeal_charge(node.chain, transaction)
    except NotAppealable as error:
        raise reverted(FeesRefused("CanNotAppeal", str(error))) from None


def _paying(work: Callable[[], None]) -> None:
    """Do something that takes money. Raises: RpcError, FeesRefused."""
    try:
        work()
    except InsufficientFunds as error:
        raise refused(f"insufficient funds: {error}") from None
    except NotAppealable as error:
        raise reverted(FeesRefused("CanNotAppeal", str(error))) from None
