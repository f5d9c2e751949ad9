"""A failed call changes nothing, and what it costs to take it back does not depend on how much is stored."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from genlayer_localnet import Address, Localnet, Receipt
from genlayer_localnet.state.journal import Journal, add_amount, re_apply, roll_back
from genlayer_localnet.vm.host import write_storage

BANK = """
class Ping(gl.Event):
    def __init__(self, who: str, /): ...

class Bank(gl.Contract):
    total: u256
    names: DynArray[str]
    by_name: TreeMap[str, u256]

    def __init__(self): pass

    @gl.public.write
    def put(self, name: str, fail: bool) -> None:
        self.total = u256(self.total + 1)
        self.names.append(name)
        self.by_name[name] = u256(self.by_name.get(name, u256(0)) + 1)
        Ping(name).emit()
        gl.get_contract_at(gl.message.contract_address).emit().put(name, False)
        if fail:
            raise gl.vm.UserError("no")

    @gl.public.view
    def all(self) -> list:
        return [self.total, list(self.names), dict(self.by_name.items())]
"""


def _storage(net: Localnet, address: Address) -> dict[bytes, bytes]:
    account = net._chain.world.contracts[address.as_bytes]
    return {slot: bytes(data) for slot, data in account.storage.items()}


def test_write__fails__leaves_storage_as_it_was(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy(BANK).address
    localnet.write(contract, "put", "x", False, sender=alice)
    before = _storage(localnet, contract)
    localnet.write(contract, "put", "a name of some length", True, sender=alice)
    assert _storage(localnet, contract) == before


def test_write__fails__has_no_events_messages_or_children(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    receipt = localnet.write(deploy(BANK).address, "put", "x", True, sender=alice)
    localnet.process("finalized")
    assert (receipt.events, receipt.messages, receipt.children) == ((), (), ())


def test_write__fails__next_write_works_on_clean_state(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy(BANK).address
    localnet.write(contract, "put", "x", True, sender=alice)
    localnet.write(contract, "put", "y", False, sender=alice)
    assert localnet.view(contract, "all") == [1, ["y"], {"y": 1}]


def test_write__fails__counts_the_nonce(localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]) -> None:
    contract = deploy(BANK).address
    nonce = localnet.nonce(alice)
    localnet.write(contract, "put", "x", True, sender=alice)
    assert localnet.nonce(alice) == nonce + 1


@given(st.integers(0, 2**32))
def test_journal__rolled_back_and_applied_again__gives_both_states(seed: int) -> None:
    random_numbers = random.Random(seed)
    storage: dict[bytes, bytearray] = {b"a": bytearray(b"start")}
    balances = {b"x": 5}
    journal: Journal = []

    def change() -> None:
        slot, off = random_numbers.choice([b"a", b"b", b"c"]), random_numbers.randrange(40)
        write_storage(storage, journal, slot, off, random_numbers.randbytes(random_numbers.randrange(20)))
        journal.append(add_amount(balances, random_numbers.choice([b"x", b"y"]), random_numbers.randrange(-5, 5)))

    def state() -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        return {slot: bytes(data) for slot, data in storage.items()}, dict(balances)

    start = state()
    for _ in range(random_numbers.randrange(10)):
        change()
    mark, middle = len(journal), state()
    for _ in range(random_numbers.randrange(10)):
        change()
    end = state()
    undone = roll_back(journal, mark)
    assert state() == middle
    re_apply(journal, undone)
    assert state() == end
    roll_back(journal)
    assert state() == start


def test_rollback__of_one_write__takes_entries_for_what_was_written_only(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy(BANK).address
    lengths = []
    for number in range(40):
        receipt = localnet.write(contract, "put", f"name {number}", False, sender=alice)
        lengths.append(len(localnet._chain.world.transactions[receipt.id].journal))
    assert max(lengths) < 60
