"""What pays is an object of its own: a kind that the meter does not have needs no change of an exchange."""

from collections.abc import Iterator

import pytest

from api_billing.metering import Exchange, Meter
from api_billing.metering.ledger.operations import (
    Grant,
    ListRecords,
    ReadBalance,
    Reserve,
    ReserveReply,
    Settle,
    Settled,
)
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request import exchange as exchanges
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.prices import Priced
from api_billing.metering.request.problems import Refusal
from api_billing.metering.stores.steps import Steps

NOW_MS = 1_769_860_800_000


class TicketPayer(Payer):
    """A ticket pays for whoever has it, out of an account of all tickets, one wei a request."""

    def reserve(self) -> Steps[ReserveReply | Refusal]:
        ticket = self.request.headers.first("ticket")
        if ticket is None:
            return Refusal("missing_identity")
        self.consumer, self.estimate_wei = ticket, 1
        return (yield from self.ask("tickets", self.request.at_ms))

    def price(self, response: MeteredResponse) -> Steps[Priced]:
        yield from ()
        return Priced(1)

    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        return [("tickets-left", str(reply.balance.free_wei))]


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    monkeypatch.setattr(exchanges, "payer_of", TicketPayer)
    with Meter.open("memory://", clock_ms=lambda: NOW_MS) as meter:
        meter.store.call(Grant("first", "tickets", 2, NOW_MS))
        yield meter


def exchange(meter: Meter, *fields: tuple[str, str]) -> Exchange:
    return Exchange(meter.metering("demo"), MeteredRequest("GET", "/", TextHeaders(fields), at_ms=NOW_MS))


def test_payer__of_a_kind_of_its_own__is_charged_and_says_what_is_sent(meter: Meter) -> None:
    request = exchange(meter, ("ticket", "t1"))
    assert request.begin() is None
    assert meter.store.call(ReadBalance("tickets")).reserved_wei == 1
    assert request.finish(MeteredResponse(200, TextHeaders(()))) == [("tickets-left", "1")]
    (record,) = meter.store.call(ListRecords())
    assert (record.state, record.consumer, record.account, record.charged_wei) == ("settled", "t1", "tickets", 1)


def test_payer__that_refuses__is_recorded_like_any_refusal(meter: Meter) -> None:
    answer = exchange(meter).begin()
    assert answer is not None
    assert answer.status == 401
    (record,) = meter.store.call(ListRecords())
    assert (record.state, record.code) == ("refused", "missing_identity")


def test_payer__whose_request_is_aborted__has_everything_back(meter: Meter) -> None:
    request = exchange(meter, ("ticket", "t1"))
    request.begin()
    request.abort()
    assert meter.store.call(ReadBalance("tickets"))[:3] == (2, 0, 0)
