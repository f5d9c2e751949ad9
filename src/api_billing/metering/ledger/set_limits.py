"""The rules of limits that are set at run time: whoever changes one gives all profiles a new version."""

from __future__ import annotations

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.documents import limits_from_text, limits_to_text
from api_billing.metering.ledger.limit_operations import DropLimit, ListLimits, PutLimit, SetLimits
from api_billing.metering.ledger.rows import LIMITS, LimitsRow
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.limits.limits import MAX_LIMITS, Limit


def put_limit(tables: Tables, op: PutLimit) -> None:
    """Set a limit; in the place of one of its name."""
    limits = {limit.name: limit for limit in _limits(tables, op.api)}
    limits[op.limit.name] = op.limit
    if len(limits) > MAX_LIMITS:
        raise InvalidSetting(f"{op.api} has {MAX_LIMITS} limits already: remove one")
    _put(tables, op.api, tuple(limits.values()))


def drop_limit(tables: Tables, op: DropLimit) -> bool:
    """Take back a limit; whether there was one."""
    limits = _limits(tables, op.api)
    left = tuple([limit for limit in limits if limit.name != op.name])
    if left == limits:
        return False
    _put(tables, op.api, left)
    return True


def list_limits(tables: Tables, op: ListLimits) -> SetLimits:
    """What is set, as it is with this version or a later one."""
    version = tables.number("version")
    if op.api:
        return SetLimits(version, {op.api: _limits(tables, op.api)})
    tables.flush()
    by_api = {row.api: limits_from_text(row.limits) for row in tables.limits()}
    return SetLimits(version, {api: limits for api, limits in sorted(by_api.items()) if limits})


def _limits(tables: Tables, api: str) -> tuple[Limit, ...]:
    row: LimitsRow | None = tables.find(LIMITS, (api,))
    return () if row is None else limits_from_text(row.limits)


def _put(tables: Tables, api: str, limits: tuple[Limit, ...]) -> None:
    tables.put(LimitsRow(api, limits_to_text(limits)))
    tables.set_number("tiers_version", tables.set_number("version", tables.number("version") + 1))
