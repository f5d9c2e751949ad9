"""What the bootloader of the v0.2 line does with a call: it finds the method, checks that it may be called, calls it.

Works with nothing but the marks that ``gl.public`` leaves on methods, so with either standard library. A ValueError
here ends the call as the VM error ``exit_code 1``, as on the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.loading.library import LoadedLibrary

# Any: arguments and results are the contract's.
Method = Callable[..., Any]


@calls_contract_code
def call_constructor(library: LoadedLibrary, contract_class: type, instance: Any, call: Any) -> None:
    """Run ``__init__``; a method name in the call does not matter, nor whether it is payable."""
    construct(library, contract_class, instance, *_arguments(call))


@calls_contract_code
def construct(
    library: LoadedLibrary, contract_class: type, instance: Any, args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Run the constructor, where there is one."""
    constructor = library.constructor_of(contract_class)
    if getattr(constructor, "__gl_public__", False):
        raise ValueError("__init__ must not be public")
    if constructor is None or constructor is object.__init__:
        if args or kwargs:
            raise TypeError(f"{contract_class.__name__}() takes no arguments")
        return
    constructor(instance, *args, **kwargs)


@calls_contract_code
def call_method(library: LoadedLibrary, contract_class: type, make_instance: Method, call: Any, value: int) -> Any:
    """Run the method that the call object names, or the special method that stands in for it."""
    args, kwargs = _arguments(call)
    name = call.get("method", "")
    if not isinstance(name, str):
        raise ValueError("method name is not a string")
    if name == "":
        return _receive(contract_class, make_instance, args, kwargs, value)
    if name.startswith("#"):
        return _special(library, contract_class, make_instance, name, args, kwargs)
    if name.startswith("__"):
        raise ValueError("calls to methods that start with __ is forbidden")
    method = getattr(contract_class, name, None)
    if method is None:
        return _undefined(contract_class, make_instance, name, args, kwargs, value)
    check_public(method)
    check_payable(method, value)
    return method(make_instance(), *args, **kwargs)


def _arguments(call: Any) -> tuple[list[Any], dict[str, Any]]:
    if not isinstance(call, dict):
        raise ValueError(f"calldata must be a map, not {type(call).__name__}")
    args, kwargs = call.get("args", []), call.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ValueError("args must be an array and kwargs a map")
    return args, kwargs


@calls_contract_code
def _receive(contract_class: type, make_instance: Method, args: list[Any], kwargs: dict[str, Any], value: int) -> Any:
    """A call without a method name: a plain payment."""
    method: Any = getattr(contract_class, "__receive__", None)
    if not getattr(method, "__gl_public__", False):
        return _undefined(contract_class, make_instance, "", args, kwargs, value)
    check_payable(method, value)
    return method(make_instance())


@calls_contract_code
def _undefined(
    contract_class: type, make_instance: Method, name: str, args: list[Any], kwargs: dict[str, Any], value: int
) -> Any:
    method: Any = getattr(contract_class, "__handle_undefined_method__", None)
    if not getattr(method, "__gl_public__", False):
        raise ValueError(f"call to undefined method `{name}`")
    check_payable(method, value)
    return method(make_instance(), name, args, kwargs)


@calls_contract_code
def _special(
    library: LoadedLibrary,
    contract_class: type,
    make_instance: Method,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
) -> Any:
    if name == "#get-schema":
        return json.dumps(library.get_schema(contract_class), separators=(",", ":"))
    if name == "#error":
        method = getattr(contract_class, "__on_errored_message__", None)
        if method is None:
            raise ValueError("the contract does not define __on_errored_message__")
        return method(make_instance(), *args, **kwargs)
    raise ValueError(f"unknown special method {name}")


@calls_contract_code
def check_public(method: Any) -> None:
    if not getattr(method, "__gl_public__", False):
        raise ValueError(f"call to private method `{method}`")


@calls_contract_code
def check_payable(method: Any, value: int) -> None:
    if value > 0 and not getattr(method, "__gl_payable__", False):
        raise ValueError(f"called non-payable method `{method}`")
