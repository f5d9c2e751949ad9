"""What a request costs at the door, and whom a voucher for it pays: what the challenges of both protocols say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from api_billing.payments.encoding import NotReadable
from api_billing.vouchers import MAX_CUMULATIVE_WEI, NO_SALT, Channel

_WEI: Final = re.compile("0|[1-9][0-9]{0,38}")
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")
_WORD: Final = re.compile("0x[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Offer:
    """One call of an API for at most ``amount_wei``, from a session on the billing contract.

    ``operator`` is whom vouchers pay, ``asset`` and ``chain_id`` are what the contract's `get_api` shows. A charge is
    never above the amount, and the amount never 0, which neither protocol can say.
    """

    api: str
    amount_wei: int
    operator: str
    contract: str
    asset: str
    chain_id: int

    @property
    def network(self) -> str:
        """The chain as CAIP-2 names it."""
        return f"eip155:{self.chain_id}"

    def channel(self, payer: str, signer: str, salt: str = NO_SALT) -> Channel:
        """The channel that such a payer's vouchers for this API are of."""
        return Channel(payer, signer, self.operator, self.contract, self.asset, self.chain_id, salt)


# --- fields of what others write


def wei_of(value: Any, what: str) -> int:
    """An amount: decimal digits, at most 2^128 - 1. Raises: NotReadable."""
    if type(value) is not str or not _WEI.fullmatch(value) or int(value) > MAX_CUMULATIVE_WEI:
        raise NotReadable(f"{what} is no amount in decimal digits")
    return int(value)


def address_in(value: Any, what: str) -> str:
    """An address, in lower case. Raises: NotReadable."""
    if type(value) is not str or not _ADDRESS.fullmatch(value):
        raise NotReadable(f"{what} is no address")
    return value.lower()


def word_in(value: Any, what: str) -> str:
    """32 bytes as 0x and hex digits, in lower case. Raises: NotReadable."""
    if type(value) is not str or not _WORD.fullmatch(value):
        raise NotReadable(f"{what} is no 0x and 64 hex digits")
    return value.lower()
