"""Which method a call reaches, and which calls reach none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address, ContractNotFound, ContractRejected, InvalidArgument, Localnet, Receipt

PLAIN = """
class Plain(gl.Contract):
    n: u256

    def __init__(self, start: int = 0):
        self.n = u256(start)

    @gl.public.write
    def add(self, by: int, *, times: int = 1) -> int:
        self.n = u256(self.n + by * times)
        return self.n

    @gl.public.write.payable
    def pay(self) -> int:
        return gl.message.value

    @gl.public.view
    def get(self) -> int:
        return self.n

    def hidden(self) -> int:
        return 1
"""
SPECIAL = """
class Special(gl.Contract):
    log: DynArray[str]

    def __init__(self):
        pass

    @gl.public.write.payable
    def __receive__(self) -> None:
        self.log.append(f"received {int(gl.message.value)}")

    @gl.public.write
    def __handle_undefined_method__(self, method_name: str, args: list, kwargs: dict) -> list:
        return [method_name, args, kwargs]

    def __on_errored_message__(self) -> None:
        self.log.append("errored")

    @gl.public.view
    def get_log(self) -> list:
        return list(self.log)
"""
Deploy = Callable[..., Receipt]


def test_write__positional_and_keyword_arguments__reach_the_method(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    contract = deploy(PLAIN, 5).address
    assert localnet.write(contract, "add", 2, times=3, sender=alice).value == 11


def test_write__private_method__is_vm_error(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    receipt = localnet.write(deploy(PLAIN).address, "hidden", sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", "exit_code 1")
    assert "call to private method" in receipt.stderr


def test_write__unknown_method__is_vm_error(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    receipt = localnet.write(deploy(PLAIN).address, "nothing", sender=alice)
    assert receipt.kind == "vm_error"
    assert "call to undefined method" in receipt.stderr


def test_write__value_to_method_that_is_not_payable__is_vm_error(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    receipt = localnet.write(deploy(PLAIN).address, "add", 1, sender=alice, value=1)
    assert receipt.kind == "vm_error"
    assert "called non-payable method" in receipt.stderr


def test_write__value_to_payable_method__is_seen(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    assert localnet.write(deploy(PLAIN).address, "pay", sender=alice, value=7).value == 7


@pytest.mark.parametrize("method", ["__init__", "__receive__", "__class__", "#unknown"])
def test_write__reserved_name__is_vm_error(localnet: Localnet, alice: Address, deploy: Deploy, method: str) -> None:
    assert localnet.write(deploy(PLAIN).address, method, sender=alice).kind == "vm_error"


def test_write__missing_argument__is_vm_error(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    receipt = localnet.write(deploy(PLAIN).address, "add", sender=alice)
    assert "missing 1 required positional argument" in receipt.stderr


def test_write__no_method_name_and_no_receive__is_vm_error(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    assert localnet.write(deploy(PLAIN).address, None, sender=alice).kind == "vm_error"


def test_write__no_method_name__reaches_receive(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(SPECIAL).address
    localnet.write(contract, None, sender=alice, value=3)
    assert localnet.view(contract, "get_log") == ["received 3"]


def test_write__unknown_method__reaches_handler_of_undefined_methods(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    receipt = localnet.write(deploy(SPECIAL).address, "whatever", 1, key="x", sender=alice)
    assert receipt.value == ["whatever", [1], {"key": "x"}]


def test_write__special_error_method__reaches_handler_of_errored_messages(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    contract = deploy(SPECIAL).address
    localnet.write(contract, "#error", sender=alice)
    assert localnet.view(contract, "get_log") == ["errored"]


def test_schema__contract__lists_constructor_and_methods(localnet: Localnet, deploy: Deploy) -> None:
    schema = localnet.schema(deploy(PLAIN).address)
    assert schema["ctor"] == {"params": [["start", "int"]], "kwparams": {}}
    assert schema["methods"]["add"] == {
        "params": [["by", "int"]], "kwparams": {"times": "int"}, "readonly": False, "ret": "int", "payable": False
    }  # fmt: skip


def test_schema__public_receive__is_rejected(localnet: Localnet, deploy: Deploy) -> None:
    class_without_init = "class C(gl.Contract):\n    @gl.public.view\n    def get(self) -> int:\n        return 1\n"
    contract = deploy(class_without_init).address
    with pytest.raises(ContractRejected):
        localnet.schema(contract)


def test_view__that_writes__is_vm_error_and_writes_nothing(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy(PLAIN).address
    with pytest.raises(ContractRejected) as refusal:
        localnet.view(contract, "add", 1)
    assert refusal.value.kind == "vm_error"
    assert localnet.view(contract, "get") == 0


def test_view__user_error__has_code_and_message(localnet: Localnet, deploy: Deploy) -> None:
    contract = deploy("""
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.view
            def get(self) -> int:
                raise gl.vm.UserError("[EXPECTED] too_late: come back tomorrow")
    """).address
    with pytest.raises(ContractRejected) as refusal:
        localnet.view(contract, "get")
    assert refusal.value.code == "too_late"
    assert refusal.value.message == "[EXPECTED] too_late: come back tomorrow"


@pytest.mark.parametrize("form", [str, bytes, lambda address: address, lambda address: address.as_hex.lower()])
def test_write__address_in_any_form__reaches_the_contract(
    localnet: Localnet, alice: Address, deploy: Deploy, form: Callable[[Address], Any]
) -> None:
    contract = deploy(PLAIN).address
    assert localnet.write(form(contract), "add", 1, sender=form(alice)).value == 1


@pytest.mark.parametrize("address", ["0x12", "", b"short", 5, None])
def test_write__malformed_address__is_refused(localnet: Localnet, alice: Address, address: Any) -> None:
    with pytest.raises(InvalidArgument):
        localnet.write(address, "add", sender=alice)


def test_write__no_contract_there__is_refused(localnet: Localnet, alice: Address, bob: Address) -> None:
    with pytest.raises(ContractNotFound, match=bob.as_hex):
        localnet.write(bob, "add", 1, sender=alice)


def test_write__argument_that_calldata_cannot_carry__is_refused(
    localnet: Localnet, alice: Address, deploy: Deploy
) -> None:
    contract = deploy(PLAIN).address
    with pytest.raises(InvalidArgument, match="cannot be encoded"):
        localnet.write(contract, "add", 1.5, sender=alice)


def test_deploy__no_such_file__is_refused(localnet: Localnet, alice: Address) -> None:
    with pytest.raises(InvalidArgument, match="cannot read the contract"):
        localnet.deploy("no/such/contract.py", sender=alice)


@pytest.mark.parametrize("name", ["exit(0)", "raise SystemExit"])
def test_write__contract_exits_with_success__returns_none(
    localnet: Localnet, alice: Address, deploy: Deploy, name: str
) -> None:
    contract = deploy(f"""
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.write
            def leave(self) -> int:
                {name}
    """).address
    receipt = localnet.write(contract, "leave", sender=alice)
    assert (receipt.kind, receipt.value) == ("return", None)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("exit(7)", "exit_code 7"),
        ('exit("bye")', "exit_code 1"),
        ("raise MemoryError", "exit_code 1"),
        ("raise BaseException", "exit_code 1"),
        ("raise GeneratorExit", "exit_code 1"),
        ("self.fails()", "exit_code 1"),
        ("raise gl.vm.UserError(5)", "exit_code 1"),
    ],
)
def test_write__contract_dies__is_vm_error(
    localnet: Localnet, alice: Address, deploy: Deploy, statement: str, message: str
) -> None:
    contract = deploy(f"""
        class C(gl.Contract):
            def __init__(self): pass
            def fails(self):
                return self.fails()
            @gl.public.write
            def die(self) -> int:
                {statement}
    """).address
    receipt = localnet.write(contract, "die", sender=alice)
    assert (receipt.kind, receipt.message) == ("vm_error", message)


def test_write__rollback_request__cannot_be_caught(localnet: Localnet, alice: Address, deploy: Deploy) -> None:
    contract = deploy("""
        class C(gl.Contract):
            def __init__(self): pass
            @gl.public.write
            def stop(self) -> int:
                try:
                    gl.advanced.user_error_immediate("at once")
                except BaseException:
                    return 5
    """).address
    receipt = localnet.write(contract, "stop", sender=alice)
    assert (receipt.kind, receipt.message) == ("user_error", "at once")
