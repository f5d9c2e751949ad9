"""EVM contracts and plain accounts, which take value and ABI calls."""

from __future__ import annotations

import functools

from genlayer_localnet.std.shared import abi as _abi
from genlayer_localnet.std.shared.abi import *  # noqa: F403 - the ABI, listed in __all__ of the module
from genlayer_localnet.std.shared.contracts import positive_value
from genlayer_localnet.std.shared.evm import EvmProxy, interface

__all__ = (*_abi.__all__, "EvmContract", "contract_interface")


class EvmContract(EvmProxy):
    __doc__ = EvmProxy.__doc__

    __slots__ = ()

    _send_request = "EthSend"
    _call_request = "EthCall"

    def emit_transfer(self, *, value: int) -> None:
        """Send value, when this transaction is finalized.

        Raises:
            ValueError: when the value is not positive.
        """
        self._send(b"", positive_value(value))


contract_interface = functools.partial(interface, EvmContract)
