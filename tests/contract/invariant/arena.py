"""The contract on a localnet with everybody who takes part, ready to be set back for every example.

What is deployed is the contract, in either form, with one more view behind its last method: `probe` answers many views
in one call, since the invariants read some fifty of them after every step, and as JSON, which is fast. Everything else
is the contract, to the letter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from eth_keys.datatypes import PrivateKey

from api_billing.contract_source import contract_path, deployed_form
from genlayer_localnet import Address, Localnet, Receipt

from ..forms import Form, code_of
from ..source import is_view, public_methods

FailedValue = Literal["keep", "return"]
Question = tuple[Any, ...]

START = "2026-01-27T09:00:00Z"
FIRST_DAY = int(datetime.fromisoformat(START).timestamp()) // (24 * 60 * 60) - 1
CHAIN_ID = 4_221
FINALITY_SECONDS = 30
RICH = 10**40

OLGA, OTTO = "0x" + "0a" * 20, "0x" + "0b" * 20
MIA, MAX = "0x" + "5a" * 20, "0x" + "5b" * 20
SAM = "0x" + "99" * 20
# Consumers whose addresses are easily taken for each other, two of them contracts.
ALICE, ALINE = "0x" + "11" * 20, "0x" + "11" * 19 + "12"
ROBOT, RELAY = "0x" + "11" + "00" * 19, "0x" + "00" * 19 + "11"
# Courts, one of them a contract.
COURT, JUDGE = "0x" + "c0" * 20, "0x" + "c1" * 20
# Keys of sessions, by address.
KEYS = {PrivateKey(each * 32).public_key.to_address(): each * 32 for each in (b"\x01", b"\x02")}
RELAY_FILE = Path(__file__).parent / "contracts" / "relay.py"
BILLING = "0x" + "b1" * 20
DEPLOYER = "0x" + "de" * 20

OPERATORS, METERS, CONSUMERS, COURTS = (OLGA, OTTO), (MIA, MAX), (ALICE, ALINE, ROBOT, RELAY), (COURT, JUDGE)
CONTRACTS = (ROBOT, RELAY, COURT)
EVERYBODY = (*OPERATORS, *METERS, SAM, *CONSUMERS, *COURTS)

# A computed `getattr` would do, but the localnet looks after each run for what such a contract may have changed.
PROBE = f"""
    @gl.public.view
    def probe(self, questions: list) -> str:
        views = {{{", ".join(f'"{method}": self.{method}' for method in public_methods() if is_view(method))}}}
        answers = []
        for question in questions:
            try:
                answers.append(views[question[0]](*question[1:]))
            except gl.vm.UserError as refusal:
                answers.append(refusal.message)
        return json.dumps(answers)
"""


@cache
def probed(source: str, form: Form) -> str:
    """The contract in a form, with the view behind its last method."""
    return source + PROBE if form == "source" else deployed_form(source + PROBE, form)


def contract_source() -> str:
    return contract_path().read_text(encoding="utf-8")


class Arena:
    """A localnet with the billing contract at ``BILLING``, relays that act for some of the people, and their funds."""

    def __init__(self, failed_value: FailedValue, form: Form = "source", source: str | None = None) -> None:
        self.failed_value = failed_value
        self.net = Localnet(START, CHAIN_ID, failed_value=failed_value, finality_window_seconds=FINALITY_SECONDS)
        self._deploy(probed(source if source is not None else contract_source(), form), BILLING)
        for address in CONTRACTS:
            self._deploy(code_of(RELAY_FILE, form), address)
        for address in EVERYBODY:
            self.net.fund(address, RICH)
        self._fresh = self.net.snapshot()

    def _deploy(self, source: str, address: str) -> None:
        receipt = self.net.deploy(source, sender=DEPLOYER, address=address)
        assert receipt.kind == "return", receipt.stderr

    def reset(self) -> None:
        """Back to right after deployment."""
        self.net.restore(self._fresh)

    def keep_as_fresh(self) -> None:
        """Let ``reset`` come back to the state of now."""
        self._fresh = self.net.snapshot()

    @property
    def now(self) -> int:
        return int(self.net.now.timestamp())

    def call(self, method: str, sender: str, args: Sequence[Any], value: int = 0) -> Receipt:
        """Run a write of the billing contract; a relay sends it in a message of its own."""
        if sender not in CONTRACTS:
            return self.net.write(BILLING, method, *args, sender=sender, value=value)
        sent = self.net.write(sender, "send", Address(BILLING), method, list(args), value, sender=DEPLOYER)
        assert sent.kind == "return", sent.stderr
        return sent.children[0]

    def ask(self, questions: Sequence[Question]) -> dict[Question, Any]:
        """The answers of many views, all of the same state; a refusal's answer is its text."""
        asked = list(dict.fromkeys(questions))
        answers = json.loads(self.net.view(BILLING, "probe", [list(question) for question in asked]))
        return dict(zip(asked, answers, strict=True))
