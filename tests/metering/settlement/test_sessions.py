"""Consumers with a session pay by vouchers only, from the request to the contract, on a fake chain that checks them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from api_billing.errors import BillingError
from api_billing.metering import first_of, from_header, from_voucher
from api_billing.metering.errors import CreditUnavailable, InvalidSetting, StoreUnavailable, VoucherRefused
from api_billing.metering.ledger.consumer_operations import ListProfiles
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.ledger.settlement_operations import NEVER_READ, ListOutgoing, ReadCredit
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit_rules import CreditSettings, cover_wei, usable_wei
from api_billing.metering.web.identified import consumer_of
from api_billing.vouchers import Voucher

from .signing import OTHER_KEY, OTHER_SIGNER, SIGNER, WHO, open_session, salt_of, sign, text_of
from .test_metered_on_chain import Desk
from .world import API, FAULTS, LEASE_MS, NOON_MS, Killed, World, address, drive

EITHER = first_of(from_voucher(), from_header("x-consumer"))
ACCOUNT = chain_account(API, WHO)


class SessionDesk(Desk):
    """A meter whose consumers come with a voucher, or with their name alone, as with an API key."""

    def serve(self, *fields: tuple[str, str], by: Voucher | str | None = None, cost_wei: int = 10, **given: Any) -> Any:
        headers = list(fields)
        if by is None:
            headers.append(("x-consumer", given.get("who", WHO)))
        else:
            headers.append(("payment-voucher", by if isinstance(by, str) else text_of(by, given.get("who", WHO))))
        request = MeteredRequest("GET", "/forecast", TextHeaders(headers), at_ms=self.world.now_ms, body=b"")
        terms = {"estimate_wei": cost_wei, "price": given.get("price_wei", cost_wei), "identify": EITHER}
        exchange = Exchange(self.meter.metering(given.get("api", API), **terms), request)
        answer = exchange.begin()
        if answer is not None:
            return answer
        response = MeteredResponse(200, TextHeaders([]), body_bytes=5, body=b"sunny" if exchange.keeps_body else None)
        return dict(exchange.finish(response))

    def problem(self, **given: Any) -> dict[str, Any]:
        answer = self.serve(**given)
        assert isinstance(answer, Answer), answer
        body: dict[str, Any] = json.loads(answer.body)
        return body

    def sign(self, cumulative_wei: int, number: int = 0, **given: Any) -> Voucher:
        return sign(self.world, cumulative_wei, number, **given)

    def channel(self, number: int = 0) -> Any:
        session = self.meter.session(API, WHO)
        assert session is not None
        return next(each for each in session.channels if each.salt == salt_of(number))


@pytest.fixture
def desk(world: World) -> SessionDesk:
    open_session(world)
    return SessionDesk(world)


def on_chain(world: World) -> list[tuple[int, int]]:
    """What is signed and billed of each channel on the chain."""
    return list(world.chain.subscriptions[API, WHO].channels.values())


# --- requests


def test_request__with_a_voucher__is_served_settled_and_billed(desk: SessionDesk) -> None:
    assert desk.serve(by=desk.sign(10))["x-cost-wei"] == "10"
    assert desk.serve(by=desk.sign(20))["x-cost-wei"] == "10"
    assert desk.world.settle().status == "done"
    assert on_chain(desk.world) == [(20, 20)]
    assert desk.world.chain.subscriptions[API, WHO].hold_wei == 980
    assert desk.world.reconcile().is_zero


def test_request__that_costs_less_than_was_signed__leaves_the_rest_to_the_next(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10), price_wei=4)
    desk.serve(by=desk.sign(14), price_wei=4)
    desk.world.settle()
    assert on_chain(desk.world) == [(10, 8)]  # the lowest that covers it: the higher one is nobody's business yet


def test_request__without_a_voucher_in_store__is_told_how_much_to_sign(desk: SessionDesk) -> None:
    problem = desk.problem()
    assert (problem["status"], problem["code"]) == (402, "voucher_required")
    assert (problem["required_wei"], problem["estimate_wei"], problem["channel_id"]) == ("10", "10", "")


def test_request__with_too_little_signed__is_told_the_sum_and_why(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    problem = desk.problem(by=desk.sign(19))
    sums = {name: problem[f"{name}_wei"] for name in ("required", "signed", "charged", "reserved", "posted")}
    assert sums == {"required": "20", "signed": "19", "charged": "10", "reserved": "0", "posted": "0"}
    assert problem["channel_id"] == desk.world.chain.channel(API, WHO, salt_of(0)).id
    assert problem["salt"] == salt_of(0)
    assert not isinstance(desk.serve(by=desk.sign(20)), Answer)


def test_request__with_a_posted_voucher__is_refused_and_one_above_it_is_served(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(50))
    desk.world.settle()
    for by in (desk.sign(50), desk.sign(40), None):
        assert desk.problem(by=by)["required_wei"] == "51"
    assert not isinstance(desk.serve(by=desk.sign(51)), Answer)
    assert not isinstance(desk.serve(), Answer)


def test_request__with_a_posted_voucher_and_its_idempotency_key__gets_the_stored_response(desk: SessionDesk) -> None:
    key = ("idempotency-key", "mine")
    desk.serve(key, by=desk.sign(10))
    desk.world.settle()
    answer = desk.serve(key, by=desk.sign(10))
    assert (answer.status, answer.body) == (200, b"sunny")
    assert desk.channel().charged_wei == 10


def test_request__by_name_with_a_voucher_in_store__is_paid_by_it(desk: SessionDesk) -> None:
    desk.meter.put_voucher(API, WHO, desk.sign(25))
    for _ in range(2):
        assert not isinstance(desk.serve(), Answer)
    assert desk.problem()["required_wei"] == "30"
    desk.world.settle()
    assert on_chain(desk.world) == [(25, 20)]


def test_meter__on_a_contract__takes_vouchers_and_keys_by_default(desk: SessionDesk) -> None:
    def begin(*fields: tuple[str, str]) -> Any:
        request = MeteredRequest("GET", "/forecast", TextHeaders(fields), at_ms=desk.world.now_ms, body=b"")
        answer = Exchange(desk.meter.metering(API, estimate_wei=10), request).begin()
        return answer and json.loads(answer.body)["code"]

    assert begin(("payment-voucher", text_of(desk.sign(10)))) is None
    desk.meter.add_consumer(WHO)
    key = ("authorization", f"Bearer {desk.meter.create_key(WHO).text}")
    assert begin(key) == "voucher_required"
    assert begin(("payment-voucher", "x"), key) == "invalid_voucher"
    assert begin() == "missing_identity"


def test_request__beyond_the_hold__is_refused_however_much_is_signed(world: World) -> None:
    open_session(world, hold_wei=15)
    desk = SessionDesk(world)
    desk.serve(by=desk.sign(100))
    assert desk.problem(by=desk.sign(200))["code"] == "insufficient_credit"


def test_request__for_nothing_by_name__is_served_and_billed_without_a_voucher(desk: SessionDesk) -> None:
    assert not isinstance(desk.serve(cost_wei=0), Answer)
    desk.world.settle()
    assert desk.world.reconcile().is_zero


def test_request__of_two_channels__is_two_entries(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10, 1))
    desk.serve(by=desk.sign(10, 2))
    desk.serve(by=desk.sign(20, 1))
    desk.world.settle()
    assert sorted(on_chain(desk.world)) == [(10, 10), (20, 20)]
    (settlement,) = desk.world.chain.settlements[API]
    assert [(entry.calls, entry.billed_wei) for entry in settlement.entries] in ([(2, 20), (1, 10)], [(1, 10), (2, 20)])
    assert desk.world.reconcile().is_zero


# --- vouchers that are none


def forged(desk: SessionDesk) -> dict[str, Voucher | str]:
    chain, good = desk.world.chain, desk.sign(10)
    found: dict[str, Voucher | str] = {
        "of another key": sign_as(desk, OTHER_KEY, OTHER_SIGNER),
        "of another channel": Voucher(salt_of(9), good.cumulative_wei, good.signature),
        "of another sum": Voucher(good.salt, 11, good.signature),
    }
    for name, value in (("operator", "0x" + "0f" * 20), ("asset", "0x" + "a6" * 20), ("contract", "0x" + "c1" * 20)):
        kept = getattr(chain, name)
        setattr(chain, name, value)
        found[f"for another {name}"] = desk.sign(10)
        setattr(chain, name, kept)
    r, s, v = good.signature[2:66], good.signature[66:130], good.signature[130:]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    mirrored = f"0x{r}{order - int(s, 16):064x}{'1b' if v == '1c' else '1c'}"
    found["mirrored"] = Voucher(good.salt, good.cumulative_wei, mirrored)
    return found


def sign_as(desk: SessionDesk, key: bytes, signer: str) -> Voucher:
    subscription = desk.world.chain.subscriptions[API, WHO]
    subscription.signer = signer
    voucher = desk.sign(10, key=key)
    subscription.signer = SIGNER
    return voucher


def test_voucher__forged__is_refused_and_leaves_nothing_behind(desk: SessionDesk) -> None:
    for name, voucher in forged(desk).items():
        problem = desk.problem(by=voucher)
        assert (problem["status"], problem["code"], problem["reason"]) == (402, "invalid_voucher", "bad_signature"), (
            name
        )
        with pytest.raises(VoucherRefused) as caught:
            desk.meter.put_voucher(API, WHO, voucher)  # type: ignore[arg-type]
        assert (caught.value.code, caught.value.reason) == ("invalid_voucher", "bad_signature")
    assert desk.meter.session(API, WHO) is None
    assert desk.world.store.call(ListProfiles()) == ()
    assert {record.consumer for record in desk.world.store.call(ListRecords())} == {""}
    assert not isinstance(desk.serve(by=desk.sign(10)), Answer)


@pytest.mark.parametrize("subscribed", [True, False])
def test_voucher__of_who_has_no_session__is_refused_and_leaves_nothing_behind(world: World, subscribed: bool) -> None:
    stranger = address(7)
    world.chain.subscribe(API, WHO, signer=SIGNER)
    voucher = sign(world, 10)
    if subscribed:
        world.chain.subscribe(API, stranger, hold_wei=100)
    desk = SessionDesk(world)
    problem = desk.problem(by=voucher, who=stranger)
    assert (problem["code"], problem["reason"]) == ("invalid_voucher", "no_session")
    assert world.store.call(ReadSession(chain_account(API, stranger))) is None
    assert world.store.call(ListProfiles()) == ()
    if not subscribed:
        assert world.store.call(ReadCredit(chain_account(API, stranger))).terms == NEVER_READ


def test_voucher__of_a_stranger_who_opens_a_session__is_served_soon(world: World) -> None:
    world.chain.subscribe(API, WHO, signer=SIGNER)
    voucher = sign(world, 10)
    del world.chain.subscriptions[API, WHO]
    desk = SessionDesk(world)
    assert desk.problem(by=voucher)["reason"] == "no_session"
    reads = world.chain.reads
    desk.tick()
    assert world.chain.reads == reads  # a stranger is not read in the background
    open_session(world)
    assert not isinstance(desk.serve(by=voucher), Answer)


def test_voucher__of_strangers__leaves_most_of_the_reads_to_others(world: World) -> None:
    world.chain.subscribe(API, WHO, signer=SIGNER)
    voucher = sign(world, 10)
    desk = SessionDesk(world, holds_from="accepted", reads_per_10_seconds=10)
    answers = [desk.serve(by=voucher, who=address(number)) for number in range(100, 110)]
    assert [answer.status for answer in answers] == [402] * 2 + [503] * 8


def test_voucher__with_a_name_that_is_no_address__is_not_read(desk: SessionDesk) -> None:
    assert desk.problem(by=text_of(desk.sign(10), "acme"))["reason"] == "malformed_voucher"


def test_voucher__for_a_meter_without_a_contract__is_refused(world: World) -> None:
    open_session(world)
    settings = MeterSettings.load(store_url="memory://", new_consumers="enterprise")
    meter = Meter(world.store, settings, clock_ms=lambda: world.now_ms)
    headers = TextHeaders([("payment-voucher", text_of(sign(world, 10)))])
    request = MeteredRequest("GET", "/forecast", headers, at_ms=world.now_ms)
    answer = Exchange(meter.metering(API, estimate_wei=0, identify=EITHER), request).begin()
    assert answer is not None
    assert json.loads(answer.body)["code"] == "invalid_voucher"
    with pytest.raises(InvalidSetting, match="set contract"):
        meter.put_voucher(API, WHO, sign(world, 10))


def test_voucher__on_a_route_that_costs_nothing__says_nothing_of_who_asks(desk: SessionDesk) -> None:
    request = MeteredRequest("GET", "/me", TextHeaders([("payment-voucher", text_of(desk.sign(10)))]))
    answer = consumer_of(desk.meter, request, EITHER)
    assert isinstance(answer, Answer)
    assert answer.status == 401


def test_voucher__after_the_operator_changed__is_for_the_new_one(desk: SessionDesk) -> None:
    old = desk.sign(10)
    assert not isinstance(desk.serve(by=old), Answer)
    desk.world.chain.operator = "0x" + "0f" * 20
    desk.tick()
    assert desk.problem(by=old)["reason"] == "bad_signature"
    assert not isinstance(desk.serve(by=desk.sign(20)), Answer)


def test_voucher__while_the_chain_is_down__is_believed_for_the_grace_time(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.world.chain.readable = False
    desk.tick(600)
    assert not isinstance(desk.serve(by=desk.sign(20)), Answer)
    desk.tick(301)
    answer = desk.serve(by=desk.sign(30))
    assert answer.status == 503


def test_voucher__when_the_store_fails_and_fail_open__is_not_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(operation: Any) -> Any:
        raise StoreUnavailable("down")

    open_session(world)
    desk = SessionDesk(world, fail_open=True)
    desk.serve(by=desk.sign(10))
    desk.serve(by=desk.sign(20))
    monkeypatch.setattr(world.store, "call", failing)
    for by in (desk.sign(30), None):
        assert desk.serve(by=by).status == 503


def test_put__while_the_chain_is_down__is_not_available(desk: SessionDesk) -> None:
    desk.world.chain.readable = False
    with pytest.raises(CreditUnavailable):
        desk.meter.put_voucher(API, WHO, desk.sign(10))


def test_put__in_a_coroutine__is_the_same(desk: SessionDesk) -> None:
    async def put() -> tuple[Any, Any, Any]:
        kept = await desk.meter.aput_voucher(API, WHO, desk.sign(10))
        return kept, await desk.meter.asession(API, WHO), await desk.meter.aclose_session(API, WHO)

    kept, session, closed = asyncio.run(put())
    assert (kept.signed_wei, session.channels, closed) == (10, (kept,), session)


# --- what the chain says


def test_session__that_is_not_final__is_served_when_it_is(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=0, expires_at=0)
    world.chain.freeze()
    open_session(world)
    desk = SessionDesk(world, holds_from="finalized")
    problem = desk.problem(by=desk.sign(10))
    assert (problem["code"], problem["reason"]) == ("insufficient_credit", "not_final")
    world.chain.freeze()
    desk.tick()
    assert not isinstance(desk.serve(by=desk.sign(10)), Answer)


def test_session__in_the_place_of_a_plain_hold__pays_nothing_until_its_signer_is_final(world: World) -> None:
    world.chain.subscribe(API, WHO, hold_wei=1000)
    world.chain.freeze()
    open_session(world)
    desk = SessionDesk(world, holds_from="finalized")
    assert desk.problem(by=desk.sign(10))["code"] == "insufficient_credit"


def test_session__of_another_signer__pays_by_its_own_vouchers(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.world.settle()
    desk.world.chain.subscriptions[API, WHO].session.clear()
    desk.world.chain.subscriptions[API, WHO].signer = OTHER_SIGNER
    desk.tick()
    assert desk.problem()["required_wei"] == "10"
    assert not isinstance(desk.serve(by=desk.sign(10, key=OTHER_KEY)), Answer)
    desk.world.settle()
    assert on_chain(desk.world) == [(10, 10), (10, 10)]
    assert desk.world.reconcile().is_zero


def test_session__that_was_cleared__is_a_plain_hold_again(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.world.settle()
    desk.world.chain.subscriptions[API, WHO].signer = ""
    desk.tick()
    assert not isinstance(desk.serve(), Answer)
    desk.world.settle()
    assert desk.world.reconcile().is_zero


def test_free_credit__of_who_has_a_session__is_never_served_on() -> None:
    options = CreditSettings(use_free_credit=True, margin_ms=0)
    plain = NEVER_READ._replace(
        hold_wei=10, hold_expires_ms=2**50, credit_wei=100, subscribed=True, active=True, spend_left_today_wei=10**9
    )
    session = plain._replace(signer=SIGNER)
    assert (usable_wei(plain, options, NOON_MS), cover_wei(plain, options)) == (110, 110)
    assert (usable_wei(session, options, NOON_MS), cover_wei(session, options)) == (10, 10)


def test_free_credit__and_a_session_whose_hold_ends__says_so(world: World) -> None:
    open_session(world, credit_wei=100, expires_at=world.now_ms // 1000 + 60)
    desk = SessionDesk(world, use_free_credit=True)
    problem = desk.problem(by=desk.sign(10))
    assert (problem["code"], problem["reason"]) == ("insufficient_credit", "hold_ends")


@pytest.mark.parametrize("same_session", [True, False])
def test_store__that_lost_its_state__begins_where_the_chain_is(desk: SessionDesk, same_session: bool) -> None:
    desk.serve(by=desk.sign(30))
    desk.world.settle()
    found = desk.world.chain.subscriptions[API, WHO]
    if not same_session:
        found.session.clear()  # a later hold with the same signer
    world = World()
    world.chain = desk.world.chain
    again = SessionDesk(world)
    assert again.problem(by=again.sign(30))["required_wei"] == "31"
    assert not isinstance(again.serve(by=again.sign(31)), Answer)
    assert (again.channel().charged_wei, again.channel().posted_wei) == (20, 30)
    world.store.close()


# --- settlement


def test_settlement__undone_by_an_appeal__is_posted_again_with_the_same_voucher(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.world.settle()
    desk.serve(by=desk.sign(20))
    desk.world.settle()
    desk.world.chain.undo(API, 2)
    assert on_chain(desk.world) == [(0, 0)]
    desk.world.settle()
    assert on_chain(desk.world) == [(20, 20)]
    assert desk.world.billed_wei() == 20
    assert desk.world.reconcile().is_zero
    assert desk.problem(by=desk.sign(20))["required_wei"] == "30"


def test_settlement__refused_for_the_signer_changed_too_early__stops_the_consumer(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.world.chain.subscriptions[API, WHO].signer = OTHER_SIGNER
    desk.world.settle()
    (outgoing,) = desk.world.call(ListOutgoing(API))
    assert [part.code for part in outgoing.posting.parts] == ["bad_signature"]
    desk.tick()
    assert desk.problem(by=desk.sign(10, key=OTHER_KEY))["reason"] == "settlement_refused"
    assert sum(line.unexplained_wei for line in desk.world.reconcile().lines) == 0


def test_close__releases_the_rest_of_the_hold_with_the_last_settlement(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.serve(by=desk.sign(20))
    session = desk.meter.close_session(API, WHO)
    assert session is not None
    assert session.is_closing
    assert desk.problem(by=desk.sign(30))["code"] == "session_closing"
    desk.world.settle()
    found = desk.world.chain.subscriptions[API, WHO]
    assert (found.hold_wei, found.credit_wei) == (0, 980)
    assert desk.problem(by=desk.sign(30))["code"] == "insufficient_credit"
    desk.tick()
    assert desk.problem(by=desk.sign(30))["code"] == "insufficient_credit"
    assert desk.world.reconcile().is_zero


def test_close__and_a_new_hold_of_the_same_signer__is_served_from_where_it_was(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.meter.close_session(API, WHO)
    desk.world.settle()
    found = desk.world.chain.subscriptions[API, WHO]
    found.hold_wei, found.credit_wei = 500, 490
    found.session.clear()
    desk.tick()
    assert desk.problem(by=desk.sign(15))["required_wei"] == "20"
    assert not isinstance(desk.serve(by=desk.sign(20)), Answer)
    desk.world.settle()
    assert on_chain(desk.world) == [(20, 20)]
    assert desk.world.reconcile().is_zero


def test_close__and_a_new_hold_of_the_same_signer_that_is_not_final__is_served_when_it_is(world: World) -> None:
    open_session(world)
    desk = SessionDesk(world, holds_from="finalized")
    desk.serve(by=desk.sign(10))
    world.chain.freeze()
    desk.meter.close_session(API, WHO)
    world.settle()
    found = world.chain.subscriptions[API, WHO]
    found.hold_wei, found.credit_wei = 500, 490
    found.session.clear()
    for _ in range(2):
        desk.tick()
        assert desk.problem(by=desk.sign(20))["reason"] == "not_final"
    world.chain.freeze()
    desk.tick()
    assert not isinstance(desk.serve(by=desk.sign(20)), Answer)


def test_close__undone_by_an_appeal__closes_again(desk: SessionDesk) -> None:
    desk.serve(by=desk.sign(10))
    desk.meter.close_session(API, WHO)
    desk.world.settle()
    desk.world.chain.undo(API)
    found = desk.world.chain.subscriptions[API, WHO]
    assert found.hold_wei == 1000
    desk.world.settle()
    desk.tick()
    assert (found.hold_wei, found.credit_wei) == (0, 990)
    assert desk.problem(by=desk.sign(20))["code"] == "insufficient_credit"
    assert desk.world.reconcile().is_zero


def test_session__more_channels_than_the_contract_takes__is_refused_before_it_is_served(desk: SessionDesk) -> None:
    for number in range(16):
        assert not isinstance(desk.serve(by=desk.sign(10, number)), Answer)
    assert desk.problem(by=desk.sign(10, 16))["code"] == "too_many_channels"
    assert not isinstance(desk.serve(by=desk.sign(20, 3)), Answer)
    desk.world.settle()
    assert len(on_chain(desk.world)) == 16
    assert desk.world.reconcile().is_zero


@pytest.mark.parametrize("fault", FAULTS)
def test_settlement__let_down_at_any_step__is_billed_once_under_its_vouchers(fault: str, record_property: Any) -> None:
    at, steps = 0, 1
    while at < steps:
        world = World()
        open_session(world)
        desk = SessionDesk(world)
        desk.serve(by=desk.sign(10))
        desk.serve(by=desk.sign(13, 1), cost_wei=13)
        world.round(world.settler("first"))
        desk.serve(by=desk.sign(20))
        desk.meter.close_session(API, WHO)
        if at % 2:
            world.chain.undo(API)
        try:
            _, steps = drive(world, world.settler("first", max_records=1).round(API), fault, at)
        except (Killed, StoreUnavailable):
            steps = max(steps, at + 2)
        world.at(world.now_ms + LEASE_MS)
        assert world.settle("z").status == "done"
        assert sorted(on_chain(world)) == [(13, 13), (20, 20)]
        assert (world.billed_wei(), world.chain.subscriptions[API, WHO].hold_wei) == (33, 0)
        assert world.reconcile().is_zero
        for number, posted in ((0, 20), (1, 13)):
            assert desk.channel(number).posted_wei == posted
        world.store.close()
        at += 1
    record_property("settlement faults", [f"session, {fault}: {at} rounds"])
    assert at > 10


def let_down(fault: str, at: int) -> int:
    """A request with a voucher that something happens to at a step; afterwards it is repeated, and settled."""
    world = World()
    open_session(world)
    desk = SessionDesk(world)
    headers = TextHeaders([("payment-voucher", text_of(desk.sign(10))), ("idempotency-key", "mine")])
    request = MeteredRequest("GET", "/forecast", headers, at_ms=world.now_ms, body=b"")
    exchange = Exchange(desk.meter.metering(API, estimate_wei=10, identify=EITHER), request)

    def flow() -> Any:
        if (yield from exchange.begin_steps()) is None:
            yield from exchange.finish_steps(MeteredResponse(200, TextHeaders([]), body_bytes=5, body=b"sunny"))

    steps = 0
    with suppress(Killed, BillingError):
        _, steps = drive(world, flow(), fault, at)
    world.at(world.now_ms + 130_000)
    desk.meter.keeper.tick(world.now_ms)
    again = desk.serve(("idempotency-key", "mine"), by=desk.sign(10))
    assert not isinstance(again, Answer) or again.status == 200
    world.settle()
    assert on_chain(world) == [(10, 10)]
    assert world.reconcile().is_zero
    world.store.close()
    return steps


@pytest.mark.parametrize("fault", FAULTS)
def test_request__let_down_at_any_step__is_covered_and_charged_once_when_it_is_repeated(fault: str) -> None:
    steps = let_down("", -1)
    assert steps > 5
    for at in range(steps):
        let_down(fault, at)
