"""Messages, the base class, proxies of other contracts, deployments."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode as abi_encode

from genlayer_localnet import calldata
from genlayer_localnet.address import Address, keccak256

OTHER = Address(b"\x77" * 20)
CONTRACT = Address(b"\xc0" * 20)
HEADER = "from genlayer import *\n"


# --- message ---


def test_message__at_import__is_what_the_host_gave(std: Any) -> None:
    message = std.gl.message
    assert (message.contract_address, message.sender_address.as_bytes[0], message.origin_address.as_bytes[0]) == (
        CONTRACT,
        0xA1,
        0x0B,
    )
    assert (message.value, message.chain_id, std.gl.message_raw["datetime"]) == (7, 61999, "2026-01-15T12:00:00Z")


def test_star_import__names__are_those_of_a_contract(std: Any) -> None:
    names: dict[str, Any] = {}
    exec("from genlayer import *", names)
    expected = {"gl", "Address", "TreeMap", "DynArray", "Array", "allow_storage", "bigint", "u8", "u256", "i8", "i256"}
    assert expected <= names.keys()
    assert "dataclass" not in names
    assert names["gl"] is std.gl


def test_package__unknown_name__raises_attribute_error(std: Any) -> None:
    with pytest.raises(AttributeError, match="nothing"):
        std.module("genlayer").nothing  # noqa: B018
    with pytest.raises(AttributeError, match="block"):
        std.gl.block  # noqa: B018


# --- the contract's class ---


def test_contract__second_class__raises_type_error(std: Any) -> None:
    with pytest.raises(TypeError, match="only one contract"):
        std.load(HEADER + "class A(gl.Contract): pass\nclass B(gl.Contract): pass")


def test_contract__known__is_registered_and_marked(std: Any) -> None:
    contract = std.load(HEADER + "class A(gl.Contract): pass").A
    assert std.gl.genvm_contracts.__known_contract__ is contract
    assert contract.__gl_contract__ is True


def test_contract__that_cannot_be_stored__is_not_registered(std: Any) -> None:
    with pytest.raises(TypeError, match="use a sized integer"):
        std.load(HEADER + "class A(gl.Contract):\n    n: int")
    assert std.gl.genvm_contracts.__known_contract__ is None


def test_contract__balance_and_address__ask_the_host(std: Any, host: Any) -> None:
    host.balances[CONTRACT.as_bytes] = 12
    instance = std.instance(std.load(HEADER + "class A(gl.Contract): pass").A)
    assert (instance.balance, instance.address) == (12, CONTRACT)


def test_contract__original_constructor__can_be_found(std: Any) -> None:
    contract = std.load(HEADER + "class A(gl.Contract):\n    n: u8\n    def __init__(self, n): self.n = n").A
    instance = std.instance(contract)
    getattr(contract.__init__, std.generate.ORIGINAL_INIT_ATTR)(instance, 5)
    assert std.instance(contract).n == 5


def test_contract__called_like_a_class__lives_in_memory(std: Any, host: Any) -> None:
    contract = std.load(HEADER + "class A(gl.Contract):\n    n: u8\n    def __init__(self, n): self.n = n").A
    assert contract(5).n == 5
    assert host.count() == (0, 0)


def test_public__marks__are_what_hosts_read(std: Any) -> None:
    public = std.gl.public

    def marks(decorate: Any) -> dict[str, Any]:
        def method() -> None: ...

        assert decorate(method) is method
        return vars(method)

    base = {"__gl_public__": True, "__gl_readonly__": False}
    gas = {"__gl_min_gas_leader__": 5, "__gl_min_gas_validator__": 3}
    assert marks(public.view) == {"__gl_public__": True, "__gl_readonly__": True}
    assert marks(public.write) == base
    assert marks(public.write.payable) == {**base, "__gl_payable__": True}
    assert marks(public.write.min_gas(leader=5, validator=3)) == {**base, **gas}
    assert marks(public.write.min_gas(leader=5, validator=3).payable) == {**base, **gas, "__gl_payable__": True}


# --- other contracts ---


def test_view__call__is_sent_and_its_value_returned(std: Any, host: Any) -> None:
    host.answers.append(b"\0" + calldata.encode([1, "x"]))
    assert std.gl.get_contract_at(OTHER).view().get("a", n=2) == [1, "x"]
    call = {"method": "get", "args": ["a"], "kwargs": {"n": 2}}
    assert host.requests == [{"CallContract": {"address": OTHER, "calldata": call, "state": 0}}]


def test_view__lazy__gives_the_value_when_asked(std: Any, host: Any) -> None:
    host.answers.append(b"\0\x29")
    lazy = std.gl.get_contract_at(OTHER).view(state=2).get.lazy()
    assert lazy.get() == 5
    assert host.requests[0]["CallContract"]["state"] == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [(b"\1callee says no", "callee says no"), (b"\2invalid_contract absent", "vm error: invalid_contract absent")],
)
def test_view__failed__raises_user_error(std: Any, host: Any, answer: bytes, message: str) -> None:
    host.answers.append(answer)
    with pytest.raises(std.gl.vm.UserError) as caught:
        std.gl.get_contract_at(OTHER).view().get()
    assert (caught.value.message, str(caught.value)) == (message, f"UserError(message={message!r})")


def test_emit__method__is_posted(std: Any, host: Any) -> None:
    std.gl.get_contract_at(OTHER).emit(value=3, on="accepted").note("x", times=2)
    std.gl.get_contract_at(OTHER).emit().note()
    assert host.requests == [
        {
            "PostMessage": {
                "address": OTHER,
                "calldata": {"method": "note", "args": ["x"], "kwargs": {"times": 2}},
                "value": 3,
                "on": "accepted",
            }
        },
        {"PostMessage": {"address": OTHER, "calldata": {"method": "note"}, "value": 0, "on": "finalized"}},
    ]


def test_emit_transfer__positive__is_posted_without_method(std: Any, host: Any) -> None:
    std.gl.get_contract_at(OTHER).emit_transfer(value=5, on="accepted")
    assert host.requests == [{"PostMessage": {"address": OTHER, "calldata": {}, "value": 5, "on": "accepted"}}]


@pytest.mark.parametrize("value", [0, -1])
def test_emit_transfer__not_positive__raises_value_error(std: Any, host: Any, value: int) -> None:
    with pytest.raises(ValueError, match="value must be greater than 0 for emit_transfer"):
        std.gl.get_contract_at(OTHER).emit_transfer(value=value)
    assert host.requests == []


def test_emit__unknown_phase__raises_value_error(std: Any) -> None:
    with pytest.raises(ValueError, match="accepted or finalized"):
        std.gl.get_contract_at(OTHER).emit(on="later").note()


def test_proxy__balance_and_address__are_the_others(std: Any, host: Any) -> None:
    host.balances[OTHER.as_bytes] = 9
    proxy = std.gl.get_contract_at(OTHER)
    assert (proxy.balance, proxy.address) == (9, OTHER)


@pytest.mark.parametrize("bad", ["0x" + "77" * 20, b"\x77" * 20, None])
def test_get_contract_at__no_address__raises_type_error(std: Any, bad: Any) -> None:
    with pytest.raises(TypeError, match="address is expected"):
        std.gl.get_contract_at(bad)


def test_contract_interface__declared_methods__can_be_called_only(std: Any, host: Any) -> None:
    @std.gl.contract_interface
    class Target:
        class View:
            def seen(self) -> int: ...

        class Write:
            def deposit(self) -> None: ...

    host.answers.append(b"\0\x29")
    assert Target(OTHER).view().seen() == 5
    Target(OTHER).emit(value=1).deposit()
    assert [next(iter(request)) for request in host.requests] == ["CallContract", "PostMessage"]
    for methods in (Target(OTHER).view(), Target(OTHER).emit()):
        with pytest.raises(AttributeError, match="no method 'other'"):
            methods.other()


def test_deploy__with_salt__returns_the_address(std: Any, host: Any) -> None:
    address = std.gl.deploy_contract(code=b"# code", args=[1], kwargs={"a": 2}, salt_nonce=7, value=3, on="accepted")
    expected = keccak256(b"\x01" + CONTRACT.as_bytes + (7).to_bytes(32, "big") + (61999).to_bytes(32, "big"))[:20]
    assert address == Address(expected)
    assert host.requests == [
        {
            "DeployContract": {
                "calldata": {"args": [1], "kwargs": {"a": 2}},
                "code": b"# code",
                "value": 3,
                "on": "accepted",
                "salt_nonce": 7,
            }
        }
    ]


def test_deploy__without_salt__returns_none(std: Any, host: Any) -> None:
    assert std.gl.deploy_contract(code="# é") is None
    assert host.requests[0]["DeployContract"]["code"] == "# é".encode()


# --- EVM ---


@pytest.fixture
def token(std: Any) -> Any:
    module = std.load(
        HEADER
        + """
@gl.evm.contract_interface
class Token:
    class View:
        def balanceOf(self, owner: Address) -> u256: ...
        def pair(self, ids: list[u8], who: tuple[Address, bool]) -> tuple[str, Address]: ...
        def owners(self) -> list[Address]: ...
    class Write:
        def transfer(self, to: Address, amount: u256, /) -> bool: ...
"""
    )
    return module.Token(OTHER)


def test_evm_transfer__value__is_sent_with_empty_calldata(std: Any, host: Any, token: Any) -> None:
    token.emit_transfer(value=4)
    assert host.requests == [{"EthSend": {"address": OTHER, "calldata": b"", "value": 4}}]
    with pytest.raises(ValueError, match="greater than 0"):
        token.emit_transfer(value=0)


def test_evm_emit__method__is_abi_encoded(std: Any, host: Any, token: Any) -> None:
    token.emit(value=1).transfer(CONTRACT, 5)
    data = bytes.fromhex("a9059cbb") + abi_encode(["address", "uint256"], [CONTRACT.as_bytes, 5])
    assert host.requests == [{"EthSend": {"address": OTHER, "calldata": data, "value": 1}}]


def test_evm_view__method__is_encoded_and_decoded(std: Any, host: Any, token: Any) -> None:
    host.answers.append(abi_encode(["uint256"], [12]))
    assert token.view().balanceOf(CONTRACT) == 12
    assert host.requests[0]["EthCall"]["calldata"][:4].hex() == "70a08231"


def test_evm_view__several_results__come_as_a_tuple(std: Any, host: Any, token: Any) -> None:
    host.answers.append(abi_encode(["string", "address"], ["n", OTHER.as_bytes]))
    assert token.view().pair([1, 2], (OTHER, True)) == ("n", OTHER)
    host.answers.append(abi_encode(["address[]"], [[OTHER.as_bytes]]))
    assert token.view().owners() == [OTHER]


def test_evm__wrong_number_of_arguments__raises_type_error(token: Any) -> None:
    with pytest.raises(TypeError, match="takes 1 arguments but 2 were given"):
        token.view().balanceOf(CONTRACT, 5)


def test_evm__undeclared_method__raises_attribute_error(token: Any) -> None:
    with pytest.raises(AttributeError, match="no method 'mint'"):
        token.emit().mint()


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("u8", "uint8"),
        ("i256", "int256"),
        ("DynArray[u16]", "uint16[]"),
        ("tuple[u8, list[bytes]]", "(uint8,bytes[])"),
        ("gl.evm.bytes4", "bytes4"),
        ("Array[u8, typing.Literal[3]]", "uint8[3]"),
        ("str", "string"),
    ],
)
def test_type_name_of__annotation__is_the_one_of_the_abi(std: Any, annotation: str, kind: str) -> None:
    names: dict[str, Any] = {}
    exec(f"from genlayer import *\nimport typing\nkind = {annotation}", names)
    assert std.module("genlayer.py.eth").type_name_of(names["kind"]) == kind


def test_evm_selector_of__name_and_types__is_that_of_the_signature(std: Any) -> None:
    evm = std.gl.evm
    assert evm.selector_of("transfer", tuple[std.Address, std.u256]).hex() == "a9059cbb"
    assert evm.signature_of("f", tuple[std.u8, list[std.i16], evm.bytes4]) == "f(uint8,int16[],bytes4)"


@pytest.mark.parametrize(
    ("annotation", "value", "types"),
    [
        ("u256", 7, ["uint256"]),
        ("str", "text", ["string"]),
        ("list[Address]", [OTHER], ["address[]"]),
        ("tuple[u8, list[Address]]", (1, [OTHER]), ["(uint8,address[])"]),
        ("gl.evm.bytes4", b"abcd", ["bytes4"]),
    ],
)
def test_evm_encode__value__is_the_abis_and_is_read_again(
    std: Any, annotation: str, value: Any, types: list[str]
) -> None:
    names: dict[str, Any] = {}
    exec(f"from genlayer import *\nkind = {annotation}", names)
    encoded = std.gl.evm.encode(names["kind"], value)
    plain = eval(repr(value), {"Address": lambda text: std.Address(text).as_bytes})
    assert encoded == abi_encode(types, [plain])
    assert std.gl.evm.decode(names["kind"], encoded) == value


def test_evm_encode__inplace_tuple__is_encoded_as_arguments(std: Any) -> None:
    evm = std.gl.evm
    kind = tuple[evm.InplaceTuple, std.u256, str]
    assert evm.encode(kind, (1, "a")) == abi_encode(["uint256", "string"], [1, "a"])
    assert evm.decode(kind, evm.encode(kind, (1, "a"))) == (1, "a")


@pytest.mark.parametrize("parameter", ["n: int", "n: float", "n: dict[str, str]", "n"])
def test_evm_interface__parameter_without_abi_type__raises_type_error(std: Any, parameter: str) -> None:
    source = f"@gl.evm.contract_interface\nclass T:\n    class View:\n        def f(self, {parameter}) -> u8: ...\n"
    with pytest.raises(TypeError):
        std.load(HEADER + source)


# --- the rest ---


def test_trace__values__are_joined(std: Any, host: Any) -> None:
    std.gl.trace("a", 1)
    host.answers.append(b"\1")
    assert std.gl.trace_time_micro() == 0
    assert host.requests == [{"Trace": {"Message": "a 1"}}, {"Trace": {"RuntimeMicroSec": None}}]


def test_user_error_immediate__host_returns__never_goes_on(std: Any, host: Any) -> None:
    with pytest.raises(RuntimeError, match="went on"):
        std.gl.advanced.user_error_immediate("stop")
    assert host.requests == [{"Rollback": "stop"}]
