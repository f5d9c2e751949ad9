"""The totals of a run against a count of the log that shares no code with it."""

import gzip
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from .command import Ran, bill, complaints

PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "examples" / "sample_access.log"
REAL = PROJECT.parent / "shared" / "data" / "access-2015-05-17.log.gz"

REQUEST = re.compile(r'(\S+) \S+ \S+ \[(\d\d)/(\w\w\w)/(\d{4}):\S+ \+0000\] "[A-Z]+ /([^/ ?]*)')
MONTH = {"Jan": "01", "Feb": "02", "May": "05"}


@dataclass(frozen=True)
class Counted:
    """Requests by client, by API and by day; segments that cannot be names are counted under ``odd``."""

    lines: int
    clients: Counter[str]
    apis: Counter[str]
    days: Counter[str]


@dataclass(frozen=True)
class Case:
    ran: Ran
    counted: Counted


def count(path: Path) -> Counted:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = [REQUEST.match(line).groups() for line in text.decode().splitlines()]  # type: ignore[union-attr]
    return Counted(
        len(found),
        Counter(client for client, *_ in found),
        Counter(name(segment) for *_, segment in found),
        Counter(f"{year}-{MONTH[month]}-{day}" for _, day, month, year, _ in found),
    )


def name(segment: str) -> str:
    if not segment:
        return "root"
    return segment.lower() if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", segment) else "odd"


@pytest.fixture(scope="module", params=[SAMPLE, REAL], ids=["sample", "real"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    path: Path = request.param
    if not path.exists():
        pytest.skip(f"the log is not on this machine: {path}")
    return Case(bill(path, json_file=tmp_path_factory.mktemp("run") / "usage.json"), count(path))


def requests_of(figures: dict[str, dict[str, int]]) -> Counter[str]:
    return Counter({key: usage["requests"] for key, usage in figures.items()})


def test_run__any_log__adds_up(case: Case) -> None:
    assert (case.ran.code, complaints(case.ran.errors)) == (0, [])


def test_run__lines__are_all_counted(case: Case) -> None:
    figures = case.ran.figures
    assert (figures["lines"], figures["bad_lines"], figures["requests"]) == (case.counted.lines, 0, case.counted.lines)


def test_run__every_request__is_billed_or_refused(case: Case) -> None:
    figures = case.ran.figures
    assert figures["billed_calls"] + sum(figures["refused"].values()) == case.counted.lines


def test_run__per_consumer__is_the_independent_count(case: Case) -> None:
    assert requests_of(case.ran.figures["per_consumer"]) == case.counted.clients


def test_run__per_api__is_the_independent_count(case: Case) -> None:
    found: Counter[str] = Counter()
    for api, requests in requests_of(case.ran.figures["per_api"]).items():
        found["odd" if "--" in api else api] += requests
    assert found == case.counted.apis


def test_run__per_day__is_the_independent_count(case: Case) -> None:
    assert requests_of(case.ran.figures["per_day"]) == case.counted.days


@pytest.mark.parametrize("split", ["per_api", "per_consumer", "per_day"])
@pytest.mark.parametrize("figure", ["requests", "billed_calls", "spend_wei"])
def test_run__each_split__sums_up_to_the_total(case: Case, split: str, figure: str) -> None:
    assert sum(usage[figure] for usage in case.ran.figures[split].values()) == case.ran.figures[figure]


def test_run__solvency__holds_exactly_what_is_owed(case: Case) -> None:
    solvency = case.ran.figures["solvency"]
    assert solvency["balance_wei"] == solvency["credit_wei"] + solvency["held_wei"] + solvency["earnings_wei"]
    assert min(solvency.values()) > 0


def test_run__earnings__are_what_was_spent_less_the_withdrawal(case: Case) -> None:
    contract_call_wei = 10**16
    earned_wei = case.ran.figures["spend_wei"] + contract_call_wei
    assert 0 < case.ran.figures["solvency"]["earnings_wei"] < earned_wei


@pytest.mark.parametrize("code", ["daily_limit_exceeded", "daily_spend_exceeded", "insufficient_credit"])
def test_run__some_calls__run_into_each_limit(case: Case, code: str) -> None:
    assert case.ran.figures["refused"][code] > 0


def test_run__most_consumers__run_into_none(case: Case) -> None:
    consumers = case.ran.figures["per_consumer"].values()
    refused = [usage for usage in consumers if usage["billed_calls"] < usage["requests"]]
    assert len(refused) * 2 < len(consumers)


@pytest.mark.parametrize(
    "expected",
    [
        "an embedded GenVM with the",
        "standard library",
        "paid in 0.",
        "took out 0.",
        "operator 2 withdrew",
        "fetch-1: billed 0.01 GEN",
        "leader and validators sent 5 HTTP requests for this one bill",
        "and agreed on: Bulletin no. 1: all services are up.",
        "fetch-2: refused: not covered by free credit or, in a session, by its hold",
        "solvent: it holds exactly what it owes",
        "checked against the contract's own views:",
    ],
)
def test_run__report__tells_the_whole_story(case: Case, expected: str) -> None:
    assert expected in case.ran.flat_report


def test_run__report__fits_eighty_columns_without_padding(case: Case) -> None:
    lines = case.ran.report.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_run__the_same_log_again__gives_the_same_report() -> None:
    assert bill(SAMPLE).report == bill(SAMPLE).report
