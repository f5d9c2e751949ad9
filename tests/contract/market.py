"""The scene of the contract tests: who takes part, and calls that must succeed or be refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api_billing.testing import Billing
from genlayer_localnet import ContractRejected, Receipt
from genlayer_localnet.loading.entry_keys import method_of

from .forms import Form, code_of

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
RELAY = Path(__file__).resolve().parent / "contracts" / "relay.py"

OPERATOR = "0x" + "0e" * 20
RIVAL = "0x" + "1f" * 20
METER = "0x" + "3e" * 20
ALICE = "0x" + "a1" * 20
BOB = "0x" + "b0" * 20
STRANGER = "0x" + "5c" * 20
PEOPLE = (OPERATOR, RIVAL, METER, ALICE, BOB, STRANGER)

START = "2026-01-15T12:00:00Z"
NOW = int(datetime.fromisoformat(START).timestamp())
TODAY = NOW // 86_400
HOUR, DAY = 3_600, 86_400

API = "weather"
PRICE, DAILY, MONTHLY = 10, 5, 12
CAP, DEPOSIT = 1_000, 1_000


def day_of(date: str) -> int:
    """The day_id of an ISO date."""
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) // DAY


def entry(consumer: Any = ALICE, day_id: Any = TODAY, calls: Any = 1, spend_wei: Any = None) -> dict[str, Any]:
    """A line of a settlement; the full price unless `spend_wei` says otherwise."""
    return {
        "consumer": consumer,
        "day_id": day_id,
        "calls": calls,
        "spend_wei": calls * PRICE if spend_wei is None else spend_wei,
    }


@dataclass(frozen=True)
class Market(Billing):
    """The billing contract; `ok` and `refused` are writes with the outcome they must have."""

    form: Form = "source"

    def ok(self, method: str, *args: Any, sender: Any, value: int = 0, **kwargs: Any) -> Receipt:
        receipt = self.write(method, *args, sender=sender, value=value, **kwargs)
        assert receipt.kind == "return", f"{method}{args}: {receipt.message}\n{receipt.stderr}"
        return receipt

    def refused(self, code: str, method: str, *args: Any, sender: Any, **kwargs: Any) -> Receipt:
        """A refusal leaves no event, no message, and every view as it was."""
        before = self.state()
        receipt = self.write(method, *args, sender=sender, **kwargs)
        outcome = (receipt.kind, receipt.error_code)
        assert outcome == ("user_error", code), f"{method}{args}: {receipt.message or receipt.value}\n{receipt.stderr}"
        assert not receipt.events
        assert not receipt.messages
        assert self.state() == before, f"{method}{args} changed something"
        return receipt

    def view_code(self, method: str, *args: Any, **kwargs: Any) -> str | None:
        """The code a view is refused with, None when it answers."""
        try:
            self.view(method, *args, **kwargs)
        except ContractRejected as rejected:
            return rejected.code or rejected.message
        return None

    def state(self) -> dict[str, Any]:
        """What the views show of everybody who has something."""
        return {
            "solvency": self.view("get_solvency"),
            "apis": self.view("list_apis"),
            "earnings": [self.view("get_earnings", person) for person in (OPERATOR, RIVAL)],
            "reports": [self.view("get_usage_report", person) for person in (ALICE, BOB, STRANGER)],
            "notices": [self.view("list_notices", person) for person in (ALICE, BOB)],
        }

    def at(self, time: str) -> None:
        self.net.now = time

    def register(self, api_name: str = API, sender: str = OPERATOR, price: int = PRICE, **limits: int) -> None:
        self.ok("register_api", api_name, price, limits.get("daily", 1_000), limits.get("monthly", 0), sender=sender)

    def subscribe(self, consumer: str = ALICE, deposit: int = DEPOSIT, cap: int = CAP, api_name: str = API) -> Receipt:
        return self.ok("subscribe", api_name, cap, deposit, sender=consumer, value=deposit)

    def bill(self, calls: int = 1, consumer: str = ALICE, api_name: str = API, **kwargs: Any) -> dict[str, Any]:
        receipt: dict[str, Any] = self.ok("consume_credit", api_name, consumer, calls, sender=consumer, **kwargs).value
        return receipt

    def settle(self, *entries: dict[str, Any], sender: str = OPERATOR, api_name: str = API) -> dict[str, Any]:
        """Settle with the next sequence."""
        sequence = self.view("get_settlement", api_name)["next_sequence"]
        outcome: dict[str, Any] = self.ok("settle_usage", api_name, sequence, list(entries), sender=sender).value
        return outcome

    def account(self, consumer: str = ALICE) -> dict[str, Any]:
        account: dict[str, Any] = self.view("get_account", consumer)
        return account

    def credit(self, consumer: str = ALICE) -> int:
        return int(self.account(consumer)["credit_wei"])

    def line(self, consumer: str = ALICE, api_name: str = API) -> dict[str, Any]:
        return self.api_report(consumer, api_name)

    def notices(self, consumer: str = ALICE) -> list[tuple[str, str]]:
        return [(notice["kind"], notice["code"]) for notice in self.view("list_notices", consumer)]

    def earnings(self, operator: str = OPERATOR) -> int:
        return int(self.view("get_earnings", operator)["earnings_wei"])

    def deploy(self, path: Path, *args: Any, sender: str, **kwargs: Any) -> str:
        """Deploy another contract, in the form that the billing contract has here; its address."""
        deployed = self.net.deploy(code_of(path, self.form), *args, sender=sender, **kwargs)
        assert deployed.kind == "return", deployed.stderr
        return str(deployed.to).lower()

    def relay(self) -> str:
        """A contract that passes calls on and writes down what it is called with."""
        return self.deploy(RELAY, sender=STRANGER)

    def via(self, relay: str, method: str, *args: Any, value: int = 0) -> Receipt:
        """Let the relay call the billing contract; the receipt of that inner call."""
        sent = self.net.write(relay, "send", self.address, method, list(args), sender=STRANGER, value=value)
        assert sent.kind == "return", sent.stderr
        (child,) = sent.children
        return child


def event_names(receipt: Receipt) -> list[str]:
    return [str(event.name) for event in receipt.events]


def message_names(receipt: Receipt) -> list[str]:
    """The methods that a call's messages name, under whichever key the line of its contract has for them."""
    return [str(method_of(message.calldata)) for message in receipt.messages]


def message_phases(receipt: Receipt) -> list[str]:
    """When a call's messages are sent, in the words of the older line."""
    return [{"decided": "accepted"}.get(message.on, message.on) for message in receipt.messages]


def all_receipts(receipt: Receipt) -> Iterator[Receipt]:
    """The receipt and those of everything it triggered."""
    yield receipt
    for child in receipt.children:
        yield from all_receipts(child)
