"""Promises and disputes from the command line, on a network whose language models answer as they are told."""

from collections.abc import Iterator
from typing import Any

import pytest

from api_billing.cli.values import day_text, moment_text
from api_billing.court_client import CourtClient
from api_billing.court_results import Court
from api_billing.transport import RpcProvider
from genlayer_localnet.nondet.services import Services
from genlayer_localnet.rpc.server import RpcServer

from .conftest import ONE_GEN, Run

SECOND = "localnet:1"
DAY_SECONDS = 86_400
PROMISE = ("--payout-days", "7", "--max-refund", "50", "--terms", "It answers.", "--status-url", "https://up.example/")


def pass_days(server: RpcServer, days: int) -> None:
    RpcProvider(server.url).result("sim_increaseTime", days * DAY_SECONDS)


@pytest.fixture
def court(market: Run) -> str:
    """A court for the market's contract, which wants a bond of 0.1 GEN."""
    return str(deploy_court(market)["deployment"]["address"]).lower()


def deploy_court(run: Run) -> dict[str, Any]:
    deployed: dict[str, Any] = run("deploy", "--court-bond", "0.1gen", "--json").json
    return deployed


@pytest.fixture
def promised(market: Run, court: str, server: RpcServer) -> Run:
    """The market a day after the promise was set; localnet:1 has paid for 4 calls."""
    assert market("promise", "set", "weather", "--court", court, *PROMISE).code == 0
    pass_days(server, 1)
    assert market("consume", "weather", "--calls", "4", "--account", SECOND).code == 0
    return market


@pytest.fixture
def day(promised: Run) -> str:
    """The day of those calls, as a command takes it."""
    return str(promised("report", SECOND, "--json").json["day_id"])


@pytest.fixture
def disputed(promised: Run, day: str, server: RpcServer) -> Iterator[Run]:
    """A final dispute about that day; models say that all is to be refunded."""
    pass_days(server, 2)
    opened = promised("dispute", "open", "weather", day, "--claim", "503 all day", "--account", SECOND)
    assert opened.code == 0, opened.err
    pass_days(server, 1)
    before = server.node.chain.services
    answer = {"refund_percent": 100, "reason": "It did not answer."}
    server.node.chain.services = Services(prompt_handler=lambda request, node: answer)
    yield promised
    server.node.chain.services = before


# ---- the court ----


def test_deploy__court__is_one_of_the_recorded_contract(market: Run) -> None:
    contract = market("deploy", "--json").json["deployment"]["address"]
    first, again = deploy_court(market), deploy_court(market)
    assert (first["action"], again["action"]) == ("deploy", "keep")
    assert (first["court_of"], first["min_bond_wei"]) == (contract, ONE_GEN // 10)
    assert first["deployment"] == again["deployment"]
    assert first["checks"]["call"] == "0 disputes, solvent"
    assert market("deploy", "--json").json["action"] == "keep"


def test_deploy__court_as_text__says_whose_it_is(market: Run) -> None:
    ran = market("deploy", "--court-bond", "1gen", "--dry-run")
    assert (ran.code, "court of" in ran.out, "1 GEN" in ran.out) == (0, True, True)


def test_deploy__court_without_a_contract__is_a_wrong_command(run: Run) -> None:
    assert run("deploy", "--court-bond", "1gen").code == 2


# ---- promises ----


def test_promise_show__none__says_so(market: Run) -> None:
    assert "promise  none" in market("promise", "show", "weather").out


def test_promise_set__first__is_shown_with_its_beginning(market: Run, court: str, server: RpcServer) -> None:
    ran = market("promise", "set", "weather", "--court", court, *PROMISE)
    begins = ran.out.splitlines()[0].removeprefix("weather has a new promise from ").removesuffix(" on")
    shown = market("promise", "show", "weather", "--day", begins)
    assert f"in force     from {begins} on" in shown.out
    assert "wait 7 days" in shown.out
    assert "at most 50%" in shown.out
    assert "It answers." in shown.out
    assert f"changes  on {begins}" in market("promise", "show", "weather").out


def test_promise_set__second_change_ahead__is_refused(market: Run, court: str) -> None:
    set_it = ("promise", "set", "weather", "--court", court, *PROMISE)
    assert [market(*set_it).code, market(*set_it).code] == [0, 1]


def test_promise_end__in_force__is_told_ahead(promised: Run) -> None:
    assert promised("promise", "end", "weather").out.startswith("weather promises nothing from 20")
    assert promised("promise", "show", "weather", "--json").json["next_from_day"] > 0


def test_promise__in_force__is_in_the_api_its_days_and_the_earnings(promised: Run, court: str) -> None:
    shown = promised("api", "show", "weather").out
    assert "earnings wait 7 days, a court may refund 50%" in shown
    assert court in shown
    assert promised("api", "days", "weather", "--json").json[0]["payout_days"] == 7
    assert "0.04 GEN pending" in promised("earnings").out


def test_collect__before_and_after_they_have_matured__moves_what_has(promised: Run, server: RpcServer) -> None:
    assert promised("collect", "weather").out.startswith("0 GEN collected\n")
    pass_days(server, 8)
    assert promised("collect", "weather", "--account", SECOND).out.startswith("0.04 GEN collected, of days up to 20")
    assert promised("earnings", "--json").json["earnings_wei"] == 4 * ONE_GEN // 100


def test_refund__of_a_day_that_waits__is_refunded(promised: Run, day: str) -> None:
    assert promised("refund", "weather", SECOND, "0.01gen", "--day", day).code == 0
    assert promised("api", "days", "weather", "--json").json[0]["earned_wei"] == 3 * ONE_GEN // 100


# ---- disputes ----


def test_dispute_open__paid_day__sends_the_least_bond_and_freezes(disputed: Run) -> None:
    (head,) = disputed("dispute", "list", "weather", "--json").json
    assert (head["status"], head["bond_wei"], head["paid_wei"]) == ("open", ONE_GEN // 10, 4 * ONE_GEN // 100)
    assert "0.04 GEN is frozen" in disputed("earnings").out


def test_dispute_open__refused__says_that_the_bond_comes_back(promised: Run, day: str, server: RpcServer) -> None:
    pass_days(server, 2)
    ran = promised("dispute", "open", "weather", day, "--claim", "late", "--bond", "1gwei", "--account", SECOND)
    assert ran.code == 1
    assert "(bond_too_small)" in ran.err
    assert "the bond sent becomes your credit" in ran.err


def test_dispute_open__court_that_only_the_api_names__gets_no_bond_unasked(
    promised: Run, court: str, day: str, server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_days(server, 2)
    monkeypatch.setattr("api_billing.cli.disputes.load_deployment", lambda network: None)
    command = ("dispute", "open", "weather", day, "--claim", "late", "--account", SECOND)
    ran = promised(*command)
    assert (ran.code, "nothing was sent" in ran.err) == (2, True)
    assert f"the court {court}: it may keep a bond" in ran.err
    assert promised(*command, "--court", court).code == 0


def test_dispute_open__court_of_another_contract__sends_nothing(
    promised: Run, day: str, server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_days(server, 2)
    foreign = Court("0x" + 40 * "1", ONE_GEN, 0)
    monkeypatch.setattr(CourtClient, "get_court", lambda self: foreign)
    ran = promised("dispute", "open", "weather", day, "--claim", "late", "--bond", "1gen", "--account", SECOND)
    assert (ran.code, "judges the contract 0x11" in ran.err, "nothing was sent" in ran.err) == (2, True, True)


@pytest.mark.parametrize("recent", [64, 0])
def test_dispute_open__day_that_is_disputed__sends_nothing(
    disputed: Run, day: str, recent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_billing.cli.disputes.KEPT", recent)
    ran = disputed("dispute", "open", "weather", day, "--claim", "late", "--account", SECOND)
    assert (ran.code, f"you have disputed {day_text(int(day))} already" in ran.err, "nothing was sent" in ran.err) == (
        2,
        True,
        True,
    )


def test_dispute_open__dispute_that_is_not_final__sends_no_second(promised: Run, day: str, server: RpcServer) -> None:
    pass_days(server, 2)
    command = ("dispute", "open", "weather", day, "--claim", "late", "--account", SECOND)
    assert [promised(*command).code, promised(*command).code] == [0, 2]


@pytest.mark.parametrize(
    ("days", "claim", "evidence", "why"),
    [
        (0, "late", "", "can still be settled"),
        (1, "late", "", "can still be settled"),
        (2, "late", "http://a.example/", "evidence is an https:// page"),
        (2, "late", "https://a.example/ x", "evidence is an https:// page"),
        (2, "", "", "a claim has 1 to 2,000 characters, not 0"),
        (2, 2_001 * "x", "", "a claim has 1 to 2,000 characters, not 2,001"),
    ],
    ids=["today", "yesterday", "http", "space", "empty", "long"],
)
def test_dispute_open__what_the_court_would_refuse__sends_nothing(
    promised: Run, day: str, server: RpcServer, days: int, claim: str, evidence: str, why: str
) -> None:
    pass_days(server, days)
    before = promised("report", SECOND, "--json").json["credit_balance_wei"]
    command = ("dispute", "open", "weather", day, "--claim", claim, "--evidence", evidence)
    ran = promised(*command, "--account", SECOND)
    assert (ran.code, "nothing was sent" in ran.err) == (2, True)
    assert why in ran.err
    assert promised("report", SECOND, "--json").json["credit_balance_wei"] == before


def test_dispute_open__day_without_a_promise__needs_a_court(market: Run) -> None:
    ran = market("dispute", "open", "weather", "2026-01-15", "--claim", "late", "--account", SECOND)
    assert (ran.code, "name one with --court" in ran.err) == (2, True)


def test_dispute_judge__refund__is_told_and_shown(disputed: Run, server: RpcServer) -> None:
    ran = disputed("dispute", "judge", "weather", "1")
    assert ran.out.startswith("dispute 1: 100% judged, 0.02 GEN to be refunded\nIt did not answer.\n")
    pass_days(server, 1)
    shown = disputed("dispute", "show", "weather", "1").out
    assert "judged: 100%, 0.02 GEN refunded" in shown
    assert "503 all day" in shown
    assert "0.02 GEN refunded" in disputed("notices", "--consumer", SECOND).out
    listed = disputed("dispute", "list", "weather").out
    assert max(len(line) for line in listed.splitlines()) <= 80


def test_dispute__court_named__is_asked_where_nothing_is_promised(disputed: Run, court: str) -> None:
    disputed("promise", "end", "weather")
    assert disputed("dispute", "show", "weather", "1", "--court", court, "--json").json["claim"] == "503 all day"


def test_dispute_close__before_30_days__is_refused_and_after_them_done(disputed: Run, server: RpcServer) -> None:
    assert disputed("dispute", "close", "weather", "1").code == 1
    pass_days(server, 30)
    assert disputed("dispute", "close", "weather", "1").out.startswith("dispute 1 is closed\n")


def test_dispute_show__open__says_until_when_it_can_be_judged_and_from_when_closed(disputed: Run) -> None:
    opened = disputed("dispute", "show", "weather", "1", "--json").json["opened_at"]
    shown = disputed("dispute", "show", "weather", "1").out
    assert f"to be judged  until {moment_text(opened + 28 * DAY_SECONDS)}" in shown
    assert f"to be closed  from {moment_text(opened + 30 * DAY_SECONDS)} on" in shown


def test_dispute_list__none__says_so(promised: Run) -> None:
    assert promised("dispute", "list", "weather").out == "no disputes\n"


def test_dispute_list__of_a_consumer__is_of_all_its_apis(disputed: Run, court: str) -> None:
    (head,) = disputed("dispute", "list", "weather", "--json").json
    for line in (("--consumer", SECOND), ("--account", SECOND), ("--consumer", SECOND, "--court", court)):
        assert disputed("dispute", "list", *line, "--json").json == [head]
    assert "weather" in disputed("dispute", "list", "--consumer", SECOND).out
    assert disputed("dispute", "list").out == "no disputes\n"
    ran = disputed("dispute", "list", "weather", "--consumer", SECOND)
    assert (ran.code, "of an API or of a consumer" in ran.err) == (2, True)


def test_dispute_list__of_a_consumer_where_no_court_is_recorded__needs_one(market: Run) -> None:
    ran = market("dispute", "list", "--consumer", SECOND)
    assert (ran.code, "name one with --court" in ran.err) == (2, True)


@pytest.mark.parametrize("number", ["0", "x"])
def test_dispute_show__what_is_no_number__is_a_wrong_command(promised: Run, number: str) -> None:
    assert promised("dispute", "show", "weather", number).code == 2
