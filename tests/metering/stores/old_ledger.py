"""A ledger with something of every kind in it: made by the program of an older schema, read by today's.

``schema_4/`` has it as the program of schema 4 (commit dc9c818) left it in each store, and ``reads.json`` what that
program answered. They were made there by ``python -m tests.metering.stores.old_ledger``, in a worktree of that commit
with this file in it. Whoever raises the schema does the same with the last commit before.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import ListBatches, ReadCut, ReadLeaves
from api_billing.metering.ledger.consumer_operations import (
    ApiKey,
    FindKey,
    KeepPepperCheck,
    ListKeys,
    ListProfiles,
    ListTiers,
    PutKey,
    PutProfile,
    PutTier,
    RevokeKey,
)
from api_billing.metering.ledger.operations import (
    Claim,
    FireOnce,
    Grant,
    ListRecords,
    Note,
    NotReserved,
    Operation,
    Outcome,
    ReadBalance,
    ReadCounts,
    Record,
    Refused,
    Release,
    Reserve,
    Settle,
    StoredResponse,
    SumUsage,
    Sweep,
)
from api_billing.metering.ledger.session_operations import NotPut, PutVoucher, ReadSession
from api_billing.metering.ledger.settlement_operations import (
    NEVER_READ,
    BeginPosting,
    ListOutgoing,
    ListToSettle,
    OpenBook,
    ReadBook,
    ReadCredit,
    SetGranted,
    TakeLease,
)
from api_billing.metering.ledger.vouchers import BySession
from api_billing.metering.limits.quotas import Budget, Quota
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import run

NOW_MS: Final = 1_773_576_000_000  # 2026-03-15 12:00 UTC
DAY_START_MS: Final = NOW_MS // DAY_MS * DAY_MS
ACME, PAYER, BOUNDLESS = "acme/weather", "payer/weather", "b" * 900
ODD: Final = "näme\x00\x1b"
SIGNER, CHANNEL = "0x" + "5e" * 20, f"0x{1:064x}"
CALLS: Final = WindowCheck("acme/day", DAY_START_MS, DAY_START_MS + DAY_MS, "calls", 5, "day")
SPENT: Final = WindowCheck("acme/spend", DAY_START_MS, DAY_START_MS + DAY_MS, "wei", 10**30, "spend", "budget_exceeded")
CLAIM, HELD = Claim("key", "GET /"), Claim("held", "GET /")
RESPONSE: Final = StoredResponse(200, (("content-type", "text/plain"),), b"served\x00\xff")


def record_id(number: int) -> str:
    """Ids in the order of their numbers."""
    return f"{'0' * 10}{number:016d}"


OPEN, OPEN_OF_SESSION = record_id(6), record_id(9)


def reserve(number: int, estimate_wei: int, *checks: WindowCheck, **changes: Any) -> Reserve:
    """A reservation; its id is that of the number."""
    values = {
        "reservation_id": record_id(number), "now_ms": NOW_MS, "expires_ms": NOW_MS + 60_000, "account": ACME,
        "api": "weather", "consumer": "acme", "estimate_wei": estimate_wei, "checks": checks, "tier": "gold",
        "claim_expires_ms": NOW_MS + DAY_MS, "method": "GET", "route": "/weather/{city}",
        "request_id": f"request {number}", **changes,
    }  # fmt: skip
    return Reserve(**values)


def by_session(cumulative_wei: int = 0) -> BySession:
    """A voucher for so much."""
    return BySession(SIGNER, CHANNEL, CHANNEL, cumulative_wei, f"0x{cumulative_wei:0130x}")


def fill(store: Store) -> None:
    """Put something of every kind into an empty store."""

    def call(operation: Operation[Any]) -> Any:
        reply = store.call(operation)
        assert not isinstance(reply, Refused | NotReserved | NotPut), reply
        return reply

    call(PutTier(Tier("gold", 500, 400, (Quota("week", "week", 10**20, "wei"),))))
    call(
        PutProfile(
            "acme",
            "gold",
            quotas=(Quota("day", "day", 5, anchor=date(2026, 1, 31)),),
            budgets=(Budget("m", "month", 10**18),),
        )
    )
    call(PutProfile("payer", "pro", disabled=True))
    call(PutProfile(BOUNDLESS, "enterprise"))
    call(KeepPepperCheck("of a pepper"))
    call(PutKey(ApiKey("aaaaaaaa", "d1" * 32, "acme", "pro", "the first", NOW_MS)))
    call(PutKey(ApiKey("bbbbbbbb", "d2" * 32, "acme", "", ODD, NOW_MS + 1)))
    call(PutKey(ApiKey("cccccccc", "d3" * 32, "payer", "", "", NOW_MS + 2)))
    call(RevokeKey("bbbbbbbb", NOW_MS + 5))
    call(FireOnce("low credit", NOW_MS, NOW_MS + DAY_MS))
    call(Grant("first", ACME, 10**23, NOW_MS, "a note"))
    call(Grant("second", ACME, -(10**20), NOW_MS))
    call(Grant("third", BOUNDLESS, 2**200, NOW_MS))
    for number, cost_wei in enumerate((10**17, 3, 0, 2**70), start=1):
        outcome = Outcome(200, 12, 345, tags='{"model":"m"}', request_body=b"asked\x00\xff", response_body=b"")
        call(reserve(number, 2**70, CALLS, SPENT, claim=CLAIM if number == 1 else None))
        response = RESPONSE if number == 1 else None
        call(Settle(record_id(number), ACME, NOW_MS + 20, cost_wei, outcome, units=number, response=response))
    call(reserve(5, 100, CALLS, SPENT))
    call(Release(record_id(5), ACME, NOW_MS + 30, Outcome(500, error="ValueError")))
    call(reserve(6, 100, CALLS, SPENT, claim=HELD))
    call(reserve(7, 100, expires_ms=NOW_MS + 1, consumer=ODD, route=ODD))
    call(Sweep(NOW_MS + 2))
    refused = (record_id(8), NOW_MS, "refused", "weather", "acme", ACME, "gold", "GET", "/", "request 8", 1, 7)
    call(Note(Record(*refused, code="quota_exceeded", outcome=Outcome(429))))
    call(TakeLease("settler", "somebody", NOW_MS, NOW_MS + 60_000))
    credit = call(ReadCredit(PAYER))
    terms = NEVER_READ._replace(read_ms=1, hold_wei=1000, signer=SIGNER)
    call(SetGranted(PAYER, credit.revision, credit.accounted_wei, 1000, 1000, terms, ()))
    call(PutVoucher(PAYER, by_session(500)))
    call(reserve(10, 100, account=PAYER, consumer="payer", session=by_session(200)))
    call(Settle(record_id(10), PAYER, NOW_MS + 20, 80))
    call(OpenBook("weather", "0x" + "c0" * 20, 7))
    cutter = Cutter("weather")
    while (added := run(cutter.step(NOW_MS + 100), call)) is not None and added.batch is None:
        pass
    call(BeginPosting("weather", 1, NOW_MS + 200))
    call(reserve(9, 60, account=PAYER, consumer="payer", session=by_session(300)))
    call(reserve(11, 7, account=ACME, api="news"))
    call(Settle(record_id(11), ACME, NOW_MS + 40, 7))


READS: Final[dict[str, Operation[Any]]] = {
    "profiles": ListProfiles(),
    "tiers": ListTiers(),
    "keys": ListKeys(),
    "key": FindKey("bbbbbbbb"),
    "balance": ReadBalance(ACME),
    "balance of a payer": ReadBalance(PAYER),
    "balance without bounds": ReadBalance(BOUNDLESS),
    "counts": ReadCounts((CALLS, SPENT)),
    "records": ListRecords(),
    "records of an odd name": ListRecords(ODD),
    "usage": SumUsage(),
    "batches": ListBatches("weather"),
    "leaves": ReadLeaves("weather", 1),
    "cut": ReadCut("weather"),
    "session": ReadSession(PAYER),
    "credit": ReadCredit(PAYER),
    "to settle": ListToSettle("news"),
    "book": ReadBook("weather"),
    "outgoing": ListOutgoing("weather"),
}


def reads(store: Store) -> dict[str, Any]:
    """What a store answers, as JSON has it."""
    return {name: _plain(store.call(operation)) for name, operation in READS.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, date) else value


def restore_sqlite(text: str, path: Path) -> None:
    """Make such a file, empty before."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


def restore_postgresql(text: str, url: str) -> None:
    """Make such tables, in the first schema of the search path."""
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute(text)


def restore_redis(text: str, client: Any) -> None:
    """Make such keys."""
    for line in text.splitlines():
        command, *words = json.loads(line)
        client.execute_command(command, *[word.encode("latin-1") for word in words])


def dump_sqlite(path: Path) -> str:
    """An SQLite file as the statements that make it."""
    with closing(sqlite3.connect(path)) as connection:
        ((version,),) = connection.execute("pragma user_version")
        made = connection.execute("select sql, type, name from sqlite_schema where sql is not null").fetchall()
        lines = [f"{sql};" for sql, *_ in made]
        for name in [name for _, type_, name in made if type_ == "table"]:
            lines += [
                f"insert into {name} values ({','.join(map(_literal, row))});"
                for row in connection.execute(f"select * from {name}")
            ]
    return "\n".join([*lines, f"pragma user_version = {version};"]) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''").replace("\x00", "'||char(0)||'") + "'"
    return "null" if value is None else str(value)


_NOT_DATA: Final = ("--", "SET ", "\\", "SELECT ")


def dump_postgresql(url: str) -> str:
    """A database's tables as the statements that make them."""
    options = ["--inserts", "--no-owner", "--no-privileges", "--no-comments"]
    ran = subprocess.run(["pg_dump", *options, url], check=True, capture_output=True, text=True)
    lines = [
        line
        for line in ran.stdout.replace("public.", "").splitlines()
        if line and not line.startswith(("--", "SET ", "\\", "SELECT "))
    ]
    return "\n".join(lines) + "\n"


def dump_redis(url: str) -> str:
    """A Redis' keys as the commands that make them, a JSON array a line; bytes are letters of the same number."""
    import redis

    client = redis.Redis.from_url(url)
    commands: list[list[Any]] = []
    for key in sorted(client.scan_iter()):
        kind = client.type(key)
        if kind == b"string":
            commands.append([b"SET", key, client.get(key)])
        elif kind == b"hash":
            commands.append([b"HSET", key, *[each for pair in sorted(client.hgetall(key).items()) for each in pair]])
        else:
            assert kind == b"zset", kind
            scores = client.zrange(key, 0, -1, withscores=True)
            commands.append([b"ZADD", key, *[each for name, score in scores for each in (b"%d" % score, name)]])
    return "".join([json.dumps([word.decode("latin-1") for word in words]) + "\n" for words in commands])


def main(folder: Path) -> None:
    """Make the files."""
    from tools.private_servers import private_postgresql, private_redis

    with tempfile.TemporaryDirectory() as made, private_postgresql() as postgresql, private_redis() as redis:
        urls = {"sqlite": f"sqlite:///{made}/meter.db", "postgresql": postgresql, "redis": redis}
        answers = []
        for url in urls.values():
            with open_store(url) as store:
                fill(store)
                answers.append(reads(store))
        assert answers[0] == answers[1] == answers[2]
        (folder / "reads.json").write_text(json.dumps(answers[0], indent=1, sort_keys=True) + "\n")
        (folder / "sqlite.sql").write_text(dump_sqlite(Path(made) / "meter.db"))
        (folder / "postgresql.sql").write_text(dump_postgresql(postgresql))
        (folder / "redis.jsonl").write_text(dump_redis(redis))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
