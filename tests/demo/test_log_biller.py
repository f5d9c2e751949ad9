"""Billing call by call, and in settlements where consumers have ample credit: one result."""

import random
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from api_billing.contract_source import contract_path
from demo import usage_meter
from demo.access_log import read_log
from demo.billing_contract import EPOCH, BillingContract, must_deploy
from demo.log_biller import ALERT_PERCENT
from demo.run import RunResult, run
from demo.terms import account_of
from genlayer_localnet import Localnet, UnknownTransaction
from genlayer_localnet.loading.standard_library import choose

from .log_texts import NOON, line, write_log

REAL = Path(__file__).parents[3] / "shared" / "data" / "access-2015-05-17.log.gz"


def log_of(seed: int, clients: int, path: Path, lines: int = 350) -> Path:
    """A log over two midnights, in which few clients call few APIs often."""
    chosen = random.Random(seed)
    texts = []
    for number in range(lines):
        minute = 22 * 60 + number * 27 * 60 // lines
        day, minute = 30 + minute // 1440, minute % 1440
        time = f"{day:02}/Jan/2026:{minute // 60:02}:{minute % 60:02}:{number % 60:02} +0000"
        client = f"192.0.2.{int(chosen.paretovariate(0.7)) % clients}"
        target = f"/{chosen.choice('aaabbcd')}/{number}"
        size = str(chosen.randrange(6_000))
        texts.append(line(client=client, time=time, request=f"GET {target} HTTP/1.1", size=size))
    return write_log(path, *texts)


def both(path: Path) -> list[RunResult]:
    log = read_log(path)
    return [run(log, choose(None), lambda *_: lambda: None, settles_ample=settles) for settles in (False, True)]


def told(result: RunResult) -> dict[str, object]:
    """All that a report tells, but for how many calls were in batches."""
    summary = result.summary
    return summary.to_json() | {
        "per pair": {name: (usage.billed_calls, usage.spend_wei) for name, usage in summary.per_consumer.items()},
        "consumers": summary.consumers,
        "APIs": summary.apis,
        "notices": summary.low_credit,
        "earned": {each.name: (each.earned_wei, each.withdrawn_wei) for each in summary.operators},
        "contradictions": result.contradictions,
    }


@pytest.mark.parametrize(("seed", "clients"), [(1, 2), (2, 3), (3, 5), (4, 12), (5, 60)])
def test_biller__in_settlements__has_the_result_of_billing_call_by_call(
    tmp_path: Path, seed: int, clients: int
) -> None:
    one_by_one, settled = both(log_of(seed, clients, tmp_path / "access.log"))
    assert told(settled) == told(one_by_one)
    assert told(settled)["contradictions"] == []


def test_biller__in_settlements__bills_the_fewer_calls_one_by_one(tmp_path: Path) -> None:
    one_by_one, settled = both(log_of(4, 12, tmp_path / "access.log"))
    assert [
        sum(operator.settled_calls for operator in each.summary.operators) * 2 > each.summary.total.billed_calls
        for each in (one_by_one, settled)
    ] == [False, True]


def test_biller__meters_that_are_full_early__change_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log_of(6, 4, tmp_path / "access.log")
    expected, _ = both(path)
    monkeypatch.setattr(usage_meter, "MAX_LINES", 5)
    log = read_log(path)
    found = run(log, choose(None), lambda *_: lambda: None, settles_ample=True)
    assert {**found.summary.to_json()["refused"]}.keys() == {**expected.summary.to_json()["refused"]}.keys()
    assert found.contradictions == []


@pytest.mark.skipif(not REAL.exists(), reason=f"the real log is not there: {REAL}")
def test_biller__real_log_in_settlements__has_the_result_of_billing_call_by_call() -> None:
    one_by_one, settled = both(REAL)
    assert told(settled) == told(one_by_one)


def test_alert_percent__is_what_the_contract_starts_with() -> None:
    net = Localnet(now=EPOCH + timedelta(seconds=NOON))
    contract = BillingContract(net, must_deploy(net, contract_path(), sender=account_of("deployer", "")))
    assert contract.view("get_account", account_of("consumer", "x"))["alert_percent"] == ALERT_PERCENT


def test_contract__that_saves_memory__keeps_its_state_and_forgets_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.billing_contract._MOST_BYTES", 1)
    net, owner = Localnet(), account_of("operator", "1")
    contract = BillingContract(net, must_deploy(net, contract_path(), sender=owner))
    registered = contract.must("register_api", "a", 1, 5, sender=owner)
    contract.save_memory()
    assert contract.view("get_api", "a")["api_name"] == "a"
    assert registered.children == ()


def test_contract__after_a_settlement_of_many_consumers__counts_the_memory_that_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, owner = Localnet(now=EPOCH + timedelta(seconds=NOON)), account_of("operator", "1")
    contract = BillingContract(net, must_deploy(net, contract_path(), sender=owner))
    contract.must("register_api", "a", 1, 5, sender=owner)
    calls = {"day_id": NOON // 86_400, "calls": 1, "spend_wei": 1}
    entries = [{"consumer": account_of("consumer", str(number)), **calls} for number in range(256)]
    tracemalloc.start()
    kept = contract.must("settle_usage", "a", 1, entries, sender=owner)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    monkeypatch.setattr("demo.billing_contract._MOST_BYTES", taken // 2)
    contract.save_memory()
    with pytest.raises(UnknownTransaction):
        net.transaction(kept.id)
