"""The same against the real contract on a localnet, through the typed client: from a hold to earnings."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from api_billing.client import BillingClient
from api_billing.errors import ContractRejected, OutcomeUnknown
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.ledger.settlement_operations import ListOutgoing, ReadBook, ReadCredit, RetryRefused
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.proof import prove, verify
from api_billing.metering.stores.steps import run
from api_billing.networks import find_network
from api_billing.results import SettlementEntry
from genlayer_localnet.testing.plugin import server_fixture
from genlayer_localnet.testing.server import local_server

from .fake_chain import FakeChain
from .places import ONE_GEN, PRICE, Place, deployed

server = server_fixture(scope="module", finality_window_seconds=3_600)


class Lossy:
    """A client whose next answers to settlements get lost after they took effect."""

    def __init__(self, client: BillingClient, lost: int = 1) -> None:
        self._client, self.lost = client, lost

    def __getattr__(self, name):
        return getattr(self._client, name)

    def settle_usage(self, *values):
        written = self._client.settle_usage(*values)
        if self.lost:
            self.lost -= 1
            raise OutcomeUnknown("the answer was lost", written.tx)
        return written


@pytest.fixture
def place(request, network, contract):
    made = Place(request.node.nodeid, network, contract)
    with made.store:
        yield made


def test_settlement__on_the_real_contract__pays_the_operator_from_the_hold(place):
    place.refresh()
    for cost_wei in (700, 300, 1000):
        place.serve(cost_wei)
    ids = [record.record_id for record in place.store.call(ListRecords())]
    assert place.settle().status == "done"
    report = place.operator.get_usage_report(place.who)
    assert (report.apis[0].hold_wei, report.apis[0].calls_today) == (98_000, 3)
    assert place.operator.get_earnings(place.operator.address).earnings_wei == 2000
    assert place.reconcile().is_zero
    proof = json.loads(json.dumps(run(prove(ids[1]), place.store.call)))
    assert verify(proof, place.operator).billed


def test_settlement__answer_lost__is_healed_by_reading_the_contract(place):
    place.refresh()
    place.serve(500)
    chain = Lossy(place.operator)
    assert place.settle(chain).status == "unknown"
    assert place.settle(chain).status == "done"
    (outgoing,) = place.store.call(ListOutgoing(place.api))
    assert (outgoing.posting.attempts, outgoing.posting.state) == (1, "settled")
    assert place.reconcile().is_zero


def test_settlement__sent_a_second_time__is_answered_as_before_and_billed_once(place):
    place.refresh()
    place.serve(500)
    place.settle()
    (outgoing,) = place.store.call(ListOutgoing(place.api))
    line = outgoing.batch.lines[0]
    entry = SettlementEntry(place.who, line.day, line.calls, line.amount_wei)
    again = place.operator.settle_usage(place.api, 1, [entry], outgoing.batch.root)
    assert again.result.billed_wei == 500
    assert place.reconcile().is_zero


def test_settlement__refused_in_part__is_retried_when_the_consumer_raised_its_cap(request, network, contract):
    place = Place(request.node.nodeid, network, contract, cap=1000)
    place.refresh()
    place.serve(600)
    # Another meter's view of the same credit, so that more is used than the cap allows.
    account = chain_account(place.api, place.who)
    place.serve(400)
    place.consumer.consume_credit(place.api, place.who)
    assert place.settle().status == "done"
    credit = place.store.call(ReadCredit(account))
    assert (credit.refused_parts, credit.balance.free_wei) == (1, 0)
    place.consumer.subscribe(place.api, 10**6)
    assert place.store.call(RetryRefused(place.api, 1, place.now_ms())) is not None
    assert place.settle().status == "done"
    found = place.reconcile()
    assert (found.is_zero, found.lines[0].receipt_calls) == (True, 1)
    place.store.close()


def test_settlement__localnet_restarted_with_its_state__goes_on(request, tmp_path):
    with local_server(state=tmp_path / "chain.json") as server:
        network = find_network("localnet", server.url)
        place = Place(request.node.nodeid, network, deployed(network))
        place.refresh()
        place.serve(500)
        assert place.settle(Lossy(place.operator)).status == "unknown"
    with local_server(state=tmp_path / "chain.json") as server:
        place.network = find_network("localnet", server.url)
        place.operator, place.consumer = place.client("operator"), place.client("consumer")
        assert place.settle().status == "done"
        place.serve(300)
        assert place.settle().status == "done"
        assert place.store.call(ReadBook(place.api)).next_chain_sequence == 3
        assert place.reconcile().is_zero
    place.store.close()


def test_fake_chain__same_settlements__answers_as_the_real_contract(request, network, contract):
    place = Place(request.node.nodeid, network, contract, hold_wei=2_500, daily=7, cap=6_000)
    today = place.now_s // 86_400
    fake = FakeChain(place.now_s)
    fake.contract = contract
    fake.subscribe(
        place.api, place.who, hold_wei=2_500, credit_wei=ONE_GEN - 2_500, expires_at=place.now_s + 2 * 86_400,
        accepted_price_wei=PRICE, price_wei=PRICE, cap_wei=6_000, daily_calls=7,
        since_day=today,
    )  # fmt: skip
    stranger = "0x" + "77" * 20
    plan = [
        (1, [(place.who, today, 2, 1500)]),
        (1, [(place.who, today, 2, 1500)]),
        (3, [(place.who, today, 1, 1)]),
        (2, [(place.who, today, 1, 1001), (place.who, today - 2, 1, 1), (stranger, today, 1, 1)]),
        (3, [(place.who, today, 4, 3999), (place.who, today - 1, 1, 0)]),
        (4, [(place.who, today, 3, 2900), (place.who, today - 1, 9, 6500)]),
        (5, []),
    ]
    for sequence, lines in plan:
        entries = [SettlementEntry(*line) for line in lines]
        assert answer(fake, place.api, sequence, entries) == answer(place.operator, place.api, sequence, entries)
    assert reports(fake, place) == reports(place.operator, place)
    days = today - 3, today
    assert fake.get_usage_history(place.who, place.api, *days) == place.operator.get_usage_history(
        place.who, place.api, *days
    )
    place.store.close()


def answer(chain, api, sequence, entries):
    """What a settlement answers, its time apart."""
    try:
        return {**asdict(chain.settle_usage(api, sequence, entries, "ab" * 32).result), "settled_at": 0}
    except ContractRejected as error:
        return error.code


def reports(chain, place):
    line = asdict(chain.get_usage_report(place.who).apis[0])
    return {name: value for name, value in line.items() if name not in ("calls_month", "spend_month_wei")}
