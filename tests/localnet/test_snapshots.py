"""Snapshots bring back everything, and stay usable."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genlayer_localnet import Address, ContractNotFound, Localnet, Receipt, UnknownSnapshot, UnknownTransaction

COUNTER = """
class Counter(gl.Contract):
    n: u256
    names: DynArray[str]

    def __init__(self): pass

    @gl.public.write.payable
    def add(self) -> int:
        self.n = u256(self.n + 1)
        self.names.append(f"name {self.n}")
        return self.n

    @gl.public.write
    def remind(self) -> None:
        gl.get_contract_at(gl.message.contract_address).emit(on="finalized").add()

    @gl.public.write
    def ask(self) -> str:
        return gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("hello"))

    @gl.public.view
    def get(self) -> list:
        return [self.n, list(self.names)]
"""
Deploy = Callable[..., Receipt]


def test_restore__storage__is_as_at_the_snapshot(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(COUNTER).address
    localnet.write(contract, "add", sender=alice)
    snapshot = localnet.snapshot()
    localnet.write(contract, "add", sender=alice)
    localnet.restore(snapshot)
    assert localnet.view(contract, "get") == [1, ["name 1"]]


def test_restore__balances_and_nonces__are_as_at_the_snapshot(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    contract = deploy(COUNTER).address
    before = localnet.balance(alice), localnet.nonce(alice), localnet.balance(contract)
    snapshot = localnet.snapshot()
    localnet.write(contract, "add", sender=alice, value=5)
    localnet.restore(snapshot)
    assert (localnet.balance(alice), localnet.nonce(alice), localnet.balance(contract)) == before


def test_restore__clock__is_as_at_the_snapshot(localnet: Localnet) -> None:
    before, snapshot = localnet.now, localnet.snapshot()
    localnet.advance(3600)
    localnet.restore(snapshot)
    assert localnet.now == before


def test_restore__waiting_messages__are_delivered_again(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(COUNTER).address
    localnet.write(contract, "remind", sender=alice)
    snapshot = localnet.snapshot()
    localnet.process("finalized")
    localnet.restore(snapshot)
    assert localnet.view(contract, "get")[0] == 0
    localnet.process("finalized")
    assert localnet.view(contract, "get")[0] == 1


def test_restore__later_transaction__is_unknown(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(COUNTER).address
    snapshot = localnet.snapshot()
    receipt = localnet.write(contract, "add", sender=alice)
    localnet.restore(snapshot)
    with pytest.raises(UnknownTransaction):
        localnet.transaction(receipt.id)


def test_restore__later_contract__is_gone(localnet: Localnet, deploy: Deploy) -> None:
    snapshot = localnet.snapshot()
    contract = deploy(COUNTER).address
    localnet.restore(snapshot)
    with pytest.raises(ContractNotFound):
        localnet.view(contract, "get")


def test_restore__mocks__are_as_at_the_snapshot(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(COUNTER).address
    localnet.mock_prompt("hello", "before")
    snapshot = localnet.snapshot()
    localnet.mock_prompt("hello", "after")
    localnet.restore(snapshot)
    assert localnet.write(contract, "ask", sender=alice).value == "before"


def test_restore__earlier_then_later_id__both_work_any_number_of_times(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    contract = deploy(COUNTER).address
    ids = []
    for _ in range(3):
        ids.append(localnet.snapshot())
        localnet.write(contract, "add", sender=alice)
    seen = []
    for snapshot in [ids[0], ids[2], ids[1], ids[1]]:
        localnet.restore(snapshot)
        seen.append(localnet.view(contract, "get")[0])
        localnet.write(contract, "add", sender=alice)
    assert seen == [0, 2, 1, 1]


def test_restore__final_state_and_rollback__work_on_the_restored_world(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    contract = deploy(COUNTER).address
    localnet.process("finalized")
    localnet.write(contract, "add", sender=alice)
    snapshot = localnet.snapshot()
    localnet.write(contract, "add", sender=alice)
    localnet.restore(snapshot)
    assert localnet.view(contract, "get", state="final") == [0, []]
    assert localnet.view(contract, "get") == [1, ["name 1"]]


def test_restore__unknown_id__is_refused(localnet: Localnet) -> None:
    with pytest.raises(UnknownSnapshot, match="no snapshot 7"):
        localnet.restore(7)


def test_forget__state__stays_and_transactions_go(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(COUNTER).address
    receipt = localnet.write(contract, "add", sender=alice)
    localnet.write(contract, "remind", sender=alice)
    localnet.forget()
    assert localnet.view(contract, "get", state="final") == [2, ["name 1", "name 2"]]
    with pytest.raises(UnknownTransaction):
        localnet.transaction(receipt.id)


def test_forget__transactions_afterwards__are_as_ever(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(COUNTER).address
    nonce = localnet.nonce(alice)
    localnet.forget()
    receipt = localnet.write(contract, "add", sender=alice)
    assert (receipt.value, localnet.transaction(receipt.id).status) == (1, "accepted")
    assert localnet.nonce(alice) == nonce + 1


def test_forget__snapshot_from_before__still_has_its_transactions(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    receipt = localnet.write(deploy(COUNTER).address, "add", sender=alice)
    before = localnet.snapshot()
    localnet.forget()
    localnet.restore(before)
    assert localnet.transaction(receipt.id).value == 1
