"""One course of events on the contract, the model and the ledger at once: every step is compared in full."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from genlayer_localnet import ContractRejected, Receipt

from . import arguments
from . import expected_views as expected
from .arena import ALICE, BILLING, CHAIN_ID, CONTRACTS, DEPLOYER, EVERYBODY, MIA, OLGA, OTTO, ROBOT, Arena
from .ledger import Ledger, Observation, check_change
from .model import API_DAYS, DAY_SECONDS, PAYABLE, BillingModel, Caller, Outcome, returned
from .tally import Tally

REFUSALS_OF_A_QUOTE = (
    "api_paused",
    "not_subscribed",
    "price_changed",
    "daily_limit_exceeded",
    "monthly_limit_exceeded",
    "daily_spend_exceeded",
    "insufficient_credit",
)


class Play:
    """Steps on an arena. Every method raises AssertionError where contract, model and ledger differ."""

    def __init__(self, arena: Arena, model: BillingModel | None = None, ledger: Ledger | None = None) -> None:
        self.arena = arena
        self.model = model or BillingModel(arena.now, BILLING, DEPLOYER, CHAIN_ID)
        self.ledger = ledger or Ledger()
        self.tally = Tally()
        self.sound = True
        """False from where a write made a difference: what is compared after that says nothing new."""
        self.before = self.observe()

    @classmethod
    def opened(cls, arena: Arena) -> Play:
        """The usual opening, which the arena is set back to from now on: two APIs, a meter, two consumers."""
        arena.reset()
        play = cls(arena)
        play.perform("register_api", OLGA, "a", 2, 6, 0)
        play.perform("register_api", OTTO, "a.a", 3, 5, 9)
        play.perform("set_plan", OLGA, "a", "free", 0, 3, 5)
        play.perform("set_meter", OLGA, "a", MIA, True)
        play.perform("subscribe", ALICE, "a", 30, 40, value=40)
        play.perform("subscribe", ALICE, "a.a", 20, 0)
        play.perform("subscribe", ROBOT, "a", 25, 30, value=30)
        play.perform("place_hold", ALICE, "a", 8, arena.now + DAY_SECONDS)
        play.perform("consume_credit", ALICE, "a.a", ALICE)
        arena.keep_as_fresh()
        return play

    def again(self, tally: Tally) -> Play:
        """The same state as this play's on a freshly set back arena. This one is not to be used meanwhile."""
        self.arena.reset()
        twin = copy.copy(self)
        twin.model, twin.ledger, twin.tally = copy.deepcopy(self.model), copy.deepcopy(self.ledger), tally
        return twin

    # ---- steps ----

    def perform(self, method: str, sender: str, *args: Any, value: int = 0) -> Outcome:
        """Run a write everywhere and compare its outcome and everything that can be seen afterwards."""
        self.sound = False
        caller = Caller(sender, value, sender in CONTRACTS)
        billed_anew = method == "consume_credit" and not self._is_remembered(sender, *args)
        quoted = self._quote(*args[:3]) if billed_anew else None
        receipt = self.arena.call(method, sender, args, value)
        outcome, wanted = outcome_of(receipt, method), self.model.call(method, caller, *args)
        assert outcome == wanted, f"{method}{args} by {sender} is {outcome}; the model: {wanted}\n{receipt.stderr}"
        self.tally.count(method, outcome)
        if billed_anew:
            self._check_billing(quoted, outcome)
        _check_messages(receipt, method, args, outcome)
        before = self.before
        self.ledger.record(method, args, caller, outcome, self.arena, before)
        after = self.observe()
        check_change(before, after, method, caller, outcome)
        self.sound = True
        return outcome

    def pass_time(self, seconds: int) -> None:
        self.arena.net.advance(seconds)
        self.model.now = self.arena.now
        self.ledger.pass_time(self.arena.now)
        self.tally.count("pass_time")
        self.observe()

    def gen_arrives(self, sender: str, wei: int, *, nameless: bool) -> None:
        """GEN that nobody asked for: moved by the chain, or sent with a call that names no method and fails."""
        if nameless:
            assert self.arena.net.write(BILLING, None, sender=sender, value=wei).kind == "vm_error"
        else:
            self.arena.net.transfer(BILLING, wei, sender=sender)
        if nameless and self.arena.failed_value == "return":
            self.ledger.comes_back(sender, wei, self.arena.now)
        else:
            self.ledger.arrive(sender, wei)
        self.tally.count("gen_arrives")
        self.observe()

    def become_final(self) -> None:
        self.arena.net.process("finalized")
        self.ledger.waiting.clear()
        self.tally.count("become_final")
        self.observe()

    # ---- comparing ----

    def observe(self) -> Observation:
        """Read every view and check it against the ledger and the model."""
        model = self.model
        pairs = [(person, name) for person in EVERYBODY for name in self._subscribed(person)]
        channels = [(consumer, name, channel) for channel, (consumer, name, _) in self.ledger.channels.items()]
        days = [(name, consumer, day_id) for name, consumer, day_id in model.usage if day_id > model.today - API_DAYS]
        seen = self.before = Observation(self.arena, model.apis, pairs, channels, days)
        self.ledger.check(self.arena, seen)
        for person in EVERYBODY:
            _same(f"report of {person}", seen.reports[person], expected.report(model, person))
            _same(f"account of {person}", seen.account(person), expected.account(model, person))
            _same(f"earnings of {person}", seen.earnings(person), expected.earnings(model, person))
        for name in model.apis:
            _same(f"api {name}", seen.api(name), expected.api(model, name))
            _same(f"days of {name}", seen.views["get_api_days", name], expected.api_days(model, name))
        for pair in pairs:
            _same(f"history of {pair}", seen.history(*pair), expected.history(model, *pair))
            _same(f"session of {pair}", seen.session(*pair), expected.session(model, *pair))
        for day, shown in seen.paid_days.items():
            _same(f"paid day {day}", shown, expected.paid_day(model, *day))
        return seen

    def finish(self) -> None:
        """Read what is too much after every step: notices and settlements."""
        apis = self.model.apis
        stored = [(name, number) for name, api in apis.items() for number in range(1, len(api.settlements) + 1)]
        asked = [*(("list_notices", person) for person in EVERYBODY), *(("get_settlement", *key) for key in stored)]
        seen = self.arena.ask(asked)
        keys = ("number", "kind", "api_name", "code", "calls", "amount_wei")
        for person in EVERYBODY:
            shown = [tuple(notice[key] for key in keys) for notice in seen["list_notices", person]]
            _same(f"notices of {person}", shown, expected.notices(self.model, person))
        for name, number in stored:
            _same(
                f"settlement {number} of {name}",
                seen["get_settlement", name, number]["settlement"],
                apis[name].settlements[number - 1][1],
            )

    def _subscribed(self, person: str) -> list[str]:
        account = self.model.accounts.get(person)
        return list(account.subscriptions) if account else []

    def _is_remembered(self, sender: str, name: Any, consumer: Any, calls: Any = 1, request: Any = "") -> bool:
        """Whether the request was billed before, so that what a call would do now does not matter."""
        try:
            key = (arguments.address(consumer), arguments.api_name(name), arguments.request_id(request))
        except arguments.Refused:
            return False
        return self.model.remembered(*key, is_own=sender == key[0]) is not None

    def _quote(self, *args: Any) -> dict[str, Any] | None:
        """What quote_call answers; None where it refuses the arguments."""
        try:
            quote: dict[str, Any] = self.arena.net.view(BILLING, "quote_call", *args)
        except ContractRejected as rejected:
            if rejected.kind != "user_error":
                raise
            return None
        return quote

    def _check_billing(self, quote: dict[str, Any] | None, outcome: Outcome) -> None:
        """Invariant 5: the quote said what happened; and the receipt is valid, the next one not before it is given."""
        receipt = outcome.answer
        if receipt is None:
            if outcome.code in REFUSALS_OF_A_QUOTE:
                assert quote is not None
                assert (quote["allowed"], quote["code"]) == (False, outcome.code), "invariant 5: quote and refusal"
            return
        assert quote is not None
        left = (quote["allowed"], quote["code"], quote["cost_wei"], quote["credit_wei"] - quote["cost_wei"])
        assert left == (True, "", receipt["cost_wei"], receipt["credit_wei"]), "invariant 5: quote and bill"
        stem, number = ":".join(receipt["receipt_id"].split(":")[:3]), receipt["call_no"]
        asked = [receipt["receipt_id"], f"{stem}:{number + 1}"]
        answers = [self.arena.ask([("get_receipt", each)])["get_receipt", each] for each in asked]
        has_request = receipt["receipt_id"] != f"{stem}:{number}"
        shown = [(answer["valid"], answer["remembered"]) for answer in answers]
        assert shown == [(True, has_request), (False, False)]


def _same(what: str, shown: Any, wanted: Any) -> None:
    if shown == wanted:
        return
    if isinstance(shown, dict) and isinstance(wanted, dict):
        keys = [key for key in {**shown, **wanted} if shown.get(key) != wanted.get(key)]
        shown, wanted = {key: shown.get(key) for key in keys}, {key: wanted.get(key) for key in keys}
    raise AssertionError(f"{what} shows {shown}; the model: {wanted}")


def outcome_of(receipt: Receipt, method: str) -> Outcome:
    if receipt.kind != "return":
        return Outcome(receipt.kind, receipt.error_code)
    answer = receipt.value
    if method in PAYABLE:
        answer = {key: value for key, value in answer.items() if key != "message"}
    return returned(method, answer)


def _check_messages(receipt: Receipt, method: str, args: Sequence[Any], outcome: Outcome) -> None:
    """A call that raised announces and sends nothing; `request_call` is answered once, with what was decided."""
    if outcome.kind != "return":
        assert (receipt.events, receipt.messages) == ((), ())
    elif method == "request_call":
        (callback,) = receipt.children
        decided = (outcome.code,) if outcome.code else (outcome.answer["receipt"],)
        name = "on_call_denied" if outcome.code else "on_call_billed"
        assert (callback.kind, callback.method, callback.args) == ("return", name, (str(args[1]), *decided))
