"""Threads take short turns while somebody settles beside requests, and never afterwards."""

import sys
import threading

import pytest

from api_billing.metering.settlement.short_turns import SECONDS, short_turns


@pytest.fixture
def usual():
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_turns__within_a_block__are_short_and_then_as_before(usual):
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(SECONDS)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_turns__of_blocks_that_overlap__are_short_until_the_last_ends(usual):
    first, second = short_turns(), short_turns()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(SECONDS)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_turns__after_an_error__are_as_before(usual):
    with pytest.raises(ZeroDivisionError), short_turns():
        raise ZeroDivisionError
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_turns__that_are_shorter_already__stay(usual):
    sys.setswitchinterval(SECONDS / 2)
    shorter = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(shorter, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(shorter, abs=2e-6)


def test_turns__of_many_threads__are_as_before_in_the_end(usual):
    def work():
        for _ in range(200):
            with short_turns():
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.getswitchinterval() == pytest.approx(usual)
