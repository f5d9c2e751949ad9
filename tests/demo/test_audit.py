"""What the comparison with the contract's own views finds when something is wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from demo import log_biller
from demo import run as run_module
from demo.access_log import AccessLog, read_log
from demo.billing_contract import BillingContract
from demo.contract_client import run_contract_client
from demo.run import run
from demo.summary import Tally
from genlayer_localnet.loading.standard_library import choose

from .log_texts import line, write_log


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    other = [line(request="GET /other HTTP/1.1"), line(client="::1", request="GET /other HTTP/1.1")]
    return read_log(write_log(tmp_path / "access.log", line(), line(), *other))


def contradictions_of(log: AccessLog) -> list[str]:
    return run(log, choose("fallback"), lambda name, steps: lambda: None).contradictions


class WrongTally(Tally):
    """Counts one figure of every request differently."""

    wrong: Mapping[str, Any]

    def add(self, **figures: Any) -> None:
        super().add(**figures | {key: change(figures[key]) for key, change in self.wrong.items()})


def test_audit__a_good_run__finds_nothing(log: AccessLog) -> None:
    assert contradictions_of(log) == []


@pytest.mark.parametrize(
    ("field", "change", "found"),
    [
        ("spend_wei", lambda wei: wei + 1, "the contract has"),
        ("spend_wei", lambda wei: wei + 1, "paid in"),
        ("spend_wei", lambda wei: wei + 1, "its APIs billed"),
        ("day_id", lambda day: day + 1, "the contract has"),
        ("billed_calls", lambda calls: calls + 1, "the contract has"),
        ("billed_calls", lambda calls: calls + 1, "4 lines are not"),
    ],
)
def test_audit__tally_that_differs_from_the_contract__is_found(
    log: AccessLog, monkeypatch: pytest.MonkeyPatch, field: str, change: Any, found: str
) -> None:
    monkeypatch.setattr(WrongTally, "wrong", {field: change}, raising=False)
    monkeypatch.setattr(log_biller, "Tally", WrongTally)
    assert any(found in each for each in contradictions_of(log))


def test_audit__money_that_belongs_to_nobody__is_found(log: AccessLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_a_gift(contract: BillingContract, *arguments: Any) -> Any:
        contract.net.fund(contract.address, 7)
        return run_contract_client(contract, *arguments)

    monkeypatch.setattr(run_module, "run_contract_client", with_a_gift)
    assert contradictions_of(log) == ["the contract holds 7 wei that belong to nobody"]


def test_audit__payout_that_did_not_arrive__is_found(log: AccessLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def before_it_is_final(until: str) -> None:
        """Leave everything as it is."""

    def without_finality(contract: BillingContract, *arguments: Any) -> Any:
        story = run_contract_client(contract, *arguments)
        monkeypatch.setattr(contract.net, "process", before_it_is_final)
        return story

    monkeypatch.setattr(run_module, "run_contract_client", without_finality)
    found = contradictions_of(log)
    assert len(found) == 2
    assert all("must have been paid" in each for each in found)
