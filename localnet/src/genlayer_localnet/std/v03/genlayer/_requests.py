"""Requests to the host, encoded as this line does."""

from __future__ import annotations

import functools
from typing import Any

from genlayer_localnet.std.shared import requests
from genlayer_localnet.std.shared.contracts import call_object as _call_object

from . import calldata
from .types import Address

__all__ = ("ask", "call_object", "post", "tell")

tell = functools.partial(requests.tell, encode=calldata.encode)
ask = functools.partial(requests.ask, encode=calldata.encode)
call_object = functools.partial(_call_object, "")


def post(address: Address, call: dict[str, Any], value: int, on: str, **fees: Any) -> None:
    """Send a message to a contract or an account; ``fees`` as ``fee_fields`` gives them."""
    tell({"EmitInternalMessage": {"address": address, "calldata": call, "value": value, "on": on, **fees}})


def fee_fields(use_balance: bool, fee_params: Any) -> dict[str, Any]:
    """How a message's fees are paid, as far as the contract says it."""
    fields: dict[str, Any] = {}
    if use_balance:
        fields["use_balance"] = True
    if fee_params is not None:
        fields["fee_params"] = fee_params
    return fields
