"""What a store can be asked about limits that were set at run time. As in ``operations``, each is one atomic step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from api_billing.metering.ledger.operations import Operation
from api_billing.metering.limits.limits import Limit


@dataclass(frozen=True, slots=True)
class PutLimit(Operation[None]):
    """Set a limit of an API, in the place of the one of its name; every profile's version changes with it.

    Raises: InvalidSetting when the API has as many as it can have.
    """

    api: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class DropLimit(Operation[bool]):
    """Take back what was set under a name; every profile's version changes with it. False: nothing was."""

    api: str
    name: str


class SetLimits(NamedTuple):
    """The limits that are set, by API. ``version``: profiles of later ones may come with others."""

    version: int
    by_api: Mapping[str, tuple[Limit, ...]]


@dataclass(frozen=True, slots=True)
class ListLimits(Operation[SetLimits]):
    """The limits that are set, of one API or of all."""

    api: str = ""
