"""Payments that nobody would send, and orders that nobody would choose: no 500, and nothing is served uncovered."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.payments.recorded import recorded

from .paying import DoorDesk, Served
from .signing import WHO, open_session
from .world import API, NOON_MS, World

HOSTILE = recorded("x402-wire.json", "hostile_payment_signatures")
VALUES: Any = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2**130), st.text(max_size=20), st.just([]), st.just({}),
    st.sampled_from(["0", "1", "10", "1_0", " 10", "0x", "0x" + 40 * "0", "0x" + 64 * "0", "0x" + 130 * "0", WHO]),
)  # fmt: skip


def paying_desk(**given_: Any) -> DoorDesk:
    world = World()
    open_session(world, **given_)
    return DoorDesk(world)


def check(desk: DoorDesk, answer: Served) -> None:
    assert answer.ran or answer.status in (200, 204, 400, 402, 403, 409), answer.body
    assert answer.has_challenge == (answer.status == 402)
    session = desk.meter.session(API, WHO)
    for channel in session.channels if session else ():
        assert channel.charged_wei + channel.reserved_wei <= channel.signed_wei


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case["name"])
def test_x402__recorded_hostile_payment__serves_nothing(case: dict[str, Any]) -> None:
    wire = case["wire"] if isinstance(case["wire"], str) else case["wire"]["length"] * "W"
    desk = paying_desk()
    answer = desk.ask(("payment-signature", wire))
    check(desk, answer)
    assert (answer.ran, answer.status // 100) == (False, 4)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, below in inner for each in paths(below, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.data())
def test_payment__with_any_member_changed__serves_nothing_that_is_not_covered(data: st.DataObject) -> None:
    desk = paying_desk()
    by_x402 = data.draw(st.booleans())
    name, value = desk.by_x402(desk.sign(10)) if by_x402 else desk.by_mpp(desk.sign(10))
    text = value if by_x402 else value.removeprefix("Payment ")
    message = json.loads(base64.b64decode(text) if by_x402 else base64.urlsafe_b64decode(text + "=="))
    for path in data.draw(st.lists(st.sampled_from(paths(message)), min_size=1, max_size=2, unique=True)):
        if path not in paths(message):
            continue
        message = changed(message, path, data.draw(VALUES))
    encoded = json.dumps(message).encode()
    if by_x402:
        value = base64.b64encode(encoded).decode()
    else:
        value = "Payment " + base64.urlsafe_b64encode(encoded).decode().rstrip("=")
    check(desk, desk.ask((name, value)))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(st.sampled_from(["authorization", "payment-authorization", "payment-signature"]), st.binary(max_size=200))
def test_payment__of_any_bytes__serves_nothing(name: str, value: bytes) -> None:
    desk = paying_desk()
    for prefix in ("", "Payment "):
        answer = desk.ask((name, prefix + value.decode("latin-1")))
        assert not answer.ran
        check(desk, answer)


STEPS: Any = st.one_of(
    st.tuples(st.just("mpp"), st.integers(0, 120), st.integers(0, 2)),
    st.tuples(st.just("x402"), st.integers(0, 120), st.integers(0, 2)),
    st.tuples(st.just("next"), st.sampled_from(["mpp", "x402"]), st.integers(0, 2)),
    st.tuples(st.just("fail"), st.integers(0, 120), st.integers(0, 2)),
    st.tuples(st.just("keep"), st.integers(0, 120), st.integers(0, 2)),
    st.tuples(st.just("close"), st.integers(0, 120), st.integers(0, 2)),
    st.tuples(st.just("price"), st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.just("settle"), st.none(), st.none()),
    st.tuples(st.just("hold"), st.integers(0, 300), st.none()),
    st.tuples(st.just("replay"), st.integers(0, 30), st.none()),
    st.tuples(st.just("time"), st.integers(-400, 400), st.none()),
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(STEPS, max_size=25))
def test_payments__in_any_order__are_billed_for_what_was_served_and_no_more(steps: list[tuple[str, Any, Any]]) -> None:
    desk = paying_desk(hold_wei=400)
    charged, sent = 0, list[tuple[str, str]]()
    for what, number, other in steps:
        field = None
        if what in ("mpp", "fail", "keep"):
            field = desk.by_mpp(desk.sign(number, other))
        elif what == "x402":
            field = desk.by_x402(desk.sign(number, other))
        elif what == "next":  # as an honest client would go on
            session = desk.meter.session(API, WHO)
            found = [each for each in session.channels if int(each.salt, 16) == other] if session else []
            amount = max(1, desk.estimate_wei)
            wei = found[0].required_wei(amount) if found else amount
            field = getattr(desk, f"by_{number}")(desk.sign(wei, other))
        elif what == "close":
            field = desk.by_mpp(desk.sign(number, other), action="close")
        elif what == "replay" and sent:
            field = sent[number % len(sent)]
        elif what == "price":
            desk.estimate_wei, desk.price = number, other
        elif what == "settle":
            desk.world.settle()
        elif what == "hold":
            desk.world.chain.subscriptions[API, WHO].hold_wei += number
        elif what == "time":
            desk.world.at(desk.world.now_ms + 1000 * number)
            desk.meter.on_chain.credit.tick()  # type: ignore[union-attr]
        if field is not None:
            sent.append(field)
            answer = desk.ask(field, status=500 if what == "fail" else 200, method="HEAD" if what == "keep" else "GET")
            check(desk, answer)
            if answer.ran:
                charged += int(answer.fields["x-cost-wei"])
    session = desk.meter.session(API, WHO)
    sums = session.channels if session else ()
    assert sum(each.charged_wei for each in sums) == charged
    desk.world.at(NOON_MS + 4 * 3_600_000)  # later than all that was served, also where the clock was set back
    desk.world.settle()
    on_chain = desk.world.chain.subscriptions[API, WHO].channels.values()
    assert sum(billed for _, billed in on_chain) == charged
    assert all(billed <= signed for signed, billed in on_chain)
    assert desk.world.reconcile().is_zero
