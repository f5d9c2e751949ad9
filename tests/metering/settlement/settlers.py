"""Settlers for tests, each in a process of its own: reads a JSON object a line, forks, and prints what became of them.

One interpreter that has everything imported forks in a millisecond, where each new one would take two seconds.

settle: a child runs a round of an API and, at the step of number ``at``, kills itself: ``before`` it, or ``after`` it
has taken effect and before its answer is used; or, at no step of its own, when its first transaction is ``sent`` and
not followed yet. Printed: the signal or exit code that ended it, the step it was at, and how the round ended.

race: children run rounds of an API, all beginning at one moment, until nothing is left. Printed: how each one ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import cache
from typing import Any

from eth_account import Account

from api_billing.client import BillingClient
from api_billing.metering.settlement.running import holder_name
from api_billing.metering.settlement.worker import Round, Settler
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import Blocking, Pause
from api_billing.networks import find_network
from api_billing.transactions import Follower


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def drive(store: Store, steps: Any, at: int, when: str, say: Any) -> Round:
    """Drive a round; the process dies at one of its steps."""
    answer, error, number = None, None, 0
    if when == "sent":
        Follower.wait = lambda *_: (say("chain"), die())
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value
        if isinstance(step, Pause):
            answer = error = None
            continue
        here, number = number == at, number + 1
        if here:
            say("chain" if isinstance(step, Blocking) else type(step).__name__)
        if here and when == "before":
            die()
        answer = error = None
        try:
            answer = step.call() if isinstance(step, Blocking) else store.call(step)
        except Exception as raised:
            error = raised
        if here:
            die()


@cache
def client_of(rpc: str, contract: str, key: str) -> BillingClient:
    """Made before the fork, and first used after it."""
    return BillingClient(find_network("localnet", rpc), contract=contract, account=Account.from_key(key))


def made(task: Any) -> Settler:
    client = client_of(task["rpc"], task["contract"], task["key"])
    options = {name: task[name] for name in ("lease_ms", "max_records", "max_step")}
    now_ms = client.connection.now() * 1000
    return Settler(client, holder=holder_name(now_ms), now_ms=lambda: client.connection.now() * 1000, **options)


def settle(task: Any) -> Any:
    client_of(task["rpc"], task["contract"], task["key"])
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            with open_store(task["store"]) as store:
                settler = made(task)

                def say(text: str) -> None:
                    os.write(write, text.encode() + b"\n")

                ended = drive(store, settler.round(task["api"]), task["at"], task["when"], say)
                say(f"{ended.status} {ended.message}")
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as lines:
        said = lines.read().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return [code, said]


def race(task: Any) -> Any:
    go_read, go_write = os.pipe()
    children = []
    for _ in range(task["processes"]):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(go_write)
                with open_store(task["store"]) as store:
                    settler = made(task)
                    os.write(write, b"ready\n")
                    os.read(go_read, 1)  # until the other end is closed: all are ready
                    ended = [drive(store, settler.round(task["api"]), -1, "", None) for _ in range(task["rounds"])]
                os.write(write, json.dumps([[each.status, each.settled] for each in ended]).encode() + b"\n")
                os._exit(0)
            finally:
                os._exit(1)
        os.close(write)
        children.append((pid, os.fdopen(read, encoding="utf-8")))
    os.close(go_read)
    for _, lines in children:
        lines.readline()
    os.close(go_write)
    answers = []
    for pid, lines in children:
        with lines:
            answers.append(json.loads(lines.readline() or "null"))
        os.waitpid(pid, 0)
    return answers


TASKS = {"settle": settle, "race": race}

if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(TASKS[asked["do"]](asked)), flush=True)
