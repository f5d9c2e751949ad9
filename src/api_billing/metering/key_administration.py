"""API keys, as they are administered: made, imported, changed, rotated, revoked.

A key that may do all that its consumer may is a secret of the consumer's server. One with ``apis`` and a cap may be put
where others can read it, in a page or an app: what they can do with it is bounded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypedDict, Unpack

from api_billing.metering.errors import InvalidSetting, UnknownKey
from api_billing.metering.identity.api_keys import NewKey, imported_key, new_key
from api_billing.metering.ledger.consumer_operations import (
    ApiKey,
    ChangeKey,
    FindKey,
    ListKeys,
    PutKey,
    RevokeKey,
    RotateKey,
)
from api_billing.metering.limits.checks import Amount, check_tuple
from api_billing.metering.limits.quotas import Quota, all_in
from api_billing.metering.limits.windows import Period
from api_billing.metering.request.identity import consumer_name
from api_billing.metering.request.request_meter import RequestMeter
from api_billing.metering.stores.steps import Blocking, Steps, arun, run

_MAX_LABEL: Final = 100
_MAX_API: Final = 64
_CAP: Final = "cap"  # the name of the quota that a key's cap is


class KeyTerms(TypedDict, total=False):
    """What an API key may be, all of it optional.

    ``tier`` instead of its consumer's; ``label``, to tell it by; ``expires_at``, with a time zone; ``apis`` that it is
    good for, none: all; ``cap``, what may be spent with it in each month, or whatever ``per`` is, in smallest units or
    as a text like ``"5 gen"``; further ``quotas`` of its own.
    """

    tier: str
    label: str
    expires_at: datetime | None
    apis: Sequence[str]
    cap: Amount | None
    per: Period | None
    quotas: Sequence[Quota]


class KeyAdministration(RequestMeter):
    """What is kept of keys, and how it is changed. Thread-safe."""

    @abstractmethod
    def pepper(self) -> bytes:
        """The secret that API keys are hashed with. Raises: InvalidSetting, StoreUnavailable."""

    def create_key(self, consumer: str, **terms: Unpack[KeyTerms]) -> NewKey:
        """Make an API key for a consumer that exists. Its text is in the answer and nowhere else.

        Raises: UnknownConsumer, UnknownTier, InvalidSetting (no name, no terms, no pepper), StoreUnavailable.
        """
        return run(self._creating(consumer, terms), self.store.call)

    async def acreate_key(self, consumer: str, **terms: Unpack[KeyTerms]) -> NewKey:
        """As ``create_key``, in a coroutine."""
        return await arun(self._creating(consumer, terms), self.store.acall)

    def _creating(self, consumer: str, terms: KeyTerms) -> Steps[NewKey]:
        pepper = yield Blocking(self.pepper)
        made = new_key(pepper, consumer_name(consumer), self.now_ms())
        made = yield from self._kept(made, terms)
        self.log_done("key made", made.stored.consumer, key_id=made.stored.key_id)
        return made

    def import_key(self, text: str, consumer: str, **terms: Unpack[KeyTerms]) -> ApiKey:
        """Take a key that a consumer has already: 16 to 4,096 printable ASCII characters without spaces. Only its hash
        is kept, as of any. The same text may be imported again for the same consumer, with the same terms.

        Raises: IdConflict when it is another consumer's, or has other terms; else as ``create_key``.
        """
        return run(self._importing(text, consumer, terms), self.store.call)

    def _importing(self, text: str, consumer: str, terms: KeyTerms) -> Steps[ApiKey]:
        pepper = yield Blocking(self.pepper)
        made = imported_key(pepper, text, consumer_name(consumer), self.now_ms())
        known: ApiKey | None = yield FindKey(made.stored.key_id)
        if known is not None:  # as it was made then
            made = made._replace(stored=replace(made.stored, created_ms=known.created_ms))
        made = yield from self._kept(made, terms)
        self.log_done("key imported", made.stored.consumer, key_id=made.stored.key_id)
        stored: ApiKey = yield FindKey(made.stored.key_id)  # it may have been revoked before
        return stored

    def _kept(self, made: NewKey, terms: KeyTerms) -> Steps[NewKey]:
        made = made._replace(stored=self._on_terms(made.stored, **terms))
        key = made.stored
        yield from self.keeping(PutKey(key), key.quotas, consumer=key.consumer, tier=key.tier)
        return made

    def _on_terms(
        self,
        key: ApiKey,
        *,
        tier: str = "",
        label: str = "",
        expires_at: datetime | None = None,
        apis: Sequence[str] = (),
        cap: Amount | None = None,
        per: Period | None = None,
        quotas: Sequence[Quota] = (),
    ) -> ApiKey:
        check_tuple("the quotas of a key", quotas := tuple(quotas), Quota)
        if cap is not None:
            quotas = (Quota(_CAP, "month" if per is None else per, cap, "wei"), *quotas)
        elif per is not None:
            raise InvalidSetting("only the cap of a key has a period: give a cap, too, or nothing is limited")
        if len({quota.name for quota in quotas}) < len(quotas):
            raise InvalidSetting(f"two quotas of a key have one name; that of its cap is {_CAP}")
        return replace(
            key,
            tier=tier,
            label=_label(label),
            expires_ms=self._expiry(expires_at),
            apis=_api_names(apis),
            quotas=all_in(self.currency, quotas),
        )

    def _expiry(self, expires_at: datetime | None) -> int | None:
        if expires_at is None:
            return None
        if not isinstance(expires_at, datetime) or expires_at.tzinfo is None:
            raise InvalidSetting(f"a key expires at a datetime with a time zone, not {expires_at!r:.80}")
        expires_ms = int(expires_at.timestamp() * 1000)
        if expires_ms <= self.now_ms():
            raise InvalidSetting(f"a key expires in the future, not at {expires_at}")
        return expires_ms

    def keys(self, consumer: str = "") -> tuple[ApiKey, ...]:
        """API keys of one consumer, or of all, oldest first; revoked and expired ones too. Raises: StoreUnavailable."""
        return self.store.call(ListKeys(consumer and consumer_name(consumer)))

    def rotate_key(
        self,
        key_id: str,
        *,
        overlap: timedelta = timedelta(),
        expires_at: datetime | None = None,
        label: str | None = None,
    ) -> NewKey:
        """Make a new key in the place of one, which is good for the ``overlap`` still. All else is as it was: consumer,
        tier, APIs, and its quotas, in which both count together. A key that expires gives the new one as long a life as
        it had itself, unless ``expires_at`` says otherwise.

        Raises: UnknownKey, also of one that is not good any more; IdConflict when it was rotated before: of keys that
        were made in each other's place only the newest can be; InvalidSetting, StoreUnavailable.
        """
        was = self._key(key_id)
        if not isinstance(overlap, timedelta) or overlap < timedelta():
            raise InvalidSetting(f"an overlap is a timedelta of 0 or more, not {overlap!r:.80}")
        now_ms = self.now_ms()
        expires_ms = self._expiry(expires_at)
        if expires_ms is None and was.expires_ms is not None:
            expires_ms = now_ms + was.expires_ms - was.created_ms
        made = new_key(self.pepper(), was.consumer, now_ms)
        stored = replace(made.stored, label=was.label if label is None else _label(label), expires_ms=expires_ms)
        until_ms = now_ms + overlap // timedelta(milliseconds=1)
        made = made._replace(stored=self.store.call(RotateKey(key_id, stored, now_ms, until_ms)))
        self.log_done("key rotated", was.consumer, key_id=key_id, new_key_id=made.stored.key_id)
        return made

    def change_key(self, key_id: str, **terms: Unpack[KeyTerms]) -> ApiKey:
        """Change what is given of a key, from the next request with it on, in all processes; None takes its cap or its
        end from it. What it has spent stays counted. The key as it is then; one that was revoked stays so.

        Raises: UnknownKey, UnknownTier, InvalidSetting, StoreUnavailable.
        """
        while True:
            was = self._key(key_id)
            wanted = self._changed(was, terms)
            if self.store.call(ChangeKey(wanted, was)) == wanted:
                self.log_done("key changed", was.consumer, key_id=key_id)
                return wanted
            # Somebody else changed it in between: once more, on what they made of it.

    def _changed(self, was: ApiKey, terms: KeyTerms) -> ApiKey:
        cap = next((each for each in was.quotas if each == Quota(_CAP, each.period, each.limit, "wei")), None)
        kept: KeyTerms = {
            "tier": was.tier,
            "label": was.label,
            "apis": was.apis,
            "cap": None if cap is None else cap.limit,
            "per": None if cap is None or terms.get("cap", cap) is None else cap.period,
            "quotas": [each for each in was.quotas if each is not cap],
        }
        kept.update(terms)
        changed = self._on_terms(was, **kept)
        return changed if "expires_at" in terms else replace(changed, expires_ms=was.expires_ms)

    def revoke_key(self, key_id: str) -> ApiKey:
        """Refuse a key from now on, in all processes; one that was revoked before stays so. The key as it is then.

        Raises: UnknownKey, StoreUnavailable.
        """
        was_good = self.store.call(RevokeKey(key_id, self.now_ms()))
        key = self._key(key_id)
        if was_good:
            self.log_done("key revoked", key.consumer, key_id=key_id)
        return key

    def _key(self, key_id: str) -> ApiKey:
        found = self.store.call(FindKey(key_id))
        if found is None:
            raise UnknownKey(f"there is no key {key_id!r:.80}")
        return found


def _label(label: object) -> str:
    if type(label) is not str or len(label) > _MAX_LABEL or not label.isprintable():
        raise InvalidSetting(f"a label has at most {_MAX_LABEL} printable characters")
    return label


def _api_names(apis: Sequence[str]) -> tuple[str, ...]:
    names = (apis,) if isinstance(apis, str) else tuple(apis)
    if not all(type(name) is str and 0 < len(name) <= _MAX_API and name.isprintable() for name in names):
        raise InvalidSetting(f"an API has a name of 1 to {_MAX_API} printable characters")
    return names
