"""Log records that clients can cause at will."""

import logging

import pytest

from api_billing.metering.seldom import Seldom

LOG = logging.getLogger("test_seldom")


def told(times_ms: list[int], caplog: pytest.LogCaptureFixture) -> list[str]:
    clock = iter(times_ms)
    seldom = Seldom(lambda: next(clock))
    for number in range(len(times_ms)):
        seldom.log(LOG, logging.WARNING, "it was %d", number)
    return [record.getMessage() for record in caplog.records]


def test_message__in_the_same_10_seconds__is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    assert told([0, 1, 9_999, 10_000, 20_000], caplog) == ["it was 0", "it was 3 (and 2 more of these)", "it was 4"]


def test_message__after_the_clock_was_set_back__is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert told([5_000, 4_000], caplog) == ["it was 0", "it was 1"]


def test_message__another_one__is_told(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(lambda: 0)
    for message in ("one", "two", "one"):
        seldom.log(LOG, logging.WARNING, message)
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]


def test_message__with_another_exception_or_of_another_kind__is_told(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(lambda: 0)
    for number in (0, 1, 0, 1):
        try:
            assert 1 // number == 2
        except (ZeroDivisionError, AssertionError):
            seldom.log(LOG, logging.ERROR, "it failed", exc_info=True)
        seldom.log(LOG, logging.ERROR, "it is", kind=number)
    assert [record.getMessage() for record in caplog.records] == ["it failed", "it is"] * 2


def test_record__of_a_message__names_who_logged_it(caplog: pytest.LogCaptureFixture) -> None:
    Seldom(lambda: 0).log(LOG, logging.WARNING, "one")
    assert caplog.records[0].filename == "test_seldom.py"
