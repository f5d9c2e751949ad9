"""Pairings are computed when they are wanted: not each time that eth-account is imported.

It imports eth-keyfile, which for the keys of validators imports py-ecc, and that computes tables of two curves: a good
part of what a command takes until it talks to a chain. Accounts have keys of another kind.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any, Final

_ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Of BLS12-381: all that eth-keyfile wants of it when it is imported."""
_lock = RLock()


class _Late(ModuleType):
    """A module whose code runs when something is wanted of it that it does not have."""

    def __getattr__(self, name: str) -> Any:
        with _lock:
            if not name.startswith("__") and not self.__dict__.get("_begun"):
                self._begun = True
                assert self.__spec__ is not None
                assert self.__spec__.loader is not None
                self.__spec__.loader.exec_module(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)


class _Scheme:
    """What of `py_ecc.bls` is imported by name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.modules["py_ecc.bls"].ciphersuites.G2ProofOfPossession, name)


def defer_pairings() -> None:
    """To be called before eth-account is imported, or what imports it: genlayer-py, web3."""
    if "eth_keyfile" in sys.modules or find_spec("py_ecc") is None:
        return
    given: dict[str, dict[str, Any]] = {
        "py_ecc.bls": {"G2ProofOfPossession": _Scheme()},
        "py_ecc.bls12_381": {"curve_order": _ORDER},
    }
    for name, values in given.items():
        spec = None if name in sys.modules else find_spec(name)
        if spec is not None:
            module = sys.modules[name] = module_from_spec(spec)
            module.__class__ = _Late
            module.__dict__.update(values)
