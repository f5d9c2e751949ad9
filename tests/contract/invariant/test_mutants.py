"""The state machine notices what it is there for: a contract with a rule broken, a network that does not roll back."""

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from .arena import Arena, contract_source
from .machine import BillingMachine
from .play import Play
from .profiles import THOROUGH, mutant_settings
from .tally import Tally

ROUNDS, STEPS = 12, 40  # as many as it takes: each run ends with the first failure

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
    "yesterday's usage counts today": (
        "usage = _usage(sub, line.day_id)",
        "usage = _usage(sub, _today())",
    ),
    "a new subscription can be billed for the day before": (
        "if day_id < sub.since_day or not",
        "if not",
    ),
    "an ended subscription can be billed on": (
        "not (sub.active or day_id <= sub.ended_day)",
        "False",
    ),
    "a hold pays for any day": (
        "return sub.hold_wei if sub.hold_from_day <= day_id <= (sub.hold_expires_at - 1) // DAY_SECONDS else 0",
        "return sub.hold_wei",
    ),
    "strangers lower the alert level": (
        "total if payer == consumer else max(total, account.topped_up_wei)",
        "total",
    ),
    "consumer and operator share a ring of requests": (
        "requests = sub.own_requests if own else sub.other_requests",
        "requests = sub.own_requests",
    ),
    "nobody looks at signatures": (
        "if _recover(digest_of(channel, voucher.cumulative_wei), voucher.signature) != signer:",
        "if False:",
    ),
    "a lower voucher lowers what was signed": (
        "if voucher.cumulative_wei > word >> 128:",
        "if voucher.cumulative_wei != word >> 128:",
    ),
    "a channel pays more than was signed": (
        "if most < fits:\n            fits, code = most,",
        "if False:\n            fits, code = most,",
    ),
    "all operators share a channel": (
        "terms = receiver.as_bytes, contract",
        "terms = bytes(20), contract",
    ),
    "a session is paid from free credit": (
        "hold if is_session or not sub.active else hold + account.credit_wei",
        "hold + account.credit_wei",
    ),
    "a day matures too early": (
        "if waits and day_id + waits < today:",
        "if waits and day_id + waits <= today:",
    ),
    "a promise begins too early": (
        "from_day = today + 1 + _payout_days(api.schedule, today)",
        "from_day = today + 1",
    ),
    "a day is frozen twice": (
        '_require(kept.frozen_at == 0, "already_frozen")\n        amount = self._left(sub, kept, day_id)',
        "amount = self._left(sub, kept, day_id)",
    ),
    "APIs share a record up to the first dot": (
        "name = _text(value, field).strip().lower()",
        'name = _text(value, field).strip().lower().split(".")[0]',
    ),
}
MORE_MUTANTS: dict[str, tuple[str, str]] = {
    "a session has any number of channels": (
        "if is_new and len(sub.session) >= MAX_CHANNELS:",
        "if False:",
    ),
    "a settled line may cost what was accepted before a price cut": (
        "return min(sub.accepted_price_wei, price)",
        "return sub.accepted_price_wei",
    ),
    "what is accepted today counts for yesterday": (
        "if day_id < sub.accepted_day:",
        "if False:",
    ),
    "a request with other calls is answered as before": (
        "if word >> 128 & MAX_CALLS != calls:",
        "if False:",
    ),
    "a sequence with other entries is answered as before": (
        '_require(kept == digest, "sequence_mismatch")',
        "pass",
    ),
    "meters bill sessions without vouchers": (
        '_require(own or sub.signer == ZERO, "session_only")',
        "pass",
    ),
    "an expired session still pays": (
        "if is_session and not _in_force(sub):",
        "if False:",
    ),
    "a hold is closed with what was refused": (
        'if line.close and code == "":',
        "if line.close:",
    ),
    "an API with a promise is handed over": (
        "_require(not (promised or api.frozen_wei or self._pending(api)), ",
        "_require(True, ",
    ),
    "a court pays twice": (
        "kept.frozen_wei, kept.refunded_wei = 0, refunded",
        "kept.refunded_wei = refunded",
    ),
    "an operator gives a day back twice": (
        "sub.refunds.get_or_insert_default(day_id).refunded_wei += amount",
        "pass",
    ),
    "a day that nobody collected is forgotten": (
        "if _waits(word):  # 64 days old, and never collected",
        "if False:",
    ),
    "a raised price is charged at once": (
        "if cost > sub.accepted_price_wei * calls:",
        "if False:",
    ),
}
"""For the thorough profile."""


def mutated(rule: str, broken: str) -> str:
    """The contract's source with one rule broken."""
    source = contract_source()
    assert source.count(rule) == 1, f"the contract has changed, write the mutant anew: {rule}"
    return source.replace(rule, broken)


def run_machine(opening: Play) -> None:
    for number in range(ROUNDS):
        machine = seed(number)(lambda: BillingMachine(opening, Tally()))
        run_state_machine_as_test(machine, settings=mutant_settings(STEPS))


@pytest.mark.parametrize("mutant", MORE_MUTANTS)
def test_mutants__those_for_the_night__fit_the_contract(mutant: str) -> None:
    mutated(*MORE_MUTANTS[mutant])


@pytest.mark.parametrize("mutant", [*MUTANTS, *(MORE_MUTANTS if THOROUGH else ())])
def test_the_machine__a_broken_contract__is_caught(mutant: str) -> None:
    source = mutated(*{**MUTANTS, **MORE_MUTANTS}[mutant])
    with pytest.raises(AssertionError):
        run_machine(Play.opened(Arena("keep", source=source)))


def test_the_machine__a_network_that_does_not_roll_back__is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that counts before it checks relies on the roll-back; without it a refused call leaves a trace."""
    checked = '_require(self._operator(api).address == _caller(), "not_operator")\n'
    counted = f"api.sequence += 1\n        {checked}        api.sequence -= 1\n"
    opening = Play.opened(Arena("keep", source=mutated(checked, counted)))
    monkeypatch.setattr("genlayer_localnet.chain.chain.roll_back", lambda journal, mark=0: [])
    with pytest.raises(AssertionError):
        run_machine(opening)
