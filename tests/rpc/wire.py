"""What a client puts on the wire, made with eth-account and eth-abi: independent of the server's own code."""

from __future__ import annotations

import textwrap
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import rlp
from eth_abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from genlayer_localnet import calldata
from genlayer_localnet.testing.server import RpcConnection

MAIN = "0xb7278A61aa25c888815aFC32Ad3cC52fF24fE575"
DATA = "0x88B0F18613Db92Bf970FfE264E02496e20a74D16"
ZERO = "0x" + "00" * 20
GEN = 10**18
V5, V6 = "27241a99", "e71d5196"
FEES_TYPE = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256[],uint256,uint256,uint256)"
FEES = (100, 200, 0, 500_000, 0, 0, [3], 10, 20, 30)
FEE_NAMES = (
    "leaderTimeunitsAllocation", "validatorTimeunitsAllocation", "appealRounds", "executionBudgetPerRound",
    "executionConsumed", "totalMessageFees", "rotations", "maxPriceGenPerTimeUnit", "storageFeeMaxGasPrice",
    "receiptFeeMaxGasPrice",
)  # fmt: skip
PARAMS_TYPE = "(uint256,uint256,uint256,uint256,uint256[],uint256,uint256,uint256)"
INTERNAL_PARAMS = abi_encode([PARAMS_TYPE], [(100, 200, 0, 500_000, [3], 10, 20, 30)])
"""How an internal message may use its budget."""
ALLOCATION_TYPE = "(uint8,bool,uint256,address,bytes32,uint256,bytes)"
HEADER = '# v0.2.16\n# { "Depends": "py-genlayer:test" }\n\nfrom genlayer import *\n\n'

TILL = HEADER + textwrap.dedent(
    """
    class Paid(gl.Event):
        def __init__(self, payer: Address, /, **blob): ...


    class Till(gl.Contract):
        total: u256
        names: TreeMap[str, u256]

        def __init__(self, start: int = 0):
            self.total = u256(start)

        @gl.public.write.payable
        def pay(self, name: str) -> int:
            self.names[name] = u256(self.names.get(name, u256(0)) + gl.message.value)
            self.total = u256(self.total + gl.message.value)
            print("paid by", name)
            Paid(gl.message.sender_address, name=name, wei=int(gl.message.value)).emit()
            return int(self.total)

        @gl.public.write
        def put(self, value: int) -> None:
            self.total = u256(value)

        @gl.public.write.payable
        def refuse(self, text: str) -> None:
            self.total = u256(99)
            raise gl.vm.UserError(text)

        @gl.public.write
        def crash(self) -> None:
            raise KeyError("no such thing")

        @gl.public.write.payable
        def forward(self, to: Address, wei: int, on: str) -> None:
            gl.get_contract_at(to).emit(value=u256(wei), on=on).pay("forwarded")

        @gl.public.write
        def ask(self, prompt: str) -> str:
            return gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt(prompt))

        @gl.public.write
        def page(self, url: str) -> str:
            return gl.eq_principle.strict_eq(lambda: gl.nondet.web.get(url).body.decode())

        @gl.public.write
        def stamp(self) -> str:
            return gl.message_raw["datetime"]

        @gl.public.view
        def get(self) -> int:
            return int(self.total)

        @gl.public.view
        def paid(self, name: str) -> int:
            return int(self.names.get(name, u256(0)))

        @gl.public.view
        def clock(self) -> str:
            return gl.message_raw["datetime"]

        @gl.public.view
        def echo(self, value: str) -> str:
            return value

        @gl.public.view
        def no(self) -> None:
            raise gl.vm.UserError("boom")
    """
)


def new_account() -> LocalAccount:
    account: LocalAccount = Account.create()
    return account


def call_object(method: str | None, *args: Any, **kwargs: Any) -> bytes:
    call: dict[str, Any] = {"args": list(args)} if args else {}
    if kwargs:
        call["kwargs"] = kwargs
    if method is not None:
        call["method"] = method
    return calldata.encode(call)


def tx_data(*items: bytes) -> bytes:
    encoded: bytes = rlp.encode(list(items))
    return encoded


def add_transaction(
    sender: str, recipient: str, data: bytes, selector: str = V5, *, validators: int = 5, valid_until: int = 0
) -> str:
    types = ["address", "address", "uint256", "uint256", "bytes"]
    values: list[Any] = [sender, recipient, validators, 3, data]
    if selector == V6:
        types.append("uint256")
        values.append(valid_until)
    return "0x" + selector + abi_encode(types, values).hex()


def add_with_fees(
    sender: str,
    recipient: str,
    data: bytes,
    function: str = "addTransaction",
    *,
    user_value: int = 0,
    valid_until: int = 0,
    salt: int = 0,
    validators: int = 5,
    fees: Mapping[str, Any] | None = None,
    allocations: Sequence[tuple[Any, ...]] = (),
) -> str:
    """A fee-aware call; ``fees`` differ from ``FEES``."""
    distribution = tuple({**dict(zip(FEE_NAMES, FEES, strict=True)), **(fees or {})}.values())
    kind = f"(address,address,{'uint256,' * 5}{FEES_TYPE},bytes,{ALLOCATION_TYPE}[])"
    values = (sender, recipient, validators, 3, valid_until, salt, user_value, distribution, data, list(allocations))
    return "0x" + (keccak(text=f"{function}({kind})")[:4] + abi_encode([kind], [values])).hex()


def about(selector: str, transaction_id: str) -> str:
    """A call that appeals, finalizes or cancels."""
    return "0x" + selector + transaction_id[2:]


def signed(account: LocalAccount, **fields: Any) -> str:
    """A raw transaction: legacy unless the fields say otherwise."""
    transaction = {"nonce": 0, "gas": 500_000, "to": MAIN, "value": 0, "data": "0x", "chainId": 61999, **fields}
    if "maxFeePerGas" not in transaction:
        transaction.setdefault("gasPrice", 0)
    return "0x" + account.sign_transaction(transaction).raw_transaction.hex().removeprefix("0x")


class Client:
    """An account, and what it does on a server."""

    def __init__(self, rpc: RpcConnection, wei: int = 1_000 * GEN) -> None:
        self.rpc = rpc
        self.account = new_account()
        self.address: str = self.account.address
        if wei:
            rpc.call("sim_fundAccount", self.address, wei)

    def raw(self, data: str, **fields: Any) -> str:
        nonce = int(self.rpc.call("eth_getTransactionCount", self.address, "pending"), 16)
        return signed(self.account, **{"nonce": nonce, "data": data, **fields})

    def send(self, recipient: str, data: bytes, sim_config: Any = None, **fields: Any) -> str:
        raw = self.raw(add_transaction(self.address, recipient, data), **fields)
        transaction_id: str = self.rpc.call("eth_sendRawTransaction", raw, *([sim_config] if sim_config else []))
        return transaction_id

    def deploy(self, source: str = TILL, *args: Any, **fields: Any) -> str:
        """The address of the new contract."""
        data = tx_data(source.encode(), call_object(None, *args), b"")
        transaction = self.transaction(self.send(ZERO, data, **fields))
        assert leader(transaction)["execution_result"] == "SUCCESS", leader(transaction)["genvm_result"]["stderr"]
        address: str = transaction["data"]["contract_address"]
        return address

    def write(self, contract: str, method: str | None, *args: Any, flag: bytes = b"", **fields: Any) -> dict[str, Any]:
        """The transaction, as the server describes it afterwards."""
        return self.transaction(self.send(contract, tx_data(call_object(method, *args), flag), **fields))

    def read(self, contract: str, method: str, *args: Any, **fields: Any) -> Any:
        return calldata.decode(bytes.fromhex(self.call("read", contract, method, *args, **fields)))

    def call(self, kind: str, contract: str, method: str, *args: Any, **fields: Any) -> str:
        answer: str = self.rpc.call("gen_call", self.request(kind, contract, method, *args, **fields))
        return answer

    def request(self, kind: str, contract: str, method: str, *args: Any, **fields: Any) -> dict[str, Any]:
        data = "0x" + tx_data(call_object(method, *args), b"\x00").hex()
        return {
            "type": kind,
            "to": contract,
            "from": self.address,
            "data": data,
            "transaction_hash_variant": "latest-nonfinal",
            **fields,
        }

    def transaction(self, transaction_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.rpc.call("eth_getTransactionByHash", transaction_id)
        return found

    def balance(self, address: str | None = None) -> int:
        return int(self.rpc.call("eth_getBalance", address or self.address, "latest"), 16)


def leader(transaction: dict[str, Any]) -> dict[str, Any]:
    receipt: dict[str, Any] = transaction["consensus_data"]["leader_receipt"][0]
    return receipt


def result(transaction: dict[str, Any]) -> bytes:
    """Code byte and payload."""
    return b64decode(leader(transaction)["result"])
