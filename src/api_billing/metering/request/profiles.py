"""What this process remembers of consumers, so that a request needs no lookup.

Nothing here has to be current: each reservation carries the version of the profile that its windows came from, and the
store answers with the current profile when that is another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, cast

from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.consumer_operations import GetProfile, ListTiers, PutProfile
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.stores.steps import Steps

_SIZE: Final = 100_000


class ProfileCache:
    """The last used profiles, and the tiers by name. Thread-safe.

    ``outdated`` is told whose profile is fetched or forgotten: what else is remembered of them may be old, too.
    """

    def __init__(
        self, *, outdated: Callable[[str], None] = lambda _: None, new_consumers: str = "", size: int = _SIZE
    ) -> None:
        self._outdated = outdated
        self._new_consumers = new_consumers
        self._size = size
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._tiers: dict[str, Tier | None] = {}  # None: there is no tier of that name
        self._lock = threading.Lock()
        at_fork(in_child=self._renew_lock)

    def known(self, consumer: str) -> Profile | None:
        """The profile of a consumer, when it is remembered."""
        return self._profiles.get(consumer)

    def of(self, consumer: str, new_tier: str = "") -> Steps[Profile | None]:
        """The profile of a consumer; one who is new is made when the settings name a tier for such, or ``new_tier``
        does; else None.
        """
        profile = self._profiles.get(consumer)
        if profile is not None:
            return profile
        self._outdated(consumer)
        profile = cast("Profile | None", (yield GetProfile(consumer)))
        if profile is None and (tier := self._new_consumers or new_tier):
            profile = yield PutProfile(consumer, tier, replaces=0)
        if profile is not None:
            self.put(profile)
        return profile

    def tier(self, name: str) -> Steps[Tier | None]:
        """The tier of a name; None when there is none."""
        if name not in self._tiers:
            tiers = {tier.name: tier for tier in (yield ListTiers())}
            self._tiers = {**tiers, name: tiers.get(name)}
        return self._tiers.get(name)

    def put(self, profile: Profile) -> None:
        """Remember a profile; the one put longest ago makes room."""
        with self._lock:
            self._profiles[profile.consumer] = profile
            self._profiles.move_to_end(profile.consumer)
            if len(self._profiles) > self._size:
                self._profiles.popitem(last=False)

    def forget(self, consumer: str) -> None:
        """Forget a consumer, and the tiers: either may be what changed."""
        self._outdated(consumer)
        with self._lock:
            self._profiles.pop(consumer, None)
            self._tiers = {}

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
