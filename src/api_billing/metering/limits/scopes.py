"""Where limits count: the windows of a request in a set of limits, by who it is from and what it is to."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from api_billing.metering.limits.budgets import counter_name
from api_billing.metering.limits.limits import Limit
from api_billing.metering.limits.windows import WindowCheck

# Methods are of the client's choice, and each of these would be a count of its own.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Place(NamedTuple):
    """What tells requests apart beside the consumer, where a limit asks for it; else empty."""

    route: str = ""
    method: str = ""
    key_id: str = ""
    address: str = ""


NOWHERE: Final = Place()


class Limits:
    """The limits of requests to one API on the same terms. Immutable; another one with the same limits is another."""

    __slots__ = ("_by_key", "_by_method", "_by_route", "api", "by_address", "given")

    def __init__(self, api: str, given: tuple[Limit, ...]) -> None:
        self.api = api
        self.given = given
        self.by_address = any(limit.per == "address" for limit in self.given)
        self._by_key = any(limit.per == "key" for limit in self.given)
        self._by_method = any(limit.on == "method" for limit in self.given)
        self._by_route = self._by_method or any(limit.on == "route" for limit in self.given)

    def place(self, route: str, method: str, key_id: str, address: str) -> Place:
        """What tells a request apart in these limits."""
        return Place(
            route if self._by_route else "",
            (method if method in _METHODS else "other") if self._by_method else "",
            key_id if self._by_key else "",
            address if self.by_address else "",
        )

    def of(self, consumer: str, tier: str, place: Place, now_ms: int) -> list[WindowCheck]:
        """The windows that a request counts in now."""
        checks = []
        for limit in self.given:
            amount, window = limit.amount_for(tier), limit.at(now_ms)
            if amount is None or window is None:
                continue
            checks.append(
                WindowCheck(
                    self._counter(limit, consumer, place),
                    window.starts_ms,
                    window.ends_ms,
                    limit.unit,
                    limit.burst or amount if amount else 0,
                    limit.name,
                    counting=limit.counting,
                    rate=amount if limit.counting == "bucket" else 0,
                    binds=limit.unit == "wei" and limit.per == "key" and bool(place.key_id),
                )
            )
        return checks

    def _counter(self, limit: Limit, consumer: str, place: Place) -> str:
        whose = {"address": place.address, "all": ""}.get(limit.per, consumer)
        key_id = place.key_id if limit.per == "key" else ""
        on = {
            "route": (self.api, place.route),
            "method": (self.api, place.route, place.method),
            "api": (self.api,),
            "group": (limit.group,),
        }[limit.on]
        period = limit.length.replace(" ", "-")
        kind = f"limit-{limit.counting}"
        return counter_name(whose, kind, limit.name, period, limit.unit, limit.anchor, limit.per, key_id, limit.on, *on)


def is_of(check: WindowCheck, name: str = "", key_id: str = "", address: str = "") -> bool:
    """Whether it is a window of a limit of requests, of this name; of a key or address, where these count apart."""
    size, _, rest = check.counter.partition(":")
    if not (size.isdigit() or size == "x"):  # of a plan on the contract
        return False
    end = 64 if size == "x" else int(size)
    parts = rest[end:].split("/", 6)
    return (
        parts[1] == f"limit-{check.counting}"
        and name in ("", parts[2])
        and (not key_id or parts[6].startswith(f"3:key/{len(key_id)}:{key_id}/"))
        and address in ("", rest[:end])
    )


@lru_cache(1_000)
def limits_at(api: str, given: tuple[Limit, ...]) -> Limits | None:
    """The same ones for the same limits; None for none."""
    return Limits(api, given) if given else None
