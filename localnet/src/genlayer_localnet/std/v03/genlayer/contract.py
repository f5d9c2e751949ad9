"""The base class of contracts, and what contracts do with each other."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from genlayer_localnet.std.shared.contracts import create2_address, is_unpickled_class, positive_value
from genlayer_localnet.std.shared.lazy import Lazy, LazyApi, lazy_api
from genlayer_localnet.std.shared.requests import wasi

from . import message
from ._abi import ABI
from ._requests import call_object, fee_fields, post, tell
from ._schema import get_schema
from .chain import ON, Account
from .storage._internal.generate import attach_contract
from .types import Address
from .vm import ask_vm

__all__ = ("ON", "Contract", "GenVMContractDeclaration", "Proxy", "StorageView", "deploy", "get_at", "interface")

StorageView: Final = ABI.StorageView

__known_contract__: type | None = None
"""The contract of this program: there is one. The host sets it back before it loads another."""


class Contract:
    """Base of contracts. The annotated attributes of the subclass are its storage."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        global __known_contract__
        super().__init_subclass__(**kwargs)
        if is_unpickled_class():
            return
        if __known_contract__ is not None:
            raise TypeError(f"only one contract is allowed; first: `{__known_contract__}` second: `{cls}`")
        attach_contract(cls)
        cls.__gl_contract__ = True  # type: ignore[attr-defined]  # by which tools know it
        __known_contract__ = cls

    @property
    def address(self) -> Address:
        return message.contract_address

    @property
    def balance(self) -> int:
        """What the contract has, in wei, less what this call has sent already."""
        return int(wasi.get_self_balance())

    def emit_transfer(self, value: int, *, on: ON = "finalized") -> None:
        """Send value to this contract itself.

        Raises:
            ValueError: when the value is not positive.
        """
        post(self.address, {}, positive_value(value), on)

    @abstractmethod
    def __receive__(self) -> Any:
        """Called for value that comes without a method name, when overridden."""

    @abstractmethod
    def __handle_undefined_method__(self, method_name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Called for names that are no methods, when overridden."""

    @classmethod
    def __get_schema__(cls) -> dict[str, Any]:
        return get_schema(cls)


# --- other contracts --------------------------------------------------------------------------------------------


class _Methods:
    """``proxy.view()`` and ``proxy.emit()``: every attribute is a method of the other contract."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[str], Callable[..., Any]]) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"{name!r} is no method of a contract")
        return self._call(name)


class Proxy(Account):
    """Another contract, by its address. Whether there is one shows when it is called."""

    __slots__ = ()

    def view(self, *, state: ABI.StorageView = StorageView.LATEST_DECIDED, catch_vm_error: bool = False) -> Any:
        """Call methods at once, on what is decided (or final) of the other contract.

        A user error of it is raised. Its VM errors end the caller too, unless ``catch_vm_error`` makes them the value.
        """
        return _Methods(functools.partial(_view_method, self._address, int(state), catch_vm_error))

    def emit(self, *, value: int = 0, on: ON = "finalized", use_balance: bool = False, fee_params: Any = None) -> Any:
        """Send a message: the method runs in a transaction of its own, later, and has no result."""
        fees = fee_fields(use_balance, fee_params)
        return _Methods(functools.partial(_write_method, self._address, value, on, fees))

    def emit_transfer(
        self, value: int, *, on: ON = "finalized", use_balance: bool = False, fee_params: Any = None
    ) -> None:
        """Send value without a method name.

        Raises:
            ValueError: when the value is not positive.
        """
        post(self._address, {}, positive_value(value), on, **fee_fields(use_balance, fee_params))


class _ContractAt(Proxy):
    __slots__ = ()


def _view_method(address: Address, state: int, catch_vm_error: bool, name: str) -> LazyApi[..., Any]:
    @lazy_api
    def call(*args: Any, **kwargs: Any) -> Lazy[Any]:
        call = call_object(name, args, kwargs)
        request = {"address": address, "calldata": call, "storage_view": state, "catch_vm_error": catch_vm_error}
        return ask_vm({"CallContract": request})

    return call


def _write_method(address: Address, value: int, on: ON, fees: dict[str, Any], name: str) -> Callable[..., None]:
    def send(*args: Any, **kwargs: Any) -> None:
        post(address, call_object(name, args, kwargs), value, on, **fees)

    return send


def get_at(address: Address, /) -> Proxy:
    """A contract, by its address.

    Raises:
        TypeError: when it is no Address.
    """
    return _ContractAt(address)


class GenVMContractDeclaration(Protocol):
    """What ``interface`` takes: a class with the classes ``View`` and ``Write``, whose methods name the contract's."""

    View: type
    Write: type


def interface(declaration: type, /) -> Callable[[Address], Proxy]:
    """Declare another contract's methods, for readers and type checkers: at run time it is ``get_at``."""
    return get_at


def deploy(
    *,
    code: bytes,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    salt_nonce: int = 0,
    value: int = 0,
    on: ON = "finalized",
    use_balance: bool = False,
    fee_params: Any = None,
) -> Address | None:
    """Deploy a contract in a transaction of its own. With a salt the address is known, and returned, at once."""
    request = {
        "calldata": call_object(None, args, kwargs or {}),
        "code": code,
        "value": value,
        "on": on,
        "salt_nonce": salt_nonce,
        **fee_fields(use_balance, fee_params),
    }
    tell({"EmitInternalDeployMessage": request})
    if not salt_nonce:
        return None
    return Address(create2_address(message.contract_address, salt_nonce, message.chain_id))
