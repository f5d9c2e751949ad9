"""The same calls on all forms of the contract at once, each on a localnet of its own: nothing that is seen differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from genlayer_localnet import ContractRejected, Localnet, Receipt
from genlayer_localnet.loading.entry_keys import method_of

from ..forms import Form
from ..market import message_phases
from ..source import is_view, parameters, public_methods
from .arena import BILLING, CONTRACTS, EVERYBODY, KEYS, Arena, FailedValue
from .drawing import NAMES, WRONG
from .model import Caller, Outcome
from .play import Play, outcome_of, salt

EDITIONS: tuple[Form, ...] = ("source", "v0.3")
"""What stands in `contracts/`, and what is furthest from it: the other line's, in few bytes."""
# The one that has no arguments and shows code, which is that of the line.
VIEWS = [method for method in public_methods() if is_view(method) and method != "consumer_integration_example"]
SPOILT = 0.1


class Editions(Arena):
    """Looks like one arena. Raises AssertionError where what came of a call is not the same on all of them."""

    def __init__(self, failed_value: FailedValue) -> None:
        self.failed_value = failed_value
        self.arenas = [Arena(failed_value, form) for form in EDITIONS]
        self.net = cast(Localnet, _Nets(self.arenas))
        self.calls: Counter[str] = Counter()

    @property
    def now(self) -> int:
        return self.arenas[0].now

    def reset(self) -> None:
        for arena in self.arenas:
            arena.reset()

    def keep_as_fresh(self) -> None:
        for arena in self.arenas:
            arena.keep_as_fresh()

    def call(self, method: str, sender: str, args: Sequence[Any], value: int = 0) -> Receipt:
        """Run a write on all; the receipt of the first."""
        receipts = [arena.call(method, sender, args, value) for arena in self.arenas]
        self.calls["writes"] += 1
        _same(f"{method}{tuple(args)} by {sender}, {value} wei", [_seen(receipt) for receipt in receipts])
        balances = [[arena.net.balance(who) for who in (BILLING, *EVERYBODY)] for arena in self.arenas]
        _same(f"balances after {method}{tuple(args)}", balances)
        return receipts[0]

    def look(self, view: str, *args: Any) -> Any:
        """Read on all; the answer of the first, None for a refusal."""
        answers = [_answer(arena, view, args) for arena in self.arenas]
        self.calls["views"] += 1
        _same(f"{view}{args}", answers)
        kind, value = answers[0]
        self.calls["views that answered"] += kind == "return"
        return value if kind == "return" else None


class _Nets:
    """What of a localnet a play uses, on all."""

    def __init__(self, arenas: Sequence[Arena]) -> None:
        self._arenas = arenas

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            answers = [getattr(arena.net, name)(*args, **kwargs) for arena in self._arenas]
            return answers[0]

        return run

    @property
    def now(self) -> Any:
        return self._arenas[0].net.now


def _same(what: str, seen: Sequence[Any]) -> None:
    for form, each in zip(EDITIONS[1:], seen[1:], strict=True):
        assert each == seen[0], f"{what}: {EDITIONS[0]} {seen[0]}\n{form} {each}"


def _seen(receipt: Receipt) -> dict[str, Any]:
    messages = [(each.kind, each.to, each.value, _call(each.calldata)) for each in receipt.messages]
    return {
        "kind": receipt.kind,
        "value": receipt.value,
        "message": receipt.message,
        "events": [(event.name, event.topics, event.blob) for event in receipt.events],
        "messages": [*zip(messages, message_phases(receipt), strict=True)],
        "stdout": receipt.stdout,
        "balance": receipt.balance,
        "reads": receipt.storage_reads,
        "writes": receipt.storage_writes,
        "children": [_seen(child) for child in receipt.children],
    }


def _call(data: Any) -> Any:
    """Of a message: the method under no key of its line's, or what an account is sent."""
    return (method_of(data), data.get("args"), data.get("kwargs")) if isinstance(data, dict) else data


def _answer(arena: Arena, view: str, args: Sequence[Any]) -> tuple[str, Any]:
    try:
        return "return", arena.net.view(BILLING, view, *args)
    except ContractRejected as rejected:
        return rejected.kind, rejected.message


class EditionsPlay(Play):
    """Steps on all forms. The model is there only for what is drawn next to be plausible; after each, some view."""

    arena: Editions

    def observe(self) -> Any:
        accounts = self.model.accounts.items()
        pairs = [(who, name) for who, account in accounts for name in account.subscriptions]
        self.before = SimpleNamespace(pairs=pairs, lines={})
        return self.before

    def perform(self, method: str, sender: str, *args: Any, value: int = 0) -> Outcome:
        outcome = outcome_of(self.arena.call(method, sender, args, value), method)
        self.model.call(method, Caller(sender, value, sender in CONTRACTS), *args)
        self.tally.count(method, outcome)
        for line in outcome.answer["entries"] if method == "settle_usage" and outcome.answer else ():
            self.tally.count("entry of a settlement", Outcome("return", line["code"] or None))
        self.observe()
        random = Random(f"{method}{args}{self.arena.now}")
        view = random.choice(VIEWS)
        given = [self._value(random, name) for name in parameters(view)]
        self.arena.look(view, *given[: random.choice((len(given), random.randint(0, len(given))))])
        return outcome

    def finish(self) -> None:
        """Nothing: views were compared after every step."""

    def _value(self, random: Random, parameter: str) -> Any:
        """Something plausible for a parameter of a view, or now and then something wrong."""
        model = self.model
        if random.random() < SPOILT:
            return random.choice(WRONG)
        if parameter == "receipt_id":
            who, name, today = random.choice(EVERYBODY), random.choice(NAMES), model.today
            return f"{name}:{who}:{today - random.randint(0, 2)}:{random.randint(1, 4)}"
        if parameter == "channel_id":
            consumer, name = random.choice(self.before.pairs or [(EVERYBODY[0], NAMES[0])])
            signer = random.choice([*KEYS])
            return model.channel(name, consumer, signer, salt(random.randint(0, 2))).id if name in model.apis else ""
        return random.choice(
            {
                "api_name": NAMES,
                "consumer_address": EVERYBODY,
                "operator_address": EVERYBODY,
                "day_id": range(model.today - 3, model.today + 2),
                "from_day": range(model.today - 9, model.today),
                "to_day": range(model.today - 2, model.today + 2),
                "sequence": range(6),
                "after": range(4),
                "offset": range(3),
                "limit": (0, 1, 2, 100),
                "calls": range(1, 5),
            }[parameter]
        )
