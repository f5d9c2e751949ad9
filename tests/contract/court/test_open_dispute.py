"""Opening a dispute: who may, for which day, what it freezes, and where the bond of a refused one goes."""

from collections.abc import Callable
from typing import Any

import pytest

from ..market import ALICE, API, BOB, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, event_names, message_names
from .tribunal import (
    CALLS,
    CLAIM,
    COURT_FILE,
    DISPUTED,
    EVIDENCE_URL,
    MIN_BOND,
    PAID,
    PAYOUT_DAYS,
    Tribunal,
)

Prepare = Callable[[Tribunal], object]


def test_open__good__holds_the_bond_and_shows_the_dispute(tribunal: Tribunal) -> None:
    opened = tribunal.ok("open_dispute", API, DISPUTED, CLAIM, EVIDENCE_URL, sender=ALICE, value=MIN_BOND)
    told = {"dispute_id": 1, "day_id": DISPUTED, "bond_wei": MIN_BOND, "paid_wei": PAID}
    assert opened.value == {"ok": True, **told}
    now = int(tribunal.net.now.timestamp())
    assert tribunal.dispute() == {
        **told,
        "api_name": API,
        "consumer": ALICE,
        "status": "open",
        "calls": CALLS,
        "opened_at": now,
        "ended_at": 0,
        "refund_percent": 0,
        "refund_wei": 0,
        "claim": CLAIM,
        "evidence_url": EVIDENCE_URL,
        "reason": "",
    }
    assert tribunal.view("get_solvency") == {
        "balance_wei": MIN_BOND,
        "owed_wei": MIN_BOND,
        "surplus_wei": 0,
        "received_wei": MIN_BOND,
        "sent_wei": 0,
    }


def test_open__good__freezes_what_the_consumer_paid_once_final(tribunal: Tribunal) -> None:
    tribunal.ok("open_dispute", API, DISPUTED, CLAIM, sender=ALICE, value=MIN_BOND)
    assert (tribunal.paid_day()["frozen_wei"], tribunal.paid_day()["pending"]) == (0, True)
    tribunal.final()
    assert (tribunal.paid_day()["frozen_wei"], tribunal.paid_day()["pending"]) == (PAID, False)


def test_open__more_than_the_least_bond__is_held_too(tribunal: Tribunal) -> None:
    tribunal.open(bond=3 * MIN_BOND)
    assert (tribunal.dispute()["bond_wei"], tribunal.money()["bonds"]) == (3 * MIN_BOND,) * 2


def test_open__court_without_a_least_bond__needs_none(tribunal: Tribunal) -> None:
    market = tribunal.market
    free = Tribunal(market, market.deploy(COURT_FILE, market.address, 0, sender=STRANGER), tribunal.judges)
    tribunal.set_promise(court=free.address)
    tribunal.wait_days(PAYOUT_DAYS + 1)
    day_id = tribunal.market.bill()["day_id"]
    tribunal.wait_days(2)
    free.refused("bad_claim", "open_dispute", API, day_id, "", sender=ALICE)
    assert free.open(day_id=day_id, bond=0) == 1
    free.judges.say(0)
    assert message_names(free.judge()) == ["refund_by_court"]
    assert free.view("get_solvency")["received_wei"] == 0


def test_open__by_a_contract__is_that_contracts_dispute(tribunal: Tribunal) -> None:
    market, relay = tribunal.market, tribunal.market.relay()
    market.via(relay, "subscribe", API, 100, 20, value=20)
    day_id = market.via(relay, "consume_credit", API, relay).value["day_id"]
    tribunal.wait_days(2)
    arguments = [tribunal.address, "open_dispute", [API, day_id, CLAIM]]
    sent = tribunal.net.write(relay, "send", *arguments, sender=STRANGER, value=MIN_BOND)
    assert sent.children[0].value["ok"] is True
    tribunal.final()
    assert tribunal.dispute()["consumer"] == relay
    assert tribunal.paid_day(relay, day_id)["frozen_wei"] == PRICE


def test_open__name_as_the_consumer_writes_it__is_the_apis(tribunal: Tribunal) -> None:
    tribunal.open(api_name=" WEATHER ")
    assert tribunal.dispute()["api_name"] == API
    assert [head["dispute_id"] for head in tribunal.view("list_disputes", " Weather")] == [1]


def test_list__of_a_consumer__has_its_disputes_alone(tribunal: Tribunal) -> None:
    number = tribunal.open()
    assert [head["dispute_id"] for head in tribunal.view("list_disputes_of", ALICE)] == [number]
    assert tribunal.view("list_disputes_of", ALICE, number) == tribunal.view("list_disputes_of", STRANGER) == []


def test_list__of_what_is_no_consumer__is_refused(tribunal: Tribunal) -> None:
    tribunal.refused("bad_address", "list_disputes_of", API)


def nothing(tribunal: Tribunal) -> None:
    pass


def opened_before(tribunal: Tribunal) -> None:
    tribunal.open()


def matured(tribunal: Tribunal) -> None:
    tribunal.wait_days(PAYOUT_DAYS)


def paid_back(tribunal: Tribunal) -> None:
    tribunal.market.ok("refund", API, ALICE, PAID, "sorry", DISPUTED, sender=OPERATOR)


REFUSALS: list[tuple[str, Prepare, dict[str, Any]]] = [
    ("bad_claim", nothing, {"claim": ""}),
    ("bad_claim", nothing, {"claim": "x" * 2_001}),
    ("bad_url", nothing, {"evidence_url": "http://alice.example/log"}),
    ("bad_url", nothing, {"evidence_url": "https://"}),
    ("bad_url", nothing, {"evidence_url": "https://" + "x" * 193}),
    ("bad_url", nothing, {"evidence_url": "https://alice.example/a log"}),
    ("bad_url", nothing, {"evidence_url": "https://alice.example/\n"}),
    ("bad_url", nothing, {"evidence_url": "https://älice.example/"}),
    ("bond_too_small", nothing, {"value": MIN_BOND - 1}),
    ("already_disputed", opened_before, {}),
    ("day_open", nothing, {"day_id": DISPUTED + 1}),
    ("day_open", nothing, {"day_id": DISPUTED + 2}),
    *(("day_open", nothing, {"day_id": day_id}) for day_id in (DISPUTED + 1_000, 2**32, 2**64, 2**128 - 1)),
    ("number_too_large", nothing, {"day_id": 2**128}),
    ("not_court", nothing, {"day_id": TODAY}),
    ("not_court", nothing, {"day_id": 1}),
    ("day_not_pending", matured, {}),
    ("nothing_paid", nothing, {"sender": BOB}),
    ("nothing_paid", nothing, {"sender": RIVAL}),
    ("api_not_registered", nothing, {"api_name": "maps"}),
    ("bad_name", nothing, {"api_name": "a b"}),
    ("api_name_required", nothing, {"api_name": " "}),
    ("negative_number", nothing, {"day_id": -1}),
    *(("bad_type", nothing, {"api_name": value}) for value in (None, True, [], {"a": [1]}, b"weather")),
    *(("bad_type", nothing, {"day_id": value}) for value in (None, True, "20469", [DISPUTED], {})),
    *(("bad_type", nothing, {"claim": value}) for value in (None, False, [CLAIM], {}, b"x", -1)),
    *(("bad_type", nothing, {"evidence_url": value}) for value in (None, False, [], {}, b"https://a.b/")),
]


def consumers_call(**changes: Any) -> dict[str, Any]:
    good = {"api_name": API, "day_id": DISPUTED, "claim": CLAIM, "evidence_url": EVIDENCE_URL}
    return {**good, "sender": ALICE, "value": MIN_BOND, **changes}


@pytest.mark.parametrize(("code", "prepare", "changes"), REFUSALS)
def test_open__refused__returns_the_bond_to_the_consumers_credit(
    tribunal: Tribunal, failed_value: str, code: str, prepare: Prepare, changes: dict[str, Any]
) -> None:
    prepare(tribunal)
    call = consumers_call(**changes)
    bond, consumer = call["value"], call["sender"]
    before, disputes = tribunal.state(), tribunal.view("get_court")["disputes"]
    credit = tribunal.market.credit(consumer)
    refused = tribunal.ok("open_dispute", **call)
    told = {key: refused.value[key] for key in ("ok", "code", "returned_wei")}
    assert told == {"ok": False, "code": code, "returned_wei": bond}
    assert refused.value["message"].startswith(f"[EXPECTED] {code}: ")
    assert event_names(refused) == ["BondReturned"]
    assert [(message.value, message.on) for message in refused.messages] == [(bond, "finalized")]
    assert tribunal.market.credit(consumer) == credit
    tribunal.final()
    assert tribunal.market.credit(consumer) == credit + bond
    after = tribunal.state()
    assert tribunal.view("get_court")["disputes"] == disputes
    assert after["paid_day"] == before["paid_day"]
    solvency = after["solvency"]
    assert (solvency["owed_wei"], solvency["surplus_wei"]) == (before["solvency"]["owed_wei"], 0)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("bond_too_small", {}),
        ("bad_claim", {"claim": ""}),
        ("bad_url", {"evidence_url": "ftp://alice.example/"}),
        ("bad_type", {"claim": None}),
    ],
)
def test_open__refused_without_a_bond__raises(tribunal: Tribunal, code: str, changes: dict[str, Any]) -> None:
    tribunal.refused(code, "open_dispute", **consumers_call(value=0, **changes))


def test_open__everything_refunded_already__has_nothing_to_freeze(tribunal: Tribunal) -> None:
    paid_back(tribunal)
    refused = tribunal.ok("open_dispute", **consumers_call())
    assert refused.value["ok"] is False
    assert refused.value["code"] in ("nothing_paid", "day_not_pending")


def test_open__twice_before_the_freeze_is_final__is_one_dispute(tribunal: Tribunal) -> None:
    first = tribunal.ok("open_dispute", **consumers_call())
    second = tribunal.ok("open_dispute", **consumers_call(claim="Another claim."))
    assert (first.value["ok"], second.value["code"]) == (True, "already_disputed")


def test_open__two_consumers_of_one_day__are_two_disputes(tribunal: Tribunal) -> None:
    market = tribunal.market
    market.subscribe(BOB)
    days = [market.bill(1, consumer)["day_id"] for consumer in (ALICE, BOB)]
    tribunal.wait_days(2)
    assert [tribunal.open(each, day) for each, day in zip((ALICE, BOB), days, strict=True)] == [1, 2]
    assert [tribunal.paid_day(each, days[0])["frozen_wei"] for each in (ALICE, BOB)] == [PRICE, PRICE]
    tribunal.judges.say(75)
    tribunal.judge(2)
    tribunal.final()
    assert (tribunal.status(1), tribunal.status(2)) == ("open", "judged")
    assert tribunal.paid_day(ALICE, days[0])["frozen_wei"] == PRICE


def test_open__day_that_matures_before_the_freeze_is_final__can_only_be_closed(tribunal: Tribunal) -> None:
    tribunal.wait_days(PAYOUT_DAYS - 2)
    tribunal.net.now = "2026-01-23T23:59:59Z"
    before = tribunal.money()
    tribunal.ok("open_dispute", **consumers_call())
    tribunal.wait_days(1)
    tribunal.final()
    assert tribunal.paid_day()["frozen_at"] == 0
    tribunal.refused("not_frozen", "judge", 1)
    closed = tribunal.ok("close_dispute", 1)
    assert message_names(closed) == ["top_up_for"]
    tribunal.final()
    assert (tribunal.status(), tribunal.changes(before)) == ("closed", {"alice": MIN_BOND})


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("bad_address", ("0x12", 1)),
        ("bad_address", ("0x" + "00" * 20, 1)),
        ("bad_address", (7, 1)),
        ("bad_type", ("billing", True)),
        ("bad_type", ("billing", "1")),
        ("negative_number", ("billing", -1)),
        ("number_too_large", ("billing", 2**128)),
    ],
)
def test_deploy__hostile_argument__fails(tribunal: Tribunal, code: str, arguments: tuple[Any, ...]) -> None:
    billing, bond = arguments
    where = tribunal.market.address if billing == "billing" else billing
    deployed = tribunal.net.deploy(COURT_FILE, where, bond, sender=STRANGER)
    assert (deployed.kind, deployed.error_code) == ("user_error", code)


@pytest.mark.parametrize("where", ["nowhere", "relay"])
def test_deploy__no_billing_contract_there__fails(tribunal: Tribunal, where: str) -> None:
    billing = "0x" + "77" * 20 if where == "nowhere" else tribunal.market.relay()
    assert tribunal.net.deploy(COURT_FILE, billing, MIN_BOND, sender=STRANGER).kind != "return"


def test_court__says_whose_it_is(tribunal: Tribunal) -> None:
    shown = tribunal.view("get_court")
    assert shown == {"billing": tribunal.market.address.lower(), "min_bond_wei": MIN_BOND, "disputes": 0}
