"""What is particular to Redis Cluster: shards on several servers, and slots that move. For the rest see ON_CLUSTER."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

redis = pytest.importorskip("redis")

from api_billing.metering.errors import CannotBeStored, StoreUnavailable  # noqa: E402
from api_billing.metering.ledger.consumer_operations import ListProfiles, PutProfile  # noqa: E402
from api_billing.metering.ledger.operations import (  # noqa: E402
    Extend,
    Grant,
    Granted,
    ListRecords,
    Prune,
    ReadBalance,
    Reserved,
    Settle,
    Settled,
    SumUsage,
    Sweep,
)
from api_billing.metering.ledger.settlement_operations import ReadBook, TakeLease  # noqa: E402
from api_billing.metering.stores import open_store  # noqa: E402
from api_billing.metering.stores.redis import store as redis_store  # noqa: E402
from api_billing.metering.stores.redis.place import CLIENT  # noqa: E402
from api_billing.metering.stores.redis.store import RedisStore  # noqa: E402

NAMES = [f"consumer {number}" for number in range(40)]


@pytest.fixture
def urls(redis_cluster_urls, emptied):
    return [emptied(url) for url in redis_cluster_urls]


@pytest.fixture
def store(urls):
    with open_store(f"{urls[0]}?shards=16") as store:
        yield store


@pytest.fixture
def desks(store, desk_of):
    """A desk of each of many consumers, with credit."""
    store._perform([Grant(name, name, 100, 0) for name in NAMES])
    desk = desk_of(store)
    return [desk_of(store, account=name, consumer=name, numbers=desk.numbers) for name in NAMES]


def test_accounts__of_many_consumers__are_on_all_servers(urls, desks):
    for url in urls:
        with redis.Redis.from_url(url) as server:
            assert list(server.scan_iter(match="*}aconsumer*"))


def test_batch__about_all_shards__is_performed_in_each(store, desks):
    made = [desk.reserve_op(10, fresh=True) for desk in desks]
    assert {type(reply) for reply in store._perform(made)} == {Reserved}
    settles = [Settle(one.reservation_id, one.account, one.now_ms, 5) for one in made]
    assert {type(reply) for reply in store._perform(settles)} == {Settled}
    assert {desk.free() for desk in desks} == {95}


def test_batch__with_a_name_that_cannot_be_stored__performs_the_others(store):
    replies = store._perform([Grant(name, name, 1, 0) for name in ("one", "\ud800", "two")])
    assert [type(reply) for reply in replies] == [Granted, CannotBeStored, Granted]


def test_batch__of_which_one_shard_does_not_answer__performs_the_others(store, monkeypatch):
    lost = shard_of(store, NAMES[0])
    do = RedisStore._do

    def losing(self, shard, operations, **options):
        if shard == lost:
            raise redis.ConnectionError("no answer")
        return do(self, shard, operations, **options)

    monkeypatch.setattr(RedisStore, "_do", losing)
    replies = store._perform([Grant(name, name, 1, 0) for name in NAMES])
    for name, reply in zip(NAMES, replies, strict=True):
        assert isinstance(reply, StoreUnavailable if shard_of(store, name) == lost else Granted)


def test_listings__of_all_shards__are_in_one_order(store, desks):
    served = [desk.served(1) for desk in desks]
    assert [record.record_id for record in store.call(ListRecords(limit=30))] == sorted(served)[:30]
    assert [day.consumer for day in store.call(SumUsage())] == sorted(NAMES)
    for name in NAMES:
        store.call(PutProfile(name, "pro"))
    assert [profile.consumer for profile in store.call(ListProfiles())] == sorted(NAMES)


def test_reservations__of_all_shards__are_extended_swept_and_pruned(store, desks):
    now_ms = desks[0].now_ms
    ids = [desk.reserve(1)[0] for desk in desks]
    assert store.call(Extend(tuple(ids[:20]), now_ms + 10**6)) == 20
    assert [store.call(Sweep(now_ms + 60_000, limit)) for limit in (15, 100)] == [15, 5]
    assert store.call(Sweep(now_ms + 10**6)) == 20
    assert store.call(Prune(now_ms + 10**10, limit=30))[:1] == (30,)
    pruned = store.call(Prune(now_ms + 10**10))
    assert (pruned.records, pruned.more) == (10, False)


def test_counts__of_a_consumer__are_counted_for_all_of_its_apis(store, desk_of, calls):
    weather, maps = (desk_of(store, account=f"{api}/acme", consumer="acme", api=api) for api in ("weather", "maps"))
    weather.grant(10)
    maps.grant(10, grant_id="maps")
    weather.reserve(1, calls(2))
    assert maps.reserve(1, calls(2), reservation_id="m")[1].counts == (2,)
    assert weather.counts(calls(2)) == (2,)
    assert weather.reserve(1, calls(2))[1].code == "quota_exceeded"


def test_settlement__with_many_shards__is_refused(store):
    with pytest.raises(StoreUnavailable, match="16 shards cannot be settled") as caught:
        store.call(ReadBook("weather"))
    assert "shards=1" in caught.value.hint
    assert store.call(TakeLease("sweep", "me", 0, 5)).holder == "me"


def test_settlement__with_one_shard__works_on_a_cluster(urls):
    with open_store(urls[0]) as store:
        assert store.shards == 1
        assert store.call(ReadBook("weather")).ended == 0


def test_store__opened_at_any_server__is_the_same(urls, store, desks):
    with open_store(urls[2]) as other:
        assert other.shards == 16
        assert [other.call(ReadBalance(name)).granted_wei for name in NAMES] == [100] * len(NAMES)


def test_slots__that_have_moved__are_found(urls, store, desks):
    desks[0].grant(1, grant_id="before")
    slot = redis.crc.key_slot(store.key(shard_of(store, NAMES[0]), ""))
    ports = [int(url.rpartition(":")[2].partition("/")[0]) for url in urls]
    servers = [redis.Redis.from_url(url) for url in urls]
    try:
        owner = ports.index(store._client.get_node_from_key(store.key(shard_of(store, NAMES[0]), "")).port)
        target = (owner + 1) % 3
        nodes = [server.execute_command("CLUSTER MYID").decode() for server in servers]
        move(servers, owner, target, nodes, slot, ports)
        reply = store.call(Grant("after", NAMES[0], 1, 0))
        assert isinstance(reply, Granted)
        assert reply.balance.granted_wei == 102
        move(servers, target, owner, nodes, slot, ports)
    finally:
        for server in servers:
            server.close()


def shard_of(store, account):
    return store._shards_of(Grant("", account, 0, 0))[0]


def move(servers, owner, target, nodes, slot, ports):
    """Move a slot with its keys to another server."""
    servers[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", nodes[owner])
    servers[owner].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", nodes[target])
    for key in servers[owner].execute_command("CLUSTER GETKEYSINSLOT", slot, 10_000):
        servers[owner].execute_command("MIGRATE", "127.0.0.1", ports[target], key, 0, 5000)
    for index in (target, owner, 3 - target - owner):
        servers[index].execute_command("CLUSTER SETSLOT", slot, "NODE", nodes[target])


@pytest.fixture
def stopped(urls, store, monkeypatch):
    """One of the servers is stopped; the accounts that are on it, and one that is not."""
    monkeypatch.setitem(CLIENT, "socket_timeout", 0.2)
    store.close()
    with open_store(urls[0]) as store:
        shards = {name: next(iter(store._shards_of(ReadBalance(name)))) for name in NAMES}
        nodes = [store._client.get_node_from_key(store.key(shard, "/turn")) for shard in range(16)]
        node = next(node for node in nodes if node != nodes[0])  # which has what belongs to no account
        there = {shard for shard in range(16) if nodes[shard] == node}
        pid = node.redis_connection.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield store, *(next(n for n in NAMES if (shards[n] in there) is is_there) for is_there in (True, False))
        finally:
            os.kill(pid, signal.SIGCONT)


def test_server__of_a_cluster_that_is_stopped__is_unavailable_in_time(stopped):
    store, name, _ = stopped
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(store.call, Grant("g", name, 5, 1))
        assert isinstance(asked.exception(timeout=30), StoreUnavailable)


def test_server__of_a_cluster_that_is_stopped__is_looked_at_without_harm_to_the_others(stopped, monkeypatch):
    store, _, name = stopped
    monkeypatch.setattr(redis_store, "_LOOK_AT_CLUSTER_SECONDS", -1)
    assert store.call(ReadBalance(name)).granted_wei == 0
