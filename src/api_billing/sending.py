"""Transactions for the consensus contract: how a call or a deployment is written down, signed and handed over.

The form is that of genlayer-py, which signs the same bytes. The consensus contract of a network with fees takes all in
one tuple; those before take five arguments, or six.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from api_billing.errors import OutcomeUnknown, RpcFailed, UnexpectedAnswer
from api_billing.extras import needed_by
from api_billing.fees import ROTATIONS, VALIDATORS, Fees, add_transaction
from api_billing.genlayer_sdk import calldata, is_studio, serialize
from api_billing.networks import Network
from api_billing.transport import RAW_SEND, RpcProvider

with needed_by(__name__):
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

NOBODY: Final = "0x" + "00" * 20
_TIP_WEI: Final = 2 * 10**9
_RECEIPT_SECONDS: Final = 120.0
_REVERTED: Final = 3
_NO_END: Final = 0
_VALID_SECONDS: Final = 3_600
"""So long may a transaction with fees wait to be run: after that it is cancelled, and all comes back."""
_TAKEN: Final = frozenset(
    "0x" + keccak(text=event).hex()
    for event in ("NewTransaction(bytes32,address,address)", "CreatedTransaction(bytes32,uint256)")
)


class Signer(Protocol):
    """Who signs: eth-account's accounts are such, and those of ``keys``."""

    @property
    def address(self) -> str: ...

    def sign_transaction(self, transaction_dict: dict[str, Any]) -> Any:
        """Return an object with ``raw_transaction``, bytes."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What the network is to run: a method of a contract, or without one a deployment."""

    to: str
    data: bytes
    method: str = ""
    value_wei: int = 0


def call_data(method: str, args: Sequence[Any]) -> bytes:
    """A method and its arguments as calldata. Nodes of both lines of GenVM take this key for the name."""
    return bytes(calldata.encode({"method": method, **_arguments(args)}))


def call(address: str, method: str, args: Sequence[Any], value_wei: int = 0) -> Payload:
    """Call a method with GEN."""
    return Payload(address, _rlp(call_data(method, args), False), method, value_wei)


def deployment(code: bytes, args: Sequence[Any] = ()) -> Payload:
    """A contract with its constructor's arguments."""
    return Payload(NOBODY, _rlp(code, bytes(calldata.encode(_arguments(args))), False))


def _rlp(*parts: bytes | bool) -> bytes:
    return bytes.fromhex(serialize(parts)[2:])


def _arguments(args: Sequence[Any]) -> dict[str, Any]:
    return {"args": list(args)} if args else {}


class Sender:
    """Hands transactions over to one network. Not thread-safe: the number of an account's next one must be right."""

    def __init__(
        self,
        network: Network,
        provider: RpcProvider,
        now: Callable[[], int],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain, self._provider, self._now = network.genlayer_chain(), provider, now
        self._is_studio, self._is_localnet = is_studio(network), network.chain == "localnet"
        self._poll, self._sleep, self._clock = network.poll_seconds, sleep, clock

    def send(self, signer: Signer, payload: Payload, fees: Fees | None = None) -> str:
        """Sign a transaction and hand it over once; returns its id, when the consensus contract has taken it.

        With fees their deposit goes along, besides the value. Raises: NetworkError, also when the contract did not
        take it; OutcomeUnknown, UnexpectedAnswer, ValueError.
        """
        address, types = self._consensus_contract()
        if fees is None and types != ["tuple"]:
            data = _without_fees(signer.address, payload, types)
        else:
            data = self._with_fees(signer.address, payload, fees or Fees())
        value_wei = payload.value_wei + (fees.deposit_wei if fees else 0)
        signed = signer.sign_transaction(self._prepared(signer.address, address, "0x" + data.hex(), value_wei))
        sent = str(self._provider.result(RAW_SEND, "0x" + bytes(signed.raw_transaction).hex()))
        return self._taken(sent)

    def _consensus_contract(self) -> tuple[str, list[str]]:
        """Its address, and the types its method takes: Studio and localnets tell, of others genlayer-py knows."""
        told = self._chain.consensus_main_contract
        if self._is_studio:
            with suppress(RpcFailed):
                told = self._provider.result("sim_getConsensusContract", "ConsensusMain") or told
        forms = [each["inputs"] for each in told["abi"] if each.get("name") == "addTransaction"]
        return str(told["address"]), [str(each["type"]) for each in max(forms, key=len)]

    def _with_fees(self, sender: str, payload: Payload, fees: Fees) -> bytes:
        # The clock of a localnet may be ahead; what a node says of its last block may be long ago.
        until, value_wei = max(self._now(), int(time.time())) + _VALID_SECONDS, payload.value_wei
        return add_transaction(sender, payload.to, payload.data, value_wei=value_wei, valid_until=until, fees=fees)

    def _prepared(self, sender: str, consensus: str, data: str, value_wei: int) -> dict[str, Any]:
        transaction = {
            "from": sender,
            "nonce": self._provider.result("eth_getTransactionCount", sender, "latest"),
            "data": data,
            "to": consensus,
            "value": hex(value_wei),
            **self._gas_price(),
            "chainId": self._chain_id(),
        }
        return {**transaction, "gas": self._provider.result("eth_estimateGas", transaction)}

    def _gas_price(self) -> dict[str, Any]:
        if self._is_studio:
            return {"gasPrice": 0}
        base_wei = int(str(self._provider.result("eth_getBlockByNumber", "latest", False)["baseFeePerGas"]), 16)
        return {"maxFeePerGas": hex(base_wei + _TIP_WEI), "maxPriorityFeePerGas": hex(_TIP_WEI)}

    def _chain_id(self) -> int:
        """What is signed for one network must not count on another; a localnet has any id it was given."""
        if self._is_localnet:
            return int(str(self._provider.result("eth_chainId")), 16)
        return int(self._chain.id)

    def _taken(self, sent: str) -> str:
        """The id that the consensus contract has given it."""
        deadline = self._clock() + _RECEIPT_SECONDS
        while (receipt := self._provider.result("eth_getTransactionReceipt", sent)) is None:
            if self._clock() >= deadline:
                raise OutcomeUnknown(f"transaction {sent} was sent, and there is no receipt of it yet", sent)
            self._sleep(self._poll)
        if int(str(receipt["status"]), 0) != 1:
            reason = receipt.get("revertReason") or receipt.get("error") or "the consensus contract did not take it"
            self._provider.forget_sent()
            raise RpcFailed(RAW_SEND, _REVERTED, str(reason))
        for log in receipt["logs"]:
            if log["topics"] and str(log["topics"][0]).lower() in _TAKEN:
                return str(log["topics"][1])
        raise UnexpectedAnswer(f"transaction {sent} was sent, but its receipt names none of the consensus contract")


def _without_fees(sender: str, payload: Payload, types: list[str]) -> bytes:
    values = [sender, payload.to, VALIDATORS, ROTATIONS, payload.data, _NO_END][: len(types)]
    return bytes(keccak(text=f"addTransaction({','.join(types)})")[:4]) + encode(types, values)
