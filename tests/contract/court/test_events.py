"""Every event of the court: its fields, its topics (in the order of the sorted names) and its printed line."""

from typing import Any

from eth_utils import keccak

from genlayer_localnet import Receipt, calldata
from genlayer_localnet.address import Address

from ..market import ALICE, API, OPERATOR
from .tribunal import CLAIM, DISPUTED, MIN_BOND, PAID, Tribunal


def shown(value: Any) -> Any:
    return value.as_hex.lower() if isinstance(value, Address) else value


def check(receipt: Receipt, name: str, indexed: dict[str, Any], others: dict[str, Any]) -> None:
    """The call emitted this event alone; all addresses in lower-case hex."""
    (event,) = receipt.events
    assert event.name == name
    assert {key: shown(value) for key, value in event.fields.items()} == indexed | others
    assert event.topics[0] == keccak(text=f"{name}({','.join(sorted(indexed))})")
    topics = [calldata.encode(event.fields[key]).ljust(32, b"\0") for key in sorted(indexed)]
    assert list(event.topics[1:]) == topics
    assert receipt.stdout == f"[{name}] " + " ".join(f"{k}={v}" for k, v in (indexed | others).items()) + "\n"


OF_USE = {"api_name": API, "consumer": ALICE}


def test_event__opening__tells_bond_and_what_was_paid(tribunal: Tribunal) -> None:
    opened = tribunal.ok("open_dispute", API, DISPUTED, CLAIM, sender=ALICE, value=MIN_BOND)
    others = {"dispute_id": 1, "day_id": DISPUTED, "bond_wei": MIN_BOND, "paid_wei": PAID}
    check(opened, "DisputeOpened", OF_USE, others)


def test_event__refused_opening__tells_why_the_bond_goes_back(tribunal: Tribunal) -> None:
    refused = tribunal.ok("open_dispute", API, DISPUTED, "", sender=ALICE, value=MIN_BOND)
    check(refused, "BondReturned", {"consumer": ALICE}, {"code": "bad_claim", "bond_wei": MIN_BOND})


def test_event__verdict__tells_refund_and_who_gets_the_bond(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.judges.say(0)
    others = {"bond_to": OPERATOR, "dispute_id": 1, "refund_percent": 0, "refund_wei": 0}
    check(tribunal.judge(), "DisputeJudged", OF_USE, others)


def test_event__closing__tells_the_dispute(tribunal: Tribunal) -> None:
    tribunal.open()
    tribunal.wait_days(30)
    check(tribunal.ok("close_dispute", 1), "DisputeClosed", OF_USE, {"dispute_id": 1})
