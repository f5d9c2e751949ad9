"""``gen_getTransactionLifecycle``: the status that is stored, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from genlayer_localnet.testing.server import RpcFailure

from .test_appeals import appeal
from .wire import Client


def _lifecycle(client: Client, transaction: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.rpc.call("gen_getTransactionLifecycle", {"txId": transaction["hash"], **more})
    return found


def test_lifecycle__of_what_is_accepted__has_an_active_decision(client: Client, till: str) -> None:
    found = _lifecycle(client, client.write(till, "put", 7))
    assert isinstance(found.pop("evaluatedAt"), int)
    assert found == {
        "storedStatus": "Accepted",
        "storedStatusCode": 5,
        "projectedStatus": "Accepted",
        "projectedStatusCode": 5,
        "resolutionAction": "NoOp",
        "resolutionActionCode": 0,
        "resolutionSource": "Unspecified",
        "resolutionSourceCode": 0,
        "decisionActive": True,
        "decisionId": "1",
    }


def test_lifecycle__at_the_time_of_finality__says_what_is_done_then(client: Client, till: str) -> None:
    sent = client.write(till, "put", 7)
    until = sent["timestamp_awaiting_finalization"] + 60
    before, after = (_lifecycle(client, sent, timestamp=at) for at in (until - 1, until + 1))
    assert (before["projectedStatus"], before["resolutionAction"]) == ("Accepted", "NoOp")
    assert (after["storedStatus"], after["projectedStatus"]) == ("Accepted", "Finalized")
    assert (after["resolutionAction"], after["resolutionActionCode"], after["evaluatedAt"]) == (
        "Finalize",
        6,
        until + 1,
    )


def test_lifecycle__of_what_is_final__has_no_decision(client: Client, till: str) -> None:
    sent = client.write(till, "put", 7)
    client.rpc.call("sim_increaseTime", 100)
    found = _lifecycle(client, sent)
    assert (found["storedStatus"], found["decisionActive"], found["decisionId"]) == ("Finalized", False, None)


def test_lifecycle__appealed__has_the_next_decision(client: Client, till: str) -> None:
    found = _lifecycle(client, appeal(client, client.write(till, "put", 7)))
    assert (found["storedStatus"], found["decisionId"]) == ("Accepted", "2")


def test_lifecycle__of_no_transaction__is_an_error(client: Client) -> None:
    with pytest.raises(RpcFailure, match="not found"):
        _lifecycle(client, {"hash": "0x" + "ab" * 32})
