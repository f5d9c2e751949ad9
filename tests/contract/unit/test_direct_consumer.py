"""contracts/examples/direct_consumer.py: the shortest contract that pays for itself."""

from typing import Literal

import pytest

from api_billing.testing import deploy_billing
from genlayer_localnet import Localnet

from ..market import ALICE, API, BOB, CONTRACTS, PEOPLE, PRICE, START, STRANGER, Market, all_receipts

OWNER = BOB
EXAMPLE = CONTRACTS / "examples" / "direct_consumer.py"


@pytest.fixture
def consumer(market: Market) -> str:
    address = market.deploy(EXAMPLE, market.address, sender=OWNER)
    market.ok("top_up_for", address, 30, sender=STRANGER, value=30)
    assert market.net.write(address, "subscribe", API, 1_000, PRICE, sender=OWNER).kind == "return"
    return address


def test_use_api__with_credit__bills_the_contract_itself(market: Market, consumer: str) -> None:
    used = market.net.write(consumer, "use_api", API, 2, sender=OWNER)
    assert [receipt.kind for receipt in all_receipts(used)] == ["return", "return"]
    assert (market.credit(consumer), market.earnings()) == (10, 2 * PRICE)


def test_use_api__without_enough_credit__goes_through_but_bills_nothing(market: Market, consumer: str) -> None:
    used = market.net.write(consumer, "use_api", API, 4, sender=OWNER)
    (billing,) = used.children
    assert (used.kind, billing.kind, billing.error_code) == ("return", "user_error", "insufficient_credit")
    assert market.credit(consumer) == 30


def test_use_api__price_above_what_the_owner_saw__is_not_accepted(market: Market, consumer: str) -> None:
    market.register(price=PRICE + 1)
    (child,) = market.net.write(consumer, "subscribe", API, 1_000, PRICE, sender=OWNER).children
    assert (child.kind, child.error_code) == ("user_error", "price_above_max")
    assert market.line(consumer)["accepted_price_wei"] == PRICE


def test_use_api__twice__are_two_uses(market: Market, consumer: str) -> None:
    for _ in range(2):
        market.net.write(consumer, "use_api", API, 1, sender=OWNER)
    assert market.credit(consumer) == 30 - 2 * PRICE


def test_use_api__message_sent_again__is_billed_once(market: Market, consumer: str) -> None:
    (billed,) = market.net.write(consumer, "use_api", API, 2, sender=OWNER).children
    again = market.ok(billed.method, *billed.args, sender=consumer)
    assert (again.value, market.credit(consumer)) == (billed.value, 30 - 2 * PRICE)


@pytest.mark.parametrize("first_children", ["undone", "stay"])
def test_use_api__call_that_an_appeal_runs_again__is_billed_once(first_children: Literal["undone", "stay"]) -> None:
    net = Localnet(now=START, first_children=first_children)
    for person in PEOPLE:
        net.fund(person, 10**30)
    market = Market(net, deploy_billing(net).address)
    market.register()
    source = EXAMPLE.read_text(encoding="utf-8")
    asking = source.replace(
        "        self.uses += 1",
        "        gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt('?'))\n        self.uses += 1",
    )
    assert asking != source
    consumer = str(net.deploy(asking, market.address, sender=OWNER).to).lower()
    market.ok("top_up_for", consumer, 30, sender=STRANGER, value=30)
    net.write(consumer, "subscribe", API, 1_000, PRICE, sender=OWNER)
    net.process("finalized")
    net.prompt_handler = lambda request, node: "first"
    used = net.write(consumer, "use_api", API, 2, sender=OWNER)
    net.prompt_handler = lambda request, node: "second"
    again = net.appeal(used.id)
    assert "Validator Appeal Successful" in [round_.name for round_ in again.rounds]
    assert len(again.children) == {"undone": 1, "stay": 2}[first_children]
    assert {child.value["receipt_id"] for child in again.children} == {used.children[0].value["receipt_id"]}
    assert market.credit(consumer) == 30 - 2 * PRICE


@pytest.mark.parametrize(("method", "arguments"), [("use_api", (API, 1)), ("subscribe", (API, 1_000, 10**30))])
def test_owners_method__called_by_another__is_refused(
    market: Market, consumer: str, method: str, arguments: tuple[object, ...]
) -> None:
    used = market.net.write(consumer, method, *arguments, sender=ALICE)
    assert (used.kind, used.error_code, used.messages) == ("user_error", "not_owner", ())
