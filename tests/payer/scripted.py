"""A billing contract and a server that take payments, both in this process, by the rules of the design.

The server counts by itself what was signed and charged, and fails a test when a voucher pays for what another one does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
from eth_account import Account

from api_billing.networks import find_network
from api_billing.payments import mpp, x402
from api_billing.payments.offers import Offer
from api_billing.vouchers import Channel, Voucher, domain_of, is_signed_by

CONTRACT, OPERATOR, ASSET = ("0x" + pair * 20 for pair in ("c0", "0e", "a5"))
CHAIN_ID = 61_999
PAYER = Account.from_key(b"\7" * 32)
NOW = 1_800_000_000
SECRET = b"s" * 32
URL = "https://api.example/forecast"


class Clock:
    """Time passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class ScriptedContract:
    """What a wallet asks of a `BillingClient`. ``dies`` names the step of an opening at which the process ends."""

    clock: Clock = field(default_factory=Clock)
    contract: str = CONTRACT
    address: str = PAYER.address
    operator: str = OPERATOR
    asset: str = ASSET
    signer: str = ""
    credit_wei: int = 0
    expires_at: int = 0
    final_after: int = 1  # reads of the final state, until a session is final
    before_final: Exception | None = None  # what such a read raises until then
    raises: Exception | None = None
    opened: list[tuple[Any, ...]] = field(default_factory=list)
    dies: str = ""
    reads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = find_network("localnet", "http://127.0.0.1:1")
        self.connection = SimpleNamespace(now=lambda: int(self.clock.now))

    @property
    def final(self) -> ScriptedContract:
        self.final_after -= 1
        return self if self.final_after < 0 else ScriptedContract(self.clock, raises=self.before_final)

    def get_api(self, name: str) -> Any:
        self.reads.append(name)
        return SimpleNamespace(
            api_name=name, operator=self.operator, asset=self.asset if name == "weather" else "0x" + "99" * 20,
            chain_id=CHAIN_ID, voucher_domain=domain_of(CHAIN_ID),
        )  # fmt: skip

    def iterate_apis(self) -> Iterator[Any]:
        self.reads.append("")
        return iter([SimpleNamespace(api_name="other"), SimpleNamespace(api_name="weather")])

    def get_account(self, _: str) -> Any:
        return SimpleNamespace(credit_wei=self.credit_wei)

    def get_session(self, consumer: str, api: str) -> Any:
        if self.raises is not None:
            raise self.raises
        in_force = bool(self.signer) and self.expires_at > self.clock.now
        return SimpleNamespace(signer=self.signer, in_force=in_force, consumer=consumer, api_name=api)

    def open_session(
        self, api: str, cap: int, amount: int, expires_at: int, signer: str, *, max_price_wei: int = 0, deposit_wei: int
    ) -> Any:
        if self.dies == "before":
            raise Killed
        self.opened.append((api, cap, amount, expires_at, signer, max_price_wei, deposit_wei))
        self.signer, self.expires_at = signer, expires_at
        if self.dies == "after":
            raise Killed
        return SimpleNamespace(tx="0x" + "7" * 64, result=SimpleNamespace(expires_at=expires_at))


class Killed(BaseException):
    """What stands for a kill -9."""


@dataclass
class Sums:
    """A channel in the server's books."""

    signed_wei: int = 0
    charged_wei: int = 0
    reserved_wei: int = 0
    posted_wei: int = 0
    signature: str = ""
    batched_wei: int = 0
    public: str = ""

    def told_to(self, cumulative_wei: int) -> Sums:
        """What is told to whoever came with a voucher for so much, which may be one that anybody has."""
        if self.batched_wei < cumulative_wei != self.posted_wei:
            return self
        return Sums(self.posted_wei, self.batched_wei, 0, self.posted_wei, self.public)

    def required_wei(self, estimate_wei: int) -> int:
        return max(self.charged_wei + self.reserved_wei + estimate_wei, self.posted_wei + 1)


@dataclass
class Server:
    """An API at its door. ``cost`` says what a request costs, at most ``price_wei``; ``handler`` answers it."""

    chain: ScriptedContract
    price_wei: int = 100
    protocols: tuple[str, ...] = ("mpp", "x402")
    cost: Callable[[httpx.Request], int] | None = None
    handler: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, text="sunny")
    tells_required: bool = True
    tells_cost: bool = True
    lies: dict[str, str] = field(default_factory=dict)
    offer: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    seen: list[httpx.Request] = field(default_factory=list)
    served: int = 0
    closed: bool = False
    busy: bool = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """For `httpx.MockTransport`."""
        self.seen.append(request)
        for name in ("Authorization", mpp.OWN_FIELD):
            credential = mpp.read_credential(request.headers.get(name, "")) if name in request.headers else None
            if credential is not None:
                return self._by_mpp(request, credential)
        if x402.SIGNATURE_FIELD in request.headers:
            return self._by_x402(request, x402.read_payment(request.headers[x402.SIGNATURE_FIELD], CHAIN_ID))
        return self.asks()

    @property
    def paid(self) -> list[httpx.Request]:
        """The requests that came with a payment."""
        fields = ("Authorization", mpp.OWN_FIELD, x402.SIGNATURE_FIELD)
        return [each for each in self.seen if any(each.headers.get(name, "")[:7] != "" for name in fields)]

    @property
    def charged_wei(self) -> int:
        return sum(each.charged_wei for each in self.sums.values())

    def offered(self, amount_wei: int | None = None) -> Offer:
        values = {"operator": self.chain.operator, "contract": self.chain.contract, "asset": self.chain.asset}
        values = {**values, "chain_id": CHAIN_ID, "api": "weather", **self.offer}
        return Offer(amount_wei=self.price_wei if amount_wei is None else amount_wei, **values)

    def asks(self, *, problem: dict[str, Any] | None = None, extra: Any = None, amount_wei: int | None = None,
             error: str = "") -> httpx.Response:  # fmt: skip
        headers = []
        if "mpp" in self.protocols:
            expires_ms = int(self.chain.clock.now * 1000) + 300_000
            challenge = mpp.session_challenge(self.offered(), expires_ms=expires_ms, secret=SECRET)
            headers.append(("WWW-Authenticate", challenge.value()))
        if "x402" in self.protocols:
            offer = x402.requirements(self.offered(amount_wei), extra)
            headers.append((x402.REQUIRED_FIELD, x402.required_value([offer], URL, error=error)))
        return httpx.Response(402, headers=headers, json=problem or {})

    def channel(self, claimed: Channel | None, payer: str, salt: str) -> Channel:
        api = self.offered()
        return api.channel(payer, self.chain.signer, salt if claimed is None else claimed.salt)

    def take(self, channel: Channel, voucher: Voucher) -> Sums:
        assert is_signed_by(channel, voucher)
        sums = self.sums.setdefault(channel.id, Sums())
        if voucher.cumulative_wei > sums.signed_wei:
            sums.signed_wei, sums.signature = voucher.cumulative_wei, voucher.signature
        return sums

    def _by_mpp(self, request: httpx.Request, credential: mpp.Credential) -> httpx.Response:
        assert credential.challenge.is_by(SECRET)
        payload = mpp.session_payload(credential, CHAIN_ID)
        assert payload.voucher is not None
        channel = self.channel(None, payload.payer, payload.voucher.salt)
        if channel.id != payload.channel_id or mpp.offer_of(credential.challenge) != self.offered():
            return self.asks(problem={"code": "offer_changed"})
        sums = self.take(channel, payload.voucher)
        is_voucher = payload.action == "voucher" and request.method != "HEAD"
        required_wei = sums.required_wei(self.price_wei if is_voucher else 0)
        if sums.signed_wei < required_wei or payload.voucher.cumulative_wei <= sums.posted_wei:
            required_wei = sums.told_to(payload.voucher.cumulative_wei).required_wei(
                self.price_wei if is_voucher else 0
            )
            told = {"requiredCumulative": str(required_wei)} if self.tells_required else {}
            return self.asks(problem=told)
        if payload.action == "close":
            self.closed = True
        if not is_voucher:
            return httpx.Response(204, headers={"Payment-Receipt": self.mpp_receipt(channel.id)})
        return self.serve(
            request, channel, lambda cost: {"Payment-Receipt": self.mpp_receipt(channel.id), **self.cost_field(cost)}
        )

    def cost_field(self, cost_wei: int) -> dict[str, str]:
        return {"X-Cost-Wei": self.lies.get("X-Cost-Wei", str(cost_wei))} if self.tells_cost else {}

    def mpp_receipt(self, channel_id: str) -> str:
        members = {"spent": str(self.sums[channel_id].charged_wei), "reference": channel_id, **self.lies}
        return mpp.receipt_value(
            {"status": "success", "method": "genlayer", "timestamp": "2026-11-30T15:00:00Z", **members}
        )

    def _by_x402(self, request: httpx.Request, payment: x402.Payment) -> httpx.Response:
        channel = self.channel(payment.channel, payment.channel.payer, "")
        is_call = payment.kind == "voucher"
        if channel.id != payment.channel_id or (is_call and payment.accepted_wei < self.price_wei):
            return self.asks(error="invalid_payment_requirements")
        sums = self.take(channel, payment.voucher)
        estimate_wei = self.price_wei
        if self.busy and channel.salt.endswith("0"):
            return self.asks(error=f"{x402.REASONS}channel_busy")
        assert not sums.reserved_wei, "two payments of a channel at a time"
        required_wei = sums.required_wei(estimate_wei)
        is_good = payment.voucher.cumulative_wei == required_wei
        if not (is_good if is_call else payment.voucher.cumulative_wei > sums.posted_wei):
            sums = sums.told_to(payment.voucher.cumulative_wei)
            required_wei = sums.required_wei(estimate_wei)
            state = {"channelId": channel.id, "chargedCumulativeAmount": str(sums.charged_wei)}
            signed = {"signedMaxClaimable": str(sums.signed_wei), "signature": sums.signature}
            extra = {"channelState": {**state, **self.lies}, "voucherState": signed}
            amount_wei = required_wei - sums.charged_wei
            return self.asks(extra=extra, amount_wei=amount_wei, error=f"{x402.REASONS}cumulative_amount_mismatch")
        if payment.kind == "refund":
            self.closed = True
            return httpx.Response(200, headers={x402.RESPONSE_FIELD: self.x402_receipt(channel.id, 0)})
        return self.serve(request, channel, lambda cost: {x402.RESPONSE_FIELD: self.x402_receipt(channel.id, cost)})

    def x402_receipt(self, channel_id: str, cost_wei: int) -> str:
        state = {"channelId": channel_id, "chargedCumulativeAmount": str(self.sums[channel_id].charged_wei)}
        extra = {"chargedAmount": str(cost_wei), "channelState": state, **self.lies}
        return x402.response_value({"success": True, "transaction": "", "network": "eip155:61999", "extra": extra})

    def serve(
        self, request: httpx.Request, channel: Channel, receipt: Callable[[int], dict[str, str]]
    ) -> httpx.Response:
        sums = self.sums[channel.id]
        sums.reserved_wei += self.price_wei
        try:
            response = self.handler(request)
        finally:
            sums.reserved_wei -= self.price_wei
        if response.is_success:
            cost_wei = self.price_wei if self.cost is None else self.cost(request)
            sums.charged_wei += cost_wei
            assert sums.charged_wei + sums.reserved_wei <= sums.signed_wei, "served what nobody signed for"
            self.served += 1
            response.headers.update(receipt(cost_wei))
        return response

    def post(self) -> None:
        """All vouchers become public."""
        for each in self.sums.values():
            each.posted_wei, each.public, each.batched_wei = each.signed_wei, each.signature, each.charged_wei


def problem_of(response: httpx.Response) -> Any:
    return json.loads(response.content)
