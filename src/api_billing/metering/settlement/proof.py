"""Proof that one request is in what was settled: its line, a Merkle path, and the settlement whose root is on chain.

A proof is a JSON object that stands for itself: whoever has it, and can read the contract, checks it with nothing of
the operator's. Amounts are decimal strings. Lines that were pruned leave their hash in the store, so that the proofs of
others still work, and theirs too, for whoever kept the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from api_billing.errors import ContractRejected
from api_billing.merkle import HASH_BYTES, is_proven, merkle_path
from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.batch_operations import Batch, ReadLeaves
from api_billing.metering.ledger.operations import GetRecord, Record
from api_billing.metering.ledger.settlement_operations import ENDED, Book, ListOutgoing, Outgoing, Posting, ReadBook
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.settlement.chain import address_of
from api_billing.metering.stores.steps import Steps
from api_billing.refusal_codes import Code
from api_billing.results import Settlement, SettlementState

VERSION: Final = 1
_FIELDS: Final = {
    "version": int, "contract": str, "api": str, "sequence": int, "line": list, "index": int, "leaf_count": int,
    "path": list,
}  # fmt: skip
_LINE: Final = (str, str, str, str, int, int, str)
_MAX_LEAVES: Final = 2**40


class NotProvable(MeterError):
    """There is no proof of this request, or not yet: the message says why."""


class ChainReader(Protocol):
    """What verifying needs of the chain; ``BillingClient`` is one."""

    contract: str

    def get_settlement(self, api_name: str, sequence: int = 0) -> SettlementState:
        """The outcome of one of the last 64 settlements."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a proof holds. ``forgotten``: it is consistent, but the contract keeps the last 64 settlements only.

    ``billed`` says whether all of the consumer's calls of that day in the settlement were billed.
    """

    status: Literal["proven", "false", "forgotten"]
    reason: str
    billed: bool = False


def prove(record_id: str) -> Steps[dict[str, Any]]:
    """The proof of a request by its record's id. Raises: NotProvable, StoreUnavailable."""
    record: Record | None = yield GetRecord(record_id)
    if record is None:
        raise NotProvable(f"there is no record {record_id}: it never was, or its retention is over")
    if record.state != "settled":
        raise NotProvable(f"{record_id} was {record.state}: it cost nothing, and is in no settlement")
    if not record.batch:
        raise NotProvable(f"{record_id} is in no batch yet: settle first")
    line = UsageLine(
        record.record_id, record.api, record.account, record.consumer, record.at_ms, record.units, record.charged_wei
    )
    return (yield from prove_line(line, record.batch))


def prove_line(line: UsageLine, sequence: int) -> Steps[dict[str, Any]]:
    """The proof of a line that somebody kept, in the batch of this sequence. Raises: NotProvable."""
    data: bytes = yield ReadLeaves(line.api, sequence)
    leaves = [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]
    if line.leaf() not in leaves:
        raise NotProvable(f"{line.record_id} is not in batch {sequence} of {line.api}")
    found: tuple[Outgoing, ...] = yield ListOutgoing(line.api, sequence - 1, 1)
    if not found:
        raise NotProvable(f"batch {sequence} of {line.api} is still being cut: settle first")
    batch, posting = found[0]
    _require_ended(batch, posting)
    book: Book = yield ReadBook(line.api)
    index = leaves.index(line.leaf())
    return {
        "version": VERSION,
        "contract": book.contract,
        "api": line.api,
        "sequence": posting.chain_sequence,
        "transactions": list(posting.txs),
        "root": batch.root,
        "line": line.said(),
        "index": index,
        "leaf_count": len(leaves),
        "path": [sibling.hex() for sibling in merkle_path(leaves, index)],
    }


def _require_ended(batch: Batch, posting: Posting) -> None:
    if posting.state not in ENDED:
        raise NotProvable(f"batch {batch.sequence} of {batch.api} is {posting.state}: settle first")
    if not posting.chain_sequence:
        raise NotProvable(f"batch {batch.sequence} of {batch.api} has nobody in it who is on chain")


def verify(document: Mapping[str, Any], chain: ChainReader) -> Verdict:
    """Check a proof against the chain, and nothing else. Whatever the document holds, the answer is a verdict.

    Raises: NetworkError, when the chain cannot be read.
    """
    proof = _read(document)
    if isinstance(proof, str):
        return Verdict("false", proof)
    if proof.contract != chain.contract.lower():
        return Verdict("false", f"it is about the contract {proof.contract}, not {chain.contract.lower()}")
    try:
        settlement = chain.get_settlement(proof.line.api, proof.sequence).settlement
    except ContractRejected as error:
        return _without_settlement(proof, error)
    if settlement is None:
        return Verdict("false", "the contract has no such settlement")
    if not proof.leads_to(settlement.usage_root):
        return Verdict("false", f"the line is not in settlement {proof.sequence}, whose root the contract has")
    return _in_settlement(proof.line, settlement)


@dataclass(frozen=True, slots=True)
class _Proof:
    contract: str
    sequence: int
    line: UsageLine
    index: int
    leaf_count: int
    path: tuple[bytes, ...]
    claimed_root: str

    def leads_to(self, root: str) -> bool:
        try:
            wanted = bytes.fromhex(root)
        except ValueError:
            return False
        return is_proven(self.line.to_bytes(), self.index, self.leaf_count, self.path, wanted)


def _read(document: Mapping[str, Any]) -> _Proof | str:
    """The proof of a document, or what is wrong with its form."""
    for name, kind in _FIELDS.items():
        if type(document.get(name)) is not kind:
            return f"it has no {name}, or one of another type"
    if document["version"] != VERSION:
        return f"it is of version {document['version']}; this program knows version {VERSION}"
    values = document["line"]
    if tuple(map(type, values)) != _LINE or not values[-1].isdecimal() or not values[-1].isascii():
        return "its line has another form"
    if document["api"] != values[1] or not 0 < document["leaf_count"] <= _MAX_LEAVES or document["sequence"] < 1:
        return "its numbers do not fit together"
    try:
        path = tuple(bytes.fromhex(sibling) for sibling in document["path"])
        line = UsageLine(*[*values[:-1], int(values[-1])])
        line.to_bytes()
    except (TypeError, ValueError):
        return "its path or line cannot be read"
    if any(len(sibling) != HASH_BYTES for sibling in path):
        return "its path has no hashes of 32 bytes"
    contract, root = document["contract"].lower(), str(document.get("root", ""))
    return _Proof(contract, document["sequence"], line, document["index"], document["leaf_count"], path, root)


def _without_settlement(proof: _Proof, error: ContractRejected) -> Verdict:
    if error.code == Code.SEQUENCE_FORGOTTEN:
        if not proof.leads_to(proof.claimed_root):
            return Verdict("false", "the line does not lead to the root that the proof claims")
        return Verdict("forgotten", "the contract does not keep this settlement any more; look its transaction up")
    return Verdict("false", f"the contract has no such settlement: {error}")


def _in_settlement(line: UsageLine, settlement: Settlement) -> Verdict:
    """The root alone says that the line was counted; the entry of its consumer and day, what was billed for it."""
    mine = [
        entry for entry in settlement.entries if entry.consumer == address_of(line.account) and entry.day_id == line.day
    ]
    if not mine:
        return Verdict("false", "the settlement has no entry of this consumer and day")
    if any(not entry.code for entry in mine):
        return Verdict("proven", f"it is in settlement {settlement.sequence}, and was billed", billed=True)
    codes = ", ".join(sorted({entry.code for entry in mine}))
    return Verdict("proven", f"it is in settlement {settlement.sequence}, of which a part was refused: {codes}")
