"""viem 2 against the localnet: connect, pay, wait, speed up, cancel, follow logs, walk blocks."""

from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet.rpc.server import RpcServer

from .conftest import run_script

RECIPIENT = "0x8888888888888888888888888888888888888888"


@pytest.fixture(scope="module")
def seen(node_modules: Path, server: RpcServer) -> Any:
    return run_script(node_modules, "viem.mjs", server.url)


def test_connection__any__knows_the_chain(seen: Any) -> None:
    assert seen["chain"] == 61999


def test_unlocked_account__pays__has_a_receipt(seen: Any) -> None:
    assert (seen["funding"], seen["balance"]) == ("success", True)


def test_payment__found_again__is_what_was_signed(seen: Any) -> None:
    assert seen["payment"] == {
        "fields": [True, RECIPIENT, 5, 0, "0x", 61999, "eip1559"],
        "block": [True, True, 0],
        "byIndex": True,
        "count": 1,
        "confirmed": True,
    }


def test_payment__sped_up_or_cancelled_too_late__is_paid_once(seen: Any) -> None:
    assert "NonceTooLowError" in seen["speedUp"]
    assert "NonceTooLowError" in seen["cancel"]
    assert seen["receivedOnce"] is True


def test_payment__more_than_there_is__fails_and_is_paid_once_when_there_is(seen: Any) -> None:
    assert "InsufficientFundsError" in seen["tooMuch"]
    assert seen["paidAfterwards"] is True


def test_payments__three_at_once__all_arrive_and_are_seen_by_filters(seen: Any) -> None:
    assert (seen["filter"], seen["blocks"], seen["uninstalled"]) == ([2, True], 4, True)


def test_logs__watched__are_seen(seen: Any) -> None:
    assert seen["followed"] is True


def test_blocks__from_the_last_one__lead_to_the_first(seen: Any) -> None:
    assert seen["walkedTo"] == -1


def test_unknown__transaction_and_receipt__are_not_found(seen: Any) -> None:
    assert seen["unknown"] == [["TransactionNotFoundError"], ["TransactionReceiptNotFoundError"]]
