"""A consumer with a session on the fake chain, whose key signs."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

from api_billing.vouchers import Channel, Voucher, sign_voucher

from .fake_chain import CHAIN_ID
from .world import API, World, address

KEY = keccak(text="the key of a session")
SIGNER = Account.from_key(KEY).address.lower()
OTHER_KEY = keccak(text="another key")
OTHER_SIGNER = Account.from_key(OTHER_KEY).address.lower()
WHO = address(1)


def salt_of(number: int) -> str:
    return f"0x{number:064x}"


def open_session(world: World, hold_wei: int = 1000, signer: str = SIGNER, who: str = WHO, **values: Any) -> Any:
    """A consumer's session, on the chain alone."""
    given = {"expires_at": world.now_ms // 1000 + 2 * 86_400, **values}
    return world.chain.subscribe(API, who, hold_wei=hold_wei, signer=signer, **given)


def sign(world: World, cumulative_wei: int, number: int = 0, key: bytes = KEY, who: str = WHO) -> Voucher:
    """A voucher of a channel of a consumer's session."""
    return sign_voucher(key, world.chain.channel(API, who, salt_of(number)), cumulative_wei)


def anybody(world: World, who: str, cumulative_wei: int = 10) -> tuple[Channel, Voucher]:
    """A channel that a key of nobody's session has signed for: it costs no more than a signature."""
    chain = world.chain
    channel = Channel(who, OTHER_SIGNER, chain.operator, chain.contract, chain.asset, CHAIN_ID, salt_of(0))
    return channel, sign_voucher(OTHER_KEY, channel, cumulative_wei)


def text_of(voucher: Voucher, who: str = WHO) -> str:
    """In the compact form."""
    return voucher.credential(who)
