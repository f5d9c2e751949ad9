"""From the shape of a log to the terms it is billed under. The same log always has the same terms.

Limits and deposits are chosen so that most clients get all they ask for, and a few run into each thing that can stop a
call: somebody uses up an API's calls of the day, somebody has set too low a cap, somebody's credit gets low and is
topped up, somebody's gets low and runs out. Who that is depends on the most calls somebody made on one day.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from itertools import cycle
from typing import Final

from demo.demand import Demand, Pair, PairDemand
from demo.terms import ApiTerms, ConsumerTerms, OperatorTerms, SubscriptionTerms, Terms, account_of

MAX_OPERATORS: Final = 3

_PRICES_WEI: Final = tuple(thousandths * 10**15 for thousandths in (2, 5, 1, 3, 8, 4))
_METERED_SHARE: Final = Fraction(1, 3)
_CLIENTS_PER_TROUBLE: Final = 100
_CLIENTS_PER_STOPPED: Final = 10
_FEWEST_CALLS_FOR_TROUBLE: Final = 4
_TIGHT: Final = Fraction(3, 4)
_AMPLE: Final = 2
_SMALLEST_AMPLE_LIMIT: Final = 50
# What consumers pay in, as a multiple of what their requests will cost.
_DEPOSITS: Final = (Fraction(3, 2), Fraction(2), Fraction(5, 2), Fraction(4))
_DEPOSIT_THAT_GETS_LOW: Final = Fraction(3, 5)
_DEPOSIT_THAT_RUNS_OUT: Final = Fraction(4, 5)


class Trouble(Enum):
    """What a client is meant to run into."""

    DAILY_LIMIT = "the calls of the day are used up"
    SPEND_CAP = "the client's own cap is reached"
    TOPS_UP = "credit gets low, and the client tops up"
    RUNS_OUT = "credit gets low, and then runs out"


@dataclass(slots=True)
class _Casting:
    """Which pair of client and API runs into what."""

    troubles: dict[Pair, Trouble] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)

    def give(self, pair: Pair, trouble: Trouble) -> None:
        self.troubles[pair] = trouble
        self.clients.add(pair.client)

    def of(self, client: str, *wanted: Trouble) -> bool:
        return any(pair.client == client and trouble in wanted for pair, trouble in self.troubles.items())


def plan(demand: Demand) -> Terms:
    """Return the terms under which a log is billed."""
    metered = set(_metered_apis(demand.calls_by_api))
    limits, casting = _limits_and_casting(demand, metered)
    operators = [
        OperatorTerms(f"operator {number}", account_of("operator", str(number)), account_of("meter", str(number)))
        for number in range(1, min(MAX_OPERATORS, len(demand.calls_by_api)) + 1)
    ]
    apis = {
        name: ApiTerms(name, operator, price_wei, limits[name], name in metered)
        for name, operator, price_wei in zip(demand.calls_by_api, cycle(operators), cycle(_PRICES_WEI), strict=False)
    }
    return Terms(operators, apis, _consumers(demand, apis, casting), demand.first_at, demand.last_at)


def _metered_apis(calls_by_api: Mapping[str, int]) -> Iterator[str]:
    """Yield the busiest APIs until they carry a third of the calls; one at least is left that bills call by call."""
    wanted, carried = _METERED_SHARE * sum(calls_by_api.values()), 0
    for name in list(calls_by_api)[:-1]:
        if carried >= wanted:
            return
        carried += calls_by_api[name]
        yield name


def _limits_and_casting(demand: Demand, metered: set[str]) -> tuple[dict[str, int], _Casting]:
    """Choose the daily limits of the APIs, and who runs into what."""
    peaks: defaultdict[str, list[int]] = defaultdict(list)
    busiest = sorted(demand.pairs, key=lambda pair: (-demand.pairs[pair].peak_day_calls, pair))
    for pair in busiest:
        peaks[pair.api].append(demand.pairs[pair].peak_day_calls)
    limits = {api: _round_above(_AMPLE * of_api[0]) for api, of_api in peaks.items()}
    busiest = [pair for pair in busiest if demand.pairs[pair].peak_day_calls >= _FEWEST_CALLS_FOR_TROUBLE]
    each = -(-len(demand.calls_by_client) // _CLIENTS_PER_TROUBLE)
    casting = _Casting()
    for pair in busiest:
        if len(casting.troubles) == each:
            break
        of_api = peaks.pop(pair.api, None)  # the first pair of an API has its peak
        limit = _round_below(_TIGHT * of_api[0]) if of_api else 0
        if of_api and pair.client not in casting.clients and _stops_few(limit, of_api):
            limits[pair.api] = limit
            casting.give(pair, Trouble.DAILY_LIMIT)
    unlimited = [pair for pair in busiest if demand.pairs[pair].peak_day_calls <= limits[pair.api]]
    # Credit is followed call by call, so that a top-up comes in time; a cap is good for any API.
    _cast(casting, [pair for pair in unlimited if pair.api not in metered], (Trouble.TOPS_UP, Trouble.RUNS_OUT), each)
    _cast(casting, unlimited, (Trouble.SPEND_CAP,), each)
    return limits, casting


def _stops_few(limit: int, peaks: list[int]) -> bool:
    """Whether a limit stops the busiest client of an API, and a tenth of the others at most."""
    stopped = sum(peak > limit for peak in peaks)
    return stopped <= 1 + len(peaks) // _CLIENTS_PER_STOPPED


def _cast(casting: _Casting, candidates: list[Pair], troubles: tuple[Trouble, ...], each: int) -> None:
    """Give each of the troubles to as many candidates, in turn, never two to one client."""
    roles = iter(troubles * each)
    for pair in candidates:
        if pair.client not in casting.clients:
            trouble = next(roles, None)
            if trouble is None:
                return
            casting.give(pair, trouble)


def _consumers(demand: Demand, apis: Mapping[str, ApiTerms], casting: _Casting) -> dict[str, ConsumerTerms]:
    by_client: dict[str, list[Pair]] = {client: [] for client in demand.calls_by_client}
    for pair in sorted(demand.pairs):
        by_client[pair.client].append(pair)
    consumers = {}
    for (client, pairs), multiple in zip(by_client.items(), cycle(_DEPOSITS), strict=False):
        has_little = casting.of(client, Trouble.TOPS_UP, Trouble.RUNS_OUT)
        if has_little:
            multiple = _DEPOSIT_THAT_GETS_LOW if casting.of(client, Trouble.TOPS_UP) else _DEPOSIT_THAT_RUNS_OUT
        costs = {pair: _cost_by_day(demand.pairs[pair], apis[pair.api]) for pair in pairs}
        cost = sum(sum(days.values()) for days in costs.values())
        consumers[client] = ConsumerTerms(
            client,
            account_of("consumer", client),
            deposit_wei=max(int(multiple * cost), 1),
            top_up_wei=cost if casting.of(client, Trouble.TOPS_UP) else 0,
            subscriptions=[
                _subscription(
                    apis[pair.api],
                    days,
                    Fraction(0) if has_little else multiple,
                    is_capped=casting.troubles.get(pair) is Trouble.SPEND_CAP,
                )
                for pair, days in costs.items()
            ],
        )
    return consumers


def _subscription(
    api: ApiTerms, cost_by_day: Mapping[int, int], multiple: Fraction, *, is_capped: bool
) -> SubscriptionTerms:
    peak_wei = max(cost_by_day.values())
    cap_wei = int(_TIGHT * peak_wei) if is_capped else _AMPLE * max(peak_wei, api.price_wei)
    # Half of what was paid in for the API; what a settlement takes beyond it comes out of the free credit.
    hold_wei = int(multiple * sum(cost_by_day.values()) / 2) if api.is_metered else 0
    return SubscriptionTerms(api.name, max(cap_wei, api.price_wei), hold_wei)


def _cost_by_day(wanted: PairDemand, api: ApiTerms) -> Counter[int]:
    costs: Counter[int] = Counter()
    for (day_id, parts), calls in wanted.calls_by_day_and_parts.items():
        costs[day_id] += calls * api.cost_of_parts_wei(parts)
    return costs


def _round_above(calls: int) -> int:
    """Return the next number of 1, 2 or 5 with noughts."""
    limit = _SMALLEST_AMPLE_LIMIT
    for factor in cycle((Fraction(2), Fraction(2), Fraction(5, 2))):
        if limit >= calls:
            break
        limit = int(limit * factor)
    return limit


def _round_below(calls: Fraction) -> int:
    """Return a multiple of five where there is one, so that it looks like a limit somebody chose."""
    whole = int(calls)
    return whole - whole % 5 or whole
