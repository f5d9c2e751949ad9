"""The report of the demo of the meter."""

import io
from dataclasses import replace

import pytest

from demo.layout import make_console
from demo.metered.figures import MeteredFigures
from demo.metered.report import print_metered_report

from .sample import figures


def shown(found: MeteredFigures, *, encoding: str = "utf-8", width: int = 80) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_metered_report(found, make_console(file, width))
    file.flush()
    return raw.getvalue().decode(encoding)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_report__at_eighty_columns__is_no_wider(encoding: str) -> None:
    assert max(map(len, shown(figures(), encoding=encoding).splitlines())) <= 80


def test_report__of_a_sound_run__has_every_section_and_figure() -> None:
    text = flat(shown(figures()))
    for part in (
        "requests 99 of 9 accounts in 1.5 s",
        "has a hold for 10 calls: 10 served, 2 refused with 402",
        "is on a plan of 10 calls a day: 10 served, 2 refused with 429",
        "signs for 10 calls: 10 served, 2 refused with 402; signed 30 wei, billed 30 wei",
        "pays by x402: 10 of 10 requests served; signed 30 wei, billed 30 wei",
        "pays by mpp: 10 of 10 requests served",
        "11 served, 1 of them with the answer of before; charged 10 calls",
        "10 served, 2 failed with 500; charged 10 calls",
        "all 99 90 270 90 270 630",
        '{"costs": "1 gwei"}',
        "the operator refunded 3 wei for the call that failed",
        "had paid 40 wei. The court decided for 50%: 20 wei are its credit again, 20 wei the operator's",
        "leader and validators, as this localnet tells them: [b]no answers[/]",
        "45 calls per transaction, 1 of 2 batches while requests were coming",
        "zero, in all of 9 lines",
        "withdrew 0.000000000000000367 GEN",
        "solvent: it holds exactly what it owes",
    ):
        assert part in text, part


def test_report__many_consumers__shows_ten_and_the_sum_of_the_rest() -> None:
    lines = [line.split() for line in shown(figures(ordinary=20)).splitlines()]
    assert sum(line[1:] == ["10", "10", "30", "10", "30", "70"] for line in lines) >= 5
    assert ["17", "more", "170", "170", "510", "170", "510", "1,190"] in lines


def test_report__that_is_not_zero__shows_the_reasons() -> None:
    text = shown(replace(figures(), is_zero=False, reasons=("0xab on day 3: 1 calls, 3 wei: refused: hold_short",)))
    assert "NOT ZERO" in text
    assert "3 wei: refused: hold_short" in text


def test_report__text_from_outside__disturbs_no_terminal() -> None:
    text = shown(figures())
    assert "\x1b" not in text
    assert "[bold]not markup[/]" in text
