"""Bills the requests of a log, one after the other, at their own time."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from demo.billing_contract import BillingContract, UnexpectedOutcomeError
from demo.log_line import Request
from demo.summary import LowCreditNotice, Tally
from demo.terms import ApiTerms, ConsumerTerms, Terms
from demo.usage_meter import Batch, UsageMeter
from genlayer_localnet import Receipt

REFUSALS_OF_A_CALL: Final = frozenset({"daily_limit_exceeded", "daily_spend_exceeded", "insufficient_credit"})
"""With the terms of a run nothing else can stop a call; another code is a mistake, and ends the run."""
ALERT_PERCENT: Final = 20
"""What the contract starts with: below so much of all that was paid in, it tells the consumer."""

Step = Callable[[], None]
"""Called after every step of a longer piece of work."""


class LogBiller:
    """Bills requests call by call or in batches, and keeps count of what became of them.

    In batches go those to metered APIs, and with ``settles_ample`` also those of consumers whose credit cannot get low
    by them: what becomes of these does not depend on when in their day they are billed, or on calls to other APIs.
    Consumers that have the means top up when the contract tells them that their credit is low. Not thread-safe.
    """

    def __init__(self, contract: BillingContract, terms: Terms, *, settles_ample: bool = False) -> None:
        self.tally = Tally()
        self.low_credit: list[LowCreditNotice] = []
        self.deposited_wei = {client: consumer.deposit_wei for client, consumer in terms.consumers.items()}
        self.settlements: Counter[str] = Counter()
        self.settled_calls: Counter[str] = Counter()
        self._contract = contract
        self._terms = terms
        self._settles_ample = settles_ample
        self._meters = {api.name: UsageMeter(api) for api in terms.apis.values()}
        self._next_due_at: float = math.inf
        self._asked_wei: Counter[str] = Counter()
        self._by_account = {consumer.account: consumer for consumer in terms.consumers.values()}
        self._top_ups_wei = {client: consumer.top_up_wei for client, consumer in terms.consumers.items()}

    def bill(self, entries: Iterable[Request], step: Step, ends_at: int | None = None) -> None:
        """Bill requests that are in the order of time, up to the last settlement; what is not due ``ends_at``, is then.

        Raises: UnexpectedOutcomeError.
        """
        for entry in entries:
            if entry.at >= self._next_due_at:
                self.settle_until(entry.at)
            api = self._terms.apis[entry.api]
            is_ample = self._settles_ample and self._is_ample(entry.client, api.cost_wei(entry.size_bytes))
            if self._settles_ample and not is_ample:
                self._settle_what_was_ample(entry)
            if api.is_metered or is_ample:
                self._meter(self._meters[entry.api], entry)
            else:
                self._contract.move_clock(entry.at)
                self._bill_call(api, entry)
                self._contract.save_memory()
            step()
        self.settle_until(math.inf if ends_at is None else ends_at)
        if ends_at is not None:
            self._contract.move_clock(ends_at)
            for meter in self._meters.values():
                self._settle(meter)

    def settle_until(self, until: float) -> None:
        """Settle every meter whose time has come until then, each at that time."""
        while True:
            due = [(meter.due_at, name) for name, meter in self._meters.items() if meter.due_at is not None]
            at, name = min(due, default=(math.inf, ""))
            self._next_due_at = at
            if not due or at > until:
                return
            self._contract.move_clock(int(at))
            self._settle(self._meters[name])

    def _is_ample(self, client: str, cost_wei: int) -> bool:
        """Whether a consumer's credit stays above the level of its alert, even if all that it asked for is billed."""
        self._asked_wei[client] += cost_wei
        paid_in_wei = self.deposited_wei[client]
        return (paid_in_wei - self._asked_wei[client]) * 100 > paid_in_wei * ALERT_PERCENT

    def _settle_what_was_ample(self, entry: Request) -> None:
        """Bring a consumer's credit up to date, now that it matters which of its calls are billed first."""
        for meter in self._meters.values():
            if not meter.api.is_metered and meter.has(entry.client, entry.day_id):
                self._contract.move_clock(entry.at)
                self._settle(meter)

    def _bill_call(self, api: ApiTerms, entry: Request) -> None:
        account = self._terms.consumers[entry.client].account
        receipt = self._contract.write("consume_credit", api.name, account, sender=api.operator.meter)
        cost_wei, refused = 0, {}
        if receipt.kind == "return":
            cost_wei = receipt.value["cost_wei"]
        elif receipt.error_code in REFUSALS_OF_A_CALL:
            refused = {receipt.error_code: 1}
        else:
            raise UnexpectedOutcomeError(f"line {entry.line_no} was refused: {receipt.message}")
        self.tally.add(
            client=entry.client,
            api=api.name,
            day_id=entry.day_id,
            billed_calls=1 - len(refused),
            spend_wei=cost_wei,
            refused=refused,
        )
        self._answer_notices(receipt)

    def _meter(self, meter: UsageMeter, entry: Request) -> None:
        meter.record(entry)
        if meter.due_at is not None:
            self._next_due_at = min(self._next_due_at, meter.due_at)
        if meter.is_full:
            self._contract.move_clock(entry.at)
            self._settle(meter)

    def _settle(self, meter: UsageMeter) -> None:
        for batch in meter.take_batches():
            self._settle_batch(meter.api, batch)

    def _settle_batch(self, api: ApiTerms, batch: Batch) -> None:
        entries = [
            {
                "consumer": self._terms.consumers[entry.client].account,
                "day_id": entry.day_id,
                "calls": entry.calls,
                "spend_wei": entry.spend_wei,
            }
            for entry in batch.entries
        ]
        receipt = self._contract.must(
            "settle_usage", api.name, batch.sequence, entries, batch.usage_root, sender=api.operator.account
        )
        self._count_batch(api, batch, receipt)
        self._answer_notices(receipt)
        self._contract.save_memory()

    def _count_batch(self, api: ApiTerms, batch: Batch, receipt: Receipt) -> None:
        for entry, outcome in zip(batch.entries, receipt.value["entries"], strict=True):
            refused_calls, code = entry.calls - outcome["billed_calls"], outcome["code"]
            if bool(refused_calls) != bool(code) or (code and code not in REFUSALS_OF_A_CALL):
                raise UnexpectedOutcomeError(f"settlement {batch.sequence} of {api.name}: {outcome}")
            self.tally.add(
                client=entry.client,
                api=api.name,
                day_id=entry.day_id,
                billed_calls=outcome["billed_calls"],
                spend_wei=outcome["billed_wei"],
                refused={code: refused_calls} if code else {},
            )
            self.settled_calls[api.operator.name] += outcome["billed_calls"]
        self.settlements[api.operator.name] += 1

    def _answer_notices(self, receipt: Receipt) -> None:
        """Take note of the consumers that the contract told about low credit; who can tops up at once."""
        for event in receipt.events:
            if event.name == "CreditDepleted":
                consumer = self._by_account[event.fields["consumer"].as_hex.lower()]
                left_wei = event.fields["credit_wei"] + event.fields["held_wei"]
                paid_wei = self._top_up(consumer)
                self.low_credit.append(LowCreditNotice(consumer.client, self._contract.at, left_wei, paid_wei))

    def _top_up(self, consumer: ConsumerTerms) -> int:
        """Let a consumer pay in what it has kept for this, once; returns how much that was."""
        amount_wei = self._top_ups_wei.pop(consumer.client, 0)
        if amount_wei:
            self._contract.must("top_up_credit", amount_wei, sender=consumer.account, value_wei=amount_wei)
            self.deposited_wei[consumer.client] += amount_wei
        return amount_wei
