"""EVM contracts and plain accounts, which take value and ABI calls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from genlayer_localnet.address import Address
from genlayer_localnet.std.shared import abi as _abi
from genlayer_localnet.std.shared.abi import *  # noqa: F403 - the ABI, listed in __all__ of the module
from genlayer_localnet.std.shared.abi import MethodEncoder
from genlayer_localnet.std.shared.contracts import declared_functions, positive_value
from genlayer_localnet.std.shared.lazy import Lazy, LazyApi, lazy_api
from genlayer_localnet.std.shared.requests import ask, tell, wasi

from ..py.types import u256

__all__ = (*_abi.__all__, "EvmContract", "contract_interface")


class EvmContract:
    """An account outside of the GenVM, by its address."""

    __slots__ = ("_address",)

    _views: ClassVar[dict[str, MethodEncoder]] = {}
    _writes: ClassVar[dict[str, MethodEncoder]] = {}

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    @property
    def balance(self) -> u256:
        """In wei, as of before this call."""
        return u256(wasi.get_balance(self._address.as_bytes))

    def view(self) -> Any:
        """Call methods at once; not every network can."""
        return _Methods(self._views, functools.partial(_view_method, self._address))

    def emit(self, *, value: int = 0) -> Any:
        """Send calls, when this transaction is finalized."""
        return _Methods(self._writes, functools.partial(_write_method, self._address, value))

    def emit_transfer(self, *, value: int) -> None:
        """Send value, when this transaction is finalized.

        Raises:
            ValueError: when the value is not positive.
        """
        _send(self._address, b"", positive_value(value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"


class _Methods:
    __slots__ = ("_call", "_declared")

    def __init__(self, declared: dict[str, MethodEncoder], call: Callable[[MethodEncoder], Any]) -> None:
        self._declared = declared
        self._call = call

    def __getattr__(self, name: str) -> Any:
        encoder = self._declared.get(name)
        if encoder is None:
            raise AttributeError(f"the contract's interface has no method {name!r} here")
        return self._call(encoder)


def _send(address: Address, data: bytes, value: int) -> None:
    tell({"EthSend": {"address": address, "calldata": data, "value": value}})


def _view_method(address: Address, encoder: MethodEncoder) -> LazyApi[..., Any]:
    @lazy_api
    def call(*args: Any) -> Lazy[Any]:
        answer = ask({"EthCall": {"address": address, "calldata": encoder.encode_call(args)}})
        return Lazy(lambda: encoder.decode_result(answer))

    return call


def _write_method(address: Address, value: int, encoder: MethodEncoder) -> Callable[..., None]:
    def send(*args: Any) -> None:
        _send(address, encoder.encode_call(args), value)

    return send


def contract_interface(declaration: type) -> type[EvmContract]:
    """Make a proxy from a class with the classes ``View`` and ``Write``; their annotations give the ABI's types.

    Raises:
        TypeError: when a parameter has no annotation, or one that the ABI does not have.
    """
    return type(
        declaration.__name__,
        (EvmContract,),
        {
            "__slots__": (),
            "__module__": declaration.__module__,
            "__qualname__": declaration.__qualname__,
            "__doc__": declaration.__doc__,
            "_views": {name: MethodEncoder(name, value) for name, value in declared_functions(declaration, "View")},
            "_writes": {name: MethodEncoder(name, value) for name, value in declared_functions(declaration, "Write")},
        },
    )
