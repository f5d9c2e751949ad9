"""The rules of consumers, tiers and API keys: whoever changes one gives it, or all, a new version."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from api_billing.metering.errors import IdConflict, UnknownConsumer, UnknownKey, UnknownTier
from api_billing.metering.ledger.consumer_operations import (
    ApiKey,
    ChangeKey,
    FindKey,
    KeepCurrency,
    KeepPepperCheck,
    ListKeys,
    ListProfiles,
    ListTiers,
    PutKey,
    PutProfile,
    PutTier,
    RevokeKey,
    RotateKey,
)
from api_billing.metering.ledger.documents import budgets_to_text, quotas_to_text
from api_billing.metering.ledger.operations import GrantMade, ListGrants, Summarize, Summed
from api_billing.metering.ledger.rows import API_KEYS, CONSUMERS, TIERS, ConsumerRow, KeyRow, TierRow
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier

_PEPPER: Final = "pepper"
_CURRENCY: Final = "currency"


def put_profile(tables: Tables, op: PutProfile) -> Profile:
    """Make or replace a consumer; what is there then."""
    if tables.tier(op.tier) is None:
        raise UnknownTier(f"no tier is called {op.tier!r}")
    consumer = tables.consumer(op.consumer)
    if op.replaces in (-1, tables.version_of(consumer) if consumer is not None else 0):
        quotas, budgets = quotas_to_text(op.quotas), budgets_to_text(op.budgets)
        version = _new_version(tables)
        tables.put(ConsumerRow(op.consumer, op.tier, int(op.disabled), quotas, budgets, version))
    profile = tables.profile(op.consumer)
    assert profile is not None
    return profile


def list_profiles(tables: Tables, op: ListProfiles) -> tuple[Profile, ...]:
    """Consumers in the order of their names."""
    tables.flush()
    consumers = tables.consumers(op.after, op.limit)
    tables.fetch(TIERS, {(consumer.tier,): None for consumer in consumers})
    version = tables.number("tiers_version")
    return tuple([consumer.profile(_tier(tables, consumer.tier), version) for consumer in consumers])


def _tier(tables: Tables, name: str) -> Tier:
    tier = tables.tier(name)
    assert tier is not None  # a tier is never deleted
    return tier


def put_tier(tables: Tables, op: PutTier) -> None:
    """Define a tier; every profile has another version then."""
    tables.put(tier_row(op.tier))
    tables.set_number("tiers_version", _new_version(tables))


def tier_row(tier: Tier) -> TierRow:
    """A tier as it is kept."""
    calls = None if tier.monthly_calls is None else str(tier.monthly_calls)
    return TierRow(tier.name, calls, tier.retention_days, quotas_to_text(tier.quotas))


def list_tiers(tables: Tables, op: ListTiers) -> tuple[Tier, ...]:
    """All tiers, in the order of their names."""
    tables.flush()
    return tuple(sorted([row.tier() for row in tables.tiers()], key=lambda tier: tier.name))


def put_key(tables: Tables, op: PutKey) -> None:
    """Keep an API key of a consumer that exists; one that is there already stays as it is, revoked or not."""
    key = op.key
    if tables.consumer(key.consumer) is None:
        raise UnknownConsumer(f"no consumer is called {key.consumer!r}")
    if key.tier and tables.tier(key.tier) is None:
        raise UnknownTier(f"there is no tier {key.tier!r}")
    row: KeyRow | None = tables.find(API_KEYS, (key.key_id,))
    if row is None:
        tables.put(KeyRow.of(key))
    elif replace(row.api_key(), revoked_ms=key.revoked_ms) != key:
        raise IdConflict(f"the key {key.key_id!r} is there already, of another consumer or with other terms")


def find_key(tables: Tables, op: FindKey) -> ApiKey | None:
    """The key of an id."""
    row: KeyRow | None = tables.find(API_KEYS, (op.key_id,))
    return None if row is None else row.api_key()


def revoke_key(tables: Tables, op: RevokeKey) -> bool:
    """Revoke a key; whether that changed anything."""
    row: KeyRow | None = tables.find(API_KEYS, (op.key_id,))
    if row is None or row.api_key().revoked_ms is not None:
        return False
    key = row.api_key()
    tables.put(KeyRow.of(replace(key, revoked_ms=op.now_ms)))
    _give_new_version(tables, key.consumer)
    return True


def change_key(tables: Tables, op: ChangeKey) -> ApiKey | None:
    """Keep a key in the place of what it was."""
    row: KeyRow | None = tables.find(API_KEYS, (op.key.key_id,))
    was = None if row is None else row.api_key()
    if was != op.replaces or was == op.key:
        return was
    if op.key.tier and tables.tier(op.key.tier) is None:
        raise UnknownTier(f"there is no tier {op.key.tier!r}")
    tables.put(KeyRow.of(op.key))
    _give_new_version(tables, op.key.consumer)
    return op.key


def rotate_key(tables: Tables, op: RotateKey) -> ApiKey:
    """Keep a key in the place of another."""
    tables.flush()
    row: KeyRow | None = tables.find(API_KEYS, (op.key_id,))
    if row is None:
        raise UnknownKey(f"there is no key {op.key_id!r}")
    was = row.api_key()
    tables.consumer(was.consumer)  # from here on nobody else rotates one of its keys
    family = [key for each in tables.keys(was.consumer) if (key := each.api_key()).family == was.family]
    newest = max([key for key in family if key.revoked_ms is None], key=lambda key: key.created_ms, default=was)
    if newest.key_id == op.key.key_id and newest.digest == op.key.digest:
        return newest  # it is done
    if newest.key_id != was.key_id:
        raise IdConflict(f"the key {op.key_id!r} was rotated before: the newest is {newest.key_id!r}")
    if not was.is_good(op.now_ms):
        raise UnknownKey(f"the key {op.key_id!r} is not good any more: make a new one")
    # Later than all of its family, so that there is a newest.
    made_ms = max(op.key.created_ms, *(key.created_ms + 1 for key in family))
    key = replace(
        was,
        key_id=op.key.key_id,
        digest=op.key.digest,
        label=op.key.label,
        created_ms=made_ms,
        expires_ms=op.key.expires_ms,
        first=was.family,
    )
    if tables.find(API_KEYS, (key.key_id,)) is not None:
        raise IdConflict(f"there is another key of the id {key.key_id!r}")
    tables.put(KeyRow.of(key))
    until_ms = op.until_ms if was.expires_ms is None else min(was.expires_ms, op.until_ms)
    tables.put(KeyRow.of(replace(was, expires_ms=until_ms)))
    _give_new_version(tables, was.consumer)
    return key


def keep_pepper_check(tables: Tables, op: KeepPepperCheck) -> str:
    """Keep what tells peppers apart, unless another is kept; what is kept then."""
    kept: str = tables.document(_PEPPER) or ""
    if not op.check or kept != op.replaces:
        return kept
    tables.put_document(_PEPPER, op.check)
    return op.check


def keep_currency(tables: Tables, op: KeepCurrency) -> str:
    """Keep the currency of all money here, unless there is one; the one that is kept then."""
    kept: str = tables.document(_CURRENCY) or ""
    if kept or not op.currency:
        return kept
    tables.put_document(_CURRENCY, op.currency)
    return op.currency


def list_keys(tables: Tables, op: ListKeys) -> tuple[ApiKey, ...]:
    """Keys, oldest first, or a page of them."""
    tables.flush()
    keys = [row.api_key() for row in tables.keys(op.consumer, op.after, op.limit)]
    if op.limit is not None:
        return tuple(keys)
    return tuple(sorted(keys, key=lambda key: (key.created_ms, key.key_id)))


def list_grants(tables: Tables, op: ListGrants) -> tuple[GrantMade, ...]:
    """What was granted to an account, oldest first."""
    tables.flush()
    return tuple(sorted(tables.grants(op.account), key=lambda made: (made.at_ms, made.grant_id)))


def summarize(tables: Tables, op: Summarize) -> Summed:
    """How much there is of what."""
    tables.flush()
    open_ = tables.open_requests(op.limit)
    reserved_wei = sum([request.estimate_wei for request in open_])
    return Summed(tables.number_of(CONSUMERS), tables.number_of(API_KEYS), len(open_), reserved_wei)


def _give_new_version(tables: Tables, name: str) -> None:
    """What is remembered of a consumer, and of its keys, is looked at anew with its next request."""
    consumer = tables.consumer(name)
    if consumer is not None:
        consumer.version = _new_version(tables)
        tables.touch(consumer)


def _new_version(tables: Tables) -> int:
    return tables.set_number("version", tables.number("version") + 1)
