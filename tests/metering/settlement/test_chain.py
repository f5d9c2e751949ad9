"""From a batch to entries and back: which line an outcome is about, and when it is about something else."""

from dataclasses import replace

import pytest

from api_billing.metering.ledger.batch_operations import Batch, BatchLine
from api_billing.metering.ledger.operations import NO_BALANCE
from api_billing.metering.ledger.settlement_operations import NEVER_READ, ChainTerms, Credit, Part
from api_billing.metering.settlement.chain import address_of, entries_of, parts_of, terms_of
from api_billing.results import SettledEntry, Settlement, UsageReport

from .world import address

A, B = address(1), address(2)
ROOT = "ab" * 32
BATCH = Batch(
    "weather",
    1,
    5,
    (
        BatchLine("acme", "acme", 9, 1, 1),
        BatchLine(f"weather/{A}", A, 9, 2, 20),
        BatchLine(f"weather/{B}", B, 9, 3, 30),
    ),
    6,
    ROOT,
)
ENTRIES = (SettledEntry(A, 9, 2, 20, 2, 20, ""), SettledEntry(B, 9, 3, 30, 1, 10, "insufficient_credit"))
SETTLEMENT = Settlement("weather", 1, ROOT, 3, 30, 0, 7, ENTRIES)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (f"weather/{A}", A),
        (f"a/b/{A}", A),
        (A, A),
        ("acme", None),
        ("weather/0x12", None),
        ("weather/0x" + "AB" * 20, None),
        ("weather/0x" + "00" * 20, None),
        ("", None),
    ],
)
def test_address__of_an_account__is_its_last_part_if_it_is_one(account, expected):
    assert address_of(account) == expected


def test_entries__of_a_batch__leave_out_who_is_not_on_chain():
    entries, indexes = entries_of(BATCH)
    assert ([entry.consumer for entry in entries], indexes) == ([A, B], [1, 2])


def test_parts__of_an_outcome__are_those_of_the_lines():
    assert parts_of(BATCH, SETTLEMENT) == (
        Part(0, 0, "bad_address"),
        Part(2, 20),
        Part(1, 10, "insufficient_credit"),
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(SETTLEMENT, usage_root="cd" * 32),
        replace(SETTLEMENT, usage_root=""),
        replace(SETTLEMENT, entries=ENTRIES[:1]),
        replace(SETTLEMENT, entries=ENTRIES[::-1]),
        replace(SETTLEMENT, entries=(replace(ENTRIES[0], spend_wei=21), ENTRIES[1])),
        replace(SETTLEMENT, entries=(replace(ENTRIES[0], calls=3), ENTRIES[1])),
        replace(SETTLEMENT, entries=(replace(ENTRIES[0], day_id=8), ENTRIES[1])),
    ],
)
def test_parts__of_somebody_elses_outcome__are_none(other):
    assert parts_of(BATCH, other) is None


def test_parts__without_an_outcome__are_only_for_a_batch_of_nobody_on_chain():
    assert parts_of(BATCH, None) is None
    assert parts_of(replace(BATCH, lines=BATCH.lines[:1]), None) == (Part(0, 0, "bad_address"),)


NOTHING_BEFORE = Credit(0, 0, 0, 0, NEVER_READ, NO_BALANCE)


def test_terms__of_a_report_without_the_api__are_those_of_no_subscription():
    report = UsageReport(A, 9, 70, 0, False, 0, 10, 10, 0, ())
    assert terms_of(report, "weather", 5, NOTHING_BEFORE) == ChainTerms(5, credit_wei=70)
