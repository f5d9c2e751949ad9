"""What a contract sends: calls, payments and deployments, as transactions of their own, on acceptance or finality."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genlayer_localnet import Address, ContractNotFound, Localnet, Receipt
from genlayer_localnet.chain.runs import MAX_CHAIN_LENGTH
from genlayer_localnet.vm.host_requests import salted_address

NOTEBOOK = """
class Notebook(gl.Contract):
    notes: DynArray[str]

    def __init__(self): pass

    @gl.public.write
    def note(self, text: str) -> str:
        m = gl.message
        self.notes.append(f"{text} {m.sender_address.as_hex} {m.origin_address.as_hex} {gl.message_raw['datetime']}")
        return text

    @gl.public.write
    def pass_on(self, to: Address, on: str, texts: list) -> None:
        for text in texts:
            gl.get_contract_at(to).emit(on=on).note(text)

    @gl.public.write
    def both(self, to: Address) -> None:
        gl.get_contract_at(to).emit(on="finalized").note("late")
        gl.get_contract_at(to).emit(on="accepted").note("soon")

    @gl.public.write
    def fails_later(self, to: Address) -> None:
        gl.get_contract_at(to).emit(on="accepted").no_such_method()

    @gl.public.write
    def count_down(self, n: int) -> None:
        self.notes.append(str(n))
        if n:
            gl.get_contract_at(gl.message.contract_address).emit(on="accepted").count_down(n - 1)

    @gl.public.write
    def for_ever(self, on: str) -> None:
        gl.get_contract_at(gl.message.contract_address).emit(on=on).for_ever(on)

    @gl.public.write
    def publish(self, code: str, salt: int, on: str) -> Address:
        return gl.deploy_contract(code=code, args=[], salt_nonce=salt, on=on)

    @gl.public.view
    def get(self) -> list:
        return [note.split(" ")[0] for note in self.notes]

    @gl.public.view
    def get_full(self) -> list:
        return list(self.notes)
"""
Deploy = Callable[..., Receipt]


@pytest.fixture
def pair(deploy: Deploy) -> tuple[Address, Address]:
    return deploy(NOTEBOOK).address, deploy(NOTEBOOK).address


def test_message__on_accepted__has_run_when_write_returns(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    receipt = localnet.write(first, "pass_on", second, "accepted", ["a", "b"], sender=alice)
    assert localnet.view(second, "get") == ["a", "b"]
    assert [child.value for child in receipt.children] == ["a", "b"]


def test_message__on_finalized__waits_for_finality(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    receipt = localnet.write(first, "pass_on", second, "finalized", ["a"], sender=alice)
    assert (localnet.view(second, "get"), receipt.children, receipt.status) == ([], (), "accepted")
    localnet.process("finalized")
    assert (localnet.view(second, "get"), len(receipt.children), receipt.status) == (["a"], 1, "finalized")


def test_message__window_passes__runs_at_the_moment_of_finality(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    localnet.write(first, "pass_on", second, "finalized", ["a"], sender=alice)
    localnet.advance(29)
    assert localnet.view(second, "get") == []
    localnet.advance(3600)
    [note] = localnet.view(second, "get_full")
    assert note.endswith("2026-01-15T12:00:30Z")


def test_message__clock_is_set__runs_as_if_advanced(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    localnet.write(first, "pass_on", second, "finalized", ["a"], sender=alice)
    localnet.now = "2026-01-16T00:00:00Z"
    assert localnet.view(second, "get") == ["a"]


def test_message__of_both_phases__come_in_order_of_phase(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    localnet.write(first, "both", second, sender=alice)
    localnet.process("finalized")
    assert localnet.view(second, "get") == ["soon", "late"]


def test_message__callee__sees_contract_as_sender_and_account_as_origin(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    localnet.write(first, "pass_on", second, "accepted", ["a"], sender=alice)
    assert localnet.view(second, "get_full") == [f"a {first.as_hex} {alice.as_hex} 2026-01-15T12:00:00Z"]


def test_message__fails__leaves_the_sender_as_it_is(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    receipt = localnet.write(first, "fails_later", second, sender=alice)
    [child] = receipt.children
    assert (receipt.kind, child.kind, child.triggered_by) == ("return", "vm_error", receipt.id)


def test_message__chain_of_them__runs_to_its_end(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(NOTEBOOK).address
    localnet.write(contract, "count_down", 300, sender=alice)
    assert len(localnet.view(contract, "get")) == 301


@pytest.mark.parametrize("on", ["accepted", "finalized"])
def test_message__endless_chain__comes_to_an_end(localnet: Localnet, alice: Address, deploy: Deploy, on: str) -> None:
    receipt = localnet.write(deploy(NOTEBOOK).address, "for_ever", on, sender=alice)
    localnet.process("finalized")
    length = 0
    while receipt.children:
        [receipt] = receipt.children
        length += 1
    assert (length, receipt.kind) == (MAX_CHAIN_LENGTH + 1, "vm_error")


def test_message__transaction_by_id__is_the_childs_receipt(
    localnet: Localnet, alice: Address, pair: tuple[Address, Address]
) -> None:
    first, second = pair
    [child] = localnet.write(first, "pass_on", second, "accepted", ["a"], sender=alice).children
    assert localnet.transaction(child.id) == child


@pytest.mark.parametrize("on", ["accepted", "finalized"])
def test_deploy_from_contract__with_salt__is_at_the_announced_address(
    localnet: Localnet, alice: Address, deploy: Deploy, source: Callable[[str], str], on: str
) -> None:
    contract = deploy(NOTEBOOK).address
    announced = localnet.write(contract, "publish", source(NOTEBOOK), 5, on, sender=alice).value
    localnet.process("finalized")
    assert announced == Address(salted_address(contract.as_bytes, 5, 61999))
    assert localnet.view(announced, "get") == []


def test_deploy_from_contract__without_salt__is_at_the_address_in_its_receipt(
    localnet: Localnet, alice: Address, deploy: Deploy, source: Callable[[str], str]
) -> None:
    contract = deploy(NOTEBOOK).address
    receipt = localnet.write(contract, "publish", source(NOTEBOOK), 0, "accepted", sender=alice)
    [child] = receipt.children
    assert receipt.value is None
    assert localnet.view(child.address, "get") == []


def test_deploy_from_contract__same_salt_again__fails(
    localnet: Localnet, alice: Address, deploy: Deploy, source: Callable[[str], str]
) -> None:
    contract = deploy(NOTEBOOK).address
    first, second = (
        localnet.write(contract, "publish", source(NOTEBOOK), 5, "accepted", sender=alice).children[0].kind
        for _ in range(2)
    )
    assert (first, second) == ("return", "vm_error")


def test_final_state__accepted_write__is_not_in_it(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(NOTEBOOK).address
    localnet.process("finalized")
    localnet.write(contract, "note", "a", sender=alice)
    assert (localnet.view(contract, "get", state="final"), localnet.view(contract, "get")) == ([], ["a"])
    localnet.process("finalized")
    assert localnet.view(contract, "get", state="final") == ["a"]


def test_final_state__contract_not_final_yet__is_not_there(localnet: Localnet, deploy: Deploy) -> None:
    contract = deploy(NOTEBOOK).address
    with pytest.raises(ContractNotFound):
        localnet.view(contract, "get", state="final")
    assert localnet.view(contract, "get") == []
