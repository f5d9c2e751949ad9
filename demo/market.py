"""What the people of the network that is left running do, day by day, for some weeks up to now.

Olga sells three APIs: `weather` under a promise, settled once a day by her meter; `maps`, billed call by call, and from
now on as a live meter counts; and `translate`, which Sam pays by vouchers of a session. Everybody's credit and calls
are such that what their name says is so at the end.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from api_billing.vouchers import Channel, sign_voucher
from demo import ROOT
from demo.billing_contract import BillingContract, must_call, must_deploy
from demo.contract_client import free_api_name
from demo.people import CARL, CONSUMERS, DAN, DORA, FIONA, METER, OLGA, SAM, VERA, Person
from demo.replay import is_weekend
from demo.terms import ApiTerms, account_of

GEN: Final = 10**18
MAPS_PRICE_WEI: Final = GEN // 50
COURT: Final = ROOT / "contracts" / "usage_court.py"
BOND_WEI: Final = GEN // 10
REFUND_PERCENT: Final = 50
ANSWER: Final = {"refund_percent": REFUND_PERCENT, "reason": "The log shows that half of the calls were not answered."}
EVIDENCE_URL: Final = "https://outages.example/weather"
EVIDENCE: Final = "weather: 48 percent of the calls of this day were answered with status 503."

_DAY_SECONDS: Final = 86_400
_WEALTH_WEI: Final = 500 * GEN
_PRICES_WEI: Final = {"weather": GEN // 100, "maps": MAPS_PRICE_WEI, "translate": GEN // 200}
_DAY_LIMITS: Final = {"weather": 200, "maps": 500, "translate": 1_000}
_MONTH_LIMITS: Final = {"weather": 4_000, "maps": 0, "translate": 0}
_CALLS: Final = {
    (CARL, "weather"): 20,
    (CARL, "maps"): 8,
    (FIONA, "weather"): 35,
    (FIONA, "maps"): 12,
    (FIONA, "translate"): 40,
    (DAN, "weather"): 10,
    (DAN, "maps"): 18,
    (SAM, "translate"): 60,
    (DORA, "weather"): 40,
    (VERA, "weather"): 30,
    (VERA, "maps"): 4,
}
"""On a working day, about; today exactly."""
_MOST_OTHERS: Final = 3
_CALLS_OF_OTHERS: Final = 6
"""Of Fiona, who uses some APIs of the log too."""
_CAPS_WEI: Final = {(DAN, "maps"): 30 * _PRICES_WEI["maps"], (DAN, "weather"): 13 * _PRICES_WEI["weather"]}
_DANS_DAYS: Final = {("maps", 0): 27, ("weather", 1): 19, ("weather", 3): 16, ("weather", 9): 22}
"""Calls of today, and on some days ago more than his cap allows."""
_CARL_HAS_LEFT_WEI: Final = GEN // 4
_FIONAS_HOLD_WEI: Final = 25 * GEN
_HOLD_FOR_METER_WEI: Final = 5 * GEN
_SESSION_DAYS: Final = 20
_SESSION_WEI: Final = 10 * GEN
_HOLD_DAYS: Final = 30
_PAYOUT_DAYS: Final = 7
_TERMS: Final = "Nine of ten calls of a day are answered within a second. Else half of the day's price is given back."
_CLAIM: Final = "Half of my calls of that day were answered with status 503."
# Days ago: the first is the day that is disputed.
_VERAS_DISPUTE: Final = (12, 9, 8)
_DORAS_DISPUTE: Final = (5, 2)
_REFUND_DAY: Final = 6
_WITHDRAWAL_DAY: Final = 10
_TIMES_OF_DAY: Final = (0.3, 0.55, 0.8)
_SETTLEMENT_TIME: Final = 0.9


class Act(NamedTuple):
    """Something that somebody does, at unix seconds."""

    at: int
    do: Callable[[], None]


class Market:
    """The people on a network, from the day ``days`` ago until ``now``, in unix seconds."""

    def __init__(self, contract: BillingContract, now: int, days: int, others: Mapping[str, ApiTerms]) -> None:
        """``others`` are the APIs that there are already. Raises: UnexpectedOutcomeError."""
        self.court = must_deploy(contract.net, COURT, contract.address, BOND_WEI, sender=account_of("deployer", ""))
        self._contract = contract
        self._now = now
        self._days = days
        self._names = {name: free_api_name(others, name) for name in _PRICES_WEI}
        self._others = list(others.values())[:_MOST_OTHERS]
        self._sequences: Counter[str] = Counter()
        self._billed_wei = 0
        self._disputes = 0

    @property
    def metered_api(self) -> str:
        """The one whose usage a live meter can settle: nobody has yet."""
        return self._names["maps"]

    @property
    def apis(self) -> tuple[str, ...]:
        """The names of Olga's APIs."""
        return tuple(self._names.values())

    def acts(self) -> list[Act]:
        """What all do, in the order of time; the first is to open the accounts."""
        return sorted(self._unsorted(), key=lambda act: act.at)

    def _unsorted(self) -> Iterator[Act]:
        days = range(self._days - 1, -1, -1)
        yield Act(self._time(self._days - 1, 0), self._open)
        yield Act(self._time(_SESSION_DAYS, 0), self._open_session)
        for ago in days:
            for time in _TIMES_OF_DAY:
                yield Act(self._time(ago, time), partial(self._call, ago, time))
            for name in ("weather", "translate"):
                yield Act(self._time(ago, _SETTLEMENT_TIME), partial(self._settle, name, ago))
        for person, (disputed, opened, *judged) in ((VERA, _VERAS_DISPUTE), (DORA, _DORAS_DISPUTE)):
            yield Act(self._time(opened, 0.5), partial(self._dispute, person, disputed))
            yield from (Act(self._time(ago, 0.5), self._judge) for ago in judged)
        yield Act(self._time(0, _SETTLEMENT_TIME), self._hold_for_meter)
        yield Act(self._time(_REFUND_DAY, 0.5), self._refund)
        yield Act(self._time(_WITHDRAWAL_DAY, 0.5), self._withdraw)

    def _time(self, ago: int, part: float) -> int:
        """When a part of a day is over; of today, of the part of it that has passed."""
        midnight = self._now - self._now % _DAY_SECONDS - ago * _DAY_SECONDS
        return midnight + int(part * (_DAY_SECONDS if ago else self._now - midnight))

    def _calls(self, person: Person, name: str, ago: int) -> int:
        if person is DAN and (name, ago) in _DANS_DAYS:
            return _DANS_DAYS[name, ago]
        usual = _CALLS.get((person, name), 0)
        return _varied(usual, self._now // _DAY_SECONDS - ago) if usual and ago else usual

    def _calls_of_others(self, api: ApiTerms, ago: int) -> int:
        return min(_varied(_CALLS_OF_OTHERS, self._now // _DAY_SECONDS - ago), api.daily_limit_calls)

    def _spend_wei(self, person: Person, days: int) -> int:
        """What somebody's calls of so many days cost."""
        return sum(
            self._calls(person, name, ago) * price_wei for name, price_wei in _PRICES_WEI.items() for ago in range(days)
        )

    def _open(self) -> None:
        must = self._contract.must
        for name, price_wei in _PRICES_WEI.items():
            limits = (_DAY_LIMITS[name], _MONTH_LIMITS[name])
            must("register_api", self._names[name], price_wei, *limits, sender=OLGA.account)
            must("set_meter", self._names[name], METER.account, True, sender=OLGA.account)
        must("set_plan", self._names["maps"], "pro", _PRICES_WEI["maps"] * 3 // 4, 0, 5_000, sender=OLGA.account)
        promise = (_PAYOUT_DAYS, REFUND_PERCENT, _TERMS)
        must("set_promise", self._names["weather"], self.court, *promise, sender=OLGA.account)
        for person in (*CONSUMERS, OLGA):
            self._contract.net.fund(person.account, _WEALTH_WEI)
        for person, name in _CALLS:
            if person is not SAM:
                cap_wei = _CAPS_WEI.get((person, name), 3 * GEN)
                must("subscribe", self._names[name], cap_wei, 0, sender=person.account)
        for api in self._others:
            must("subscribe", api.name, 2 * api.price_wei * api.daily_limit_calls, 0, sender=FIONA.account)
        for person in CONSUMERS:
            if person is not SAM:
                self._top_up(person)
        hold = (self._names["translate"], _FIONAS_HOLD_WEI, self._now + _HOLD_DAYS * _DAY_SECONDS)
        must("place_hold", *hold, sender=FIONA.account)

    def _top_up(self, person: Person) -> None:
        cost_wei = self._spend_wei(person, self._days)
        amount_wei = cost_wei + _CARL_HAS_LEFT_WEI if person is CARL else 3 * cost_wei // GEN * GEN
        self._contract.must("top_up_credit", amount_wei, sender=person.account, value_wei=amount_wei)

    def _open_session(self) -> None:
        expires_at = self._now + _HOLD_DAYS * _DAY_SECONDS
        session = (self._names["translate"], 2 * GEN, _SESSION_WEI, expires_at, SAM.account)
        value_wei = _SESSION_WEI + 2 * GEN
        self._contract.must("open_session", *session, sender=SAM.account, value_wei=value_wei)

    def _call(self, ago: int, time: float) -> None:
        share = _TIMES_OF_DAY.index(time)
        for person in CONSUMERS:
            calls = (self._calls(person, "maps", ago) + share) // len(_TIMES_OF_DAY)
            if calls:
                self._contract.must("consume_credit", self._names["maps"], person.account, calls, sender=METER.account)
        if not share:
            for api in self._others:
                calls = self._calls_of_others(api, ago)
                self._contract.must("consume_credit", api.name, FIONA.account, calls, sender=api.operator.meter)

    def _settle(self, name: str, ago: int) -> None:
        entries = []
        for person in CONSUMERS:
            calls = self._calls(person, name, ago)
            if calls and (person is not SAM or ago < _SESSION_DAYS):
                entry: dict[str, Any] = {
                    "consumer": person.account,
                    "day_id": self._contract.at // _DAY_SECONDS,
                    "calls": calls,
                    "spend_wei": calls * _PRICES_WEI[name],
                }
                entries.append(entry if person is not SAM else {**entry, "voucher": self._voucher(entry["spend_wei"])})
        self._sequences[name] += 1
        arguments = (self._names[name], self._sequences[name], entries)
        self._contract.must("settle_usage", *arguments, sender=METER.account)

    def _voucher(self, spend_wei: int) -> dict[str, Any]:
        """Sam's: signed for a whole GEN at a time, of which a part is billed."""
        api = self._contract.view("get_api", self._names["translate"])
        channel = Channel(
            SAM.account, SAM.account, OLGA.account, self._contract.address, api["asset"], int(api["chain_id"])
        )
        self._billed_wei += spend_wei
        return sign_voucher(SAM.key, channel, (self._billed_wei // GEN + 1) * GEN).as_dict()

    def _dispute(self, person: Person, disputed: int) -> None:
        day_id = self._now // _DAY_SECONDS - disputed
        arguments = (self._names["weather"], day_id, _CLAIM, EVIDENCE_URL)
        net = self._contract.net
        must_call(net, self.court, "open_dispute", *arguments, sender=person.account, value_wei=BOND_WEI)
        self._disputes += 1

    def _judge(self) -> None:
        net = self._contract.net
        net.mock_web(f"^{EVIDENCE_URL}$", EVIDENCE)
        net.mock_prompt("", ANSWER)
        must_call(net, self.court, "judge", self._disputes, sender=OLGA.account)

    def _hold_for_meter(self) -> None:
        expires_at = self._now + _HOLD_DAYS * _DAY_SECONDS
        for person in (FIONA, VERA):
            hold = (self.metered_api, _HOLD_FOR_METER_WEI, expires_at)
            self._contract.must("place_hold", *hold, sender=person.account)

    def _refund(self) -> None:
        arguments = (self._names["maps"], FIONA.account, GEN // 5, "Sorry for the slow maps.")
        self._contract.must("refund", *arguments, sender=OLGA.account)

    def _withdraw(self) -> None:
        self._contract.must("collect_earnings", self._names["weather"], sender=OLGA.account)
        earned_wei = self._contract.view("get_earnings", OLGA.account)["earnings_wei"]
        self._contract.must("withdraw_earnings", earned_wei // 2, sender=OLGA.account)


def _varied(usual: int, day_id: int) -> int:
    """So many calls on one day: fewer at the weekend, and never the same for long."""
    return usual * (5 if is_weekend(day_id) else 9) // 10 + day_id * day_id * 7 % (usual // 2 + 1)
