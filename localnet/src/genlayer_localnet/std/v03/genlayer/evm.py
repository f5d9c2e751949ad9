"""EVM contracts and plain accounts, which take value and ABI calls."""

from __future__ import annotations

import functools

from genlayer_localnet.std.shared import abi as _abi
from genlayer_localnet.std.shared.abi import *  # noqa: F403 - the ABI, listed in __all__ of the module
from genlayer_localnet.std.shared.evm import EvmProxy, interface

from . import chain as _chain
from ._requests import tell

__all__ = (*_abi.__all__, "Account", "ContractProxy", "contract_interface")


class ContractProxy(EvmProxy):
    __doc__ = EvmProxy.__doc__

    __slots__ = ()

    _send_request = "EmitExternalMessage"
    _call_request = "ExternalCall"

    def emit_transfer(self, *, value: int = 0) -> None:
        """Send value, when this transaction is finalized."""
        self._send(b"", value)


contract_interface = functools.partial(interface, ContractProxy)


class Account(_chain.Account):
    """Any account; its ``emit_transfer`` is an internal message, as every account's."""

    __slots__ = ()

    def emit_call(self, value: int, data: bytes) -> None:
        """Send value and the bytes of a call in an external message."""
        tell({"EmitExternalMessage": {"address": self._address, "calldata": data, "value": value}})
