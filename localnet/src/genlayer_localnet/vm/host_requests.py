"""The requests of ``gl_call``: who may make them, what they take, what they answer.

A request is a map with one key. What breaks the rules of its form raises ``SystemError("2: inval")``, what the
running mode does not allow ``SystemError("6: forbidden")``. Calls on EVM contracts (``EthCall``) are not supported:
there is no EVM here.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, cast

from genlayer_localnet import calldata
from genlayer_localnet.address import Address, keccak256
from genlayer_localnet.interpreter.console import write_error
from genlayer_localnet.interpreter.contract_time import real_time
from genlayer_localnet.loading.lines import Line
from genlayer_localnet.nondet import web
from genlayer_localnet.nondet.services import Node, PromptRequest, SetupError
from genlayer_localnet.nondet.web import WebError, WebRequest
from genlayer_localnet.state.results import RETURN, USER_ERROR, VM_ERROR
from genlayer_localnet.state.transactions import EmittedEvent, OutgoingMessage, Phase
from genlayer_localnet.vm.frame import Frame
from genlayer_localnet.vm.host import forbidden, host_error, invalid
from genlayer_localnet.vm.sub_vms import SubVms

MAX_U256 = 2**256 - 1
_TOO_LITTLE: dict[Line, str] = {"v0.2": "inbalance", "v0.3": "insufficient_balance"}
_MAX_TOPICS = 4
_MAX_IMAGES = 2
_TEMPLATES = {
    "EqComparative": ("bool", ("leader_answer", "validator_answer", "principle")),
    "EqNonComparativeLeader": ("text", ("task", "input", "criteria")),
    "EqNonComparativeValidator": ("bool", ("task", "output", "input", "criteria")),
}
# Any: payloads are decoded calldata, checked field by field.
Handler = Callable[[Frame, Any], bytes | None]


class HostRequests:
    """Answers requests; calls into other VMs go to ``sub_vms``."""

    def __init__(self, sub_vms: SubVms) -> None:
        self._sub_vms = sub_vms
        self._handlers: dict[str, Handler] = {
            "Return": self._return,
            "Rollback": self._rollback,
            "RunNondet": self._run_nondet,
            "Sandbox": self._sandbox,
            "CallContract": self._call_contract,
            "PostMessage": self._post_message,
            "DeployContract": self._deploy_contract,
            "EmitEvent": self._emit_event,
            "EthCall": self._eth_call,
            "EthSend": self._eth_send,
            "WebRequest": self._web_request,
            "WebRender": self._web_render,
            "ExecPrompt": self._exec_prompt,
            "ExecPromptTemplate": self._exec_prompt_template,
            "Trace": self._trace,
        }

    def handle(self, frame: Frame, request: Any) -> bytes | None:
        if not isinstance(request, dict) or len(request) != 1:
            raise invalid("a request is a map with one key")
        [(name, payload)] = request.items()
        handler = self._handlers.get(name)
        if handler is None:
            raise invalid(f"unknown request {name!r}")
        return handler(frame, payload)

    # --- ending the VM ---

    def _return(self, frame: Frame, payload: Any) -> bytes | None:
        raise frame.terminate(RETURN + calldata.encode(payload))

    def _rollback(self, frame: Frame, payload: Any) -> bytes | None:
        raise frame.terminate(USER_ERROR + take(payload, str, "a rollback's message").encode("utf-8"))

    # --- other VMs ---

    def _run_nondet(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.spawn, "RunNondet")
        fields = checked_fields(payload, data_leader=bytes, data_validator=bytes)
        return self._sub_vms.run_nondet(frame, fields["data_leader"], fields["data_validator"], catch_vm_error=False)

    def _sandbox(self, frame: Frame, payload: Any) -> bytes | None:
        fields = checked_fields(payload, data=bytes, allow_write_ops=bool)
        allowed = fields["allow_write_ops"]
        return self._sub_vms.run_sandbox(frame, fields["data"], allow_write=allowed, allow_send=allowed)

    def _call_contract(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.call, "CallContract")
        fields = checked_fields(payload, address=Address, calldata=object, state=(int, 0))
        if fields["state"] not in (0, 1, 2):
            raise invalid(f"unknown state {fields['state']}")
        return self._sub_vms.call_contract(
            frame,
            fields["address"].as_bytes,
            calldata.encode(fields["calldata"]),
            final=fields["state"] == 1,
            catch_vm_error=False,
        )

    def _eth_call(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.call, "EthCall")
        raise frame.terminate(VM_ERROR + b"unsupported EthCall: the localnet has no EVM contracts to call")

    # --- messages and events ---

    def _post_message(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.send, "PostMessage")
        fields = checked_fields(payload, address=Address, calldata=object, value=int, on=str)
        to, call = fields["address"].as_bytes, calldata.encode(fields["calldata"])
        message = OutgoingMessage("PostMessage", frame.address, to, call, fields["value"], _phase(fields["on"]))
        send(frame, message)
        return None

    def _deploy_contract(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.send, "DeployContract")
        # Libraries pass on what the contract gave them, also a source text.
        fields = checked_fields(payload, calldata=object, code=object, value=int, on=str, salt_nonce=(int, 0))
        code, salt = fields["code"], fields["salt_nonce"]
        code = take(code.encode("utf-8") if isinstance(code, str) else code, bytes, "code")
        if not 0 <= salt <= MAX_U256:
            raise invalid("salt_nonce is a u256")
        to = salted_address(frame.address, salt, frame.attempt.chain_id) if salt else None
        call, phase = calldata.encode(fields["calldata"]), _phase(fields["on"])
        send(
            frame,
            OutgoingMessage("DeployContract", frame.address, to, call, fields["value"], phase, code, salt),
        )
        return None

    def _eth_send(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, frame.permissions.send, "EthSend")
        fields = checked_fields(payload, address=Address, calldata=bytes, value=int)
        to = fields["address"].as_bytes
        send(frame, OutgoingMessage("EthSend", frame.address, to, fields["calldata"], fields["value"], "finalized"))
        return None

    def _emit_event(self, frame: Frame, payload: Any) -> bytes | None:
        need_deterministic(frame, True, "EmitEvent")
        fields = checked_fields(payload, topics=list, blob=dict)
        emit_event(frame, tuple(fields["topics"]), fields["blob"])
        return None

    # --- the outside world ---

    def _web_request(self, frame: Frame, payload: Any) -> bytes | None:
        node = node_of(frame, "WebRequest")
        fields = checked_fields(
            payload, url=str, method=str, headers=(dict, {}), body=(object, None), sign=(bool, False)
        )
        body = fields["body"]
        if body is not None and not isinstance(body, bytes):
            raise invalid("body is bytes or null")
        if any(not isinstance(value, bytes) for value in fields["headers"].values()):
            raise invalid("values of headers are bytes")
        request = WebRequest(fields["url"], fields["method"], fields["headers"], body)

        def response() -> Any:
            answer = frame.attempt.services.fetch(request, node, frame.attempt.wait)
            return {"response": {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}}

        return answered(frame, response)

    def _web_render(self, frame: Frame, payload: Any) -> bytes | None:
        node = node_of(frame, "WebRender")
        fields = checked_fields(payload, url=str, mode=str, wait_after_loaded=(str, "0ms"))
        request = WebRequest(fields["url"])
        mode, attempt = fields["mode"], frame.attempt
        return answered(frame, lambda: {"text": web.render(attempt.services.fetch(request, node, attempt.wait), mode)})

    def _exec_prompt(self, frame: Frame, payload: Any) -> bytes | None:
        return self._ask(frame, self._prompt_of(frame, payload))

    def _prompt_of(self, frame: Frame, payload: Any) -> PromptRequest:
        node_of(frame, "ExecPrompt")
        fields = checked_fields(payload, prompt=str, response_format=(str, "text"), images=(list, []))
        if fields["response_format"] not in ("text", "json"):
            raise invalid(f"unknown response format {fields['response_format']!r}")
        if len(fields["images"]) > _MAX_IMAGES:
            raise invalid(f"a prompt has at most {_MAX_IMAGES} images")
        return PromptRequest(fields["prompt"], fields["response_format"], images=tuple(fields["images"]))

    def _exec_prompt_template(self, frame: Frame, payload: Any) -> bytes | None:
        node_of(frame, "ExecPromptTemplate")
        template = payload.get("template") if isinstance(payload, dict) else None
        if template not in _TEMPLATES:
            raise invalid(f"unknown template {template!r}")
        response_format, names = _TEMPLATES[template]
        texts = checked_fields(payload, template=str, **dict.fromkeys(names, str))
        del texts["template"]
        prompt = "\n".join(f"{name}: {texts[name]}" for name in names)
        return self._ask(frame, PromptRequest(prompt, response_format, template, texts))

    def _ask(self, frame: Frame, request: PromptRequest) -> bytes:
        node = node_of(frame, "ExecPrompt")
        return answered(frame, lambda: frame.attempt.services.ask(request, node))

    def _trace(self, frame: Frame, payload: Any) -> bytes | None:
        if payload == "RuntimeMicroSec" or (isinstance(payload, dict) and list(payload) == ["RuntimeMicroSec"]):
            return calldata.encode(0)
        checked_fields(payload, Message=str)
        return None


def emit_event(frame: Frame, topics: tuple[Any, ...], blob: dict[str, Any]) -> None:
    if len(topics) > _MAX_TOPICS or any(not isinstance(topic, bytes) or len(topic) != 32 for topic in topics):
        raise invalid("an event has at most 4 topics of 32 bytes")
    name = frame.contract.event_name(topics, list(blob)) if frame.contract is not None else None
    frame.events.append(EmittedEvent(frame.address, name, topics, blob))


def salted_address(contract: bytes, salt_nonce: int, chain_id: int) -> bytes:
    """Where a contract deploys to with a salt; the standard library computes the same."""
    return keccak256(b"\x01" + contract + salt_nonce.to_bytes(32, "big") + chain_id.to_bytes(32, "big"))[:20]


def send(frame: Frame, message: OutgoingMessage) -> None:
    if not 0 <= message.value <= MAX_U256:
        raise invalid("value is a u256")
    if message.value > frame.attempt.spendable(frame.world, frame.address):
        raise host_error(7, _TOO_LITTLE[frame.line], "insufficient balance")
    frame.attempt.emit(frame.address, message.value)
    frame.messages.append(message)


def _phase(text: str) -> Phase:
    if text not in ("accepted", "finalized"):
        raise invalid(f"on is accepted or finalized, not {text!r}")
    return cast(Phase, text)


def need_deterministic(frame: Frame, allowed: bool, name: str) -> None:
    if frame.permissions.nondeterministic:
        raise forbidden(f"{name} is not possible in a nondeterministic block")
    if not allowed:
        raise forbidden(f"{name} is not possible in this mode")


def node_of(frame: Frame, name: str) -> Node:
    if not frame.permissions.nondeterministic or frame.attempt.node is None:
        raise forbidden(f"{name} is possible in a nondeterministic block only")
    return frame.attempt.node


def answered(frame: Frame, answer: Callable[[], Any]) -> bytes:
    """The answer as ``{"ok": …}``, what failed as ``{"error": …}`` for the standard library to raise."""
    try:
        with real_time():
            return calldata.encode({"ok": answer()})
    except WebError as error:
        cause, text = error.cause, str(error)
    except SetupError as error:
        # Not an answer to vote on: it ends the whole transaction.
        if error.__cause__ is not None:
            write_error("".join(traceback.format_exception(error.__cause__)))
        raise frame.abort(VM_ERROR + str(error).encode("utf-8", "replace")) from None
    except (TypeError, ValueError) as error:
        cause, text = "UNENCODABLE_ANSWER", str(error)
    return calldata.encode({"error": {"causes": [cause], "ctx": {"message": text}}})


def take(value: Any, kind: Any, name: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise invalid(f"{name} is of type {type(value).__name__}")
    return value


def checked_fields(payload: Any, **kinds: Any) -> dict[str, Any]:
    """Check that the payload has just these fields. A kind is a type, or a pair of a type and a default."""
    if not isinstance(payload, dict):
        raise invalid(f"the payload is a map, not {type(payload).__name__}")
    unknown = payload.keys() - kinds.keys()
    if unknown:
        raise invalid(f"unknown field {sorted(unknown)[0]!r}")
    fields: dict[str, Any] = {}
    for name, kind in kinds.items():
        expected, *default = kind if isinstance(kind, tuple) else (kind,)
        if name in payload:
            fields[name] = take(payload[name], expected, name)
        elif default:
            fields[name] = default[0]
        else:
            raise invalid(f"field {name!r} is missing")
    return fields
