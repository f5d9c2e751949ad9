"""The host interface below the standard library: forms of requests, and who may make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import Address, Localnet, Receipt, calldata

RAW = """
import _genlayer_wasi as wasi
from genlayer.py import calldata

class Raw(gl.Contract):
    n: u256

    def __init__(self): pass

    @gl.public.write
    def ask(self, request: dict) -> str:
        return self.send(calldata.encode(request))

    @gl.public.write
    def send(self, raw: bytes) -> str:
        try:
            return str(wasi.gl_call(raw))
        except SystemError as error:
            return str(error)

    @gl.public.write
    def use(self, function: str, args: list) -> str:
        try:
            return str(getattr(wasi, function)(*args))
        except SystemError as error:
            return str(error)

    @gl.public.view
    def read(self, slot: bytes, off: int, size: int) -> bytes:
        buffer = bytearray(size)
        wasi.storage_read(slot, off, buffer)
        return bytes(buffer)
"""
TO = Address("0x" + "77" * 20)
MESSAGE = {"address": TO, "calldata": {}, "value": 0, "on": "accepted"}


@pytest.fixture
def raw(deploy: Callable[..., Receipt]) -> Address:
    return deploy(RAW).address


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"Unknown": {}},
        {"Trace": {"Message": "a"}, "EmitEvent": {}},
        {"Trace": {"Other": "a"}},
        {"PostMessage": None},
        {"PostMessage": {**MESSAGE, "on": "later"}},
        {"PostMessage": {**MESSAGE, "value": -1}},
        {"PostMessage": {**MESSAGE, "value": True}},
        {"PostMessage": {**MESSAGE, "extra": 1}},
        {"PostMessage": {"address": TO, "calldata": {}, "value": 0}},
        {"PostMessage": {**MESSAGE, "address": TO.as_bytes}},
        {"EthSend": {"address": TO, "calldata": {}, "value": 0}},
        {"EmitEvent": {"topics": ["text"], "blob": {}}},
        {"EmitEvent": {"topics": [], "blob": []}},
        {"CallContract": {"address": TO, "calldata": {}, "state": 3}},
        {"DeployContract": {"calldata": {}, "code": 5, "value": 0, "on": "accepted", "salt_nonce": 0}},
        {"DeployContract": {"calldata": {}, "code": b"", "value": 0, "on": "accepted", "salt_nonce": -1}},
        {"RunNondet": {"data_leader": b""}},
        {"Rollback": 5},
    ],
)
def test_gl_call__out_of_form__is_inval(
    localnet: Localnet, alice: Address, raw: Address, request_: dict[str, Any]
) -> None:
    assert localnet.write(raw, "ask", request_, sender=alice).value == "2: inval"


@pytest.mark.parametrize("data", [b"", b"\xff", calldata.encode(5), calldata.encode([])])
def test_gl_call__no_map__is_inval(localnet: Localnet, alice: Address, raw: Address, data: bytes) -> None:
    assert localnet.write(raw, "send", data, sender=alice).value == "2: inval"


@pytest.mark.parametrize("name", ["WebRequest", "WebRender", "ExecPrompt", "ExecPromptTemplate"])
def test_gl_call__outside_world_from_a_deterministic_call__is_forbidden(
    localnet: Localnet, alice: Address, raw: Address, name: str
) -> None:
    assert localnet.write(raw, "ask", {name: {}}, sender=alice).value == "6: forbidden"


@pytest.mark.parametrize(
    "request_",
    [
        {"PostMessage": MESSAGE},
        {"EthSend": {"address": TO, "calldata": b"", "value": 0}},
        {"DeployContract": {"calldata": {}, "code": b"", "value": 0, "on": "accepted", "salt_nonce": 0}},
    ],
)
def test_gl_call__sends_from_a_view__is_forbidden(localnet: Localnet, raw: Address, request_: dict[str, Any]) -> None:
    assert localnet.view(raw, "ask", request_) == "6: forbidden"


def test_gl_call__return__ends_the_call_with_the_value(localnet: Localnet, alice: Address, raw: Address) -> None:
    assert localnet.write(raw, "ask", {"Return": [1, "x"]}, sender=alice).value == [1, "x"]


def test_gl_call__rollback__ends_the_call_with_the_message(localnet: Localnet, alice: Address, raw: Address) -> None:
    receipt = localnet.write(raw, "ask", {"Rollback": "no"}, sender=alice)
    assert (receipt.kind, receipt.message) == ("user_error", "no")


def test_gl_call__evm_view__says_that_there_is_no_evm(localnet: Localnet, alice: Address, raw: Address) -> None:
    receipt = localnet.write(raw, "ask", {"EthCall": {"address": TO, "calldata": b""}}, sender=alice)
    assert receipt.kind == "vm_error"
    assert receipt.message is not None
    assert "no EVM" in receipt.message


def test_gl_call__trace__has_no_answer(localnet: Localnet, alice: Address, raw: Address) -> None:
    assert localnet.write(raw, "ask", {"Trace": {"Message": "a"}}, sender=alice).value == str(2**32 - 1)


def test_storage__unwritten_bytes__read_as_zero(localnet: Localnet, alice: Address, raw: Address) -> None:
    slot = b"s" * 32
    localnet.write(raw, "use", "storage_write", [slot, 4, b"abc"], sender=alice)
    assert localnet.view(raw, "read", slot, 2, 8) == b"\0\0abc\0\0\0"


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("storage_write", [b"short", 0, b""]),
        ("storage_write", [bytes(32), -1, b""]),
        ("storage_write", [bytes(32), 2**32, b""]),
        ("get_balance", [b"short"]),
    ],
)
def test_host_function__argument_out_of_range__is_inval(
    localnet: Localnet, alice: Address, raw: Address, function: str, args: list[Any]
) -> None:
    assert localnet.write(raw, "use", function, args, sender=alice).value == "2: inval"


def test_interrupt__in_the_middle_of_a_call__leaves_the_world_as_it_was(
    localnet: Localnet, alice: Address, deploy: Callable[..., Receipt]
) -> None:
    contract = deploy("""
        class C(gl.Contract):
            n: u256
            def __init__(self): pass
            @gl.public.write.payable
            def ask(self) -> str:
                self.n = u256(1)
                return gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("hello"))
            @gl.public.view
            def get(self) -> int:
                return self.n
    """).address

    def interrupt(request: Any, node: Any) -> str:
        raise KeyboardInterrupt

    before = localnet.balance(alice)
    localnet.prompt_handler = interrupt
    with pytest.raises(KeyboardInterrupt):
        localnet.write(contract, "ask", sender=alice, value=5)
    localnet.prompt_handler = None
    assert (localnet.view(contract, "get"), localnet.balance(alice), localnet.balance(contract)) == (0, before, 0)


def test_direct_mode__and_localnet_in_one_test__do_not_mix(
    localnet: Localnet,
    alice: Address,
    tmp_path: Path,
    source: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    pytest.importorskip("gltest", reason="genlayer-test is not installed")
    direct_deploy = request.getfixturevalue("direct_deploy")
    path = tmp_path / "counter.py"
    path.write_text(
        source("""
        class Counter(gl.Contract):
            n: u256
            def __init__(self): pass
            @gl.public.write
            def add(self) -> int:
                self.n = u256(self.n + 1)
                return self.n
    """)
    )
    direct = direct_deploy(str(path))
    contract = localnet.deploy(path, sender=alice).address
    seen = [direct.add(), localnet.write(contract, "add", sender=alice).value, direct.add()]
    assert seen == [1, 1, 2]
