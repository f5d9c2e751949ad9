"""Fees in JSON. Amounts are decimal texts, which every client reads without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from genlayer_localnet.rpc.errors import invalid_params
from genlayer_localnet.rpc.parameters import mapping, quantity, shown
from genlayer_localnet.state.fees import FeePolicy


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_PRICES: Final = {_camel_case(field.name): field.name for field in fields(FeePolicy)}


def config_json(policy: FeePolicy | None) -> dict[str, Any]:
    """What a network charges; without fees all prices are zero."""
    shown_policy = policy or FeePolicy(0, 0, 0)
    prices = {name: str(getattr(shown_policy, field)) for name, field in _PRICES.items()}
    return {"enabled": policy is not None, "policy": prices}


def policy_of(config: Any, present: FeePolicy | None) -> FeePolicy | None:
    """What an object like the answer of ``config_json`` makes of the present prices. Raises: RpcError."""
    given = mapping(config, "fee config")
    enabled, prices = given.get("enabled", True), mapping(given.get("policy", {}), "policy")
    unknown = (given.keys() - {"enabled", "policy"}) | (prices.keys() - _PRICES.keys())
    if unknown or not isinstance(enabled, bool):
        raise invalid_params(f"a fee config has enabled, and in policy {', '.join(_PRICES)}; not {shown(dict(given))}")
    if not enabled:
        return None
    changed = {_PRICES[name]: quantity(value, name) for name, value in prices.items()}
    before: Mapping[str, int] = {name: getattr(present or FeePolicy(0, 0, 0), name) for name in _PRICES.values()}
    return FeePolicy(**{**before, **changed})
