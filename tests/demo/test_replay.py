"""A log's requests again and again, up to a moment."""

from pathlib import Path

import pytest

from demo.access_log import AccessLog, read_log
from demo.replay import replayed

from .log_texts import line, write_log

DAY = 86_400
UNTIL = 1_780_000_000


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    """Of 31 hours."""
    times = ("30/Jan/2026:08:00:00 +0000", "30/Jan/2026:20:00:00 +0000", "31/Jan/2026:15:00:00 +0000")
    return read_log(write_log(tmp_path / "access.log", *(line(time=time) for time in times for _ in range(20))))


def test_replayed__log__ends_at_the_moment_and_is_in_order(log: AccessLog) -> None:
    times = [entry.at for entry in replayed(log, UNTIL, 10, 1_000).entries]
    assert (times[-1], times) == (UNTIL, sorted(times))


def test_replayed__short_log__has_requests_of_every_period(log: AccessLog) -> None:
    times = [entry.at for entry in replayed(log, UNTIL, 10, 1_000).entries]
    assert {(UNTIL - at) // (2 * DAY) for at in times} == set(range(5))


def test_replayed__time_of_a_request__is_the_log_s_but_for_whole_days(log: AccessLog) -> None:
    parts = {entry.at % DAY for entry in log.entries}
    last = max(entry.at for entry in log.entries)
    assert {(entry.at - UNTIL + last) % DAY for entry in replayed(log, UNTIL, 10, 1_000).entries} == parts


def test_replayed__log_of_more_days__has_only_the_last(log: AccessLog) -> None:
    times = {entry.at for entry in replayed(log, UNTIL, 1, 1_000).entries}
    assert times == {UNTIL, UNTIL - 19 * 3_600}


def test_replayed__more_requests_than_wanted__are_thinned_out_and_end_at_the_moment(log: AccessLog) -> None:
    entries = replayed(log, UNTIL, 10, 50).entries
    assert 5 <= len(entries) <= 50
    assert max(entry.at for entry in entries) == UNTIL
