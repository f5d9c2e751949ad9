"""Several real processes count together: whichever is asked tells of all of them, also of those that have died."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from api_billing.metering import Meter
from api_billing.metering.observing.metrics import _dead, counting_together, multiprocess_folder

HERE = Path(__file__).parent
TOKEN = "service-token-of-the-tests-0123456789"
TRIES = 2_000
WAIT_SECONDS = 60


def until[ValueT](look: Callable[[], ValueT], is_so: Callable[[ValueT], bool]) -> ValueT:
    """Ask until it is so; servers take as long as they take."""
    for _ in range(TRIES):
        try:
            value = look()
        except requests.ConnectionError:
            continue
        if is_so(value):
            return value
    raise AssertionError(f"it is never so, but {value!r}")


def figure(page: str, name: str) -> float:
    [value] = re.findall(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE) or ["nan"]
    return float(value)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# --- the HTTP meter


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    line = [sys.executable, "-m", "api_billing.cli", "meter", "serve", "--port", "0", "--workers", "2", "--json"]
    with Meter.open(f"sqlite:///{folder}/meter.db") as meter:
        meter.add_consumer("acme", tier="enterprise")
    environment = {
        **os.environ,
        "API_BILLING_SERVICE_TOKEN": TOKEN,
        "API_BILLING_METRICS": "true",
        "TMPDIR": str(folder),
    }
    with subprocess.Popen(line, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_SECONDS)


def test_serve__workers__count_together_and_leave_nothing(tmp_path: Path) -> None:
    settled = 'api_billing_requests_total{api="weather",outcome="released"}'
    fields = {"Authorization": f"Bearer {TOKEN}"}
    with serving(tmp_path) as (url, _):

        def page() -> str:
            return requests.get(f"{url}/metrics", headers=fields, timeout=WAIT_SECONDS).text

        def counters() -> list[Path]:
            """Those of the workers that have counted, after one more request."""
            nonlocal count
            body = {"api": "weather", "consumer": "acme", "estimate_wei": "0"}
            made = requests.post(f"{url}/v1/reservations", json=body, headers=fields, timeout=WAIT_SECONDS).json()
            path = f"{url}/v1/reservations/{made['id']}/release"
            assert requests.post(path, headers=fields, timeout=WAIT_SECONDS).status_code == 200
            count += 1
            return list(tmp_path.glob("api-billing-metrics-*/counter_*.db"))

        count = 0
        until(counters, lambda found: len(found) == 2)  # so that both are asked below
        assert {figure(page(), settled) for _ in range(10)} == {count}
    assert list(tmp_path.glob("api-billing-metrics-*")) == []


# --- an application under gunicorn


@pytest.fixture
def application(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    together = tmp_path / "together"
    together.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        words = ["-m", "gunicorn", "--bind", f"fd://{listening.fileno()}", "--workers", "2", "--log-level", "critical"]
        environment = {
            **os.environ,
            "METER_URL": f"sqlite:///{tmp_path}/meter.db",
            "PROMETHEUS_MULTIPROC_DIR": str(together),
            "API_BILLING_SWEEP_SECONDS": "1",
        }
        with subprocess.Popen(
            [sys.executable, *words, "counting_app:make()"], cwd=HERE, env=environment, pass_fds=[listening.fileno()]
        ) as process:
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}", process, together
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(WAIT_SECONDS)


def test_gunicorn__worker_that_was_killed__stays_in_the_sums_and_leaves_what_is_alive(application: Any) -> None:
    url, process, together = application
    served = 'api_billing_requests_total{api="weather",outcome="settled"}'
    seen: list[int] = []

    def ask() -> set[int]:
        reply = requests.get(f"{url}/a", headers={"X-Consumer": "acme"}, timeout=WAIT_SECONDS)
        seen.append(int(reply.headers["x-pid"]))
        return set(seen)

    def page() -> str:
        return requests.get(f"{url}/metrics", timeout=WAIT_SECONDS).text

    first, second = until(ask, lambda pids: len(pids) == 2)
    until(lambda: {*together.glob("gauge_livesum_*.db")}, lambda found: len(found) >= 2)
    assert {figure(page(), served) for _ in range(10)} == {len(seen)}
    assert figure(page(), "api_billing_store_waiting") == 0
    os.kill(first, signal.SIGKILL)
    until(lambda: children(process.pid), lambda pids: first not in pids)
    assert {figure(page(), served) for _ in range(10)} == {len(seen)}
    alive = {path.name for path in together.glob("gauge_live*.db")}
    assert f"gauge_livesum_{first}.db" not in alive
    assert f"gauge_livesum_{second}.db" in alive


# --- the folder


def test_counting_together__folder__is_of_this_start_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with counting_together():
        folder = Path(multiprocess_folder())
        assert folder.is_dir()
        (folder / "counter_1.db").touch()
    assert (folder.exists(), multiprocess_folder()) == (False, "")


def test_counting_together__where_they_do_already__changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with counting_together():
        assert multiprocess_folder() == str(tmp_path)
    assert multiprocess_folder() == str(tmp_path)


def test_dead__of_the_files_in_a_folder__are_processes_that_have_ended(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    for pid in (process.pid, os.getpid(), 1):
        (tmp_path / f"gauge_livesum_{pid}.db").touch()
    (tmp_path / f"counter_{process.pid}.db").touch()
    assert list(_dead(tmp_path)) == [process.pid]
