"""Streams in a session, under every adapter: nothing goes out that is not signed for, and what went out is charged."""

from collections.abc import Iterator

import pytest

from .paying import Shop, open_shop
from .subjects import ADAPTERS, Subject, subject_of
from .terms import BASE_WEI, CHUNKS, MORE_WEI, TERMS

FIRST_WEI = BASE_WEI + len(CHUNKS[0])
TWO_WEI = FIRST_WEI + len(CHUNKS[1])
ALL_WEI = BASE_WEI + len(b"".join(CHUNKS))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Its estimate is for the first piece of a stream."""
    monkeypatch.setitem(TERMS, "estimate_wei", FIRST_WEI)
    with open_shop() as shop:
        yield shop


@pytest.fixture(params=ADAPTERS)
def subject(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Subject]:
    with subject_of(request.param, shop.meter) as subject:
        yield subject


@pytest.mark.parametrize(
    ("signed_wei", "pieces", "cost_wei"),
    [(FIRST_WEI, 1, FIRST_WEI), (TWO_WEI, 2, TWO_WEI), (ALL_WEI - 1, 2, TWO_WEI), (ALL_WEI, 3, ALL_WEI)],
)
def test_stream__that_outgrows_its_estimate__goes_as_far_as_is_signed(
    shop: Shop, subject: Subject, signed_wei: int, pieces: int, cost_wei: int
) -> None:
    reply = subject.get("/stream", shop.by_voucher(signed_wei))
    assert (reply.status, reply.body) == (200, b"".join(CHUNKS[:pieces]))
    (record,) = shop.records
    assert (record.state, record.charged_wei, record.uncollected_wei) == ("settled", cost_wei, 0)
    assert (shop.channel.charged_wei, shop.channel.reserved_wei) == (cost_wei, 0)


def test_stream__of_an_application_that_finds_out__goes_as_far_as_is_signed(shop: Shop, subject: Subject) -> None:
    reply = subject.get("/growing", shop.by_voucher(TWO_WEI + 2 * MORE_WEI))
    assert reply.body == b"".join(CHUNKS[:2])
    assert shop.channel.charged_wei == TWO_WEI + 2 * MORE_WEI
