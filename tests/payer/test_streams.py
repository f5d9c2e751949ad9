"""Streams pass through as they come; those of MPP that run dry get another voucher, up to the bound of a call."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from api_billing.errors import TooExpensive
from api_billing.payer import PAYMENT, AsyncPayingClient, Wallet
from api_billing.payer.events import Events
from api_billing.vouchers import Channel

from .conftest import Client
from .scripted import URL, ScriptedContract, Server


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, parts: Iterator[bytes]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return self.parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


class StreamingServer(Server):
    """Each of ``pieces`` costs what an offer is for; what is not covered is asked for, and served when it is there."""

    pieces = 3
    ends_with_receipt = True
    took: list[str]

    def serve(
        self, request: httpx.Request, channel: Channel, receipt: Callable[[int], dict[str, str]]
    ) -> httpx.Response:
        self.took = []
        begun = {"Payment-Receipt": self.mpp_receipt(channel.id)} if "mpp" in self.protocols else receipt(0)
        headers = {"Content-Type": "text/event-stream", **begun}
        return httpx.Response(200, headers=headers, stream=Stream(self.parts(channel)))

    def parts(self, channel: Channel) -> Iterator[bytes]:
        sums = self.sums[channel.id]
        for number in range(self.pieces):
            required_wei = sums.required_wei(self.price_wei)
            if sums.signed_wei < required_wei:
                accepted, required = str(sums.signed_wei), str(required_wei)
                asked = {"channelId": channel.id, "requiredCumulative": required, "acceptedCumulative": accepted}
                text = f"event: payment-need-voucher\ndata: {json.dumps(asked)}\n\n".encode()
                yield text[:25]
                yield text[25:]
            if sums.signed_wei < required_wei:
                return
            sums.charged_wei += self.price_wei
            self.took.append(f"piece {number}")
            yield f"data: piece {number}\n\n".encode()
        if self.ends_with_receipt:
            told = self.members(channel.id)
            yield f"event: payment-receipt\ndata: {json.dumps(told)}\n\n".encode()

    def members(self, channel_id: str) -> dict[str, Any]:
        spent = str(self.sums[channel_id].charged_wei)
        return {"status": "success", "method": "genlayer", "timestamp": "2026-11-30T15:00:00Z", "reference": channel_id,
                "spent": spent}  # fmt: skip


@pytest.fixture
def server(chain: ScriptedContract) -> StreamingServer:
    return StreamingServer(chain, protocols=("mpp",))


def test_stream__that_runs_dry__gets_vouchers_by_head_and_ends_with_its_receipt(
    client: Client, server: StreamingServer, wallet: Wallet
) -> None:
    with client().stream("POST", URL, json={}) as response:
        text = "".join(response.iter_text())
    assert [f"data: piece {number}" in text for number in range(3)] == [True] * 3
    assert [each.method for each in server.seen] == ["POST", "POST", "HEAD", "HEAD"]
    assert [each.content for each in server.seen[2:]] == [b"", b""]
    payment = response.extensions[PAYMENT]
    assert (payment.paid.cost_wei, payment.paid.charged_wei, server.charged_wei) == (300, 300, 300)
    assert wallet.book.signed_wei(wallet.payer) == 300
    [sums] = server.sums.values()
    assert sums.signed_wei == 300


def test_stream__that_runs_dry_without_head_and_after_its_challenge__gets_vouchers_as_top_ups(
    client: Client, server: StreamingServer
) -> None:
    challenges = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(405)
        if server.paid and not challenges and "Authorization" in request.headers:
            challenges.append(server.asks())
            return challenges[-1]
        return server(request)

    assert "piece 2" in client(transport=httpx.MockTransport(handle)).post(URL, json={}).text
    assert (len(challenges), server.charged_wei) == (1, 300)


def test_stream__before_its_first_piece__has_not_been_read(client: Client, server: StreamingServer) -> None:
    with client().stream("GET", URL) as response:
        assert server.took == []
        lines = response.iter_lines()
        assert next(lines) == "data: piece 0"
        assert server.took == ["piece 0"]


def test_stream__above_the_bound_of_a_call__is_not_signed_for(client: Client, server: StreamingServer) -> None:
    with (
        pytest.raises(TooExpensive, match="the bound of a call"),
        client(max_wei_per_call=250).stream("GET", URL) as response,
    ):
        for _ in response.iter_raw():
            pass
    assert server.took == ["piece 0", "piece 1"]
    assert server.charged_wei == 200


def test_stream__above_the_bound_of_a_day__is_not_signed_for(client: Client, server: StreamingServer) -> None:
    with (
        pytest.raises(TooExpensive, match="the bound of a day"),
        client(max_wei_a_day=250).stream("GET", URL) as response,
    ):
        response.read()
    assert server.charged_wei == 200


def test_stream__without_a_receipt_at_its_end__counts_with_all_that_was_signed_for_it(
    client: Client, server: StreamingServer, wallet: Wallet
) -> None:
    server.ends_with_receipt = False
    assert client().get(URL).is_success
    assert wallet.book.signed_wei(wallet.payer) == 300


def test_stream__whose_receipt_says_less_than_was_charged_before__tells_no_cost(
    client: Client, server: StreamingServer, wallet: Wallet
) -> None:
    paying = client()
    paying.get(URL)
    members, server.members = server.members, lambda channel_id: {**members(channel_id), "spent": "0"}  # type: ignore[method-assign]
    assert paying.get(URL).extensions[PAYMENT].paid.cost_wei is None
    assert wallet.book.signed_wei(wallet.payer) == 600


def test_stream__after_a_stream__pays_with_what_is_left(client: Client, server: StreamingServer) -> None:
    paying = client()
    for _ in range(3):
        assert paying.get(URL).is_success
    [sums] = server.sums.values()
    assert (sums.charged_wei, sums.signed_wei) == (900, 900)


def test_stream__over_x402__has_its_cost_before_it_begins(
    client: Client, server: StreamingServer, wallet: Wallet
) -> None:
    server.protocols, server.pieces = ("x402",), 0
    with client().stream("GET", URL) as response:
        assert response.extensions[PAYMENT].paid.cost_wei == 0
    assert wallet.book.signed_wei(wallet.payer) == 100


@pytest.mark.anyio
async def test_stream__of_an_async_client__is_paid_as_it_goes(wallet: Wallet, server: StreamingServer) -> None:
    paying = AsyncPayingClient(
        wallet, max_wei_per_call=1_000, max_wei_a_day=10_000, open_session=50_000,
        transport=httpx.MockTransport(server),
    )  # fmt: skip
    paying.payer._clock = wallet._clock
    async with paying, paying.stream("GET", URL) as response:
        assert server.took == []
        lines = [line async for line in response.aiter_lines()]
    assert [line for line in lines if "piece" in line] == [f"data: piece {number}" for number in range(3)]
    assert response.extensions[PAYMENT].paid.charged_wei == 300


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_events__in_chunks_of_any_size__are_the_same(size: int) -> None:
    text = b":\r\nevent: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata: no name\n\nevent: b\ndata:3\nid: 9\n\nevent: c\ndata: x"
    events = Events()
    found = [each for at in range(0, len(text), size) for each in events.feed(text[at : at + size])]
    assert found == [("a", "1\n2"), ("b", "3")]


def test_events__without_an_end__are_not_kept_for_ever() -> None:
    events = Events()
    for _ in range(100):
        assert list(events.feed(b"x" * 10_000)) == []
        assert list(events.feed(b"\ndata: " + b"y" * 10_000)) == []
    assert sum(map(len, events._data)) + sum(map(len, events._line)) < 150_000


def test_events__of_many_empty_lines_of_data__are_passed_over_and_not_kept() -> None:
    events = Events()
    assert list(events.feed(b"event: a\n" + b"data:\n" * 50_000)) == []
    assert len(events._data) <= 65_536 // len("data:")
    assert list(events.feed(b"\nevent: b\ndata: 1\n\n")) == [("b", "1")]


def test_events__of_a_line_that_is_too_long__are_passed_over() -> None:
    events = Events()
    assert [list(events.feed(b"event: a\ndata: 1\nx")), *(list(events.feed(b"y")) for _ in range(70_000))].count(
        []
    ) == 70_001
    assert events._line == []
    assert list(events.feed(b"\n\nevent: b\r\ndata: 1\r\n\r\n")) == [("b", "1")]
