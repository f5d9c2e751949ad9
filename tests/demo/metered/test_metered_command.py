"""`demo --meter` as a real process: a small run to its end, and runs that are broken off."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.stores import open_store
from demo.metered import run as metered_run

from ..command import bill, complaints

PROJECT = Path(__file__).parents[3]
GWEI = 10**9
LONG_SECONDS = 60


def command(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The demo, with its temporary folder in this one, so that its processes can be told by their command lines."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src"), "TMPDIR": str(folder), "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--meter", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def started_in(folder: Path) -> dict[str, int]:
    """The processes that name the folder, `localnet` and `api`, by what they are."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (
                (entry / "cmdline").read_bytes().decode(errors="replace").split("\0") if entry.name.isdigit() else []
            )
        except OSError:  # it has just ended
            continue
        if any(word.startswith(f"{folder}/api-billing-demo-") for word in words):
            found["localnet" if "genlayer_localnet" in words else "api"] = int(entry.name)
    return found


def is_serving(folder: Path) -> bool:
    """Whether the API has served requests."""
    (database,) = folder.glob("api-billing-demo-*/meter.db")
    with open_store(f"sqlite:///{database}") as store:
        return bool(store.call(ListRecords(limit=1)))


def left_in(folder: Path) -> list[str]:
    return [*started_in(folder), *(path.name for path in folder.glob("api-billing-demo-*"))]


def eventually(happened: Callable[[], bool]) -> None:
    """Wait for what other processes do in their own time."""
    for _ in range(50 * LONG_SECONDS):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module", params=[(), ("--network", "studio-next")], ids=["localnet", "studio-next"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The report and the figures of a small run that came to a good end, and left nothing behind."""
    folder = tmp_path_factory.mktemp("demo")
    options = ("--requests", "120", "--consumers", "9", "--json", str(folder / "figures.json"), *request.param)
    process = command(folder, *options)
    report, errors = process.communicate(timeout=LONG_SECONDS)
    assert (process.returncode, complaints(errors)) == (0, [])
    assert left_in(folder) == []
    return report, json.loads((folder / "figures.json").read_text())


def test_run__at_its_end__has_answered_every_request(ran: tuple[str, dict[str, Any]]) -> None:
    answers = {(each["status"], each["code"]): each["requests"] for each in ran[1]["requests"]["answers"]}
    assert ran[1]["requests"]["sent"] == sum(answers.values()) == 120
    refused = {(402, "insufficient_credit"), (402, "voucher_required"), (429, "quota_exceeded")}
    assert set(answers) == {(200, ""), (500, "")} | refused
    assert answers[500, ""] == 1


def test_run__totals__agree_in_all_three_books(ran: tuple[str, dict[str, Any]]) -> None:
    figures = ran[1]
    seen = {name: sum(each["seen"][name] for each in figures["consumers"]) for name in ("calls", "wei")}
    assert figures["totals"] == {"metered": seen, "billed": seen}
    settled = {name: sum(each["billed"][name] for each in figures["settlements"]) for name in ("calls", "wei")}
    assert settled == seen
    assert seen["calls"] > 60
    assert seen["wei"] > 60 * GWEI


def test_run__reconciliation__is_zero_for_every_consumer(ran: tuple[str, dict[str, Any]]) -> None:
    assert ran[1]["reconciliation"] | {"lines": 0} == {"zero": True, "lines": 0, "reasons": []}
    assert ran[1]["reconciliation"]["lines"] >= len(ran[1]["consumers"]) == 8
    assert ran[1]["contradictions"] == []


def test_run__operator__has_exactly_what_it_withdrew(ran: tuple[str, dict[str, Any]]) -> None:
    figures, operator = ran[1], ran[1]["operator"]
    earned = figures["totals"]["billed"]["wei"] + figures["contract_consumer"]["billed"]["wei"]
    earned -= figures["refund"]["amount_wei"]
    grown = operator["balance_after_wei"] - operator["balance_before_wei"]
    assert grown + operator["fee_wei"] == operator["withdrawn_wei"] == earned > 0
    assert (operator["fee_wei"] > 0) == ("network's fee" in ran[0])
    solvency = figures["solvency"]
    assert solvency["balance_wei"] == solvency["owed_wei"]
    assert solvency["held_wei"] == sum(each["hold_left_wei"] for each in figures["consumers"])
    assert solvency["earnings_wei"] == figures["dispute"]["earnings_grew_wei"] > 0


def test_run__consumers_with_a_role__met_what_they_were_to_meet(ran: tuple[str, dict[str, Any]]) -> None:
    roles = {each["role"]: each for each in ran[1]["consumers"]}
    assert roles["short hold"]["hold_left_wei"] == 0
    assert roles["short hold"]["metered"]["calls"] == roles["short hold"]["allowed"]
    assert roles["repeats a request"]["replayed"] == 1


def test_run__contract_among_the_consumers__fetched_what_it_was_billed(ran: tuple[str, dict[str, Any]]) -> None:
    contract = ran[1]["contract_consumer"]
    fetches = [(each["status"], each["detail"]) for each in contract["fetches"]]
    assert fetches == [("fetched", '{"costs":"1 gwei"}')] * 2 + [("denied", "insufficient_credit")]
    assert (contract["billed"], contract["redeemed"]) == ({"calls": 2, "wei": 2_000 * GWEI}, 2)
    assert contract["address"] not in {each["address"] for each in ran[1]["consumers"]}


def test_run__report__has_the_figures_of_the_json(ran: tuple[str, dict[str, Any]]) -> None:
    report, figures = ran
    assert figures["contract"] in report
    assert f"{figures['totals']['billed']['calls']:,} calls" in report
    assert "solvent: it holds exactly what it owes" in report


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run with its requests on their way."""
    process = command(tmp_path, "--requests", "4000", "--consumers", "9", "--json", str(tmp_path / "figures.json"))
    try:
        eventually(lambda: process.poll() is not None or ("api" in started_in(tmp_path) and is_serving(tmp_path)))
        yield process
    finally:
        process.kill()
        process.communicate()


def test_run__interrupted__leaves_nothing_running_and_no_files(running: subprocess.Popen[str], tmp_path: Path) -> None:
    running.send_signal(signal.SIGINT)
    report, errors = running.communicate(timeout=LONG_SECONDS)
    said = ["api-billing: interrupted: nothing was written"]
    assert (running.returncode, report, complaints(errors)) == (130, "", said)
    assert left_in(tmp_path) == []
    assert not (tmp_path / "figures.json").exists()


def test_run__api_that_dies__ends_it_with_the_reason(running: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(started_in(tmp_path)["api"], signal.SIGKILL)
    report, errors = running.communicate(timeout=LONG_SECONDS)
    assert (running.returncode, report) == (2, "")
    assert complaints(errors)[0].startswith("api-billing: the run broke off: the metered API has ended by itself")
    assert left_in(tmp_path) == []


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("the run has begun")

    monkeypatch.setattr(metered_run, "localnet", begun)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    ("options", "because"),
    [
        (("--meter", "access.log"), "LOG does not go with --meter"),
        (("--meter", "--serve"), "--serve does not go with --meter"),
        (("--meter", "--port", "0"), "--port does not go with --meter"),
        (("--requests", "10"), "--requests goes with --meter"),
        (("--consumers", "10"), "--consumers goes with --meter"),
        (("--meter", "--requests", "0"), "at least 196 requests"),
        (("--meter", "--consumers", "4"), "not enough with 3 consumers"),
        (("--meter", "--consumers", "251"), "at most 250 consumers"),
        (("--meter", "--requests", "100001"), "at most"),
        (("--meter", "--json", "/"), "the figures cannot be written"),
    ],
)
def test_command__what_cannot_be__is_refused_before_anything_is_started(options: tuple[str, ...], because: str) -> None:
    ran = bill(*options)
    assert (ran.code, ran.report) == (2, "")
    assert because in ran.errors
    assert ran.errors.count("\n") == 1


@pytest.mark.usefixtures("no_run")
def test_command__without_fastapi__says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metered_run, "find_spec", lambda name: None)
    ran = bill("--meter")
    assert ran.code == 2
    assert "pip install 'api-billing[serve]'" in ran.errors
