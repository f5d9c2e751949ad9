"""The processes of the demo: how they start, end, and are missed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api_billing.errors import BillingError
from demo.metered import processes
from demo.metered.processes import BrokeOffError, Running, blaming, ending_on_signals


def code(text: str) -> list[str]:
    return ["-c", text]


def is_alive(pid: int) -> bool:
    """Whether it runs: one that has ended and that nobody has asked about is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_process__that_ends_by_itself__is_told_with_its_last_words(tmp_path: Path) -> None:
    told = pytest.raises(BrokeOffError, match="the sleeper has ended by itself\n  first\n  no port")
    with Running("sleeper", tmp_path, code("print('first'); raise SystemExit('no port')")) as process, told:
        process.wait_until(lambda: None)


def test_process__that_never_gets_there__is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_START_SECONDS", 0.1)
    told = pytest.raises(BrokeOffError, match="did not start")
    with Running("sleeper", tmp_path, code("import signal; signal.pause()")) as process, told:
        process.wait_until(lambda: None)


def test_process__at_the_end_of_the_block__is_gone(tmp_path: Path) -> None:
    with Running("sleeper", tmp_path, code("import signal; signal.pause()")) as process:
        assert is_alive(process.pid)
    assert not is_alive(process.pid)


def test_process__that_does_not_hear__is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.1)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); open('ready', 'w'); signal.pause()"
    with Running("deaf one", tmp_path, code(deaf)) as process:
        process.wait_until(lambda: (tmp_path / "ready").exists() or None)
    assert not is_alive(process.pid)


def test_process__with_settings_in_the_environment__has_only_those_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BILLING_FAIL_OPEN", "true")
    show = "import os; open('seen', 'w').write(' '.join(sorted(k for k in os.environ if 'API_BILLING' in k)))"
    settings = {"API_BILLING_URL": "http://x"}
    with Running("shower", tmp_path, code(show), settings) as process, pytest.raises(BrokeOffError):
        process.wait_until(lambda: None)
    assert (tmp_path / "seen").read_text() == "API_BILLING_URL"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal__within_the_block__interrupts_it_and_counts_as_before_after_it(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ending_on_signals():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_process__when_who_started_it_is_killed__dies_too(tmp_path: Path) -> None:
    pause = "open('ready', 'w'); import signal; signal.pause()"
    parent = f"""
import os, pathlib, signal
from demo.metered.processes import Running
folder = pathlib.Path({str(tmp_path)!r})
process = Running("sleeper", folder, ["-c", {pause!r}])
process.wait_until(lambda: (folder / "ready").exists() or None)
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    pid = int(killed.stdout)
    for _ in range(3_000):
        if not is_alive(pid):
            return
        time.sleep(0.01)
    raise AssertionError("it lives on")


def test_blaming__process_that_has_ended__is_the_reason_for_what_failed(tmp_path: Path) -> None:
    told = pytest.raises(BrokeOffError, match="the node has ended by itself")
    with Running("node", tmp_path, code("")) as process:
        with pytest.raises(BrokeOffError):
            process.wait_until(lambda: None)
        with told, blaming(process):
            raise BillingError("nothing answers")


def test_blaming__process_that_is_alive__leaves_the_reason_as_it_is(tmp_path: Path) -> None:
    told = pytest.raises(BillingError, match="something else")
    with told, Running("node", tmp_path, code("import signal; signal.pause()")) as process, blaming(process):
        raise BillingError("something else")
