"""Views of contracts on contracts: what the callee sees, and what it may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genlayer_localnet import Address, Localnet, Receipt
from genlayer_localnet.vm.sub_vms import MAX_DEPTH

CALLEE = """
class Callee(gl.Contract):
    n: u256

    def __init__(self): pass

    @gl.public.write
    def put(self, n: int) -> None:
        self.n = u256(n)

    @gl.public.view
    def get(self) -> int:
        return self.n

    @gl.public.view
    def who(self) -> list:
        m = gl.message
        return [m.sender_address, m.origin_address, m.contract_address, int(m.value), gl.message_raw["stack"]]

    @gl.public.view
    def crash(self) -> int:
        return 1 // 0

    @gl.public.view
    def refuse(self) -> int:
        raise gl.vm.UserError("[EXPECTED] busy: later")

    @gl.public.view
    def write(self) -> int:
        self.n = u256(9)
        return 1

    @gl.public.view
    def nested(self, path: list) -> int:
        if not path:
            return self.n
        return gl.get_contract_at(path[0]).view().nested(path[1:])
"""
CALLER = """
class Caller(gl.Contract):
    n: u256
    target: Address

    def __init__(self, target: Address):
        self.target = target

    @gl.public.write
    def write_then_read_target(self) -> list:
        gl.get_contract_at(self.target).emit(on="accepted").put(5)
        return gl.get_contract_at(self.target).view().get()

    @gl.public.write
    def write_then_view_itself(self) -> list:
        self.n = u256(7)
        seen = gl.get_contract_at(gl.message.contract_address).view().get()
        return [seen, self.n]

    @gl.public.view
    def get(self) -> int:
        return self.n

    @gl.public.write.payable
    def ask(self, method: str) -> list:
        return getattr(gl.get_contract_at(self.target).view(), method)()

    @gl.public.write
    def survive(self, method: str) -> str:
        self.n = u256(1)
        try:
            getattr(gl.get_contract_at(self.target).view(), method)()
        except gl.vm.UserError as error:
            return error.message
        except BaseException:
            return "caught it"

    @gl.public.write
    def ask_final(self) -> int:
        return gl.get_contract_at(self.target).view(state=1).get()

    @gl.public.view
    def recurse(self, n: int) -> int:
        return 0 if n == 0 else 1 + gl.get_contract_at(gl.message.contract_address).view().recurse(n - 1)
"""


@pytest.fixture
def callee(deploy: Callable[..., Receipt]) -> Address:
    return deploy(CALLEE).address


@pytest.fixture
def caller(deploy: Callable[..., Receipt], callee: Address) -> Address:
    return deploy(CALLER, callee).address


def test_view__of_other_contract__sees_accepted_state(
    localnet: Localnet, alice: Address, caller: Address, callee: Address
) -> None:
    localnet.write(callee, "put", 3, sender=alice)
    assert localnet.write(caller, "write_then_read_target", sender=alice).value == 3
    assert localnet.view(callee, "get") == 5


def test_view__of_itself__does_not_see_what_the_call_wrote(localnet: Localnet, alice: Address, caller: Address) -> None:
    assert localnet.write(caller, "write_then_view_itself", sender=alice).value == [0, 7]
    assert localnet.view(caller, "get") == 7


def test_view__of_other_contract__keeps_sender_and_has_no_value(
    localnet: Localnet, alice: Address, caller: Address, callee: Address
) -> None:
    receipt = localnet.write(caller, "ask", "who", sender=alice, value=5)
    assert receipt.value == [alice, alice, callee, 0, [caller]]


def test_view__callee_raises_user_error__can_be_caught(localnet: Localnet, alice: Address, caller: Address) -> None:
    assert localnet.write(caller, "survive", "refuse", sender=alice).value == "[EXPECTED] busy: later"


def test_view__callee_raises_user_error__uncaught_is_the_callers(
    localnet: Localnet, alice: Address, caller: Address
) -> None:
    receipt = localnet.write(caller, "ask", "refuse", sender=alice)
    assert (receipt.kind, receipt.error_code) == ("user_error", "busy")


@pytest.mark.parametrize("method", ["crash", "no_such_method", "write"])
def test_view__callee_crashes__ends_the_caller_too(
    localnet: Localnet, alice: Address, caller: Address, method: str
) -> None:
    receipt = localnet.write(caller, "survive", method, sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", "exit_code 1")
    assert localnet.view(caller, "get") == 0


def test_view__callee_writes__is_forbidden(
    localnet: Localnet, alice: Address, caller: Address, callee: Address
) -> None:
    receipt = localnet.write(caller, "survive", "write", sender=alice)
    assert "6: forbidden" in receipt.stderr
    assert localnet.view(callee, "get") == 0


def test_view__through_several_contracts__returns(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    contracts = [deploy(CALLEE).address for _ in range(4)]
    localnet.write(contracts[3], "put", 6, sender=alice)
    assert localnet.view(contracts[0], "nested", contracts[1:]) == 6


def test_view__nested_to_the_limit__returns(localnet: Localnet, caller: Address) -> None:
    assert localnet.view(caller, "recurse", MAX_DEPTH) == MAX_DEPTH


def test_view__nested_beyond_the_limit__says_so(localnet: Localnet, alice: Address, caller: Address) -> None:
    receipt = localnet.write(caller, "recurse", MAX_DEPTH + 1, sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", f"calls between contracts nested deeper than {MAX_DEPTH}")


def test_view__of_final_state__does_not_see_what_is_only_accepted(
    localnet: Localnet, alice: Address, caller: Address, callee: Address
) -> None:
    localnet.process("finalized")
    localnet.write(callee, "put", 3, sender=alice)
    assert localnet.write(caller, "ask_final", sender=alice).value == 0
    localnet.process("finalized")
    assert localnet.write(caller, "ask_final", sender=alice).value == 3


def test_receipt__reads_of_callees__are_counted(localnet: Localnet, alice: Address, caller: Address) -> None:
    assert localnet.write(caller, "write_then_read_target", sender=alice).storage_reads == 3
