"""Runs that leave nothing behind: simulated transactions, and the schema of code that is not deployed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

from genlayer_localnet.address import keccak256
from genlayer_localnet.chain.chain import Chain
from genlayer_localnet.chain.runs import SCHEMA_CALL
from genlayer_localnet.state.journal import Journal, roll_back
from genlayer_localnet.state.results import VM_ERROR
from genlayer_localnet.state.transactions import Outcome, Transaction
from genlayer_localnet.state.world import ContractAccount, Storage


@dataclass(frozen=True, slots=True)
class Simulation:
    outcome: Outcome
    slots: dict[bytes, bytes] = field(default_factory=dict)
    """What the call wrote: the whole content of each slot it touched."""


def simulate(chain: Chain, transaction: Transaction, *, final: bool = False) -> Simulation:
    """Run a deploy or a call on one node, as if it were sent now, and take everything back.

    ``final``: on what is final, not on what is accepted. Nobody has to own the value.
    """
    world = chain.world
    journal: Journal = []
    with world.final_state() if final else nullcontext():
        if transaction.kind == "call" and transaction.to not in world.contracts:
            return Simulation(Outcome("vm_error", VM_ERROR + b"invalid_contract absent"))
        try:
            world.change_balance(journal, transaction.to, transaction.value)
            if final:  # the world is not what it is for others
                outcome = chain.run(transaction, journal, chain.attempt(transaction, len(journal), voters=1))
            else:
                outcome = chain.try_out(transaction, journal)
            return Simulation(outcome, _written(journal))
        finally:
            roll_back(journal)


def _written(journal: Journal) -> dict[bytes, bytes]:
    """The slots in the journal with their present content."""
    return {entry[2]: bytes(entry[1][entry[2]]) for entry in journal if isinstance(entry[1], Storage)}


def simulated_address(sender: bytes, code: bytes, call: bytes) -> bytes:
    """Where a simulated deploy puts its contract."""
    return keccak256(b"simulated deploy" + sender + keccak256(code) + call)[-20:]


def schema_of_code(chain: Chain, code: bytes) -> Outcome:
    """Ask code for its schema; a return's payload is the calldata of a JSON text."""
    address = keccak256(code)[-20:]
    journal: Journal = []
    try:
        chain.world.add_contract(journal, address, ContractAccount(code, None, Storage(address)))
        return chain.view(schema_request(chain, address))
    finally:
        roll_back(journal)


def schema_request(chain: Chain, address: bytes) -> Transaction:
    """The read that gives a contract's schema."""
    return Transaction(
        id="",
        kind="call",
        sender=bytes(20),
        origin=bytes(20),
        to=address,
        calldata=SCHEMA_CALL,
        value=0,
        created_at=chain.world.now,
    )
