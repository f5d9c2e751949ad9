"""Records, usage, settlement batches and pruning in every store."""

import threading
from dataclasses import replace

import pytest

from api_billing.merkle import merkle_root
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import (
    Added,
    AddToBatch,
    BatchLine,
    CutPlace,
    ListBatches,
    ReadCut,
    ReadLeaves,
)
from api_billing.metering.ledger.operations import (
    GetRecord,
    ListRecords,
    Note,
    Outcome,
    Prune,
    Record,
    SumUsage,
    Sweep,
    UsageDay,
)
from api_billing.metering.ledger.settlement_operations import ReadBook, ReadCredit
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores.steps import run

OUTCOME = Outcome(503, 12, 2**40, "Value'Error\x00", '{"model":"ü"}', b"\x00request", b"")


def test_record__has_the_windows_that_it_counted_in(desk, calls):
    checks = (calls(5), calls(7, "slides", starts_ms=0, ends_ms=60_000, counting="sliding"))
    settled, _ = desk.reserve(60, *checks)
    desk.settle(settled, 70)
    [record] = desk.call(ListRecords(newest_first=True))
    assert [(*each[:4], each.counting) for each in record.checks] == [(*each[:4], each.counting) for each in checks]


@pytest.fixture(autouse=True)
def _credit(desk):
    desk.grant(10**6)
    desk.grant(10**6, "other")


def noted(desk, **changes):
    values = {
        "record_id": desk.new_id(), "at_ms": desk.now_ms, "state": "refused", "api": "weather", "consumer": "acme",
        "account": "", "tier": "free", "method": "GET", "route": "/x", "request_id": "r", "units": 1,
        "estimate_wei": 2**200, "code": "quota_exceeded", "outcome": OUTCOME, **changes,
    }  # fmt: skip
    return Record(**values)


def ids(records):
    return [record.record_id for record in records]


# --- records


def usage_line(record):
    return UsageLine(
        record.record_id, record.api, record.account, record.consumer, record.at_ms, record.units, record.charged_wei
    )


def test_record__of_a_settled_request__has_everything(desk):
    texts = {"tier": "pro", "method": "POST", "route": "/f/{id}", "request_id": "q1"}
    reservation_id, _ = desk.reserve(60, units=3, **texts)
    desk.settle(reservation_id, 70, outcome=OUTCOME, now_ms=desk.now_ms + 5)
    assert desk.call(GetRecord(reservation_id)) == Record(
        record_id=reservation_id, at_ms=desk.now_ms, state="settled", api="weather", consumer="acme",
        account="acme/weather", units=3, estimate_wei=60, charged_wei=70, ended_ms=desk.now_ms + 5, outcome=OUTCOME,
        **texts,
    )  # fmt: skip


def test_record__of_an_open_request__is_reserved(desk):
    reservation_id, _ = desk.reserve(60)
    record = desk.call(GetRecord(reservation_id))
    assert (record.state, record.charged_wei, record.ended_ms, record.outcome) == ("reserved", 0, 0, Outcome())


def test_record__of_a_released_request__says_why(desk):
    reservation_id, _ = desk.reserve(60)
    desk.release(reservation_id, outcome=OUTCOME)
    record = desk.call(GetRecord(reservation_id))
    assert (record.state, record.charged_wei, record.outcome) == ("released", 0, OUTCOME)


@pytest.mark.parametrize("end", ["reserved", "released", "expired", "refused"])
def test_record__of_what_was_never_settled__charges_nothing_and_misses_nothing(desk, end):
    reservation_id, _ = desk.reserve(60)
    if end == "released":
        desk.release(reservation_id)
    elif end == "expired":
        desk.call(Sweep(desk.now_ms + DAY_MS))
    elif end == "refused":
        reservation_id = noted(desk).record_id
        desk.call(Note(noted(desk, record_id=reservation_id)))
    record = desk.call(GetRecord(reservation_id))
    assert (record.state, record.charged_wei, record.uncollected_wei) == (end, 0, 0)


def test_record__noted__comes_back(desk):
    record = noted(desk)
    desk.call(Note(record))
    assert desk.call(GetRecord(record.record_id)) == record


def test_record__noted_twice__stays_as_it_was(desk):
    record = noted(desk)
    desk.call(Note(record))
    desk.call(Note(replace(record, code="other")))
    assert desk.call(ListRecords()) == (record,)


def test_record__noted_with_the_id_of_a_request__leaves_the_request(desk):
    reservation_id, _ = desk.reserve(60)
    desk.call(Note(noted(desk, record_id=reservation_id)))
    assert [record.state for record in desk.call(ListRecords())] == ["reserved"]


def test_record__unknown__is_none(desk):
    assert desk.call(GetRecord("unknown")) is None


def test_records__listed__in_the_order_of_ids_by_page(desk):
    made = [desk.served(1) for _ in range(5)]
    pages = [desk.call(ListRecords(limit=2)), desk.call(ListRecords(limit=2, after=made[1]))]
    assert [ids(page) for page in pages] == [made[:2], made[2:4]]
    assert desk.call(ListRecords(after=made[-1])) == ()


def test_records__newest_first__come_by_pages_the_other_way(desk):
    made = [desk.served(now_ms=desk.now_ms + minute * 60_000, consumer="ab"[minute % 2]) for minute in range(5)]
    first = ids(desk.call(ListRecords(limit=2, newest_first=True)))
    desk.served(now_ms=desk.now_ms + 9 * 60_000)  # meanwhile
    second = ids(desk.call(ListRecords(limit=9, newest_first=True, after=first[-1])))
    assert first + second == made[::-1]
    assert ids(desk.call(ListRecords(consumer="a", newest_first=True, limit=2))) == [made[4], made[2]]
    assert desk.call(ListRecords(newest_first=True, after=made[0])) == ()


@pytest.mark.parametrize("newest_first", [False, True])
def test_records__of_some_days__are_those_and_no_others(desk, newest_first):
    made = [desk.served(now_ms=desk.now_ms + day * DAY_MS) for day in range(-6, 7)]
    between = {"since_ms": desk.now_ms - 2 * DAY_MS, "until_ms": desk.now_ms + 2 * DAY_MS, "newest_first": newest_first}
    wanted = made[4:8]
    assert ids(desk.call(ListRecords(**between))) == (wanted[::-1] if newest_first else wanted)
    cursor = {"after": made[-1] if newest_first else made[0]}
    assert ids(desk.call(ListRecords(**between, **cursor, limit=2))) == (wanted[:1:-1] if newest_first else wanted[:2])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"consumer": "acme"}, [0, 1, 4]),
        ({"consumer": "nobody"}, []),
        ({"api": "maps"}, [1, 3]),
        ({"api": "maps", "consumer": "acme"}, [1]),
        ({"states": ("settled",)}, [0, 2]),
        ({"states": ("refused", "reserved")}, [1, 3, 4]),
        ({"since": 10}, [2, 3, 4]),
        ({"until": 10}, [0, 1]),
        ({"since": 10, "until": 20, "limit": 1}, [2]),
    ],
)
def test_records__filtered__are_those_that_match(desk, query, expected):
    start = desk.now_ms
    other = {"account": "other", "consumer": "other"}
    made = [
        desk.served(1),
        desk.reserve(1, api="maps")[0],
        desk.served(1, now_ms=start + 10, **other),
        desk.reserve(1, now_ms=start + 19, api="maps", **other)[0],
    ]
    desk.now_ms = start + 20
    made.append(noted(desk).record_id)
    desk.call(Note(noted(desk, record_id=made[-1])))
    instants = {f"{name}_ms": start + query[name] for name in ("since", "until") if name in query}
    others = {name: value for name, value in query.items() if name not in ("since", "until")}
    assert ids(desk.call(ListRecords(**others, **instants))) == [made[index] for index in expected]


def test_records__more_than_one_page_of_the_server__are_all_listed(store, desk):
    store._perform([Note(noted(desk, consumer="c" * (number % 2))) for number in range(1_100)])
    assert len(desk.call(ListRecords(limit=5_000))) == 1_100
    assert len(desk.call(ListRecords(consumer="c", limit=5_000))) == 550


# --- usage


def test_usage__of_settled_requests__is_summed_by_api_consumer_and_day(desk):
    midnight = desk.now_ms // DAY_MS * DAY_MS
    desk.served(10, now_ms=midnight - 1, units=4)
    desk.served(20, now_ms=midnight)
    desk.served(30, now_ms=midnight)
    desk.served(5, now_ms=midnight, api="maps", account="other", consumer="other")
    desk.reserve(99)
    day = midnight // DAY_MS
    rows = (
        UsageDay("maps", "other", day, 1, 1, 5),
        UsageDay("weather", "acme", day - 1, 1, 4, 10),
        UsageDay("weather", "acme", day, 2, 2, 50),
    )
    assert desk.call(SumUsage()) == rows
    assert desk.call(SumUsage(consumer="acme")) == rows[1:]
    assert desk.call(SumUsage(api="maps")) == rows[:1]
    assert desk.call(SumUsage(consumer="acme", from_day=day, to_day=day)) == rows[2:]
    assert desk.call(SumUsage(consumer="nobody")) == ()


def test_usage__uncollected__is_shown_apart(desk):
    reservation_id, _ = desk.reserve(10)
    desk.settle(reservation_id, 10**6 + 7)
    assert desk.call(SumUsage())[0].uncollected_wei == 7


def test_usage__settled_after_midnight__belongs_to_the_day_it_was_reserved_on(desk):
    midnight = desk.now_ms // DAY_MS * DAY_MS
    reservation_id, _ = desk.reserve(10, now_ms=midnight - 1)
    desk.settle(reservation_id, 10, now_ms=midnight + 1)
    assert [row.day for row in desk.call(SumUsage())] == [midnight // DAY_MS - 1]


def test_usage__released_and_expired_requests__are_not_in_it(desk):
    desk.release(desk.reserve(10)[0])
    desk.reserve(10)
    desk.call(Sweep(desk.now_ms + DAY_MS))
    assert desk.call(SumUsage()) == ()


# --- batches


def test_batch__without_usage__is_none(desk):
    desk.reserve(10)
    desk.served(10, api="maps")
    assert desk.cut() is None


def test_batch__cut__sums_and_marks_its_requests(desk):
    made = [desk.served(10), desk.served(20), desk.served(0)]
    batch = desk.cut(now_ms=desk.now_ms + 1)
    assert (batch.api, batch.sequence, batch.created_ms, batch.records) == ("weather", 1, desk.now_ms + 1, 3)
    assert batch.lines == (BatchLine("acme/weather", "acme", desk.now_ms // DAY_MS, 3, 30),)
    assert [desk.call(GetRecord(record_id)).batch for record_id in made] == [1, 1, 1]


def test_batch__root__is_that_of_its_records(desk):
    for number in range(5):
        desk.served(number * 10**18 // 10**18)
    batch = desk.cut()
    leaves = [usage_line(record).leaf() for record in desk.call(ListRecords())]
    assert batch.root == merkle_root(leaves).hex()
    assert desk.call(ReadLeaves("weather", 1)) == b"".join(leaves)


def test_batches__cut_one_after_another__have_sequences_without_gaps_for_each_api(desk):
    sequences = []
    for _ in range(3):
        desk.served(1)
        desk.served(1, api="maps")
        sequences.append(desk.cut().sequence)
        assert desk.cut() is None
    assert sequences == [1, 2, 3]
    assert desk.cut("maps").sequence == 1


def test_batch__with_more_accounts_than_lines__leaves_the_others_for_the_next(desk):
    for number in range(3):
        desk.grant(100, f"a{number}")
    for number in (0, 1, 2, 0):
        desk.served(1, account=f"a{number}")
    first, second = (desk.cut(max_lines=2) for _ in range(2))
    assert [(line.account, line.calls) for line in first.lines] == [("a0", 2), ("a1", 1)]
    assert [(line.account, line.calls) for line in second.lines] == [("a2", 1)]


def test_batch__with_more_requests_than_allowed__takes_the_oldest(desk):
    made = [desk.served(1) for _ in range(3)]
    assert desk.cut(max_records=2).records == 2
    assert [desk.call(GetRecord(record_id)).batch for record_id in made] == [1, 1, 0]


def test_batch__until_an_instant__leaves_later_requests(desk):
    desk.served(1, now_ms=desk.now_ms + 1)
    assert desk.cut(until_ms=desk.now_ms) is None
    assert desk.cut(until_ms=desk.now_ms + 1).records == 1


def test_batch__over_midnight__has_a_line_for_each_day(desk):
    midnight = desk.now_ms // DAY_MS * DAY_MS
    desk.served(1, now_ms=midnight - 1)
    desk.served(2, now_ms=midnight)
    lines = desk.cut().lines
    assert [(line.day, line.amount_wei) for line in lines] == [(midnight // DAY_MS - 1, 1), (midnight // DAY_MS, 2)]


def test_batch__settled_late_and_older_than_the_last_batch__comes_into_the_next(desk):
    old, _ = desk.reserve(5)
    desk.served(1)
    desk.cut()
    desk.settle(old, 5)
    assert desk.cut().lines[0].amount_wei == 5


def test_batches__listed__in_the_order_of_sequences_by_page(desk):
    made = []
    for _ in range(3):
        desk.served(1)
        made.append(desk.cut())
    assert desk.call(ListBatches("weather")) == tuple(made)
    assert desk.call(ListBatches("weather", after=1, limit=1)) == (made[1],)
    assert desk.call(ListBatches("weather", after=9)) == desk.call(ListBatches("maps")) == ()


# --- batches that are cut in steps


def steps_of(desk, **values):
    """What the steps of one batch answer, the last with the batch."""
    cutter = Cutter("weather", **values)
    answers = [desk.cut_step(cutter)]
    while answers[-1] is not None and answers[-1].batch is None:
        answers.append(desk.cut_step(cutter))
    return answers


@pytest.mark.parametrize("max_step", [1, 2, 3, 4, 5, 6])
def test_batch__cut_in_steps__is_the_one_that_is_cut_at_once(desk, max_step):
    made = [desk.served(number) for number in range(5)]
    *steps, ended = steps_of(desk, max_step=max_step)
    batch = ended.batch
    assert [step.place.records for step in steps] == list(range(max_step, 5, max_step))
    leaves = [usage_line(record).leaf() for record in desk.call(ListRecords())]
    assert (batch.records, batch.lines[0].calls, batch.lines[0].amount_wei) == (5, 5, 10)
    assert batch.root == merkle_root(leaves).hex()
    assert desk.call(ReadLeaves("weather", 1)) == b"".join(leaves)
    assert [desk.call(GetRecord(record_id)).batch for record_id in made] == [1] * 5
    assert desk.call(ReadCut("weather")) is None


def test_batch__being_cut__is_not_a_batch_yet_but_has_its_usage(desk):
    made = [desk.served(number) for number in (1, 2, 3)]
    assert desk.cut_step(Cutter("weather", max_step=2)) == Added(CutPlace(1, 2, made[1]))
    assert desk.call(ListBatches("weather")) == ()
    assert [desk.call(GetRecord(record_id)).batch for record_id in made] == [1, 1, 0]
    cut = desk.call(ReadCut("weather"))
    assert (cut.after, cut.batch.records, cut.batch.lines[0].amount_wei) == (made[1], 2, 3)
    assert desk.call(ReadCut("maps")) is None


def test_batch__being_cut__takes_usage_that_was_served_meanwhile_and_leaves_what_is_older(desk):
    old, _ = desk.reserve(5)
    desk.served(1)
    desk.served(1)
    desk.cut_step(Cutter("weather", max_step=1))
    desk.settle(old, 5)
    late = desk.served(7)
    batch = steps_of(desk, max_step=1)[-1].batch
    assert (batch.records, batch.lines[0].amount_wei) == (3, 9)
    assert desk.call(GetRecord(late)).batch == 1
    assert [step.batch.lines[0].amount_wei for step in steps_of(desk)] == [5]


def test_batch__cut_in_steps_with_more_accounts_than_lines__is_the_one_that_is_cut_at_once(desk):
    for number in range(4):
        desk.grant(100, f"a{number}")
    for number in (0, 2, 2, 3, 1, 0, 3, 2, 1, 0, 3):
        desk.served(1, account=f"a{number}")
    first = steps_of(desk, max_lines=2, max_step=1)[-1].batch
    second = steps_of(desk, max_lines=2, max_step=1)[-1].batch
    assert [(line.account, line.calls) for line in first.lines] == [("a0", 3), ("a2", 3)]
    assert [(line.account, line.calls) for line in second.lines] == [("a1", 2), ("a3", 3)]


def test_batch__cut_in_steps_up_to_so_many_requests__ends_with_them(desk):
    for _ in range(5):
        desk.served(1)
    assert [steps_of(desk, max_records=3, max_step=2)[-1].batch.records for _ in range(2)] == [3, 2]


def test_batch__cut_by_many_at_once__has_every_request_once(desk):
    for _ in range(30):
        desk.served(1)
    batches = []

    def cut():
        cutter = Cutter("weather", max_records=7, max_step=2)
        while answer := desk.cut_step(cutter):
            if answer.batch is not None:
                batches.append(answer.batch)

    threads = [threading.Thread(target=cut) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(batch.sequence for batch in batches) == [1, 2, 3, 4, 5]
    assert desk.call(ListBatches("weather")) == tuple(sorted(batches, key=lambda batch: batch.sequence))
    for batch in batches:
        leaves = [usage_line(record).leaf() for record in desk.call(ListRecords()) if record.batch == batch.sequence]
        assert (batch.records, batch.root) == (len(leaves), merkle_root(leaves).hex())
        assert desk.call(ReadLeaves("weather", batch.sequence)) == b"".join(leaves)
    assert sum(batch.records for batch in batches) == 30


def test_batch__that_had_no_room_for_all__tells_how_long_the_rest_waits(desk):
    for queue_ms in (60_000, 30_000, 0):
        desk.served(1)
        step = Cutter("weather").step(desk.now_ms)
        run(step, lambda op, left=queue_ms: desk.call(replace(op, queue_ms=left) if type(op) is AddToBatch else op))
        told = [desk.call(ReadBook(api)).queue_ms for api in ("weather", "maps")]
        told += [desk.call(ReadCredit(f"{api}/0x1")).queue_ms for api in ("weather", "maps")]
        assert told == [queue_ms, 0, queue_ms, 0]


def test_batch__added_to_where_it_is_not_any_more__stays_as_it_is(desk):
    made = [desk.served(1) for _ in range(3)]
    desk.cut_step(Cutter("weather", max_step=2))
    cut = desk.call(ReadCut("weather"))
    for was in (CutPlace(1), CutPlace(1, 2, made[0]), CutPlace(2, 2, made[1]), CutPlace(1, 1, made[1])):
        added = desk.call(AddToBatch("weather", was, CutPlace(1, 3, made[2]), (made[2],), b"\0" * 32, "[[],[]]"))
        assert added is None
    assert desk.call(ReadCut("weather")) == cut
    assert desk.call(GetRecord(made[2])).batch == 0


def test_batch__its_request_was_pruned_meanwhile__has_it_all_the_same(desk):
    made = [desk.served(1) for _ in range(2)]
    step = Cutter("weather").step(desk.now_ms)
    operation = next(step)
    while not isinstance(operation, AddToBatch):
        operation = step.send(desk.call(operation))
    desk.call(Prune(desk.now_ms + 365 * DAY_MS))
    assert desk.call(operation).batch.records == 2
    assert [desk.call(GetRecord(record_id)) for record_id in made] == [None, None]


def test_leaves__of_no_batch__are_empty(desk):
    assert desk.call(ReadLeaves("weather", 1)) == b""


# --- pruning


def test_prune__records__by_the_retention_of_their_tier(desk):
    free, pro, other = (desk.served(1, tier=tier) for tier in ("free", "pro", ""))
    retention = {"free": 10, "pro": 20}
    assert desk.call(Prune(desk.now_ms + 9, retention, 15)).records == 0
    assert desk.call(Prune(desk.now_ms + 10, retention, 15)).records == 1
    assert ids(desk.call(ListRecords())) == [pro, other]
    assert desk.call(Prune(desk.now_ms + 15, retention, 15)).records == 1
    assert desk.call(Prune(desk.now_ms + 20, retention, 15)).records == 1
    assert desk.call(GetRecord(free)) is None


def test_prune__records_of_every_end__leaves_those_being_served(desk):
    desk.release(desk.reserve(1)[0])
    desk.call(Note(noted(desk)))
    desk.served(1)
    open_, _ = desk.reserve(1)
    assert desk.call(Prune(desk.now_ms + 365 * DAY_MS)).records == 3
    assert ids(desk.call(ListRecords())) == [open_]


def test_prune__with_keep_unbatched__keeps_what_is_not_settled_yet(desk):
    desk.served(1)
    desk.cut()
    waiting = desk.served(1)
    desk.release(desk.reserve(1)[0])
    assert desk.call(Prune(desk.now_ms + 365 * DAY_MS, keep_unbatched=True)).records == 2
    assert ids(desk.call(ListRecords())) == [waiting]
    assert desk.cut().sequence == 2


def test_prune__without_keep_unbatched__leaves_nothing_for_a_batch(desk):
    desk.served(1)
    desk.call(Prune(desk.now_ms + 365 * DAY_MS))
    assert desk.cut() is None


def test_prune__more_than_the_limit__says_that_there_is_more(desk):
    for tier in ("free", "pro", "free"):
        desk.served(1, tier=tier)
    pruned = [desk.call(Prune(desk.now_ms + 365 * DAY_MS, limit=2)) for _ in range(2)]
    assert [(one.records, one.more) for one in pruned] == [(2, True), (1, False)]


def test_prune__exactly_the_limit__says_that_there_is_no_more(desk):
    desk.served(1)
    desk.reserve(1)
    assert not desk.call(Prune(desk.now_ms + 365 * DAY_MS, limit=1)).more


def test_prune__counts__of_windows_that_ended_two_days_ago(desk, calls):
    window = calls(9)
    desk.served(1, checks=(window,))
    before = desk.call(Prune(window.ends_ms + 2 * DAY_MS - 1, default_ms=2**50))
    after = desk.call(Prune(window.ends_ms + 2 * DAY_MS, default_ms=2**50))
    assert (before.counts, after.counts, desk.counts(window)) == (0, 1, (0,))


def test_prune__usage_and_balance__stay(desk):
    desk.served(10)
    desk.call(Prune(desk.now_ms + 365 * DAY_MS))
    assert desk.call(SumUsage())[0].charged_wei == 10
    assert desk.balance().charged_wei == 10


def test_release__after_its_window_was_pruned__does_not_count_below_zero(desk, calls, wei):
    windows = (calls(9), wei(99))
    reservation_id, _ = desk.reserve(10, *windows)
    desk.call(Prune(windows[0].ends_ms + 2 * DAY_MS))
    desk.release(reservation_id)
    assert desk.counts(*windows) == (0, 0)
