"""Storage reads and writes of one billed call, at 1 to 5,000 consumers, next to those of the contract's first draft.

The draft's figures were measured on the official standard library, with one API. Reads and writes are counted where the
contract's code crosses into the host; run with GENLAYER_STD=official to count them on that library here too.

    python bench/contract_io.py
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from api_billing.testing import Billing, deploy_billing
from genlayer_localnet import Localnet

DRAFT_READS = {1: 80, 10: 161, 100: 287, 1_000: 412, 5_000: 486}
DRAFT_WRITES = 2
AIM_READS, AIM_WRITES = 100, 6
GEN = 10**18
OPERATOR = "0x" + "0e" * 20


def main() -> None:
    net = Localnet(now="2026-01-15T12:00:00Z")
    billing = deploy_billing(net)
    billing.write("register_api", "weather", 10**9, 10**6, sender=OPERATOR)
    table = Table(title=f"one billed call (consume_credit, one API), {net.std.name} library", title_justify="left")
    for column in ("consumers", "reads", "worst", "writes", "with request_id", "draft reads", "reads, ratio"):
        table.add_column(column, justify="right")
    count = 0
    for consumers, draft in DRAFT_READS.items():
        while count < consumers:
            count += 1
            _add_consumer(billing, count)
        row = _measure(billing, consumers)
        table.add_row(f"{consumers:,}", *row[:4], str(draft), f"{float(row[4]) / draft:.2f}")
    Console().print(table)
    print(f"draft writes: {DRAFT_WRITES} (it paid no operator)")
    print(f"aims at 5,000 consumers: at most {AIM_READS} reads, {AIM_WRITES} writes")


def _consumer(number: int) -> str:
    """Spread over the key space as real addresses are."""
    return "0x" + (number * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B % 2**160).to_bytes(20).hex()


def _add_consumer(billing: Billing, number: int) -> None:
    consumer = _consumer(number)
    billing.net.fund(consumer, GEN)
    billing.write("subscribe", "weather", GEN, GEN, sender=consumer, value=GEN)


def _measure(billing: Billing, consumers: int) -> tuple[str, ...]:
    """Mean and worst over up to 50 consumers; each call is the second of its day, so that the day's entry exists."""
    reads, writes, tagged = [], [], []
    for number in range(1, consumers + 1, max(consumers // 50, 1)):
        consumer = _consumer(number)
        billing.write("consume_credit", "weather", consumer, sender=consumer)
        plain = billing.write("consume_credit", "weather", consumer, sender=consumer)
        with_id = billing.write("consume_credit", "weather", consumer, 1, f"id-{consumers}", sender=consumer)
        assert plain.kind == with_id.kind == "return"
        reads.append(plain.storage_reads)
        writes.append(plain.storage_writes)
        tagged.append(f"{with_id.storage_reads} / {with_id.storage_writes}")
    mean = sum(reads) / len(reads)
    return f"{mean:.0f}", str(max(reads)), str(max(writes)), max(tagged, key=lambda t: int(t.split()[0])), str(mean)


if __name__ == "__main__":
    main()
