"""The network that is left running: what its people's names say is so, on any day and at any time of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo.access_log import read_log
from demo.people import CARL, CONSUMERS, DAN, DORA, FIONA, OLGA, SAM, VERA, Person
from demo.present import DAYS, Present, present
from genlayer_localnet.loading.standard_library import choose

from .log_texts import line, write_log

NOON = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86_400


def made_at(now: datetime, folder: Path) -> Present:
    log = write_log(folder / "access.log", line(), line(client="::1"), line(client="::1", request="GET /maps HTTP/1.1"))
    return present(read_log(log), choose(None), lambda *_: lambda: None, now)


@pytest.fixture(scope="module", params=[NOON, MIDNIGHT], ids=["noon", "midnight"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Present:
    return made_at(request.param, tmp_path_factory.mktemp("log"))


def view(made: Present, method: str, *args: Any) -> Any:
    return made.net.view(made.contract, method, *args)


def lines(made: Present, account: str) -> dict[str, dict[str, Any]]:
    report = json.loads(view(made, "get_usage_report", account))
    return {each["api_name"]: each for each in report["apis"]}


def spent_on(made: Present, person: Person, day_id: int) -> int:
    history = view(made, "get_usage_history", person.account, "", day_id, day_id)
    return sum(each["spend_wei"] for each in history)


def today(made: Present) -> int:
    return int(made.net.now.timestamp()) // DAY


def test_clock__of_the_network__is_that_of_the_moment(made: Present) -> None:
    assert made.net.now in (NOON, MIDNIGHT)


def test_usage__of_the_people__is_on_every_day_up_to_today(made: Present) -> None:
    days = range(today(made) - DAYS + 1, today(made) + 1)
    assert all(spent_on(made, CARL, day_id) for day_id in days)


def test_usage__of_the_log_s_clients__reaches_into_today(made: Present) -> None:
    assert sum(each["calls_today"] for each in lines(made, made.clients["::1"]).values()) > 0


def test_api_of_the_log__with_a_name_of_olga_s__stays_apart(made: Present) -> None:
    assert view(made, "get_api", "maps")["operator"] != OLGA.account
    assert view(made, "get_api", "maps-2")["operator"] == OLGA.account


def test_carl__low_on_credit__has_less_than_a_day_s_and_was_told(made: Present) -> None:
    account = view(made, "get_account", CARL.account)
    assert 0 < account["credit_wei"] < spent_on(made, CARL, today(made) - 1)
    assert account["low_credit"]


def test_fiona__all_fine__can_pay_for_a_month(made: Present) -> None:
    account, days = view(made, "get_account", FIONA.account), range(today(made) - 30, today(made))
    assert account["credit_wei"] > sum(spent_on(made, FIONA, day_id) for day_id in days)
    assert account["held_wei"] > 0


def test_dan__near_a_daily_cap__has_a_few_calls_left_of_it(made: Present) -> None:
    of_maps = lines(made, DAN.account)["maps-2"]
    assert 0 < of_maps["spend_left_today_wei"] < 5 * of_maps["cost_per_call_wei"]


def test_sam__pays_by_session__has_signed_more_than_is_billed(made: Present) -> None:
    session = view(made, "get_session", SAM.account, "translate")
    channel = session["channels"][0]
    assert (session["in_force"], session["signer"]) == (True, SAM.account)
    assert channel["signed_wei"] > channel["billed_wei"] > 0


def test_dora__in_a_dispute__waits_for_the_verdict(made: Present) -> None:
    dispute = made.net.view(made.court, "get_dispute", 2)
    assert (dispute["consumer"], dispute["status"]) == (DORA.account, "open")
    assert view(made, "get_paid_day", "weather", DORA.account, dispute["day_id"])["frozen_wei"] == dispute["paid_wei"]


def test_vera__won_a_dispute__has_got_the_refund(made: Present) -> None:
    dispute = made.net.view(made.court, "get_dispute", 1)
    assert (dispute["consumer"], dispute["status"]) == (VERA.account, "judged")
    day = view(made, "get_paid_day", "weather", VERA.account, dispute["day_id"])
    assert day["refunded_wei"] == dispute["refund_wei"] == dispute["paid_wei"] // 2 > 0


def test_olga__sells_apis__has_earnings_to_withdraw_and_some_that_wait(made: Present) -> None:
    earnings = view(made, "get_earnings", OLGA.account)
    assert earnings["earnings_wei"] > 0
    assert sum(each["pending_wei"] for each in earnings["apis"]) > 0


def test_settlements__of_olga__have_refused_entries(made: Present) -> None:
    assert [each["refused_entries"] for each in view(made, "list_settlements", "weather")].count(1) == 3


def test_books__with_people__add_up(made: Present) -> None:
    assert view(made, "get_solvency")["surplus_wei"] == 0


def test_people__on_the_network__have_gen_to_pay_in(made: Present) -> None:
    assert all(made.net.balance(person.account) > 0 for person in (*CONSUMERS, OLGA))
