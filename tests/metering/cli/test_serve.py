"""`api-billing meter serve`: a process of its own, workers, and what it needs."""

import gc
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.testclient import TestClient

from api_billing.metering import Meter

TOKEN = "service-token-of-the-tests-0123456789"
GWEI = 10**9
WAIT_SECONDS = 60
ATTEMPTS = 600


def test_serve__without_a_token__says_how_to_make_one(run: Any) -> None:
    ran = run("serve", code=2)
    assert "API_BILLING_SERVICE_TOKEN" in ran.err


@pytest.mark.parametrize("which", ["--token-file", "--admin-token-file"])
def test_serve__token_file_that_is_empty__is_refused(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setenv("API_BILLING_SERVICE_TOKEN", "s" * 16)
    (tmp_path / "token").write_text("\n")
    assert "is empty" in run("serve", which, tmp_path / "token", "--store", "memory://", "--port", "0", code=2).err


def test_serve__token_file_that_is_none__is_refused(run: Any, tmp_path: Path) -> None:
    assert "cannot be read" in run("serve", "--token-file", tmp_path / "none", code=2).err


def test_serve__memory_and_workers__are_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    options = ("--token-file", tmp_path / "token", "--store", "memory://", "--workers", "2")
    assert "--workers 1" in run("serve", *options, code=2).err


def test_serve__port_in_use__says_so(run: Any, tmp_path: Path) -> None:
    from api_billing.metering.service.serving import listen

    (tmp_path / "token").write_text(TOKEN)
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert "--port" in run("serve", "--token-file", tmp_path / "token", "--port", str(port), code=2).err


def test_serve__store_is_away__is_refused_also_with_fail_open(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("API_BILLING_FAIL_OPEN", "true")
    (tmp_path / "token").write_text(TOKEN)
    away = f"sqlite:///{tmp_path}/none/meter.db"
    assert "none/meter.db" in run("serve", "--token-file", tmp_path / "token", "--store", away, code=3).err
    assert "opened without its store" not in caplog.text


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_serve__address_that_others_reach__is_warned_of(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, warned: bool
) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr("api_billing.metering.service.serving.serve", lambda _, **given: served.append(given))
    (tmp_path / "token").write_text(TOKEN)
    ran = run("serve", "--token-file", tmp_path / "token", "--host", host, "--port", "0")
    assert ("not encrypted" in ran.err, len(served), TOKEN in ran.out + ran.err) == (warned, 1, False)


def test_serve__workers_on_one_file__settle_what_others_reserved(tmp_path: Path) -> None:
    with Meter.open(f"sqlite:///{tmp_path}/meter.db") as meter:
        meter.add_consumer("acme")
        meter.grant("acme", 100 * GWEI, grant_id="first")
        line = [sys.executable, "-m", "api_billing.cli", "meter", "serve", "--port", "0", "--workers", "2", "--json"]
        environment = {**os.environ, "API_BILLING_SERVICE_TOKEN": TOKEN, "API_BILLING_LOG_FORMAT": "json"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(line, cwd=tmp_path, env=environment, **pipes) as server:
            try:
                assert server.stdout is not None
                assert server.stderr is not None
                url = json.loads(server.stdout.readline())["url"]
                for _ in range(8):
                    metered_once(url)
                killed = workers_of(server.pid)[0]
                os.kill(killed, signal.SIGKILL)
                told = json.loads(server.stderr.readline())
                assert (told["level"], told["message"]) == ("warning", f"Child process [{killed}] died")
            finally:
                server.send_signal(signal.SIGINT)
                assert server.wait(WAIT_SECONDS) == 0
        balance = meter.balance("acme")
    assert (balance.charged_wei, balance.reserved_wei) == (8 * GWEI, 0)


def workers_of(pid: int) -> list[int]:
    """Processes that a server has started to serve."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_app_of_a_worker__store_is_away__is_a_line_of_the_log_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from api_billing.metering.errors import StoreUnavailable
    from api_billing.metering.service import serving

    monkeypatch.setattr(serving, "configure_logging", lambda *given, **named: None)
    monkeypatch.setattr(serving, "_TRY_AGAIN_SECONDS", 0)
    monkeypatch.setenv("API_BILLING_STORE_URL", f"sqlite:///{tmp_path}/none/meter.db")
    with pytest.raises(StoreUnavailable):
        serving.app_from_environment()
    monkeypatch.setattr(serving, "parent_process", object)
    with pytest.raises(SystemExit):
        serving.app_from_environment()
    assert "a worker cannot start" in caplog.text


def metered_once(url: str) -> None:
    """Reserve and settle, each over a connection of its own, so that any worker may get it."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    asked = {"api": "weather", "consumer": "acme", "estimate_wei": str(GWEI)}
    made = requests.post(f"{url}/v1/reservations", json=asked, headers=headers, timeout=WAIT_SECONDS)
    assert made.status_code == 201, made.text
    path = f"{url}/v1/reservations/{made.json()['id']}/settle"
    assert requests.post(path, json={}, headers=headers, timeout=WAIT_SECONDS).json()["state"] == "settled"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_app_of_a_worker__logs__are_written_as_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    from api_billing.metering.service.serving import app_from_environment

    loggers = [logging.getLogger(name) for name in ("api_billing", "uvicorn")]
    kept = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    threshold = gc.get_threshold()
    monkeypatch.setenv("API_BILLING_STORE_URL", f"sqlite:///{tmp_path}/meter.db")
    monkeypatch.setenv("API_BILLING_SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("API_BILLING_LOG_FORMAT", log_format)
    try:
        with TestClient(app_from_environment()):
            logging.getLogger("api_billing.metering").warning("of ours")
            logging.getLogger("uvicorn.of_this_test").error("of the server's")
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
        for logger, (handlers, level, propagate) in zip(loggers, kept, strict=True):
            logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate
    lines = [line for line in capsys.readouterr().err.splitlines() if "of ours" in line or "of the server's" in line]
    assert [line.startswith("{") for line in lines] == [log_format == "json"] * 2
