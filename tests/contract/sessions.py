"""Sessions of the contract tests: keys, and entries with vouchers that these sign."""

from typing import Any

from coincurve import PrivateKey
from eth_utils import keccak

from api_billing.vouchers import Channel, Voucher, sign_voucher

from .market import ALICE, API, NOW, OPERATOR, TODAY, Market, entry

KEY, OTHER_KEY = b"\1" * 32, b"\2" * 32


def address_of(key: bytes) -> str:
    return "0x" + keccak(PrivateKey(key).public_key.format(compressed=False)[1:])[12:].hex()


SIGNER, OTHER_SIGNER = address_of(KEY), address_of(OTHER_KEY)
HOUR_LATER = NOW + 3_600


def salt_of(number: int) -> str:
    return f"0x{number:064x}"


def asset_of(market: Market, api_name: str = API, deployed_at: int = NOW) -> str:
    """What stands for an API as a token, from the rule and the facts of the deployment."""
    parts = bytes.fromhex(market.address[2:]), bytes.fromhex(OPERATOR[2:]), deployed_at.to_bytes(8)
    return "0x" + keccak(b"api-billing asset" + keccak(b"".join(parts)) + api_name.encode())[12:].hex()


def channel_of(market: Market, salt: int = 0, api_name: str = API, **other: Any) -> Channel:
    """The channel of ALICE's session, or with something of it replaced."""
    parts = {
        "payer": ALICE,
        "signer": SIGNER,
        "receiver": OPERATOR,
        "contract": market.address,
        "asset": asset_of(market, api_name),
        "chain_id": 61_999,
        "salt": salt_of(salt),
    }
    return Channel(**(parts | other))


def voucher(market: Market, cumulative_wei: int, salt: int = 0, key: bytes = KEY, **other: Any) -> dict[str, Any]:
    """A voucher of ALICE's session, as an entry carries it; signed for a channel that `other` changes."""
    channel = channel_of(market, salt, signer=address_of(key), **other)
    return sign_voucher(key, channel, cumulative_wei).as_dict()


def forged(cumulative_wei: int, salt: int = 0) -> dict[str, Any]:
    """Well-formed, and signed by nobody."""
    return Voucher(salt_of(salt), cumulative_wei, "0x" + "11" * 64 + "1b").as_dict()


def signed_entry(
    market: Market,
    cumulative_wei: int,
    calls: int = 1,
    spend_wei: int | None = None,
    salt: int = 0,
    consumer: str = ALICE,
    day_id: int = TODAY,
    close: bool = False,
    **other: Any,
) -> dict[str, Any]:
    """A line of a settlement with a voucher of the consumer's session."""
    line = entry(consumer, day_id, calls, spend_wei)
    line["voucher"] = voucher(market, cumulative_wei, salt, payer=consumer, **other)
    return line | {"close": True} if close else line


def open_session(market: Market, amount: int = 500, expires_at: int = HOUR_LATER, consumer: str = ALICE) -> None:
    """Hold credit of the consumer for `weather`, to be billed with vouchers of KEY."""
    market.ok("place_hold", API, amount, expires_at, SIGNER, sender=consumer)


def billed(outcome: dict[str, Any]) -> list[tuple[int, str]]:
    """Wei billed and code of each entry."""
    return [(line["billed_wei"], line["code"]) for line in outcome["entries"]]
