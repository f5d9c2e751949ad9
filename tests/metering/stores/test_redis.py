"""What is particular to Redis: its script, rows that others change, settings that lose money, lost connections."""

import logging
import threading
from contextlib import ExitStack

import pytest

redis = pytest.importorskip("redis")

from api_billing.metering.clock import DAY_MS  # noqa: E402
from api_billing.metering.errors import CannotBeStored, InvalidSetting, StoreUnavailable  # noqa: E402
from api_billing.metering.ledger.consumer_operations import PutProfile  # noqa: E402
from api_billing.metering.ledger.ids import new_id  # noqa: E402
from api_billing.metering.ledger.operations import (  # noqa: E402
    Claim,
    FireOnce,
    Grant,
    Granted,
    ListRecords,
    Prune,
    ReadBalance,
    Refused,
    Replay,
    Reserved,
    Settle,
    Settled,
    StaleProfile,
    StoredResponse,
)
from api_billing.metering.ledger.rows import CLAIMS, COUNTS, KINDS, AccountRow, BodiesRow, ClaimRow, FiredRow  # noqa: E402
from api_billing.metering.stores import open_store  # noqa: E402
from api_billing.metering.stores.redis import store as redis_store  # noqa: E402
from api_billing.metering.stores.redis import tables as redis_tables  # noqa: E402
from api_billing.metering.stores.redis.durability import Durability, durability_of  # noqa: E402
from api_billing.metering.stores.redis.rows import ABSENT, key_of, name_of, row_of, to_bytes  # noqa: E402
from api_billing.metering.stores.redis.store import _SHA, RedisStore  # noqa: E402


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
    """Have the connection break after the next batches were written, before their answers came."""
    write = RedisStore.write
    left = [times]

    def losing(self, *what):
        is_written = write(self, *what)
        if left[0]:
            left[0] -= 1
            raise redis.ConnectionError("Connection closed by server.")
        return is_written

    monkeypatch.setattr(RedisStore, "write", losing)


@pytest.fixture
def sent(monkeypatch):
    """What is sent to the server from now on, a text for each time."""
    texts = []
    send = redis.connection.Connection.send_packed_command

    def sending(self, command, *more, **options):
        texts.append(b"".join(command))
        return send(self, command, *more, **options)

    monkeypatch.setattr(redis.connection.Connection, "send_packed_command", sending)
    return texts


# --- rows


@pytest.mark.parametrize(
    "row",
    [
        AccountRow("a"),
        BodiesRow("r", None, b'\n\x00],"",['),
        BodiesRow("r", b"", b"two\n"),
        ClaimRow("c", "k", "", "r", 5),
        FiredRow('],"",[', 2**63 - 1),
        FiredRow("", 0),
    ],
    ids=lambda row: type(row).__name__,
)
def test_rows__together__come_back(row):
    value = to_bytes([row, row])[1]
    again = row_of(row.kind, row.key, value)
    assert (again.values(), again.stored) == (row.values(), True)


def test_rows__none__are_none():
    assert to_bytes([]) == []


@pytest.mark.parametrize("key", [("a", "b"), ("1:a", "b"), ("", "3:x"), ("ä:2", "")])
def test_name__of_any_key__is_that_of_no_other(key):
    assert key_of(CLAIMS, name_of(CLAIMS, key)) == key


def test_name__of_a_count__has_its_number():
    assert key_of(COUNTS, name_of(COUNTS, ("7:acme/day", -5))) == ("7:acme/day", -5)


def test_name__of_kinds__begins_differently():
    assert len({name_of(kind, ("x",) * len(kind.key))[0] for kind in KINDS}) == len(KINDS)


# --- the script


@pytest.fixture
def step(admin, store):
    """Calls the script for rows a, b … of a shard of its own: those to write, then those only read."""

    def call(written, tokens, who=b"me", commands=(), read=()):
        names = [b"t{9}" + name for name in (b"/turn:5", b"/next", *written, *read)]
        words = [word for words in commands for word in (len(words), *words)]
        return admin.evalsha(_SHA, len(names), *names, who, b"".join(tokens), len(written), *written.values(), *words)

    return call


TOKENS = [b"%016d" % number for number in range(4)]


def test_script__rows_that_are_as_they_were_read__are_written_with_the_commands(step, admin):
    commands = [(b"ZADD", b"t{9}/i", 0, b"m"), (b"SET", b"t{9}x", b"y")]
    written = {b"a": TOKENS[0] + b"[1]", b"b": TOKENS[0] + b"[2]"}
    assert step(written, [ABSENT, ABSENT], commands=commands) == 0
    assert [admin.get(b"t{9}a"), admin.get(b"t{9}x")] == [TOKENS[0] + b"[1]", b"y"]
    assert admin.zrange("t{9}/i", 0, -1) == [b"m"]
    assert step({b"a": b""}, [TOKENS[0], TOKENS[0]], read=[b"b"]) == 0
    assert [admin.get(b"t{9}a"), admin.get(b"t{9}b")] == [None, TOKENS[0] + b"[2]"]


@pytest.mark.parametrize("now", [None, TOKENS[1] + b"[2]"])
def test_script__a_row_that_was_only_read_has_changed__writes_nothing(step, admin, now):
    admin.set(b"t{9}a", TOKENS[0] + b"[1]")
    if now:
        admin.set(b"t{9}b", now)
    commands = [(b"SET", b"t{9}x", b"y")]
    assert step({b"a": TOKENS[2] + b"[3]"}, [TOKENS[0], TOKENS[2]], read=[b"b"], commands=commands) == 2
    assert [admin.get(b"t{9}a"), admin.get(b"t{9}x")] == [TOKENS[0] + b"[1]", None]


def test_script__a_row_that_was_taken_for_new_is_there__writes_nothing(step, admin):
    admin.set(b"t{9}a", TOKENS[0] + b"[1]")
    assert step({b"a": TOKENS[2] + b"[3]"}, [ABSENT]) == 1
    assert admin.get(b"t{9}a") == TOKENS[0] + b"[1]"


def test_script__somebody_elses_turn__writes_nothing_until_it_has_ended(step, admin):
    admin.set("t{9}/turn:5", "other")
    assert step({b"a": TOKENS[0] + b"[1]"}, [ABSENT]) == -1
    assert step({b"b": TOKENS[0] + b"[1]"}, [ABSENT], who=b"other") == 0
    assert admin.llen("t{9}/next") == 1
    assert step({b"a": TOKENS[0] + b"[1]"}, [ABSENT]) == 0


def test_turn__of_a_process_that_died__is_lost(store, admin, monkeypatch):
    monkeypatch.setattr(redis_store, "_TRIES_OF_FEW", 0)
    admin.set("api-billing:{0}/turn:5", "a process that died", px=50)
    assert store.call(Grant("g", "a", 5, 1)).balance.granted_wei == 5


# --- rows that others change


def test_reserve__fresh_id_that_there_is__is_found(url, desk_of):
    with open_store(url) as store, open_store(url) as other:
        desk = desk_of(store)
        desk.grant(100)
        made = desk.reserve_op(10, fresh=True)
        assert isinstance(store.call(made), Reserved)
        assert isinstance(other.call(made), Reserved)
        assert desk.balance().reserved_wei == 10
        desk.settle(made.reservation_id, 10)
        assert isinstance(other.call(made), Refused)


def test_batch__rows_kept_that_somebody_else_changed__are_read_again(url, desk_of):
    with open_store(url) as store, open_store(url) as other:
        desk, beside = desk_of(store), desk_of(other)
        for round_ in range(4):
            desk.grant(10, grant_id=f"a{round_}")
            beside.grant(1, grant_id=f"b{round_}")
        assert desk.balance()[:3] == beside.balance()[:3] == (44, 0, 0)
        assert isinstance(desk.reserve(44)[1], Reserved)
        assert isinstance(beside.reserve(1, reservation_id="another")[1], Refused)


def test_batch__of_a_lone_process__is_one_round_trip(store, desk_of, calls, sent):
    desk = desk_of(store)
    desk.grant(100)
    for _ in range(3):
        sent.clear()
        desk.served(1, checks=(calls(None),), fresh=True)
    assert len(sent) == 2


@pytest.mark.parametrize("many", [1, 40])
def test_stores__on_one_account_all_the_time__are_all_served(url, desk_of, many):
    with ExitStack() as stack:
        stores = [stack.enter_context(open_store(url)) for _ in range(4)]
        desk_of(stores[0]).grant(10**9)
        rounds = 240 // many // 4
        served = []

        def work(store):
            desk = desk_of(store)
            for _ in range(rounds):
                made = [desk.reserve_op(1, reservation_id=new_id(desk.now_ms), fresh=True) for _ in range(many)]
                settles = [Settle(one.reservation_id, one.account, one.now_ms, 1) for one in made]
                served.extend(type(reply) for reply in (*store._perform(made), *store._perform(settles)))

        threads = [threading.Thread(target=work, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert served.count(Reserved) == served.count(Settled) == 4 * many * rounds
        assert desk_of(stores[0]).balance()[:3] == (10**9, 0, 4 * many * rounds)


def test_stores__that_take_turns_at_once__are_all_served(url, desk_of, monkeypatch):
    monkeypatch.setattr(redis_store, "_TRIES_OF_FEW", 0)
    test_stores__on_one_account_all_the_time__are_all_served(url, desk_of, 1)


def test_batch__others_change_its_rows_all_the_time__is_unavailable(store, desk_of, monkeypatch):
    monkeypatch.setattr(redis_store, "_TRY_SECONDS", 0.02)
    monkeypatch.setattr(RedisStore, "write", lambda self, *what: False)
    with pytest.raises(StoreUnavailable, match="all the time"):
        desk_of(store).grant(1)


def test_batch__of_a_consumer_that_another_process_made__is_one_round_trip_in_the_end(url, desk_of, calls, sent):
    with open_store(url) as store, open_store(url) as other:
        desk = desk_of(store)
        profile = other.call(PutProfile(desk.consumer, "pro"))
        desk_of(other).grant(100)
        for _ in range(3):
            sent.clear()
            desk.served(1, checks=(calls(None),), fresh=True, profile_version=profile.version)
        assert len(sent) == 2
        changed = other.call(PutProfile(desk.consumer, "free"))
        reply = desk.reserve(1, fresh=True, profile_version=profile.version)[1]
        assert isinstance(reply, StaleProfile)
        assert reply.profile.version == changed.version


def test_batch__that_could_not_be_stored__leaves_no_count_of_it_behind(store, desk_of, wei):
    desk = desk_of(store)
    desk.grant(1000)
    window = wei(None)
    first, _ = desk.reserve(100, window, fresh=True)
    bad = desk.reserve_op(100, window, fresh=True, consumer="\ud800")
    good = desk.reserve_op(100, window, fresh=True)
    assert [type(reply) for reply in store._perform([good, bad])] == [Reserved, CannotBeStored]
    desk.settle(first, 30)
    assert desk.counts(window) == (130,)


def test_prune__while_others_serve__deletes_only_what_is_past(url, desk_of, calls):
    with open_store(url) as store, open_store(url) as other:
        desk, beside = desk_of(store), desk_of(other)
        desk.grant(10**6)
        old = [desk.served(1, now_ms=desk.now_ms - 90 * DAY_MS) for _ in range(30)]
        ends = threading.Event()
        kept = []

        def serve():
            while not ends.is_set():
                kept.append(beside.served(1, checks=(calls(None),)))

        thread = threading.Thread(target=serve)
        thread.start()
        pruned = desk.call(Prune(desk.now_ms))
        ends.set()
        thread.join()
        assert pruned.records == len(old)
        assert [record.record_id for record in desk.call(ListRecords(limit=10**5))] == sorted(kept)


# --- opening


def test_open__other_prefix__is_another_store(url, desk_of):
    with open_store(f"{url}?prefix=one:") as one, open_store(f"{url}?prefix=two:") as two:
        desk_of(one).grant(5)
        assert (desk_of(one).free(), desk_of(two).free()) == (5, 0)


@pytest.mark.parametrize("query", ["durable=2", "nonsense=1%00&socket_timeout=x", "durable=", "shards=0", "shards=x"])
def test_open__not_a_url__is_refused_without_showing_the_password(query):
    with pytest.raises(InvalidSetting) as caught:
        open_store(f"redis://me:secret@localhost:1/0?{query}")
    assert "secret" not in str(caught.value)


def test_open__nobody_there__is_unavailable_without_showing_the_password():
    with pytest.raises(StoreUnavailable) as caught:
        open_store("redis://me:secret@127.0.0.1:1/0")
    assert "secret" not in str(caught.value)


def test_open__keys_of_a_newer_version__is_refused(url, admin):
    admin.hset("api-billing:{0}/state", "schema", "99")
    with pytest.raises(StoreUnavailable, match="version 99"):
        open_store(url)


def test_open__with_another_number_of_shards__is_refused(url):
    open_store(f"{url}?shards=2").close()
    with open_store(url) as store:
        assert store.shards == 2
    with pytest.raises(StoreUnavailable, match="2 shards"):
        open_store(f"{url}?shards=3")


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


@pytest.mark.parametrize("wanted", [True, None])
def test_durability__of_a_server_that_still_loads__is_not_known(wanted):
    # It says that its append-only file is off, as long as it reads it.
    with pytest.raises(redis.exceptions.BusyLoadingError):
        durability_of({"redis_version": "7.2.0", "aof_enabled": 0, "loading": 1}, "always", wanted)


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
    """Answers a script and WAITAOF, as Redis 7.2 does."""

    def __init__(self, synced):
        self.replies = [0, synced]
        self.commands = []

    def execute_command(self, *words):
        self.commands.append(words[0])

    def execute(self, raise_on_error):
        assert not raise_on_error
        return self.replies


@pytest.fixture
def waiting(store, monkeypatch):
    """Has a server answer WAITAOF; a function of what it answers."""

    def answering(synced):
        pipeline = WaitingPipeline(synced)
        store._wait = True
        monkeypatch.setattr(store._client, "pipeline", lambda transaction: pipeline)
        return pipeline.commands

    return answering


def test_batch__of_a_server_that_has_to_be_waited_for__ends_with_waiting(store, desk_of, waiting):
    commands = waiting([1, 0])
    assert desk_of(store).grant(5).balance.granted_wei == 5
    assert commands == ["EVALSHA", "WAITAOF"]


@pytest.mark.parametrize("answer", [[0, 0], redis.ResponseError("ERR WAITAOF cannot be used")])
def test_batch__that_is_not_confirmed_to_be_on_disk__is_unavailable(store, desk_of, waiting, answer):
    waiting(answer)
    with pytest.raises(StoreUnavailable, match="did not confirm"):
        desk_of(store).grant(5)


def test_batch__of_many_operations__is_read_and_written_at_once(store, desk_of, sent):
    desk = desk_of(store)
    store._perform([Grant(desk.new_id(), f"a{number}", 1, desk.now_ms) for number in range(20)])
    assert len(sent) == 2


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


def refused(self):
    raise redis.ConnectionError("refused")


def test_connection__broken_twice__is_unavailable_and_then_works_again(store, desk_of, monkeypatch):
    desk = desk_of(store)
    lost_answers(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(RedisStore, "_connect", refused)
        with pytest.raises(StoreUnavailable):
            desk.grant(7, grant_id="g1")
    store._no_try_before = 0
    assert desk.grant(7, grant_id="g1").repeated


@pytest.mark.parametrize("answer", [1, 2])
def test_batch__interrupted__leaves_no_answers_for_the_next(store, desk_of, monkeypatch, answer):
    desk = desk_of(store)
    desk.grant(7)
    read = redis.connection.Connection.read_response
    left = [answer]

    def interrupted(self, *more, **options):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return read(self, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(redis.connection.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.grant(5)
    # The second answer is that of writing: it was sent, and so performed; its answer was read by nobody.
    assert desk.balance().granted_wei == {1: 7, 2: 12}[answer]


def test_reserve__claim_that_ends_while_it_is_looked_at__is_replayed_and_not_refused_for_the_credit_it_took(
    store, url, desk_of, monkeypatch
):
    desk = desk_of(store)
    desk.grant(10)
    claim, response = Claim("key", "GET /"), StoredResponse(200, (), b"served")
    reservation_id, _ = desk.reserve(10, claim=claim)
    peek, ended = redis_tables.RedisTables.peek, []

    def peeking(self, *what):
        if not ended:
            ended.append(reservation_id)
            with open_store(url) as other:
                desk_of(other).settle(reservation_id, 10, response=response)
        return peek(self, *what)

    monkeypatch.setattr(redis_tables.RedisTables, "peek", peeking)
    with open_store(url) as third:
        assert desk_of(third).reserve(10, claim=claim, reservation_id=desk.new_id())[1] == Replay(
            response, reservation_id
        )
