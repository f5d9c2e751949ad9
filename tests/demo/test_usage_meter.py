"""Counting off chain until a batch is settled."""

from dataclasses import replace

import pytest

from api_billing.merkle import root_of_lines
from demo import usage_meter
from demo.log_line import Request
from demo.terms import ApiTerms, OperatorTerms
from demo.usage_meter import MAX_BATCH_ENTRIES, BatchEntry, UsageMeter, usage_line

API = ApiTerms("a", OperatorTerms("o", "0x", "0x"), 4, 50, is_metered=True)
MIDNIGHT = 1_769_904_000  # 1 February 2026, 00:00:00 UTC
DAY = MIDNIGHT // 86_400


def entry(at: int, client: str = "::1", size: int = 1, line_no: int = 1) -> Request:
    return Request(line_no, at, client, "a", size)


@pytest.fixture
def meter() -> UsageMeter:
    return UsageMeter(API)


def test_meter__nothing_counted__is_not_due(meter: UsageMeter) -> None:
    assert meter.due_at is None


def test_meter__first_request__is_due_an_hour_later(meter: UsageMeter) -> None:
    meter.record(entry(MIDNIGHT + 100))
    meter.record(entry(MIDNIGHT + 200))
    assert meter.due_at == MIDNIGHT + 3_700


def test_meter__end_of_the_day__is_due_soon_after_midnight(meter: UsageMeter) -> None:
    meter.record(entry(MIDNIGHT - 100))
    assert meter.due_at == MIDNIGHT + 60


def test_meter__batch__has_an_entry_per_client_and_day(meter: UsageMeter) -> None:
    for each in (entry(MIDNIGHT - 1), entry(MIDNIGHT - 1, size=0), entry(MIDNIGHT), entry(MIDNIGHT, "::2")):
        meter.record(each)
    assert meter.take_batches()[0].entries == (
        BatchEntry("::1", DAY - 1, 2, 3),
        BatchEntry("::1", DAY, 1, 2),
        BatchEntry("::2", DAY, 1, 2),
    )


def test_meter__batches__are_numbered_from_one_and_begin_anew(meter: UsageMeter) -> None:
    sequences = []
    for _ in range(2):
        meter.record(entry(MIDNIGHT))
        (batch,) = meter.take_batches()
        sequences.append((batch.sequence, len(batch.entries), meter.due_at))
    assert sequences == [(1, 1, None), (2, 1, None)]


def test_meter__usage_root__is_that_of_the_single_lines(meter: UsageMeter) -> None:
    entries = [entry(MIDNIGHT, line_no=number) for number in range(1, 4)]
    for each in entries:
        meter.record(each)
    assert meter.take_batches()[0].usage_root == root_of_lines([usage_line(API, each) for each in entries]).hex()


def test_meter__nothing_counted__has_no_batch(meter: UsageMeter) -> None:
    assert meter.take_batches() == []


def test_meter__api_that_is_not_metered__is_due_after_midnight_only() -> None:
    meter = UsageMeter(replace(API, is_metered=False))
    meter.record(entry(MIDNIGHT + 100))
    assert meter.due_at == MIDNIGHT + 86_400 + 60


def test_meter__more_clients_than_a_settlement_can_hold__are_several_batches(meter: UsageMeter) -> None:
    for number in range(MAX_BATCH_ENTRIES + 1):
        meter.record(entry(MIDNIGHT, f"client-{number}"))
    batches = meter.take_batches()
    assert [(batch.sequence, len(batch.entries)) for batch in batches] == [(1, MAX_BATCH_ENTRIES), (2, 1)]
    last = usage_line(API, entry(MIDNIGHT, f"client-{MAX_BATCH_ENTRIES}"))
    assert batches[1].usage_root == root_of_lines([last]).hex()


def test_meter__many_lines__is_full(meter: UsageMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_meter, "MAX_LINES", 2)
    meter.record(entry(MIDNIGHT))
    assert not meter.is_full
    meter.record(entry(MIDNIGHT))
    assert meter.is_full


def test_meter__client_of_today_or_yesterday__is_known_until_it_is_settled(meter: UsageMeter) -> None:
    meter.record(entry(MIDNIGHT))
    assert [meter.has("::1", day) for day in (DAY - 1, DAY, DAY + 1, DAY + 2)] == [False, True, True, False]
    meter.take_batches()
    assert not meter.has("::1", DAY)


def test_usage_line__a_request__is_json_with_sorted_keys() -> None:
    line = usage_line(API, entry(MIDNIGHT, size=5_000, line_no=7))
    assert line == b'{"api":"a","at":1769904000,"client":"::1","cost_wei":4,"line_no":7}'
