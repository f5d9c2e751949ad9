"""A meter on a fake chain that checks vouchers, and a consumer with a session who signs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from api_billing.metering.identity.vouchers import from_voucher
from api_billing.metering.ledger.operations import ListRecords, Record
from api_billing.metering.ledger.vouchers import ChannelSums
from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.stores import open_store
from api_billing.payments import mpp, x402
from api_billing.vouchers import NO_SALT, Voucher, sign_voucher

from ..settlement.signing import KEY, SIGNER, WHO
from ..settlement.world import NOON_MS, World
from .terms import TERMS

API: str = TERMS["api"]
HOLD_WEI = 100_000


@dataclass
class Shop:
    """What a consumer pays in."""

    world: World
    meter: Meter

    def sign(self, cumulative_wei: int) -> Voucher:
        return sign_voucher(KEY, self.world.chain.channel(API, WHO, NO_SALT), cumulative_wei)

    def by_voucher(self, cumulative_wei: int) -> dict[str, str]:
        """The header of our own that a voucher comes in."""
        return {"Payment-Voucher": self.sign(cumulative_wei).credential(WHO)}

    def by_x402(self, required: str, charged_wei: int = 0) -> dict[str, str]:
        """The answer to a ``PAYMENT-REQUIRED``, for who believes that so much was charged before."""
        ((offer, wire), *_), message = x402.offers_in(required)
        channel = offer.channel(WHO, SIGNER)
        voucher = sign_voucher(KEY, channel, charged_wei + offer.amount_wei)
        value = x402.payment_value(channel, voucher, wire, resource=message["resource"])
        return {x402.SIGNATURE_FIELD: value}

    def by_mpp(self, challenges: str, cumulative_wei: int = 0, action: mpp.Action = "voucher") -> dict[str, str]:
        """The answer to a ``WWW-Authenticate``, with a voucher for so much, or for the price."""
        (challenge,) = mpp.challenges_in([challenges])
        offer = mpp.offer_of(challenge)
        channel = offer.channel(WHO, SIGNER)
        voucher = sign_voucher(KEY, channel, cumulative_wei or offer.amount_wei)
        payload = mpp.voucher_payload(channel.id, voucher, action)
        credential = mpp.Credential(challenge, payload, mpp.source_of(offer.chain_id, WHO))
        return {challenge.header or "Authorization": credential.value()}

    def put(self, cumulative_wei: int) -> None:
        """Bring a voucher beside the request that it is for."""
        self.meter.put_voucher(API, WHO, self.sign(cumulative_wei))

    @property
    def channel(self) -> ChannelSums:
        session = self.meter.session(API, WHO)
        assert session is not None
        return session.channels[0]

    @property
    def charged_wei(self) -> int:
        """In the channel; 0 while there is none."""
        session = self.meter.session(API, WHO)
        return session.channels[0].charged_wei if session is not None and session.channels else 0

    @property
    def records(self) -> tuple[Record, ...]:
        return self.world.store.call(ListRecords(states=("settled", "released", "reserved", "expired")))


@contextmanager
def open_shop(
    identify: Any = None, url: str = "memory://", *, now_ms: int = NOON_MS, **settings: Any
) -> Iterator[Shop]:
    """A shop whose threads are not started, and whose clock stands still."""
    world = World(open_store(url), now_ms)
    world.chain.subscribe(
        API, WHO, hold_wei=HOLD_WEI, signer=SIGNER, expires_at=world.now_ms // 1000 + 2 * 86_400,
        accepted_price_wei=HOLD_WEI,
    )  # fmt: skip
    loaded = MeterSettings.load(
        store_url=url, contract=world.chain.contract, **{"new_consumers": "enterprise", **settings}
    )
    with world.store:
        meter = Meter(
            world.store,
            loaded,
            identify=identify or from_voucher(),
            clock_ms=lambda: world.now_ms,
            randrange=lambda _: 0,
        )
        on_chain = OnChain(world.chain, world.store, loaded, lambda: world.now_ms, world.alerts.append)  # type: ignore[arg-type]
        on_chain.start = lambda: None  # type: ignore[method-assign]
        meter.on_chain = on_chain
        meter.keeper.start = lambda: None  # type: ignore[method-assign]
        yield Shop(world, meter)
