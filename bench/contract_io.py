"""Storage reads and writes of one billed call, at 1 to 5,000 consumers, and what vouchers cost in a settlement.

Beside the reads stand those of the contract's first draft, and what this edition aims at; both were measured, with one
API, on the official standard library. Reads and writes are counted where the contract's code crosses into the host; run
with GENLAYER_STD=official to count them on that library here too.

    python bench/contract_io.py
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from api_billing.testing import Billing, deploy_billing
from api_billing.vouchers import Channel, sign_voucher
from genlayer_localnet import Localnet, Receipt

DRAFT_READS = {1: 80, 10: 161, 100: 287, 1_000: 412, 5_000: 486}
AIM_READS = {1: 45, 100: 60, 1_000: 70, 5_000: 78}
WRITES = "aim at writes: 6, on a day's first call 9, with a request id 10; the draft made 2 (it paid no operator)"
GEN = 10**18
START = "2026-01-15T12:00:00Z"
NOON = 1_768_478_400  # the same
OPERATOR = "0x" + "0e" * 20
KEY, OTHER_KEY = b"\1" * 32, b"\2" * 32
SIGNERS = {
    KEY: "0x1a642f0e3c3af545e7acbd38b07251b3990914f1",
    OTHER_KEY: "0x5050a4f4b3f9338c3472dcc01a87c76a144b3c9c",
}
VOUCHERS = 64  # the most in a settlement
RUNS = 5


def main() -> None:
    count_storage()
    time_vouchers()


# ---- reads and writes ----


def count_storage() -> None:
    billing = _market()
    table = Table(title=f"one billed call (consume_credit, one API), {billing.net.std.name} library")
    table.title_justify = "left"
    columns = (
        "consumers",
        "reads",
        "worst",
        "day's first",
        "with request_id",
        "writes",
        "aim at reads",
        "draft",
        "ratio",
    )
    for column in columns:
        table.add_column(column, justify="right")
    count = 0
    for consumers, draft in DRAFT_READS.items():
        while count < consumers:
            count += 1
            _subscribe(billing, _consumer(count))
        plain, first, tagged = _measure(billing, consumers)
        reads = mean(receipt.storage_reads for receipt in plain)
        table.add_row(
            f"{consumers:,}",
            *(f"{reads:.0f}", _most(plain, "reads"), _most(first, "reads"), _most(tagged, "reads")),
            " / ".join(_most(receipts, "writes") for receipts in (plain, first, tagged)),
            str(AIM_READS.get(consumers, "")),
            *(str(draft), f"{reads / draft:.2f}"),
        )
    Console(width=118).print(table)
    print(WRITES)


def _measure(billing: Billing, consumers: int) -> tuple[list[Receipt], list[Receipt], list[Receipt]]:
    """Of up to 50 consumers: plain calls, first calls of a day, calls with a request id that is not the first."""
    plain, first, tagged = [], [], []
    billing.net.advance(86_400)
    for number in range(1, consumers + 1, max(consumers // 50, 1)):
        consumer = _consumer(number)
        first.append(_bill(billing, consumer))
        plain.append(_bill(billing, consumer))
        _bill(billing, consumer, "the first with an id")
        tagged.append(_bill(billing, consumer, f"id-{consumers}"))
    return plain, first, tagged


def _bill(billing: Billing, consumer: str, request_id: str = "") -> Receipt:
    billed = billing.write("consume_credit", "weather", consumer, 1, request_id, sender=consumer)
    assert billed.kind == "return", billed.message
    return billed


def _most(receipts: list[Receipt], what: str) -> str:
    return str(max(getattr(receipt, f"storage_{what}") for receipt in receipts))


# ---- vouchers ----


def time_vouchers() -> None:
    """CPU time of settlements with vouchers, as a multiple of the same settlement without."""
    billing = _market()
    consumers = [_consumer(number) for number in range(1, 257)]
    for consumer in consumers:
        _subscribe(billing, consumer)
    plain = billing.net.snapshot()
    for consumer in consumers[:VOUCHERS]:
        terms = ("weather", GEN // 2, NOON + 86_400, SIGNERS[KEY])
        assert billing.write("place_hold", *terms, sender=consumer).kind == "return"
    in_session = billing.net.snapshot()
    good = [_entry(billing, consumer, KEY) for consumer in consumers[:VOUCHERS]]
    bad = [_entry(billing, consumer, OTHER_KEY) for consumer in consumers[:VOUCHERS]]
    cases = (
        ("64 good, a consumer each", in_session, good, "", VOUCHERS),
        ("64 of another key", in_session, bad, "bad_signature", VOUCHERS),
        ("64 equal", in_session, [good[0]] * VOUCHERS, "voucher_exceeded", VOUCHERS),
        ("256 equal", in_session, [good[0]] * 256, "too_many_vouchers", 256),
    )
    table = Table(title="a settlement with vouchers (settle_usage), beside the same without", title_justify="left")
    for column in ("entries", "code of the last", "ms", "without, ms", "ratio", "more, ms a voucher"):
        table.add_column(column, justify="right")
    for title, scene, entries, code, count in cases:
        bare = [{key: value for key, value in entry.items() if key != "voucher"} for entry in entries]
        without = _time(billing, plain, bare, "")
        with_vouchers = _time(billing, scene, entries, code)
        more = (with_vouchers - without) / count
        figures = (f"{with_vouchers:.1f}", f"{without:.1f}", f"{with_vouchers / without:.2f}", f"{more:.2f}")
        table.add_row(title, code or "-", *figures)
    Console(width=118).print(table)


def _entry(billing: Billing, consumer: str, key: bytes) -> dict[str, Any]:
    """One call for which a voucher of `key` says as much as it costs; the contract expects KEY."""
    api = billing.view("get_api", "weather")
    channel = Channel(consumer, SIGNERS[KEY], OPERATOR, billing.address, api["asset"], api["chain_id"])
    signed = sign_voucher(key, replace(channel, signer=SIGNERS[key]), 10**9).as_dict()
    return {"consumer": consumer, "day_id": NOON // 86_400, "calls": 1, "spend_wei": 10**9, "voucher": signed}


def _time(billing: Billing, scene: Any, entries: list[dict[str, Any]], code: str) -> float:
    """The shortest of some runs, in milliseconds of CPU; the last entry, or the call, must end with `code`."""

    def run() -> float:
        billing.net.restore(scene)
        begun = time.process_time()
        settled = billing.write("settle_usage", "weather", 1, entries, sender=OPERATOR)
        taken = time.process_time() - begun
        last = settled.value["entries"][-1]["code"] if settled.kind == "return" else settled.error_code
        assert last == code, settled.message
        return 1_000 * taken

    return min(run() for _ in range(RUNS))


# ---- the scene ----


def _market() -> Billing:
    net = Localnet(now=START)
    billing = deploy_billing(net)
    billing.write("register_api", "weather", 10**9, 10**6, sender=OPERATOR)
    return billing


def _consumer(number: int) -> str:
    """Spread over the key space as real addresses are."""
    return "0x" + (number * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B % 2**160).to_bytes(20).hex()


def _subscribe(billing: Billing, consumer: str) -> None:
    billing.net.fund(consumer, GEN)
    billing.write("subscribe", "weather", GEN, GEN, sender=consumer, value=GEN)


if __name__ == "__main__":
    main()
