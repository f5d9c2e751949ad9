"""ethers 6 against the localnet: connect, pay, wait, speed up, cancel, follow logs, walk blocks."""

from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet.rpc.server import RpcServer

from .conftest import run_script

RECIPIENT = "0x7777777777777777777777777777777777777777"


@pytest.fixture(scope="module")
def seen(node_modules: Path, server: RpcServer) -> Any:
    return run_script(node_modules, "ethers.mjs", server.url)


def test_connection__any__knows_the_chain(seen: Any) -> None:
    assert seen["chain"] == 61999


def test_unlocked_account__pays__finds_its_transaction(seen: Any) -> None:
    assert (seen["funding"], seen["balance"]) == ([True, True, "0x"], True)


def test_payment__found_again__is_what_was_signed(seen: Any) -> None:
    assert seen["payment"] == {
        "fields": [True, RECIPIENT, 5, 0, "0x", 61999],
        "signature": True,
        "block": [True, True, 0],
        "confirmed": True,
    }


def test_payment__sped_up_or_cancelled_too_late__is_paid_once(seen: Any) -> None:
    assert (seen["speedUp"], seen["cancel"], seen["receivedOnce"]) == ("NONCE_EXPIRED", "NONCE_EXPIRED", True)


def test_payment__for_another_chain__fails(seen: Any) -> None:
    assert seen["otherChain"] == "UNKNOWN_ERROR"


def test_payment__more_than_there_is__fails_and_is_paid_once_when_there_is(seen: Any) -> None:
    assert (seen["tooMuch"], seen["tooMuchUnlocked"], seen["paidAfterwards"]) == (
        "INSUFFICIENT_FUNDS",
        "INSUFFICIENT_FUNDS",
        True,
    )


def test_logs__past_and_new__are_found(seen: Any) -> None:
    assert (seen["past"], seen["filter"], seen["followed"]) == ([True, True], [[0, 1], True], [True, True])


def test_call__with_data__is_found_again(seen: Any) -> None:
    assert seen["data"] is True


def test_blocks__from_the_last_one__lead_to_the_first(seen: Any) -> None:
    assert seen["walkedTo"] == -1


def test_unknown__transaction_receipt_and_block__are_null(seen: Any) -> None:
    assert seen["unknown"] == [None, None, None]
