# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

"""A consumer contract for tests: sends on what it is told to, takes every answer and every payment."""

from genlayer import *


class Relay(gl.Contract):
    answers: u64
    payments: u64

    def __init__(self):
        pass

    @gl.public.write
    def send(self, to: Address, method: str, args: list, value: int) -> None:
        """Call a method of another contract once accepted, with value from this contract's balance."""
        receiver = gl.get_contract_at(to).emit(value=u256(value), on="accepted")
        getattr(receiver, method)(*args)

    @gl.public.write
    def on_call_billed(self, request_id: str, receipt: dict) -> None:
        self.answers += 1

    @gl.public.write
    def on_call_denied(self, request_id: str, code: str) -> None:
        self.answers += 1

    @gl.public.write.payable
    def receive_credit(self) -> None:
        self.payments += 1
