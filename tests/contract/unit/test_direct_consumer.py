"""contracts/examples/direct_consumer.py: the shortest contract that pays for itself."""

import pytest

from ..market import ALICE, API, BOB, CONTRACTS, PRICE, STRANGER, Market, all_receipts

OWNER = BOB


@pytest.fixture
def consumer(market: Market) -> str:
    deployed = market.net.deploy(CONTRACTS / "examples" / "direct_consumer.py", market.address, sender=OWNER)
    assert deployed.kind == "return", deployed.stderr
    address = str(deployed.to).lower()
    market.ok("top_up_for", address, 30, sender=STRANGER, value=30)
    assert market.net.write(address, "subscribe", API, 1_000, sender=OWNER).kind == "return"
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


def test_use_api__by_another__is_refused(market: Market, consumer: str) -> None:
    used = market.net.write(consumer, "use_api", API, 1, sender=ALICE)
    assert (used.kind, used.error_code, used.messages) == ("user_error", "not_owner", ())
