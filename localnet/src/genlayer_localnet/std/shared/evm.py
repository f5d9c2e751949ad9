"""EVM contracts and plain accounts, which take value and ABI calls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from genlayer_localnet.address import Address

from .abi import MethodEncoder
from .contracts import declared_functions
from .lazy import Lazy, LazyApi, lazy_api
from .requests import ask, tell, wasi

__all__ = ("EvmProxy", "interface")


class EvmProxy:
    """An account outside of the GenVM, by its address. Each line derives from this."""

    __slots__ = ("_address",)

    _send_request: ClassVar[str]
    _call_request: ClassVar[str]
    _views: ClassVar[dict[str, MethodEncoder]] = {}
    _writes: ClassVar[dict[str, MethodEncoder]] = {}

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    @property
    def balance(self) -> int:
        """In wei, as of before this call."""
        return int(wasi.get_balance(self._address.as_bytes))

    def view(self) -> Any:
        """Call methods at once; not every network can."""
        return _Methods(self._views, self._view_method)

    def emit(self, *, value: int = 0) -> Any:
        """Send calls, when this transaction is finalized."""
        return _Methods(self._writes, functools.partial(self._write_method, value))

    def _send(self, data: bytes, value: int) -> None:
        tell({self._send_request: {"address": self._address, "calldata": data, "value": value}})

    def _view_method(self, encoder: MethodEncoder) -> LazyApi[..., Any]:
        @lazy_api
        def call(*args: Any) -> Lazy[Any]:
            answer = ask({self._call_request: {"address": self._address, "calldata": encoder.encode_call(args)}})
            return Lazy(lambda: encoder.decode_result(answer))

        return call

    def _write_method(self, value: int, encoder: MethodEncoder) -> Callable[..., None]:
        def send(*args: Any) -> None:
            self._send(encoder.encode_call(args), value)

        return send

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


def interface[P: EvmProxy](base: type[P], declaration: type) -> type[P]:
    """Make a proxy from a class with the classes ``View`` and ``Write``; their annotations give the ABI's types.

    Raises:
        TypeError: when a parameter has no annotation, or one that the ABI does not have.
    """
    return type(
        declaration.__name__,
        (base,),
        {
            "__slots__": (),
            "__module__": declaration.__module__,
            "__qualname__": declaration.__qualname__,
            "__doc__": declaration.__doc__,
            "_views": {name: MethodEncoder(name, value) for name, value in declared_functions(declaration, "View")},
            "_writes": {name: MethodEncoder(name, value) for name, value in declared_functions(declaration, "Write")},
        },
    )
