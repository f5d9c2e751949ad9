"""The loop that settles beside an application."""

import threading

import pytest

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.opening import open_chain
from api_billing.metering.settlement.running import SettlementLoop, holder_name
from api_billing.metering.settlement.worker import Round

from .world import API, address


def test_tick__of_two_apis__settles_both(world):
    world.serve(world.consumer(1))
    loop = SettlementLoop(world.settler(), [API, "maps"], world.call)
    assert loop.tick() == {API: Round("done", 1), "maps": Round("done")}


def test_tick__store_gone__raises_and_the_next_goes_on(world):
    world.serve(world.consumer(1))
    answers = [StoreUnavailable("gone")]

    def call(operation):
        if answers:
            raise answers.pop()
        return world.call(operation)

    loop = SettlementLoop(world.settler(), [API], call)
    with pytest.raises(StoreUnavailable):
        loop.tick()
    assert loop.tick()[API].status == "done"


def test_loop__started__settles_and_survives_what_goes_wrong(world):
    world.serve(world.consumer(1))
    rounds, settled = [], threading.Event()

    def on_round(api, ended):
        rounds.append(ended)
        if len(rounds) == 1:
            raise ZeroDivisionError
        if len(rounds) == 3:
            settled.set()

    loop = SettlementLoop(world.settler(), [API], world.call, every_seconds=0, on_round=on_round)
    loop.start()
    loop.start()
    assert settled.wait(20)
    loop.close()
    loop.close()
    assert world.billed_wei() == 10
    assert world.chain.subscriptions[API, address(1)].hold_wei == 990


def test_loop__started_twice__settles_in_one_thread(world, monkeypatch):
    runs, ran = [], threading.Event()

    def run(loop, during):
        runs.append(loop)
        ran.set()

    monkeypatch.setattr(SettlementLoop, "run", run)
    loop = SettlementLoop(world.settler(), [API], world.call)
    loop.start()
    assert ran.wait(20)
    loop.start()
    loop.close()
    assert runs == [loop]


def test_loop__started_after_it_was_closed__settles_nothing(world, monkeypatch):
    runs = []
    monkeypatch.setattr(SettlementLoop, "run", lambda loop, during: runs.append(loop))
    loop = SettlementLoop(world.settler(), [API], world.call)
    loop.close()
    loop.start()
    loop.close()
    assert runs == []


def test_loop__interrupted_in_the_middle__gives_the_lease_to_others_and_loses_nothing(world):
    world.serve(world.consumer(1))
    settle = world.chain.settle_usage

    def interrupted(*values):
        settle(*values)
        raise KeyboardInterrupt

    world.chain.settle_usage = interrupted
    with pytest.raises(KeyboardInterrupt):
        SettlementLoop(world.settler("a"), [API], world.call).run()
    world.chain.settle_usage = settle
    assert world.round(world.settler("b")) == Round("done", 1)
    assert world.billed_wei() == 10


def test_holder_names__of_two_settlers__differ():
    assert holder_name(1) != holder_name(1)


@pytest.mark.parametrize("on", ["accepted", "finalized"])
def test_open_chain__follows_writes__as_far_as_the_settings_say(on):
    chain = open_chain(MeterSettings.load(contract="0x" + "12" * 20, settle_on=on))
    assert chain.on == on
