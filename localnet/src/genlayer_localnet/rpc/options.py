"""How a node is started. On its own, since who starts one in another process has no need of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from genlayer_localnet.interpreter.time_limit import DEFAULT_SECONDS
from genlayer_localnet.loading import standard_library
from genlayer_localnet.loading.standard_library import StandardLibrary
from genlayer_localnet.rpc.networks import NetworkName

DEFAULT_FINALITY_WINDOW_SECONDS = 10
"""Clearly below the 27 seconds in which genlayer-py and genlayer-js ask ten times, and then give up."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How a node is started. Where None is given, what a state file says counts, or else the default.

    ``network``: which one to be like. ``fee_prices``: wei for a time unit, a unit of storage and the gas of a receipt;
    three zeros are no fees. ``accounts``: how many the server signs for. ``validators``: how many there are at the
    first start. ``now``: where the clock starts; without it that is the machine's time, or as far from it as it was
    when the state was saved.
    ``contract_timeout_seconds``: after which contract code is ended; None is never.
    """

    network: NetworkName | None = None
    chain_id: int | None = None
    fee_prices: tuple[int, int, int] | None = None
    seed: str | None = None
    failed_value: Literal["keep", "return"] | None = None
    first_children: Literal["undone", "stay"] | None = None
    finality_window_seconds: float | None = None
    validators: int = 5
    rotations: int = 3
    contract_timeout_seconds: float | None = DEFAULT_SECONDS
    auto_mine: bool = True
    strict_funds: bool = False
    accounts: int = 10
    now: datetime | None = None
    std: standard_library.Choice | StandardLibrary | None = None
