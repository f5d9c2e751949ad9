"""Settling in a process that belongs to an application: it settles, tells its alerts, and never outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.alerts.alert import Alert
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import Reserve, Settle
from api_billing.metering.ledger.settlement_operations import Lease, ListOutgoing, ReleaseLease, TakeLease
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.process import (
    SettlementProcess,
    alert_from_text,
    alert_to_text,
    can_run,
    settings_from_text,
    settings_to_text,
)
from api_billing.networks import find_network
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .places import Place, deployed
from .waiting import LONG_SECONDS, all_is_recorded, eventually

VARIABLE = "TEST_SETTLEMENT_KEY"

node = server_fixture(scope="module")


@pytest.fixture(scope="module")
def contract(node: RpcServer) -> str:
    return deployed(find_network("localnet", node.url))


@pytest.fixture
def place(node: RpcServer, contract: str, tmp_path: Path, request: Any) -> Iterator[Place]:
    made = Place(request.node.name, find_network("localnet", node.url), contract, url=f"sqlite:///{tmp_path}/meter.db")
    made.refresh()
    yield made
    made.store.close()


@pytest.fixture
def settings(place: Place, node: RpcServer, monkeypatch: pytest.MonkeyPatch) -> MeterSettings:
    monkeypatch.setenv(VARIABLE, "0x" + place.key("operator").hex())
    return MeterSettings.load(
        store_url=place.url,
        contract=place.contract,
        url=node.url,
        settle_apis=(place.api,),
        settle_seconds=1,
        account=f"env:{VARIABLE}",
    )


@pytest.fixture
def alerts() -> list[Alert]:
    """What the process has told."""
    return []


@pytest.fixture
def process(settings: MeterSettings, alerts: list[Alert]) -> Iterator[SettlementProcess]:
    made = SettlementProcess(settings, alerts.append, again_seconds=0.1)
    made.start()
    made.start()
    yield made
    made.close(LONG_SECONDS)


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def takes_lease(place: Place, holder: str) -> bool:
    now_ms = place.now_ms()
    lease: Lease = place.store.call(TakeLease(f"settle/{place.api}", holder, now_ms, now_ms + 60_000))
    return lease.holder == holder


def test_process__started__settles_what_is_served_and_ends_when_it_is_closed(
    place: Place, process: SettlementProcess
) -> None:
    place.serve(7, 3)
    eventually(lambda: all_is_recorded(place.store, place.api))
    place.is_billed_once()
    pid = process.pid
    assert pid is not None
    assert is_running(pid)
    process.close(LONG_SECONDS)
    process.close(LONG_SECONDS)
    assert not is_running(pid)
    assert takes_lease(place, "next"), "it did not give its lease back"


def test_process__that_was_killed__is_followed_by_another(place: Place, process: SettlementProcess) -> None:
    place.serve(7)
    eventually(lambda: all_is_recorded(place.store, place.api) and takes_lease(place, "probe"))
    place.store.call(ReleaseLease(f"settle/{place.api}", "probe"))
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)  # between two rounds: within one the next would wait for its lease to end
    place.serve(5)
    eventually(lambda: len(place.store.call(ListOutgoing(place.api))) == 2 and all_is_recorded(place.store, place.api))
    assert process.pid != first


def test_process__interrupted_in_a_terminal__goes_on(place: Place, process: SettlementProcess) -> None:
    place.serve(7)
    eventually(lambda: all_is_recorded(place.store, place.api))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    place.serve(5)
    eventually(lambda: len(place.store.call(ListOutgoing(place.api))) == 2 and all_is_recorded(place.store, place.api))


@pytest.mark.usefixtures("process")
def test_alert__of_a_refused_part__is_told_in_the_application(place: Place, alerts: list[Alert]) -> None:
    # A consumer whom the contract cannot bill, as its name is no address.
    now_ms = place.now_ms()
    place.store.call(Reserve(first_id(now_ms), now_ms, now_ms + 60_000, "acme", place.api, "acme", 0))
    place.store.call(Settle(first_id(now_ms), "acme", now_ms, 0))
    eventually(lambda: alerts)
    assert (alerts[0].kind, alerts[0].subject) == ("settlement", "acme")
    assert ("api", place.api) in alerts[0].details


def test_alert__that_the_application_cannot_take__ends_nothing(
    settings: MeterSettings, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(alert: Alert) -> None:
        raise ZeroDivisionError

    made = SettlementProcess(settings, fails)
    made.start()
    try:
        now_ms = place.now_ms()
        place.store.call(Reserve(first_id(now_ms), now_ms, now_ms + 60_000, "acme", place.api, "acme", 0))
        place.store.call(Settle(first_id(now_ms), "acme", now_ms, 0))
        eventually(lambda: "was lost" in caplog.text)
        place.serve(7)
        eventually(lambda: place.earned_wei() == 7)
    finally:
        made.close(LONG_SECONDS)


def test_process__of_an_application_that_is_killed__ends_with_it(settings: MeterSettings) -> None:
    program = (
        "import sys, time\n"
        "from api_billing.metering.settlement.process import SettlementProcess, settings_from_text\n"
        "made = SettlementProcess(settings_from_text(sys.stdin.readline()), print)\n"
        "made.start()\n"
        "while made.pid is None: time.sleep(0.01)\n"
        "print(made.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as application:
        assert application.stdin is not None
        assert application.stdout is not None
        application.stdin.write(settings_to_text(settings) + "\n")
        application.stdin.flush()
        pid = int(application.stdout.readline())
        assert is_running(pid)
        application.kill()
    eventually(lambda: not is_running(pid))


def test_process__of_an_application_that_has_forked__ends_with_the_application(process: SettlementProcess) -> None:
    eventually(lambda: process.pid is not None)
    pid = process.pid
    assert pid is not None
    forked = os.fork()
    if not forked:
        process.abandon()
        time.sleep(LONG_SECONDS)
        os._exit(0)
    try:
        process.close(LONG_SECONDS)
        assert not is_running(pid)
        assert is_running(forked)
    finally:
        os.kill(forked, signal.SIGKILL)
        os.waitpid(forked, 0)


def test_process__that_cannot_settle__says_why_and_tries_again(
    settings: MeterSettings, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = settings.model_copy(update={"account": "env:NOT_SET_ANYWHERE"})
    made = SettlementProcess(broken, print, again_seconds=0.01)
    made.start()
    eventually(lambda: "another one follows" in caplog.text)
    made.close(LONG_SECONDS)
    assert "NOT_SET_ANYWHERE" in capfd.readouterr().err


def test_settings__told_and_read__are_the_same(settings: MeterSettings) -> None:
    full = settings.model_copy(update={"free_statuses": ("404", "500-599"), "fail_open": True})
    full = MeterSettings.load(**{**full.model_dump(), "key_pepper": "p" * 20, "alert_urls": ("json://a", "json://b")})
    assert settings_from_text(settings_to_text(full)) == full


def test_alert__told_and_read__is_the_same() -> None:
    alert = Alert("budget", "acmé", 5, "two\nlines", "20%", 2**100, (("api", "weather"), ("code", "")))
    assert alert_from_text(alert_to_text(alert)) == alert
    assert "\n" not in alert_to_text(alert)


@pytest.mark.parametrize(
    ("url", "executable", "possible"),
    [
        ("sqlite:///meter.db", "/usr/bin/python3.12", True),
        ("postgresql://host/db", "/opt/pypy3", True),
        ("memory://", "/usr/bin/python3.12", False),
        ("sqlite:///meter.db", "/usr/bin/uwsgi", False),
        ("sqlite:///meter.db", "", False),
    ],
)
def test_process__is_possible__where_python_can_be_started_and_the_store_is_shared(
    monkeypatch: pytest.MonkeyPatch, url: str, executable: str, possible: bool
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert can_run(MeterSettings.load(store_url=url)) is possible


def test_main__json_logs_in_the_settings__says_what_is_wrong_in_a_json_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    settings = MeterSettings.load(
        store_url="memory://",
        contract="0x" + "c0" * 20,
        settle_apis=("weather",),
        account=f"env:{VARIABLE}",
        log_format="json",
    )
    command = [sys.executable, "-m", "api_billing.metering.settlement.process"]
    told = settings_to_text(settings) + "\n"
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    line = json.loads(done.stderr)
    assert (done.returncode, line["level"], line["logger"]) == (1, "error", "api_billing.metering.settlement")
    assert line["message"].startswith("nothing is settled")
