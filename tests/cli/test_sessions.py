"""What is accepted, sessions and their vouchers, from the command line."""

import json
from pathlib import Path

import pytest
from eth_account import Account

from api_billing.client import BillingClient
from api_billing.metering.identity.vouchers import read_voucher
from api_billing.metering.request.identity import Identity
from api_billing.transport import RpcProvider
from api_billing.vouchers import Voucher
from genlayer_localnet.rpc.server import RpcServer

from .conftest import ONE_GEN, Run

SECOND = "localnet:1"
KEY = "0x" + 64 * "7"
SIGNER = Account.from_key(KEY).address
OPEN = ("session", "open", "weather", "1gen", "--signer", SIGNER, "--max-daily-spend", "1gen", "--for", "7d")
SIGN = ("session", "sign", "weather", "--consumer", SECOND, "--account", "env:SESSION_KEY")


@pytest.fixture
def opened(market: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The market, where localnet:1 has a session of 1 GEN, whose key is in the environment."""
    monkeypatch.setenv("SESSION_KEY", KEY)
    assert market(*OPEN, "--account", SECOND).code == 0
    return market


def raise_price_after_it_was_read(market: Run, monkeypatch: pytest.MonkeyPatch, *price: str) -> None:
    read = BillingClient.get_api

    def read_then_raise(client: BillingClient, api_name: str) -> object:
        found = read(client, api_name)
        monkeypatch.setattr(BillingClient, "get_api", read)
        assert market("api", "plan", "weather", *price, "--daily", "9").code == 0
        return found

    monkeypatch.setattr(BillingClient, "get_api", read_then_raise)


# ---- the price that is accepted ----


def test_subscribe__price__is_shown_before_it_is_accepted(market: Run) -> None:
    ran = market("subscribe", "weather", "--max-daily-spend", "1gen", "--account", "localnet:2")
    assert ran.err == "weather, plan standard: 0.01 GEN a call\n"
    assert "at 0.01 GEN a call" in ran.out


@pytest.mark.parametrize(
    "command", [("subscribe", "weather", "--max-daily-spend", "1gen"), (*OPEN, "--deposit", "1gen")], ids=" ".join
)
def test_price__raised_after_it_was_shown__is_refused(
    market: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    raise_price_after_it_was_read(market, monkeypatch, "standard", "--price", "0.02gen")
    ran = market(*command, "--account", "localnet:2")
    assert ran.code == 1
    assert "price_above_max" in ran.err


def test_price__of_what_was_free__is_refused(market: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    market("api", "plan", "weather", "free", "--price", "0", "--daily", "9")
    raise_price_after_it_was_read(market, monkeypatch, "free", "--price", "0.02gen")
    ran = market("subscribe", "weather", "--max-daily-spend", "1gen", "--plan", "Free", "--account", "localnet:2")
    assert (ran.code, "price_above_max" in ran.err) == (1, True)


def test_subscribe__price_above_the_maximum__sends_nothing(market: Run) -> None:
    command = ("subscribe", "weather", "--max-daily-spend", "1gen", "--deposit", "2gen", "--max-price", "1gwei")
    ran = market(*command, "--account", "localnet:2")
    assert (ran.code, "more than --max-price" in ran.err) == (2, True)
    assert market("report", "localnet:2", "--json").json["credit_balance_wei"] == 0


def test_subscribe__maximum_above_the_price__is_accepted(market: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_price_after_it_was_read(market, monkeypatch, "standard", "--price", "0.02gen")
    command = ("subscribe", "weather", "--max-daily-spend", "1gen", "--max-price", "0.02gen")
    assert "at 0.02 GEN a call" in market(*command, "--account", "localnet:2").out


def test_subscribe__no_such_plan__names_those_there_are(market: Run) -> None:
    ran = market("subscribe", "weather", "--max-daily-spend", "1gen", "--plan", "gold", "--account", "localnet:2")
    assert (ran.code, "choose one of standard" in ran.err) == (2, True)


# ---- sessions ----


def test_session_open__new_consumer__deposits_subscribes_and_holds(market: Run) -> None:
    ran = market(*OPEN, "--deposit", "3gen", "--account", "localnet:2")
    assert ran.out.startswith("session with weather: 1 GEN held until 20")
    assert f"\nfor vouchers of {SIGNER.lower()}\nplan standard, at 0.01 GEN a call" in ran.out
    assert "\ncredit 2 GEN\n" in ran.out


def test_session_open__again__adds_to_the_hold(opened: Run) -> None:
    assert opened(*OPEN[:-1], "8d", "--account", SECOND, "--json").json["result"]["hold_wei"] == 2 * ONE_GEN


def test_session_open__other_cap_while_subscribed__says_that_it_stays(opened: Run) -> None:
    ran = opened(*OPEN[:-3], "2gen", "--for", "8d", "--account", SECOND)
    assert "the cap stays at 1 GEN a day, not 2 GEN; to change it: api-billing subscribe" in ran.err.replace("\n", " ")
    assert "cap" not in opened(*OPEN[:-1], "9d", "--account", SECOND).err


def test_session_sign__more_than_it_holds__is_noted(opened: Run) -> None:
    assert opened(*SIGN, "1gen").err == ""
    ran = opened(*SIGN, "1000000001gwei")
    assert (ran.code, "more than the session has: 1 GEN held, 0 GEN" in ran.err) == (0, True)


def test_session_sign__session_not_in_force__is_noted(opened: Run) -> None:
    opened("session", "close", "weather", "--consumer", SECOND)
    ran = opened(*SIGN, "1gwei")
    assert (ran.code, "the session is not in force" in ran.err) == (0, True)


def test_session_status__no_session__says_so(market: Run) -> None:
    assert "none: billed without vouchers" in market("session", "status", "weather", "--consumer", SECOND).out


def test_session_sign__voucher_in_a_settlement__is_billed_and_shown(opened: Run, consumer: str, tmp_path: Path) -> None:
    signed = opened(*SIGN, "0.5gen").json
    day = opened("report", SECOND, "--json").json["day_id"]
    entry = {"consumer": consumer, "day_id": day, "calls": 30, "spend_wei": "0.3gen", "voucher": signed["voucher"]}
    file = tmp_path / "entries.json"
    file.write_text(json.dumps([entry]), encoding="utf-8")
    assert opened("settle", "file", "weather", file).out.startswith("settlement 1 of weather: billed 30 calls")
    (channel,) = opened("session", "status", "weather", "--consumer", SECOND, "--json").json["channels"]
    assert channel == {
        "channel_id": signed["channel_id"],
        "signed_wei": ONE_GEN // 2,
        "billed_wei": 3 * ONE_GEN // 10,
    }
    drawn = opened("session", "status", "weather", "--consumer", SECOND).out
    assert "0.7 GEN until 20" in drawn
    assert "signed GEN" in drawn
    assert max(len(line) for line in drawn.splitlines()) <= 80
    assert "lets nobody bill more" in opened(*SIGN, "0.5gen").err
    assert opened(*SIGN, "0.6gen").err == ""


def test_session_sign__other_salt__is_another_channel(opened: Run, consumer: str) -> None:
    salt = "0x" + 64 * "5"
    signed = opened(*SIGN, "1gwei", "--salt", salt).json
    assert signed["voucher"]["salt"] == salt
    assert read_voucher(signed["credential"]) == Identity(consumer.lower(), voucher=Voucher(**signed["voucher"]))
    assert signed["channel_id"] != opened(*SIGN, "1gwei").json["channel_id"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ((*SIGN[:-1], SECOND, "1gwei"), "the node keeps the key of localnet:1"),
        ((*SIGN[:-1], "env:OTHER_KEY", "1gwei"), f"this is not the key of {SIGNER.lower()}"),
        ((*SIGN, "1gwei", "--salt", "5"), "'5' is not the salt of a voucher"),
        (("session", "sign", "weather", "1gwei", "--account", "env:SESSION_KEY"), "has no session with weather"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_session_sign__without_what_it_needs__is_a_wrong_command(
    opened: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], why: str
) -> None:
    monkeypatch.setenv("OTHER_KEY", "0x" + 64 * "8")
    ran = opened(*command)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"voucher": {"salt": "0x"}}, "a voucher has salt, cumulative_wei, signature"),
        ({"voucher": {"salt": "0x", "cumulative_wei": 1, "signature": "0x"}}, "is not the salt of a voucher"),
        ({"close": "yes"}, "close is true or false"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_settle_file__malformed_voucher__says_where(
    market: Run, consumer: str, tmp_path: Path, more: dict[str, object], why: str
) -> None:
    file = tmp_path / "entries.json"
    file.write_text(json.dumps([{"consumer": consumer, "day_id": 1, "calls": 1, "spend_wei": 1, **more}]))
    ran = market("settle", "file", "weather", file)
    assert ran.code == 2
    assert "entry 1: " in ran.err
    assert why in ran.err


def test_settle_file__entry_that_closes__ends_the_session(opened: Run, consumer: str, tmp_path: Path) -> None:
    day = opened("report", SECOND, "--json").json["day_id"]
    file = tmp_path / "entries.json"
    file.write_text(json.dumps([{"consumer": consumer, "day_id": day, "calls": 1, "spend_wei": 0, "close": True}]))
    assert opened("settle", "file", "weather", file).code == 0
    assert opened("report", SECOND, "--json").json["held_wei"] == 0


def test_session_close__by_the_consumer_before_it_expires__is_refused(opened: Run) -> None:
    ran = opened("session", "close", "weather", "--account", SECOND)
    assert (ran.code, "hold_in_force" in ran.err) == (1, True)


def test_session_close__by_the_operator__is_free_credit(opened: Run) -> None:
    ran = opened("session", "close", "weather", "--consumer", SECOND)
    assert ran.out.startswith("session with weather closed; what was left of it is free credit\n")
    assert opened("report", SECOND, "--json").json["held_wei"] == 0


def test_hold_place__plain_after_a_session__needs_no_vouchers(opened: Run) -> None:
    opened("session", "close", "weather", "--consumer", SECOND)
    assert opened("hold", "place", "weather", "1gwei", "--for", "1d", "--plain", "--account", SECOND).code == 0
    assert opened("session", "status", "weather", "--consumer", SECOND, "--json").json["signer"] == ""


@pytest.mark.parametrize("end", [("--until", "2020-01-01"), ("--until", "2099-01-01"), ("--for", "367d")], ids=" ".join)
@pytest.mark.parametrize("command", [(*OPEN[:-2], "--deposit", "1gen"), ("hold", "place", "weather", "1gwei")])
def test_hold__end_that_the_contract_would_refuse__sends_nothing(
    market: Run, command: tuple[str, ...], end: tuple[str, ...]
) -> None:
    before = market("report", SECOND, "--json").json
    ran = market(*command, *end, "--account", SECOND)
    assert (ran.code, "nothing was sent" in ran.err, "at most 366" in ran.err) == (2, True, True)
    after = market("report", SECOND, "--json").json
    assert [after[key] == before[key] for key in ("credit_balance_wei", "held_wei")] == [True, True]


def test_hold_place__for_the_longest_time__is_placed(market: Run) -> None:
    assert market("hold", "place", "weather", "1gwei", "--for", "366d", "--account", SECOND).code == 0


def test_hold_place__on_a_chain_without_blocks_for_long__counts_from_now(market: Run, server: RpcServer) -> None:
    RpcProvider(server.url).result("sim_increaseTime", 10 * 86_400)
    assert market("hold", "place", "weather", "1gwei", "--for", "7d", "--account", SECOND).code == 0


HOLD = ("hold", "place", "weather", "1gwei", "--for", "8d", "--account", SECOND)


def test_hold_place__after_a_session__is_refused_unless_plain(opened: Run) -> None:
    opened("session", "close", "weather", "--consumer", SECOND)
    ran = opened(*HOLD)
    assert (ran.code, f"held for vouchers of {SIGNER.lower()}" in ran.err.replace("\n", " ")) == (2, True)
    assert "--plain" in ran.err
    assert opened("report", SECOND, "--json").json["held_wei"] == 0
    assert "vouchers" not in opened(*HOLD, "--plain").out


def test_hold_place__in_a_session__adds_to_it_and_says_whose_vouchers(opened: Run) -> None:
    assert f"\nfor vouchers of {SIGNER.lower()}\n" in opened(*HOLD).out
    assert opened("report", SECOND, "--json").json["held_wei"] == ONE_GEN + 10**9


def test_report__with_a_session__says_so(opened: Run) -> None:
    assert ", for a session" in opened("report", SECOND).out.replace("\n", " ")
