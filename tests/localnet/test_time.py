"""The transaction's time inside contracts, and nowhere else."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, InvalidArgument, Localnet, Receipt
from genlayer_localnet.interpreter.contract_time import ContractTime

CLOCK = """
import datetime, time
from datetime import date, timezone, timedelta

class Clock(gl.Contract):
    at: datetime.datetime

    def __init__(self): pass

    @gl.public.view
    def read(self, how: str) -> str:
        return str(eval(how))

    @gl.public.write
    def keep(self) -> None:
        self.at = datetime.datetime.now(timezone.utc)

    @gl.public.view
    def kept(self) -> list:
        return [self.at.isoformat(), isinstance(self.at, datetime.datetime)]
"""


@pytest.fixture
def clock(deploy: Callable[..., Receipt]) -> Address:
    return deploy(CLOCK).address


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ("gl.message_raw['datetime']", "2026-01-15T12:00:00Z"),
        ("datetime.datetime.now()", "2026-01-15 12:00:00"),
        ("datetime.datetime.now(timezone.utc)", "2026-01-15 12:00:00+00:00"),
        ("datetime.datetime.now(timezone(timedelta(hours=2)))", "2026-01-15 14:00:00+02:00"),
        ("datetime.datetime.utcnow()", "2026-01-15 12:00:00"),
        ("datetime.datetime.today()", "2026-01-15 12:00:00"),
        ("datetime.datetime.now().timestamp()", "1768478400.0"),
        ("datetime.datetime.now().astimezone()", "2026-01-15 12:00:00+00:00"),
        ("datetime.datetime.fromtimestamp(0)", "1970-01-01 00:00:00"),
        ("datetime.datetime.fromtimestamp(0, timezone.utc)", "1970-01-01 00:00:00+00:00"),
        ("datetime.datetime.utcfromtimestamp(0)", "1970-01-01 00:00:00"),
        ("datetime.datetime(2020, 1, 1).timestamp()", "1577836800.0"),
        ("datetime.datetime.now() + timedelta(days=1)", "2026-01-16 12:00:00"),
        ("datetime.datetime.now() - datetime.datetime(2026, 1, 15)", "12:00:00"),
        ("datetime.datetime.fromisoformat('2026-01-15T12:00:00') == datetime.datetime.now()", "True"),
        ("date.today()", "2026-01-15"),
        ("date.fromtimestamp(86400)", "1970-01-02"),
        ("datetime.datetime.now().date() == date.today()", "True"),
        ("isinstance(datetime.datetime.now(), datetime.datetime)", "True"),
        ("isinstance(datetime.datetime.now(), date)", "True"),
        ("isinstance(date.today(), datetime.datetime)", "False"),
        ("issubclass(datetime.datetime, date)", "True"),
        ("time.time()", "1768478400.0"),
        ("time.time_ns()", "1768478400000000000"),
        ("time.gmtime().tm_hour", "12"),
        ("time.localtime().tm_hour", "12"),
        ("time.localtime(0).tm_hour", "0"),
    ],
)
def test_time__in_a_contract__is_the_transactions(localnet: Localnet, clock: Address, how: str, seen: str) -> None:
    assert localnet.view(clock, "read", how) == seen


def test_time__stored__reads_back(localnet: Localnet, alice: Address, clock: Address) -> None:
    localnet.write(clock, "keep", sender=alice)
    localnet.advance(5)
    assert localnet.view(clock, "kept") == ["2026-01-15T12:00:00+00:00", True]


def test_time__with_microseconds__is_exact(localnet: Localnet, clock: Address) -> None:
    localnet.now = "2026-01-15T12:00:00.123456Z"
    assert localnet.view(clock, "read", "gl.message_raw['datetime']") == "2026-01-15T12:00:00.123456Z"
    assert localnet.view(clock, "read", "time.time_ns()") == "1768478400123456000"


def test_time__machine_in_another_zone__does_not_matter(source: Callable[[str], str]) -> None:
    program = (
        "import sys; from genlayer_localnet import Localnet; net = Localnet(); "
        "contract = net.deploy(sys.argv[1], sender='0x' + '11' * 20).address; "
        "print(net.view(contract, 'read', 'datetime.datetime.now().timestamp()'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, source(CLOCK)],
        env={"TZ": "Asia/Tokyo", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1768478400.0"


def test_time__of_this_process__is_put_back(localnet: Localnet, clock: Address) -> None:
    before = (datetime.datetime, datetime.date, time.time, time.time_ns, time.gmtime, time.localtime)
    localnet.view(clock, "read", "1")
    assert before == (datetime.datetime, datetime.date, time.time, time.time_ns, time.gmtime, time.localtime)


def test_time__in_another_thread__is_real() -> None:
    seen: dict[str, Any] = {}
    started, done = threading.Event(), threading.Event()

    def look() -> None:
        started.wait()
        seen["now"] = datetime.datetime.now(datetime.UTC)
        seen["made"] = datetime.datetime(2020, 1, 1)
        seen["time"] = time.time()
        seen["today"] = datetime.date.today()
        done.set()

    thread = threading.Thread(target=look)
    thread.start()
    real = datetime.datetime
    before = time.time()
    with ContractTime(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)):
        started.set()
        done.wait()
    thread.join()
    assert type(seen["now"]) is type(seen["made"]) is real
    assert before - 1 <= seen["time"] <= time.time()
    assert seen["now"].year == seen["today"].year != 2000


@pytest.mark.parametrize("moment", ["2026-01-15T12:00:00", "yesterday", datetime.datetime(2026, 1, 15), 5, None])
def test_now__without_zone_or_sense__is_refused(localnet: Localnet, moment: Any) -> None:
    with pytest.raises(InvalidArgument):
        localnet.now = moment


def test_now__set_with_another_zone__is_utc(localnet: Localnet) -> None:
    localnet.now = datetime.datetime(2026, 3, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert localnet.now == datetime.datetime(2026, 2, 28, 23, tzinfo=datetime.UTC)


def test_advance__negative__is_refused(localnet: Localnet) -> None:
    with pytest.raises(InvalidArgument):
        localnet.advance(-1)
