"""The state machine notices what it is there for: a contract with a rule broken, a network that does not roll back."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from .arena import Arena, contract_source
from .machine import BillingMachine
from .play import Play
from .profiles import mutant_settings
from .tally import Tally

EXAMPLES, STEPS = 100, 40  # as many as it takes: each run ends with the first failure

MUTANTS: dict[str, tuple[str, str]] = {
    "the daily limit is not looked at": (
        "if usage.receipts + usage.settled + calls > (plan.daily_limit_calls or MAX_CALLS):",
        "if False:",
    ),
    "the operator is not paid": (
        "self._earn(api, usage.day_id, calls, cost)",
        "pass",
    ),
    "anyone may bill anyone": (
        '_require(own or self._may_report(api), "not_authorized")',
        '_require(True, "not_authorized")',
    ),
    "a request is billed each time it arrives": (
        "if digests[at : at + 16] == digest:",
        "if False:",
    ),
    "a deposit that is kept is nobody's": (
        "code, account = _code_of(refusal), self._deposit(caller, value)",
        "code, account = _code_of(refusal), self._account(caller)",
    ),
    "a refused request costs something": (
        'self._refuse("limit", caller, account, name, code, 1, 0)',
        'account.credit_wei -= min(account.credit_wei, 1); self._refuse("limit", caller, account, name, code, 1, 0)',
    ),
    "a raised price is charged at once": (
        "if cost > sub.accepted_price_wei * calls:",
        "if False:",
    ),
    "yesterday's usage counts today": (
        "usage = _usage(sub, line.day_id)",
        "usage = _usage(sub, _today())",
    ),
    "APIs share a record up to the first dot": (
        "name = _text(value, field).strip().lower()",
        'name = _text(value, field).strip().lower().split(".")[0]',
    ),
}


def mutated(rule: str, broken: str) -> str:
    """The contract's source with one rule broken."""
    source = contract_source()
    assert source.count(rule) == 1, f"the contract has changed, write the mutant anew: {rule}"
    return source.replace(rule, broken)


def run_machine(opening: Play) -> None:
    run_state_machine_as_test(lambda: BillingMachine(opening, Tally()), settings=mutant_settings(EXAMPLES, STEPS))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_machine__a_broken_contract__is_caught(mutant: str) -> None:
    source = mutated(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        run_machine(Play.opened(Arena("keep", source=source)))


def test_the_machine__a_network_that_does_not_roll_back__is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that counts before it checks relies on the roll-back; without it a refused call leaves a trace."""
    checked = '_require(self._operator(api).address == gl.message.sender_address, "not_operator")\n'
    counted = f"api.sequence += 1\n        {checked}        api.sequence -= 1\n"
    opening = Play.opened(Arena("keep", source=mutated(checked, counted)))
    monkeypatch.setattr("genlayer_localnet.chain.chain.roll_back", lambda journal, mark=0: [])
    with pytest.raises(AssertionError):
        run_machine(opening)
