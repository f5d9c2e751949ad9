"""Makes processes for tests: reads a JSON object a line, forks, and prints what became of the children, a line each.

One interpreter that has everything imported forks in a millisecond, where each new one would take half a second.

race: ``processes`` children open the store at ``url``, say so, and begin at one moment: ``each`` reservations with
``fields``, settled at once when ``settle``; with ``coroutines`` all of a child's wait at once in one event loop; with
``sums`` each child comes with vouchers for all of these, in an order of its own; with ``more`` each reservation is
raised to that; with ``apart_ms`` each is so much later than the one before it. Printed: what all were answered.

die: a child serves one request (``session``: by a voucher that it puts before, and with an estimate that it raises
while it serves; then it cuts a batch) and kills itself at a ``point``: before a step is sent to the store, after the
store has performed it (committed) but before its answer reaches the caller, or while a settlement is on its way; at the
point ``answered`` in an event loop, as soon as a second reservation is answered. Printed: the signal that ended it.

fork: a process that has a store open forks, and both go on using it. Printed: the child's exit code and the balances.
"""

import asyncio
import json
import os
import random
import signal
import sys
from threading import Timer

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    Claim,
    Grant,
    Release,
    Reserve,
    Reserved,
    ReserveMore,
    Settle,
    StoredResponse,
)
from api_billing.metering.ledger.session_operations import PutVoucher
from api_billing.metering.ledger.vouchers import BySession
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores import open_store
from api_billing.metering.stores.steps import run as drive

RESPONSE = StoredResponse(200, (), b"served")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def race(task):
    """Fork all, let them go when the last one is ready, and collect what they write."""
    go_read, go_write = os.pipe()
    children = []
    for _ in range(task["processes"]):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            status = 1
            try:
                run(task, go_read, write)
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        children.append((pid, os.fdopen(read, encoding="utf-8")))
    os.close(go_read)
    for _, lines in children:
        lines.readline()
    os.close(go_write)
    answers = []
    for pid, lines in children:
        with lines:
            answers += json.loads(lines.readline())
        os.waitpid(pid, 0)
    return answers


def run(task, go, write):
    values = dict(task["fields"])
    values["checks"] = tuple(WindowCheck(*check) for check in values.get("checks", ()))
    values["claim"] = Claim(*values["claim"]) if "claim" in values else None
    values["session"] = by = BySession(*values["session"]) if "session" in values else None
    sums = random.Random(os.getpid()).sample(task["sums"], len(task["sums"])) if "sums" in task else None
    answers = []
    with open_store(task["url"]) as store, open(write, "w", encoding="utf-8") as out:
        print("ready", file=out, flush=True)
        os.read(go, 1)  # until the other end is closed: all are ready
        if task.get("coroutines"):
            answers = asyncio.run(run_coroutines(store, task, values))
            print(json.dumps(answers), file=out, flush=True)
            return
        for number in range(task["each"] if sums is None else len(sums)):
            if sums is not None:
                values["session"] = by._replace(cumulative_wei=sums[number], signature=f"0x{sums[number]:0130x}")
            made = Reserve(new_id(values["now_ms"]), **values)
            values["now_ms"] += task.get("apart_ms", 0)
            reply = store.call(made)
            answers.append(getattr(reply, "code", type(reply).__name__))
            if "more" in task and isinstance(reply, Reserved):
                raised = store.call(ReserveMore.of(made, task["more"]))
                answers.append(f"more: {getattr(raised, 'code', type(raised).__name__)}")
            if task["settle"] and isinstance(reply, Reserved):
                settle = Settle(made.reservation_id, made.account, made.now_ms, made.estimate_wei, response=RESPONSE)
                store.call(settle)
        print(json.dumps(answers), file=out, flush=True)


async def run_coroutines(store, task, values):
    async def serve():
        made = Reserve(new_id(values["now_ms"]), **values, fresh=True)
        reply = await store.acall(made)
        if task["settle"] and isinstance(reply, Reserved):
            await asyncio.sleep(0)
            settle = Settle(made.reservation_id, made.account, made.now_ms, made.estimate_wei, response=RESPONSE)
            await store.acall(settle)
        return getattr(reply, "code", type(reply).__name__)

    answers = []
    for _ in range(task["each"]):
        answers += await asyncio.gather(*(serve() for _ in range(4)))
    return answers


def killed(task):
    pid = os.fork()
    if pid == 0:
        try:
            serve(task)
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def serve(task):
    """One request, up to the point where its process is killed."""
    point, now_ms, account = task["point"], task["now_ms"], task["account"]
    store = open_store(task["url"])
    if point == "answered":
        asyncio.run(die_when_answered(store, task))
    perform = store._perform

    def dying(operations):
        name = type(operations[0]).__name__.lower()
        if point == f"before {name}":
            die()
        if point == f"during {name}":
            Timer(task["after_seconds"], die).start()
        replies = perform(operations)
        if point in (f"after {name}", f"during {name}"):
            die()
        return replies

    store._perform = dying
    day_ms = now_ms // DAY_MS * DAY_MS
    window = WindowCheck("acme/day", day_ms, day_ms + DAY_MS, "calls", 5)
    by = BySession(*task["session"]) if "session" in task else None
    if by is not None:
        store.call(PutVoucher(account, by))
    made = Reserve(task["id"], now_ms, now_ms + 1000, account, "weather", "acme", 30 if by else 60, checks=(window,),
                   claim=Claim("key", "GET /"), claim_expires_ms=now_ms + DAY_MS, session=by)  # fmt: skip
    store.call(made)
    if point == "while serving":
        die()
    if by is not None:
        store.call(ReserveMore.of(made, 60))
    store.call(Settle(made.reservation_id, account, now_ms, 40, response=RESPONSE))
    if by is not None:
        drive(Cutter(made.api).step(now_ms), store.call)
    die()


async def die_when_answered(store, task):
    for number in range(2):
        values = task["now_ms"], task["now_ms"] + 1000, task["account"], "weather", "acme", 60
        reply = await store.acall(Reserve(f"{task['id'][:-1]}{number}", *values, fresh=True))
        assert isinstance(reply, Reserved)
        if number == 0:
            await store.acall(Release(f"{task['id'][:-1]}0", task["account"], task["now_ms"]))
    die()


def fork(task):
    """Grant one wei before a fork, then one in the child and one in the parent, with the store that both have."""
    store = open_store(task["url"])
    replies = [grant(store, task, "before")]
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if grant(store, task, "in the child") == 2 else 2)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    replies.append(grant(store, task, "in the parent"))
    store.close()
    return [status, *replies]


def grant(store, task, grant_id):
    return store.call(Grant(grant_id, task["account"], 1, task["now_ms"])).balance.granted_wei


TASKS = {"race": race, "die": killed, "fork": fork}

for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(TASKS[asked["do"]](asked)), flush=True)
