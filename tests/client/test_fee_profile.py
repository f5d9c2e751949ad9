"""Fee profiles: the file, and what of it counts at other prices."""

import json
from pathlib import Path
from typing import Any

import pytest

from api_billing.contract_api import COURT_METHODS, METHODS, Kind
from api_billing.errors import InvalidInput
from api_billing.fee_desk import FeeDesk
from api_billing.fee_profile import FeeProfile, Measured, profile_path
from api_billing.fees import Prices
from api_billing.networks import find_network
from tools.fee_profile import Story, costly_server, measured

BY_GLTEST = {
    "version": 1,
    "network": "localnet",
    "measuredAt": "2026-11-30T10:00:00Z",
    "chainId": 61997,
    "deploy": {"leaderTimeunitsAllocation": "120", "executionBudgetPerRound": "900000"},
    "methods": {
        "subscribe": {
            "leaderTimeunitsAllocation": "12",
            "validatorTimeunitsAllocation": "24",
            "executionBudgetPerRound": "800000000",
            "totalMessageFees": "5",
            "rotationsPerRound": "2",
        }
    },
}
PRICES = Prices(1_000, 20, 3)


def profile(tmp_path: Path, content: Any) -> FeeProfile:
    path = tmp_path / "profile.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return FeeProfile.read(path)


def test_profile__of_gltest__is_read(tmp_path: Path) -> None:
    found = profile(tmp_path, BY_GLTEST)
    assert found.measured["subscribe"] == Measured(12, 24, 800_000_000, 5, 2)
    assert found.measured[""] == Measured(120, 200, 900_000, 0, 3)
    assert found.prices is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        {},
        {"version": 1},
        {**BY_GLTEST, "version": 2},
        {**BY_GLTEST, "methods": []},
        {**BY_GLTEST, "methods": {"subscribe": {"executionBudgetPerRound": "-1"}}},
        {**BY_GLTEST, "methods": {"subscribe": {"executionBudgetPerRound": "much"}}},
        {**BY_GLTEST, "prices": {"enabled": True}},
    ],
)
def test_profile__that_is_none__is_refused_by_name(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InvalidInput, match="is no fee profile"):
        profile(tmp_path, content)


def test_profile__no_such_file__is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        FeeProfile.read(tmp_path / "nowhere.json")


def test_distribution__of_a_method__has_headroom_on_its_prices(tmp_path: Path) -> None:
    found = profile(tmp_path, BY_GLTEST).distribution("subscribe", PRICES)
    assert (found.leader_time_units, found.validator_time_units, found.rotations) == (12, 24, (2,))
    assert (found.max_time_unit_wei, found.max_storage_unit_wei, found.max_receipt_gas_wei) == (1_200, 24, 4)
    assert found.execution_budget_wei == 800_000_000


def test_distribution__below_the_least__is_the_least(tmp_path: Path) -> None:
    prices = Prices(1, 1, 1, floor_wei=800_000_001)
    assert profile(tmp_path, BY_GLTEST).distribution("subscribe", prices).execution_budget_wei == 800_000_001


@pytest.mark.parametrize(
    ("storage", "receipt", "budget"),
    [(20, 3, 800_000_000), (40, 3, 1_600_000_000), (20, 9, 2_400_000_000), (1, 1, 800_000_000)],
)
def test_distribution__measured_at_other_prices__grows_with_them(
    tmp_path: Path, storage: int, receipt: int, budget: int
) -> None:
    policy = {"genPerTimeUnit": 1_000, "storageUnitPrice": 20, "receiptGasPrice": 3}
    found = profile(tmp_path, {**BY_GLTEST, "prices": {"enabled": True, "policy": policy}})
    assert found.distribution("subscribe", Prices(1_000, storage, receipt)).execution_budget_wei == budget


def test_profile__shipped__has_every_write_and_the_deployment() -> None:
    writes = {
        str(method)
        for methods in (METHODS, COURT_METHODS)
        for method, signature in methods.items()
        if signature.kind is not Kind.VIEW
    }
    assert {*writes, "fetch", "on_call_billed", "on_call_denied", ""} == set(FeeProfile.read(profile_path()).measured)


def test_profile__shipped__suffices_for_every_write_where_a_node_cannot_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FeeDesk, "_estimated", lambda *_: None)
    with costly_server() as server:
        network = find_network("studio-next", server.url)
        used = measured(network, Story(network).tell())["methods"]
    assert used.keys() == FeeProfile.read(profile_path()).measured.keys() - {""}
