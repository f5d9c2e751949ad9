"""Runs over small logs that are made for one thing each."""

from pathlib import Path

import pytest

from .command import Ran, bill
from .log_texts import line, write_log


def at(day: str, time: str = "12:00:00", **parts: str) -> bytes:
    return line(time=f"{day}:{time} +0000", **parts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def run(path: Path, *lines: bytes, packed: bool = False) -> Ran:
    return bill(write_log(path, *lines, packed=packed), json_file=path.with_suffix(".json"))


def test_run__a_single_request__is_billed(path: Path) -> None:
    ran = run(path, line())
    assert (ran.code, ran.figures["billed_calls"], ran.figures["refused"]) == (0, 1, {})


def test_run__a_single_api__is_billed_call_by_call(path: Path) -> None:
    ran = run(path, *[line(client=f"192.0.2.{number}") for number in range(5)])
    assert (ran.code, ran.figures["per_api"]["forecast"]["billed_calls"]) == (0, 5)
    assert "settled in batches" not in ran.report


def test_run__several_days__are_billed_on_their_own(path: Path) -> None:
    ran = run(path, at("31/Jan/2026", "23:59:59"), at("01/Feb/2026", "00:00:00"), at("28/Feb/2026"), at("01/Mar/2026"))
    assert ran.code == 0
    assert {day: usage["billed_calls"] for day, usage in ran.figures["per_day"].items()} == {
        "2026-01-31": 1,
        "2026-02-01": 1,
        "2026-02-28": 1,
        "2026-03-01": 1,
    }


def test_run__metered_usage_around_midnight__counts_on_its_own_day(path: Path) -> None:
    late = [at("31/Jan/2026", f"23:5{minute}:00") for minute in range(10)]
    early = [at("01/Feb/2026", f"00:00:{second}") for second in range(10, 17)]
    ran = run(path, *late, *early, line(request="GET /other HTTP/1.1"))
    assert "≤ settled in batches" in ran.report
    assert (ran.figures["per_day"]["2026-01-31"]["requests"], ran.figures["per_day"]["2026-02-01"]["requests"]) == (
        11,
        7,
    )
    assert ran.code == 0


def test_run__gap_of_years__is_billed_and_settled_in_time(path: Path) -> None:
    days = [at("01/Jan/1999"), at("02/Jan/1999"), at("01/Jan/2026"), at("03/Feb/2027")]
    ran = run(path, *days, *(line(request="GET /other HTTP/1.1", time="01/Jan/1999:12:00:00 +0000"),))
    assert (ran.code, ran.figures["billed_calls"], len(ran.figures["per_day"])) == (0, 5, 4)


def test_run__more_clients_than_a_settlement_can_hold__are_settled_in_several(path: Path) -> None:
    lines = [line(client=f"10.0.{number // 250}.{number % 250}") for number in range(300)]
    ran = run(path, *lines, line(request="GET /other HTTP/1.1"))
    assert (ran.code, ran.figures["per_api"]["forecast"]["billed_calls"]) == (0, 300)


def test_run__lines_out_of_order__are_billed_in_the_order_of_time(path: Path) -> None:
    ran = run(path, at("02/Feb/2026"), at("31/Jan/2026"), at("01/Feb/2026"))
    assert ran.code == 0
    assert "2 requests stood after a later one" in ran.flat_report


def test_run__ipv6_clients__are_consumers_like_others(path: Path) -> None:
    ran = run(path, line(client="2001:db8::7"), line(client="2001:DB8:0:0::7"), line(client="::1"))
    assert ran.code == 0
    assert {client: usage["requests"] for client, usage in ran.figures["per_consumer"].items()} == {
        "2001:db8::7": 2,
        "::1": 1,
    }


def test_run__bad_lines__are_counted_reported_with_numbers_and_skipped(path: Path) -> None:
    ran = run(path, line(), b"garbage", line(), line(status="abc"))
    assert ran.code == 0
    assert (ran.figures["lines"], ran.figures["bad_lines"], ran.figures["requests"]) == (4, 2, 2)
    assert ran.figures["bad_line_numbers"] == [2, 4]
    assert "line 2: there is no time" in ran.flat_report


def test_run__packed_log__is_billed_like_the_plain_one(path: Path) -> None:
    assert run(path, line(), line(), packed=True).figures["billed_calls"] == 2


def test_run__odd_paths__are_apis_with_names_the_contract_takes(path: Path) -> None:
    targets = ["/", "//x", "/%66orecast", "/-x", "/a%20b/c", "/" + "y" * 100, "/ROOT", "/ä"]
    ran = run(path, *[line(request=f"GET {target} HTTP/1.1") for target in targets])
    assert (ran.code, ran.figures["billed_calls"]) == (0, len(targets))


def test_run__api_that_is_named_like_the_page__keeps_its_own_figures(path: Path) -> None:
    ran = run(path, line(request="GET /bulletin HTTP/1.1"), line(request="GET /bulletin-2 HTTP/1.1"))
    assert (ran.code, ran.figures["requests"]) == (0, 2)
    assert "the API bulletin-3 for" in ran.flat_report


def test_run__one_client_beyond_its_limit__gets_the_rest_refused(path: Path) -> None:
    ran = run(path, *[at("31/Jan/2026", f"12:00:{second:02}") for second in range(20)])
    assert (ran.figures["billed_calls"], ran.figures["refused"]) == (15, {"daily_limit_exceeded": 5})


def test_run__limit_of_the_day__is_fresh_on_the_next(path: Path) -> None:
    busy = [at("31/Jan/2026", f"12:00:{second:02}") for second in range(20)]
    ran = run(path, *busy, *[at("01/Feb/2026", f"12:00:{second:02}") for second in range(10)])
    assert ran.figures["per_day"]["2026-02-01"]["billed_calls"] == 10


def test_run__several_files__are_billed_in_the_order_of_time(tmp_path: Path) -> None:
    files = [
        write_log(tmp_path / name, *[at("31/Jan/2026", f"12:0{minute}:0{second}") for second in range(5)])
        for minute, name in enumerate(("access.log.2", "access.log.1"))
    ]
    empty = write_log(tmp_path / "access.log")
    ran = bill(empty, *reversed(files), json_file=tmp_path / "usage.json")
    assert (ran.code, ran.figures["requests"], "order" in ran.report) == (0, 10, False)


def test_run__forwarded__bills_the_clients_behind_the_proxy(path: Path) -> None:
    lines = [line(client="10.0.0.1", tail=f' "-" "curl" "203.0.113.{number}, 10.0.0.3"') for number in (8, 9)]
    ran = bill(write_log(path, *lines), "--xff", "first", json_file=path.with_suffix(".json"))
    assert list(ran.figures["per_consumer"]) == ["203.0.113.8", "203.0.113.9"]
