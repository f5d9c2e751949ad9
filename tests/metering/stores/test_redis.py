"""What is particular to Redis: its script's arithmetic, settings that lose money, lost scripts and connections."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

redis = pytest.importorskip("redis")

from api_billing.metering.errors import InvalidSetting, StoreUnavailable  # noqa: E402
from api_billing.metering.ledger import operations, settlement_operations  # noqa: E402
from api_billing.metering.ledger.operations import (  # noqa: E402
    FireOnce,
    Grant,
    Granted,
    Operation,
    ReadBalance,
    Settle,
    Settled,
)
from api_billing.metering.stores import open_store  # noqa: E402
from api_billing.metering.stores.redis.listings import LISTINGS  # noqa: E402
from api_billing.metering.stores.redis.settlement import SETTLEMENT_LISTINGS  # noqa: E402
from api_billing.metering.stores.redis.steps import COMMANDS  # noqa: E402
from api_billing.metering.stores.redis.store import _SCRIPT, Durability, RedisStore, durability_of  # noqa: E402

AMOUNTS = st.one_of(
    st.integers(0, 2**257),
    st.builds(lambda power, more: max(10**power + more, 0), st.integers(0, 78), st.integers(-1, 1)),
)


@pytest.fixture
def url(redis_url, emptied):
    return emptied(redis_url)


@pytest.fixture
def store(url):
    with open_store(url) as store:
        yield store


@pytest.fixture
def admin(url):
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def setting(admin):
    """Changes a setting of the server until the test ends."""
    before = {}

    def change(name, value):
        before.setdefault(name, admin.config_get(name)[name])
        admin.config_set(name, value)

    yield change
    for name, value in before.items():
        admin.config_set(name, value)


def lost_answers(monkeypatch, times=1):
    """Have the connection break after the next pipelines were executed, before their answers came."""
    pipeline = RedisStore._pipeline
    left = [times]

    def losing(self, client, operations):
        replies = pipeline(self, client, operations)
        if left[0]:
            left[0] -= 1
            raise redis.ConnectionError("Connection closed by server.")
        return replies

    monkeypatch.setattr(RedisStore, "_pipeline", losing)


def test_operations__all__are_known():
    named = {**vars(operations), **vars(settlement_operations)}.values()
    kinds = {kind for kind in named if isinstance(kind, type) and issubclass(kind, Operation)}
    assert COMMANDS.keys() | LISTINGS.keys() | SETTLEMENT_LISTINGS.keys() == kinds - {Operation}


@settings(max_examples=20)
@given(pairs=st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=40))
def test_script__adding_subtracting_and_comparing__is_exact(redis_url, pairs):
    arithmetic, rows, _ = _SCRIPT.decode().partition("-- Rows --")
    assert rows
    script = (
        arithmetic
        + "return {add(ARGV[2], ARGV[3]), subtract_to_zero(ARGV[2], ARGV[3]), tostring(less(ARGV[2], ARGV[3]))}"
    )
    with redis.Redis.from_url(redis_url) as client:
        pipeline = client.pipeline(transaction=False)
        for a, b in pairs:
            pipeline.eval(script, 0, "", str(a), str(b))
        replies = pipeline.execute()
    expected = [[str(a + b), str(max(a - b, 0)), str(a < b).lower()] for a, b in pairs]
    assert [[value.decode() for value in reply] for reply in replies] == expected


def test_open__other_prefix__is_another_store(url, desk_of):
    with open_store(f"{url}?prefix=one:") as one, open_store(f"{url}?prefix=two:") as two:
        desk_of(one).grant(5)
        assert (desk_of(one).free(), desk_of(two).free()) == (5, 0)


@pytest.mark.parametrize("query", ["durable=2", "nonsense=1%00&socket_timeout=x", "durable="])
def test_open__not_a_url__is_refused_without_showing_the_password(query):
    with pytest.raises(InvalidSetting) as caught:
        open_store(f"redis://me:secret@localhost:1/0?{query}")
    assert "secret" not in str(caught.value)


def test_open__nobody_there__is_unavailable_without_showing_the_password():
    with pytest.raises(StoreUnavailable) as caught:
        open_store("redis://me:secret@127.0.0.1:1/0")
    assert "secret" not in str(caught.value)


def test_open__keys_of_a_newer_version__is_refused(url, admin):
    admin.hset("api-billing:state", "schema", "99")
    with pytest.raises(StoreUnavailable, match="version 99"):
        open_store(url)


def test_open__server_that_drops_keys__is_refused(url, setting):
    setting("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreUnavailable, match="allkeys-lru"):
        open_store(url)


def test_open__server_that_may_lose_the_last_second__warns(url, setting, caplog):
    setting("appendfsync", "everysec")
    with caplog.at_level(logging.WARNING), open_store(url) as store:
        wait = store._wait
    # Redis 7.2 and newer confirm what is on disk, so that nothing is lost.
    assert wait != any("may be lost" in message for message in caplog.messages)


def test_open__durable_server__does_not_warn(url, caplog):
    with caplog.at_level(logging.WARNING):
        open_store(f"{url}?durable=1").close()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("version", "enabled", "fsync", "wanted", "expected"),
    [
        ("7.0.15", 1, "always", None, Durability(False, "")),
        ("7.0.15", 1, "always", True, Durability(False, "")),
        ("7.2.0", 1, "everysec", None, Durability(True, "")),
        ("7.2.0", 1, "everysec", True, Durability(True, "")),
        ("8.0.1", 1, None, None, Durability(True, "")),
    ],
)
def test_durability__server_that_can__has_no_warning(version, enabled, fsync, wanted, expected):
    assert durability_of({"redis_version": version, "aof_enabled": enabled}, fsync, wanted) == expected


@pytest.mark.parametrize(
    ("version", "enabled", "fsync", "wanted"),
    [
        ("7.0.15", 1, "everysec", None),
        ("7.0.15", 1, None, None),
        ("7.2.0", 1, "everysec", False),
        ("7.2.0", 0, "always", None),
        ("7.2.0", 0, "always", False),
    ],
)
def test_durability__server_that_cannot__is_warned_about(version, enabled, fsync, wanted):
    durability = durability_of({"redis_version": version, "aof_enabled": enabled}, fsync, wanted)
    assert not durability.wait
    assert "may be lost" in durability.warning


@pytest.mark.parametrize(("version", "enabled", "fsync"), [("7.0.15", 1, "everysec"), ("7.2.0", 0, "always")])
def test_durability__wanted_of_a_server_that_cannot__is_refused(version, enabled, fsync):
    with pytest.raises(StoreUnavailable, match="durable=1"):
        durability_of({"redis_version": version, "aof_enabled": enabled}, fsync, True)


class WaitingPipeline:
    """Answers two commands and WAITAOF, as Redis 7.2 does."""

    def __init__(self, synced):
        self.replies = [b"one", b"two", synced]
        self.commands = []

    def execute_command(self, *words):
        self.commands.append(words)

    def execute(self, raise_on_error):
        assert not raise_on_error
        return self.replies


def test_wait_for_disk__confirmed__gives_the_answers(store):
    store._wait = True
    pipeline = WaitingPipeline([1, 0])
    assert store._wait_for_disk(pipeline) == [b"one", b"two"]
    assert pipeline.commands == [("WAITAOF", 1, 0, 5000)]


@pytest.mark.parametrize("synced", [[0, 0], redis.ResponseError("ERR WAITAOF cannot be used")])
def test_wait_for_disk__not_confirmed__is_unavailable(store, synced):
    store._wait = True
    with pytest.raises(StoreUnavailable, match="did not confirm"):
        store._wait_for_disk(WaitingPipeline(synced))


def test_batch__of_many_operations__is_sent_at_once(store, desk_of, monkeypatch):
    desk = desk_of(store)
    sent = []
    send = redis.connection.Connection.send_packed_command
    monkeypatch.setattr(
        redis.connection.Connection,
        "send_packed_command",
        lambda self, command, *more, **options: sent.append(command) or send(self, command, *more, **options),
    )
    store._perform([Grant(desk.new_id(), f"a{number}", 1, desk.now_ms) for number in range(20)])
    assert len(sent) == 1


def test_script__forgotten_by_the_server__is_loaded_again(store, admin, desk_of):
    admin.script_flush()
    grants = [Grant(f"g{number}", "acme/weather", 1, 1) for number in range(3)]
    assert [type(reply) for reply in store._perform(grants)] == [Granted] * 3
    assert desk_of(store).free() == 3


def test_connection__closed_by_the_server_while_idle__is_opened_anew(store, admin):
    admin.client_kill_filter(_type="normal", skipme=True)
    assert store.call(FireOnce("a", 1, 2))


def test_connection__broken_after_the_pipeline__repeats_what_has_ids_and_changes_nothing(store, desk_of, monkeypatch):
    desk = desk_of(store)
    made = desk.reserve_op(60)
    settle = Settle(made.reservation_id, desk.account, desk.now_ms, 40)
    lost_answers(monkeypatch)
    replies = store._perform([Grant("g1", desk.account, 100, desk.now_ms), made, settle])
    assert [type(reply) for reply in replies][::2] == [Granted, Settled]
    assert (replies[2].charged_wei, replies[2].repeated) == (40, True)
    assert desk.balance()[:3] == (100, 0, 40)


def test_connection__broken_after_the_pipeline__leaves_the_rest_unknown(store, desk_of, monkeypatch):
    desk = desk_of(store)
    lost_answers(monkeypatch)
    replies = store._perform(
        [Grant("g1", desk.account, 7, desk.now_ms), FireOnce("a", 1, 2), ReadBalance(desk.account)]
    )
    assert "not known" in str(replies[1])
    assert (replies[0].repeated, replies[2].granted_wei) == (True, 7)


def test_connection__broken_twice__is_unavailable_and_then_works_again(store, desk_of, monkeypatch):
    desk = desk_of(store)
    lost_answers(monkeypatch, times=2)
    with pytest.raises(StoreUnavailable):
        desk.grant(7, grant_id="g1")
    assert desk.grant(7, grant_id="g1").repeated


def test_batch__interrupted__leaves_no_answers_for_the_next(store, desk_of, monkeypatch):
    desk = desk_of(store)
    desk.grant(7)

    def interrupted(self, *more, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(redis.connection.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.grant(5)
    # It was sent, and so performed; its answer was read by nobody.
    assert desk.balance().granted_wei == 12
