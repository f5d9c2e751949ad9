"""The cases in which the official standard library's behaviour was recorded, replayed on the localnet; and the same
with the contracts in their deployed form.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from api_billing.contract_minify import minify
from genlayer_localnet import Address, ContractRejected, Localnet, Message

FOLDER = Path(os.environ.get("CONFORMANCE_DIR") or Path(__file__).parents[3] / "shared" / "conformance")
FILES: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("cases*.json"))]
CASES = [pytest.param(file, case, id=case["name"]) for file in FILES for case in file["cases"]]
# They show what is not kept: the globals of the module, and the name of a record's class in its repr.
OF_THE_SOURCE_ALONE = ("surface", "storage: printed record")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if "$addr" in value:
        return Address(value["$addr"])
    return {key: _decode(item) for key, item in value.items()}


def _shown(message: Message) -> dict[str, Any]:
    shown = {"kind": message.kind, "address": message.to, "calldata": message.calldata, "value": message.value}
    return shown if message.kind == "EthSend" else {**shown, "on": message.on}


class Replay:
    """Runs the steps of one case, each with its outcome in the form of the case's ``expect``."""

    def __init__(self, file: Mapping[str, Any], form: Callable[[str], str]) -> None:
        self.form = form
        self.accounts: Mapping[str, str] = file["accounts"]
        self.net = Localnet(file["start"], file["chain_id"], failed_value="return", mint_missing=True)

    def run(self, step: Mapping[str, Any]) -> dict[str, Any]:
        address, sender = self.accounts[step["to"]], self.accounts[step["sender"]]
        args, kwargs = _decode(step["args"]), _decode(step["kwargs"])
        if step["op"] == "view":
            return self._view(address, step["method"], args, kwargs, sender)
        if step["op"] == "deploy":
            source = self.form((FOLDER / "contracts" / step["contract"]).read_text("utf-8"))
            receipt = self.net.deploy(source, *args, sender=sender, value=step["value"], address=address, **kwargs)
        else:
            receipt = self.net.write(address, step["method"], *args, sender=sender, value=step["value"], **kwargs)
        return {
            "kind": receipt.kind,
            "value": receipt.value,
            "message": receipt.message,
            "balance": receipt.balance,
            "stdout": receipt.stdout,
            "events": [
                {"topics": [topic.hex() for topic in event.topics], "blob": event.fields} for event in receipt.events
            ],
            "messages": [_shown(message) for message in receipt.messages],
        }

    def _view(self, address: str, method: str, args: Any, kwargs: Any, sender: str) -> dict[str, Any]:
        balance = self.net.balance(address)
        try:
            value = self.net.view(address, method, *args, sender=sender, **kwargs)
        except ContractRejected as refusal:
            return {"kind": refusal.kind, "message": refusal.message, "balance": balance}
        return {"kind": "return", "value": value, "balance": balance}


@pytest.mark.skipif(not FILES, reason=f"no conformance cases in {FOLDER}")
@pytest.mark.parametrize(("file", "case"), CASES)
def test_conformance__recorded_case__has_the_recorded_outcome(file: dict[str, Any], case: dict[str, Any]) -> None:
    check(Replay(file, str), case)


@pytest.mark.skipif(not FILES, reason=f"no conformance cases in {FOLDER}")
@pytest.mark.parametrize(("file", "case"), [each for each in CASES if each.id not in OF_THE_SOURCE_ALONE])
def test_conformance__deployed_form__has_the_recorded_outcome(file: dict[str, Any], case: dict[str, Any]) -> None:
    check(Replay(file, minify), case)


def check(replay: Replay, case: dict[str, Any]) -> None:
    for number, step in enumerate(case["steps"], 1):
        if step["op"] == "clock":
            replay.net.now = step["now"]
            continue
        expected = {key: _decode(value) for key, value in step["expect"].items() if key != "note"}
        if expected["kind"] == "vm_error":
            expected.pop("message", None)
        seen = replay.run(step)
        assert {key: seen[key] for key in expected} == expected, f"step {number}: {step['op']} {step.get('method')}"
