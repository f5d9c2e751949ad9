"""contracts/examples/careful_consumer.py: it reads the promise before it pays, and disputes a day itself."""

from hashlib import sha256
from typing import Any

import pytest

from genlayer_localnet import Receipt

from ..market import API, BOB, CONTRACTS, OPERATOR, PRICE, RIVAL, STRANGER
from .tribunal import CAP_PERCENT, MIN_BOND, PAYOUT_DAYS, TERMS, Tribunal

OWNER = BOB
EXAMPLE = CONTRACTS / "examples" / "careful_consumer.py"
READ = sha256(TERMS.encode()).hexdigest()


def deploy(tribunal: Tribunal, **changes: Any) -> str:
    """The example, with credit for some calls."""
    wanted = {
        "billing": tribunal.market.address,
        "api_name": API,
        "court": tribunal.address,
        "terms_sha256": READ,
        "least_payout_days": PAYOUT_DAYS,
        "least_refund_percent": CAP_PERCENT,
        **changes,
    }
    address = tribunal.market.deploy(EXAMPLE, **wanted, sender=OWNER)
    tribunal.market.ok("top_up_for", address, 10 * PRICE, sender=STRANGER, value=10 * PRICE)
    return address


def call(tribunal: Tribunal, consumer: str, method: str, *args: Any, sender: str = OWNER, value: int = 0) -> Receipt:
    return tribunal.net.write(consumer, method, *args, sender=sender, value=value)


def subscriptions(tribunal: Tribunal, consumer: str) -> list[str]:
    found: list[str] = tribunal.market.account(consumer)["subscriptions"]
    return found


def test_subscribe__promise_as_read__subscribes(tribunal: Tribunal) -> None:
    consumer = deploy(tribunal)
    assert call(tribunal, consumer, "subscribe", 1_000, PRICE).children[0].value["ok"] is True
    assert subscriptions(tribunal, consumer) == [API]


@pytest.mark.parametrize(
    "changes",
    [
        {"terms_sha256": sha256(b"We promise nothing.").hexdigest()},
        {"terms_sha256": ""},
        {"court": RIVAL},
        {"least_payout_days": PAYOUT_DAYS + 1},
        {"least_refund_percent": CAP_PERCENT + 1},
    ],
)
def test_subscribe__promise_that_is_another__pays_nothing(tribunal: Tribunal, changes: dict[str, Any]) -> None:
    consumer = deploy(tribunal, **changes)
    for method, arguments in (("subscribe", (1_000, PRICE)), ("use_api", (1,))):
        refused = call(tribunal, consumer, method, *arguments)
        assert (refused.kind, refused.error_code, refused.messages) == ("user_error", "promise_differs", ())
    assert subscriptions(tribunal, consumer) == []


def test_subscribe__promise_that_begins_tomorrow__is_none_yet(tribunal: Tribunal) -> None:
    market = tribunal.market
    market.register("maps")
    market.ok("set_promise", "maps", tribunal.address, PAYOUT_DAYS, CAP_PERCENT, TERMS, sender=OPERATOR)
    consumer = deploy(tribunal, api_name="maps")
    assert call(tribunal, consumer, "subscribe", 1_000, PRICE).error_code == "promise_differs"
    tribunal.wait_days(1)
    assert call(tribunal, consumer, "subscribe", 1_000, PRICE).kind == "return"
    assert subscriptions(tribunal, consumer) == ["maps"]


def test_subscribe__price_above_what_the_owner_saw__does_not_accept_it(tribunal: Tribunal) -> None:
    consumer = deploy(tribunal)
    tribunal.market.register(price=PRICE + 1)
    (child,) = call(tribunal, consumer, "subscribe", 1_000, PRICE).children
    assert (child.kind, child.error_code) == ("user_error", "price_above_max")
    assert subscriptions(tribunal, consumer) == []


def test_use_api__promise_that_has_ended__is_billed_no_more(tribunal: Tribunal) -> None:
    consumer = deploy(tribunal)
    call(tribunal, consumer, "subscribe", 1_000, PRICE)
    tribunal.set_promise(court="")
    call(tribunal, consumer, "use_api", 1)
    assert tribunal.market.credit(consumer) == 9 * PRICE
    tribunal.wait_days(PAYOUT_DAYS + 1)
    assert call(tribunal, consumer, "use_api", 1).error_code == "promise_differs"
    assert tribunal.market.credit(consumer) == 9 * PRICE


def test_use_api__message_sent_again__is_billed_once(tribunal: Tribunal) -> None:
    consumer = deploy(tribunal)
    call(tribunal, consumer, "subscribe", 1_000, PRICE)
    (billed,) = call(tribunal, consumer, "use_api", 2).children
    again = tribunal.market.ok(billed.method, *billed.args, sender=consumer)
    assert again.value == billed.value
    call(tribunal, consumer, "use_api", 1)
    assert tribunal.market.credit(consumer) == 7 * PRICE


def test_dispute__day_not_as_promised__refund_and_bond_are_credit_that_the_owner_gets(tribunal: Tribunal) -> None:
    consumer = deploy(tribunal)
    call(tribunal, consumer, "subscribe", 1_000, PRICE)
    day_id = call(tribunal, consumer, "use_api", 4).children[0].value["day_id"]
    assert call(tribunal, consumer, "receive_credit", sender=OWNER, value=MIN_BOND + 1).kind == "return"
    tribunal.wait_days(2)
    assert call(tribunal, consumer, "dispute", day_id, "It was down.", "", MIN_BOND).kind == "return"
    tribunal.final()
    assert (tribunal.dispute()["consumer"], tribunal.money()["bonds"]) == (consumer, MIN_BOND)
    tribunal.judges.say(50)
    tribunal.judge()
    tribunal.final()
    credit = 6 * PRICE + 4 * PRICE // 2 + MIN_BOND
    assert tribunal.market.credit(consumer) == credit
    before = tribunal.net.balance(OWNER)
    call(tribunal, consumer, "reclaim_credit", credit)
    call(tribunal, consumer, "pay_owner")
    tribunal.final()
    assert tribunal.net.balance(OWNER) == before + credit + 1
    assert tribunal.net.balance(consumer) == 0


def test_dispute__bond_that_it_does_not_have__sends_nothing(tribunal: Tribunal) -> None:
    consumer = deploy(tribunal)
    assert call(tribunal, consumer, "dispute", 1, "It was down.", "", MIN_BOND).kind == "vm_error"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("subscribe", (1, 1)),
        ("use_api", (1,)),
        ("dispute", (1, "x", "", 0)),
        ("reclaim_credit", (1,)),
        ("pay_owner", ()),
    ],
)
def test_owners_method__called_by_another__is_refused(
    tribunal: Tribunal, method: str, arguments: tuple[object, ...]
) -> None:
    refused = call(tribunal, deploy(tribunal), method, *arguments, sender=STRANGER)
    assert (refused.kind, refused.error_code, refused.messages) == ("user_error", "not_owner", ())
