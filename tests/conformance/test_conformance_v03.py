"""The cases in which the official library of the v0.3 line was recorded, replayed on the localnet.

Messages are recorded and not delivered, as when the cases were made, and everything is final at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Message, Receipt, calldata
from genlayer_localnet.chain import runs

FOLDER = Path(os.environ.get("CONFORMANCE_V03_DIR") or Path(__file__).parents[3] / "shared" / "conformance-v03")
FILES: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("cases*.json"))]
CASES = [pytest.param(file, case, id=case["name"]) for file in FILES for case in file["cases"]]
NOT_RECORDED = {"Return", "UserError", "EmitEvent", "RunNondet", "Sandbox"}
HANDLED = SystemError


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
    if message.kind == "EthSend":
        return shown
    shown["on"] = message.on
    if message.kind == "DeployContract":
        del shown["address"]
        shown |= {"code": message.code, "salt_nonce": message.salt_nonce}
    return shown


class Replay:
    """Runs the steps of one case, each with its outcome in the form of the case's ``expect``."""

    def __init__(self, file: Mapping[str, Any], validators: int) -> None:
        self.accounts: Mapping[str, str] = file["accounts"]
        self.net = Localnet(
            file["start"], file["chain_id"], validators, failed_value="return", rotations=0, mint_missing=True
        )
        self.answers: dict[str, Any] = {}
        self.requests: list[dict[str, Any]] = []

    def watch(self, stack: ExitStack) -> None:
        """Keep what goes over ``gl_call``, give the recorded answers, and deliver no messages."""
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        chain = self.net._chain
        machine = chain.machine._machine
        handle = machine.handle
        assert handle is not None

        def watched(frame: Any, request: Any) -> bytes | None:
            [(name, body)] = request.items()
            if name not in NOT_RECORDED:
                self.requests.append({"request": name, "body": body})
            try:
                answer = handle(frame, request)
            except SystemError:
                if name not in NOT_RECORDED:
                    self.requests.pop()
                raise
            return calldata.encode(self.answers[name]) if name in self.answers else answer

        patch.setattr(machine, "handle", watched)
        patch.setattr(chain, "_emit", lambda parent, phase: None)
        # Whoever recorded them gave the calldata to the library as it is.
        patch.setattr(runs, "for_line", lambda call, line: call)

    def run(self, step: Mapping[str, Any]) -> dict[str, Any]:
        self.requests.clear()
        seen = self._view(step) if step["op"] == "view" else self._send(step)
        self.net.process("finalized")
        return seen | {"requests": list(self.requests)}

    def _entry(self, step: Mapping[str, Any]) -> bytes:
        if step["op"] == "call":
            return calldata.encode(_decode(step["entry"]))
        named = {} if step["op"] == "deploy" or step["method"] is None else {"": step["method"]}
        given = {key: _decode(step[key]) for key in ("args", "kwargs") if step[key]}
        return calldata.encode(named | given)

    def _send(self, step: Mapping[str, Any]) -> dict[str, Any]:
        net, sender, to = self.net, self.accounts[step["sender"]], self.accounts[step["to"]]
        kind = "deploy" if step["op"] == "deploy" else "call"
        value = step.get("value", 0)
        transaction = net._transaction(kind, sender, Address(to).as_bytes, self._entry(step), value)
        if kind == "deploy":
            transaction.code = (FOLDER / "contracts" / step["contract"]).read_bytes()
        receipt = net._send(transaction)
        return self._outcome(receipt)

    @staticmethod
    def _outcome(receipt: Receipt) -> dict[str, Any]:
        return {
            "kind": receipt.kind,
            "value": receipt.value,
            "message": receipt.data,
            "vm_error": receipt.data,
            "balance": receipt.balance,
            "stdout": receipt.stdout,
            "events": [
                {"topics": [topic.hex() for topic in event.topics], "blob": event.fields} for event in receipt.events
            ],
            "messages": [_shown(message) for message in receipt.messages],
            "stderr": receipt.stderr,
            "disagree": receipt.status == "undetermined",
        }

    def _view(self, step: Mapping[str, Any]) -> dict[str, Any]:
        net, address = self.net, Address(self.accounts[step["to"]])
        transaction = net._transaction("call", self.accounts[step["sender"]], address.as_bytes, self._entry(step), 0)
        outcome = net._chain.view(transaction)
        returned = outcome.kind == "return"
        value = calldata.decode(outcome.result[1:]) if returned else None
        return {
            "kind": outcome.kind,
            "value": value,
            "message": outcome.data,
            "vm_error": outcome.data,
            "balance": net.balance(address),
            "stdout": outcome.stdout,
            "events": [],
            "messages": [],
        }


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _steps(file: Mapping[str, Any], case: Mapping[str, Any], validators: int, stack: ExitStack) -> Iterator[Any]:
    """Each step with its number, what is expected of it, and what came of it."""
    replay = Replay(file, validators)
    replay.watch(stack)
    for number, step in enumerate(case["steps"], 1):
        if step["op"] == "clock":
            replay.net.now = step["now"]
            continue
        if step["op"] == "answer":
            if step["request"] == "WebRequest":
                replay.net.mock_web("", "")
            elif step["request"] == "WebRender":
                replay.net.mock_web("", "page")
            else:
                replay.net.mock_prompt("", "{}")
            replay.answers[step["request"]] = _decode(step["answer"])
            continue
        expected = {key: _decode(value) for key, value in step["expect"].items() if key != "note"}
        expected.pop("message" if expected["kind"] == "vm_error" else "vm_error", None)
        if expected["kind"] == "vm_error":
            # What a failing call asked for before, and whether that was accepted, is the recording host's.
            expected.pop("requests", None)
        if str(step.get("method")) == "#get-schema" and expected["kind"] == "return":
            expected["value"] = json.loads(expected["value"])
        seen = replay.run(step)
        if str(step.get("method")) == "#get-schema" and seen["kind"] == "return":
            seen["value"] = json.loads(seen["value"])
        yield f"step {number}: {step['op']} {step.get('method', step.get('entry'))}", expected, seen


@pytest.mark.skipif(not FILES, reason=f"no conformance cases in {FOLDER}")
@pytest.mark.parametrize(("file", "case"), CASES)
def test_conformance_v03__recorded_case__has_the_recorded_outcome(
    file: dict[str, Any], case: dict[str, Any], stack: ExitStack
) -> None:
    # A leader and one validator, as when they were recorded.
    for step, expected, seen in _steps(file, case, 2, stack):
        if expected.get("disagree"):
            assert seen["disagree"], step
        else:
            assert {key: seen[key] for key in expected} == expected, f"{step}\n{seen.get('stderr')}"


@pytest.mark.skipif(not FILES, reason=f"no conformance cases in {FOLDER}")
@pytest.mark.parametrize(
    ("file", "case"),
    [
        case
        for case in CASES
        if any("disagree" in step.get("expect", {}) for step in case.values[1]["steps"])  # type: ignore[union-attr, index, call-overload]
    ],
)
def test_conformance_v03__validator_disagrees__leader_has_the_recorded_outcome(
    file: dict[str, Any], case: dict[str, Any], stack: ExitStack
) -> None:
    found = 0
    for step, expected, seen in _steps(file, case, 1, stack):
        if expected.pop("disagree", False):
            found += 1
            assert {key: seen[key] for key in expected if key != "requests"} == expected | {}, step
    assert found
