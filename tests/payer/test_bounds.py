"""What a wallet signs stays within its bounds, whatever a server answers: it counts what it was handed."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_billing.contract_api import DAY_SECONDS
from api_billing.errors import BillingError
from api_billing.payer import PayingClient, Wallet
from api_billing.payments import mpp, x402
from api_billing.payments.encoding import to_base64
from api_billing.vouchers import Voucher

from .scripted import CHAIN_ID, URL, ScriptedContract, Server

MAX_CALL, MAX_DAY = 1_000, 2_500
BOUNDS: dict[str, Any] = {"max_wei_per_call": MAX_CALL, "max_wei_a_day": MAX_DAY, "open_session": 10**9}
ANSWERS = ("receipt", "402", "required", "busy", "corrective", "closed", "500", "lost", "stream", "405")
both = pytest.mark.parametrize("protocol", ["mpp", "x402"])


class Hostile(Server):
    """Answers what it likes, and keeps the highest voucher that it was handed of each channel."""

    def __init__(self, chain: ScriptedContract, answer: Callable[[str], str], wei: Callable[[int], int]) -> None:
        super().__init__(chain)
        self.answer, self.wei = answer, wei
        self.held = dict[str, Voucher]()
        self.of_call, self.of_day = 0, Counter[int]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        channel_id, voucher = self.handed(request)
        if not channel_id:
            return self.asks()
        before = self.held.get(channel_id)
        by_wei = voucher.cumulative_wei - (before.cumulative_wei if before else 0)
        if by_wei > 0 or before is None:
            self.held[channel_id] = voucher
            self.of_call += by_wei
            self.of_day[int(self.chain.clock.now) // DAY_SECONDS] += by_wei
        return self.answered(self.answer(request.method), channel_id, voucher.cumulative_wei)

    @staticmethod
    def handed(request: httpx.Request) -> tuple[str, Voucher]:
        if x402.SIGNATURE_FIELD in request.headers:
            payment = x402.read_payment(request.headers[x402.SIGNATURE_FIELD], CHAIN_ID)
            return payment.channel_id, payment.voucher
        credential = mpp.read_credential(request.headers.get("Authorization", ""))
        payload = credential and mpp.session_payload(credential, CHAIN_ID)
        if not payload or payload.voucher is None:
            return "", Voucher("0x" + "0" * 64, 1, "0x" + "1" * 130)
        return payload.channel_id, payload.voucher

    def answered(self, answer: str, channel_id: str, signed_wei: int) -> httpx.Response:
        if answer == "lost":
            raise httpx.ReadError("gone")
        if answer in ("500", "405"):
            return httpx.Response(int(answer), headers={"X-Cost-Wei": str(self.wei(0))} if self.wei(0) % 2 else {})
        if answer == "closed":
            self.chain.signer = ""
        if answer == "required":
            return self.asks(problem={"requiredCumulative": str(self.wei(signed_wei))})
        if answer == "busy":
            return self.asks(error=x402.REASONS + "channel_busy")
        if answer == "corrective":
            state = {"channelId": channel_id, "chargedCumulativeAmount": str(self.wei(signed_wei))}
            held = self.held[channel_id]
            signed = {"signedMaxClaimable": str(held.cumulative_wei), "signature": held.signature}
            amount_wei = max(1, self.wei(0))
            return self.asks(extra={"channelState": state, "voucherState": signed}, amount_wei=amount_wei)
        if answer == "402":
            return self.asks()
        total_wei, cost_wei = self.wei(signed_wei), self.wei(0)
        state = {"channelId": channel_id, "chargedCumulativeAmount": str(total_wei)}
        told = {"success": True, "transaction": "", "network": "eip155:61999",
                "extra": {"chargedAmount": str(cost_wei), "channelState": state}}  # fmt: skip
        headers = {"Payment-Receipt": to_base64(json.dumps(self.receipt(channel_id, total_wei)).encode()),
                   x402.RESPONSE_FIELD: x402.response_value(told)}  # fmt: skip
        if answer == "stream":
            return httpx.Response(200, headers={**headers, "Content-Type": "text/event-stream"},
                                  stream=httpx.ByteStream(b"".join(self.events(channel_id, signed_wei))))  # fmt: skip
        return httpx.Response(200, headers={**headers, "X-Cost-Wei": str(cost_wei)})

    @staticmethod
    def receipt(channel_id: str, total_wei: int) -> dict[str, str]:
        return {"status": "success", "method": "genlayer", "timestamp": "2026-11-30T15:00:00Z",
                "reference": channel_id, "spent": str(total_wei)}  # fmt: skip

    def events(self, channel_id: str, signed_wei: int) -> Iterator[bytes]:
        for number in range(1, 4):
            asked = {"channelId": channel_id, "requiredCumulative": str(self.wei(signed_wei * number))}
            yield f"event: payment-need-voucher\ndata: {json.dumps(asked)}\n\n".encode()
        yield f"event: payment-receipt\ndata: {json.dumps(self.receipt(channel_id, self.wei(signed_wei)))}\n\n".encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_server__that_answers_anything__has_nothing_signed_above_the_bounds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    chain = ScriptedContract()
    near = st.sampled_from([0, 0, 1, -1, 100, 999, 1_000, -1_000, 10**9])
    server = Hostile(
        chain,
        lambda method: data.draw(st.sampled_from(ANSWERS), label=method),
        lambda wei: max(0, wei + data.draw(near, label="wei")),
    )
    folder, sleep = tmp_path_factory.mktemp("book"), chain.clock.sleep
    made = Wallet(chain, file=folder / "payer.db", clock=chain.clock, sleep=sleep)  # type: ignore[arg-type]
    # Closed also where Hypothesis breaks an example off.
    with closing(made) as wallet, PayingClient(wallet, **BOUNDS, transport=httpx.MockTransport(server)) as client:
        client.payer._clock = chain.clock
        for _ in range(data.draw(st.integers(1, 12), label="calls")):
            server.protocols = data.draw(st.sampled_from([("mpp",), ("x402",), ("x402", "mpp")]))
            server.price_wei = data.draw(st.sampled_from([1, 300, 999, 1_000, 1_001]), label="price")
            server.of_call = 0
            with suppress(BillingError, httpx.HTTPError):
                if data.draw(st.integers(0, 9)):
                    client.get(URL)
                else:
                    client.close_session(URL)
            today = int(chain.clock.now) // DAY_SECONDS
            assert server.of_call <= MAX_CALL
            assert server.of_day[today] <= MAX_DAY
            assert server.of_day[today] == wallet.book.signed_wei(wallet.payer)
            chain.clock.sleep(data.draw(st.sampled_from([0, 0, 0, 400, DAY_SECONDS // 2]), label="time"))


@both
@pytest.mark.parametrize("answer", ["receipt", "402", "required", "busy", "corrective", "closed", "500", "lost"])
def test_server__that_always_answers_the_same__is_paid_no_more_than_a_day_may_cost(
    wallet: Wallet, chain: ScriptedContract, protocol: str, answer: str
) -> None:
    server = Hostile(chain, lambda _: answer, lambda wei: wei)
    server.protocols, server.price_wei = (protocol,), MAX_CALL
    with PayingClient(wallet, **BOUNDS, transport=httpx.MockTransport(server)) as client:
        client.payer._clock = chain.clock
        for _ in range(20):
            server.of_call = 0
            with suppress(BillingError, httpx.HTTPError):
                client.get(URL)
            assert server.of_call <= MAX_CALL
    assert sum(server.of_day.values()) <= MAX_DAY
    assert len(chain.opened) <= 3, "no session is opened to find that it may not be paid from"
