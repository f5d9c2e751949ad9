"""The scene of the court's tests: an API with a promise, a day that ALICE has paid for, and judges that say what they
are told to.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from genlayer_localnet import Localnet, Node, PromptRequest, Receipt

from ..forms import Form, billing_code, code_of
from ..market import ALICE, API, CONTRACTS, DAY, OPERATOR, PEOPLE, PRICE, START, STRANGER, TODAY, Market

COURT_FILE = CONTRACTS / "usage_court.py"
MIN_BOND = 100
PAYOUT_DAYS, CAP_PERCENT = 7, 80
TERMS = "Answers within a second, on 99 of 100 calls. Otherwise half the day's price is paid back."
STATUS_URL, EVIDENCE_URL = "https://weather.example/status", "https://alice.example/log"
STATUS_PAGE, EVIDENCE = "All systems were up.", "4 of 5 calls took more than a minute."
CLAIM = "Most calls of that day timed out."
DISPUTED = TODAY + 1
CALLS = 5
PAID = CALLS * PRICE


@dataclass
class Judges:
    """Answers prompts: all alike, but for those nodes that have an answer of their own."""

    answer: Any = None
    of_node: dict[int, Any] = field(default_factory=dict)
    asked: list[tuple[str, int, str]] = field(default_factory=list)

    def say(self, percent: Any, *of_node: Any, reason: Any = "The log shows it.") -> None:
        """A verdict of all, or of the nodes 0, 1, 2 … one after the other."""
        self.answer, self.of_node = verdict(percent, reason), {}
        for index, other in enumerate(of_node, 1):
            self.of_node[index] = verdict(other, reason)

    def __call__(self, request: PromptRequest, node: Node) -> Any:
        self.asked.append((node.role, node.index, request.prompt))
        return self.of_node.get(node.index, self.answer)


def verdict(percent: Any, reason: Any = "The log shows it.") -> dict[str, Any]:
    return {"refund_percent": percent, "reason": reason}


@dataclass(frozen=True)
class Tribunal:
    """The court, and the billing contract of which it is the court. It is the third day after the one disputed."""

    market: Market
    address: str
    judges: Judges = field(default_factory=Judges)

    @property
    def net(self) -> Localnet:
        return self.market.net

    def write(self, method: str, *args: Any, sender: str = STRANGER, value: int = 0, **kwargs: Any) -> Receipt:
        return self.net.write(self.address, method, *args, sender=sender, value=value, **kwargs)

    def ok(self, method: str, *args: Any, sender: str = STRANGER, value: int = 0, **kwargs: Any) -> Receipt:
        receipt = self.write(method, *args, sender=sender, value=value, **kwargs)
        assert (receipt.kind, receipt.status) == ("return", "accepted"), f"{receipt.message}\n{receipt.stderr}"
        return receipt

    def refused(self, code: str, method: str, *args: Any, **kwargs: Any) -> Receipt:
        """A refusal leaves no event, no message, and every view as it was."""
        before = self.state()
        receipt = self.write(method, *args, **kwargs)
        assert (receipt.kind, receipt.error_code) == ("user_error", code), f"{receipt.message}\n{receipt.stderr}"
        assert (receipt.events, receipt.messages) == ((), ())
        assert self.state() == before
        return receipt

    def view(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.net.view(self.address, method, *args, **kwargs)

    def open(self, consumer: str = ALICE, day_id: int = DISPUTED, bond: int = MIN_BOND, **kwargs: Any) -> int:
        """Open a dispute and make that final; its number."""
        arguments = {"api_name": API, "day_id": day_id, "claim": CLAIM, "evidence_url": EVIDENCE_URL, **kwargs}
        opened = self.ok("open_dispute", **arguments, sender=consumer, value=bond)
        assert opened.value["ok"] is True, opened.value
        self.final()
        return int(opened.value["dispute_id"])

    def judge(self, dispute_id: int = 1) -> Receipt:
        return self.ok("judge", dispute_id)

    def dispute(self, dispute_id: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = self.view("get_dispute", dispute_id)
        return found

    def status(self, dispute_id: int = 1) -> str:
        return str(self.dispute(dispute_id)["status"])

    def paid_day(self, consumer: str = ALICE, day_id: int = DISPUTED) -> dict[str, Any]:
        found: dict[str, Any] = self.market.view("get_paid_day", API, consumer, day_id)
        return found

    def final(self) -> None:
        self.net.process("finalized")

    def wait_days(self, days: int) -> None:
        self.net.advance(days * DAY)

    def state(self) -> dict[str, Any]:
        """What all views show, of both contracts."""
        disputes = range(1, self.view("get_court")["disputes"] + 1)
        return {
            "disputes": [self.dispute(number) for number in disputes],
            "solvency": self.view("get_solvency"),
            "market": self.market.state(),
            "paid_day": self.paid_day(),
        }

    def money(self) -> dict[str, int]:
        """Credit of ALICE and of OPERATOR, and what the court has and owes."""
        solvency = self.view("get_solvency")
        assert solvency["balance_wei"] == self.net.balance(self.address)
        return {
            "alice": self.market.credit(ALICE),
            "operator": self.market.credit(OPERATOR),
            "bonds": solvency["owed_wei"],
            "surplus": solvency["surplus_wei"],
        }

    def changes(self, before: dict[str, int]) -> dict[str, int]:
        """How the money has changed, without what has not."""
        return {who: wei - before[who] for who, wei in self.money().items() if wei != before[who]}

    def set_promise(self, court: str | None = None, days: int = PAYOUT_DAYS, **changes: Any) -> None:
        promise = {"max_refund_percent": CAP_PERCENT, "terms": TERMS, "status_url": STATUS_URL, **changes}
        where = self.address if court is None else court
        self.market.ok("set_promise", API, where, days, **promise, sender=OPERATOR)

    def attend(self) -> "Tribunal":
        """Answer for the pages and the models; a snapshot that is restored has forgotten it."""
        self.net.mock_web("^https://weather[.]example/status$", STATUS_PAGE)
        self.net.mock_web("^https://alice[.]example/log$", EVIDENCE)
        self.judges.asked.clear()
        self.judges.say(50)
        self.net.prompt_handler = self.judges
        return self


def play(net: Localnet, code: str | None = None, form: Form = "source") -> Tribunal:
    """Deploy both, promise, let ALICE use the API on the day after, and wait until that day can be disputed.

    ``code`` is another court's.
    """
    for person in PEOPLE:
        net.fund(person, 10**30)
    billing = net.deploy(billing_code(form), sender=OPERATOR)
    assert billing.kind == "return", billing.stderr
    market = Market(net, str(billing.to), form)
    court = net.deploy(code or code_of(COURT_FILE, form), market.address, MIN_BOND, sender=STRANGER)
    assert court.kind == "return", court.stderr
    tribunal = Tribunal(market, str(court.to).lower())
    market.register()
    market.subscribe()
    tribunal.set_promise()
    tribunal.wait_days(1)
    market.bill(CALLS)
    tribunal.wait_days(2)
    tribunal.final()
    return tribunal


Rule = Literal["keep", "return"]
FirstChildren = Literal["undone", "stay"]


@cache
def _scene(failed_value: Rule, first_children: FirstChildren, form: Form) -> tuple[Tribunal, int]:
    net = Localnet(now=START, failed_value=failed_value, first_children=first_children)
    tribunal = play(net, form=form)
    return tribunal, tribunal.net.snapshot()


def scene_at(failed_value: Rule, first_children: FirstChildren = "undone", form: Form = "source") -> Tribunal:
    """The scene, played once under each of the rules in each form of the contracts, and set back."""
    tribunal, snapshot = _scene(failed_value, first_children, form)
    tribunal.net.restore(snapshot)
    return tribunal.attend()


def failed_with_value(net: Localnet) -> list[str]:
    """Calls with value that failed: they differ by the rule for it."""
    transactions = net._chain.world.transactions.values()
    return [one.id for one in transactions if one.value and one.outcome and one.outcome.kind != "return"]
