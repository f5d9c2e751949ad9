# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

import json

from genlayer import *


class Relay(gl.Contract):
    """Passes calls on to other contracts, and writes down what it is called with."""

    answers: DynArray[str]
    received_wei: u256

    def __init__(self):
        pass

    @gl.public.write.payable
    def send(self, target: str, method: str, args: list) -> None:
        """Call `method` of `target` with `args` and the value of this call."""
        proxy = gl.get_contract_at(Address(target)).emit(value=gl.message.value, on="accepted")
        getattr(proxy, method)(*args)

    @gl.public.write
    def on_call_billed(self, request_id: str, receipt: dict) -> None:
        self.answers.append(json.dumps(["billed", request_id, receipt]))

    @gl.public.write
    def on_call_denied(self, request_id: str, code: str) -> None:
        self.answers.append(json.dumps(["denied", request_id, code]))

    @gl.public.write.payable
    def receive_credit(self) -> None:
        self.received_wei += gl.message.value

    @gl.public.view
    def get_answers(self) -> list:
        return [json.loads(answer) for answer in self.answers]

    @gl.public.view
    def get_received(self) -> int:
        return self.received_wei
