"""The base class of contracts, and what contracts do with each other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from genlayer_localnet.address import Address
from genlayer_localnet.std.shared.contracts import (
    call_object,
    create2_address,
    declared_functions,
    is_unpickled_class,
    positive_value,
)
from genlayer_localnet.std.shared.lazy import Lazy, LazyApi, lazy_api
from genlayer_localnet.std.shared.requests import ask, tell, wasi

from ..py.storage._internal.generate import build_contract_storage
from ..py.types import u256
from . import vm
from ._message import current_message

__all__ = (
    "Contract",
    "ContractProxy",
    "On",
    "contract_interface",
    "deploy_contract",
    "get_contract_at",
)

type On = Literal["accepted", "finalized"]
"""The phase of the emitting transaction in which a message is sent."""

__known_contract__: type | None = None
"""The contract of this program: there is one. The host sets it back before it loads another."""

_STATE_DEFAULT: Final = 0


class Contract:
    """Base of contracts. The annotated attributes of the subclass are its storage."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        global __known_contract__
        super().__init_subclass__(**kwargs)
        if is_unpickled_class():
            return
        if __known_contract__ is not None:
            raise TypeError(
                f"only one contract class is allowed, and {__known_contract__.__qualname__} is there already; "
                f"then comes {cls.__qualname__}"
            )
        build_contract_storage(cls)
        cls.__gl_contract__ = True  # type: ignore[attr-defined]  # by which hosts know it
        __known_contract__ = cls

    @property
    def address(self) -> Address:
        return current_message().contract_address

    @property
    def balance(self) -> u256:
        """What the contract has, in wei, less what this call has sent already."""
        return u256(wasi.get_self_balance())

    def __receive__(self) -> None:
        """Called for value that comes without a method name, when overridden and public."""
        raise NotImplementedError

    def __handle_undefined_method__(self, method_name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Called for names that are no methods, when overridden and public."""
        raise NotImplementedError

    def __on_errored_message__(self) -> None:
        """Would be called when an emitted message failed; no network does."""


# --- other contracts --------------------------------------------------------------------------------------------


_call_object = functools.partial(call_object, "method")


def _post(address: Address, call: dict[str, Any], value: int, on: On) -> None:
    if on not in ("accepted", "finalized"):
        raise ValueError(f"on is accepted or finalized, not {on!r}")
    tell({"PostMessage": {"address": address, "calldata": call, "value": value, "on": on}})


class _Methods:
    """``proxy.view()`` and ``proxy.emit()``: every attribute is a method of the other contract."""

    __slots__ = ("_call", "_declared")

    def __init__(self, call: Callable[[str], Callable[..., Any]], declared: frozenset[str] | None) -> None:
        self._call = call
        self._declared = declared

    def __getattr__(self, name: str) -> Callable[..., Any]:
        undeclared = self._declared is not None and name not in self._declared
        if undeclared or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"the contract's interface has no method {name!r} here")
        return self._call(name)


class ContractProxy:
    """Another contract, by its address. Whether there is one shows when it is called."""

    __slots__ = ("_address",)

    # None for any name; the names that an interface declares otherwise.
    _views: ClassVar[frozenset[str] | None] = None
    _writes: ClassVar[frozenset[str] | None] = None

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    @property
    def balance(self) -> u256:
        """In wei, as of before this call."""
        return u256(wasi.get_balance(self._address.as_bytes))

    def view(self, *, state: Any = _STATE_DEFAULT) -> Any:
        """Call views at once, against accepted state (``state=1``: finalized). The callee sees the original sender.

        The state is a number, or an object whose ``value`` is one.
        """
        number = getattr(state, "value", state)
        return _Methods(functools.partial(_view_method, self._address, number), self._views)

    def emit(self, *, value: int = 0, on: On = "finalized") -> Any:
        """Send a message: the method runs in a transaction of its own, later, and has no result."""
        return _Methods(functools.partial(_write_method, self._address, value, on), self._writes)

    def emit_transfer(self, *, value: int, on: On = "finalized") -> None:
        """Send value without a method name.

        Raises:
            ValueError: when the value is not positive.
        """
        _post(self._address, {}, positive_value(value), on)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"


def _view_method(address: Address, state: Any, name: str) -> LazyApi[..., Any]:
    @lazy_api
    def call(*args: Any, **kwargs: Any) -> Lazy[Any]:
        request = {"address": address, "calldata": _call_object(name, args, kwargs), "state": state}
        answer = ask({"CallContract": request})
        return Lazy(lambda: vm.unpack_result(vm.decode_result(answer)))

    return call


def _write_method(address: Address, value: int, on: On, name: str) -> Callable[..., None]:
    def post(*args: Any, **kwargs: Any) -> None:
        _post(address, _call_object(name, args, kwargs), value, on)

    return post


def get_contract_at(address: Address, /) -> ContractProxy:
    """A contract of which nothing is known but its address."""
    if not isinstance(address, Address):
        raise TypeError(f"address is expected, not {type(address).__name__}")
    return ContractProxy(address)


def contract_interface(declaration: type) -> type[ContractProxy]:
    """Make a typed proxy from a class with the classes ``View`` and ``Write``, whose methods name the contract's."""
    return type(
        declaration.__name__,
        (ContractProxy,),
        {
            "__slots__": (),
            "__module__": declaration.__module__,
            "__qualname__": declaration.__qualname__,
            "__doc__": declaration.__doc__,
            "_views": declared_methods(declaration, "View"),
            "_writes": declared_methods(declaration, "Write"),
        },
    )


def declared_methods(declaration: type, group: str) -> frozenset[str]:
    """The names of the functions in a nested class, which may be absent."""
    return frozenset(name for name, _ in declared_functions(declaration, group))


def deploy_contract(
    *,
    code: bytes | str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    salt_nonce: int = 0,
    value: int = 0,
    on: On = "finalized",
) -> Address | None:
    """Deploy a contract in a transaction of its own. With a salt the address is known, and returned, at once."""
    if on not in ("accepted", "finalized"):
        raise ValueError(f"on is accepted or finalized, not {on!r}")
    message = current_message()
    tell(
        {
            "DeployContract": {
                "calldata": _call_object(None, args, kwargs or {}),
                "code": code.encode("utf-8") if isinstance(code, str) else code,
                "value": value,
                "on": on,
                "salt_nonce": salt_nonce,
            }
        }
    )
    return create2_address(message.contract_address, salt_nonce, message.chain_id) if salt_nonce else None
