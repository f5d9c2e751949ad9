"""What a consumer with a session has instead of an API key: the session's key, with which it signs for each request."""

from dataclasses import dataclass, field
from typing import Self

from eth_account import Account

from api_billing.client import BillingClient
from api_billing.vouchers import Channel, sign_voucher
from demo.metered.plan import API


@dataclass(slots=True)
class Signing:
    """Signs for one channel, of each request what was signed before and its price, and never more than ``most_wei``."""

    channel: Channel
    most_wei: int
    key: bytes = field(repr=False)
    signed_wei: int = 0

    @classmethod
    def new(cls, client: BillingClient, consumer: str, most_wei: int) -> Self:
        """With a key made for this session. Raises: BillingError."""
        account, api = Account.create(), client.get_api(API)
        channel = Channel(consumer, account.address, api.operator, client.contract, api.asset, api.chain_id)
        return cls(channel, most_wei, bytes(account.key))

    def sign(self, price_wei: int) -> str:
        """The value of `Payment-Voucher` for the next request."""
        self.signed_wei = min(self.signed_wei + price_wei, self.most_wei)
        return sign_voucher(self.key, self.channel, self.signed_wei).credential(self.channel.payer)
