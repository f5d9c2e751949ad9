"""What the bootloader of the v0.3 line does with a call. Whatever is raised here ends it as ``exit_code 1``."""

from __future__ import annotations

import json
from typing import Any

from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.loading.library_v03 import LibraryV03
from genlayer_localnet.vm.dispatch import Method, check_payable, check_public, construct


@calls_contract_code
def call_constructor(library: LibraryV03, contract_class: type, instance: Any, call: Any) -> None:
    """Lock the default slots, then run ``__init__``."""
    entry = _map(call)
    library.lock_default_slots()
    construct(library, contract_class, instance, *_arguments(entry))


@calls_contract_code
def call_method(library: LibraryV03, contract_class: type, make_instance: Method, call: Any, value: int) -> Any:
    """Run the method that the entry names, or the special method that stands in for it."""
    entry = _map(call)
    name: Any = entry.get("", "")
    if name == "#get-schema":
        return json.dumps(library.get_schema(contract_class), separators=(",", ":"))
    if name == "":
        receive: Any = contract_class.__receive__  # type: ignore[attr-defined]  # every contract's class has it
        if not _is_abstract(receive):
            _check(receive, value)
            _arguments(entry)
            return receive(make_instance())
    elif name.startswith("__"):
        raise ValueError("calls to methods that start with __ is forbidden")
    elif name.startswith("#"):
        raise ValueError(f"unknown special method {name}")
    elif hasattr(contract_class, name):
        method = getattr(contract_class, name)
        _check(method, value)
        args, kwargs = _arguments(entry)
        return method(make_instance(), *args, **kwargs)
    undefined: Any = contract_class.__handle_undefined_method__  # type: ignore[attr-defined]
    _check(undefined, value)
    return undefined(make_instance(), name, *_arguments(entry))


def _map(call: Any) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise TypeError(f"invalid calldata, expected a map, got {call!r}")
    return call


def _arguments(entry: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = entry.get("args", []), entry.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise TypeError("invalid calldata, args must be an array and kwargs a map")
    return args, kwargs


@calls_contract_code
def _check(method: Any, value: int) -> None:
    if _is_abstract(method):
        raise ValueError(f"method is abstract `{method}`")
    check_public(method)
    check_payable(method, value)


def _is_abstract(method: Any) -> bool:
    return bool(getattr(method, "__isabstractmethod__", False))
