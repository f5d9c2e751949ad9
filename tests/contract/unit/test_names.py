"""Two APIs, or two consumers, never share a record, whatever their names; one name has one spelling."""

import hashlib

import pytest

from ..market import ALICE, BOB, OPERATOR, RIVAL, TODAY, Market, entry

ALIKE = ["a", "a.", "a-", "a_", "aa", "a.a", "a0", "a" * 64, "0xa1", ALICE, ALICE[:-2], "standard"]
LOOKALIKE_ADDRESSES = ["0x" + "a1" * 19 + tail for tail in ("00", "01", "10", "a0", "a2")]


def test_apis__names_that_share_prefixes__have_records_of_their_own(billing: Market) -> None:
    for number, name in enumerate(ALIKE, start=1):
        billing.register(name, OPERATOR if number % 2 else RIVAL, price=number)
        billing.subscribe(api_name=name)
    for number, name in enumerate(ALIKE, start=1):
        if number % 3:
            billing.bill(number, api_name=name)
    shown = {line["api_name"]: (line["calls_today"], line["spend_today_wei"]) for line in billing.report(ALICE)["apis"]}
    assert shown == {name: (n, n * n) if n % 3 else (0, 0) for n, name in enumerate(ALIKE, start=1)}


def test_consumers__addresses_alike__have_records_of_their_own(billing: Market) -> None:
    billing.register()
    for number, consumer in enumerate(LOOKALIKE_ADDRESSES, start=1):
        billing.net.fund(consumer, 10_000)
        billing.subscribe(consumer, deposit=1_000 * number, cap=9_000)
        billing.bill(number, consumer)
    credits = [billing.credit(consumer) for consumer in LOOKALIKE_ADDRESSES]
    assert credits == [1_000 * number - 10 * number for number in range(1, 6)]


def test_settlements__of_two_apis__have_sequences_of_their_own(billing: Market) -> None:
    for name in ("a", "aa"):
        billing.register(name)
        billing.subscribe(api_name=name)
    billing.settle(entry(calls=3), api_name="a")
    assert [billing.view("get_settlement", name)["next_sequence"] for name in ("a", "aa")] == [2, 1]
    assert billing.settle(entry(calls=1), api_name="aa")["billed_calls"] == 1


def test_holds__of_two_apis__pay_their_own_settlements_only(billing: Market) -> None:
    for name in ("a", "aa"):
        billing.register(name)
        billing.subscribe(api_name=name, deposit=100)
    billing.ok("place_hold", "a", 200, 1_800_000_000, sender=ALICE)
    assert billing.settle(entry(), api_name="aa")["entries"][0]["code"] == "insufficient_credit"
    assert billing.settle(entry(), api_name="a")["entries"][0]["code"] == ""


def test_requests__same_id_at_another_api_or_consumer__is_another_request(billing: Market) -> None:
    for name in ("a", "aa"):
        billing.register(name)
        for consumer in (ALICE, BOB):
            billing.subscribe(consumer, api_name=name)
    calls = [(name, consumer) for name in ("a", "aa") for consumer in (ALICE, BOB)]
    ids = {billing.bill(consumer=c, api_name=n, request_id="r")["receipt_id"] for n, c in calls}
    tag = hashlib.sha256(b"r").hexdigest()[:8]
    assert ids == {f"{name}:{consumer}:{TODAY}:1:{tag}" for name, consumer in calls}


@pytest.mark.parametrize("spelling", ["weather", " weather\t", "WEATHER", "\nWeather\n", "\u2003weather"])
def test_name__other_spelling__means_the_same_api(market: Market, spelling: str) -> None:
    assert market.view("get_api", spelling)["api_name"] == "weather"
    market.refused("not_operator", "register_api", spelling, 1, 1, sender=RIVAL)


@pytest.mark.parametrize("name", ["0", "a", "a.b-c_d", "9" * 64, "z--", "a" * 64])
def test_name__within_the_rule__can_be_registered(billing: Market, name: str) -> None:
    billing.register(name)
    assert billing.view("get_api", name)["api_name"] == name


@pytest.mark.parametrize(
    "name", ["-a", ".a", "_a", "a b", "a:b", "a/b", "a\nb", "a\x00", "ä", "w\u0435ather", "a" * 65, "a\u200b", "٣", "İ"]
)
def test_name__outside_the_rule__is_refused(billing: Market, name: str) -> None:
    billing.refused("bad_name", "register_api", name, 1, 1, sender=OPERATOR)


@pytest.mark.parametrize(("sent", "name"), [(2026, "2026"), (0, "0")])
def test_name__client_made_a_number_of_it__is_taken_back(billing: Market, sent: int, name: str) -> None:
    billing.register(str(sent))
    assert billing.view("get_api", sent)["api_name"] == name
