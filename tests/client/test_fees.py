"""Fees written down and summed up, against what genlayer-py 0.19 makes of the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from api_billing.errors import UnexpectedAnswer
from api_billing.fees import (
    ROOT,
    Distribution,
    Fees,
    Prices,
    add_transaction,
    call_key,
    external_params,
    internal_params,
    whole,
    with_headroom,
)

MADE = json.loads((Path(__file__).parent / "data" / "transactions-by-genlayer-py.json").read_text())
SENDER, TO = "0x" + "11" * 20, "0x" + "22" * 20
POLICY = {"genPerTimeUnit": 1, "storageUnitPrice": 2, "receiptGasPrice": 3}


def encoded(fees: Fees, data: str, to: str = TO, value_wei: int = 0) -> str:
    raw = bytes.fromhex(data)
    made = add_transaction(SENDER, to, raw, value_wei=value_wei, valid_until=1_800_000_000, fees=fees)
    return "0x" + made.hex()


def test_add_transaction__call_with_allocations__is_what_genlayer_py_makes() -> None:
    assert encoded(Fees.of(MADE["fees"]), "c0ffee", value_wei=7) == MADE["call"]


def test_add_transaction__deploy__is_what_genlayer_py_makes() -> None:
    fees = Fees.of({**MADE["fees"], "messageAllocations": None})
    assert encoded(fees, "beef", "0x" + "00" * 20) == MADE["deploy"]


def test_add_transaction__without_fees__is_what_genlayer_py_makes() -> None:
    assert encoded(Fees(), "01", value_wei=3) == MADE["without"]


def test_fees__to_a_node_and_back__are_the_same() -> None:
    fees = Fees.of(MADE["fees"])
    assert [each["parentIndex"] for each in fees.as_json()["messageAllocations"]] == [ROOT, 0, ROOT]
    assert Fees.of(fees.as_json()) == fees


def test_deposit__of_a_distribution__is_what_genlayer_py_sums_up() -> None:
    prices = Prices.of({"enabled": True, "policy": MADE["policy"]})
    assert prices is not None
    assert Distribution.of(MADE["fees"]["distribution"]).deposit_wei(prices) == MADE["fees"]["feeValue"]


def test_params__of_messages__are_what_genlayer_py_makes() -> None:
    assert "0x" + internal_params(Distribution.of(MADE["child"])).hex() == MADE["internal_params"]
    assert "0x" + external_params(21_000, 9).hex() == MADE["external_params"]


@pytest.mark.parametrize("name", MADE["call_keys"])
def test_call_key__of_a_name__is_what_genlayer_py_makes(name: str) -> None:
    assert "0x" + call_key(name).hex() == MADE["call_keys"][name]


def test_prices__least_execution__follows_from_the_price_of_gas_unless_told() -> None:
    config = {"enabled": True, "policy": {**POLICY, "receiptGasPrice": "1"}}
    prices = Prices.of(config)
    assert prices is not None
    assert prices.least_execution_wei == MADE["least_execution"]
    told = Prices.of({**config, "messageFeeParamsBudgetFloor": "0x10"})
    assert told is not None
    assert told.least_execution_wei == 16


@pytest.mark.parametrize(
    "config",
    [{"enabled": False}, {"enabled": False, "policy": POLICY}, {"policy": dict.fromkeys(POLICY, 0)}, None, {}, "0x0"],
)
def test_prices__where_there_are_no_fees__are_none(config: Any) -> None:
    assert Prices.of(config) is None


@pytest.mark.parametrize("config", [{"enabled": True, "policy": POLICY}, {"policy": POLICY}])
def test_prices__where_there_are_fees__are_read(config: Any) -> None:
    assert Prices.of(config) == Prices(1, 2, 3)


@pytest.mark.parametrize(
    "policy",
    [
        None,
        {},
        {**POLICY, "genPerTimeUnit": "much"},
        {**POLICY, "genPerTimeUnit": -1},
        {**POLICY, "timeUnitOverlayBps": 10_000},
    ],
)
def test_prices__of_another_form__are_unexpected(policy: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        Prices.of({"enabled": True, "policy": policy})


@pytest.mark.parametrize("preset", [{}, {"distribution": {}}, {"distribution": {"rotations": 3}, "feeValue": 1}])
def test_fees__recommended_in_another_form__are_unexpected(preset: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        Fees.of(preset)


@pytest.mark.parametrize(("wei", "more"), [(0, 0), (1, 2), (10, 12), (10**18, 12 * 10**17)])
def test_headroom__of_an_amount__is_a_fifth_rounded_up(wei: int, more: int) -> None:
    assert with_headroom(wei) == more


@pytest.mark.parametrize("value", [True, -1, "x", 1.5, None])
def test_whole__no_amount__is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        whole(value)
