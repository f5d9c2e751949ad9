"""Consumers, keys, tiers, credit, quotas and budgets on the command line."""

import json
import logging
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.identity.api_keys import parse_key
from api_billing.metering.ledger.consumer_operations import FindKey
from api_billing.metering.ledger.operations import Grant
from api_billing.metering.stores.sqlite.store import SqliteStore

GEN = 10**18


def test_consumers__added_and_disabled__are_listed(acme: Any) -> None:
    acme("consumers", "disable", "acme")
    [found] = acme("consumers", "list", "--json").json
    assert (found["consumer"], found["tier"], found["disabled"]) == ("acme", "free", True)


def test_consumers__more_than_asked_for__are_found_as_it_says(acme: Any, meter: Any) -> None:
    meter.add_consumer("b's")
    meter.add_consumer("c")
    [*_, more] = acme("consumers", "list", "--limit", "2").out.splitlines()
    assert more == """more: --after 'b'"'"'s'"""
    rest = acme("consumers", "list", "--limit", "2", *shlex.split(more.removeprefix("more: ")))
    assert ("c " in rest.out, "more" in rest.out) == (True, False)


def test_consumers__disabled_and_enabled__are_served(acme: Any) -> None:
    acme("consumers", "disable", "acme")
    assert "served" in acme("consumers", "enable", "acme").out


def test_consumers__added_again_with_another_tier__are_a_conflict(acme: Any) -> None:
    assert "exists, with the tier free" in acme("consumers", "add", "acme", "--tier", "pro", code=1).err


def test_consumers__added_again__stay_as_they_are(acme: Any) -> None:
    acme("tier", "assign", "acme", "pro")
    assert acme("consumers", "add", "acme", "--json").json["tier"] == "pro"


@pytest.mark.parametrize(
    ("shares", "steps"),
    [
        ((), ["warn 80", "reject 100"]),
        (("--warn", "50"), ["warn 50", "reject 100"]),
        (("--throttle", "90"), ["throttle 90", "reject 100"]),
        (("--reject", "70"), ["reject 70"]),
        (("--warn", "50", "--no-reject"), ["warn 50"]),
    ],
)
def test_budget__set__rejects_at_100_percent_unless_told_otherwise(
    acme: Any, shares: tuple[str, ...], steps: list[str]
) -> None:
    [budget] = acme("budget", "set", "acme", "b", "--per", "day", "--spending", "1gen", *shares, "--json").json
    assert [f"{step['action']} {step['percent']}" for step in budget["steps"]] == steps


@pytest.mark.parametrize("shares", [("--no-reject",), ("--no-reject", "--reject", "9")])
def test_budget__that_would_do_nothing_or_two_things__is_refused(acme: Any, shares: tuple[str, ...]) -> None:
    acme("budget", "set", "acme", "b", "--per", "day", "--spending", "1gen", *shares, code=2)


@pytest.mark.parametrize(("consumer", "amount"), [("other", "5gen"), ("acme", "6gen")])
def test_credit__id_of_another_grant__is_a_conflict(acme: Any, meter: Any, consumer: str, amount: str) -> None:
    acme("consumers", "add", "other")
    assert "was made before" in acme("credit", "add", consumer, amount, "--id", "first", code=1).err
    assert (meter.balance("acme").granted_wei, meter.balance("other").granted_wei) == (5 * GEN, 0)


def test_credit__same_grant_again__counts_once(acme: Any, meter: Any) -> None:
    acme("credit", "add", "acme", "5gen", "--id", "first", "--note", "again")
    assert meter.balance("acme").granted_wei == 5 * GEN


def test_consumers__name_that_is_none__is_refused(run: Any) -> None:
    assert "1 to 200 printable characters" in run("consumers", "add", " x", code=2).err


@pytest.mark.parametrize(
    "command",
    [
        ("consumers", "add", "\udcff"),
        ("consumers", "disable", "\udcff"),
        ("credit", "show", "\udcff"),
        ("credit", "add", "\udcff", "1gwei"),
        ("credit", "add", "acme", "1gwei", "--id", "\udcff"),
        ("quota", "show", "\udcff"),
        ("keys", "create", "\udcff"),
        ("keys", "list", "--consumer", "\udcff"),
        ("audit", "--consumer", "\udcff"),
        ("usage", "--api", "\udcff"),
        ("tier", "set", "\udcff", "--unlimited"),
        ("tier", "assign", "acme", "\udcff"),
    ],
    ids=" ".join,
)
def test_text__that_cannot_be_encoded__is_wrong_usage_and_not_a_store_that_is_away(
    acme: Any, command: tuple[str, ...]
) -> None:
    acme(*command, code=2)


def test_consumers__nobody__is_told_how_to_make_one(run: Any) -> None:
    run("tier", "set", "own", "--unlimited")
    assert "consumers add" in run("consumers", "list").out


def test_keys__created__are_shown_once(acme: Any) -> None:
    text = acme("keys", "create", "acme", "--json").json["key"]
    parsed = parse_key(text)
    assert parsed is not None
    assert parsed.secret not in acme("keys", "list").out + acme("keys", "list", "--json").out


def test_keys__created__are_in_no_log(acme: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    parsed = parse_key(acme("keys", "create", "acme", "--json").json["key"])
    assert parsed is not None
    assert parsed.secret not in caplog.text


def test_keys__revoked__are_told_so(acme: Any, meter: Any) -> None:
    key_id = acme("keys", "create", "acme", "--label", "web", "--json").json["key_id"]
    assert f"key {key_id} of acme is revoked" in acme("keys", "revoke", key_id).out
    assert "as it was before" in acme("keys", "revoke", key_id).out
    assert meter.store.call(FindKey(key_id)).revoked_ms is not None


def test_keys__revoked_by_their_text__are_refused(acme: Any) -> None:
    text = acme("keys", "create", "acme", "--json").json["key"]
    ran = acme("keys", "revoke", text, code=2)
    assert "by its id" in ran.err
    assert text not in ran.err


def test_keys__unknown__are_refused(acme: Any) -> None:
    assert "there is no key" in acme("keys", "revoke", "12345678", code=2).err


def test_keys__of_nobody__say_how_to_make_the_consumer(acme: Any) -> None:
    assert "consumers add" in acme("keys", "create", "nobody", code=2).err


def test_keys__of_an_unknown_tier__are_refused(acme: Any) -> None:
    assert "there is no tier" in acme("keys", "create", "acme", "--tier", "nope", code=2).err


def test_tier__set_and_assigned__holds(acme: Any) -> None:
    acme("tier", "set", "gold", "--monthly-calls", "5", "--retention-days", "9")
    acme("tier", "assign", "acme", "gold")
    [month] = acme("quota", "show", "acme", "--json").json
    assert (month["name"], month["limit"], month["remaining"]) == ("month", 5, 5)


def test_tier__changed__keeps_what_is_not_given(run: Any) -> None:
    run("tier", "set", "pro", "--unlimited")
    pro = next(each for each in run("tier", "list", "--json").json if each["tier"] == "pro")
    assert (pro["monthly_calls"], pro["retention_days"]) == (None, 30)


@pytest.mark.parametrize("options", [(), ("--unlimited", "--monthly-calls", "1")])
def test_tier__new_without_a_clear_limit__is_refused(run: Any, options: tuple[str, ...]) -> None:
    run("tier", "set", "gold", *options, code=2)


def test_tier__assigned_that_is_none__is_refused(acme: Any) -> None:
    assert "tier set" in acme("tier", "assign", "acme", "nope", code=2).err


def test_credit__same_id_again__counts_once(acme: Any) -> None:
    found = acme("credit", "add", "acme", "5gen", "--id", "first", "--json").json
    assert (found["id"], found["free_wei"]) == ("first", 5 * GEN)


def test_credit__without_an_id__prints_one_that_can_be_repeated(acme: Any) -> None:
    made = acme("credit", "add", "acme", "3gwei", "--json").json["id"]
    again = acme("credit", "add", "acme", "3gwei", "--id", made, "--json").json
    assert again["granted_wei"] == 5 * GEN + 3 * 10**9


def test_credit__refused__tells_no_grant(acme: Any) -> None:
    refused = acme("credit", "take", "acme", "9gen", "--id", "my-id", code=1)
    assert "my-id" not in refused.out + refused.err


@pytest.mark.parametrize("lost", [StoreUnavailable("gone"), KeyboardInterrupt()], ids=["lost", "ended"])
def test_credit__answer_lost__tells_how_to_repeat_the_grant(
    acme: Any, monkeypatch: pytest.MonkeyPatch, lost: BaseException
) -> None:
    made = SqliteStore.call

    def losing(store: Any, operation: Any) -> Any:
        reply = made(store, operation)
        if isinstance(operation, Grant):
            raise lost
        return reply

    with monkeypatch.context() as broken:
        broken.setattr(SqliteStore, "call", losing)
        told = acme("credit", "add", "acme", "2gen", code=3 if isinstance(lost, StoreUnavailable) else 130).err
    repeated = re.search(r"repeat it with (--id) (\w+)", told)
    assert repeated is not None
    assert "7 GEN" in acme("credit", "add", "acme", "2gen", *repeated.groups()).out


def test_credit__taken_back__is_gone(acme: Any) -> None:
    acme("credit", "take", "acme", "2gen")
    assert "3 GEN" in acme("credit", "show", "acme").out


def test_credit__of_nobody__is_refused(acme: Any) -> None:
    acme("credit", "add", "nobody", "1gen", code=2)
    acme("credit", "show", "nobody", code=2)


@pytest.mark.parametrize("amount", ["1.5", "much", "1eth"])
def test_credit__amount_that_is_none__is_refused(acme: Any, amount: str) -> None:
    acme("credit", "add", "acme", amount, code=2)


def test_quota__set__is_shown_with_what_is_left(acme: Any) -> None:
    acme("quota", "set", "acme", "daily", "--per", "day", "--calls", "100")
    daily = acme("quota", "set", "acme", "gold", "--per", "month", "--spending", "1gen", "--json").json[1]
    assert (daily["name"], daily["unit"], daily["limit"], daily["remaining"]) == ("daily", "calls", 100, 100)


def test_quota__set_again__replaces_the_one_of_its_name(acme: Any) -> None:
    acme("quota", "set", "acme", "daily", "--per", "day", "--calls", "100")
    found = acme("quota", "set", "acme", "daily", "--per", "day", "--calls", "50", "--json").json
    assert [each["limit"] for each in found if each["name"] == "daily"] == [50]


def test_quota__removed__is_gone(acme: Any) -> None:
    acme("quota", "set", "acme", "daily", "--per", "day", "--calls", "100")
    assert [each["name"] for each in acme("quota", "remove", "acme", "daily", "--json").json] == ["month"]
    acme("quota", "remove", "acme", "daily", code=2)


@pytest.mark.parametrize(
    "options",
    [
        ("--per", "fortnight", "--calls", "1"),
        ("--per", "day"),
        ("--per", "day", "--calls", "1", "--spending", "1gen"),
        ("--per", "day", "--calls", "1", "--from", "tomorrow"),
    ],
)
def test_quota__that_cannot_be__is_refused(acme: Any, options: tuple[str, ...]) -> None:
    acme("quota", "set", "acme", "x", *options, code=2)


def test_quota__name_that_no_header_can_have__is_refused(acme: Any) -> None:
    assert "printable ASCII" in acme("quota", "set", "acme", 'a"b', "--per", "day", "--calls", "1", code=2).err


def test_budget__set__has_its_steps(acme: Any) -> None:
    shares = ("--warn", "50", "--warn", "80", "--throttle", "90", "--reject", "100")
    acme("budget", "set", "acme", "ai", "--per", "month", "--spending", "2gen", "--scope", "model", *shares)
    [found] = acme("budget", "show", "acme", "--json").json
    assert [(step["percent"], step["action"]) for step in found["steps"]] == [
        (50, "warn"),
        (80, "warn"),
        (90, "throttle"),
        (100, "reject"),
    ]


@pytest.mark.parametrize("tier", ["free", "enterprise"])
def test_quota_show__budget_for_each_model__says_that_it_is_not_shown(acme: Any, tier: str) -> None:
    acme("tier", "assign", "acme", tier)
    acme("budget", "set", "acme", "ai", "--per", "month", "--spending", "2gen", "--scope", "model")
    shown = acme("quota", "show", "acme").out.splitlines()
    assert shown[-1] == "budget ai is for each model"
    assert len(shown) == (1 if tier == "enterprise" else 4)


def test_budget__removed__is_gone(acme: Any) -> None:
    acme("budget", "set", "acme", "ai", "--per", "month", "--spending", "2gen")
    assert acme("budget", "remove", "acme", "ai").out == "no budgets\n"


@pytest.mark.parametrize(
    "options", [(), ("--spending", "1gen", "--scope", "all"), ("--spending", "1gen", "--warn", "-1")]
)
def test_budget__that_cannot_be__is_refused(acme: Any, options: tuple[str, ...]) -> None:
    acme("budget", "set", "acme", "ai", "--per", "month", *options, code=2)


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("mysql://x", "not the URL of a store"),
        ("sqlite:///none/meter.db", "does the folder exist"),
        ("redis://user:secret@127.0.0.1:1/0", ""),
    ],
)
def test_store__that_cannot_be_used__is_told_without_its_password(run: Any, url: str, because: str) -> None:
    code = 2 if url.startswith("mysql") else 3
    ran = run("tier", "set", "own", "--unlimited", "--store", url, code=code)
    assert because in ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    "command",
    [
        ("consumers", "list"),
        ("credit", "add", "acme", "5gen"),
        ("keys", "create", "acme"),
        ("usage",),
        ("audit",),
        ("tier", "list"),
        ("limits", "list"),
        ("settle", "status", "weather"),
        ("usage", "prove", "01KBZ4D3M8W2T6V9XQ5R7YJHNE"),
    ],
)
def test_command__where_there_is_no_store__says_so_and_makes_none(
    run: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    refused = run(*command, code=2).err
    assert "sqlite:///meter.db has no store of the meter" in refused
    assert "--store" in refused
    assert list(tmp_path.iterdir()) == []


def test_error__as_json__has_kind_and_next_step(acme: Any) -> None:
    error = json.loads(acme("keys", "create", "nobody", "--json", code=2).out)["error"]
    assert (error["kind"], "consumers add" in error["next"]) == ("UnknownConsumer", True)
