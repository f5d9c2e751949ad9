"""The paying clients at the real door, from the session that they open on the contract to the operator's earnings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.errors import NotPayable, TooExpensive
from api_billing.payer import PAYMENT, AsyncPayingClient, PayingClient, PayingSession, Wallet
from tests.metering.settlement.places import PRICE

from .served import PIECES, PayersPlace

BOUNDS: dict[str, Any] = {"max_wei_per_call": PRICE, "max_wei_a_day": 100 * PRICE, "open_session": 50 * PRICE}
both = pytest.mark.parametrize("protocol", ["mpp", "x402"])


@pytest.fixture
def wallet(place: PayersPlace, tmp_path: Path) -> Iterator[Wallet]:
    made = Wallet(place.consumer, file=tmp_path / "payer.db")
    yield made
    made.close()


@both
def test_client__of_httpx__opens_a_session_pays_and_is_billed_once(
    place: PayersPlace, wallet: Wallet, url: str, protocol: Any
) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        for number in range(1, 6):
            response = client.get(url)
            assert (response.status_code, response.json()) == (200, "sunny")
            paid = response.extensions[PAYMENT].paid
            assert (paid.cost_wei, paid.charged_wei) == (PRICE // 2, number * PRICE // 2)
    place.served_wei = 5 * PRICE // 2
    assert wallet.book.signed_wei(wallet.payer) == place.served_wei + PRICE // 2
    assert place.settle().status == "done"
    place.is_billed_once()


@both
def test_client__whose_vouchers_were_posted__goes_on(
    place: PayersPlace, wallet: Wallet, url: str, protocol: Any
) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        for _ in range(3):
            assert client.get(url).is_success
            assert place.settle().status == "done"
    place.served_wei = 3 * PRICE // 2
    place.is_billed_once()


@both
@pytest.mark.parametrize("is_posted", [False, True])
def test_client__that_closes__has_its_hold_back(
    place: PayersPlace, wallet: Wallet, url: str, protocol: Any, is_posted: bool
) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        assert client.get(url).is_success
        assert place.consumer.get_usage_report(place.who).held_wei == 50 * PRICE
        if is_posted:
            assert place.settle().status == "done"
            assert client.get(url).is_success
        assert client.close_session(url).session.state == "closing"
    assert place.settle().status == "done"
    assert place.consumer.get_usage_report(place.who).held_wei == 0
    place.served_wei = (1 + is_posted) * PRICE // 2
    place.is_billed_once()


@both
def test_client__that_closes_where_only_post_is_allowed__names_it(
    place: PayersPlace, wallet: Wallet, url: str, protocol: Any
) -> None:
    with PayingClient(wallet, **BOUNDS, protocols=(protocol,)) as client:
        assert client.get(url).is_success
        ring = url.replace("/forecast", "/ring")
        with pytest.raises(NotPayable, match="asks for no payment"):
            client.close_session(ring)
        assert client.close_session(ring, method="POST").session.state == "closing"
    assert place.settle().status == "done"
    assert place.consumer.get_usage_report(place.who).held_wei == 0


@pytest.mark.anyio
async def test_client__of_coroutines__pays(wallet: Wallet, url: str) -> None:
    async with AsyncPayingClient(wallet, **BOUNDS) as client:
        for _ in range(3):
            assert (await client.get(url)).json() == "sunny"


def test_session__of_requests__pays(wallet: Wallet, url: str) -> None:
    with PayingSession(wallet, **BOUNDS) as client:
        for _ in range(3):
            assert client.get(url).json() == "sunny"


def test_session__topped_up__has_more_until_later(place: PayersPlace, wallet: Wallet, url: str) -> None:
    with PayingClient(wallet, **BOUNDS) as client:
        client.get(url)
    [before] = wallet.book.sessions()
    after = wallet.top_up(before, 10 * PRICE, days=30)
    assert (after.signer, after.expires_at > before.expires_at) == (before.signer, True)
    assert place.consumer.get_usage_report(place.who).held_wei == 60 * PRICE


@pytest.mark.parametrize(("method", "path"), [("GET", "/events"), ("POST", "/talk")], ids=["with HEAD", "without HEAD"])
def test_stream__that_runs_dry__is_paid_on_and_billed_once(
    place: PayersPlace, wallet: Wallet, url: str, method: str, path: str
) -> None:
    body = "hello" if method == "POST" else None
    with PayingClient(wallet, **BOUNDS) as client:
        for _ in range(2):
            with client.stream(method, url.replace("/forecast", path), json=body) as response:
                text = b"".join(response.iter_bytes())
            assert all(piece in text for piece in PIECES), text
            assert text.count(b"event: payment-need-voucher") > 0
            assert response.extensions[PAYMENT].paid.cost_wei > 900
    paid_wei = response.extensions[PAYMENT].paid.charged_wei
    assert paid_wei <= wallet.book.signed_wei(wallet.payer) <= paid_wei + 310
    place.served_wei = paid_wei
    assert place.settle().status == "done"
    place.is_billed_once()


def test_stream__above_the_bound_of_a_call__is_cut_where_it_is(place: PayersPlace, wallet: Wallet, url: str) -> None:
    with PayingClient(wallet, **{**BOUNDS, "max_wei_per_call": 700}) as client:
        with (
            pytest.raises(TooExpensive, match="the bound of a call"),
            client.stream("GET", url.replace("/forecast", "/events")) as response,
        ):
            response.read()
        assert wallet.book.signed_wei(wallet.payer) <= 700
