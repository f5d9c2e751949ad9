"""What a store can be asked about consumers, tiers and API keys. As in ``operations``, each is one atomic step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api_billing.amounts import Currency
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.limits.checks import check_tuple
from api_billing.metering.limits.profile import ANONYMOUS, Profile
from api_billing.metering.limits.quotas import Budget, Quota, all_in
from api_billing.metering.limits.tiers import Tier


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as stored: ``digest`` is the keyed hash of its secret (hex); the secret itself is nowhere.

    ``apis`` are those it is good for, none: all. ``quotas`` are its own, beside its consumer's: in wei they cap what it
    may spend. Keys that were made in each other's place count together in them: ``first`` is the id of the first.
    """

    key_id: str
    digest: str
    consumer: str
    tier: str  # empty: the consumer's tier
    label: str
    created_ms: int
    revoked_ms: int | None = None
    expires_ms: int | None = None
    apis: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    first: str = ""  # empty: it is the first

    @property
    def family(self) -> str:
        """What it has in common with those that it was made in the place of, and the other way round."""
        return self.first or self.key_id

    @property
    def is_limited(self) -> bool:
        """Whether it may do less than its consumer."""
        return bool(self.apis or self.quotas)

    def is_good(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


@dataclass(frozen=True, slots=True)
class GetProfile(Operation["Profile | None"]):
    """What is known of a consumer."""

    consumer: str


@dataclass(frozen=True, slots=True)
class PutProfile(Operation[Profile]):
    """Make or replace a consumer: its tier by name, quotas, budgets. The answer is the profile as it is then.

    With ``replaces`` only a profile of that version is replaced (0: one that does not exist); another stays as it is.
    Raises: ``UnknownTier`` when the tier is not defined; InvalidSetting, when it is made, for a value of another type.
    """

    consumer: str
    tier: str
    disabled: bool = False
    quotas: tuple[Quota, ...] = ()
    budgets: tuple[Budget, ...] = ()
    replaces: int = -1  # -1: whatever there is

    def __post_init__(self) -> None:
        check_tuple("quotas", self.quotas, Quota)
        check_tuple("budgets", self.budgets, Budget)
        if not isinstance(self.tier, str) or not isinstance(self.disabled, bool):
            raise InvalidSetting("a consumer has the name of a tier, and is disabled or not: True or False")

    def in_currency(self, currency: Currency) -> PutProfile:
        """The same without amounts that are texts. Raises: InvalidSetting for one that is not of this currency."""
        return replace(self, quotas=all_in(currency, self.quotas), budgets=all_in(currency, self.budgets))


@dataclass(frozen=True, slots=True)
class ListProfiles(Operation[tuple[Profile, ...]]):
    """Consumers in the order of their names, after ``after``."""

    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class PutTier(Operation[None]):
    """Define or redefine a tier; every profile's version changes with it.

    Raises: InvalidSetting, when it is made, for the name that anonymous clients have as their tier.
    """

    tier: Tier

    def __post_init__(self) -> None:
        if self.tier.name == ANONYMOUS:
            raise InvalidSetting(f"no tier can be called {ANONYMOUS}: clients that are not known have that one")


@dataclass(frozen=True, slots=True)
class ListTiers(Operation[tuple[Tier, ...]]):
    """All tiers, in the order of their names."""


@dataclass(frozen=True, slots=True)
class PutKey(Operation[None]):
    """Keep a new API key; its consumer has to exist, and its tier, if it has one of its own.

    Raises: ``UnknownConsumer``, ``UnknownTier``, ``IdConflict`` when there is another key of this id.
    """

    key: ApiKey


@dataclass(frozen=True, slots=True)
class FindKey(Operation["ApiKey | None"]):
    """The key of that id, revoked or not."""

    key_id: str


@dataclass(frozen=True, slots=True)
class RevokeKey(Operation[bool]):
    """Revoke a key from now on and change its consumer's version; False when there is none or it was revoked before."""

    key_id: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class ChangeKey(Operation["ApiKey | None"]):
    """Keep a key in the place of what it was, ``replaces``, and change its consumer's version; another one stays as it
    is. The answer: the key as it is then, None when there is none. Raises: ``UnknownTier``.
    """

    key: ApiKey
    replaces: ApiKey


@dataclass(frozen=True, slots=True)
class RotateKey(Operation[ApiKey]):
    """Keep a new key in the place of another, which expires at ``until_ms`` if not before; the new one as it is kept.

    All but id, digest, label and expiry are those of the other one. Of keys that were made in each other's place only
    the newest can be rotated, if it is good. Raises: ``UnknownKey``; ``IdConflict`` when it was rotated before, but not
    for the same new key, which changes nothing.
    """

    key_id: str
    key: ApiKey
    now_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class KeepPepperCheck(Operation[str]):
    """Keep what tells the pepper of API keys from others, in the place of ``replaces``. The answer: what is kept.

    Without ``check`` it is only read. Empty: there is none.
    """

    check: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class KeepCurrency(Operation[str]):
    """Keep what money is counted in, as code and decimals (``USD 9``), unless it is kept already. The answer: what is.

    Without ``currency`` it is only read. Empty: there is none.
    """

    currency: str = ""


@dataclass(frozen=True, slots=True)
class ListKeys(Operation[tuple[ApiKey, ...]]):
    """Keys of one consumer, or of all, oldest first; with ``limit`` so many of them, in the order of their ids, after
    the id ``after``.
    """

    consumer: str = ""
    after: str = ""
    limit: int | None = None
