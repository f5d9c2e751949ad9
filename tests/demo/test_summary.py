"""The figures of a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from demo.summary import (
    RunSummary,
    Solvency,
    SummaryNotWrittenError,
    Tally,
    Usage,
    day_key,
    write_json,
)

DAY = 20_484  # 31 January 2026


def tally() -> Tally:
    """Two clients, two APIs, two days: seven requests, five billed."""
    counts = Tally()
    counts.add(client="::1", api="forecast", day_id=DAY, billed_calls=2, spend_wei=20)
    counts.add(client="::1", api="forecast", day_id=DAY, billed_calls=1, spend_wei=10)
    counts.add(client="192.0.2.7", api="root", day_id=DAY, billed_calls=1, spend_wei=5, refused={"api_paused": 1})
    counts.add(client="::1", api="forecast", day_id=DAY + 1, billed_calls=1, spend_wei=10, refused={"day_closed": 1})
    return counts


def summary_of(counts: Tally) -> RunSummary:
    return RunSummary(
        log_name="access.log",
        lines=9,
        bad_line_count=2,
        bad_lines=[(4, "no time"), (8, "no request")],
        first_at=DAY * 86_400,
        last_at=(DAY + 1) * 86_400,
        total=counts.total,
        refused=counts.refused,
        per_api=counts.per_api,
        per_consumer=counts.per_consumer,
        per_day=counts.per_day,
        solvency=Solvency(balance_wei=100, credit_wei=60, held_wei=0, earnings_wei=40),
    )


@pytest.fixture
def summary() -> RunSummary:
    return summary_of(tally())


def test_to_json__a_run__has_the_figures_of_the_issue(summary: RunSummary) -> None:
    assert summary.to_json() == {
        "lines": 9,
        "bad_lines": 2,
        "bad_line_numbers": [4, 8],
        "requests": 7,
        "billed_calls": 5,
        "spend_wei": 45,
        "refused": {"api_paused": 1, "day_closed": 1},
        "per_api": {
            "forecast": {"requests": 5, "billed_calls": 4, "spend_wei": 40},
            "root": {"requests": 2, "billed_calls": 1, "spend_wei": 5},
        },
        "per_consumer": {
            "192.0.2.7": {"requests": 2, "billed_calls": 1, "spend_wei": 5},
            "::1": {"requests": 5, "billed_calls": 4, "spend_wei": 40},
        },
        "per_day": {
            "2026-01-31": {"requests": 5, "billed_calls": 4, "spend_wei": 35},
            "2026-02-01": {"requests": 2, "billed_calls": 1, "spend_wei": 10},
        },
        "solvency": {"balance_wei": 100, "credit_wei": 60, "held_wei": 0, "earnings_wei": 40},
    }


def test_write_json__file__holds_the_figures_with_sorted_keys(summary: RunSummary, tmp_path: Path) -> None:
    write_json(summary.to_json(), tmp_path / "usage.json")
    text = (tmp_path / "usage.json").read_text()
    assert json.loads(text) == summary.to_json()
    assert text.index('"192.0.2.7"') < text.index('"::1"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("name", ["missing/usage.json", ".", "a\0b"])
def test_write_json__file_that_cannot_be_written__says_so(summary: RunSummary, tmp_path: Path, name: str) -> None:
    with pytest.raises(SummaryNotWrittenError, match="the figures cannot be written"):
        write_json(summary.to_json(), tmp_path / name)


def test_contradictions__figures_of_a_tally__has_none(summary: RunSummary) -> None:
    assert summary.contradictions() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"lines": 8}, "8 lines are not 7 requests and 2 bad lines"),
        ({"refused": {"api_paused": 1}}, "1 refusals by code are not 2"),
        ({"per_api": {}}, "per API"),
        ({"per_consumer": {"::1": Usage(7, 5, 44)}}, "per consumer"),
        ({"per_day": {"2026-01-31": Usage(6, 5, 45)}}, "per day"),
        ({"solvency": Solvency(100, 60, 1, 40)}, "owes 1 wei more than it holds"),
    ],
)
def test_contradictions__one_figure_changed__names_it(
    summary: RunSummary, change: dict[str, object], found: str
) -> None:
    contradictions = replace(summary, **change).contradictions()  # type: ignore[arg-type]
    assert len(contradictions) == 1
    assert found in contradictions[0]


def test_tally__calls_of_one_client_on_one_day__peak_of_the_api() -> None:
    counts = tally()
    assert (counts.peak_day_calls("forecast"), counts.peak_day_calls("root"), counts.peak_day_calls("none")) == (
        3,
        1,
        0,
    )


@pytest.mark.parametrize("wrong", [{"billed_calls": -1}, {"spend_wei": -1}, {"refused": {"a": 3, "b": -1}}])
def test_tally__negative_count__is_refused(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"client": "::1", "api": "x", "day_id": DAY, "billed_calls": 1, "spend_wei": 1}
    counts = Tally()
    with pytest.raises(ValueError, match="cannot be negative"):
        counts.add(**arguments | wrong)  # type: ignore[arg-type]
    assert counts.total == Usage()


def test_solvency__surplus__is_what_nobody_is_owed() -> None:
    assert Solvency(balance_wei=10, credit_wei=4, held_wei=3, earnings_wei=2).surplus_wei == 1


@pytest.mark.parametrize(("day_id", "key"), [(0, "1970-01-01"), (DAY, "2026-01-31"), (19_782, "2024-02-29")])
def test_day_key__day__is_its_date(day_id: int, key: str) -> None:
    assert day_key(day_id) == key
