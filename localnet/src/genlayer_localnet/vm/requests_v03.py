"""The requests of the v0.3 line, by the late names of its release candidates and, where they differ, the early ones.

There are no other runners here than the contract's own: a request for one ends the call, and says so.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.interpreter.contract_time import real_time
from genlayer_localnet.nondet.services import PromptRequest
from genlayer_localnet.state.results import USER_ERROR, VM_ERROR
from genlayer_localnet.state.transactions import On, OutgoingMessage
from genlayer_localnet.vm.frame import Frame
from genlayer_localnet.vm.host import forbidden, invalid
from genlayer_localnet.vm.host_requests import (
    MAX_U256,
    Handler,
    HostRequests,
    answered,
    checked_fields,
    emit_event,
    need_deterministic,
    node_of,
    salted_address,
    send,
    take,
)
from genlayer_localnet.vm.root import may_use_balance
from genlayer_localnet.vm.sub_vms import SubVms

_ON: dict[str, On] = {"decided": "decided", "finalized": "finalized"}
_NO_LEADER = VM_ERROR + b"leader_fault nondet_output absent"
_RUNTIME = ("RuntimeMicroseconds", "RuntimeMicroSec")


class RequestsV03(HostRequests):
    def __init__(self, sub_vms: SubVms) -> None:
        super().__init__(sub_vms)
        of_both_lines = ("Return", "RunNondet", "Sandbox", "CallContract", "EmitEvent", "Trace")
        of_nodes = ("WebRequest", "WebRender", "ExecPrompt", "ExecPromptTemplate")
        late: dict[str, Handler] = {
            "UserError": self._rollback,
            "EmitInternalMessage": self._post_message,
            "EmitInternalDeployMessage": self._deploy_contract,
            "EmitExternalMessage": self._eth_send,
            "ExternalCall": self._eth_call,
            "GetTimestamp": self._get_timestamp,
            "Yield": self._yield,
            "RegisterRunner": self._other_runner,
            "MapFile": self._other_runner,
        }
        early: dict[str, Handler] = {
            "PostMessage": self._post_message,
            "DeployContract": self._deploy_contract,
            "EthSend": self._eth_send,
            "EthCall": self._eth_call,
        }
        known = {name: self._handlers[name] for name in (*of_both_lines, *of_nodes)}
        self._handlers = {**known, **early, **late}

    def _rollback(self, frame: Frame, payload: Any) -> bytes | None:
        raise frame.terminate(USER_ERROR + calldata.encode(payload))

    # --- other VMs ---

    def _run_nondet(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.spawn, "RunNondet")
        fields = checked_fields(
            payload,
            data_leader=bytes,
            data_validator=bytes,
            custom_runners=(object, None),
            catch_vm_error=(bool, False),
        )
        self._no_runners(frame, fields["custom_runners"])
        if not frame.permissions.write:  # a read: there is nobody whose result it could take
            raise frame.terminate(_NO_LEADER)
        return self._sub_vms.run_nondet(
            frame, fields["data_leader"], fields["data_validator"], catch_vm_error=fields["catch_vm_error"]
        )

    def _sandbox(self, frame: Frame, payload: Any) -> bytes | None:
        fields = checked_fields(
            payload,
            data=bytes,
            runner=(str, "contract"),
            allow_write_storage=(bool, False),
            allow_send_messages=(bool, False),
            custom_runners=(object, None),
            changes_on_error=(str, "inherit"),
        )
        if fields["changes_on_error"] != "inherit":
            raise invalid(f"unknown changes_on_error {fields['changes_on_error']!r}")
        self._no_runners(frame, fields["custom_runners"] or fields["runner"] != "contract")
        return self._sub_vms.run_sandbox(
            frame,
            fields["data"],
            allow_write=fields["allow_write_storage"],
            allow_send=fields["allow_send_messages"],
        )

    def _call_contract(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.call, "CallContract")
        key = "state" if isinstance(payload, dict) and "state" in payload else "storage_view"
        kinds: dict[str, Any] = {key: (int, 0)}
        fields = checked_fields(payload, address=Address, calldata=object, catch_vm_error=(bool, False), **kinds)
        if fields[key] not in (0, 1, 2):
            raise invalid(f"unknown {key} {fields[key]}")
        return self._sub_vms.call_contract(
            frame,
            fields["address"].as_bytes,
            calldata.encode(fields["calldata"]),
            final=fields[key] == 1,
            catch_vm_error=fields["catch_vm_error"],
        )

    def _other_runner(self, frame: Frame, payload: Any) -> bytes | None:
        self._no_runners(frame, True)
        return None

    @staticmethod
    def _no_runners(frame: Frame, asked: Any) -> None:
        if asked:
            raise frame.terminate(VM_ERROR + b"unsupported runner: the localnet has none but the contract's own")

    # --- messages and events ---

    def _post_message(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.send, "EmitInternalMessage")
        fields = _message_fields(frame, payload, address=Address, calldata=object)
        to, call = fields["address"].as_bytes, calldata.encode(fields["calldata"])
        send(frame, OutgoingMessage("PostMessage", frame.address, to, call, fields["value"], fields["on"]))
        return None

    def _deploy_contract(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.send, "EmitInternalDeployMessage")
        fields = _message_fields(frame, payload, calldata=object, code=bytes, salt_nonce=(int, 0))
        salt, call = fields["salt_nonce"], calldata.encode(fields["calldata"])
        if not 0 <= salt <= MAX_U256:
            raise invalid("salt_nonce is a u256")
        to = salted_address(frame.address, salt, frame.attempt.chain_id) if salt else None
        value, on = fields["value"], fields["on"]
        send(frame, OutgoingMessage("DeployContract", frame.address, to, call, value, on, fields["code"], salt))
        return None

    def _emit_event(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.write, "EmitEvent")
        fields = checked_fields(payload, topics=list, blob=dict)
        emit_event(frame, tuple(fields["topics"]), fields["blob"])
        return None

    # --- the rest ---

    def _exec_prompt(self, frame: Frame, payload: Any) -> bytes | None:
        """The answer is text in either format: the library reads the JSON."""
        request, node = self._prompt_of(frame, payload), node_of(frame, "ExecPrompt")
        return answered(frame, lambda: frame.attempt.services.ask_for_text(request, node))

    def _prompt_of(self, frame: Frame, payload: Any) -> PromptRequest:
        request = super()._prompt_of(frame, payload)
        if not request.prompt:
            raise invalid("the prompt is empty")
        return request

    def _get_timestamp(self, frame: Frame, payload: Any) -> bytes | None:
        _nothing(payload)
        if frame.permissions.nondeterministic:
            with real_time():
                return calldata.encode(int(time.time()))
        return calldata.encode(int(datetime.fromisoformat(frame.attempt.datetime).timestamp()))

    def _yield(self, frame: Frame, payload: Any) -> bytes | None:
        _nothing(payload)
        return None

    def _trace(self, frame: Frame, payload: Any) -> bytes | None:
        if payload in _RUNTIME or (isinstance(payload, dict) and list(payload) in [[name] for name in _RUNTIME]):
            return calldata.encode(0)
        checked_fields(payload, Message=str)
        return None


def _message_fields(frame: Frame, payload: Any, **kinds: Any) -> dict[str, Any]:
    fields = checked_fields(payload, value=int, on=str, use_balance=(bool, False), fee_params=(object, None), **kinds)
    if fields["on"] not in _ON:
        raise invalid(f"on is decided or finalized, not {fields['on']!r}")
    if (fields["fee_params"] is not None) != fields["use_balance"]:
        raise invalid("use_balance and fee_params go together")
    if fields["use_balance"]:
        take(fields["fee_params"], dict, "fee_params")
        if not may_use_balance(frame.storage):
            raise forbidden("the contract has not the permission to pay fees from its balance")
    fields["on"] = _ON[fields["on"]]
    return fields


def _nothing(payload: Any) -> None:
    if payload is not None:
        raise invalid("the payload is null")
