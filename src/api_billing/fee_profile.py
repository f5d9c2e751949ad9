"""What transactions were measured to need, by method: a JSON file as genlayer-test's ``--fee-profile`` writes it.

It is used where a node cannot estimate. The one that this package carries is made by `tools/fee_profile.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from api_billing.errors import InvalidInput, UnexpectedAnswer
from api_billing.fees import (
    LEADER_TIME_UNITS,
    ROTATIONS,
    VALIDATOR_TIME_UNITS,
    Distribution,
    Prices,
    whole,
    with_headroom,
)

FILE_NAME: Final = "fee-profile.json"
_VERSION: Final = 1
_DEPLOY: Final = ""


def profile_path() -> Path:
    """The profile of this checkout, or the copy that an installed package carries."""
    here = Path(__file__).resolve().parent
    place = here.parents[1] / "deploy" / FILE_NAME
    return place if place.is_file() else here / FILE_NAME


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one method, or of a deployment."""

    leader_time_units: int = LEADER_TIME_UNITS
    validator_time_units: int = VALIDATOR_TIME_UNITS
    execution_budget_wei: int = 0
    message_fees_wei: int = 0
    rotations: int = ROTATIONS

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read a part of the file. Raises: ValueError, TypeError."""
        return cls(
            whole(told.get("leaderTimeunitsAllocation", LEADER_TIME_UNITS)),
            whole(told.get("validatorTimeunitsAllocation", VALIDATOR_TIME_UNITS)),
            whole(told.get("executionBudgetPerRound", 0)),
            whole(told.get("totalMessageFees", 0)),
            whole(told.get("rotationsPerRound", ROTATIONS)),
        )


@dataclass(frozen=True, slots=True)
class FeeProfile:
    """Methods with what they were measured to need, and the prices at which; without prices the present ones."""

    measured: Mapping[str, Measured]
    prices: Prices | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises: InvalidInput."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                raise ValueError(f"it is of version {content['version']}")
            measured = {str(name): Measured.of(each) for name, each in content["methods"].items()}
            if "deploy" in content:
                measured[_DEPLOY] = Measured.of(content["deploy"])
            return cls(measured, Prices.of(content["prices"]) if "prices" in content else None)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, UnexpectedAnswer) as error:
            raise InvalidInput(f"{path} is no fee profile: {error}", hint="gltest --fee-profile writes one") from error

    def distribution(self, method: str, prices: Prices) -> Distribution:
        """What to deposit for a method, or for a deployment without one, at these prices."""
        known = self.measured.get(method)
        found = known or Measured()
        budget_wei = self._now(found.execution_budget_wei, prices)
        if known is None or method == _DEPLOY:  # of whatever contract
            budget_wei = max(budget_wei, prices.usual_execution_wei)
        return Distribution(
            found.leader_time_units,
            found.validator_time_units,
            execution_budget_wei=max(budget_wei, prices.least_execution_wei),
            rotations=(found.rotations,),
            max_time_unit_wei=with_headroom(prices.time_unit_wei),
            max_storage_unit_wei=with_headroom(prices.storage_unit_wei),
            max_receipt_gas_wei=with_headroom(prices.receipt_gas_wei),
        )

    def _now(self, wei: int, prices: Prices) -> int:
        """What was measured, at higher prices."""
        if self.prices is None:
            return wei
        pairs = (
            (prices.storage_unit_wei, self.prices.storage_unit_wei),
            (prices.receipt_gas_wei, self.prices.receipt_gas_wei),
        )
        return max([wei, *(-(-wei * now // then) for now, then in pairs if then)])


@cache
def shipped_profile() -> FeeProfile:
    """What this package carries."""
    return FeeProfile.read(profile_path())
