"""Sessions against the real contract on a localnet: what the meter serves by vouchers, the contract bills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from api_billing.errors import ContractRejected
from api_billing.metering.errors import VoucherRefused
from api_billing.metering.ledger.session_operations import CloseSession, ReadSession
from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.stores import open_store
from api_billing.networks import Network
from api_billing.results import SettlementEntry
from api_billing.vouchers import Voucher
from genlayer_localnet.testing.plugin import server_fixture

from .fake_chain import FakeChain
from .places import ONE_GEN, PRICE, SessionPlace

server = server_fixture(scope="module", finality_window_seconds=3_600)


@pytest.fixture
def place(request: pytest.FixtureRequest, network: Network, contract: str) -> Iterator[SessionPlace]:
    made = SessionPlace(request.node.nodeid, network, contract)
    with made.store:
        yield made


def meter_of(place: SessionPlace) -> Meter:
    """A meter on a place's store and chain, without threads."""
    given = {"holds_from": "accepted", "credit_refresh_seconds": 1}
    settings = MeterSettings.load(store_url="memory://", contract=place.contract, **given)
    meter = Meter(place.store, settings, clock_ms=place.now_ms)
    meter.on_chain = OnChain(place.operator, place.store, settings, place.now_ms, place.alerts.append)
    meter.on_chain.start = lambda: None  # type: ignore[method-assign]
    return meter


def test_session__of_two_channels__is_billed_by_its_vouchers(place: SessionPlace) -> None:
    place.refresh()
    for round_ in range(3):
        place.serve(500 - round_, 5)
        assert place.settle().status == "done"
        place.is_billed_once()


def test_session__closed__has_the_rest_of_the_hold_back_at_once(place: SessionPlace) -> None:
    place.refresh()
    place.serve(700, 3)
    place.store.call(CloseSession(chain_account(place.api, place.who)))
    assert place.settle().status == "done"
    report = place.consumer.get_usage_report(place.who)
    assert (report.held_wei, report.credit_balance_wei) == (0, ONE_GEN - 2_100)
    place.is_billed_once()


def test_session__settled_when_its_signer_is_another_one__is_refused_and_explained(place: SessionPlace) -> None:
    place.refresh()
    place.serve(500)
    place.operator.release_hold(place.api, place.who)
    place.consumer.place_hold(place.api, 50_000, place.expires_at, "0x" + "77" * 20)
    assert place.settle().status == "done"
    assert [alert.kind for alert in place.alerts] == ["settlement"]
    assert "bad_signature" in place.alerts[0].message
    found = place.reconcile()
    assert not found.is_zero
    assert [line.unexplained_wei for line in found.lines] == [0]


def test_meter__voucher_of_the_typed_client__is_kept_and_a_forged_one_is_not(place: SessionPlace) -> None:
    meter = meter_of(place)
    kept = meter.put_voucher(place.api, place.who, place.sign(900))
    assert (kept.signed_wei, kept.charged_wei) == (900, 0)
    forged = replace(place.sign(901), cumulative_wei=902)
    with pytest.raises(VoucherRefused) as caught:
        meter.put_voucher(place.api, place.who, forged)
    assert caught.value.reason == "bad_signature"
    place.refresh()
    place.serve(400, 2)
    place.settle()
    place.is_billed_once()


def test_meter__with_a_store_that_is_new__begins_where_the_contract_is(place: SessionPlace) -> None:
    place.refresh()
    place.serve(400, 2)
    place.settle()
    before = sorted(each[3:6] for each in place.sums().values())
    place.store.close()
    place.store = open_store("memory://")
    place.refresh()
    session = place.store.call(ReadSession(chain_account(place.api, place.who)))
    assert session is not None
    assert sorted(each[3:6] for each in session.channels) == before == [(400, 0, 400), (400, 0, 400)]
    place.serve(300, 2)
    place.settle()
    assert place.earned_wei() == place.served_wei


def test_fake_chain__same_vouchers__answers_as_the_real_contract(
    request: pytest.FixtureRequest, network: Network, contract: str
) -> None:
    place = SessionPlace(request.node.nodeid, network, contract, hold_wei=4_000)
    today, who = place.now_s // 86_400, place.who
    api = place.operator.get_api(place.api)
    fake = FakeChain(place.now_s)
    fake.contract, fake.operator, fake.asset = contract, api.operator, api.asset
    fake.subscribe(
        place.api, who, hold_wei=4_000, credit_wei=ONE_GEN - 4_000, expires_at=place.expires_at, since_day=today,
        accepted_price_wei=PRICE, price_wei=PRICE, cap_wei=ONE_GEN, daily_calls=100_000, signer=place.signer,
    )  # fmt: skip
    good = [place.sign(1_000 * (number + 1)) for number in range(4)]
    forged = Voucher(good[0].salt, 5_000, good[0].signature)
    plan: list[list[tuple[Any, ...]]] = [
        [(who, today, 1, 600, good[0])],
        [(who, today, 1, 600, good[0])],
        [(who, today, 1, 1, None), (who, today, 1, 0, None), (who, today, 1, 5, forged)],
        [(who, today, 2, 900, good[1]), (who, today, 2, 700, good[0])],
        [(who, today, 1, 10, place.sign(10, 1)), (who, today, 1, 10, place.sign(9, 2))],
        [(who, today, 4, 3_999, good[3])],
        [(who, today, 1, 100, good[3], True)],
        [(who, today, 1, 1, place.sign(9_999))],
    ]
    plan[3:3] = [[(who, today, 1, 7, place.sign(7, number))] for number in range(10, 26)]
    for sequence, lines in enumerate(plan, start=1):
        entries = [SettlementEntry(*line) for line in lines]
        real = answer(place.operator, place.api, sequence, entries)
        assert answer(fake, place.api, sequence, entries) == real, (sequence, real)
    assert fake.get_session(who, place.api).channels == place.operator.get_session(who, place.api).channels
    place.store.close()


def answer(chain: Any, api: str, sequence: int, entries: list[SettlementEntry]) -> Any:
    """What a settlement answers, its time apart."""
    try:
        return {**asdict(chain.settle_usage(api, sequence, entries, "ab" * 32).result), "settled_at": 0}
    except ContractRejected as error:
        return error.code
