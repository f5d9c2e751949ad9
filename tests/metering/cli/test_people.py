"""Keys with limits, resets, and what was used and paid in a month, on the command line."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering import Quota
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Grant, GrantMade, Reserve, Settle
from api_billing.metering.statements import Days, make_statement
from api_billing.metering.stores.memory.store import MemoryStore
from api_billing.metering.stores.steps import run as drive

NOVEMBER_MS = 1_793_491_200_000  # 2026-11-01
DAY_MS = 86_400_000
GEN = 10**18


def served(meter: Any, at_ms: int, wei: int = GEN, api: str = "weather", consumer: str = "acme") -> str:
    made = Reserve(new_id(at_ms), at_ms, at_ms + 1, meter.account_of(api, consumer), api, consumer, wei)
    meter.store.call(made)
    meter.store.call(Settle(made.reservation_id, made.account, at_ms, wei))
    return made.reservation_id


def test_keys_create__with_limits__has_them_and_an_end(acme: Any, meter: Any) -> None:
    made = acme(
        "keys", "create", "acme", "--expires", "90d", "--api", "weather", "--api", "maps", "--cap", "5gen", "--json"
    ).json
    assert (made["apis"], made["quotas"]) == (
        ["weather", "maps"],
        [{"name": "cap", "period": "month", "limit": 5 * GEN, "unit": "wei"}],
    )
    assert abs(made["expires_ms"] - made["created_ms"] - 90 * DAY_MS) < 60_000
    assert "weather" in acme("keys", "list").out


@pytest.mark.parametrize("text", ["90", "d", "5y", "1.5h", "0d", "36501d", "999999w"])
def test_keys_create__span_that_is_none__is_refused(acme: Any, text: str) -> None:
    assert "span" in acme("keys", "create", "acme", "--expires", text, code=2).err


def test_keys_import__from_a_file__works_and_is_told_nowhere(acme: Any, meter: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk_live_0123456789abcdef\n")
    ran = acme("keys", "import", "acme", "--file", tmp_path / "key", "--label", "old")
    assert "sk_live" not in ran.out + ran.err
    [key] = meter.keys("acme")
    assert (key.label, meter.import_key("sk_live_0123456789abcdef", "acme", label="old")) == ("old", key)


def test_keys_import__what_is_no_key_or_no_file__is_refused_without_telling_it(acme: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("tooshort")
    ran = acme("keys", "import", "acme", "--file", tmp_path / "key", code=2)
    assert "tooshort" not in ran.out + ran.err
    acme("keys", "import", "acme", "--file", tmp_path / "nothing", code=2)


def test_keys_rotate__with_an_overlap__makes_one_and_ends_the_other(acme: Any, meter: Any) -> None:
    old = acme("keys", "create", "acme", "--label", "ci", "--json").json
    new = acme("keys", "rotate", old["key_id"], "--overlap", "7d", "--json").json
    kept = {key.key_id: key for key in meter.keys("acme")}
    assert (new["label"], new["first"]) == ("ci", old["key_id"])
    assert abs(kept[old["key_id"]].expires_ms - new["created_ms"] - 7 * DAY_MS) < 60_000
    assert "id" in acme("keys", "rotate", old["key"], code=2).err


def test_keys_change__what_is_given__is_that_and_the_rest_stays(acme: Any, meter: Any) -> None:
    made = ("--label", "page", "--cap", "5 gen", "--api", "weather")
    key = acme("keys", "create", "acme", *made, "--json").json["key_id"]
    one = acme("keys", "change", key, "--cap", "6 gen", "--expires", "1d", "--json").json
    assert (one["label"], one["apis"], one["expires_ms"] > 0) == ("page", ["weather"], True)
    assert [each["limit"] for each in one["quotas"]] == [6 * 10**18]
    assert acme("keys", "change", key, "--tier", "pro", "--json").json["tier"] == "pro"
    none = ("--tier", "", "--cap", "none", "--expires", "never", "--api", "all", "--label", "")
    two = acme("keys", "change", key, *none, "--json").json
    assert (two["quotas"], two["expires_ms"], two["apis"], two["label"], two["tier"]) == ([], None, [], "", "")
    assert "nothing" in acme("keys", "change", key, code=2).err


def test_quota__of_a_tier__is_set_shown_and_removed(acme: Any, meter: Any) -> None:
    made = acme("quota", "set", "free", "daily", "--tier", "--per", "day", "--calls", "2", "--json").json
    assert (made["tier"], made["monthly_calls"], made["quotas"]) == ("free", 1_000, ["daily"])
    acme("quota", "set", "free", "spend", "--tier", "--per", "month", "--spending", "1.5gen")
    acme("quota", "set", "free", "daily", "--tier", "--per", "day", "--calls", "3")
    [free] = [tier for tier in meter.tiers() if tier.name == "free"]
    assert free.quotas == (Quota("spend", "month", 15 * 10**17, "wei"), Quota("daily", "day", 3))
    assert "spend, daily" in acme("tier", "list").out
    assert acme("quota", "remove", "free", "daily", "--tier", "--json").json["quotas"] == ["spend"]
    assert "daily" in acme("quota", "remove", "free", "daily", "--tier", code=2).err
    assert "platinum" in acme("quota", "set", "platinum", "d", "--tier", "--per", "day", "--calls", "1", code=2).err


def test_reset__of_the_month__is_in_the_audit_log(acme: Any, meter: Any) -> None:
    assert acme("consumers", "reset", "acme", "--note", "sorry", "--json").json["was"] == 0
    [record] = acme("audit", "--state", "reset", "--json").json["records"]
    assert (record["consumer"], record["route"], record["tags"]["note"]) == ("acme", "month", "sorry")
    assert "sorry" in acme("audit").out


def test_reset__of_a_keys_cap__names_the_key(acme: Any, meter: Any) -> None:
    key = acme("keys", "create", "acme", "--cap", "5 gen", "--json").json["key_id"]
    assert acme("consumers", "reset", "acme", "key/cap", "--key", key, "--json").json["was"] == 0
    assert "key/cap" in acme("consumers", "reset", "acme", "key/cap", code=2).err


def test_audit__newest_first__is_the_other_way_by_pages(acme: Any, meter: Any) -> None:
    made = [served(meter, NOVEMBER_MS + hour * 3_600_000) for hour in range(3)]
    first = acme("audit", "--newest-first", "--limit", "2", "--json").json
    second = acme("audit", "--newest-first", "--limit", "2", "--after", first["next"], "--json").json
    assert [each["id"] for page in (first, second) for each in page["records"]] == made[::-1]
    assert "--follow" in acme("audit", "--newest-first", "--follow", code=2).err


def test_audit__address_in_any_case__is_found(acme: Any, meter: Any) -> None:
    address = "0x" + "ab" * 20
    meter.add_consumer(address)
    meter.grant(address, GEN, grant_id="of an address")
    made = served(meter, NOVEMBER_MS, consumer=address)
    found = acme("audit", "--consumer", "0x" + "AB" * 20, "--json").json
    assert [each["id"] for each in found["records"]] == [made]


@pytest.mark.parametrize(
    ("options", "days"),
    [
        (["--month", "2026-11"], [20_758, 20_787]),
        (["--from", "2026-10-31", "--until", "2026-11-01"], [20_757, 20_758]),
        (["--until", "2026-10-31", "--days", "1"], [20_757]),
        (["--from", "2026-11-30", "--until", "2026-12-31"], [20_787, 20_788]),
    ],
)
def test_usage__of_a_month_or_days__is_that(acme: Any, meter: Any, options: list[str], days: list[int]) -> None:
    for day in (-1, 0, 29, 30):
        served(meter, NOVEMBER_MS + day * DAY_MS)
    assert [each["day"] for each in acme("usage", *options, "--json").json] == days


@pytest.mark.parametrize(
    "options",
    [["--month", "2026-13"], ["--month", "11"], ["--month", "2026-11", "--from", "2026-11-01"], ["--from", "x"]],
)
def test_usage__of_no_month_or_day__is_refused(acme: Any, options: list[str]) -> None:
    assert acme("usage", *options, code=2).err


def test_usage__as_csv__is_exact_and_no_formula(acme: Any, meter: Any) -> None:
    meter.add_consumer("=1+1")
    meter.grant("=1+1", GEN, grant_id="formula")
    served(meter, NOVEMBER_MS, 15 * 10**17 + 1)
    served(meter, NOVEMBER_MS, GEN, consumer="=1+1")
    rows = list(csv.DictReader(StringIO(acme("usage", "--month", "2026-11", "--csv").out)))
    assert [(row["day"], row["consumer"], row["charged GEN"]) for row in rows] == [
        ("2026-11-01", "'=1+1", "1"),
        ("2026-11-01", "acme", "1.500000000000000001"),
    ]


def test_statement__of_a_month__has_what_was_used_and_granted(acme: Any, meter: Any) -> None:
    served(meter, NOVEMBER_MS, GEN)
    made = acme("statement", "acme", "--month", "2026-11", "--json").json
    assert (made["total"]["charged_wei"], made["currency"]) == (GEN, "GEN")
    shown = acme("statement", "acme", "--month", "2026-11").out
    assert "weather" in shown
    assert "1 GEN" in shown


def test_statement__as_a_page__loads_nothing_and_escapes(acme: Any, meter: Any, tmp_path: Path) -> None:
    meter.add_consumer("<b>&")
    meter.grant("<b>&", GEN, grant_id="<script>")
    served(meter, NOVEMBER_MS, GEN // 2, api="<img>", consumer="<b>&")
    acme("statement", "<b>&", "--month", "2026-11", "--output", tmp_path / "bill.html")
    page = (tmp_path / "bill.html").read_text()
    assert not any(word in page for word in ("<b>", "<img", "<script", "src=", "http:", "https:", "url("))
    assert "&lt;img&gt;" in page
    assert "@media print" in page
    acme("statement", "<b>&", "--month", "2026-11", "--output", tmp_path / "bill.txt")
    assert "<img>" in (tmp_path / "bill.txt").read_text()


def test_statement__of_nobody_or_to_nowhere__is_refused(acme: Any, tmp_path: Path) -> None:
    acme("statement", "nobody", "--month", "2026-11", code=2)
    acme("statement", "acme", "--month", "2026-11", "--output", tmp_path / "no" / "bill.txt", code=2)


@pytest.mark.parametrize("name", ["bill.csv", "bill.PDF"])
def test_statement__to_a_file_of_another_kind__is_refused(acme: Any, tmp_path: Path, name: str) -> None:
    refused = acme("statement", "acme", "--month", "2026-11", "--output", tmp_path / name, code=2).err
    assert "usage --consumer acme --month 2026-11 --csv" in refused
    assert not (tmp_path / name).exists()


def test_statement__where_grants_are_missing__does_not_make_up_a_balance() -> None:
    with MemoryStore() as store:
        store.call(Grant("a", "acme", 5, NOVEMBER_MS))
        days = Days.of_month("2026-11")
        whole = drive(make_statement("acme", "acme", days), store.call)
        assert (whole.opening_wei, whole.closing_wei, whole.grants) == (0, 5, (GrantMade("a", NOVEMBER_MS, 5),))
        store._tables.account("acme").granted_wei = 7
        assert drive(make_statement("acme", "acme", days), store.call).closing_wei is None
        assert drive(make_statement("acme", "", days), store.call).closing_wei is None
