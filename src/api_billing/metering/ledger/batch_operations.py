"""What a store can be asked about batches: settled usage that is cut out for settlement, step by step. As in
``operations``, each is one atomic step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from api_billing.metering.ledger.operations import Operation
from api_billing.vouchers import Voucher

MAX_CUT_STEP: Final = 200  # requests that one step adds to a batch: a few milliseconds of the store's time


class BatchLine(NamedTuple):
    """The sum of the requests of one account and day, and of one channel of its session, in a batch.

    ``voucher`` covers all that the channel was charged when the batch was written; ``close`` ends the session with it.
    """

    account: str
    consumer: str
    day: int
    calls: int
    amount_wei: int
    channel: str = ""
    voucher: Voucher | None = None
    close: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Settled usage of one API, cut out for settlement: its requests are marked with the sequence in the same step."""

    api: str
    sequence: int  # 1, 2, 3 … of the API, without gaps
    created_ms: int
    lines: tuple[BatchLine, ...]
    records: int  # how many requests the lines sum up
    root: str  # Merkle root of the requests' lines (hex), in the order of their ids


class CutPlace(NamedTuple):
    """How far the batch that is being cut has come."""

    sequence: int
    records: int = 0  # how many requests are in it so far
    after: str = ""  # id of the last request that was looked at


@dataclass(frozen=True, slots=True)
class AddToBatch(Operation["Added | None"]):
    """Put settled usage of an API into the batch that is being cut, mark it, and end the batch or go on, in one step.

    What is added was read and worked out before (``ListToSettle``, ``settlement.cutting``): the step only writes, so
    that it never holds up requests for long. None, and nothing changed, when the batch is not at ``was`` any more:
    somebody else has added to it.
    """

    api: str
    was: CutPlace
    now: CutPlace
    record_ids: tuple[str, ...]
    leaves: bytes  # of these requests, 32 bytes each
    cut: str  # what it takes to go on from here, of ``settlement.cutting``; "" when the batch ends
    batch: Batch | None = None  # that it ends as; None: it goes on
    queue_ms: int = 0  # when it ends: how long it takes to settle what was left for later ones, as it had no room


class Added(NamedTuple):
    """Where the batch is now; ``batch`` when it has ended."""

    place: CutPlace
    batch: Batch | None = None


class OpenCut(NamedTuple):
    """A batch that usage is still added to; its root is that of the usage so far."""

    batch: Batch
    after: str  # id of the last request that was looked at
    peaks: tuple[str, ...]  # of its tree (hex), see ``merkle.GrowingTree``


@dataclass(frozen=True, slots=True)
class ReadCut(Operation["OpenCut | None"]):
    """The batch of an API that is being cut; None when the last one has ended."""

    api: str


@dataclass(frozen=True, slots=True)
class ListBatches(Operation[tuple[Batch, ...]]):
    """Batches of an API in the order of their sequences, after ``after``."""

    api: str
    after: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ReadLeaves(Operation[bytes]):
    """The leaf hashes of a batch, 32 bytes each, in the order of its root; empty when there is no such batch."""

    api: str
    sequence: int
