"""Forks call what objects want to be called; objects go when nobody else has them."""

import gc
import os
import weakref

import pytest

from api_billing.metering import Meter
from api_billing.metering.forks import at_fork
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from tests.metering.settlement.fake_chain import FakeChain


class Noting:
    def __init__(self):
        self.notes = []
        at_fork(before=self.before, in_parent=self.in_parent, in_child=self.in_child)

    def before(self):
        self.notes.append("before")

    def in_parent(self):
        self.notes.append("parent")

    def in_child(self):
        self.notes.append("child")


def test_fork__of_a_process_with_such_an_object__calls_its_methods_in_either():
    noting = Noting()
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, ",".join(noting.notes).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert (noting.notes, os.read(read, 100)) == (["before", "parent"], b"before,child")


def is_ours(part):
    kind = type(part)  # values, as a currency, have no place for weak references
    return kind.__module__.startswith("api_billing.") and hasattr(kind, "__weakref__") and kind is not MeterSettings


def used_meter(kind, request, folder):
    url = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/meter.db"}.get(kind)
    if url is None:
        url = request.getfixturevalue("emptied")(request.getfixturevalue(f"{kind}_url"))
    meter = Meter.open(url, key_pepper="sixteen bytes of it")
    meter.on_chain = OnChain(FakeChain(1_800_000_000), meter.store, meter.settings, meter.now_ms, meter.watcher.send)
    meter.on_chain.start()
    meter.keeper.start()
    meter.add_consumer("acme")
    meter.close()
    return meter


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "redis"])
def test_meter__closed_and_left__is_freed(kind, request, folder):
    meter = used_meter(kind, request, folder)
    held = (meter, *vars(meter).values(), *vars(meter.on_chain).values())
    parts = [weakref.ref(part) for part in held if is_ours(part)]
    del meter, held
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)
