"""Values as they are typed, entries from files, and drawings."""

from pathlib import Path

import pytest

from api_billing.cli.drawing import sparkline, usage_bar
from api_billing.cli.entries import read_entries
from api_billing.cli.values import day_id_of, day_text, moment_text, seconds_of, unix_of
from api_billing.errors import InvalidInput

CONSUMER = "0x" + "ab" * 20
ROW = f"{CONSUMER},2026-01-15,3,0.5gen"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2W", 1209600)]
)
def test_seconds_of__duration__is_in_seconds(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "1y", "9999999999d"])
def test_seconds_of__no_duration__is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1768478400", 1768478400),
        ("2026-01-15T12:00:00Z", 1768478400),
        ("2026-01-15 12:00", 1768478400),
        ("2026-01-15T13:00:00+01:00", 1768478400),
        ("2026-01-15", 1768435200),
    ],
)
def test_unix_of__time__is_utc_where_it_names_no_zone(text: str, at: int) -> None:
    assert unix_of(text) == at


def test_day_id_of__date_or_number__is_days_since_1970() -> None:
    assert day_id_of("2026-01-15") == day_id_of("20468") == 20468
    assert day_text(20468) == "2026-01-15"


def test_moment_text__beyond_the_calendar__is_the_number() -> None:
    assert moment_text(10**20) == str(10**20)


@pytest.mark.parametrize("name", ["usage.csv", "usage.json", "entries.json"])
def test_read_entries__every_form__is_the_same(tmp_path: Path, name: str) -> None:
    line = f'[{{"consumer": "{CONSUMER}", "day_id": 20468, "calls": 3, "spend_wei": 500000000000000000}}]'
    texts = {
        "usage.csv": f"consumer,day_id,calls,spend_wei\n{ROW}\n",
        "usage.json": line,
        "entries.json": f'{{"entries": {line}}}',
    }
    (tmp_path / name).write_text(texts[name])
    (entry,) = read_entries(tmp_path / name)
    assert (entry.consumer, entry.day_id, entry.calls, entry.spend_wei) == (CONSUMER, 20468, 3, 5 * 10**17)


@pytest.mark.parametrize(
    ("row", "because"),
    [
        ("0x12,20468,3,5", "address of a consumer"),
        (f"{CONSUMER},someday,3,5", "is no day"),
        (f"{CONSUMER},20468,0,5", "not a number of calls"),
        (f"{CONSUMER},20468,1.5,5", "not a number of calls"),
        (f"{CONSUMER},20468,3,-5", "is not an amount"),
        (f"{CONSUMER},20468,3", "neither a whole number nor a text"),
    ],
)
def test_read_entries__wrong_row__names_its_place(tmp_path: Path, row: str, because: str) -> None:
    (tmp_path / "usage.csv").write_text(f"consumer,day_id,calls,spend_wei\n{ROW}\n{row}\n")
    with pytest.raises(InvalidInput, match=f"usage.csv, entry 2: .*{because}"):
        read_entries(tmp_path / "usage.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", ""),
        ("a.json", "{}"),
        ("a.json", "[]"),
        ("a.json", "[1]"),
        ("a.json", '[{"consumer": 1}]'),
        ("a.csv", ""),
        ("a.csv", "who,what\n1,2\n"),
    ],
)
def test_read_entries__no_entries__is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput):
        read_entries(tmp_path / name)


def test_read_entries__more_than_a_settlement_takes__says_to_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("consumer,day_id,calls,spend_wei\n" + f"{ROW}\n" * 257)
    with pytest.raises(InvalidInput) as refused:
        read_entries(tmp_path / "a.csv")
    assert "split" in refused.value.hint


def test_read_entries__no_file__is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_entries(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("used", "limit", "bar"),
    [
        (0, 100, "." * 20),
        (1, 1000, "#" + "." * 19),
        (50, 100, "#" * 10 + "." * 10),
        (99, 100, "#" * 19 + "."),
        (100, 100, "#" * 20),
        (150, 100, "#" * 20),
        (0, 0, "#" * 20),
    ],
)
def test_usage_bar__is_empty_and_full_only_when_it_is(used: int, limit: int, bar: str) -> None:
    assert usage_bar(used, limit, ascii_only=True).plain == bar


def test_sparkline__values__are_as_high_as_their_share() -> None:
    assert sparkline([0, 1, 50, 100], ascii_only=False) == " ▁▄█"


def test_sparkline__plain_ascii__has_no_other_signs() -> None:
    assert sparkline([0, 1, 50, 100], ascii_only=True) == " .=@"


def test_sparkline__nothing_used__is_blank() -> None:
    assert sparkline([0, 0], ascii_only=False) == "  "
