"""The networks that a server can be like: their chain ids, the line of GenVM that they run, what they charge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from genlayer_localnet.loading.lines import Line
from genlayer_localnet.state.fees import FeePolicy

NetworkName = Literal["studio", "studio-next"]


@dataclass(frozen=True, slots=True)
class Network:
    chain_id: int
    line: Line | None
    """The only one; None: contracts of every line run."""
    fees: FeePolicy | None
    """None: there are none."""


PRICES: Final = FeePolicy(gen_per_time_unit=10**12, storage_unit_price=10**9, receipt_gas_price=10**8)
"""Our own choice, low and none alike, so that none is taken for another: what networks charge they say themselves."""
HIGHEST_PRICE: Final = 2**96 - 1
"""So that what follows from prices, gas and time is an amount: those have 256 bits."""
NETWORKS: Final[Mapping[NetworkName | None, Network]] = {
    None: Network(61999, None, None),
    "studio": Network(61999, "v0.2", None),
    "studio-next": Network(61997, "v0.3", PRICES),
}
"""None is a network of the localnet's own: everything that can be tried out, and nothing to pay."""


def in_force(prices: FeePolicy | None) -> FeePolicy | None:
    """None, which is no fees, also where all prices are zero."""
    free = prices is None or not (prices.gen_per_time_unit or prices.storage_unit_price or prices.receipt_gas_price)
    return None if free else prices


def described(name: NetworkName | None, fees: FeePolicy | None) -> str:
    """A network in a line, with the prices that it has now."""
    line = NETWORKS[name].line
    runs = "contracts of both lines of GenVM" if line is None else f"contracts of the {line} line"
    if fees is None:
        return f"{name or 'of its own'}: {runs}, no fees"
    prices = f"{fees.gen_per_time_unit}, {fees.storage_unit_price} and {fees.receipt_gas_price} wei"
    return f"{name or 'of its own'}: {runs}, fees ({prices} for time, storage and receipts)"
