"""The usage report as a person sees it."""

import io
from dataclasses import replace

import pytest

from demo.layout import TOP, make_console
from demo.report import print_report
from demo.summary import (
    ApiStanding,
    ConsumerStanding,
    ContractRequest,
    ContractStory,
    LowCreditNotice,
    OperatorStanding,
    RunSummary,
    Solvency,
    Tally,
)

GEN = 10**18
DAY = 20_484  # 31 January 2026
LONG_IPV6 = "2001:db8:1234:5678:9abc:def0:1234:5678"
ACCOUNT = "0x" + "ab" * 20


def full_summary(consumers: int = 3) -> RunSummary:
    tally = Tally()
    for number in range(consumers):
        client = f"192.0.2.{number}"
        tally.add(client=client, api="forecast", day_id=DAY, billed_calls=1200 - number, spend_wei=12 * GEN)
    tally.add(client=LONG_IPV6, api="root", day_id=DAY + 1, billed_calls=1, spend_wei=GEN // 4)
    tally.add(
        client=LONG_IPV6,
        api="a" * 64,
        day_id=DAY + 1,
        billed_calls=0,
        spend_wei=0,
        refused={"daily_limit_exceeded": 7, "some_new_code": 2},
    )
    return RunSummary(
        log_name="logs/access.log",
        lines=tally.total.requests + 7,
        bad_line_count=7,
        bad_lines=[(number, "there is no time in square brackets") for number in range(1, 8)],
        first_at=DAY * 86_400,
        last_at=(DAY + 2) * 86_400 - 1,
        total=tally.total,
        refused=tally.refused,
        per_api=tally.per_api,
        per_consumer=tally.per_consumer,
        per_day=tally.per_day,
        solvency=Solvency(balance_wei=50 * GEN + 5, credit_wei=30 * GEN, held_wei=0, earnings_wei=20 * GEN + 5),
        consumers={client: ConsumerStanding(ACCOUNT, 20 * GEN, 5 * GEN) for client in tally.per_consumer},
        apis={"forecast": ApiStanding("weather", GEN // 100, 1500, 1200), "root": ApiStanding("site", GEN // 4, 0, 1)},
        operators=[OperatorStanding("weather", ACCOUNT, 2, 36 * GEN, 16 * GEN, settlements=4, settled_calls=900)],
        low_credit=[LowCreditNotice(LONG_IPV6, DAY * 86_400 + 3661, GEN)],
        contract_story=ContractStory(
            account=ACCOUNT,
            api="pages",
            url="http://127.0.0.1:8123/page",
            deposited_wei=GEN,
            credit_wei=GEN // 2,
            requests=[
                ContractRequest("r-1", "", f"pages:{ACCOUNT}:{DAY}:1", GEN // 2, 6, "hello"),
                ContractRequest("r-2", "insufficient_credit"),
            ],
        ),
        late_entries=3,
        environment="the fallback standard library",
    )


def printed(summary: RunSummary, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_report(summary, make_console(stream, width))
    stream.flush()
    return raw.getvalue().decode(encoding)


def row(text: str, start: str) -> list[str]:
    """Return the words of the first line that starts so."""
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


@pytest.fixture
def report() -> str:
    return printed(full_summary())


def flat(text: str) -> str:
    """Return the text with its line breaks and runs of spaces as one space."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    "expected",
    [
        "log logs/access.log",
        "time 2026-01-31 00:00:00 to 2026-02-01 23:59:59 UTC",
        "requests 3,607 from 4 clients to 3 APIs in 3,614 lines",
        "billed 3,598 calls for 36.25 GEN",
        "refused 9 calls",
        "line 5: there is no time in square brackets and 2 more",
        "order 3 requests stood after a later one",
        "runs on the fallback standard library",
    ],
)
def test_report__totals__are_at_the_top(report: str, expected: str) -> None:
    assert expected in flat(report)


def test_report__days__have_requests_calls_and_spend(report: str) -> None:
    assert row(report, "2026-01-31") == ["2026-01-31", "3,597", "3,597", "0", "36.00"]
    assert row(report, "2026-02-01") == ["2026-02-01", "10", "1", "9", "0.25"]


def test_report__consumers__show_what_is_left(report: str) -> None:
    assert row(report, "192.0.2.0") == ["192.0.2.0", "1,200", "0", "12.00", "5", "██░░░░░░░░", "25%"]


def test_report__apis__show_price_and_what_is_left_of_the_day(report: str) -> None:
    assert row(report, "forecast")[-5:] == ["0.01", "██░░░░░░░░", "300", "of", "1,500"]


def test_report__metered_api__has_a_price_at_most(report: str) -> None:
    summary = full_summary()
    metered = {"forecast": replace(summary.apis["forecast"], is_metered=True)}
    assert row(printed(replace(summary, apis=metered)), "forecast")[4:6] == ["≤", "0.01"]
    assert "≤" not in report


def test_report__metered_api_in_ascii__has_a_price_at_most() -> None:
    summary = full_summary()
    metered = {"forecast": replace(summary.apis["forecast"], is_metered=True)}
    assert "<= 0.01" in flat(printed(replace(summary, apis=metered), encoding="ascii"))


def test_report__consumer_that_took_its_credit_out__has_no_bar() -> None:
    summary = full_summary()
    gone = summary.consumers | {"192.0.2.1": ConsumerStanding(ACCOUNT, 20 * GEN, 0, 0, withdrawn_wei=8 * GEN)}
    text = printed(replace(summary, consumers=gone))
    assert row(text, "192.0.2.1")[-3:] == ["0", "taken", "out"]
    assert "192.0.2.1 took out 8 GEN of unused credit" in flat(text)


def test_report__low_credit__says_what_the_client_did(report: str) -> None:
    assert row(report, "2026-01-31 01:01:01")[-1] == "nothing"
    topped_up = [LowCreditNotice("::1", DAY * 86_400, GEN, topped_up_wei=3 * GEN)]
    assert "1 paid in 3 GEN" in flat(printed(replace(full_summary(), low_credit=topped_up)))


def test_report__books_that_were_checked__say_against_what() -> None:
    text = flat(printed(replace(full_summary(), checked="9 accounts")))
    assert text.endswith("checked against the contract's own views: 9 accounts")


def test_report__file__has_no_spaces_at_line_ends(report: str) -> None:
    assert [line for line in report.splitlines() if line != line.rstrip()] == []


def test_report__api_without_a_daily_limit__says_so(report: str) -> None:
    assert row(report, "root")[-2:] == ["no", "limit"]


def test_report__refusals__are_in_plain_words(report: str) -> None:
    assert "7 all calls of the day were used up daily_limit_exceeded" in flat(report)


def test_report__refusal_with_an_unknown_code__shows_the_code(report: str) -> None:
    assert "2 some new code some_new_code" in flat(report)


def test_report__low_credit__has_time_and_credit(report: str) -> None:
    assert "2026-01-31 01:01:01" in report


def test_report__operators__show_earnings_and_withdrawal(report: str) -> None:
    assert row(report, "weather") == ["weather", "2", "4", "900", "36", "16", "20"]
    assert f"weather withdrew 16 GEN to {ACCOUNT}" in flat(report)


@pytest.mark.parametrize(
    "expected",
    [
        "r-1: billed 0.5 GEN",
        "sent 6 HTTP requests for this one bill",
        "and agreed on: hello",
        "r-2: refused: not covered by free credit or, in a session, by its hold",
        "left 0.5 GEN of credit",
    ],
)
def test_report__consumer_contract__has_its_story(report: str, expected: str) -> None:
    assert expected in flat(report)


def test_report__solvency__is_exact_to_the_wei(report: str) -> None:
    assert "the contract holds 50.000000000000000005 GEN" in flat(report)
    assert "solvent: it holds exactly what it owes" in report


@pytest.mark.parametrize(
    ("balance_wei", "verdict"), [(9, "NOT SOLVENT: 1 wei are missing"), (11, "1 wei more than it owes")]
)
def test_report__books_that_differ_from_the_balance__say_by_how_much(balance_wei: int, verdict: str) -> None:
    assert verdict in printed(replace(full_summary(), solvency=Solvency(balance_wei, 10, 0, 0)))


def test_report__many_consumers__shows_the_top_and_counts_the_rest() -> None:
    text = printed(full_summary(consumers=30))
    assert sum(line.strip().startswith("192.0.2.") for line in text.splitlines()) == TOP
    assert "and 21 more consumers" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_report__any_width__is_kept(width: int) -> None:
    assert max(map(len, printed(full_summary(), width).splitlines())) <= width


def test_report__eighty_columns__cuts_no_number_and_no_name(report: str) -> None:
    assert "…" not in report
    assert LONG_IPV6[:12] in report


def test_report__not_a_terminal__has_no_control_characters(report: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in report)


def test_report__no_color__has_no_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    console = make_console(stream, 80)
    console._force_terminal = True
    print_report(full_summary(), console)
    assert not any(f"\x1b[{colour}m" in stream.getvalue() for colour in range(30, 38))


def test_report__output_that_knows_only_ascii__is_ascii() -> None:
    summary = replace(full_summary(), log_name="protokoll-für-märz.log")
    text = printed(summary, encoding="ascii")
    assert "##........  25%" in text
    assert r"protokoll-f\xfcr-m\xe4rz.log" in text


def test_report__hostile_text__reaches_the_terminal_as_text() -> None:
    assert r"[red]a\x1b[2Jb\x07.log[/red]" in printed(replace(full_summary(), log_name="[red]a\x1b[2Jb\x07.log[/red]"))


def test_report__line_break_in_a_name__starts_no_line_of_its_own() -> None:
    assert r"a\nsolvent" in printed(replace(full_summary(), log_name="a\nsolvent"))


def test_report__long_result_of_the_contract__is_cut() -> None:
    summary = full_summary()
    assert summary.contract_story is not None
    story = replace(summary.contract_story, requests=[ContractRequest("r-1", result="x" * 5000)])
    assert printed(replace(summary, contract_story=story)).count("x") < 500


def test_report__file_name_that_is_not_utf8__is_shown() -> None:
    assert r"caf\udce9.log" in printed(replace(full_summary(), log_name="caf\udce9.log"))


def test_report__cells_that_are_cut_in_ascii__are_printed() -> None:
    assert "Solvency" in printed(full_summary(), width=45, encoding="ascii")


def test_report__nothing_but_totals__leaves_the_other_sections_out() -> None:
    empty = Tally()
    summary = replace(
        full_summary(),
        total=empty.total,
        refused={},
        per_api={},
        per_consumer={},
        per_day={},
        consumers={},
        apis={},
        operators=(),
        low_credit=(),
        contract_story=None,
        late_entries=0,
    )
    headings = [line.split(" ─")[0] for line in printed(summary).splitlines() if "──" in line]
    assert headings == ["API usage", "Solvency"]
