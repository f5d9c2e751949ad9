"""One course of events on the contract, the model and the ledger at once: every step is compared in full."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from coincurve import PrivateKey

from api_billing.vouchers import Channel, Voucher, sign_voucher
from genlayer_localnet import ContractRejected, Receipt

from . import arguments
from . import expected_views as expected
from .arena import (
    ALICE,
    ALINE,
    BILLING,
    CHAIN_ID,
    CONTRACTS,
    COURT,
    DEPLOYER,
    EVERYBODY,
    FIRST_DAY,
    KEYS,
    MIA,
    OLGA,
    OTTO,
    ROBOT,
    Arena,
)
from .ledger import Ledger, Observation, check_change
from .model import DAY_SECONDS, KEPT, PAYABLE, BillingModel, Caller, Outcome, returned
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


SIGNER, OTHER_SIGNER = KEYS


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
        """The usual opening, which the arena is set back to from now on: two APIs, a meter, a session, a day that a
        court could still freeze.
        """
        arena.reset()
        play = cls(arena)
        play.perform("register_api", OLGA, "a", 2, 6, 0)
        play.perform("register_api", OTTO, "a.a", 3, 5, 9)
        play.perform("set_plan", OLGA, "a", "free", 0, 3, 5)
        play.perform("set_plan", OLGA, "a", "wide", 2, 0, 0)
        play.perform("set_meter", OLGA, "a", MIA, True)
        play.perform("set_promise", OLGA, "a", COURT, 3, 50, "it answers")
        play.perform("subscribe", ALICE, "a", 30, 40, value=40)
        play.perform("subscribe", ALICE, "a.a", 20, 0)
        play.perform("subscribe", ROBOT, "a", 25, 30, value=30)
        until = arena.now + 90 * DAY_SECONDS
        play.perform("open_session", ALINE, "a", 90, 80, until, SIGNER, "wide", 2, value=100)
        play.pass_time(DAY_SECONDS)
        play.perform("consume_credit", ALICE, "a", ALICE, 2)
        play.perform("consume_credit", MIA, "a", ROBOT, 1, "1")
        play.settle(MIA, "a", play.entry(ALINE, 3, 6, play.sign(play.model.channel("a", ALINE, SIGNER, salt(0)), 12)))
        play.pass_time(2 * DAY_SECONDS + 12 * 3_600 + 900)  # a month's end is near
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

    def sign(self, channel: Channel, cumulative_wei: int) -> Voucher:
        """A voucher by the key of the channel's signer."""
        self.ledger.sign(channel.id, cumulative_wei)
        return sign_voucher(KEYS[channel.signer], channel, cumulative_wei)

    def entry(
        self,
        consumer: Any,
        calls: int,
        spend_wei: int,
        voucher: Voucher | None = None,
        *,
        days_ago: int = 0,
        close: bool = False,
    ) -> dict[str, Any]:
        """A line of a settlement."""
        line = {"consumer": consumer, "day_id": self.model.today - days_ago, "calls": calls, "spend_wei": spend_wei}
        return {**line, **({"voucher": voucher.as_dict()} if voucher else {}), **({"close": True} if close else {})}

    def settle(self, reporter: str, name: str, *entries: dict[str, Any]) -> Outcome:
        """Settle with the next sequence."""
        return self.perform("settle_usage", reporter, name, len(self.model.apis[name].settlements) + 1, [*entries])

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
        for line in outcome.answer["entries"] if method == "settle_usage" and outcome.answer else ():
            self.tally.count("entry of a settlement", Outcome("return", line["code"] or None))
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
        waiting = {(name, day_id) for name, api in model.apis.items() for day_id, day in api.days.items() if day.waits}
        days = [day for day in model.usage if (day[0], day[2]) in waiting or day in model.refunds]
        seen = self.before = Observation(self.arena, model.apis, pairs, channels, days)
        self.ledger.check(self.arena, seen)
        for person in EVERYBODY:
            _same(f"report of {person}", seen.reports[person], expected.report(model, person))
            _same(f"account of {person}", seen.account(person), expected.account(model, person))
            _same(f"earnings of {person}", seen.earnings(person), expected.earnings(model, person))
        for name in model.apis:
            _same(f"api {name}", seen.api(name), expected.api(model, name))
        for pair in pairs:
            _same(f"history of {pair}", seen.history(*pair), expected.history(model, *pair, model.today - 2))
            _same(f"session of {pair}", seen.session(*pair), expected.session(model, *pair))
        for day, shown in seen.paid_days.items():
            _same(f"paid day {day}", shown, expected.paid_day(model, *day))
        return seen

    def finish(self) -> None:
        """Read what is too much after every step."""
        model, apis = self.model, self.model.apis
        stored = [(name, number) for name, api in apis.items() for number in range(1, len(api.settlements) + 1)]
        promised = [(name, each.from_day + n) for name, api in apis.items() for each in api.promises for n in (-1, 0)]
        lists = ("get_api_days", "list_subscribers", "list_settlements")
        seen = self.arena.ask(
            [
                *(("list_notices", person) for person in EVERYBODY),
                *(("get_settlement", *key) for key in stored),
                *(("get_promise", *key) for key in promised),
                *((view, name) for view in lists for name in apis),
                *(("get_usage_history", *pair, FIRST_DAY, model.today) for pair in self.before.pairs),
            ]
        )
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
        for key in promised:
            _same(f"promise of {key}", seen["get_promise", *key], expected.promise(model, *key))
        for name, api in apis.items():
            _same(f"days of {name}", seen["get_api_days", name], expected.api_days(model, name))
            subscribers = {"total": len(api.subscribers), "subscribers": expected.subscribers(model, name)}
            _same(f"subscribers of {name}", seen["list_subscribers", name], subscribers)
            heads = [{key: value for key, value in each.items() if key != "entries"} for _, each in api.settlements]
            _same(f"settlements of {name}", seen["list_settlements", name], heads[-KEPT:])
        for pair in self.before.pairs:
            shown = seen["get_usage_history", *pair, FIRST_DAY, model.today]
            _same(f"whole history of {pair}", shown, expected.history(model, *pair))

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
        answers = self.arena.ask([("get_receipt", each) for each in asked]).values()
        has_request = receipt["receipt_id"] != f"{stem}:{number}"
        shown = [(answer["valid"], answer["remembered"]) for answer in answers]
        assert shown == [(True, has_request), (False, False)]


def salt(number: int) -> str:
    return f"0x{number:064x}"


def signature(key: bytes, digest: bytes) -> str:
    """Of whatever is signed, for whomever."""
    signed = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return f"0x{signed[:64].hex()}{27 + signed[64]:02x}"


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
