"""Redis when its servers change: failover, eviction, replicas, and servers that stop."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

redis = pytest.importorskip("redis")

from api_billing.metering.errors import StoreUnavailable, StoreUnusable  # noqa: E402
from api_billing.metering.ledger.operations import Grant, Granted, ReadBalance, Settled  # noqa: E402
from api_billing.metering.stores import networked, open_store  # noqa: E402
from api_billing.metering.stores.redis import store as redis_store  # noqa: E402
from api_billing.metering.stores.redis.place import CLIENT  # noqa: E402
from tools.private_servers import NotInstalled, memory_folder, private_redis  # noqa: E402
from tools.relay import relay_to  # noqa: E402


def place(url):
    return "127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])


def follow(client, leader=None):
    """Make a server a replica of another, or nobody's, and wait until it has all that its leader had."""
    if leader is None:
        client.replicaof("no", "one")
        return
    host, port = place(leader)
    client.replicaof(host, port)
    while client.info("replication")["master_link_status"] != "up":
        pass


class Pair:
    """Two servers, one of which follows the other, and the address that always leads to the first of them."""

    def __init__(self, relay, urls):
        self.relay, self.urls = relay, list(urls)
        self.clients = [redis.Redis.from_url(url) for url in urls]
        self.url = f"redis://127.0.0.1:{relay.port}/0"
        follow(self.clients[1], urls[0])

    def swap(self):
        """What a failover does that closes no connection: the roles change, and the address leads to the other one."""
        self.clients[0].wait(1, 0)
        follow(self.clients[1])
        follow(self.clients[0], self.urls[1])
        self.urls.reverse()
        self.clients.reverse()
        self.relay.server = place(self.urls[0])


@pytest.fixture(scope="module")
def servers():
    with ExitStack() as stack:
        try:
            yield [
                stack.enter_context(
                    private_redis(memory_folder(), "--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0")
                )
                for _ in range(2)
            ]
        except NotInstalled as error:
            pytest.skip(str(error))


@pytest.fixture
def pair(servers):
    for url in servers:
        with redis.Redis.from_url(url) as client:
            follow(client)
            client.flushall()
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 0)
    with relay_to(place(servers[0])) as relay:
        pair = Pair(relay, servers)
        yield pair
        for client in pair.clients:
            client.close()


@pytest.fixture
def seldom_looked_at(monkeypatch):
    """The store finds out by what it is answered."""
    monkeypatch.setattr(redis_store, "LOOK_SECONDS", 3600)


@pytest.fixture
def always_looked_at(monkeypatch):
    monkeypatch.setattr(redis_store, "LOOK_SECONDS", -1)


@pytest.mark.usefixtures("seldom_looked_at")
def test_failover__with_open_connections__goes_on_at_the_new_primary(pair, desk_of):
    with open_store(pair.url) as store:
        desk = desk_of(store)
        desk.grant(100)
        reservation_id, _ = desk.reserve(40)
        pair.swap()
        assert isinstance(desk.settle(reservation_id, 30), Settled)
        assert desk.balance()[:3] == (100, 0, 30)
    assert pair.clients[0].info("replication")["role"] == "master"


@pytest.mark.usefixtures("seldom_looked_at")
@pytest.mark.parametrize("at", range(4))
def test_failover__before_each_step_of_a_request__charges_it_once(pair, desk_of, at):
    with open_store(pair.url) as store:
        desk = desk_of(store)
        grant, made = Grant("g", desk.account, 100, desk.now_ms), desk.reserve_op(60)
        steps = [
            lambda: desk.call(grant),
            lambda: desk.call(made),
            lambda: desk.settle(made.reservation_id, 40),
            lambda: desk.settle(made.reservation_id, 40),
        ]
        for number, step in enumerate(steps):
            if number == at:
                pair.swap()
            step()
        assert desk.balance()[:3] == (100, 0, 40)


@pytest.mark.usefixtures("always_looked_at")
def test_failover__of_a_store_that_only_reads__is_noticed(pair, desk_of):
    with open_store(pair.url) as store, open_store(pair.url) as other:
        desk_of(store).grant(5)
        pair.swap()
        desk_of(other).grant(2, grant_id="g")
        assert desk_of(store).balance().granted_wei == 7


@pytest.mark.usefixtures("seldom_looked_at")
def test_failover__to_nobody_yet__is_unavailable_and_then_goes_on(pair, desk_of):
    with open_store(pair.url) as store:
        desk = desk_of(store)
        desk.grant(5)
        pair.clients[0].wait(1, 0)
        follow(pair.clients[1])
        follow(pair.clients[0], pair.urls[1])
        with pytest.raises(StoreUnavailable, match="replica"):
            desk.grant(1, grant_id="g")
        follow(pair.clients[0])
        store._no_try_before = 0
        assert desk.grant(1, grant_id="g").balance.granted_wei == 6


def test_open__at_a_replica__is_unavailable(pair):
    with pytest.raises(StoreUnavailable, match="replica"):
        open_store(pair.urls[1])


@pytest.mark.parametrize(
    "answer",
    [
        redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
        redis.exceptions.MasterDownError("Link with MASTER is down"),
        redis.exceptions.MovedError("866 127.0.0.1:1"),
        redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        redis.ResponseError("UNBLOCKED force unblock from blocking operation"),
        redis.ResponseError("Error running script (call to f_1): @user_script:20: -READONLY You can't write"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_answer__about_the_server_as_it_is__has_it_asked_on_a_new_connection(pair, desk_of, monkeypatch, answer):
    with open_store(pair.url) as store:
        run, answers = redis_store.RedisStore._run, [answer]

        def answering(self, *words):
            if answers:
                raise answers.pop()
            return run(self, *words)

        monkeypatch.setattr(redis_store.RedisStore, "_run", answering)
        before = pair.relay.accepted
        replies = store._perform([Grant("g", "a", 5, 1), Grant("h", "a", 1, 1)])
        assert [type(reply) for reply in replies] == [Granted, Granted]
        assert pair.relay.accepted > before


@pytest.mark.usefixtures("always_looked_at")
def test_eviction__switched_on_while_open__is_refused_until_it_is_off(pair, desk_of):
    with open_store(pair.url) as store:
        desk_of(store).grant(5)
        pair.clients[0].config_set("maxmemory-policy", "volatile-lru")
        with pytest.raises(StoreUnavailable, match="volatile-lru"):
            store.call(ReadBalance("a"))
        pair.clients[0].config_set("maxmemory-policy", "noeviction")
        assert desk_of(store).free() == 5


@pytest.mark.parametrize("answer", ["string exceeds maximum allowed size", "WRONGTYPE Operation against a key"])
def test_answer__about_what_was_asked__is_not_the_servers(answer):
    assert not redis_store._is_of_server(redis.ResponseError(answer))


def evict(client):
    client.config_set("maxmemory-policy", "allkeys-random")
    client.config_set("maxmemory", 1)
    client.config_set("maxmemory", 0)
    client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.usefixtures("always_looked_at")
def test_eviction__that_dropped_keys_meanwhile__is_refused_by_every_process_until_an_operator_has_seen_to_it(pair):
    with open_store(pair.url) as store:
        for number in range(50):
            store.call(Grant(f"g{number}", f"a{number}", 1, 1))
        evict(pair.clients[0])
        assert pair.clients[0].info("stats")["evicted_keys"] > 0
        with pytest.raises(StoreUnavailable, match="dropped"):
            store.call(ReadBalance("a"))
    with pytest.raises(StoreUnavailable, match="dropped") as caught:
        open_store(pair.url)
    pair.clients[0].hdel("api-billing:{0}/state", "evicted")
    open_store(pair.url).close()
    assert "HDEL api-billing:{0}/state evicted" in caught.value.hint


@pytest.mark.parametrize("reconnects", [False, True])
@pytest.mark.usefixtures("always_looked_at")
def test_server__that_was_emptied__is_refused_and_no_store_made_in_its_place(pair, desk_of, reconnects):
    with open_store(pair.url) as store:
        desk_of(store).grant(5)
        pair.clients[0].flushall()
        if reconnects:
            store._disconnect()
        for _ in range(2):
            with pytest.raises(StoreUnusable, match="emptied"):
                store.call(ReadBalance("a"))
        assert pair.clients[0].keys() == []
    open_store(pair.url).close()  # as whoever wants to begin anew


def test_replicas__that_there_are__have_what_was_answered(pair, desk_of):
    with open_store(f"{pair.url}?replicas=1") as store:
        assert desk_of(store).grant(5).balance.granted_wei == 5


def test_replicas__fewer_than_are_asked_for__is_unavailable(pair, monkeypatch):
    monkeypatch.setattr(redis_store, "WAIT_MS", 10)
    with pytest.raises(StoreUnavailable, match="WAIT 2"):
        open_store(f"{pair.url}?replicas=2")


def test_stopped_server__in_use__is_unavailable_in_time(pair, desk_of, monkeypatch):
    monkeypatch.setitem(CLIENT, "socket_timeout", 0.1)
    pid = pair.clients[0].info("server")["process_id"]
    with open_store(pair.url) as store, ThreadPoolExecutor(1) as thread:
        desk = desk_of(store)
        desk.grant(5)
        os.kill(pid, signal.SIGSTOP)
        try:
            asked = thread.submit(desk.grant, 1, grant_id="g")
            with pytest.raises(StoreUnavailable):
                asked.result(timeout=10)
        finally:
            os.kill(pid, signal.SIGCONT)
        store._no_try_before = 0
        assert desk.grant(1, grant_id="g").balance.granted_wei == 6


def test_time__of_a_process_whose_clock_is_fast__is_the_servers(pair, monkeypatch):
    monkeypatch.setattr(networked, "system_clock_ms", lambda: 10**15)
    with open_store(pair.url) as store:
        seconds, _ = pair.clients[0].time()
        assert abs(store.now_ms() - seconds * 1000) < 60_000
