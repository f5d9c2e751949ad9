"""A process is killed after each step of a request: nothing is charged twice, and nothing stays reserved.

What follows is what any surviving process does: sweep what expired, and repeat the request with its idempotency key.
"""

import signal

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import Claim, GetRecord, Replay, Reserved, Settle, StoredResponse, Sweep
from api_billing.metering.stores import open_store

RESERVATION = f"{'0' * 10}{'1' * 16}"
CLAIM = Claim("key", "GET /")

# Where it is killed: how the request ends when what it left is swept, and what it has cost then.
POINTS = {
    "before reserve": (None, 0),
    "after reserve": ("expired", 0),
    "while serving": ("expired", 0),
    "before settle": ("expired", 0),
    "after settle": ("settled", 40),
    "in the end": ("settled", 40),
}


@pytest.fixture
def killed(processes, shared_url):
    """Has a process serve a request of a desk, and be killed at a point."""

    def serve(desk, point, **more):
        task = {"url": shared_url, "now_ms": desk.now_ms, "account": desk.account, "id": RESERVATION, **more}
        assert processes("die", point=point, **task) == signal.SIGKILL

    return serve


def test_killed__when_a_reservation_was_answered__holds_nothing_and_can_be_asked_again(killed, shared_url, desk_of):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(100)
        killed(desk, "answered")
        desk.now_ms += 1000
        desk.call(Sweep(desk.now_ms))
        balance = desk.balance()
        assert (balance.reserved_wei, balance.charged_wei, balance.free_wei) == (0, 0, 100)
        assert isinstance(desk.reserve(100)[1], Reserved)


@pytest.mark.parametrize("point", POINTS)
def test_killed__then_swept_and_asked_again__is_charged_once_and_holds_nothing(
    killed, shared_url, desk_of, calls, point
):
    state, charged_wei = POINTS[point]
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(100)
        killed(desk, point)
        desk.now_ms += 1000
        desk.call(Sweep(desk.now_ms))
        record = desk.call(GetRecord(RESERVATION))
        assert (record and record.state, desk.balance().reserved_wei) == (state, 0)
        assert desk.balance().charged_wei == charged_wei
        assert desk.counts(calls(5)) == (1 if charged_wei else 0,)

        reservation_id, again = desk.reserve(60, calls(5), claim=CLAIM)
        if charged_wei:
            assert again == Replay(StoredResponse(200, (), b"served"), RESERVATION)
        else:
            assert isinstance(again, Reserved)
            desk.settle(reservation_id, 40)
        balance = desk.balance()
        assert (balance.free_wei, balance.reserved_wei, balance.charged_wei) == (60, 0, 40)
        assert desk.counts(calls(5)) == (1,)


@pytest.mark.parametrize("after_seconds", [0, 0.0002, 0.001])
def test_killed__while_its_settlement_is_on_the_way__it_is_charged_once_when_it_is_sent_again(
    killed, shared_url, desk_of, calls, after_seconds
):
    # Whether the store took it is left to the moment: both must end the same.
    with open_store(shared_url) as store:
        desk = desk_of(store)
        desk.grant(100)
        killed(desk, "during settle", after_seconds=after_seconds)
        assert desk.balance().charged_wei in (0, 40)
        assert desk.balance().reserved_wei in (60, 0)
        assert desk.settle(RESERVATION, 40).charged_wei == 40
        desk.call(Sweep(desk.now_ms + DAY_MS))
        balance = desk.balance()
        assert (balance.free_wei, balance.reserved_wei, balance.charged_wei) == (60, 0, 40)
        assert desk.counts(calls(5)) == (1,)


def test_settle__sent_by_two_processes_after_a_crash__is_charged_once(killed, shared_url, desk_of):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(100)
        killed(desk, "before settle")
        settle = Settle(RESERVATION, desk.account, desk.now_ms, 40)
        first, second = store.call(settle), other.call(settle)
        assert [(reply.charged_wei, reply.repeated) for reply in (first, second)] == [(40, False), (40, True)]
        assert desk.balance().charged_wei == 40


def test_store__of_a_process_that_forks__serves_both(processes, shared_url, desk_of):
    with open_store(shared_url) as store:
        desk = desk_of(store)
        assert processes("fork", url=shared_url, account=desk.account, now_ms=desk.now_ms) == [0, 1, 3]
        assert desk.balance().granted_wei == 3
